"""Open a pyramid in napari by its plugin, as a user would, and hold it against the numbers it was made of.

Run by ``nox -s interop`` in an environment that has napari; it is no part of the tests. The viewer is napari's own
without its window: drawing needs OpenGL, which a machine without a screen may lack.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from zarr.codecs import BloscCodec, Crc32cCodec

import lithax as lx


def show(store: Path, codec: dict | None = None, **layout: int) -> None:
    values = np.arange(30 * 24 * 20, dtype="u2").reshape(30, 24, 20)
    place = {"voxel_length": (1, 1.5, 1.75), "voxel_origin": (4, 5, 6), "voxel_unit": "um"}
    scan = lx.from_array(
        values, store=store.with_name("scan"), overwrite=True, field_name="grey", **place, **(codec or {})
    )
    made = lx.pyramid(scan, store, smallest=8, progress=False, **layout)
    viewer = ViewerModel()
    (layer,) = viewer.open(str(store), plugin="napari-ome-zarr")
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [level.shape[::-1] for level in (made, *made.levels)]
    for shown, level in zip(layer.data, (made, *made.levels), strict=True):
        np.testing.assert_array_equal(np.asarray(shown), level[:].transpose(2, 1, 0))
    np.testing.assert_allclose(layer.scale, made.voxel_length[::-1])
    # The plugin (0.10) reads the scale of a level and leaves its translation out; the day it does not, this says so.
    place = "is taken over" if np.allclose(layer.translate, made.voxel_origin[::-1]) else "is left out by the plugin"
    print(
        f"napari shows {layer.name!r}: {[d.shape for d in layer.data]}, shards {made.shards}, scale {layer.scale}; the "
        f"origin {place}"
    )


def main() -> int:
    _initialize_plugins()
    with tempfile.TemporaryDirectory() as folder:
        show(Path(folder) / "rock.ome.zarr")
        show(Path(folder) / "shards.ome.zarr", chunks=8, shards=16)
        # The levels take the codecs of the image that they are made of.
        checked = {"compressors": [BloscCodec(cname="lz4"), Crc32cCodec()]}
        show(Path(folder) / "checked.ome.zarr", checked)
        assert "crc32c" in (Path(folder) / "checked.ome.zarr/0/zarr.json").read_text()
        show(Path(folder) / "checked_shards.ome.zarr", checked, chunks=8, shards=16)
    return 0


if __name__ == "__main__":
    sys.exit(main())
