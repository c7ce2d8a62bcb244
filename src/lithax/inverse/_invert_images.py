"""The inversion of images of any size, block by block."""

from typing import Any

import jax
import numpy as np

from lithax.arrays import namespace
from lithax.images import chunk_map
from lithax.inverse._distinct import distinct_statistics
from lithax.inverse._inversion import Inversion, pack
from lithax.inverse._monotone_pieces import Curves
from lithax.inverse._statistics import StatisticsRequest, statistics
from lithax.ops import Context, voxel_op
from lithax.typing import Array

OPTIONS = [
    "where",
    "where_input",
    "geometry",
    "chunks",
    "shards",
    "overwrite",
    "device",
    "memory_limit",
    "workers",
    "world",
    "progress",
    "resume",
    "resume_key",
    "hash_inputs",
]
"""What is passed on to `chunk_map`."""
UNITS = {"electron_density": "g/cm3", "atomic_number": ""}


@voxel_op(context=True, static=("wanted",))
def invert_block(
    low: Array, high: Array, *, block: Context, curves: Curves, wanted: StatisticsRequest
) -> tuple[Array, ...]:
    """Invert one block: the statistics that `wanted` names.

    In host memory NumPy does the work, and only for voxels that are taken in.
    """
    xp = namespace(low, high)
    shape = low.shape
    low, high = (xp.reshape(xp.astype(v, curves.reference_low.dtype), (-1,)) for v in (low, high))
    places = None
    if wanted.noise is not None:
        places = tuple(xp.reshape(i, (-1,)) for i in xp.broadcast_arrays(*block.index(xp.reshape(low, shape))))
    if not isinstance(low, np.ndarray):
        return tuple(xp.reshape(r, shape) for r in statistics(curves, low, high, wanted, places))
    kept = np.ones(low.shape, bool) if block.valid is None else np.broadcast_to(block.valid, shape).ravel()
    places = None if places is None else tuple(p[kept] for p in places)
    results = distinct_statistics(curves, low[kept], high[kept], wanted, places)
    return tuple(_put(r, kept, shape) for r in results)


def _put(values: np.ndarray, kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.full(kept.shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
    whole[kept] = values
    return whole.reshape(shape)


def chunk_map_options(
    table: Curves, wanted: StatisticsRequest, store: Any, path: str | None, backend: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return what `chunk_map` is called with besides `invert_block` and the images."""
    if unknown := set(options) - set(OPTIONS):
        raise TypeError(
            f"invert() has no option {sorted(unknown)}; for images these are passed on: {', '.join(OPTIONS)}."
        )
    if backend is None:
        backend = "numpy" if jax.default_backend() == "cpu" else "jax"
    names = wanted.names
    return dict(
        parameters={"curves": table, "wanted": wanted},
        store=None if store is None else (store,) * len(names),
        path=None if store is None else tuple(f"{path}/{name}" if path else name for name in names),
        field_name=tuple(name.replace("_", " ") for name in names),
        field_unit=tuple(next((u for q, u in UNITS.items() if name.startswith(q)), "") for name in names),
        backend=backend,
        **options,
    )


def invert_images(low: Any, high: Any, table: Curves, wanted: StatisticsRequest, *where_and_how: Any) -> Inversion:
    """Invert two images by `chunk_map`; results are images named `wanted.names`, in one group.

    What follows is passed to `chunk_map_options`.
    """
    results = chunk_map(invert_block, low, high, **chunk_map_options(table, wanted, *where_and_how))
    return pack(results, wanted, table.draws, table.usable)
