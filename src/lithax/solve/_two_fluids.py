"""Relative permeability and resistivity index of given distributions of two fluids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lithax.arrays import to_numpy
from lithax.solve._checkpoint import refuse_in
from lithax.solve._conduction import conductivity
from lithax.solve._flow_input import frame_of, geometry_of, region_voxels
from lithax.solve._permeability import permeability
from lithax.solve._permeability_result import AXES


@dataclass(frozen=True, eq=False)
class TwoFluids:
    """One row per state; each fluid flows through its own voxels, as if the other one were solid.

    Quasi-static: neither viscosity nor rate plays a part, interfaces do not slip, and films thinner
    than a voxel carry nothing. So k_r of the wetting fluid is a lower estimate where it coats the
    grains, and with it the resistivity index an upper one.
    """

    saturation: np.ndarray
    """Share of the pores that the wetting fluid fills [-]."""
    wetting: np.ndarray
    """k_r of the wetting fluid [-]; 0 where it does not join the ends."""
    non_wetting: np.ndarray
    """k_r of the non-wetting fluid [-]."""
    resistivity_index: np.ndarray
    """Resistivity with the wetting fluid conducting alone, over that of the saturated rock [-];
    infinite where it does not join the ends.
    """
    permeability: float
    """Of the rock [voxel²]."""
    formation_factor: float
    """Of the saturated rock [-]."""
    converged: bool
    """Whether all solves did."""

    @property
    def saturation_exponent(self) -> np.ndarray:
        """n = −ln I / ln S of every state, Archie's second exponent [-]; not finite at S = 0 and
        1.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.log(self.resistivity_index) / np.log(self.saturation)

    def to_pandas(self) -> Any:
        """Return the table."""
        import pandas

        names = ("saturation", "wetting", "non_wetting", "resistivity_index", "saturation_exponent")
        return pandas.DataFrame({name: getattr(self, name) for name in names})

    def __str__(self) -> str:
        rows = ["  S_w    k_rw    k_rn    I"]
        for row in zip(self.saturation, self.wetting, self.non_wetting, self.resistivity_index, strict=True):
            rows.append("{:5.3f}  {:6.4f}  {:6.4f}  {:.4g}".format(*row))
        return "\n".join([*rows, "quasi-static, interfaces without slip, no films thinner than a voxel"])


def two_fluids(
    pores: Any,
    states: Sequence[Any],
    *,
    axis: str = "x",
    flow: Any = None,
    current: Any = None,
) -> TwoFluids:
    """Solve Stokes flow of both fluids, and conduction of the wetting one, for each state.

    Parameters
    ----------
    pores
        Booleans, True in the pores: an array or an image.
    states
        For each state booleans of the same shape, True where the non-wetting fluid is:
        ``[drained.state(d) for d in diameters]`` of `lithax.drainage`. What lies outside of the
        pores is left out.
    axis
        "x", "y" or "z".
    flow, current
        Further arguments of `permeability` and of `conductivity`, such as ``{"sides": "no_slip"}``.
        `where` and `spacing` are those of both, if only one of the two names them.

    Returns
    -------
        `TwoFluids`, in the order of the states.

    Raises
    ------
    ValueError
        If the axis is unknown, a shape differs, the image holds no booleans, an option says what is
        pore, or the pores do not join the ends.

    Examples
    --------
    Two slits side by side, the wider one drained: cubes of widths, and of the sum.

    >>> import numpy as np
    >>> pores = np.zeros((4, 12, 1), bool)
    >>> pores[:, 1:5], pores[:, 6:8] = True, True
    >>> wide = np.zeros_like(pores)
    >>> wide[:, 1:5] = True
    >>> found = two_fluids(pores, [wide])
    >>> [round(float(v[0]), 3) for v in (found.non_wetting, found.wetting, found.resistivity_index)]
    [0.889, 0.111, 3.0]
    """
    if axis not in AXES:
        raise ValueError(f"axis={axis!r} must be 'x', 'y' or 'z'.")
    space = _booleans(pores, "pores")
    lengths = {"spacing": pores.frame.voxel_length} if hasattr(pores, "frame") else {}
    flow, current = flow or {}, current or {}
    for name, options in (("flow", flow), ("current", current)):
        _check_options(name, options)
    for name in ("where", "spacing"):  # of one sample, whatever passes through it
        named = [options[name] for options in (flow, current) if options.get(name) is not None]
        lengths |= {name: named[0]} if named else {}
    flow, current = lengths | flow, lengths | current
    for options in (flow, current):  # the saturation is that of the sample, too
        frame = frame_of(pores, space.shape, *geometry_of(pores, options.get("spacing")))
        inside = region_voxels(options.get("where"), frame)
        if inside is not None:
            space, options["where"] = space & inside, inside  # voxels: an array does not know where it lies
    filled = [_booleans(state, f"states[{n}]") & space for n, state in enumerate(_of_shape(states, space.shape))]
    k = permeability(space, axis=axis, **flow)
    if not k.value > 0:
        raise ValueError(f"pores do not join the ends along {axis}, so nothing can be relative to their permeability.")
    saturated = conductivity(space, axis=axis, **current)
    rows, done = [], [bool(k.converged), bool(saturated.converged)]
    for other in filled:
        wet = space & ~other
        conducts = _value(conductivity, wet, axis, current, done)
        k_wetting, k_other = (_value(permeability, part, axis, flow, done) / float(k.value) for part in (wet, other))
        index = float(saturated.value) / conducts if conducts > 0 else np.inf
        rows.append((wet.sum() / space.sum(), k_wetting, k_other, index))
    saturation, wetting, non_wetting, index = np.asarray(rows, float).reshape(-1, 4).T
    return TwoFluids(
        saturation, wetting, non_wetting, index, float(k.value_voxel), float(saturated.formation_factor), all(done)
    )


def _value(solve: Any, space: np.ndarray, axis: str, options: dict[str, Any], done: list[bool]) -> float:
    """Return what a solve gives for some voxels, 0 for none, and note whether it converged."""
    if not space.any():
        return 0.0
    found = solve(space, axis=axis, **options)
    done.append(bool(found.converged))
    return float(found.value)


def _booleans(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values[...]) if hasattr(values, "frame") else to_numpy(values)
    if array.dtype != np.bool_ or array.ndim != 3:
        raise ValueError(
            f"{name} holds {array.dtype} of shape {array.shape}; give three-dimensional booleans, such as image == 0."
        )
    return array


def _check_options(name: str, options: Any) -> None:
    if not isinstance(options, dict):
        raise TypeError(f"{name}={options!r} must be a dict of further arguments, such as {{'tolerance': 1e-3}}.")
    refuse_in(name, options, "two_fluids")
    taken = {"axis", "pore", "values", "permeability", "porosity"} & set(options)
    if taken:
        raise ValueError(
            f"{name}= holds {', '.join(sorted(taken))}: axis= is an argument of its own, and pores= says what is pore."
        )


def _of_shape(states: Sequence[Any], shape: tuple[int, ...]) -> Sequence[Any]:
    for n, state in enumerate(states):
        if not hasattr(state, "shape"):
            raise TypeError(
                f"states[{n}] is a {type(state).__name__}; give booleans, True where the non-wetting fluid is."
            )
        if tuple(state.shape) != shape:
            raise ValueError(f"states[{n}] has shape {tuple(state.shape)}, pores {shape}; they must agree.")
    return states
