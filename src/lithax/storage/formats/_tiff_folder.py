"""Reading folders of TIFF files with one page each, as scanners write their slices."""

import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from lithax.errors import FileFormatError
from lithax.grid import Box, Index
from lithax.storage.formats._tiff import PAGES, TIFF_SUFFIXES, TiffSource
from lithax.storage.formats._transpose import copy_reversed


class TiffFolderSource:
    """The slices in a folder along z, in the order of the numbers in their names; each is opened
    when a box cuts it.

    Parameters
    ----------
    folder
        Path of the folder; only its TIFF files count.

    Raises
    ------
    FileFormatError
        If the names do not say one order, a number is missing among them, or a file holds more than
        one page, or is not of the shape and type of the first.
    """

    order = "F"
    layered_axis = 2

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.slices = _in_order(self.folder)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        with TiffSource(self.slices[0]) as first:
            self._page, self.stored_dtype = first.shape, first.stored_dtype
            self._described = first.described()
            self._check(first)
        with TiffSource(self.slices[-1]) as last:
            self._check(last)

    def _check(self, page: TiffSource) -> None:
        nx, ny, pages = page.shape
        if pages != 1:
            raise FileFormatError(
                f"file={str(page.file)!r} holds {pages} pages; in a folder of slices each file holds one. Open the file itself."
            )
        if page.shape != self._page or page.stored_dtype != self.stored_dtype:
            raise FileFormatError(
                f"file={str(page.file)!r} holds {nx} x {ny} voxels of {page.stored_dtype}, the first slice, {self.slices[0].name}, "
                f"{self._page[0]} x {self._page[1]} of {self.stored_dtype}; all slices of a folder are alike."
            )

    @property
    def shape(self) -> Index:
        """Number of voxels along each axis."""
        return (self._page[0], self._page[1], len(self.slices))

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel."""
        return self.stored_dtype

    def described(self) -> dict[str, Any]:
        """Return what the first slice says of the size of its voxels, as arguments of `create`."""
        return self._described

    def read(self, box: Box) -> np.ndarray:
        """Return the voxels of a box, with the axes x, y, z."""
        return self.arrange(self.read_stored(box))

    def read_stored(self, box: Box) -> np.ndarray:
        """Return the voxels of a box with the axes z, y, x."""
        x, y, z = box
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.stored_dtype)
        for n in range(z.start, z.stop):
            self._read_slice(n, x, y, out[n - z.start])
        return out

    def _read_slice(self, n: int, x: slice, y: slice, out: np.ndarray) -> None:
        with self._lock:
            kept = self._kept.get(n)
        if kept is not None:
            out[...] = kept[y, x]
            return
        with TiffSource(self.slices[n]) as page:
            self._check(page)
            if not page.compressed:
                out[...] = page.read_stored((x, y, slice(0, 1)))[0]
                return
            # The next box is likely to cut the same slices, which cannot be decoded in part.
            whole = page.read_stored((slice(0, self._page[0]), slice(0, self._page[1]), slice(0, 1)))[0]
        out[...] = whole[y, x]
        with self._lock:
            self._kept[n] = whole
            while len(self._kept) > max(1, PAGES // whole.nbytes):
                self._kept.popitem(last=False)

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return voxels with the axes x, y, z."""
        values = np.empty(stored.shape[::-1], self.stored_dtype)
        copy_reversed(stored, values)
        return values


def _in_order(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder by the one number that differs in their names: 2 before
    10.
    """
    files = [f for f in folder.iterdir() if f.name.lower().endswith(TIFF_SUFFIXES) and not f.name.startswith(".")]
    kinds = sorted({re.sub(r"\d+", "#", f.name) for f in files})
    if len(kinds) > 1:
        raise FileFormatError(
            f"file={str(folder)!r} holds files of several series ({', '.join(kinds[:4])}{', ...' if len(kinds) > 4 else ''}, where # "
            "is a number); a folder of slices holds one. Move the others to folders of their own."
        )
    numbers = {f: tuple(map(int, re.findall(r"\d+", f.name))) for f in files}
    files.sort(key=lambda f: numbers[f])
    if len(files) == 1:
        return files
    differing = [place for place, values in enumerate(zip(*numbers.values(), strict=True)) if len(set(values)) > 1]
    if len(differing) != 1:
        raise FileFormatError(
            f"file={str(folder)!r} holds {len(files)} slices, from {files[0].name} to {files[-1].name}, in whose names "
            f"{len(differing) or 'no'} numbers differ; one that counts the slices is needed."
        )
    counted = [numbers[f][differing[0]] for f in files]
    steps = np.diff(counted)
    if (steps != steps.min()).any() or steps.min() < 1:
        at = int(np.argmax(steps != steps.min())) if steps.min() > 0 else int(np.argmin(steps))
        what = "the same number" if steps[at] < 1 else "a gap"
        raise FileFormatError(
            f"file={str(folder)!r}: between the slices {files[at].name} and {files[at + 1].name} is {what}; slices are counted in equal "
            "steps. Complete the folder, or move what does not belong to it elsewhere."
        )
    return files
