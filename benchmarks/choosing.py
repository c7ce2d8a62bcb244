"""``python -m benchmarks.choosing [good poor wide]``: what filters and thresholds do to a rock whose truth is known; renews the tables of
docs/how-to-choose.md.

The errors do not depend on the machine. The times are CPU seconds of the compiled filter, over those of a median in the same run.
"""

import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import lithax as lx

PAGE = Path(__file__).parent.parent / "docs" / "how-to-choose.md"


@dataclass(frozen=True)
class Scan:
    """A piece of the Finney pack, whose spheres have a radius of 100 units of length, as a scanner sees it."""

    radius: int
    """Of the spheres [voxel]; between three that touch fits a throat of 0.31 of it."""
    noise: float
    blur: float
    rows: tuple[str, ...] = ()
    """Those of the filters that are shown; none: all."""

    @property
    def options(self) -> dict[str, float]:
        return {"voxel_length": 100 / self.radius, "noise": self.noise, "blur": self.blur}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Four radii along each axis: the same piece of rock in all tables."""
        return (4 * self.radius,) * 3


SHOWN = ("median of radius 1", "Gaussian of 1 voxel", "non-local means", "total variation")
SCANS = {"good": Scan(12, 0.1, 0.7), "poor": Scan(12, 0.3, 1.0), "wide": Scan(20, 0.3, 1.0, SHOWN)}
TIMED = 96  # edge of what is timed: large enough that a call costs nothing beside it
TAKEN = "non-local means, half contrast"  # set in bold


def otsu(x: np.ndarray) -> np.ndarray:
    return x <= lx.measure.otsu(x)


def half_contrast(x: np.ndarray) -> np.ndarray:
    return x <= lx.measure.half_contrast(x)


def filters(noise: float) -> dict[str, tuple[Callable | None, tuple[Callable, ...]]]:
    """Return each filter, its strength following the noise, with the thresholds after it."""
    return {
        "none": (None, (otsu,)),
        "median of radius 1": (partial(lx.ops.median, radius=1), (otsu, half_contrast)),
        "Gaussian of 1 voxel": (partial(lx.ops.gaussian, sigma=1.0), (otsu,)),
        "bilateral": (partial(lx.ops.bilateral, sigma_color=2.5 * noise, sigma_spatial=1.0), (otsu,)),
        "non-local means": (partial(lx.ops.non_local_means, sigma=noise, patch_distance=3), (otsu, half_contrast)),
        "total variation": (partial(lx.ops.total_variation, weight=noise, iterations=20), (otsu,)),
        "guided": (lambda x: lx.ops.guided(x, x, epsilon=(2 * noise) ** 2, radius=1), (otsu,)),
    }


def by_scribbles(x: np.ndarray, pores: np.ndarray) -> np.ndarray:
    """Classify by trees, trained with two strokes in each phase that a person could draw: well inside, in one slice."""
    inside = {label: lx.ops.erosion(phase, radius=2) for label, phase in ((1, pores), (2, ~pores))}
    labels = np.zeros(x.shape, np.uint8)
    for label, phase in inside.items():
        for z in (x.shape[2] // 4, 3 * x.shape[2] // 4):
            labels[:, :, z][phase[:, :, z]] = label
    classifier = lx.train_classifier(x, labels, sigmas=(1.0, 2.0))
    return np.asarray(classifier.classify(x)) == 1


def measured(pores: np.ndarray, truth: np.ndarray, flow: bool = True) -> dict[str, float]:
    found = {
        "porosity": float(pores.mean()),
        "surface": float(lx.measure.specific_surface(pores).value),
        "wrong": float((pores != truth).mean()),
    }
    if flow:
        found["factor"] = float(lx.solve.conductivity(pores, axis="x", tolerance=1e-2).formation_factor)
        found["permeability"] = float(lx.solve.permeability(pores, axis="x", tolerance=1e-2).value_voxel)
    return found


def cpu_seconds(filter: Callable) -> float:
    """Return the time of a call, the mean of as many as take a second."""
    x = np.random.default_rng(0).random((TIMED,) * 3, np.float32)
    compiled = jax.jit(filter)
    jax.block_until_ready(compiled(x))
    used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime  # noqa: E731
    start, calls = used(), 0
    while used() - start < 1.0:
        jax.block_until_ready(compiled(x))
        calls += 1
    return (used() - start) / calls


def times_median(seconds: float | None, median: float) -> str:
    if seconds is None:
        return ""
    ratio = seconds / median
    return f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.1g}'):.0f}"


def rows(scan: str, truth: np.ndarray, unit_of_time: float) -> Iterator[tuple[str, np.ndarray, float | None]]:
    """Yield what each filter and threshold takes for pores, and the filter's time."""
    image = lx.simulated_scan(truth.shape, **SCANS[scan].options)
    x = np.asarray(image[...], np.float32)
    for name, (filter, thresholds) in filters(float(lx.measure.noise(x))).items():
        if SCANS[scan].rows and name not in SCANS[scan].rows:
            continue
        smooth = x if filter is None else np.asarray(jax.jit(filter)(x))
        seconds = None if filter is None else unit_of_time if name.startswith("median") else cpu_seconds(filter)
        for threshold in thresholds:
            yield f"{name}, {threshold.__name__.replace('_', ' ').replace('otsu', 'Otsu')}", threshold(smooth), seconds
    if not SCANS[scan].rows:
        yield "trees trained by strokes in two slices", by_scribbles(x, truth), None


def signed(value: float, digits: int, unit: str = "") -> str:
    return f"{value:+.{digits}f}{unit}".replace("-", "−")


def table(scan: str, truth: np.ndarray, true: dict[str, float], unit_of_time: float) -> Iterator[str]:
    yield "| filter, threshold | porosity [units] | surface | formation factor | permeability | voxels wrong | time |"
    yield "|---|---|---|---|---|---|---|"
    for name, pores, seconds in rows(scan, truth, unit_of_time):
        # What noise leaves of the grains of a poor scan conducts nothing that a solver could find.
        found = measured(pores, truth, flow=not (name.startswith("none") and scan == "poor"))
        relative = {key: 100 * (found[key] / true[key] - 1) for key in found if true[key]}
        cells: list[Any] = [
            name,
            signed(100 * (found["porosity"] - true["porosity"]), 1),
            signed(relative["surface"], 0, " %"),
        ]
        cells += [signed(relative[key], 0, " %") if key in found else "" for key in ("factor", "permeability")]
        cells += [f"{100 * found['wrong']:.1f} %", times_median(seconds, unit_of_time)]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    unit_of_time = cpu_seconds(partial(lx.ops.median, radius=1))
    for scan in sys.argv[1:] or SCANS:
        clean = lx.simulated_scan(SCANS[scan].shape, **SCANS[scan].options | {"noise": 0.0, "blur": 0.0})
        truth = np.asarray(clean[...]) < 30_000
        true = measured(truth, truth)
        print(scan, {key: f"{value:.4g}" for key, value in true.items()}, flush=True)
        page, lines = PAGE.read_text(encoding="utf-8"), []
        for line in table(scan, truth, true, unit_of_time):
            print(line, flush=True)
            lines.append(line)
        head, rest = page.split(f"<!-- {scan}: begin -->\n")
        _, tail = rest.split(f"<!-- {scan}: end -->")
        page = f"{head}<!-- {scan}: begin -->\n" + "\n".join(lines) + f"\n<!-- {scan}: end -->{tail}"
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
