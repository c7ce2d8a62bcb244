"""Materials: a composition at a density, and a small catalogue of them."""

import functools
import types
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from lithax.arrays import is_traced
from lithax.models._composition import Composition, composition
from lithax.models._periodic_table import PeriodicTable, read_table
from lithax.typing import Array


class Material(eqx.Module):
    """A composition at a density. Immutable; differentiable in the density."""

    name: str = eqx.field(static=True)
    composition: Composition
    density: Any
    """Bulk density ρ [g/cm³]."""

    def __init__(self, name: str, composition: Any, density: Any, *, table: PeriodicTable | None = None):
        """Make a material.

        Parameters
        ----------
        name
            What it is called in messages and pictures.
        composition
            Formula ("SiO2"), mapping of amounts in moles, or `Composition`.
        density
            Bulk density [g/cm³], positive.
        table
            Elements by symbol; `periodic_table()` by default.

        Raises
        ------
        ValueError
            If the density is not positive, or an element is unknown.
        """
        if not is_traced(density) and not 0 < density < float("inf"):
            raise ValueError(f"density={density!r} of {name} must be positive [g/cm³].")
        self.name = name
        self.composition = _composition(composition, table)
        self.density = density

    @property
    def electron_density(self) -> Any:
        """ρ_e = ρ · 2ΣqZ/ΣqM [g/cm³, electron-equivalent]."""
        return self.density * self.composition.electrons_per_mass

    def mean_power(self, n: Array | float) -> Any:
        """Return ⟨Zⁿ⟩, the mean of Zⁿ over the electrons [-]."""
        return self.composition.mean_power(n)

    def effective_atomic_number(self, n: Array | float) -> Any:
        """Return Z_eff = ⟨Zⁿ⟩^(1/n) [-]."""
        return self.composition.effective_atomic_number(n)

    def to_dict(self) -> dict[str, Any]:
        """Return name, amounts and density as plain values, which ``Material(**d)`` takes."""
        return {"name": self.name, "composition": self.composition.to_dict(), "density": float(self.density)}


# Inside the class `composition` is a field.
def _composition(value: Any, table: PeriodicTable | None) -> Composition:
    return composition(value, table=table)


@functools.cache
def materials() -> Mapping[str, Material]:
    """Return the catalogue: standards and common minerals by name, with densities at room
    conditions [g/cm³].

    Real samples differ, natural minerals by per cent: weigh and measure a standard before relying
    on it, and make it with `Material`. The sources stand in ``models/_data/materials.csv``.
    """
    made = {row["name"]: Material(row["name"], row["composition"], float(row["density"])) for row in _rows()}
    return types.MappingProxyType(made)


def material(name: str, density: Any = None) -> Material:
    """Return a material of the catalogue, at its own density or the one given.

    Parameters
    ----------
    name
        Such as "quartz", "water", "PTFE"; `materials()` lists them.
    density
        Bulk density [g/cm³] of your sample.

    Raises
    ------
    ValueError
        If the catalogue has no such name.
    """
    if name not in materials():
        raise ValueError(
            f"{name!r} is not in the catalogue ({', '.join(materials())}); make it with "
            f"lx.dect.Material({name!r}, composition='...', density=...)."
        )
    found = materials()[name]
    return found if density is None else Material(name, found.composition, density)


def _rows() -> list[dict[str, str]]:
    return read_table("materials.csv")
