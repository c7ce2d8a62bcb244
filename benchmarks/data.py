"""The inputs, the same for every side: made once, by NumPy, from a fixed seed."""

from pathlib import Path

import numpy as np

from benchmarks.rows import Data

COARSE = 32  # blobs along an edge


def path_of(data: Data, folder: Path) -> Path:
    """Return the file of an input; make it if it is not there."""
    suffix = "raw" if data.kind == "raw" else "npy"
    path = folder / f"{data.kind}-{data.edge}-{data.dtype}.{suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            write(data, file)
        partial.replace(path)
    return path


def write(data: Data, file) -> None:
    """A rock of three phases in blobs, with grey values that compress as those of a micro-CT scan do (about 1.1 times)."""
    rng = np.random.default_rng(0)
    blobs = rng.choice(3, size=(COARSE,) * 3, p=[0.25, 0.6, 0.15]).astype("u1")
    nearest = np.arange(data.edge) * COARSE // data.edge
    phases = blobs[np.ix_(nearest, nearest, nearest)]
    if data.kind == "phases":
        np.save(file, phases)
        return
    grey = phases * np.float32(4000) + np.float32(15000)
    for plane in grey:
        plane += rng.standard_normal(plane.shape, dtype="f4") * np.float32(900)
    values = grey.astype(data.dtype) if np.dtype(data.dtype).kind == "u" else (grey / 65535).astype(data.dtype)
    if data.kind == "raw":
        values.ravel(order="F").tofile(file)
    else:
        np.save(file, values)
