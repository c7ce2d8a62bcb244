"""Images behind URLs: an S3 server on this machine, and fsspec's memory."""

import os
import threading
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import lithax as lx
from lithax.errors import MetadataError

VALUES = np.arange(9 * 8 * 7, dtype="u2").reshape(9, 8, 7)
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint():
    """Address of a server that speaks S3, with one bucket."""
    pytest.importorskip("s3fs", reason="pip install 'lithax[io]'")
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'").ThreadedMotoServer(
        port=0, verbose=False
    )
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    import boto3

    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="rocks")
    yield url
    server.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def s3(endpoint):
    """Arguments that lead to a new place in the bucket, through fsspec."""
    return {
        "store": f"s3://rocks/{uuid.uuid4().hex}.zarr",
        "storage_options": {"endpoint_url": endpoint},
    }


@pytest.fixture
def obstore_s3(endpoint):
    """The same through obstore."""
    store = pytest.importorskip("obstore.store", reason="pip install obstore")
    return {
        "store": store.S3Store(
            "rocks",
            prefix=f"{uuid.uuid4().hex}.zarr",
            endpoint=endpoint,
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
    }


@pytest.fixture
def memory():
    return {"store": f"memory://{uuid.uuid4().hex}.zarr"}


@pytest.fixture(params=["s3", "obstore_s3", "memory"])
def place(request):
    return request.getfixturevalue(request.param)


@pytest.mark.filterwarnings("ignore:.*an object store has no locks")
def test_an_image_is_made_and_opened_again(place):
    made = lx.from_array(VALUES, (4, 4, 4), **place, voxel_length=2, voxel_unit="um", field_name="CT")
    image = lx.open(**place)
    np.testing.assert_array_equal(image[...], VALUES)
    np.testing.assert_array_equal(image[3, ::2, -1], VALUES[3, ::2, -1])
    assert image.metadata == made.metadata
    image.update(description="remote")
    image.attrs["a"] = 1
    image[2:5, 1] = 7
    expected = VALUES.copy()
    expected[2:5, 1] = 7
    again = lx.open(**place)
    np.testing.assert_array_equal(again[...], expected)
    assert (again.description, dict(again.attrs)) == ("remote", {"a": 1})
    assert again.content_hash() == lx.from_array(expected).content_hash()


@pytest.mark.filterwarnings("ignore:.*an object store has no locks")
def test_shards(place):
    lx.from_array(VALUES, (2, 2, 2), shards=(4, 4, 4), **place)
    image = lx.open(**place)
    np.testing.assert_array_equal(image[1:3, 5, 2:4], VALUES[1:3, 5, 2:4])
    image[0:4, 0:4, 0:4] = 0
    image[5, 5, 5] = 1
    expected = VALUES.copy()
    expected[0:4, 0:4, 0:4] = 0
    expected[5, 5, 5] = 1
    np.testing.assert_array_equal(lx.open(**place)[...], expected)


def test_several_images_in_one_store(place):
    lx.zeros((4, 4, 4), "u1", path="a", **place)
    lx.ones((4, 4, 4), "u1", path="b/c", **place)
    assert lx.open(path="b/c", **place)[0, 0, 0] == 1
    with pytest.raises(MetadataError, match="is a group, not an image; pass path= to open one of 'a', 'b'"):
        lx.open(**place)
    with pytest.raises(FileNotFoundError, match="path='d' does not exist"):
        lx.open(path="d", **place)


def test_what_is_there_and_what_is_not(place):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        lx.open(**place)
    lx.from_array(VALUES, 4, **place)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        lx.zeros((4, 4, 4), "u1", **place)
    assert (lx.zeros(VALUES.shape, "u2", chunks=4, overwrite=True, **place)[...] == 0).all()
    with pytest.raises(PermissionError, match="is read-only"):
        lx.open(mode="r", **place)[0] = 1


def test_a_failure_half_way_leaves_nothing(place):
    class Failing:
        shape, dtype = VALUES.shape, np.dtype("u1")

        def __getitem__(self, box):
            if box[0].start:
                raise OSError("the tape is torn")
            return np.ones([s.stop - s.start for s in box], "u1")

    with pytest.raises(OSError, match="the tape is torn"):
        lx.from_array(Failing(), 4, **place)
    with pytest.raises(FileNotFoundError):
        lx.open(**place)


def test_a_copy_from_here_to_there_and_back(place, tmp_path):
    image = lx.from_array(VALUES, 3, tmp_path / "a", field_name="CT")
    away = image.copy(chunks=4, **place)
    assert away.chunks == (4, 4, 4)
    back = lx.open(**place).copy(tmp_path / "b")
    np.testing.assert_array_equal(back[...], VALUES)
    assert back.field_name == "CT"


def test_an_image_on_a_web_server_can_be_read(tmp_path):
    pytest.importorskip("aiohttp", reason="pip install aiohttp")
    made = lx.from_array(VALUES, (2, 2, 2), tmp_path / "a", shards=(4, 4, 4), field_name="CT")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        image = lx.open(f"{url}/a")
        assert image.read_only
        assert image.field_name == "CT"
        np.testing.assert_array_equal(image[...], VALUES)
        np.testing.assert_array_equal(image[3:5, 4, ::2], VALUES[3:5, 4, ::2])
        assert image.content_hash() == made.content_hash()
        with pytest.raises(FileNotFoundError, match="does not exist"):
            lx.open(f"{url}/b")
        with pytest.raises(PermissionError, match="is read-only; an image cannot be made there"):
            lx.zeros((4, 4, 4), "u1", store=f"{url}/c")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_obstore_serves_where_fsspec_lacks_a_package(monkeypatch):
    pytest.importorskip("obstore", reason="pip install obstore")
    from zarr.storage import FsspecStore

    from lithax.storage import locate

    def missing(*arguments, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(FsspecStore, "from_url", missing)
    place = locate("s3://rocks/image.zarr", storage_options={"skip_signature": True, "region": "us-east-1"})
    assert type(place.store).__name__ == "ObjectStore"


def test_a_bucket_that_is_not_there(endpoint):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        lx.open("s3://nowhere/image.zarr", storage_options={"endpoint_url": endpoint})
