"""The first hour of a user with files of their own: run in a folder, once and once more; prints what was found."""

import json
import locale
import sys
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optimistix
import tifffile
from click.testing import CliRunner

import lithax as lx
from lithax.cli import main

locale.setlocale(
    locale.LC_ALL, ""
)  # as programs with windows do; numbers and dates are now German to C and to strftime

changed = len(sys.argv) > 1
rng = np.random.default_rng(5 + changed)
pore = np.kron(rng.random((8, 8, 8)) < 0.3, np.ones((4, 4, 4), bool))
grey = np.where(pore, 9000, 30000) + rng.normal(0, 900, pore.shape)
voxels = grey.round().astype("u2")
tifffile.imwrite("Probe süß.tif", voxels.T, photometric="minisblack")  # pages along z
np.save("Probe.npy", voxels)
voxels.ravel(order="F").tofile("Probe.raw")


def command(*words):
    done = CliRunner().invoke(main, [*words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


# Every file is opened by the same word, lazily, and measured without a store.
place = {"voxel_length": 5.0, "voxel_unit": "um"}
scans = [
    lx.open("Probe süß.tif", **place),
    lx.open("Probe.npy", **place),
    lx.open("Probe.raw", shape=pore.shape, dtype="<u2", **place),
]
threshold = 19500
found = [float(lx.measure.porosity(scan <= threshold)) for scan in scans]
assert found == [pore.mean()] * 3

# A part that knows where it lies; a condition on another condition; a store of it.
scan = scans[0].copy("scan.zarr", chunks=16, overwrite=True)
part = scan.crop(np.s_[4:20, :, 8:])
assert part.voxel_origin == (20.0, 0.0, 40.0)
pores = ((part <= threshold) & (part > 0)).copy("pores.zarr", overwrite=True)
assert float(lx.measure.porosity(pores)) == pore[4:20, :, 8:].mean()
again = lx.from_array(np.asarray(pores), like=pores)
assert again.frame == pores.frame

# A pipeline, in one pass; its levels; sound.
segment = lx.chain(partial(lx.ops.median, radius=1), lambda v: v <= threshold)
filtered = lx.chunk_map(segment, scan, store="filtered.zarr", overwrite=True, progress=False)
lx.pyramid(scan, "scan.ome.zarr", smallest=8, overwrite=True)
assert "5 um" in command("info", "scan.ome.zarr")
assert lx.verify("filtered.zarr").sound

# The inverse problem, with somebody else's optimiser.
match = lx.measure.Match(lx.measure.Porosity(), value=0.28, standard_deviation=0.005)
soft = lambda t: lx.chain(partial(lx.ops.soft_threshold, value=t * 1e4, width=2000.0), lambda s: 1 - s)  # noqa: E731
f = lx.chunk_loss(match, scan, model=soft)
fit = optimistix.minimise(lambda t, _: f(t), optimistix.BFGS(1e-3, 1e-3), jnp.asarray(1.9), max_steps=40, throw=False)
gap = lx.measure.porosity_gap(lx.chunk_map(soft(float(fit.value)), scan, progress=False), tolerance=1.0)

# From the command line, numbers with a point whatever the locale, lengths with their unit.
command("import", "Probe.npy", "by-command.zarr", "--voxel-length", "5.0um", "--overwrite", "--quiet")
assert lx.open("by-command.zarr").content_hash() == scan.content_hash()
command("export", "by-command.zarr", "out/there.tif", "--overwrite", "--quiet")
assert np.array_equal(tifffile.imread("out/there.tif").T, voxels)
shape = ",".join(map(str, pore.shape))
command(
    "report",
    "Probe.raw",
    "--shape",
    shape,
    "--dtype",
    "<u2",
    "--voxel-length",
    "5",
    "--filter",
    "none",
    "-o",
    "bericht",
    "--overwrite",
    "--quiet",
)
report = {n["key"]: n for n in json.loads(Path("bericht/report.json").read_text(encoding="utf-8"))["numbers"]}
assert report["surface.specific"]["unit"] == "1/length unit"  # a length was given, and no unit
print(
    json.dumps(
        {
            "porosity": found[0],
            "quoted": report["porosity.recommended"]["value"],
            "gap": gap.gap,
            "decimal point": locale.localeconv()["decimal_point"],
        }
    )
)
