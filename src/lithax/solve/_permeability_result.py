"""What a permeability solve returns, and how it is said."""

from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import is_traced
from lithax.solve._area_unit import square_metres
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._json_numbers import json_numbers

AXES = ("x", "y", "z")
NARROW = 0.05
"""Share of the flux through throats of one or two voxels above which an image is called coarse."""


class FlowPorosity(eqx.Module):
    """Shares of the sample's volume [-], by how they are connected through voxel faces; three of
    each that depends on the axis where ``axis="all"`` was solved one after the other.
    """

    total: float
    """Open voxels, free fluid and porous phases together: all that was imaged."""
    macro: float
    """Free fluid, resolved by voxels."""
    micro: float | None
    """Volume of pores inside voxels of porous phases, where their porosity was given."""
    accessible: Any
    """In clusters that touch an end, or wrap around a periodic image."""
    percolating: Any
    """In clusters that join the ends: what carries flow."""
    isolated: Any
    """In clusters that touch no end."""


class Permeability(eqx.Module):
    """Absolute permeability of an image by Stokes flow; `str()` is a sentence to quote.

    `value`, `value_voxel` and `tensor` are differentiable; so are `velocity` and `pressure`, where
    they were asked for. Iterations, residual, balance, flux, porosities and the error budget carry
    no derivative.
    """

    value: Any
    """Permeability [unit], one number or those along x, y and z."""
    value_voxel: Any
    """The same [voxel²]; of the geometric mean of the voxel lengths where they differ."""
    unit: str = eqx.field(static=True)
    axis: str = eqx.field(static=True)
    tensor: Any
    """k_ij [unit] for periodic boundaries along all axes; None where boundaries leave it
    undetermined.
    """
    asymmetry: Any
    """‖k − kᵀ‖ / ‖k‖ of the tensor computed from fluxes: what the solver left; `tensor` is
    symmetric [-].
    """
    value_from_flux: Any
    """k_F, from the mean velocity [voxel²]."""
    value_from_dissipation: Any
    """k_E, from the work of the viscous stress [voxel²]."""
    value_stationary: Any
    """k_L, whose error is second order: what `value_voxel` is [voxel²]."""
    flux: Any
    """Mean velocity through each slice across the flow, over that of k_L [-]; one array for each
    axis solved.
    """
    balance: Any
    """Largest departure of `flux` from its mean [-]."""
    residual: Any
    """Largest of ``|k_F − k_L|`` and ``|k_E − k_L|`` over k_L [-]."""
    gradient_change: Any
    """By how much a derivative would have changed in the last iteration, relative L2 [-]."""
    iterations: Any
    converged: Any
    porosity: Any
    """Total imaged porosity [-]; None inside a compiled function."""
    porosities: FlowPorosity | None
    narrow_share: Any
    """Share of the flux of a slice that passes throats of one or two voxels, however long, where it
    is largest [-].
    """
    error_budget: ErrorBudget
    wall: str = eqx.field(static=True)
    ends: str = eqx.field(static=True)
    sides: str = eqx.field(static=True)
    voxel_area: Any
    """Area of a reference voxel [m²]; None without a unit of length."""
    velocity: Any
    """On request: components along x, y and z at voxel centres, for a unit pressure gradient and
    viscosity [voxel²]; images, in the square of the unit of length, for an image; a list of them
    for three axes."""
    pressure: Any
    """On request: pressure at voxel centres less the mean gradient, for a unit gradient [voxel]; as
    `velocity`.
    """
    notes: tuple[str, ...] = eqx.field(static=True)
    surface: Any = None
    """Wall area per sample volume by counting voxel faces times 2/3 (isotropic staircase)
    [1/voxel]; of the geometric mean of the voxel lengths where they differ.
    """
    breakthrough_diameter: Any = None
    """Of the largest ball that passes through the free pores from end to end, and around where the
    image is periodic [voxel]; 0 where none does. Below about 10 the image is coarse for k. It
    counts voxels: where their lengths differ, the ball is an ellipsoid, as long in voxels along
    every axis. None for soft walls."""

    def to(self, unit: str) -> Any:
        """Return `value` in another unit of permeability, such as "mD".

        Raises
        ------
        ValueError
            If the image has no unit of length.
        """
        if self.voxel_area is None:
            raise ValueError(
                f"unit={unit!r} needs the voxel length, and the image has no voxel_unit: give spacing='2 um', or "
                f"image.update(voxel_length=..., voxel_unit=...). value_voxel is in voxel²."
            )
        return self.value_voxel * self.voxel_area / square_metres(unit)

    @property
    def millidarcy(self) -> Any:
        """The permeability [mD]; 1 mD = 9.869233e-16 m²."""
        return self.to("mD")

    def vertical_to_horizontal(self, core_axis: str) -> float:
        """Return kv/kh = k_core / √(k_1 k_2) with the core axis that the user names [-]; infinite
        where nothing flows across it, not a number where nothing flows at all.
        """
        if self.axis != "all":
            raise ValueError(f"kv/kh needs all three axes; this is k along {self.axis}: solve with axis='all'.")
        if core_axis not in AXES:
            raise ValueError(f"core_axis={core_axis!r} must be 'x', 'y' or 'z'.")
        k = np.asarray(self.value, float)
        others = [k[i] for i, name in enumerate(AXES) if name != core_axis]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(k[AXES.index(core_axis)] / np.sqrt(others[0] * others[1]))

    @property
    def principal_values(self) -> np.ndarray:
        """Eigenvalues of the symmetric part of the tensor, ascending [unit]."""
        return np.linalg.eigvalsh(self._symmetric())

    @property
    def principal_directions(self) -> np.ndarray:
        """Unit vectors of the principal values, as columns."""
        return np.linalg.eigh(self._symmetric())[1]

    @property
    def anisotropy(self) -> float:
        """Largest over smallest principal value [-]; infinite where the smallest is 0."""
        values = self.principal_values
        return float(values[-1] / values[0]) if values[0] > 0 else float(np.inf)

    def numbers(self) -> dict[str, Any]:
        """Return what was found as plain numbers, lists and text, as JSON has them (null: not
        finite, or not determined); "units" says in what each is counted, "-" for shares.
        """
        names = ("value", "value_voxel", "tensor", "value_from_flux", "value_from_dissipation", "value_stationary")
        found = {
            name: json_numbers(getattr(self, name))
            for name in (*names, "balance", "residual", "iterations", "converged")
        }
        if self.voxel_area is not None:
            found["millidarcy"] = json_numbers(self.millidarcy)
        if self.porosities is not None:
            found["porosities"] = {name: json_numbers(v) for name, v in vars(self.porosities).items()}
        for name in ("narrow_share", "breakthrough_diameter"):
            found[name] = json_numbers(getattr(self, name))
        budget = self.error_budget
        found["error_budget"] = {
            "solver": json_numbers(budget.solver),
            "balance": json_numbers(budget.balance),
            "grid": json_numbers(budget.grid),
            "resolution": None
            if budget.resolution is None
            else {str(k): json_numbers(v) for k, v in budget.resolution.items()},
            "segmentation": json_numbers(budget.segmentation),
        }
        words = {name: getattr(self, name) for name in ("unit", "axis", "wall", "ends", "sides")}
        units = dict.fromkeys(found, "-") | dict.fromkeys([n for n in names if n.startswith("value_")], "voxel²")
        units |= {"value": self.unit, "tensor": self.unit, "millidarcy": "mD", "breakthrough_diameter": "voxel"}
        del units["converged"]
        return found | words | {"notes": list(self.notes), "units": {n: u for n, u in units.items() if n in found}}

    @property
    def kozeny_carman(self) -> Any:
        """φ³ / (5 S²) beside k [unit], a rule of thumb; S is the wall area per volume, by voxel
        faces times 2/3.
        """
        if self.porosities is None or not self.surface:
            raise ValueError("Kozeny-Carman needs sharp pores with walls.")
        if self.voxel_area is not None:
            scale = float(self.voxel_area) / square_metres(self.unit)
        elif self.unit == "voxel²":
            scale = 1.0
        else:  # the square of a length without a unit, which k alone still knows
            scale = np.sum(np.asarray(self.value, float)) / (np.sum(np.asarray(self.value_voxel, float)) or np.nan)
        return float(self.porosities.macro**3 / (5 * self.surface**2) * scale)

    def katz_thompson(self, breakthrough_diameter: float, formation_factor: float) -> float:
        """l_c² / (226 F) beside k [unit of the diameter²]. Katz and Thompson, Phys. Rev. B 34
        (1986) 8179.
        """
        return breakthrough_diameter**2 / (226 * formation_factor)

    def johnson(self, length: float, formation_factor: float) -> float:
        """Λ² / (8 F) beside k [unit of Λ²]. Johnson, Koplik and Schwartz, Phys. Rev. Lett. 57
        (1986) 2564.
        """
        return length**2 / (8 * formation_factor)

    @property
    def rock_quality_index(self) -> float:
        """RQI = 0.0314 √(k [mD] / φ), of the mean over the axes solved [µm]. Amaefule et al., SPE
        26436 (1993).
        """
        return float(0.0314 * np.sqrt(np.mean(np.asarray(self.millidarcy)) / self._porosity()))

    @property
    def flow_zone_indicator(self) -> float:
        """FZI = RQI / (φ / (1 − φ)) [µm]. Amaefule et al., SPE 26436 (1993)."""
        porosity = self._porosity()
        return self.rock_quality_index * (1 - porosity) / porosity

    @property
    def winland_r35(self) -> float:
        """Winland's pore throat radius at 35 % mercury [µm].

        log r35 = 0.732 + 0.588 log k − 0.864 log φ, k in mD (air), φ in percent; Kolodzie, SPE 9382
        (1980).
        """
        k = float(np.mean(np.asarray(self.millidarcy)))
        if k == 0:
            return 0.0
        return float(10 ** (0.732 + 0.588 * np.log10(k) - 0.864 * np.log10(100 * self._porosity())))

    def _porosity(self) -> float:
        if self.porosity is None:
            raise ValueError("porosities are not found inside a compiled function; call permeability outside of it.")
        return float(self.porosity)

    def _tensor(self) -> Any:
        if self.tensor is None:
            raise ValueError(
                f"the off-diagonals are not determined by ends={self.ends!r} and sides={self.sides!r}; solve with "
                f"axis='all', ends='periodic', sides='periodic'."
            )
        return self.tensor

    def _symmetric(self) -> np.ndarray:
        k = np.asarray(self._tensor(), float)
        return (k + k.T) / 2

    def _of_tensor(self) -> list[str]:
        """Say what the tensor is, and its principal values."""
        entries = "; ".join(" ".join(f"{v:.4g}" for v in row) for row in np.asarray(self.tensor, float))
        directions = ", ".join("(" + " ".join(f"{c:.3f}" for c in v) + ")" for v in self.principal_directions.T)
        values = ", ".join(f"{v:.4g}" for v in self.principal_values)
        return [
            f"tensor [{self.unit}], row by row: {entries}; as computed from fluxes it is symmetric to {float(self.asymmetry):.1g}",
            f"principal values {values} along {directions}; anisotropy {self.anisotropy:.4g}",
        ]

    def __str__(self) -> str:
        if is_traced(self.value):
            return f"Permeability along {self.axis}, traced: its numbers are known when the compiled function runs."
        names = AXES if self.axis == "all" else (self.axis,)
        values = np.atleast_1d(np.asarray(self.value, float))
        said = ", ".join(f"k_{name} = {value:.4g} {self.unit}" for name, value in zip(names, values, strict=True))
        if self.voxel_area is not None and self.unit != "mD":
            darcy = np.atleast_1d(np.asarray(self.millidarcy, float))
            said += f" ({', '.join(f'{v:.4g}' for v in darcy)} mD)"
        if self.voxel_area is None:
            said += " (the image has no unit of length)"
        sides = {"no_slip": "no-slip (a jacketed plug)", "symmetric": "symmetric"}.get(self.sides, self.sides)
        rows = [f"{said}: Stokes flow, wall rule {self.wall}, ends {self.ends}, sides {sides}"]
        p = self.porosities
        if p is not None:
            whole = " (porous phases counted whole)" if p.micro is None and p.total > p.macro else ""
            rows.insert(0, f"{self.notes[0]}, porosity {100 * p.total:.1f} %{whole}")
            rows.append(
                f"{_percent(p.percolating)} % of the volume joins the ends, {_percent(p.isolated)} % is isolated"
            )
        shares = np.atleast_1d(np.asarray(0.0 if self.narrow_share is None else self.narrow_share, float))
        if self.narrow_share is not None and shares.max() <= NARROW:  # above, a note says it
            rows.append(
                f"at most {', '.join(f'{100 * share:.2g}' for share in shares)} % of the flux of a slice passes throats of one or two "
                f"voxels"
            )
        if self.tensor is not None:
            rows += self._of_tensor()
        elif self.axis == "all":
            rows.append("off-diagonals not determined by these boundaries")
        its = np.atleast_1d(np.asarray(self.iterations))
        ended = "converged" if bool(np.all(np.asarray(self.converged))) else "NOT converged"
        rows.append(f"{ended} in {', '.join(str(int(i)) for i in its)} iterations")
        rows.append(str(self.error_budget))
        rows.append("unstressed: compare with brine or Klinkenberg-corrected permeability, not with that of air")
        return ".\n".join([*rows, *self.notes[p is not None :]]) + "."


def _percent(shares: Any) -> str:
    """Return shares in percent: those of each axis, once if they are the same."""
    each = [f"{100 * share:.2f}" for share in np.atleast_1d(shares)]
    return each[0] if len(set(each)) == 1 else ", ".join(each)
