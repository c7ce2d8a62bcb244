"""Patches of images to train a network with: each one a function of (seed, number) alone."""

import collections
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np

from lithax.grid import Index, triple
from lithax.images._call import refuse_tracers, world_of
from lithax.images._labelled_scans import LabelCounts, Scan, pair_scans
from lithax.images._voxel_image import VoxelImage


class Patches(Iterator):
    """Batches of patches and their labels, without end. Made by `patches`."""

    def __init__(
        self,
        scans: Sequence[Scan],
        shape: Index,
        batch: int,
        seed: int,
        shares: Mapping[int, float] | None,
        changes: "_Changes",
        start: int,
        prefetch: int,
        world: Any,
    ):
        self._scans, self._shape, self._batch, self._seed = scans, shape, batch, seed
        self._changes, self._world, self._prefetch = changes, world, prefetch
        self._index = None if shares is None else _Balanced(scans, shares, world)
        self._next = start
        self._waiting: collections.deque[Future] = collections.deque()
        self._pool = (
            ThreadPoolExecutor(max_workers=min(prefetch, 4), thread_name_prefix="lithax-patches") if prefetch else None
        )

    @property
    def position(self) -> int:
        """How many batches have been given; ``patches(..., start=position)`` goes on from there."""
        return self._next

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self._shape))
        return f"<patches of {shape} voxels, {self._batch} a batch, at batch {self._next}>"

    def __next__(self) -> Any:
        """Return the next batch: grey levels of shape (batch, channels, x, y, z), and labels."""
        import jax

        if self._pool is None:
            made = self._made(self._next)
        else:
            for ahead in range(len(self._waiting), self._prefetch):
                self._waiting.append(self._pool.submit(self._made, self._next + ahead))
            made = self._waiting.popleft().result()
            self._waiting.append(self._pool.submit(self._made, self._next + self._prefetch))
        self._next += 1
        return jax.device_put(made)

    def close(self) -> None:
        """Stop reading ahead."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _made(self, number: int) -> Any:
        first = number * self._batch
        pairs = [self._patch((first + k) * self._world.count + self._world.index) for k in range(self._batch)]
        grey = np.stack([p for p, _ in pairs])
        labels = [p for _, p in pairs if p is not None]
        return (grey, np.stack(labels)) if labels else grey

    def _patch(self, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        draw = np.random.Generator(np.random.Philox(key=[self._seed, n]))
        if self._index is None:
            rooms = [math.prod(_room(scan.shape, self._shape)) for scan in self._scans]
            scan = self._scans[_pick(rooms, int(draw.integers(sum(rooms))))[0]]
            corner = [int(draw.integers(room)) for room in _room(scan.shape, self._shape)]
        else:
            scan, voxel = self._index.voxel(draw)
            limits = _room(scan.shape, self._shape)
            corner = [min(max(v - n // 2, 0), r - 1) for v, n, r in zip(voxel, self._shape, limits, strict=True)]
        box = tuple(slice(c, c + n) for c, n in zip(corner, self._shape, strict=True))
        grey = np.stack([np.asarray(image[box], dtype=np.float32) for image in scan.images])
        labels = None if scan.labels is None else np.asarray(scan.labels[box], dtype=np.int32)
        return self._changes(grey, labels, draw)


class _Changes:
    """What is done to a patch so that a network does not learn what does not matter."""

    def __init__(self, flips: bool, turns: bool, gain: float, shift: float, equal: tuple[bool, ...]):
        self.flips, self.gain, self.shift = bool(flips), float(gain), float(shift)
        orders = list(itertools.permutations(range(3))) if turns else [(0, 1, 2)]
        self.orders = [o for o in orders if all(equal[a * 3 + b] for a, b in enumerate(o))]

    def __call__(self, grey: np.ndarray, labels: np.ndarray | None, draw: np.random.Generator) -> Any:
        # The same numbers are drawn whatever is asked for: one choice does not change another.
        order = self.orders[int(draw.random() * len(self.orders))]
        signs, (gain, shift) = draw.random(3) < 0.5, draw.uniform(-1.0, 1.0, 2)
        cut = tuple(slice(None, None, -1) if self.flips and s else slice(None) for s in signs)
        grey = grey.transpose(0, *(o + 1 for o in order))[(slice(None), *cut)]
        if self.gain or self.shift:
            grey = (grey * (1.0 + self.gain * gain) + self.shift * shift).astype(np.float32)
        if labels is not None:
            labels = np.ascontiguousarray(labels.transpose(order)[cut])
        return np.ascontiguousarray(grey), labels


class _Balanced:
    """Voxels drawn by the shares of their labels."""

    def __init__(self, scans: Sequence[Scan], shares: Mapping[int, float], world: Any):
        self._counts = LabelCounts(scans, world)
        known = self._counts.labels
        if not shares:
            shares = {value: 1.0 for value in known}
        if missing := sorted(set(shares) - set(known)):
            raise ValueError(f"balance names the labels {missing}, which no voxel has; the labels are {known[:20]}.")
        self._labels = list(shares)
        self._shares = np.cumsum([shares[v] for v in self._labels]) / sum(shares.values())
        self._sums = {v: self._counts.up_to(v) for v in self._labels}

    def voxel(self, draw: np.random.Generator) -> tuple[Scan, tuple[int, ...]]:
        """Return a voxel of a label drawn by its share, each of the label's voxels as likely."""
        label = self._labels[int(np.searchsorted(self._shares, draw.random(), side="right"))]
        sums = self._sums[label]
        rank = int(draw.integers(int(sums[-1])))
        tile = int(np.searchsorted(sums, rank, side="right"))
        rank -= int(sums[tile - 1]) if tile else 0
        number, box = self._counts.tiles[tile]
        (place,) = self._counts.places(tile, label, [rank])
        return self._counts.scans[number], tuple(int(p) + s.start for p, s in zip(place, box, strict=True))


def _room(whole: Sequence[int], part: Sequence[int]) -> list[int]:
    return [n - p + 1 for n, p in zip(whole, part, strict=True)]


def _pick(weights: Sequence[int], rank: int) -> tuple[int, int]:
    for k, weight in enumerate(weights):
        if rank < weight:
            return k, rank
        rank -= weight
    raise IndexError(rank)


def patches(
    images: Any,
    labels: Any = None,
    *,
    shape: Any,
    batch: int,
    seed: int,
    balance: Any = False,
    flips: bool = True,
    turns: bool = True,
    gain: float = 0.0,
    shift: float = 0.0,
    start: int = 0,
    prefetch: int = 2,
    world: Any = None,
) -> Patches:
    """Cut patches from images of any size, to train a network with: an iterator of JAX arrays
    without end.

    Patch n is a function of (seed, n) alone: where it lies, how it is turned and how its grey
    levels are changed do not depend on chunks, threads or the run before. In several processes,
    process p of P takes the patches n with n mod P = p, so that all together take what one process
    would. While the device works, the next batches are read.

    Parameters
    ----------
    images
        A scan, or a list of scans: an image, an expression or an array each; a tuple of them for
        several channels.
    labels
        The labels of the scan, integers or booleans of its shape, or a list of as many; without
        them patches come alone.
    shape
        Edges of a patch [voxel], one or three.
    batch
        Patches per batch, in each process.
    seed
        Integer from which everything is drawn.
    balance
        False: every place of a patch in the scans is as likely. True: the voxel in the middle (less
        near a face, where the patch is moved inwards) has each label as often, and is any of the
        label's voxels as likely; a mapping of labels to shares instead of True says how often. This
        takes one pass over the labels, at once, whose counts per tile of 64³ voxels stay in memory.
    flips, turns
        Whether patches are mirrored, and their axes exchanged, at random; only axes of equal voxel
        length and equal edge of the patch are exchanged.
    gain, shift
        Grey levels become ``grey (1 + gain u) + shift v``, u and v uniform between -1 and 1, drawn
        for each patch: `gain` [-], `shift` in the unit of the image.
    start
        Number of the first batch: `Patches.position` of a run that is to be continued.
    prefetch
        Batches that are read ahead; 0 reads when asked.
    world
        The processes; by default those of the images.

    Returns
    -------
        An iterator: ``grey, labels = next(...)``, float32 of shape (batch, channels, x, y, z) and
        int32 of shape (batch, x, y, z). ``close()``, or a `with` statement, ends reading ahead.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, a patch is larger than a scan, or a label to balance by is missing.

    Examples
    --------
    >>> import numpy as np
    >>> scan = np.arange(4096.0).reshape(16, 16, 16)
    >>> with patches(scan, scan > 2000, shape=8, batch=4, seed=1, balance=True) as batches:
    ...     grey, labels = next(batches)
    >>> grey.shape, labels.shape
    ((4, 1, 8, 8, 8), (4, 8, 8, 8))
    """
    refuse_tracers("patches", (images, labels))
    edges = shape if isinstance(shape, tuple | list) else (shape,) * 3
    if len(edges) != 3 or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in edges):
        raise ValueError(f"shape={shape!r} must be a positive number of voxels, or three of them.")
    for name, value, least in (("batch", batch, 1), ("start", start, 0), ("prefetch", prefetch, 0), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name}={value!r} must be an integer, {least} or more.")
    for name, number in (("gain", gain), ("shift", shift)):
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name}={number!r} must be finite and not negative.")
    scans = pair_scans(images, labels, triple(edges))
    if balance is not False and labels is None:
        raise ValueError(f"balance={balance!r} needs labels to balance by; give labels=.")
    handles = [i for scan in scans for i in (*scan.images, scan.labels) if isinstance(i, VoxelImage)]
    equal = tuple(
        edges[a] == edges[b]
        and all(math.isclose(scan.frame.voxel_length[a], scan.frame.voxel_length[b]) for scan in scans)
        for a in range(3)
        for b in range(3)
    )
    changes = _Changes(flips, turns, gain, shift, equal)
    found = world_of("patches", handles, world)
    return Patches(
        scans, triple(edges), operator.index(batch), operator.index(seed), _shares(balance), changes, operator.index(start),
        operator.index(prefetch), found,
    )  # fmt: skip


def _shares(balance: Any) -> dict[int, float] | None:
    if balance is False:
        return None
    if balance is True:
        return {}
    if not isinstance(balance, Mapping) or not balance:
        raise ValueError(
            f"balance={balance!r} must be True, False, or a mapping of labels to shares such as {{0: 1, 1: 2}}."
        )
    if any(not (math.isfinite(v) and v >= 0) for v in balance.values()) or not sum(balance.values()) > 0:
        raise ValueError(f"balance={balance!r} must hold shares that are not negative, with a positive sum.")
    return {int(k): float(v) for k, v in balance.items()}
