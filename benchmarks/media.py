"""Media for the stopping rule: drawn at random, of the kinds that solvers find easy and hard."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A medium, and how it is to be solved."""

    kind: str
    array: np.ndarray
    """Booleans, or conductivities."""
    options: dict[str, Any] = field(default_factory=dict)
    """Spacing and boundaries, as `conductivity` takes them."""


def smooth(rng: np.random.Generator, shape: Shape, length: float) -> np.ndarray:
    """Noise smoothed over `length` voxels, periodic, of variance one."""
    spectrum = np.fft.fftn(rng.standard_normal(shape))
    for axis, n in enumerate(shape):
        damp = np.exp(-2 * (np.pi * length * np.fft.fftfreq(n)) ** 2)
        spectrum *= damp.reshape([-1 if a == axis else 1 for a in range(3)])
    values = np.fft.ifftn(spectrum).real
    return values / values.std()


def noise(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    values = smooth(rng, shape, rng.uniform(0.7, 4))
    return values > np.quantile(values, 1 - rng.uniform(0.15, 0.5))


def spheres(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Pores between spheres that overlap as they fall."""
    radius, solid = rng.uniform(2.5, 7), np.zeros(shape, bool)
    count = int(-np.log(rng.uniform(0.2, 0.5)) * np.prod(shape) / (4.19 * radius**3))
    grid = np.indices(shape).reshape(3, *shape)
    for centre in rng.uniform(0, 1, (max(count, 1), 3)) * shape:
        solid |= sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2
    return ~solid


def single_voxels(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Each voxel for itself, from just above the percolation threshold (0.3116) on."""
    return rng.random(shape) < rng.uniform(0.34, 0.6)


def tubes(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Parallel tubes of several widths, each with a constriction of its own, some joined sideways."""
    pore = np.zeros(shape, bool)
    _, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for _ in range(rng.integers(3, 9)):
        cy, cz = rng.uniform(0, shape[1]), rng.uniform(0, shape[2])
        radii = np.full(shape[0], rng.uniform(1, 5))
        first = rng.integers(0, shape[0] - 2)
        radii[first : first + rng.integers(1, 8)] = rng.uniform(0.8, 1.5)
        pore |= (y - cy) ** 2 + (z - cz) ** 2 <= radii[:, None, None] ** 2
    for _ in range(rng.integers(0, 4)):
        i, j = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        pore[i : i + 2, j : j + 2] = True
    return pore


def chambers(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Chambers behind walls, each wall with a few throats of a voxel: along the current, and hanging on its side."""
    size = int(rng.integers(4, 9))
    pore = np.ones(shape, bool)
    for axis in range(3):
        pore[tuple(slice(size - 1, None, size) if a == axis else slice(None) for a in range(3))] = False
    share = rng.uniform(0.1, 0.7)
    for axis in range(3):
        walls = range(size - 1, shape[axis], size)
        others = [range(0, shape[a], size) for a in range(3) if a != axis]
        for wall in walls:
            for p in others[0]:
                for q in others[1]:
                    if rng.random() < (1.0 if axis == 0 and rng.random() < 0.8 else share):
                        place = [p + rng.integers(0, size - 1), q + rng.integers(0, size - 1)]
                        place.insert(axis, wall)
                        if all(i < n for i, n in zip(place, shape, strict=True)):
                            pore[tuple(place)] = True
    return pore


def two_phases(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Conducting and less conducting, contrast 1e-1 to 1e-6."""
    return np.where(noise(rng, shape), 1.0, 10 ** rng.uniform(-6, -1)).astype(np.float32)


def fractures(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Planes a voxel or two thick that conduct, or seal, in a medium a thousand to a million times different."""
    inside = np.zeros(shape, bool)
    place = np.indices(shape)
    for _ in range(rng.integers(3, 9)):
        normal = rng.standard_normal(3)
        normal /= np.linalg.norm(normal)
        far = sum(n * g for n, g in zip(normal, place, strict=True)) - normal @ (rng.uniform(0, 1, 3) * shape)
        inside |= np.abs(far) < rng.uniform(0.6, 1.2)
    low = 10 ** rng.uniform(-6, -3)
    return np.where(inside == (rng.random() < 0.5), 1.0, low).astype(np.float32)


def white(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Each voxel for itself, over two to six decades."""
    return (10 ** (rng.uniform(-rng.uniform(2, 6), 0, shape))).astype(np.float32)


def lognormal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """A field that varies smoothly over decades."""
    return np.exp(rng.uniform(1, 4) * smooth(rng, shape, rng.uniform(0.5, 4))).astype(np.float32)


def layers(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Layers across x or y over six decades, each with holes."""
    axis = int(rng.integers(0, 2))
    values = 10 ** rng.uniform(-6, 0, shape[axis])
    field = np.broadcast_to(values.reshape([-1 if a == axis else 1 for a in range(3)]), shape)
    return np.where(rng.random(shape) < 0.02, 1.0, field).astype(np.float32)


KINDS = (noise, spheres, single_voxels, tubes, chambers, two_phases, fractures, white, lognormal, layers)
SETTINGS: tuple[tuple[Shape, dict[str, Any]], ...] = (
    ((32, 32, 32), {}),
    ((45, 45, 45), {}),
    ((32, 32, 32), {"spacing": (1, 1, 10)}),
    ((32, 32, 32), {"spacing": (10, 1, 1)}),
    ((32, 32, 32), {"spacing": (1, 1, 3)}),
    ((31, 31, 31), {"ends": "periodic", "sides": "periodic"}),
    ((32, 32, 32), {"loading": "linear"}),
    ((96, 16, 16), {}),
)


def media(seed: int, each: int = 3) -> Iterator[Drawn]:
    """Yield `each` media of every kind for every setting."""
    for shape, options in SETTINGS:
        for kind in KINDS:
            rng = np.random.default_rng((seed, len(shape), *shape, KINDS.index(kind), SETTINGS.index((shape, options))))
            for _ in range(each):
                yield Drawn(kind.__name__, kind(rng, shape), options)


def noisy_spheres(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Distances from spheres that overlap, with noise: grey levels, pores are large."""
    radius, far = rng.uniform(4, 9), np.full(shape, np.inf)
    grid = np.indices(shape).reshape(3, *shape)
    for centre in rng.uniform(0, 1, (max(int(0.9 * np.prod(shape) / (4.19 * radius**3)), 1), 3)) * shape:
        far = np.minimum(far, np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))) - radius)
    return far + rng.uniform(0.2, 1) * smooth(rng, shape, rng.uniform(0.7, 2))


def long_and_short(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Noise of two lengths."""
    return smooth(rng, shape, rng.uniform(3, 6)) + rng.uniform(0.2, 0.8) * smooth(rng, shape, rng.uniform(0.7, 1.5))


def smooth_noise(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return smooth(rng, shape, rng.uniform(1, 4))


SCANS = (smooth_noise, noisy_spheres, long_and_short)
SCAN_SETTINGS: tuple[dict[str, Any], ...] = ({}, {"spacing": (1, 1, 3)}, {"spacing": (3, 1, 1)}, {"sides": "periodic"})


def scans(seed: int, each: int) -> Iterator[Drawn]:
    """Yield `each` scans of every kind for every setting, as grey levels; large ones are pore."""
    for number, options in enumerate(SCAN_SETTINGS):
        for kind, draw in enumerate(SCANS):
            rng = np.random.default_rng((seed, number, kind))
            for _ in range(each):
                yield Drawn(draw.__name__, draw(rng, (40, 40, 40)).astype(np.float32), options)
