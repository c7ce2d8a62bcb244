"""The coefficients that tie attenuation to electron density and atomic number, one row per draw."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from lithax.arrays import is_array, is_traced, namespace, to_numpy
from lithax.typing import Array


class Coefficients(eqx.Module):
    """Rows of (CT0, A, B, n) of the model CT - CT0 = ρ_e (A + B Zⁿ), one row per draw and one
    column per energy.

    ρ_e is the electron density in g/cm³, electron-equivalent (see `electron_density`), Z the
    effective atomic number [-]. Energies stand from low to high. A draw is one consistent guess of
    the calibration: its values at all energies belong together.
    """

    air: Float[Any, "draws energies"]
    """CT0, the attenuation of empty space, in the unit of the scan."""
    A: Float[Any, "draws energies"]
    """[unit of the scan per g/cm³]"""
    B: Float[Any, "draws energies"]
    """[unit of the scan per g/cm³]"""
    n: Float[Any, "draws energies"]
    """[-]"""
    valid: Bool[Any, "draws"]
    """False where the calibration of the draw has no solution; what stands in its row has no
    meaning.
    """
    energy_names: tuple[str, ...] = eqx.field(static=True)
    """The energies' names, from low to high."""

    def __init__(
        self,
        air: Any,
        A: Any,
        B: Any,
        n: Any,
        valid: Any = None,
        *,
        energy_names: Sequence[str] | None = None,
    ):
        """Hold coefficients as they are given.

        Parameters
        ----------
        air, A, B, n
            Arrays of shape (draws, energies), of any array library, or nested sequences of numbers.
            One row may be given as a sequence of length energies.
        valid
            Booleans of shape (draws,); None: all rows whose numbers are finite.
        energy_names
            One name per energy, from low to high; ("low", "high") for two energies.

        Raises
        ------
        ValueError
            If shapes differ, or there is not one name per energy.
        """
        parts = {"air": air, "A": A, "B": B, "n": n}
        arrays = {name: value if is_array(value) else np.asarray(value, np.float64) for name, value in parts.items()}
        arrays = {name: value[None, :] if value.ndim == 1 else value for name, value in arrays.items()}
        shape = tuple(arrays["A"].shape)
        for name, value in arrays.items():
            if tuple(value.shape) != shape or len(shape) != 2:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)} and A has {shape}; "
                    "give all four with one shape, (draws, energies)."
                )
        xp = namespace(*arrays.values())
        if valid is None:
            finite = xp.isfinite(arrays["air"]) & xp.isfinite(arrays["A"])
            valid = xp.all(finite & xp.isfinite(arrays["B"]) & xp.isfinite(arrays["n"]), axis=1)
        elif not is_array(valid):
            valid = np.asarray(valid, bool)
        if tuple(valid.shape) != shape[:1]:
            raise ValueError(f"valid has shape {tuple(valid.shape)}; give one boolean per draw, shape {shape[:1]}.")
        names = _default_names(shape[1]) if energy_names is None else tuple(energy_names)
        if len(names) != shape[1] or len(set(names)) != len(names):
            raise ValueError(f"energy_names={names!r}: give {shape[1]} different names, one per energy.")
        self.air, self.A, self.B, self.n = (arrays[name] for name in ("air", "A", "B", "n"))
        self.valid = valid
        self.energy_names = names

    @property
    def draws(self) -> int:
        """The number of draws, valid or not."""
        return self.A.shape[0]

    @property
    def energies(self) -> int:
        """The number of energies."""
        return self.A.shape[1]

    def __len__(self) -> int:
        return self.draws

    def __getitem__(self, index: Any) -> "Coefficients":
        """Return the chosen draws: an integer, a slice, or an array of integers or booleans along
        the draws.
        """
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"Draw {index} of {len(self)} draws.")
            index = slice(index, index + 1 or None)
        elif isinstance(index, tuple):
            raise TypeError(f"{index!r} chooses along two axes; draws are indexed here, energies by `select`.")
        if isinstance(index, list):
            index = np.asarray(index)
        air, a, b, n, valid = (part[index] for part in (self.air, self.A, self.B, self.n, self.valid))
        return Coefficients(air, a, b, n, valid, energy_names=self.energy_names)

    def select(self, *names: str) -> "Coefficients":
        """Return the energies of these names, in this order."""
        for name in names:
            if name not in self.energy_names:
                raise ValueError(f"{name!r} is none of the energies; choose among {self.energy_names}.")
        columns = [self.energy_names.index(name) for name in names]
        xp = namespace(self.A)
        air, a, b, n = (xp.stack([part[:, c] for c in columns], axis=1) for part in (self.air, self.A, self.B, self.n))
        return Coefficients(air, a, b, n, self.valid, energy_names=names)

    def attenuation(self, electron_density: Array | float, atomic_number: Array | float) -> tuple[Array, ...]:
        """Return CT0 + ρ_e (A + B Zⁿ), the attenuation of a material, for every draw.

        Parameters
        ----------
        electron_density
            ρ_e [g/cm³, electron-equivalent]: a number or an array.
        atomic_number
            Z [-], of a shape that broadcasts with it.

        Returns
        -------
            One array per energy, of shape ``(draws, *broadcast shape)``, in the unit of the scan.
        """
        xp = namespace(self.A, electron_density, atomic_number)
        density = electron_density if is_array(electron_density) else xp.asarray(electron_density, dtype=self.A.dtype)
        number = atomic_number if is_array(atomic_number) else xp.asarray(atomic_number, dtype=self.A.dtype)
        density, number = xp.broadcast_arrays(density, number)

        def column(part: Array, energy: int) -> Array:
            return xp.reshape(xp.asarray(part[:, energy]), (-1, *(1,) * density.ndim))

        return tuple(
            column(self.air, e) + density * (column(self.A, e) + column(self.B, e) * number ** column(self.n, e))
            for e in range(self.energies)
        )

    def __repr__(self) -> str:
        if is_traced(self.valid):
            return f"Coefficients({self.draws} draws, energies {', '.join(self.energy_names)})"
        valid = int(to_numpy(self.valid).sum())
        return f"Coefficients({self.draws} draws, {valid} valid, energies {', '.join(self.energy_names)})"


def _default_names(energies: int) -> tuple[str, ...]:
    return ("low", "high") if energies == 2 else tuple(f"energy {e}" for e in range(energies))
