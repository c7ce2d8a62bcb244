"""Conductivity of an image and its gradient, on the devices of all processes; refused under MPI alone."""

import sys
from pathlib import Path

import numpy as np

import lithax as lx

folder, kind = Path(sys.argv[1]), sys.argv[2]
world = lx.runtime.connect(kind)
image = lx.open(folder / "rock")
try:
    result = lx.solve.conductivity(image, pore=0, values={0: 1.0, 1: 0.01}, tolerance=1e-6, gradient=folder / "slope")
except RuntimeError as error:
    if world.first:
        print(error)
else:
    assert len(set(world.gather(float(result.value)))) == 1
    if world.first:
        print(repr(float(result.value)), float(np.sum(result.gradient[...])))
