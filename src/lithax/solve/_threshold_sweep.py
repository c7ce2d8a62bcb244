"""The formation factor of a scan at many thresholds, each solve started from the one before."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lithax.arrays import is_array, is_traced
from lithax.solve._arguments import check_choice, check_relative_error, check_whole_number
from lithax.solve._conduction_problem import Drive
from lithax.solve._conduction_setup import AXES, Boundaries, Run, plan_run
from lithax.solve._conduction_solve import Tolerances, advance, begin
from lithax.solve._conjugate_gradients import State
from lithax.solve._domain import check_section, domain_of
from lithax.solve._multigrid import Multigrid
from lithax.solve._nearby_start import balance_of, further_step, looked_below, nearby_error, nearby_step
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._pore_spaces import PoreSpace, pore_spaces
from lithax.solve._solve_memory import check_memory, memory_of_sweep
from lithax.solve._source import read_source

_MOST = 400
STRETCHED = 3.0
"""What estimates of a few steps are multiplied by where voxels are no cubes."""
FURTHER = 2
"""Steps after the first that are not of conjugate gradients, at most."""
_COLUMNS = (
    "threshold",
    "porosity",
    "percolating_porosity",
    "formation_factor",
    "solver_error",
    "balance",
    "iterations",
    "converged",
)


@dataclass(frozen=True, eq=False)
class ThresholdSweep:
    """One entry per threshold, in the order they were given."""

    threshold: np.ndarray
    """[grey level]"""
    porosity: np.ndarray
    percolating_porosity: np.ndarray
    """In parts that join the ends through voxel faces."""
    formation_factor: np.ndarray
    """F = σ_w/σ_eff [-]; infinite where nothing joins the ends."""
    solver_error: np.ndarray
    """Estimate of the relative error that the solver leaves [-]."""
    balance: np.ndarray
    """Spread of the current over the planes across the axis, relative to the current [-]."""
    iterations: np.ndarray
    converged: np.ndarray
    axis: str
    pores: str

    @property
    def tortuosity_factor(self) -> np.ndarray:
        """τ = φ F [-]; NaN where there is no pore."""
        with np.errstate(invalid="ignore"):
            return self.porosity * self.formation_factor

    @property
    def cementation_exponent(self) -> np.ndarray:
        """m = −ln F / ln φ [-]; not finite where F or φ says nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.log(self.formation_factor) / np.log(self.porosity)

    def to_pandas(self) -> Any:
        """Return the table."""
        import pandas

        names = ("threshold", "porosity", "percolating_porosity", "formation_factor", "tortuosity_factor",
                 "cementation_exponent", "solver_error", "balance", "iterations", "converged")  # fmt: skip
        return pandas.DataFrame({name: getattr(self, name) for name in names})

    def __str__(self) -> str:
        side = "up to" if self.pores == "darker" else "above"
        lines = [f"formation factor along {self.axis}; pores are grey levels {side} the threshold"]
        for n in range(len(self.threshold)):
            text = f"{self.threshold[n]:.6g}: porosity {100 * self.porosity[n]:.3g} %"
            if math.isinf(self.formation_factor[n]):
                text += f", nothing joins the two ends along {self.axis} through voxel faces"
            else:
                text += f", F = {self.formation_factor[n]:.4g}, m = {self.cementation_exponent[n]:.4g}"
                steps = "1 iteration" if self.iterations[n] == 1 else f"{self.iterations[n]} iterations"
                text += f"; error {self.solver_error[n]:.2g} after {steps}"
                text += "" if self.converged[n] else ", NOT CONVERGED"
            lines.append(text)
        return "\n".join(lines)


def threshold_sweep(
    scan: Any,
    thresholds: Any,
    *,
    axis: str = "x",
    pores: str = "darker",
    where: Any = None,
    area: Any = None,
    sides: str = "insulating",
    spacing: Any = None,
    tolerance: Any = 5e-3,
    max_iterations: Any = _MOST,
    progress: bool = False,
    memory_limit: Any = None,
) -> ThresholdSweep:
    """Solve for the formation factor of a scan at each of several thresholds.

    Every value is as right as one of `conductivity`, which the same pore space would give, but the
    solves share their work: thresholds are taken from the largest pore space to the smallest, each
    solve starts from the potential of the one before, and labels only what joined the ends there.

    Parameters
    ----------
    scan
        Grey levels: an array or an image. What is not a number (NaN) is no pore.
    thresholds
        Grey levels, in any order.
    axis
        Along which the current is driven.
    pores
        "darker": pore is what is not above the threshold; "brighter": what is above it.
    where, area, sides, spacing
        As for `conductivity`.
    tolerance
        Relative error of each value at which its iterations end [-]; see
        `ThresholdSweep.solver_error`.
    max_iterations
        Steps at most, for each threshold.
    progress
        Whether to show a bar.
    memory_limit
        As for `conductivity`.

    Raises
    ------
    TypeError, ValueError
        If an option is not one of those above, the scan is boolean, traced or lies over several
        devices, or a threshold is not finite; otherwise as `conductivity`.
    MemoryLimitError
        If it would need more memory than it may use.

    Examples
    --------
    >>> import numpy as np, lithax as lx
    >>> scan = np.random.default_rng(0).random((16, 16, 16))
    >>> table = lx.solve.threshold_sweep(scan, [0.9, 0.7])
    >>> bool(table.formation_factor[0] < table.formation_factor[1]), bool(table.converged.all())
    (True, True)
    """
    levels = _check(scan, thresholds, axis, pores, sides, tolerance, max_iterations)
    memory = memory_of_sweep(scan)
    if memory is not None:
        check_memory("threshold_sweep()", memory, memory_limit)
    source = read_source(scan, spacing, "threshold_sweep", "scan")
    grey, a = np.asarray(source.array), AXES.index(axis)
    if grey.ndim != 3 or min(grey.shape) < 1 or grey.shape[a] < 2:
        raise ValueError(
            f"scan has shape {grey.shape}; give three axes, and at least two voxels along {axis}, where the current is driven."
        )
    boundaries = Boundaries("potential", sides, False)
    domain = domain_of(where, source, False)
    section = check_section(domain, grey.shape, a, area, source.spacing)
    run = plan_run(grey.shape, a, boundaries, source.spacing, section, 0)
    cells = domain.count(grey.shape)
    # From the largest pore space to the smallest.
    order = np.argsort(levels, kind="stable")[:: -1 if pores == "darker" else 1]
    series = _Series(run, float(tolerance), int(max_iterations))
    rows: list[tuple[Any, ...]] = [()] * len(levels)
    spaces = pore_spaces(grey, levels[order], pores == "darker", domain.mask, run, boundaries.periodic(a))
    from tqdm import tqdm

    shown = tqdm(spaces, total=len(order), desc="thresholds", unit=" solves", disable=not progress)
    for n, space in zip(order, shown, strict=True):
        value, *ended = series.next(space)
        factor = math.inf if value == 0 else 1 / value
        rows[n] = (levels[n], space.pore / cells, space.joined / cells, factor, *ended)
    columns = dict(zip(_COLUMNS, map(np.asarray, zip(*rows, strict=True)), strict=True))
    return ThresholdSweep(**columns, axis=axis, pores=pores)


class _Series:
    """The last solve of a series, and the next one from it."""

    def __init__(self, run: Run, tolerance: float, most: int) -> None:
        self.run, self.tolerance, self.most = run, tolerance, most
        self.state: State | None = None
        self.spare: jax.Array | None = None
        self.seen = 0.0
        self.scale = run.geometry[0] if run.of_cubes() else 1.0  # of whole-numbered weights
        self.ends = Tolerances.of(tolerance, 1.0, most, np.float32)  # as `conductivity` stops
        self.drive = Drive(jnp.asarray(run.drives, np.float32)[0])
        self.caution = 1.0 if run.of_cubes() else STRETCHED

    def next(self, space: PoreSpace) -> tuple[float, float, float, int, bool]:
        """Return the conductivity of the next, smaller pore space, the error, the balance, the
        iterations, and whether they converged.
        """
        if space.cycle is None:
            return 0.0, 0.0, 0.0, 0, True
        settings, drive, cycle = self.run.settings, self.drive, space.cycle
        error = math.inf
        if self.state is None:
            state = begin(cycle, drive, None, settings)
        else:
            state, error = self._nearby(cycle, self.state)
            if bool(state.done) or self._near_enough(state, error):
                return self._ended(state, error, float(state.balance), True)
        state = advance(cycle, drive, self.ends, state, settings, np.int32(self.most))
        if int(state.count) > 1:
            self.seen = max(self.seen, float(state.ratios[1]))
        if math.isfinite(state.error):  # conjugate gradients went on
            error = float(state.error)
        return self._ended(state, error, balance_of(cycle, drive, state), bool(state.done))

    def _nearby(self, cycle: Multigrid, before: State) -> tuple[State, float]:
        """Take a few steps from the end of the solve before; return the state and its error."""
        state, self.spare = nearby_step(cycle, self.drive, before, self.spare)
        for _ in range(min(FURTHER, self.most - 1)):
            error = self.caution * nearby_error(state, self.seen)
            if bool(state.done) or self._near_enough(state, error):
                return state, error
            state, below = looked_below(cycle, state)
            error = self.caution * below
            if self._near_enough(state, error):
                return state, error
            state, self.spare = further_step(cycle, self.drive, state, self.spare)
            self.seen = max(self.seen, float(state.ratios[1]))
        return state, self.caution * nearby_error(state, self.seen)

    def _near_enough(self, state: State, error: float) -> bool:
        return error <= self.tolerance and float(state.balance) <= float(self.ends.balance)

    def _ended(self, state: State, error: float, balance: float, done: bool) -> Any:
        self.state = state
        value = float(self.run.conductivity(state.energy[None, None], self.scale, None))
        return value, error, balance, int(state.count), done and error <= self.tolerance


def _check(
    scan: Any, thresholds: Any, axis: Any, pores: Any, sides: Any, tolerance: Any, most: Any
) -> np.ndarray:  # fmt: skip
    """Return the thresholds, or say what is wrong."""
    for name, value, known in (
        ("axis", axis, AXES),
        ("pores", pores, ("darker", "brighter")),
        ("sides", sides, ("insulating", "periodic")),
    ):
        check_choice(name, value, known)
    check_relative_error("tolerance", tolerance)
    check_whole_number("max_iterations", most, 1)
    if not is_array(scan) and not hasattr(scan, "frame"):
        raise TypeError(f"scan is a {type(scan).__name__}; give an array or an image (lx.open, lx.from_array).")
    if is_traced(scan) or is_traced(thresholds) or is_traced(jnp.zeros(())):
        raise TypeError(
            "threshold_sweep() runs on the host and has no derivative; call it outside of jax.jit, and for the derivative use "
            "conductivity(..., segmentation=(scan, threshold, uncertainty))."
        )
    if lies_over_devices(scan):
        raise ValueError(
            "scan lies over several devices, and threshold_sweep() solves on one; pass the array of one device, or call "
            "conductivity(scan <= threshold) for each threshold."
        )
    if str(getattr(scan, "dtype", "")).endswith("bool"):
        raise TypeError(
            "scan holds booleans, which have no threshold; pass grey levels, or conductivity() the pore space."
        )
    if "complex" in str(getattr(scan, "dtype", "")):
        raise TypeError(f"scan has dtype {scan.dtype}; give grey levels.")
    try:
        levels = np.asarray(thresholds, float).reshape(-1)
    except (TypeError, ValueError):
        levels = np.empty(0)
    if levels.size == 0 or not np.isfinite(levels).all():
        raise ValueError(f"thresholds={thresholds!r} must be grey levels: one finite number or several.")
    return levels
