"""What a scan is calibrated with: materials whose density and composition are known, and how they
look in the scan.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx

from lithax.models._distribution import AbstractDistribution, Gaussian, distribution_from_dict
from lithax.models._material import Material


class Standard(eqx.Module):
    """A material in the scan: what it is, and the distribution of its attenuation at every energy.

    Without a material it is empty space, which gives CT0.
    """

    material: Material | None
    attenuation: tuple[AbstractDistribution, ...]
    """One distribution per energy, from low to high [unit of the scan]."""
    effective_count: tuple[float, ...] | None = eqx.field(static=True)
    """Independent voxels behind each distribution: the mean is known to standard deviation /
    sqrt(count).
    """

    def __init__(
        self,
        material: Material | None,
        attenuation: Sequence[AbstractDistribution | tuple[float, float]],
        *,
        effective_count: float | Sequence[float] | None = None,
    ):
        """Describe a standard.

        Parameters
        ----------
        material
            Composition and density; None for empty space.
        attenuation
            One distribution per energy, from low to high; a pair of numbers is the mean and the
            standard deviation of a `Gaussian`.
        effective_count
            Number of independent voxels behind the distributions, one for all energies or one each;
            needed for ``calibration="mean"``. Noise that is correlated between neighbours makes it
            smaller than the number of voxels.

        Raises
        ------
        ValueError
            If there is no distribution, or a count is below 1.
        """
        self.material = material
        self.attenuation = tuple(_distribution(value, self.name) for value in attenuation)
        if not self.attenuation:
            raise ValueError(f"{self.name} has no distribution of attenuation; give one per energy.")
        if effective_count is not None:
            counts = (effective_count,) if isinstance(effective_count, int | float) else tuple(effective_count)
            counts = counts * len(self.attenuation) if len(counts) == 1 else counts
            if len(counts) != len(self.attenuation) or not all(count >= 1 for count in counts):
                raise ValueError(
                    f"effective_count={effective_count!r} of {self.name} must be at least 1, "
                    f"one number or one per energy ({len(self.attenuation)})."
                )
            effective_count = tuple(float(count) for count in counts)
        self.effective_count = effective_count

    @property
    def name(self) -> str:
        """Of the material."""
        return "empty space" if self.material is None else self.material.name

    @property
    def means(self) -> tuple[Any, ...]:
        """Mean attenuation per energy [unit of the scan]."""
        return tuple(distribution.mean for distribution in self.attenuation)

    @property
    def standard_deviations(self) -> tuple[Any, ...]:
        """Of the voxels, per energy [unit of the scan]."""
        return tuple(distribution.standard_deviation for distribution in self.attenuation)

    @property
    def standard_errors(self) -> tuple[Any, ...]:
        """Of the means, per energy: standard deviation / sqrt(effective count) [unit of the scan].

        Raises
        ------
        ValueError
            If the effective count is not known.
        """
        if self.effective_count is None:
            raise ValueError(
                f"{self.name} has no effective_count, so that nothing is known about the error of its mean. Measure it "
                "with lx.dect.from_regions, give effective_count=, or use calibration='voxel'."
            )
        every = zip(self.standard_deviations, self.effective_count, strict=True)
        return tuple(deviation / count**0.5 for deviation, count in every)

    def distributions(self, calibration: str) -> tuple[AbstractDistribution, ...]:
        """Return what draws are made from: the voxels ("voxel"), or the mean and its error
        ("mean").
        """
        if calibration == "voxel":
            return self.attenuation
        if calibration != "mean":
            raise ValueError(f"calibration={calibration!r} must be 'voxel' or 'mean'.")
        return tuple(Gaussian(m, e) for m, e in zip(self.means, self.standard_errors, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; `Standard.from_dict` reads them."""
        return {
            "material": None if self.material is None else self.material.to_dict(),
            "attenuation": [distribution.to_dict() for distribution in self.attenuation],
            "effective_count": None if self.effective_count is None else list(self.effective_count),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], **keywords: Any) -> "Standard":
        """Return the standard that `to_dict` described; keywords (``table=``) go to `Material`."""
        made = values["material"]
        return cls(
            None if made is None else Material(**made, **keywords),
            [distribution_from_dict(d) for d in values["attenuation"]],
            effective_count=values["effective_count"],
        )


class Calibration(eqx.Module):
    """Empty space and the standards of one dual-energy scan."""

    air: Standard
    standards: tuple[Standard, ...]
    energy_names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, air: Standard, standards: Sequence[Standard], *, energy_names: Sequence[str] | None = None):
        """Collect what a scan is calibrated with.

        Parameters
        ----------
        air
            Empty space: its distributions, whatever its material.
        standards
            Materials of known density and composition.
        energy_names
            From low to high; ("low", "high") for two energies.

        Raises
        ------
        ValueError
            If the numbers of energies differ, a standard has no material, or two have the same
            electron density and composition.
        """
        self.air = air
        self.standards = tuple(standards)
        count = len(air.attenuation)
        default = ("low", "high") if count == 2 else tuple(f"energy {e}" for e in range(count))
        self.energy_names = default if energy_names is None else tuple(energy_names)
        check_standards(self.standards, air, len(self.energy_names))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; `Calibration.from_dict` reads them."""
        return {
            "air": self.air.to_dict(),
            "standards": [standard.to_dict() for standard in self.standards],
            "energy_names": list(self.energy_names),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], **keywords: Any) -> "Calibration":
        """Return the calibration that `to_dict` described; keywords (``table=``) go to
        `Material`.
        """
        return cls(
            Standard.from_dict(values["air"], **keywords),
            [Standard.from_dict(standard, **keywords) for standard in values["standards"]],
            energy_names=values["energy_names"],
        )


def check_standards(standards: Sequence[Standard], air: Standard, energies: int) -> None:
    """Raise ValueError where a calibration cannot work, before anything is computed."""
    for standard in (air, *standards):
        if len(standard.attenuation) != energies:
            raise ValueError(
                f"{standard.name} has distributions for {len(standard.attenuation)} energies, not {energies}; "
                "give every material one per energy, from low to high."
            )
    for standard in standards:
        if standard.material is None:
            raise ValueError("A standard has no material; give its composition and density as lx.dect.Material(...).")
        for energy, (dark, bright) in enumerate(zip(air.means, standard.means, strict=True)):
            if _known(dark, bright) and not dark < bright:
                raise ValueError(
                    f"Air (mean {float(dark):.6g}) is not darker than {standard.name} (mean {float(bright):.6g}) at energy "
                    f"{energy}; are two regions exchanged, or is the grey scale inverted?"
                )
    for number, one in enumerate(standards):
        for other in standards[:number]:
            if one.material is not None and other.material is not None and _alike(one.material, other.material):
                raise ValueError(
                    f"{other.name} and {one.name} have the same composition, so that they say nothing about the "
                    "exponent n; give standards of different atomic numbers."
                )


def _alike(one: Material, other: Material) -> bool:
    a, b = one.composition, other.composition
    powers = [(a.mean_power(n), b.mean_power(n)) for n in (0.5, 3.0, 10.0)]
    return all(abs(p - q) <= 1e-9 * max(p, q) for p, q in powers)


def _known(*values: Any) -> bool:
    try:
        [float(value) for value in values]
    except Exception:  # a traced value
        return False
    return True


def _distribution(value: Any, name: str) -> AbstractDistribution:
    if isinstance(value, AbstractDistribution):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        return Gaussian(*value)
    raise TypeError(
        f"attenuation of {name}: {value!r} must be a distribution (lx.dect.Gaussian, Histogram, Tabulated) or a pair "
        "(mean, standard deviation)."
    )
