"""Files with the usual codec, and with a checksum in every chunk, in other programs that read Zarr.

``write FOLDER`` makes them with lithax; ``read FOLDER`` opens them with the reader that is installed where it runs,
zarr-python of any age or tensorstore, and needs nothing else. ``nox -s interop`` does both, with an environment for every
reader; it is no part of the tests.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np

SHAPE = (20, 17, 13)
DTYPES = ["|b1", "|u1", "<i2", "<u2", "<u4", "<f4", "<f8", ">u2"]
CODECS = ["usual", "crc32c"]
LAYOUTS = {"chunks": {"chunks": 8}, "shards": {"chunks": 4, "shards": 8}}


def values(dtype):
    """Numbers of which no two neighbours are equal, and a corner that is not stored, as it is empty."""
    x, y, z = np.indices(SHAPE)
    made = ((7 * x + 31 * y + 101 * z) % (2 if dtype == "|b1" else 251)).astype(dtype)
    made[:8, :8, :8] = 0
    return made


def cases(folder):
    for dtype, codec, layout in itertools.product(DTYPES, CODECS, LAYOUTS):
        name = f"{np.dtype(dtype).name}-{'big' if dtype[0] == '>' else 'little'}"
        yield folder / f"{name}-{codec}-{layout}", dtype, codec, layout


def write(folder):
    from zarr.codecs import BloscCodec, Crc32cCodec

    import lithax as lx

    for store, dtype, codec, layout in cases(folder):
        checked = {"compressors": [BloscCodec(cname="lz4", shuffle="bitshuffle"), Crc32cCodec()]}
        options = checked if codec == "crc32c" else {}
        lx.from_array(values(dtype), store=store, voxel_length=2.5, voxel_unit="um", **LAYOUTS[layout], **options)
        assert ("crc32c" in json.dumps(json.loads((store / "zarr.json").read_text())["codecs"])) == (
            codec == "crc32c" or layout == "shards"  # the index of a shard has one of its own
        )


def read_zarr(store, part=...):
    import zarr

    return zarr.open_array(str(store), mode="r")[part]


def read_tensorstore(store, part=...):
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store)}}
    return tensorstore.open(spec, read=True).result()[part].read().result()


def reader():
    try:
        import tensorstore  # noqa: F401

        return "tensorstore", read_tensorstore
    except ModuleNotFoundError:
        import zarr

        return f"zarr-python {zarr.__version__}", read_zarr


def read(folder):
    name, opened = reader()
    stores = list(cases(folder))
    for store, dtype, *_ in stores:
        found = np.asarray(opened(store))
        assert found.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("="), (store, found.dtype)
        np.testing.assert_array_equal(found, values(dtype), err_msg=str(store))
    noticed = 0
    for store, _, codec, layout in stores:
        if codec == "crc32c":
            damage(store / "c/1/1/1", layout)
            try:
                opened(store, np.s_[8:12, 8:12, 8:12])
            except Exception:
                noticed += 1
    assert noticed == sum(codec == "crc32c" for _, _, codec, _ in stores), noticed
    print(f"{name} reads all {len(stores)} stores, and refuses all {noticed} with a checksum and a flipped bit")


def damage(unit, layout):
    """Flip a bit in the compressed values (the first chunk of a shard lies at its beginning)."""
    data = bytearray(unit.read_bytes())
    data[24 if layout == "shards" else len(data) // 2] ^= 1
    unit.write_bytes(data)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
