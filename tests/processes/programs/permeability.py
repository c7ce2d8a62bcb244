"""Permeability of an image on the devices of all processes; refused under MPI alone."""

import sys
from pathlib import Path

import lithax as lx

folder, kind = Path(sys.argv[1]), sys.argv[2]
world = lx.runtime.connect(kind)
image = lx.open(folder / "rock")
try:
    options = {"pore": 0, "permeability": {2: 0.01}, "axis": "y", "reservoir": int(sys.argv[3]), "tolerance": 1e-3}
    found = lx.solve.permeability(image, fields=True, **options)
except RuntimeError as error:
    if world.first:
        print(error)
else:
    assert len(set(world.gather(float(found.value)))) == 1
    lx.save(found.pressure, folder / "pressure", like=image)
    numbers = [float(found.value), int(found.iterations), found.porosities.percolating, found.narrow_share]
    if world.first:
        print(*numbers, found.breakthrough_diameter)
