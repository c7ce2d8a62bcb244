"""Lines of the error budget of an image larger than memory: those of `_conduction_trend`, from
voxels that are read a few planes at a time.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lithax.solve._conduction_again import OtherVoxels
from lithax.solve._conduction_trend import coarsenings, coarser, relative
from lithax.solve._scratch import ScratchVolume
from lithax.solve._streamed_voxels import StreamedImage
from lithax.solve._voxel_meaning import Meaning


def resolution_trend_on_disk(
    image: StreamedImage, meaning: Meaning, value: Any, others: OtherVoxels, folder: Path
) -> dict[int, Any]:
    """Return the change of the value on the image coarsened two- and three-fold, by the factor.

    The coarse images lie in scratch files; each is solved in memory where it fits.

    Parameters
    ----------
    image
        In the order of its own axes.
    meaning
        Of its values.
    value
        Of the image itself.
    others
        Solves for other voxels.
    folder
        For scratch files.
    """
    found, table = {}, None if meaning.medium.table is None else np.asarray(meaning.medium.table)
    for factor, factors in coarsenings(image.shape).items():
        with _coarser_files(image, meaning, factors, folder) as (voxels, mask):
            found[factor] = relative(others.value(voxels, table, mask, float(factor)), value)
    return found


@contextlib.contextmanager
def _coarser_files(
    image: StreamedImage, meaning: Meaning, factors: tuple[int, ...], folder: Path
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Make voxels and mask on coarser voxels, in files that are mapped into memory."""
    table = meaning.medium.table
    phases = None if table is None else len(np.asarray(table))
    nx, ny, nz = (n // f for n, f in zip(image.shape, factors, strict=True))
    planes = max(1, image.at_once // factors[0])  # of the coarse image
    with contextlib.ExitStack() as files:

        def file(dtype: Any) -> ScratchVolume:
            return files.enter_context(contextlib.closing(ScratchVolume(folder, (nx, ny, nz), dtype)))

        voxels = masks = None
        for begin in range(0, nx, planes):
            count = min(planes, nx - begin) * factors[0]
            values, inside = image.read(begin * factors[0], count)
            made = coarser(_coded(meaning, values, inside), phases, factors)
            voxels = file(made.dtype) if voxels is None else voxels
            voxels.write(begin, made)
            if inside is not None:
                masks = file(bool) if masks is None else masks
                masks.write(begin, coarser(inside, None, factors))
        assert voxels is not None
        yield voxels.mapped(), None if masks is None else masks.mapped()


def _coded(meaning: Meaning, values: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Return what a solve in memory holds of voxels: booleans, numbers of phases, or
    conductivities.
    """
    if not meaning.is_field:
        return meaning.looked_up(values, np.asarray(meaning.medium.data).reshape(-1))
    # Outside of the sample a field may hold anything.
    known = (values >= 0) & (values < np.inf)
    return values if inside is None or known.all() else np.where(known, values, values.dtype.type(0))
