"""A user's own algorithm of several passes over images."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from lithax.images._call import merge_parameters
from lithax.images._identity import described_parameters
from lithax.images._outputs import Output
from lithax.images._pass_driver import run_algorithm
from lithax.images._plan import Plan, plans
from lithax.images._plan_passes import Algorithm, ImageCall, plan_algorithm
from lithax.images._run import Run, pop_fields
from lithax.images._voxel_image import VoxelImage


def run_passes(
    algorithm: Callable[..., Any],
    *images: Any,
    parameters: Mapping[str, Any] | None = None,
    where: Any = None,
    store: Any = None,
    path: Any = None,
    overwrite: bool = False,
    chunks: Any = None,
    shards: Any = None,
    field_name: Any = None,
    field_unit: Any = None,
    backend: Any = "jax",
    device: Any = None,
    memory_limit: int | str | None = None,
    workers: int | None = None,
    world: Any = None,
    progress: bool = True,
    resume: bool | str = False,
    resume_key: str | None = None,
    **keywords: Any,
) -> tuple[tuple[VoxelImage, ...], Any]:
    """Run an algorithm that takes several passes over images of any size.

    Parameters
    ----------
    algorithm
        A generator function of a `lithax.passes.WholeImage` and of `parameters`. It yields a pass
        of `lithax.passes` and is sent what that gave: images for one that writes, which later
        passes read, the result for one that folds; so that what a pass does may depend on those
        before. It is gone through once more beforehand, with images that hold nothing, to know
        what the passes need.
    *images
        Images (or arrays) on one grid of voxels.
    parameters
        Arguments of the algorithm; they may also be given as keywords.
    where
        Which voxels take part, as for `chunk_map`; each pass may ask for them or not.
    store, path, overwrite, chunks, shards, field_name, field_unit
        Where the results go and how they are stored, as for `chunk_map`; of several results tuples.
        One pass writes all results, the others scratch images. Those lie inside the first result
        and go when it is complete; in an algorithm without a result, at `store`.
    backend, device, memory_limit, workers, world, progress
        As for `chunk_map`; the first two are for passes of operations and measurements.
    resume
        Go on with a run that was cut off, in the pass in which it was.
    resume_key
        A name for the algorithm, which a call with ``resume=True`` needs: change it when you change
        the algorithm. Parameters and inputs are compared in any case.

    Returns
    -------
        The results, and what the algorithm returns. If ``resume=True`` finds the results of an
        algorithm with scratch images complete, that is what was noted then: None unless JSON can
        hold it.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.
    MemoryLimitError
        If more memory than `memory_limit` would be needed, or the disk has no room for the scratch
        images.
    FileExistsError, LockedError, ResumeError, IncompleteImageError
        If the output is there already, is being written, or cannot be resumed.

    Examples
    --------
    >>> import numpy as np
    >>> import lithax as lx
    >>> def normalise(whole, *, contrast):
    ...     moments = lx.measure.Moments()
    ...     found = yield lx.passes.MeasurementPass("grey levels", moments, whole.images)
    ...     mean, scale = found.mean, contrast / found.standard_deviation
    ...     stretch = lambda v: (v - mean) * scale
    ...     yield lx.passes.OperationPass("stretch", stretch, whole.images)
    ...     return mean
    >>> scan = lx.from_array(np.arange(8.0).reshape(2, 2, 2))
    >>> (normal,), mean = lx.run_passes(normalise, scan, contrast=2.0)
    >>> mean, float(np.std(normal))
    (3.5, 2.0)
    """
    options = {name: value for name, value in locals().items() if name in _OPTIONS}
    call, made = _call(algorithm, where, merge_parameters(parameters, keywords), options)
    outputs, result = run_algorithm(call, images, made)
    return tuple(outputs), result


_OPTIONS = {f.name for kind in (Output, Run) for f in fields(kind)} - {"out", "dtype", "fill_value", "hash_inputs"}


def _call(
    algorithm: Callable[..., Any], where: Any, parameters: Mapping[str, Any], options: dict[str, Any]
) -> tuple[ImageCall, Algorithm]:
    name = getattr(algorithm, "__name__", type(algorithm).__name__)
    if not callable(algorithm):
        raise TypeError(f"algorithm is a {name}; give a generator function that yields passes.")
    output, run = pop_fields(Output, options), pop_fields(Run, options)
    call = ImageCall(name, described_parameters(parameters), where, output, run, ours=False)
    return call, lambda whole: algorithm(whole, **parameters)


@plans(run_passes)
def _plan(algorithm: Any, /, *images: Any, parameters: Any = None, where: Any = None, **options: Any) -> Plan:
    own = {k: v for k, v in options.items() if k in _OPTIONS}
    keywords = {k: v for k, v in options.items() if k not in _OPTIONS}
    call, made = _call(algorithm, where, merge_parameters(parameters, keywords), own)
    return plan_algorithm(call, images, made)
