"""Cells of a notebook, run on the engines of ipyparallel, which MPI started."""

import json
import os
import sys
from pathlib import Path

import ipyparallel
from IPython.core.interactiveshell import InteractiveShell

folder = sys.argv[1]
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where mpiexec is

PREPARE = f"""
import lithax as lx
from functools import partial
world = lx.runtime.connect("mpi")
again = lx.runtime.connect()
folder = {folder!r}
scan = lx.open(folder + "/scan")
"""
FILTER = """
out = lx.chunk_map(partial(lx.ops.gaussian, sigma=0.8), scan, store=folder + "/out", progress=False)
moments = repr(lx.chunk_reduce(lx.measure.Moments(), out, progress=False))
"""
FAIL = """
lx.chunk_map(partial(lx.ops.gaussian, sigma=1.0 + world.index, radius=2), scan, store=folder + "/bad", progress=False)
"""
ALONE = """
alone = lx.open(folder + "/out", world=lx.runtime.SerialWorld())
counted = int(lx.measure.histogram(alone).counts.sum()) if world.first else None
drawn = lx.viz.OrthogonalViewer(out, window=False) if world.first else None
"""
FOUND = "found = (world.index, world.count, again is world, moments, out.content_hash(), counted)"

with ipyparallel.Cluster(engines="mpi", n=4, log_level=40) as client:
    view = client[:]
    view.block = True
    shell = InteractiveShell.instance()
    view.activate()

    def cell(text: str) -> None:
        shell.run_cell_magic("px", "--block", text)

    cell(PREPARE)
    cell(FILTER)
    try:
        cell(FAIL)
    except ipyparallel.error.AlreadyDisplayedError as shown:
        failed = [text for _, text, *_ in shown.original_error.elist]
    else:
        raise AssertionError("the cell should have failed")
    cell(ALONE)  # after the failure the engines still work together
    cell(FOUND)
    everyone = sorted(view["found"])
print(json.dumps({"failed": failed, "found": everyone}))
