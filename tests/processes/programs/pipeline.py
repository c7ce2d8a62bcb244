"""From a raw file to filtered images and numbers: the script that also runs in one process."""

import json
import sys
from functools import partial
from pathlib import Path

import lithax as lx

kind, folder = sys.argv[1], Path(sys.argv[2])
world = lx.runtime.connect(kind)
quiet = {"progress": False}

scan = lx.import_raw(folder / "scan.raw", (24, 20, 22), "u2", chunks=6, store=folder / "scan", voxel_length=2.0)
steps = lx.chain(partial(lx.ops.median, radius=1), partial(lx.ops.gaussian, sigma=0.8))
smooth = lx.chunk_map(steps, scan, store=folder / "smooth", chunks=4, shards=8, **quiet)
pores = lx.chunk_map(lambda v: v < 100, smooth, store=folder / "pores", **quiet)
smooth += 1
region = lx.regions.Sphere((24, 20, 22), 18)
inside = lx.regions.inside(scan, region, store=folder / "inside")
copy = smooth.copy(folder / "copy", chunks=10)
copy.update(description="a copy")
moments = lx.chunk_reduce(lx.measure.Moments(), smooth, where=region, **quiet)
loss = lx.measure.MeanSquaredError(model=lambda p, v: p["gain"] * v)
value, gradient = lx.chunk_value_and_grad(loss, {"gain": 1.5}, smooth, copy, **quiet)
connected = lx.connectivity(pores, where=region, **quiet)
copy.export_raw(folder / "copy.raw")
if world.first:
    print("drawn by one alone", smooth[12, :, :].mean(), pores[0, 0, 0], file=sys.stderr)

found = {
    "hashes": [image.content_hash() for image in (scan, smooth, pores, inside, copy)],
    "description": lx.open(folder / "copy").description,
    "moments": repr(moments),
    "loss": [float(value).hex(), float(gradient["gain"]).hex()],
    "connected": repr(connected),
}
assert all(other == found for other in world.gather(found))
if world.first:
    print(json.dumps(found))
