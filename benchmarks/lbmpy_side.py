"""lbmpy, compiled lattice Boltzmann on the CPU: all voxels, D3Q19, two relaxation times with Λ = 3/16, no slip by bounce-back."""

from importlib.metadata import version

import numpy as np
from lbmpy import LBStencil
from lbmpy.boundaries import NoSlip
from lbmpy.enums import ForceModel, Method, Stencil
from lbmpy.scenarios import create_fully_periodic_flow

RATE, FORCE = 1.0, 1e-6
VISCOSITY = (1 / RATE - 0.5) / 3
AT_ONCE = 100


def versions():
    return lambda: {name: version(name) for name in ("lbmpy", "pystencils", "numpy")}


def permeability(pores, tolerance):
    """Steps until k along x of a periodic image stays within the tolerance of where it ends, found beforehand."""
    image = np.load(pores).astype(bool)
    flow = _flow(image)
    found = []
    while len(found) < 8 or abs(found[-1] / found[-5] - 1) > tolerance / 50:
        flow.run(AT_ONCE)
        found.append(_k(flow, image))
    away = np.abs(np.array(found) / found[-1] - 1) > tolerance
    enough = int(np.flatnonzero(away)[-1]) + 2 if away.any() else 1

    def run():
        flow.data_handling.fill(flow.velocity_data_name, 0.0)
        flow.set_pdf_fields_from_macroscopic_values()
        flow.run(enough * AT_ONCE)
        return {"k": _k(flow, image), "steps": enough * AT_ONCE}

    return run


def _flow(image):
    flow = create_fully_periodic_flow(
        np.zeros((*image.shape, 3)), method=Method.TRT, stencil=LBStencil(Stencil.D3Q19), relaxation_rate=RATE,
        force=(FORCE, 0, 0), force_model=ForceModel.SIMPLE, compressible=False, zero_centered=True,
    )  # fmt: skip

    def solid(*centres):
        places = (np.clip(np.floor(c).astype(int), 0, n - 1) for c, n in zip(centres, image.shape, strict=True))
        return ~image[tuple(places)]

    flow.boundary_handling.set_boundary(NoSlip(), mask_callback=solid)
    return flow


def _k(flow, image):
    """[voxel²]; its velocity is that after a step, a whole push beyond that between two."""
    velocity = np.where(image, np.asarray(flow.velocity[:, :, :, 0]), 0.0)
    return float((velocity.mean() - FORCE * image.mean()) * VISCOSITY / FORCE)


CASES = {"versions": versions, "permeability": permeability}
