"""Which voxels take part: masks, phases and regions as one domain."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lithax.arrays import refuse_masked
from lithax.chunked import ArraySource, Selection
from lithax.geometry import AbstractRegion, Frame
from lithax.grid import BlockSource


@dataclass(frozen=True, eq=False)
class Domain:
    """The voxels that take part in a call; made by `domain`."""

    exclude: Any = None
    include: Any = None
    segmentation: Any = None
    phases: Any = None
    region: Any = None
    plain: bool = False
    """Whether it stands for an array or image that was given as it is, without a name."""

    def __repr__(self) -> str:
        given = {k: v for k, v in self.__dict__.items() if v is not None and k != "plain"}
        return f"domain({', '.join(f'{k}={_describe(v)}' for k, v in given.items())})"


def domain(
    *values: Any,
    exclude: Any = None,
    include: Any = None,
    segmentation: Any = None,
    phases: int | Collection[int] | None = None,
    region: AbstractRegion | None = None,
    mask: Any = None,
) -> Any:
    """Say which voxels take part; all conditions given must hold. `lx.where` is the same function.

    With three values, ``lx.where(condition, a, b)`` is `a` where the condition holds and `b`
    elsewhere, voxel by voxel: an `Expression` if one of them is an image, otherwise what the
    arrays' library makes of them.

    Parameters
    ----------
    *values
        None, or a condition, `a` and `b`: images, arrays of their shape, and numbers.
    exclude, mask
        Boolean image or array, True = left out (two names for one thing).
    include
        Boolean image or array, True = taken in.
    segmentation
        Unsigned-integer (or boolean) image or array of phases.
    phases
        The values of `segmentation` that are taken in; without them, every value but 0.
    region
        A region of `lithax.regions`; voxels whose centre lies inside it (boundary included) are
        taken in.

    Raises
    ------
    TypeError, ValueError
        If a mask is not boolean, a segmentation is not of unsigned integers, or phases are given
        without a segmentation.
    """
    if values:
        names = ("exclude", "include", "segmentation", "phases", "region", "mask")
        conditions = (exclude, include, segmentation, phases, region, mask)
        given = [name for name, value in zip(names, conditions, strict=True) if value is not None]
        if len(values) != 3 or given:
            raise TypeError(
                f"where() was given {len(values)} values{' and ' + ', '.join(given) if given else ''}; it takes a condition, a and "
                "b, or conditions by name alone, such as include=."
            )
        from lithax.images._expression import choose

        return choose(*values)
    if mask is not None:
        if exclude is not None:
            raise ValueError("mask= is another name for exclude=; give one of them.")
        exclude = mask
    for name, value in (("exclude", exclude), ("include", include)):
        for part in _several(value):
            if isinstance(part, AbstractRegion) and name == "include":
                continue
            _check_kind(
                name, part, "b", "boolean (True = left out)" if name == "exclude" else "boolean (True = taken in)"
            )
    if segmentation is not None:
        _check_kind("segmentation", segmentation, "ub", "unsigned integers, one number per phase")
    if phases is not None:
        if segmentation is None:
            raise ValueError(f"phases={phases!r} are values of a segmentation; give segmentation=, too.")
        named: tuple[Any, ...] = tuple(phases) if isinstance(phases, Collection) or np.ndim(phases) else (phases,)  # pyright: ignore[reportArgumentType]
        if not named:
            raise ValueError("phases=() selects no voxel; name at least one phase, or leave phases out for all but 0.")
        for phase in named:
            if not isinstance(phase, int | np.integer | bool | np.bool_) or phase < 0:
                raise ValueError(f"phases={phases!r} must be whole numbers >= 0, values of the segmentation.")
        phases = tuple(sorted({int(p) for p in named}))
    if region is not None and not isinstance(region, AbstractRegion):
        raise TypeError(
            f"region is a {type(region).__name__}; give a region of lithax.regions (or include= for an image)."
        )
    return Domain(exclude, include, segmentation, phases, region)


where = domain


def as_domain(where: Any) -> Domain | None:
    """Return a domain, a region, or a boolean array or image (what to include) as a domain."""
    refuse_masked(where, "where")
    if where is None or isinstance(where, Domain):
        return where
    if isinstance(where, AbstractRegion):
        return domain(region=where)
    if isinstance(where, dict):
        return domain(**where)
    if hasattr(where, "dtype") and hasattr(where, "shape"):
        _check_kind("where", where, "b", "boolean (True = taken in)")
        return replace(domain(include=where), plain=True)
    raise TypeError(
        f"where is a {type(where).__name__}; give lx.domain(...), a region, or a boolean image or array of what to take in."
    )


def make_selection(where: Domain | None, frame: Frame, named: str = "the image") -> Selection | None:
    """Return the selection that the combinators evaluate block by block, checked against the frame
    of the image.
    """
    if where is None:
        return None
    region = where.region
    include = []
    for part in _several(where.include):
        if isinstance(part, AbstractRegion):
            region = part if region is None else region & part
        else:
            include.append(as_source(part, frame, "where" if where.plain else "include", named))
    return Selection(
        frame,
        tuple(as_source(p, frame, "exclude", named) for p in _several(where.exclude)),
        tuple(include),
        None if where.segmentation is None else as_source(where.segmentation, frame, "segmentation", named),
        where.phases,
        region,
    )


def as_source(value: Any, frame: Frame, name: str, named: str) -> BlockSource:
    """Return an image or array as a source of blocks; it must lie on the grid of `frame`."""
    if tuple(value.shape) != frame.shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, {named} {frame.shape}; they must agree.")
    own = getattr(value, "frame", None)
    if isinstance(own, Frame):
        if not own.same_grid(frame):
            raise ValueError(
                f"{name} has its first voxel at {own.voxel_origin} and voxels of {own.voxel_length} {own.voxel_unit}, {named} "
                f"{frame.voxel_origin} and {frame.voxel_length} {frame.voxel_unit}; correct one with image.update(...)."
            )
        return value.stored
    return ArraySource(value)


def _several(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _check_kind(name: str, value: Any, kinds: str, rule: str) -> None:
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise TypeError(f"{name} is a {type(value).__name__}; give an image or an array of {rule}.")
    kind = "b" if str(value.dtype).endswith("bool") else np.dtype(str(value.dtype).rsplit(".", 1)[-1]).kind
    if kind not in kinds:
        raise TypeError(
            f"{name} has dtype {value.dtype}; it must be {rule}; make one with lx.chunk_map(lambda v: v != 0, ...)"
            + (" or astype." if "u" in kinds else ".")
        )


def _describe(value: Any) -> str:
    if isinstance(value, list) or (isinstance(value, tuple) and any(hasattr(v, "shape") for v in value)):
        return f"[{', '.join(map(_describe, value))}]"
    if isinstance(value, AbstractRegion | tuple | int):
        return repr(value)
    where = getattr(getattr(value, "stored", None), "where", None)
    return where or f"<{type(value).__name__} {tuple(value.shape)} {value.dtype}>"
