"""What can be done with images, once: the script that also runs in one process."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

import lithax as lx
from lithax.images import export_file, import_file

kind, folder = sys.argv[1], Path(sys.argv[2])
world = lx.runtime.connect(kind)
assert lx.runtime.connect() is lx.runtime.connect(kind) is world
if len(sys.argv) > 3:  # each process computes on several devices
    chosen = lx.runtime.using(devices=list(map(int, sys.argv[3].split(","))))
    assert len(chosen.__enter__()) == len(lx.runtime.devices()) > 1
quiet = {"progress": False}
rng = np.random.default_rng(5)
SHAPE = (21, 18, 25)


@lx.voxel_op(context=True)
def seen(values, *, block):
    """Noise that hangs on the voxel, not on who computes it."""
    return values + lx.generate.hash_noise(block.seed, *block.index(values))


grey = rng.integers(0, 1000, SHAPE).astype("u2")

# Making images.
scan = lx.from_array(grey, 5, folder / "scan", voxel_length=2.0, voxel_unit="um")
blank = lx.zeros(SHAPE, "f4", chunks=4, shards=8, store=folder / "blank", voxel_length=2.0, voxel_unit="um")
like = lx.full_like(scan, 7, store=folder / "like")
pack = lx.sphere_pack((24, 20, 16), chunks=6, store=folder / "pack", sphere_radius=0.9)
by_count = lx.ones((20, 20, 20), "u1", chunks="nprocs", store=folder / "by_count")

# Changing them in place.
blank.fill(2.5)
blank.apply("add", scan, where=lx.regions.Sphere((20, 18, 24), 14), **quiet)
like += 3
like.apply("maximum", scan, where=lx.domain(exclude=grey > 800), **quiet)
lx.arith.subtract(blank, 1, out=blank, **quiet)
blank.update(field_name="density", field_unit="g/cm3")

# Several outputs, other chunks, other grids of voxels.
low, high = lx.chunk_map(lambda v: (v < 300, v > 700), scan, store=(folder / "low", folder / "high"), chunks=7, **quiet)
noisy = lx.chunk_map(seen, scan, seed=3, store=folder / "noisy", **quiet)
rechunked = blank.copy(folder / "rechunked", chunks=10, shards=20)
region = lx.regions.Sphere((20, 18, 24), 14) & ~lx.regions.Cylinder((20, 18, 0), (0, 0, 1), 4)
inside = lx.regions.inside(scan, region, store=folder / "inside")
masked = lx.chunk_map(partial(lx.ops.gaussian, sigma=0.8), scan, where=region, store=folder / "masked", **quiet)
coarse = lx.chunk_map(lx.ops.coarsen("mean"), scan, store=folder / "coarse", **quiet)
lx.pyramid(scan, smallest=8, **quiet)

# Measuring.
phases = lx.domain(segmentation=lx.chunk_map(lambda v: (v // 400).astype("u1"), scan, store=folder / "phases", **quiet))
measured = {
    "histogram": lx.measure.histogram(scan, 64).counts.tolist(),
    "by phase": {str(k): v.counts.tolist() for k, v in lx.measure.histogram(scan, 8, where=phases).phases.items()},
    "floats": repr(lx.measure.histogram(masked, 16, where=region).counts.tolist()),
    "moments": repr(lx.measure.moments(blank)),
    "extremes": repr(lx.measure.minimum_maximum(blank)),
    "mean": float(lx.measure.mean(rechunked)).hex(),
    "otsu": repr(lx.measure.otsu(scan)),
    "porosity": repr(lx.measure.porosity(low)),
    "fractions": repr(lx.measure.phase_fractions(pack)),
    "profile": repr(lx.measure.profile(scan, axis=2)),
    "connected": repr(lx.connectivity(pack, phases=0, **quiet)),
    "verified": repr(lx.verify(folder / "scan", **quiet).defects),
}

# Files.
for name in ("a.raw", "a.npy", "a.tif"):
    export_file(scan, folder / name)
    again = import_file(folder / name, store=folder / f"from_{name}.zarr", chunks=6)
    assert np.array_equal(again[...], grey), name

images = [
    scan,
    blank,
    like,
    pack,
    low,
    high,
    noisy,
    rechunked,
    inside,
    masked,
    coarse,
    *lx.open(folder / "scan").levels[1:],
]
found = {"hashes": [image.content_hash() for image in images], "by_count": by_count.content_hash(), **measured}
assert all(other == found for other in world.gather(found))
if world.first:
    print(json.dumps(found))
