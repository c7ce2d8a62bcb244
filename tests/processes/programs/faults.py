"""What may go wrong between processes that work on one image: each line that is written says what a process saw."""

import sys
from pathlib import Path

import lithax as lx
from lithax import runtime
from lithax.errors import ResumeError

folder = Path(sys.argv[1])
world = runtime.connect(sys.argv[2])

# The processes write planes of one shard, and attributes, by turns.
image = lx.open(folder / "shard.zarr")
for plane in range(world.index, image.shape[0], world.count):
    image[plane] = plane + 1
    image[plane, 0, 0] = 100 + plane
    image.attrs[f"plane {plane}"] = plane
image.update(description="by all", voxel_unit="mm")  # one call of all processes
world.barrier()


def double(v):
    return v * 2


options = {"store": folder / "out.zarr", "resume": True, "resume_key": "double", "progress": False}
for turn in ("at first", "again"):
    found = lx.chunk_map(double, lx.open(folder / "scan.zarr"), **options)
    print(f"{turn}: {world.index} has {int(found[0, 0, 0])}")
world.barrier()
if world.first:
    scan = lx.open(folder / "scan.zarr")
    scan[0, 0, 0] = 7
world.barrier()
try:
    lx.chunk_map(double, lx.open(folder / "scan.zarr"), **options)
except ResumeError as error:
    print(f"refused: {world.index}: {error}".replace("\n", " "))
