"""A program that starts inversions which are killed before their time; `test_killed` drives it.

Its argument is a list of runs. It imports lithax once and forks for every run, and writes how each of them ended.
"""

import sys
from pathlib import Path

import lithax as lx

sys.path.insert(0, str(Path(__file__).parent.parent / "images"))
from killed_runs import Moments, fork_each, watch_storage

sys.path.pop(0)


def run(kind, folder, moment=None, count=1):
    """Invert the scans of a folder, or run the study in it; get killed when `moment` comes for the `count`-th time."""
    study = lx.open(folder / "study")
    coefficients = study.coefficients
    watch_storage(Moments(moment, count, "kill"))
    if kind == "study":
        study.run(resume=True, progress=False, workers=2)
        return
    store = folder / "out"
    options = {"voxel_noise": (0.01, 0.005), "seed": 7, "store": store, "resume": store.exists()}
    lx.dect.invert(study.low, study.high, coefficients, workers=2, progress=False, **options)


if __name__ == "__main__":
    fork_each(run)
