"""A program that starts pyramids and algorithms of passes which are killed before their time; `test_killed_passes` drives it.

Its argument is a list of runs. It imports lithax once and forks for every run, and writes how each of them ended.
"""

import sys
from pathlib import Path

import lithax as lx

sys.path.insert(0, str(Path(__file__).parent))
from killed_runs import Moments, fork_each, watch_storage

sys.path.pop(0)


def smallest_neighbour(whole):
    """The image less the least of it: a scratch image, a measurement of that, and the result."""
    (halved,) = yield lx.passes.OperationPass("halve", lambda v: v // 2, whole.images, scratch=True)
    found = yield lx.passes.MeasurementPass("extremes", lx.measure.MinimumMaximum(), (halved,))
    least = int(found.minimum)
    yield lx.passes.OperationPass("subtract", lambda v: v - least, (halved,))


def run(kind, folder, moment=None, count=1):
    """Do, or go on with, one kind of work; get killed when `moment` comes for the `count`-th time."""
    watch_storage(Moments(moment, count, "kill"))
    image = lx.open(folder / "in")
    options = {"progress": False, "workers": 2, "resume": True}
    if kind == "passes":
        lx.run_passes(smallest_neighbour, image, store=folder / "out", resume_key="1", **options)
    else:
        lx.pyramid(image, *([folder / "out"] if kind == "group" else []), smallest=5, chunks=3, **options)


if __name__ == "__main__":
    fork_each(run)
