"""The Finney pack: a measured random close packing of equal spheres."""

import functools
import importlib.resources

import numpy as np
from jaxtyping import Float


@functools.cache
def finney_pack() -> Float[np.ndarray, "4021 3"]:
    """Return the sphere centres of Finney's random close packing, in units of the sphere radius.

    The pack fills a ball of radius 18.5 around the origin. Its spheres were measured, so a few of
    them overlap their neighbours by up to 0.03.

    Returns
    -------
        x, y, z of 4021 centres [sphere radius]; read-only.

    References
    ----------
    J. L. Finney, Random packings and the structure of simple liquids. I. The geometry of random
    close packing, Proceedings of the Royal Society A 319 (1970) 479-493. doi:10.1098/rspa.1970.0189
    J. L. Finney, Finney packing of spheres, Digital Rocks Portal, project 47. doi:10.17612/P78G69
    """
    file = importlib.resources.files("lithax.generate") / "_data" / "finney_pack.csv"
    with file.open(encoding="utf-8") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=2, dtype=np.float64)
    centers = np.ascontiguousarray(table[:, :3])
    centers.flags.writeable = False
    return centers
