"""What neighbouring devices must see of each other's voxels.

Along each axis in turn a device sends the layers at its faces to its neighbours (`ppermute`), so
that edges and corners travel by two and three steps. At the faces of the image a boundary rule
takes their place. What is sent and received are thin slabs; the part itself is copied once, when
all slabs are there.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lithax.arrays import boundary_index, check_boundary
from lithax.grid import Halo, Index
from lithax.sharded._mesh import axis_names, counts_of


def exchange_halo(
    x: jax.Array,
    halo: int | Halo,
    mesh: Mesh,
    boundary: str = "reflect",
    boundary_value: Any = 0,
    *,
    shape: Index | None = None,
) -> jax.Array:
    """Give every device its part of an array with `halo` voxels around it.

    Parameters
    ----------
    x
        Array over the devices of `mesh`, as `lithax.shard` makes it.
    halo
        How far to see [voxel]: one number, or one per axis; it may be wider than a part.
    mesh
        The devices.
    boundary, boundary_value
        What lies outside the image: "reflect", "nearest", "mirror", "wrap" or "constant", as in
        scipy.ndimage.
    shape
        Shape of the image, where `x` has filler beyond its upper faces. Filler within `halo` of the
        image is replaced by what the boundary rule says; other filler means nothing.

    Returns
    -------
        The padded parts, side by side: each of the n parts of an axis is 2 `halo` longer.
        Differentiable.

    Raises
    ------
    ValueError
        If the boundary rule is unknown, the halo negative, or the shape does not divide by the
        mesh.
    """
    padded = padded_part(x.shape, halo, mesh, boundary, boundary_value, shape)
    spec = PartitionSpec(*axis_names(mesh))
    return jax.shard_map(padded, mesh=mesh, in_specs=spec, out_specs=spec)(x)


def exchange_faces(
    x: jax.Array,
    halo: int | Halo,
    mesh: Mesh,
    boundary: str = "reflect",
    boundary_value: Any = 0,
) -> tuple[tuple[jax.Array, jax.Array] | None, ...]:
    """Give every device the layers around its part, apart from the part: what `exchange_halo` adds,
    without its copy of the part.

    Parameters
    ----------
    x, mesh, boundary, boundary_value
        As in `exchange_halo`.
    halo
        How far to see [voxel]: one number, or one per axis; less than the length of a part.

    Returns
    -------
        For each axis the layers below and above every part, side by side over the devices; None
        where the halo is 0. Those along x are as long as the part, those along y as the part with
        its halo along x, and those along z as the part with both, so that each voxel around a part
        is in one of them.

    Raises
    ------
    ValueError
        As `exchange_halo`, and if the halo is not less than the length of a part.
    """
    widths, near = _checked(x.shape, halo, mesh, boundary, None)
    if not near:
        lengths = tuple(n // c for n, c in zip(x.shape, counts_of(mesh), strict=True))
        raise ValueError(f"halo={halo!r} must be less than the length of a part, {lengths}; use exchange_halo.")
    spec = PartitionSpec(*axis_names(mesh))
    outs = tuple((spec, spec) if width else None for width in widths)

    def slabs(block: jax.Array) -> Any:
        return tuple(_slabs(block, x.shape, widths, mesh, boundary, boundary_value))

    return jax.shard_map(slabs, mesh=mesh, in_specs=spec, out_specs=outs)(x)


def stencil(
    body: Callable[[jax.Array], jax.Array],
    halo: int | Halo,
    mesh: Mesh,
    boundary: str = "reflect",
    boundary_value: Any = 0,
    *,
    shape: Index | None = None,
) -> Callable[[jax.Array], jax.Array]:
    """Return a function of arrays over the devices of a mesh that applies a stencil, to be used
    under `jax.jit`.

    Parameters
    ----------
    body
        Takes a padded block and returns its core, as the body of a `lithax.voxel_op` does.
    halo, mesh, boundary, boundary_value, shape
        As in `exchange_halo`.

    Examples
    --------
    A step of diffusion on all devices, a hundred times:

    >>> import lithax as lx
    >>> from lithax.sharded import make_mesh, stencil
    >>> def step(block):
    ...     core = block[1:-1, 1:-1, 1:-1]
    ...     around = block[2:, 1:-1, 1:-1] + block[:-2, 1:-1, 1:-1] + block[1:-1, 2:, 1:-1]
    ...     around += block[1:-1, :-2, 1:-1] + block[1:-1, 1:-1, 2:] + block[1:-1, 1:-1, :-2]
    ...     return core + 0.1 * (around - 6 * core)
    >>> mesh = make_mesh()
    >>> x = lx.shard(lx.sphere_pack((16, 16, 16), "f4"), mesh)
    >>> smoothed = stencil(step, 1, mesh)
    >>> smooth = jax.jit(lambda x: jax.lax.fori_loop(0, 100, lambda _, v: smoothed(v), x))
    >>> bool(jnp.isclose(smooth(x).mean(), x.mean()))
    True
    """

    def apply(x: jax.Array) -> jax.Array:
        padded = padded_part(x.shape, halo, mesh, boundary, boundary_value, shape)
        spec = PartitionSpec(*axis_names(mesh))
        return jax.shard_map(lambda block: body(padded(block)), mesh=mesh, in_specs=spec, out_specs=spec)(x)

    return apply


def _checked(
    filled: tuple[int, ...], halo: int | Halo, mesh: Mesh, boundary: str, shape: Index | None
) -> tuple[tuple[int, ...], bool]:
    """Return the halo per axis, and whether all there is to see lies in a part and in those beside
    it.
    """
    check_boundary(boundary)
    widths = (halo,) * 3 if isinstance(halo, int) else tuple(halo)
    if len(widths) != 3 or any(w < 0 for w in widths):
        raise ValueError(f"halo={halo!r} must be a number of voxels >= 0, or three of them.")
    counts = counts_of(mesh)
    if len(filled) != 3 or any(n % c for n, c in zip(filled, counts, strict=True)):
        raise ValueError(
            f"x has shape {filled}, which does not divide into {counts} parts; lithax.shard fills an image up to a shape that does."
        )
    sizes = filled if shape is None else tuple(shape)
    if len(sizes) != 3 or any(not 0 < n <= f for n, f in zip(sizes, filled, strict=True)):
        raise ValueError(f"shape={shape!r} must be that of the image, which fits into x of shape {filled}.")
    near = all(w == 0 or (n == f and w < f // c) for w, n, f, c in zip(widths, sizes, filled, counts, strict=True))
    return widths, near


def padded_part(
    filled: tuple[int, ...], halo: int | Halo, mesh: Mesh, boundary: str, value: Any, shape: Index | None
) -> Callable[[jax.Array], jax.Array]:
    """Return the function that pads one device's part, inside a `shard_map`."""
    widths, near = _checked(filled, halo, mesh, boundary, shape)
    sizes = filled if shape is None else shape

    def by_slabs(block: jax.Array) -> jax.Array:
        # One copy of the part, into which the slabs are written where they belong.
        padded = jnp.pad(block, [(w, w) for w in widths])
        for axis, slabs in enumerate(_slabs(block, filled, widths, mesh, boundary, value)):
            start = [0 if a <= axis else w for a, w in enumerate(widths)]
            for slab, at in zip(slabs or (), (0, padded.shape[axis] - widths[axis]), strict=False):
                start[axis] = at
                padded = jax.lax.dynamic_update_slice(padded, slab, start)
        return padded

    def by_windows(block: jax.Array) -> jax.Array:
        for axis, (name, count, size, width) in enumerate(
            zip(axis_names(mesh), counts_of(mesh), sizes, widths, strict=True)
        ):
            if width:
                block = _pad_by_window(block, axis, name, count, size, width, boundary, value)
        return block

    return by_slabs if near else by_windows


def _slabs(
    block: jax.Array, filled: tuple[int, ...], widths: tuple[int, ...], mesh: Mesh, boundary: str, value: Any
) -> list[tuple[jax.Array, jax.Array] | None]:
    """Return the layers below and above a part along each axis, where all there is to see lies in
    the parts beside it.
    """
    slabs: list[tuple[jax.Array, jax.Array] | None] = []
    for axis, (name, count, size, width) in enumerate(
        zip(axis_names(mesh), counts_of(mesh), filled, widths, strict=True)
    ):
        if width:
            # Only "mirror" leaves out the layer at the face, and asks for one more.
            depth = width + (boundary == "mirror")
            lower, upper = (_layers(block, slabs, axis, depth, at_end=at_end) for at_end in (False, True))
            slabs.append(_slabs_along(lower, upper, axis, name, count, size, width, boundary, value))
        else:
            slabs.append(None)
    return slabs


def _layers(
    block: jax.Array, slabs: list[tuple[jax.Array, jax.Array] | None], axis: int, depth: int, *, at_end: bool
) -> jax.Array:
    """Return the layers at one face of a part that has been extended by `slabs` along the axes
    before.
    """

    def rows(part: jax.Array) -> jax.Array:
        length = part.shape[axis]
        span = (length - depth, length) if at_end else (0, depth)
        return jax.lax.slice_in_dim(part, *span, axis=axis)

    layers = rows(block)
    for before, pair in enumerate(slabs):
        if pair is not None:
            layers = jnp.concatenate([rows(pair[0]), layers, rows(pair[1])], before)
    return layers


def _slabs_along(
    lower: jax.Array,
    upper: jax.Array,
    axis: int,
    name: str | None,
    count: int,
    size: int,
    width: int,
    boundary: str,
    value: Any,
) -> tuple[jax.Array, jax.Array]:
    """Return what lies below and above a part, of which the first and the last layers are given, as
    many as the rule asks for.
    """
    ring, depth = boundary == "wrap", lower.shape[axis]
    down, up = (
        jax.lax.slice_in_dim(lower, 0, width, axis=axis),
        jax.lax.slice_in_dim(upper, depth - width, depth, axis=axis),
    )
    if name is not None and count == 2:
        low, high = _swapped(down, up, axis, name, ring=ring)
    else:
        low, high = _from(up, name, count, -1, ring=ring), _from(down, name, count, 1, ring=ring)
    if ring:
        return low, high
    first = boundary_index(np.arange(-width, 0), size, boundary)
    last = boundary_index(size + np.arange(width), size, boundary) - (size - depth)
    outside = [_rows(part, index, axis) for part, index in ((lower, first), (upper, last))]
    if boundary == "constant":
        outside = [jnp.full_like(o, value) for o in outside]
    if count == 1 or name is None:
        return outside[0], outside[1]
    # The first part is at the lower face of the image, the last one at the upper face.
    place = jax.lax.axis_index(name)
    return jnp.where(place == 0, outside[0], low), jnp.where(place == count - 1, outside[1], high)


def _swapped(down: jax.Array, up: jax.Array, axis: int, name: str, *, ring: bool) -> tuple[jax.Array, jax.Array]:
    """Return what lies below and above one of two parts, which have only each other: one exchange
    instead of two.
    """
    there = [(0, 1), (1, 0)]
    if ring:
        both = jax.lax.ppermute(jnp.concatenate([up, down], axis), name, there)
        low, high = jnp.split(both, 2, axis)
        return low, high
    seen = jax.lax.ppermute(jnp.where(jax.lax.axis_index(name) == 0, up, down), name, there)
    return seen, seen  # on one side of it lies the face of the image


def _rows(part: jax.Array, index: np.ndarray, axis: int) -> jax.Array:
    """Return layers of a part; those in a row, forwards or backwards, by slices, which the compiler
    fuses with what follows.
    """
    steps = set(np.diff(index).tolist())
    if steps <= {1}:
        return jax.lax.slice_in_dim(part, int(index[0]), int(index[-1]) + 1, axis=axis)
    if steps <= {-1}:
        return jnp.flip(jax.lax.slice_in_dim(part, int(index[-1]), int(index[0]) + 1, axis=axis), axis)
    return jnp.take(part, index, axis=axis)


def _pad_by_window(
    block: jax.Array, axis: int, name: str | None, count: int, size: int, width: int, boundary: str, value: Any
) -> jax.Array:
    """Pad along one axis, however far what there is to see may lie: filler, or a halo wider than a
    part.

    The parts form a ring. Each gathers a window of it that holds every voxel it needs: `width`
    voxels on each side, and for "wrap" as many more as there is filler between the last voxel and
    the first.
    """
    length = block.shape[axis]
    around = count * length
    reach = width + 1 + (around - size if boundary == "wrap" else 0)
    lower, upper = [], []
    for hop in range(1, -(-reach // length) + 1):
        part = min(length, reach - (hop - 1) * length)
        lower.insert(0, _from(jax.lax.slice_in_dim(block, length - part, length, axis=axis), name, count, -hop))
        upper.append(_from(jax.lax.slice_in_dim(block, 0, part, axis=axis), name, count, hop))
    window = jnp.concatenate([*lower, block, *upper], axis)
    start = 0 if name is None else jax.lax.axis_index(name) * length
    position = start - width + jnp.arange(length + 2 * width)
    # Beyond what any voxel of the image sees, nothing need be right.
    source = boundary_index(jnp.minimum(position, size - 1 + width), size, boundary)
    index = source - start + reach
    index = index % around if boundary == "wrap" else index
    padded = jnp.take(window, jnp.clip(index, 0, length + 2 * reach - 1), axis=axis)
    if boundary == "constant":
        outside = (position < 0) | (position >= size)
        along = [1, 1, 1]
        along[axis] = -1
        padded = jnp.where(outside.reshape(along), jnp.asarray(value, padded.dtype), padded)
    return padded


def _from(rows: jax.Array, name: str | None, count: int, hop: int, *, ring: bool = True) -> jax.Array:
    """Return what the part `hop` places further along holds as `rows`; zeros beyond the last one,
    unless the parts form a ring.
    """
    if name is None or hop % count == 0:
        return rows
    there = [((k + hop) % count, k) for k in range(count) if ring or 0 <= k + hop < count]
    return jax.lax.ppermute(rows, name, there)
