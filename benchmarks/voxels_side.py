"""edt, connected-components-3d and dask-image: on arrays in memory, and store to store by zarr-python."""

import os
import shutil
from importlib.metadata import version

import cc3d
import dask.array
import edt
import numpy as np
import zarr
from dask_image import ndmeasure


def versions():
    return lambda: {name: version(name) for name in ("edt", "connected-components-3d", "dask-image", "dask", "zarr")}


def distance(pores):
    array = np.load(pores).astype(bool)
    return lambda: {"largest": float(edt.edt(array, parallel=os.cpu_count()).max())}


def target_like(source, target, dtype):
    """An array of the grid and the codecs of another one."""
    return zarr.create_array(
        target, shape=source.shape, dtype=dtype, chunks=source.chunks, shards=source.shards, overwrite=True
    )


def distance_stored(source, target):
    """Read the whole image, take the distance, write it."""
    array = zarr.open_array(source, mode="r")

    def run():
        out = target_like(array, target, "f4")
        out[...] = edt.edt(array[...], parallel=os.cpu_count())

    return lambda: shutil.rmtree(target, ignore_errors=True), run


def label(pores):
    array = np.load(pores).astype(np.uint8)

    def run():
        cc3d.connected_components(array, connectivity=26)

    return run


def label_stored(source, target):
    array = zarr.open_array(source, mode="r")

    def run():
        labels, _ = ndmeasure.label(dask.array.from_zarr(array), structure=np.ones((3, 3, 3), int))
        dask.array.store(labels, target_like(array, target, labels.dtype), lock=False, compute=True)

    return lambda: shutil.rmtree(target, ignore_errors=True), run


CASES = {
    "versions": versions,
    "distance": distance,
    "distance stored": distance_stored,
    "label": label,
    "label stored": label_stored,
}
