"""A dual-energy study made, run and changed, and an inversion beside it: the script that also runs in one process."""

import json
import sys
from pathlib import Path

import numpy as np

import lithax as lx
from lithax.dect import Calibration, Standard, Study, material

kind, folder = sys.argv[1], Path(sys.argv[2])
world = lx.runtime.connect(kind)

# (CT0, A, B, n) as of a medical scanner, and what it sees of standards and of a rock.
ENERGIES = ((0.0, 0.19, 4.8e-5, 3.2), (0.0, 0.165, 1.6e-5, 3.1))
standards = []
for name in ("water", "quartz", "aluminium"):
    made = material(name)
    levels = [made.electron_density * (a + b * made.composition.mean_power(n)) for _, a, b, n in ENERGIES]
    standards.append(Standard(made, [(level, 1e-4) for level in levels]))
calibration = Calibration(Standard(None, [(0.0, 1e-4), (0.0, 1e-4)]), standards)
random = np.random.default_rng(4)
density, number = random.uniform(1, 3, (14, 12, 10)), random.uniform(7, 16, (14, 12, 10))
scans = [
    lx.from_array((density * (a + b * number**n)).astype("f4"), 5, folder / name)
    for name, (_, a, b, n) in zip(("low", "high"), ENERGIES, strict=True)
]

study = Study.create(folder / "study", *scans, calibration, draws=30, seed=3)
first = study.run(progress=False)
print(*study.set(quantiles=[0.05]), file=sys.stderr)
second = lx.open(folder / "study").run(progress=False)
assert lx.open(folder / "study").stale() == ()
noisy = lx.dect.invert(
    *scans, study.coefficients, voxel_noise=(0.01, 0.005), seed=7, store=folder / "noisy", progress=False
)
found = {
    "median": second.atomic_number.median.content_hash(),
    "quantile": second.electron_density.quantiles[0.05].content_hash(),
    "noisy": noisy.electron_density.median.content_hash(),
    "settings": study.settings,
}
assert all(other == found for other in world.gather(found))
if world.first:
    print(json.dumps(found))
