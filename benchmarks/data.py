"""The inputs, the same for every side: made once, by NumPy, from a fixed seed."""

from pathlib import Path

import numpy as np

from benchmarks.rows import Data

COARSE = 32  # blobs along an edge


def field(rng, edge: int) -> np.ndarray:
    """Periodic noise smoothed over 3 voxels."""
    spectrum = np.fft.rfftn(rng.standard_normal((edge,) * 3, dtype="f4"))
    for axis, count in enumerate(spectrum.shape):
        wave = (np.fft.rfftfreq if axis == 2 else np.fft.fftfreq)(edge)[:count]
        damp = np.exp(-2 * (np.pi * 3.0 * wave) ** 2)
        spectrum *= damp.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.irfftn(spectrum, s=(edge,) * 3, axes=(0, 1, 2)).astype("f4")


def noise(rng, edge: int) -> np.ndarray:
    """A quarter of the field is pore."""
    values = field(rng, edge)
    return values > np.quantile(values[::2, ::2, ::2], 0.75)


def spheres(rng, edge: int, radius: int = 6) -> np.ndarray:
    """Pores between spheres of 6 voxels a radius that overlap as they fall, porosity about 0.36."""
    solid = np.zeros((edge,) * 3, bool)
    ball = (np.indices((2 * radius + 1,) * 3) - radius).astype(int)
    offsets = np.argwhere((ball**2).sum(0) <= radius**2) - radius
    # Overlapping at random: the porosity is exp(−density × volume).
    for centre in rng.integers(0, edge, (round(edge**3 / len(offsets)), 3)):
        solid[tuple(((centre + offsets) % edge).T)] = True
    return ~solid


PORES = {"field": field, "noise": noise, "spheres": spheres}


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
    if data.kind in PORES:
        np.save(file, PORES[data.kind](rng, data.edge).astype(data.dtype))
        return
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
