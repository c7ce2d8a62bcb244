"""The metadata of an array: read fresh, changed as a whole, and only where it is still the array
that was opened.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.core.metadata import ArrayV3Metadata

from lithax.errors import StaleHandleError
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._axis_order import image_view, is_view, is_zyx
from lithax.storage._node_document import NodeDocument, UserAttributes, attributes_of
from lithax.storage._schema import KEY, Metadata


class MetadataMixin(AbstractStoredArray):
    """The metadata of a `StoredArray`."""

    _document: NodeDocument
    _form: dict[str, Any]

    def update_metadata(self, **changes: Any) -> Metadata:
        """Change some fields of the metadata: read fresh from the store, changed, and stored at
        once.

        Returns
        -------
            The new metadata, which is also `self.metadata`.

        Raises
        ------
        PermissionError
            If the array is read-only.
        StaleHandleError
            If another array is there now.
        TypeError
            If a value cannot be held by JSON.
        """
        return self.change_metadata(lambda stored: changes)

    def change_metadata(self, changes_of: Callable[[Metadata], Mapping[str, Any]]) -> Metadata:
        """Change the metadata as `update_metadata` does, by what the stored ones say, while nobody
        else changes them.
        """
        self.check_writable()
        changed: Metadata | None = None

        def work(attributes: dict[str, Any]) -> None:
            nonlocal changed
            stored = attributes.get(KEY)
            # An array of another program has no such key yet: what was understood of it is written
            # down.
            base = self.metadata if stored is None else Metadata.from_json(stored, self.where)
            changes = changes_of(base)
            if changes.get("content_hash", "") is None:  # voxels change: their pyramid is that of others
                changes = {"levels": None, **changes}
            document = base.replace(**changes).to_json()
            changed = Metadata.from_json(document, self.where)
            attributes[KEY] = document

        attributes = self._document.change(work, self._check_same)
        assert changed is not None
        self.metadata = changed
        self._refresh(attributes)
        return changed

    def check_current(self) -> dict[str, Any]:
        """Return the stored attributes if this is still the array that was opened.

        Raises
        ------
        StaleHandleError
            If it is not.
        """
        document = self._document.read()
        self._check_same(document)
        return attributes_of(document, self.where)

    def _check_same(self, document: Mapping[str, Any]) -> None:
        own = attributes_of(document, self.where).get(KEY)
        created = own.get("created") if isinstance(own, Mapping) else None
        form = {name: part for name, part in document.items() if name != "attributes"}
        if created == self.metadata.created and form == self._form:
            return
        try:
            found = ArrayV3Metadata.from_dict({**form, "attributes": {}})
            now: Any = zarr.Array(zarr.AsyncArray(metadata=found, store_path=self.zarray.store_path))
            now = (image_view(now) if is_zyx(found) and is_view(self.zarray) else now).metadata
            here: Any = self.zarray.metadata
            same = [getattr(here, name) == getattr(now, name) for name in ("shape", "data_type", "chunk_grid")]
            same.append([c.to_dict() for c in here.codecs] == [c.to_dict() for c in now.codecs])
            same.append(np.asarray(here.fill_value).tobytes() == np.asarray(now.fill_value).tobytes())
            text = f"shape {tuple(now.shape)} and data type {now.data_type.to_native_dtype()}"
        except Exception:  # Zarr raises many kinds for what it does not understand
            same, text = [False], "a form that cannot be read"
        if all(same) and created == self.metadata.created:
            self._form = form
            return
        raise StaleHandleError(
            f"the image at {self.where} was replaced after this handle on it (shape {self._shape}, data type "
            f"{self._dtype}) was opened; what is there now has {text}. Nothing was written; reopen it with lx.open()."
        )

    def reload_metadata(self) -> Metadata:
        """Read the metadata again, as another handle or process may have changed it.

        Raises
        ------
        StaleHandleError
            If another array is there now.
        """
        attributes = self.check_current()
        if KEY in attributes:
            self.metadata = Metadata.from_json(attributes[KEY], self.where)
        self._refresh(attributes)
        return self.metadata

    def drop_content_hash(self, attributes: Mapping[str, Any] | None = None) -> None:
        """Forget the stored content hash, because voxels are about to change; `attributes` are the
        stored ones.
        """
        # The store is asked, not the copy in memory: another handle may have stored a hash since.
        stored = (self._document.attributes() if attributes is None else attributes).get(KEY)
        if stored is not None and (stored.get("content_hash") is not None or stored.get("levels") is not None):
            self.update_metadata(content_hash=None)

    @property
    def attrs(self) -> UserAttributes:
        """Free metadata, beside that of lithax."""

        def change(work: Any) -> None:
            self.check_writable()
            self._refresh(self._document.change(work, self._check_same))

        return UserAttributes(self._document.attributes, change)

    def _refresh(self, attributes: dict[str, Any]) -> None:
        """Let the Zarr array's copy of the attributes say what is stored."""
        own = self.zarray.metadata.attributes
        own.clear()
        own.update(attributes)

    def read_document(self) -> dict[str, Any]:
        """Return the stored description of the array, its attributes included."""
        return self._document.read()
