"""The units of an array and the ledger beside it: written together, and compared when something is
missing or to be checked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from lithax.grid import Index
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._ledger import (
    STORED,
    FileLedger,
    Header,
    Ledger,
    MemoryLedger,
    PartsLedger,
    digest_in,
    record_of,
)
from lithax.storage._objects import DirectoryObjects, MemoryObjects, Payload


class RecordedUnitsMixin(AbstractStoredArray):
    """What a `StoredArray` does with whole units and their records."""

    ledger: Ledger
    unit_key: Callable[[Index], str]
    read_unit: Callable[[Index], Payload | None]
    digest: Callable[[Payload | None], str]
    _objects: Any
    _prefix: str

    def number_of(self, unit: Index) -> int:
        """Return the number of a unit in C order, by which the ledger knows it."""
        _, ny, nz = self.unit_grid.counts
        return (unit[0] * ny + unit[1]) * nz + unit[2]

    def write_unit(self, unit: Index, payload: Payload | None, digest: str | None = None) -> None:
        """Store the bytes of a unit under its final name, or remove it; never a half-written
        object.

        Parameters
        ----------
        unit
            Place in `unit_grid`.
        payload
            The bytes; None removes what is there.
        digest
            That of `payload`, for the ledger, where it is known already.

        Raises
        ------
        PermissionError
            If the array is read-only.
        OSError
            If the disk is full, or fails: with the name of the file.
        """
        self.check_writable()
        digest = self.digest(payload) if digest is None else digest
        key = self.unit_key(unit)
        with self.ledger.changing(self.number_of(unit)) as note:
            if payload is None:
                self._objects.delete(key)
                note(record_of("empty"))
            else:
                status = self._objects.write(key, payload)
                note(record_of(digest, memoryview(payload).nbytes, status))

    def confirm_unit(self, unit: Index, payload: Payload | None, digest: str) -> None:
        """Let the ledger hold what was just found to be stored for a unit."""
        status = None
        if payload is not None and isinstance(self._objects, DirectoryObjects):
            status = self._objects.status(self.unit_key(unit))
        record = record_of(digest, 0 if payload is None else memoryview(payload).nbytes, status)
        known = self.ledger.record(self.number_of(unit), fresh=False)
        if known is None or known.tobytes() != record.tobytes():
            self.ledger.put(self.number_of(unit), record)

    def start_ledger(self, whole: bool = True) -> None:
        """Begin the record of what the units should hold; `whole` if none was written yet."""
        self.ledger = self._make_ledger()
        self.ledger.start(whole)

    def has_unit(self, unit: Index) -> bool:
        """Tell whether anything is stored for a unit, without reading it where that is possible."""
        if isinstance(self._objects, DirectoryObjects):
            return self._objects.status(self.unit_key(unit)) is not None
        return self.read_unit(unit) is not None

    def checked_unit(self, unit: Index) -> np.ndarray | None:
        """Return the stored bytes of a unit if they are those that were recorded, or if nothing
        was.

        Raises
        ------
        OSError
            If they are not.
        """
        for fresh in (False, True):
            record = self.ledger.record(self.number_of(unit), fresh)
            known = None if record is None or record["inferred"] else digest_in(record)
            data = self._objects.read(self.unit_key(unit))
            if known is None or self.digest(None if data is None else data.data) == known:
                if data is None:
                    self._check_present()
                return data
            if data is None:
                self.check_not_lost(unit)
            # It may have been written between the two readings: then they agree the second time.
        raise OSError(
            f"{self.unit_key(unit)!r} of the image at {self.where} is not what was written there: its bytes have another "
            f"digest than the record beside the image. It was damaged, or changed by another program; write this part "
            f"again, or, if what is there is right, record it with lx.verify(..., record=True)."
        )

    def check_not_lost(self, unit: Index) -> None:
        """Tell a unit that holds the fill value from one that is gone; it was just found missing.

        Raises
        ------
        OSError
            If something was written there that is no longer stored.
        FileNotFoundError
            If the whole image is gone.
        """
        self._check_present()
        for fresh in (False, True):
            record = self.ledger.record(self.number_of(unit), fresh)
            if record is None or record["state"] != STORED:
                return
            # It may have been written since it was found missing.
            if not fresh and self._objects.read(self.unit_key(unit)) is not None:
                return
        raise OSError(
            f"{self.unit_key(unit)!r} of the image at {self.where} is missing: {int(record['size'])} bytes were written there. "
            f"It was removed, or lost in a copy; write this part of the image again, or, if it shall be the fill value, "
            f"record that with lx.verify(..., record=True)."
        )

    def _check_present(self) -> None:
        """Tell an image that holds the fill value from a directory that is gone."""
        directory = self.directory
        if directory is not None and not (directory / "zarr.json").exists():
            raise FileNotFoundError(f"the image at {self.where} is no longer there; was it removed or unmounted?")

    def _make_ledger(self) -> Ledger:
        header = Header(self.metadata.created or "", self.unit_grid.counts, False)
        if isinstance(self._objects, DirectoryObjects):
            assert self.directory is not None
            return FileLedger(self.directory, header)
        if isinstance(self._objects, MemoryObjects):
            return MemoryLedger(self._objects, self._prefix, header)
        return PartsLedger(self._objects, self._prefix, header, self.zarray.store.supports_listing)
