"""A loss over images in several processes, one of which does something else than the others."""

import sys
import time
from functools import partial

import jax
import numpy as np

import lithax as lx

kind, folder, case = sys.argv[1:]
world = lx.runtime.connect(kind)
voxels = np.arange(6**3, dtype="f4").reshape(6, 6, 6) / 6**3
image = lx.from_array(voxels, chunks=3, store=f"{folder}/image.zarr", overwrite=True)
loss = partial(lx.measure.MeanSquaredError, model=lambda p, v: p * v)
f = lx.chunk_loss(loss(), image, image, timeout=2.0)
g = lx.chunk_loss(loss(), image, image, timeout=2.0)
mean = float(np.mean(voxels.astype("f8") ** 2))
last = world.index == world.count - 1

both = jax.jit(lambda p: f(p) + 2 * g(p))
assert abs(float(both(3.0)) - 12 * mean) < 1e-5  # in the precision of float32
assert abs(float(jax.jit(jax.grad(f))(3.0)) - 4 * mean) < 1e-5
print(f"process {world.index} is ready", file=sys.stderr, flush=True)

if case == "another order":
    jax.jit(lambda p: g(p) + 2 * f(2 * p) if last else f(p) + 2 * g(2 * p))(1.0).block_until_ready()
elif case == "another parameter":
    f(1.0 + last)
elif case == "a gradient":
    (jax.grad(f) if last else f)(1.0)
elif case == "left out by the compiler":

    @jax.jit
    def twice(p):
        first = f(p)
        return f(2 * p) + (0 if last else first)

    twice(1.0).block_until_ready()
    f(5.0)
elif case == "one fewer, and the end":
    if not last:
        jax.jit(f)(1.0).block_until_ready()
elif case == "one fewer, and something else":
    if last:
        lx.measure.porosity(image > 0.5)
    else:
        f(1.0)
elif case == "one fewer, and gather":
    world.gather(world.index) if last else f(1.0)
    world.barrier()
elif case == "late":
    if last:
        time.sleep(4)
    jax.jit(f)(1.0).block_until_ready()
elif case == "never":
    if last:
        time.sleep(600)
    jax.jit(f)(1.0).block_until_ready()
elif case == "never, and caught":
    if last:
        time.sleep(600)
    try:
        f(1.0)
    except lx.errors.ProcessFailure as error:
        print(error, file=sys.stderr)
