"""The record of an image in an object store: parts that are merged, entity tags by which an input is known again."""

import os

import numpy as np
import pytest

import lithax as lx
from lithax.errors import IncompleteImageError, LockedError, ResumeError, StaleHandleError
from lithax.storage import _ledger
from lithax.testing import assert_same_bits

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
OPTIONS = {"backend": "numpy", "resume_key": "double", "progress": False, "workers": 1}
SHAPE = (8, 8, 4)


@pytest.fixture(scope="module")
def bucket():
    """A server that speaks S3, with one bucket."""
    pytest.importorskip("s3fs", reason="pip install 'lithax[io]'")
    moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        import boto3

        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket="rocks")
        yield url, client
        server.stop()


@pytest.fixture(params=["fsspec", "obstore"])
def places(request, bucket):
    """``place(name)``: arguments of `open` and its relatives for an image in the bucket, and where its objects are."""
    url, client = bucket
    folder = f"{request.param}-{os.urandom(4).hex()}"

    def place(name):
        if request.param == "fsspec":
            options = {"client_kwargs": {"endpoint_url": url}}
            return {"store": f"s3://rocks/{folder}/{name}", "storage_options": options}
        store = pytest.importorskip("obstore.store").S3Store(
            "rocks", prefix=f"{folder}/{name}", endpoint=url, client_options={"allow_http": True}, region="us-east-1",
            access_key_id="test", secret_access_key="test",
        )  # fmt: skip
        return {"store": store}

    def names(name):
        found = client.list_objects_v2(Bucket="rocks", Prefix=f"{folder}/{name}/").get("Contents", ())
        return [entry["Key"].removeprefix(f"{folder}/{name}/") for entry in found]

    place.names, place.client, place.folder = names, client, folder
    return place


@pytest.fixture
def x(rng):
    return rng.integers(1, 1000, SHAPE).astype("f4")


def test_the_record(places, x, monkeypatch):
    lx.from_array(x, chunks=4, **places("a"))
    assert [n for n in places.names("a") if ".lithax" in n] == [".lithax/ledger"]
    assert lx.verify(**places("a"), progress=False).compared == 4
    image = lx.open(**places("a"))
    image[4:] = 0  # whole chunks: none is read, and the last one is removed
    image[:4, :4] = 7
    x[4:], x[:4, :4] = 0, 7
    assert lx.verify(**places("a"), progress=False)
    assert_same_bits(lx.open(**places("a"), check=True)[...], x)
    places.client.delete_object(Bucket="rocks", Key=f"{places.folder}/a/c/0/0/0")
    with pytest.raises(OSError, match=r"'c/0/0/0' .* is missing"):
        lx.open(**places("a"))[...]
    assert "'c/0/0/0' is missing" in lx.verify(**places("a"), progress=False).defects[0]
    monkeypatch.setattr(_ledger, "_MERGE_AFTER", 3)
    for n in range(4):
        image[:4, :4] = n + 1
    assert len([n for n in places.names("a") if "ledger-" in n]) <= 3
    assert lx.verify(**places("a"), progress=False)


def test_an_input_that_was_changed(places, x, tmp_path):
    image = lx.from_array(x, chunks=4, **places("in"))
    seen = [0]

    def double(v):
        if v.shape == (4, 4, 4):
            seen[0] += 1
            if seen[0] == 3:
                raise ZeroDivisionError
        return v * 2

    with pytest.raises(ZeroDivisionError):
        lx.chunk_map(double, image, store=tmp_path / "a.zarr", resume=True, **OPTIONS)
    lx.chunk_map(double, image, store=tmp_path / "b.zarr", resume=True, **OPTIONS)
    again = lx.open(**places("in"))
    again.attrs["seen"] = True
    lx.chunk_map(double, again, store=tmp_path / "b.zarr", resume=True, **OPTIONS)
    again[:4, :4] = 0
    for name in "ab":
        with pytest.raises(ResumeError, match=r"image 0 .* has changed since"):
            lx.chunk_map(double, lx.open(**places("in")), store=tmp_path / f"{name}.zarr", resume=True, **OPTIONS)
    again[:4, :4] = x[:4, :4]  # the same bytes have the same tag
    out = lx.chunk_map(double, lx.open(**places("in")), store=tmp_path / "a.zarr", resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), x * 2)


def test_an_output(places, x):
    image = lx.from_array(x, chunks=4)
    seen = [0]

    def double(v):
        seen[0] += v.shape == (4, 4, 4)
        if seen[0] == 4 and v.shape == (4, 4, 4):
            other = lx.open(**places("out"), incomplete=True)
            with pytest.raises(LockedError, match="is being written by"):
                other[...] = 1
            places.client.delete_object(Bucket="rocks", Key=f"{places.folder}/out/c/0/0/0")
        return v * 2

    with pytest.raises(IncompleteImageError, match=r"'c/0/0/0' of the image .* were removed"):
        lx.chunk_map(double, image, **places_of_output(places), **OPTIONS)
    out = lx.chunk_map(double, image, **places_of_output(places), resume=True, **OPTIONS)
    assert_same_bits(np.asarray(out), x * 2)
    assert lx.verify(out, progress=False).compared == 4
    for _ in range(2):
        lx.chunk_map(lambda v: v + 1, out, out=out, resume=True, resume_key="one", backend="numpy", progress=False)
    assert_same_bits(np.asarray(lx.open(**places("out"))), x * 2 + 1)


def places_of_output(places):
    """`chunk_map` has no storage_options: the store itself is given."""
    place = places("out")
    if "storage_options" not in place:
        return place
    from zarr.storage import FsspecStore

    return {"store": FsspecStore.from_url(place["store"], storage_options=place["storage_options"])}


def test_handles(places, x):
    old = lx.from_array(x, chunks=4, **places("a"))
    lx.zeros(SHAPE, "u1", chunks=2, overwrite=True, **places("a"))
    with pytest.raises(StaleHandleError, match="was replaced"):
        old[...] = 1
    image = lx.open(**places("a"))
    with pytest.warns(RuntimeWarning, match=r"an object store has no locks.*several processes"):
        image[0, 0, 0] = 1
    image[0, 0, 1] = 1
    image[:] = 2
    assert_same_bits(lx.open(**places("a"))[...], np.full(SHAPE, 2, "u1"))
