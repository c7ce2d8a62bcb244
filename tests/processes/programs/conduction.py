"""Conductivity of an image and its gradient, on the devices of all processes; refused under MPI alone."""

import sys
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

import lithax as lx

folder, kind = Path(sys.argv[1]), sys.argv[2]
options = {"pore": 0, "values": {0: 1.0, 1: 0.01}, "fluid": 1.0, "reservoir": int(sys.argv[3]), "tolerance": 1e-6}
world = lx.runtime.connect(kind)
image = lx.open(folder / "rock")
try:
    result = lx.solve.conductivity(image, fields=True, gradient=folder / "slope", **options)
except RuntimeError as error:
    if world.first:
        print(error)
else:
    assert len(set(world.gather(float(result.value)))) == 1
    again = lx.solve.conductivity(image, x0=result, **options)
    coarse = lx.solve.conductivity(image, x0=np.zeros((1, 5, 11), "f4"), **options)
    found = [float(result.value), int(result.iterations), int(again.iterations), float(coarse.value)]
    found += [float(v.sum()) for v in result.flux]
    lx.save(result.potential, folder / "potential", like=image)
    field = jax.jit(lambda v: jnp.where(v == 0, jnp.float32(1), jnp.float32(0.01)))(lx.shard(image))
    of_field = {"shape": image.shape, **{name: options[name] for name in ("fluid", "reservoir", "tolerance")}}
    slope = jax.grad(lambda s: lx.solve.conductivity(s, **of_field).value)(field)
    lx.save(slope, folder / "slope by jax", like=image)
    if world.first:
        print(*found)
