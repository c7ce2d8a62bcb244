"""Closed forms and tables of slow viscous flow, to hold permeabilities against.

A `permeability` here is that of the opening alone, or of the periodic cell for arrays of grains:
multiply by the share of the section that is open where an image has walls around the opening.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slit:
    """Flow between two parallel walls."""

    width: float
    """Distance of the walls."""

    @property
    def permeability(self) -> float:
        """h² / 12 [width²]."""
        return self.width**2 / 12


@dataclass(frozen=True)
class RectangularDuct:
    """Flow along a duct of rectangular section."""

    width: float
    height: float

    @property
    def permeability(self) -> float:
        """0.0351443 a² for a square [width²]. White, Viscous Fluid Flow, 3rd ed. (2006), eq.
        3-48.
        """
        short, long = sorted((self.width, self.height))
        odd = np.arange(1, 400, 2)
        lost = np.sum(np.tanh(odd * np.pi * long / (2 * short)) / odd**5.0)
        return float(short**2 / 12 * (1 - 192 * short / (np.pi**5 * long) * lost))


@dataclass(frozen=True)
class Tube:
    """Flow along a tube of circular section."""

    radius: float

    @property
    def permeability(self) -> float:
        """R² / 8 [radius²]."""
        return self.radius**2 / 8


@dataclass(frozen=True)
class EllipticTube:
    """Flow along a tube of elliptic section with the two semi-axes."""

    a: float
    b: float

    @property
    def permeability(self) -> float:
        """a² b² / (4 (a² + b²)) [length²]."""
        return self.a**2 * self.b**2 / (4 * (self.a**2 + self.b**2))


@dataclass(frozen=True)
class TriangularTube:
    """Flow along a tube whose section is an equilateral triangle."""

    side: float

    @property
    def permeability(self) -> float:
        """a² / 80 [side²]."""
        return self.side**2 / 80


@dataclass(frozen=True)
class SphereArray:
    """Simple cubic array of spheres that fill a share of their cells.

    Zick and Homsy, Stokes flow through periodic arrays of spheres, J. Fluid Mech. 115 (1982) 13,
    table 2: drag K relative to Stokes', interpolated (cubic, log K over the cube root of the
    share).
    """

    solid_fraction: float
    edge: float = 1.0
    """Length of the cell."""

    @property
    def radius(self) -> float:
        return (3 * self.solid_fraction / (4 * math.pi)) ** (1 / 3) * self.edge

    @property
    def drag(self) -> float:
        """Drag on a sphere over 6 π μ a U [-]; from a solid fraction of 0.064 up to touching
        spheres.
        """
        share = np.array([0.064, 0.125, 0.216, 0.343, 0.45, math.pi / 6]) ** (1 / 3)
        if not share[0] ** 3 - 1e-12 <= self.solid_fraction <= share[-1] ** 3 + 2e-3:
            raise ValueError(f"solid_fraction={self.solid_fraction} is outside the table, 0.064 to 0.5236.")
        logarithms = np.log([2.810, 4.292, 7.442, 15.4, 28.1, 42.1])
        return float(np.exp(_lagrange(share, logarithms, self.solid_fraction ** (1 / 3))))

    @property
    def permeability(self) -> float:
        """2 a² / (9 c K) [edge²]."""
        return 2 * self.radius**2 / (9 * self.solid_fraction * self.drag)

    def image(self, voxels: int) -> np.ndarray:
        """Return a cell of voxels, True between the spheres; a voxel is solid if its centre is."""
        x = (np.arange(voxels) + 0.5 - voxels / 2) ** 2
        squared = x[:, None, None] + x[None, :, None] + x[None, None, :]
        return squared > (self.radius / self.edge * voxels) ** 2


@dataclass(frozen=True)
class CylinderArray:
    """Flow across a square array of circular cylinders.

    Sangani and Acrivos, Slow flow past periodic arrays of cylinders, Int. J. Multiphase Flow 8
    (1982) 193, table 1: drag F per length over μ U.
    """

    solid_fraction: float
    """One of 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6."""
    edge: float = 1.0

    @property
    def permeability(self) -> float:
        """edge² / F [edge²]."""
        table = {0.05: 15.56, 0.1: 24.83, 0.2: 51.53, 0.3: 102.90, 0.4: 217.89, 0.5: 532.55, 0.6: 1763.0}
        if self.solid_fraction not in table:
            raise ValueError(f"solid_fraction={self.solid_fraction} must be one of {sorted(table)}.")
        return self.edge**2 / table[self.solid_fraction]

    def image(self, voxels: int) -> np.ndarray:
        """Return a cell, one voxel thick along z, True between the cylinders."""
        x = (np.arange(voxels) + 0.5 - voxels / 2) ** 2
        radius = math.sqrt(self.solid_fraction / math.pi) * voxels
        return (x[:, None] + x[None, :] > radius**2)[:, :, None]


@dataclass(frozen=True)
class BrinkmanChannel:
    """A channel filled with a porous medium, flow by −∇p = μ u / K − μ ∇²u between no-slip
    walls.
    """

    half_width: float
    matrix: float
    """Permeability K of the medium [half_width²]."""

    @property
    def permeability(self) -> float:
        """K [1 − tanh(H/√K) / (H/√K)] [half_width²]. Brinkman, Appl. Sci. Res. A1 (1949) 27."""
        ratio = self.half_width / math.sqrt(self.matrix)
        return self.matrix * (1 - math.tanh(ratio) / ratio)


@dataclass(frozen=True)
class SlitBetweenLayers:
    """An open slit between layers of a porous medium, periodic across: flow by
    Darcy–Brinkman–Stokes.
    """

    opening: float
    layer: float
    """Thickness of the layer between one slit and the next."""
    matrix: float
    """Permeability K of the layer."""

    @property
    def permeability(self) -> float:
        """[h³/12 + (h² √K / 2) coth(t / 2√K) + 2 h K + t K] / (h + t), velocity and stress
        continuous.
        """
        h, t, root = self.opening, self.layer, math.sqrt(self.matrix)
        flux = h**3 / 12 + h**2 * root / 2 / math.tanh(t / (2 * root)) + 2 * h * self.matrix + t * self.matrix
        return flux / (h + t)


def _lagrange(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """Interpolate by the cubic through the four points around `at`."""
    first = int(np.clip(np.searchsorted(x, at) - 2, 0, len(x) - 4))
    x, y = x[first : first + 4], y[first : first + 4]
    return sum(y[i] * np.prod([(at - x[j]) / (x[i] - x[j]) for j in range(4) if j != i]) for i in range(4))
