"""`lithax.plan` of the solvers: memory and bytes to read, before any voxel is read."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from lithax.images import Plan, plans
from lithax.solve._boundary_map import boundary_map
from lithax.solve._conduction import conductivity
from lithax.solve._conduction_arguments import boundaries_of, check_fields, check_gradient, check_numbers
from lithax.solve._conduction_setup import AXES, Boundaries, driven_axes
from lithax.solve._conduction_trend import check_budget
from lithax.solve._flow_words import check_words
from lithax.solve._over_devices import lies_over_devices
from lithax.solve._permeability import permeability
from lithax.solve._random_walker import random_walker
from lithax.solve._solve_memory import (
    PROGRAMS,
    dtype_of,
    memory_allowed,
    memory_of_conduction,
    memory_of_flow,
    memory_of_sweep,
    memory_of_walks,
)
from lithax.solve._source import size_of
from lithax.solve._streamed_memory import not_from_disk, plan_streaming
from lithax.solve._subvolumes import cubes_of, subvolumes
from lithax.solve._threshold_sweep import threshold_sweep
from lithax.solve._upscaled import largest_solve, memory_of_upscaling, sizes_of, upscaled_permeability


@plans(conductivity)
def _plan_conductivity(image: Any, /, **options: Any) -> Plan:
    given = _arguments(conductivity, image, options)
    boundaries, shape = _checked_conductivity(given)
    whole, over_devices = given.axis == "all" and boundaries.whole, lies_over_devices(image)
    found = memory_of_conduction(
        image, shape, given.axis, whole, given.fields, given.gradient, over_devices, given.reservoir
    )
    if found is None:
        raise TypeError("plan() of conductivity needs an image, or an array of three or four axes.")
    driven_axes(given.axis, found[0][-3:])
    plan = _plan("solve.conductivity", image, found[0], found[1], given.memory_limit)
    if plan.fits or over_devices or not_from_disk(boundaries, vars(given)):
        return plan
    kept, soft = given.checkpoint is not None, given.segmentation is not None
    cut = plan_streaming(
        image, given.axis, boundaries, given.spacing, given.reservoir, given.scratch, kept, soft, plan.memory_limit
    )
    if cut is None:
        return plan
    block = list(plan.image_shape)
    block[0 if given.axis == "all" else AXES.index(given.axis)] = cut.thickness
    x, y, z = block
    return dataclasses.replace(
        plan, block_shape=(x, y, z), blocks=-(-max(plan.image_shape) // cut.thickness), memory=cut.memory, scratch=cut.scratch + cut.kept, scratch_traffic=cut.traffic,
        bytes_read=plan.bytes_read * (3 if given.axis == "all" else 1),
    )  # fmt: skip


def _arguments(function: Callable[..., Any], image: Any, options: Mapping[str, Any]) -> SimpleNamespace:
    """Return all arguments of a call by name; TypeError for one that the function does not take."""
    call = inspect.signature(function).bind(image, **options)
    call.apply_defaults()
    return SimpleNamespace(**call.arguments)


def _checked_conductivity(given: SimpleNamespace) -> tuple[Boundaries, Any]:
    """Return what happens at the faces, and the shape of an image with filler; raise what the solve
    raises for words and numbers.
    """
    check_numbers(
        given.tolerance, given.gradient_tolerance, given.max_iterations, given.reservoir, given.area,
        given.percolation_at, given.unit,
    )  # fmt: skip
    boundaries = boundaries_of(given.axis, given.ends, given.sides, given.loading, given.reservoir)
    check_budget(given.budget)
    check_gradient(given.gradient, given.axis, given.image)
    check_fields(given.fields, given.axis, given.image)
    return boundaries, _shape_of(given)


def _shape_of(given: SimpleNamespace) -> Any:
    return None if given.shape is None or not hasattr(given.image, "shape") else size_of(given.image, given.shape)


@plans(permeability)
def _plan_permeability(image: Any, /, **options: Any) -> Plan:
    given = _arguments(permeability, image, options)
    check_words(
        given.axis, given.ends, given.sides, given.reservoir, given.tolerance, given.gradient_tolerance,
        given.max_iterations, given.area, given.fields,
    )  # fmt: skip
    _shape_of(given)
    kept = given.fields or given.ends == given.sides == "periodic"
    found = memory_of_flow(image, lies_over_devices(image), given.axis, kept, given.reservoir)
    if found is None:
        raise TypeError("plan() of permeability needs an image, or an array of three axes.")
    return _plan("solve.permeability", image, found[0], found[1], given.memory_limit)


@plans(boundary_map)
def _plan_boundary_map(image: Any, /, *, memory_limit: Any = None, **_: Any) -> Plan:
    found = memory_of_flow(image, False, "x")  # of the solve: the map itself takes less
    if found is None:
        raise TypeError("plan() of boundary_map needs an image, or an array of three axes.")
    return _plan("solve.boundary_map", image, found[0], found[1], memory_limit)


@plans(subvolumes)
def _plan_subvolumes(
    image: Any, /, *, edge: Any, axis: str = "all", stride: Any = None, flow: Any = False, progress: bool = False,
    memory_limit: Any = None, **options: Any,
) -> Plan:  # fmt: skip
    cubes = cubes_of(image, edge, stride)
    largest = (max(e for e, _ in cubes),) * 3
    cube = np.broadcast_to(np.zeros((), dtype_of(image)), largest)
    _checked_conductivity(_arguments(conductivity, cube, {"axis": axis, **options}))
    solves = [memory_of_conduction(cube, None, axis, False, False, None, False)]
    solves += [memory_of_flow(cube, False, axis)] if flow is not False else []
    # The programs of both solvers are kept, the memory of one is given back before the other.
    memory = max(found[1] for found in solves if found is not None) + PROGRAMS * (len(solves) - 1)
    plan = _plan("solve.subvolumes", image, image.shape, memory, memory_limit)
    voxels = sum(e**3 for e, _ in cubes) if plan.bytes_read else 0  # one cube after the other
    return dataclasses.replace(
        plan, block_shape=largest, blocks=len(cubes), bytes_read=voxels * dtype_of(image).itemsize
    )


@plans(random_walker)
def _plan_random_walker(image: Any, /, *_: Any, memory_limit: Any = None, **__: Any) -> Plan:
    if len(getattr(image, "shape", ())) != 3:
        raise TypeError("plan() of random_walker needs an image, or an array of three axes.")
    shape, memory = memory_of_walks(image)
    return _plan("solve.random_walker", image, shape, memory, memory_limit)


@plans(threshold_sweep)
def _plan_threshold_sweep(scan: Any, /, *_: Any, memory_limit: Any = None, **__: Any) -> Plan:
    found = memory_of_sweep(scan)
    if found is None:
        raise TypeError("plan() of threshold_sweep needs an image, or an array of three axes.")
    return _plan("solve.threshold_sweep", scan, found[0], found[1], memory_limit)


@plans(upscaled_permeability)
def _plan_upscaled_permeability(
    image: Any, /, *, edge: Any, check: Any = 1, memory_limit: Any = None, **__: Any,
) -> Plan:  # fmt: skip
    sizes = sizes_of(image, edge)
    counts = [-(-n // e) for n, e in zip(image.shape, sizes, strict=True)]
    _, memory = memory_of_upscaling(image, largest_solve(image, sizes, check))
    plan = _plan("solve.upscaled_permeability", image, image.shape, memory, memory_limit)
    return dataclasses.replace(plan, block_shape=sizes, blocks=math.prod(counts))


def _plan(name: str, image: Any, shape: tuple[int, ...], memory: int, memory_limit: Any) -> Plan:
    x, y, z = (int(n) for n in shape[-3:])
    read = math.prod(shape) * np.dtype(image.dtype).itemsize if hasattr(image, "frame") else 0
    return Plan(
        function=name,
        image_shape=(x, y, z),
        block_shape=(x, y, z),
        halos=((0, 0, 0),),
        blocks=1,
        workers=1,
        compilations=1,
        bytes_read=read,
        bytes_written=0,
        memory=memory,
        memory_limit=memory_allowed(memory_limit),
    )
