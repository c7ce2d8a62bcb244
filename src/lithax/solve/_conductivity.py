"""The result of a conduction solve, in the words of petrophysics."""

from typing import Any

import equinox as eqx
import numpy as np

from lithax.arrays import is_traced
from lithax.solve._bounds import Bounds
from lithax.solve._error_budget import ErrorBudget
from lithax.solve._json_numbers import json_numbers


class Porosities(eqx.Module):
    """Fractions of the domain that conduct [-], by how they are connected through voxel faces.

    They are porosities where nothing but the pores conducts.
    """

    total: Any
    """All imaged pore space; with `pore` and `values` all that conducts."""
    accessible: Any
    """In parts that touch at least one end of the image along the axis."""
    percolating: Any
    """In parts that join the ends: what the current flows through."""

    @property
    def isolated(self) -> Any:
        """In parts that touch no end."""
        return self.total - self.accessible


class Conductivity(eqx.Module):
    """Effective conductivity and what follows from it; numbers, or arrays of three for
    ``axis="all"``.

    `value`, `tensor` and what is computed from them (`formation_factor`, `tortuosity_factor`,
    `cementation_exponent`) are differentiable without a further solve, `potential` and `currents`
    by one. `converged`, `iterations`, `residual`, `balance`, `solver_error`, `gradient_error`, the
    porosities and the bounds carry no derivative.

    ``str(result)`` is a text to quote.
    """

    value: Any
    """Effective conductivity along the axis, in the unit of the voxels' conductivity."""
    tensor: Any
    """Shape (3, 3), symmetric; None where the boundaries do not determine it."""
    porosity: Any
    """Porosity that φ stands for below [-]."""
    porosities: Porosities
    bounds: Bounds
    fluid: Any
    """Conductivity of the pore fluid, σ_w; None if it was not named."""
    converged: Any
    iterations: Any
    residual: Any
    """Preconditioned norm of the residual before the last step, relative to that before the first
    [-].
    """
    balance: Any
    """Spread of the current over the planes across the axis, relative to the current [-]."""
    solver_error: Any
    """Estimate of the relative error of `value` that the solver leaves [-]."""
    gradient_error: Any
    """Estimate of the relative error (L2) of the derivative of `value` [-]."""
    error_budget: ErrorBudget
    currents: Any = None
    """On request: current through each plane of voxel faces across the axis, relative to their mean
    [-].
    """
    potential: Any = None
    """On request: potential at voxel centres, for a drop from 1 to 0 along the axis [-]; with
    reservoirs from end to end of these.
    """
    flux: Any = None
    """On request: current density along x, y and z at voxel centres, for that drop times the length
    of the sample: without reservoirs a mean gradient of one; arrays or images.
    """
    gradient: Any = None
    """On request: derivative of `value` with respect to the conductivity of every voxel."""
    axis: str = eqx.field(static=True, default="x")
    ends: str = eqx.field(static=True, default="potential")
    sides: str = eqx.field(static=True, default="insulating")
    unit: str = eqx.field(static=True, default="")
    meaning: str = eqx.field(static=True, default="")
    """What was taken for pore: the first line of the text."""
    insulating_grains: bool = eqx.field(static=True, default=True)
    notes: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def formation_factor(self) -> Any:
        """F = σ_w / σ_eff [-]: *apparent* where grains conduct; None without `fluid`; infinite
        where nothing joins the ends.
        """
        if self.fluid is None:
            return None
        with np.errstate(divide="ignore"):
            return self.fluid / self.value

    @property
    def tortuosity_factor(self) -> Any:
        """τ = φ F [-], as TauFactor and PoreSpy define it."""
        return None if self.fluid is None else self.porosity * self.formation_factor

    @property
    def diffusive_tortuosity(self) -> Any:
        """√(φ F) [-], also called electrical tortuosity: the mean lengthening of a path."""
        return None if self.fluid is None else self.tortuosity_factor**0.5

    @property
    def cementation_exponent(self) -> Any:
        """m = −ln F / ln φ [-]: Archie's, with a = 1 and the porosity `porosity`; not finite for φ
        = 1.
        """
        if self.fluid is None:
            return None
        xp = _library(self.formation_factor)
        with np.errstate(divide="ignore", invalid="ignore"):
            return -xp.log(self.formation_factor) / xp.log(xp.asarray(self.porosity))

    @property
    def effective_diffusivity(self) -> Any:
        """D_eff / D₀ = 1 / F [-]: flux per area of rock."""
        return None if self.fluid is None else self.value / self.fluid

    @property
    def pore_diffusivity(self) -> Any:
        """D_p / D₀ = 1 / τ [-]: flux per area of pore."""
        return None if self.fluid is None else self.value / (self.fluid * self.porosity)

    @property
    def principal(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Principal conductivities, largest first, and their directions as columns; None without a
        tensor.
        """
        if self.tensor is None:
            return None
        values, vectors = np.linalg.eigh(np.asarray(self.tensor, float))
        return values[::-1], vectors[:, ::-1]

    @property
    def anisotropy(self) -> float | None:
        """Largest over smallest principal conductivity [-], infinite where that is zero; None
        without a tensor, or where it is zero throughout.
        """
        found = self.principal
        if found is None or found[0][0] <= 0:
            return None
        return float(found[0][0] / found[0][-1]) if found[0][-1] > 0 else np.inf

    def numbers(self) -> dict[str, Any]:
        """Return what was found as plain numbers, lists and text, as JSON has them (null: not
        finite, or not determined); "units" says in what each is counted, "-" for shares.
        """
        names = ("value", "tensor", "formation_factor", "tortuosity_factor", "cementation_exponent", "fluid")
        others = ("porosity", "balance", "residual", "iterations", "converged")
        found: dict[str, Any] = {name: json_numbers(getattr(self, name)) for name in (*names, *others)}
        found["porosities"] = {name: json_numbers(v) for name, v in vars(self.porosities).items()}
        found["bounds"] = {name: [json_numbers(v) for v in pair] for name, pair in vars(self.bounds).items()}
        found["error_budget"] = {name: _plain_line(v) for name, v in vars(self.error_budget).items()}
        units = dict.fromkeys(found, "-") | dict.fromkeys(("value", "tensor", "fluid", "bounds"), self.unit)
        del units["converged"]
        words = {name: getattr(self, name) for name in ("unit", "axis", "ends", "sides", "meaning")}
        return found | words | {"notes": list(self.notes), "units": units}

    def __str__(self) -> str:
        if is_traced(self.value):
            return f"Conductivity along {self.axis}, traced: its numbers are known when the compiled function runs"
        return "\n".join(_lines(self))


def _library(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | float):
        return np
    from jax import numpy as jnp

    return jnp


def _plain_line(line: Any) -> Any:
    return {str(name): json_numbers(v) for name, v in line.items()} if isinstance(line, dict) else json_numbers(line)


def _lines(r: Conductivity) -> list[str]:
    axes = "xyz" if r.axis == "all" else r.axis
    p = r.porosities
    percolating = np.atleast_1d(np.asarray(p.percolating, float))
    lines = [f"{r.meaning}, porosity {_percent(r.porosity)}"]
    shares = ", ".join(f"{_percent(v)} along {a}" for a, v in zip(axes, percolating, strict=False))
    if r.tensor is not None:
        shares = f"{_percent(percolating[0])} along one axis at least"
    removed = np.atleast_1d(np.asarray(p.total - p.percolating, float))
    lines.append(
        f"joins the ends through voxel faces: {shares}; left out of the solve: "
        + ", ".join(_percent(v) for v in removed)
    )
    values = np.atleast_1d(np.asarray(r.value, float))
    unit = f" {r.unit}" if r.unit else ""
    name = "F" if r.insulating_grains else "apparent F"
    errors, ended = np.atleast_1d(np.asarray(r.solver_error)), np.atleast_1d(np.asarray(r.converged))
    for i, (a, value) in enumerate(zip(axes, values, strict=True)):
        row = f"along {a}: effective conductivity {value:.5g}{unit}"
        if r.fluid is not None:
            factor, tau, m = (
                np.broadcast_to(np.asarray(v, float), values.shape)[i]
                for v in (r.formation_factor, r.tortuosity_factor, r.cementation_exponent)
            )
            row += f"; {name} = σ_w/σ_eff = {factor:.4g}" if np.isfinite(factor) else f"; {name} is infinite"
            if np.isfinite(factor):
                row += f"; tortuosity factor τ = φF = {tau:.4g}, diffusive tortuosity √(φF) = {tau**0.5:.4g}"
                row += f"; D_eff/D₀ = 1/F = {1 / factor:.4g}, D_p/D₀ = 1/τ = {1 / tau:.4g}"
                if np.isfinite(m):
                    row += f"; m = −ln F/ln φ = {m:.4g} (a = 1, φ = {_percent(r.porosity)})"
        if value == 0 and ended[i]:
            row += f"; nothing joins the two ends along {a} through voxel faces"
        lines.append(row)
        if not ended[i]:
            lines.append(f"  NOT CONVERGED along {a}: the best estimate of its error is {errors[i]:.2g}")
    if r.fluid is None:
        lines.append("no formation factor: the conductivity of the pore fluid was not given")
    if r.tensor is not None:
        rows = ["  ".join(f"{v: .5g}" for v in row) for row in np.asarray(r.tensor, float)]
        principal = r.principal
        assert principal is not None
        lines += ["tensor:", *("  " + row for row in rows)]
        lines.append(
            f"principal values {', '.join(f'{v:.5g}' for v in principal[0])} along "
            + ", ".join("(" + " ".join(f"{c:.3f}" for c in column) + ")" for column in principal[1].T)
            + ("" if r.anisotropy is None else f"; anisotropy {r.anisotropy:.4g}")
        )
    elif r.axis == "all":
        lines.append("off-diagonals not determined by these boundaries")
    low, high = (float(np.asarray(v)) for v in r.bounds.wiener)
    hs_low, hs_high = (float(np.asarray(v)) for v in r.bounds.hashin_shtrikman)
    lines.append(
        f"bounds on the effective conductivity: Wiener {low:.4g} to {high:.4g}, Hashin–Shtrikman {hs_low:.4g} to {hs_high:.4g}, "
        f"Maxwell {hs_high:.4g}"
    )
    lines.append(f"ends: {r.ends}; sides: {r.sides}")
    lines.append(str(r.error_budget))
    return [*lines, *(f"note: {note}" for note in r.notes)]


def _percent(value: Any) -> str:
    return f"{100 * float(np.asarray(value)):.3g} %"
