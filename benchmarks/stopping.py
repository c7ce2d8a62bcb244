"""``python -m benchmarks.stopping``: does a solve end within what was asked? Media drawn at random, against tight solves in double precision.

``--flow`` asks it of the permeability of the binary ones, against a solve a hundred times as tight; ``--thresholds`` of
scans drawn at random, each at six thresholds, all but the largest pore space started from the one before.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

import lithax as lx
from benchmarks.media import Drawn, media, scans


def conduction(drawn: Drawn, tolerance: float) -> tuple[int, float, bool] | None:
    """Return the iterations, the relative error, and whether it was said to have converged; None if nothing conducts."""
    options = dict(axis="all" if "loading" in drawn.options else "x", throw=False, **drawn.options)
    tight = lx.solve.conductivity(drawn.array.astype("f8"), tolerance=1e-9, max_iterations=400, **options)
    exact = np.asarray(tight.value)
    if exact.max() <= 0 or not np.all(tight.converged):
        return None
    found = lx.solve.conductivity(drawn.array, tolerance=tolerance, **options)
    error = float(np.max(np.abs(np.asarray(found.value) / exact - 1)))
    return int(np.max(found.iterations)), error, bool(np.all(found.converged))


def flow(drawn: Drawn, tolerance: float) -> tuple[int, float, bool] | None:
    """Return the same for the permeability; None where the medium is not binary, or nothing flows."""
    if drawn.array.dtype != bool or "loading" in drawn.options:
        return None
    given = dict(drawn.options)
    if given.pop("ends", None) == "periodic":
        given = {"ends": "periodic", "sides": "periodic"}
    options = dict(axis="x", throw=False, **given)
    tight = lx.solve.permeability(drawn.array, tolerance=tolerance / 100, max_iterations=400, **options)
    exact = float(np.asarray(tight.value))
    if exact <= 0 or not np.all(tight.converged):
        return None
    found = lx.solve.permeability(drawn.array, tolerance=tolerance, **options)
    return int(np.max(found.iterations)), abs(float(np.asarray(found.value)) / exact - 1), bool(np.all(found.converged))


def thresholds(seed: int, each: int, tolerance: float) -> Iterator[tuple[Drawn, tuple[int, float, bool]]]:
    """Yield the same for each threshold of a series, but for the largest pore space, whose solve starts from nothing."""
    for number, drawn in enumerate(scans(seed, each)):
        rng = np.random.default_rng(number)
        largest = rng.uniform(0.3, 0.5)
        shares = np.linspace(largest - rng.uniform(0.1, 0.18), largest, 6)
        levels = np.quantile(drawn.array, 1 - shares)
        table = lx.solve.threshold_sweep(drawn.array, levels, pores="brighter", tolerance=tolerance, **drawn.options)
        for n, level in enumerate(levels[:-1]):
            exact = lx.solve.conductivity(drawn.array > level, tolerance=tolerance / 500, throw=False, **drawn.options)
            if float(exact.value) > 0:
                error = abs(float(exact.formation_factor) / table.formation_factor[n] - 1)
                yield drawn, (int(table.iterations[n]), error, bool(table.converged[n]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--each", type=int, default=2, help="media of every kind for every setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=5e-3)
    parser.add_argument("--thresholds", action="store_true", help="series of thresholds instead of single media")
    parser.add_argument("--flow", action="store_true", help="permeability instead of conduction")
    options = parser.parse_args()
    rows: dict[str, list[tuple[int, float, bool]]] = defaultdict(list)
    if options.thresholds:
        solves = thresholds(options.seed, options.each, options.tolerance)
    else:
        solve = flow if options.flow else conduction
        solves = ((drawn, solve(drawn, options.tolerance)) for drawn in media(options.seed, options.each))
    for drawn, found in solves:
        if found is None:
            continue
        setting = ", ".join(f"{name} {value}" for name, value in drawn.options.items()) or "cubes"
        for name in (drawn.kind, f"{'×'.join(map(str, drawn.array.shape))}, {setting}", "all"):
            rows[name].append(found)
        if found[1] > options.tolerance:
            print(f"beyond: {drawn.kind}, {setting}: {found[1]:.4f} after {found[0]}", file=sys.stderr, flush=True)
    print(
        f"| media | number | iterations, mean | most | largest error / {options.tolerance:g} | beyond |\n|---|---:|---:|---:|---:|---:|"
    )
    for name, found in rows.items():
        counts, errors, _ = zip(*found, strict=True)
        beyond = sum(error > options.tolerance for error in errors)
        print(
            f"| {name} | {len(found)} | {np.mean(counts):.2f} | {max(counts)} | {max(errors) / options.tolerance:.2f} | {beyond} |"
        )


if __name__ == "__main__":
    main()
