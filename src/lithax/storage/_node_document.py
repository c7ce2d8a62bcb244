"""The `zarr.json` of an array: read fresh, changed as a whole, replaced at once."""

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

from lithax.errors import MetadataError
from lithax.storage._objects import NotAFileError, Objects
from lithax.storage._schema import KEY, shown

ZARR_JSON = "zarr.json"


class NodeDocument:
    """The metadata document of a Zarr v3 node.

    Every change reads the stored document, changes its attributes and stores it again under a
    temporary name that is then renamed (on a local disk), so a reader sees the old or the new
    document, never a part of one.

    `readable` says whether a person may look at what is stored, as on a disk; text with line breaks
    takes Python's slow encoder.
    """

    def __init__(
        self,
        objects: Objects,
        path: str,
        where: str,
        lock: Callable[[], AbstractContextManager[None]],
        readable: bool = True,
    ):
        self._objects = objects
        self._readable = readable
        self._key = f"{path}/{ZARR_JSON}" if path else ZARR_JSON
        self._where = where
        self._lock = lock

    def read(self) -> dict[str, Any]:
        """Return the whole document.

        Raises
        ------
        FileNotFoundError
            If it is not there any more.
        MetadataError
            If it is no JSON.
        """
        data = read_document(self._objects, self._key, self._where)
        if data is None:
            raise FileNotFoundError(f"{self._where} has no {ZARR_JSON}; was the image removed?")
        return parse_document(data, self._where, ZARR_JSON)

    def attributes(self) -> dict[str, Any]:
        """Return the stored attributes."""
        return attributes_of(self.read(), self._where)

    def change(
        self,
        work: Callable[[dict[str, Any]], None],
        check: Callable[[Mapping[str, Any]], None] = lambda document: None,
    ) -> dict[str, Any]:
        """Let `work` change the attributes, store them, and return them; `check` may refuse the
        stored document first.

        Changes that other handles, threads and processes make at the same moment are not lost: they
        take turns.
        """
        with self._lock():
            document = self.read()
            check(document)
            attributes = dict(attributes_of(document, self._where))
            work(attributes)
            document["attributes"] = attributes
            try:
                payload = encoded_document(document, self._readable)
            except (TypeError, ValueError) as error:
                raise TypeError(f"attributes of {self._where} must be values that JSON can hold: {error}") from error
            self._objects.write(self._key, payload)
            return attributes


LARGEST_DOCUMENT = 1 << 26
"""64 MiB: more than the metadata of any array, and what one may read without harm."""


def encoded_document(document: Mapping[str, Any], readable: bool) -> bytes:
    """Return a metadata document as it is stored."""
    return json.dumps(document, indent=2 if readable else None).encode()


def read_document(objects: Objects, key: str, where: str) -> bytes | None:
    """Return a metadata document, or None if there is none; MetadataError if it is no file, or as
    large as data.
    """
    try:
        with objects.open(key) as reader:
            if reader is not None and reader.size is not None and reader.size > LARGEST_DOCUMENT:
                raise MetadataError(f"{key} of {where} has {reader.size} bytes; no metadata are as large.")
            return None if reader is None else reader.whole().tobytes()
    except FileNotFoundError:
        return None
    except NotAFileError as error:
        raise MetadataError(f"{key} of {where} {error}; the store is damaged.") from error


def parse_document(data: bytes, where: str, name: str) -> dict[str, Any]:
    """Return the JSON mapping in an object; MetadataError if it is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise MetadataError(f"{name} of {where} is not valid JSON ({reason}); the store is damaged.") from error
    if not isinstance(document, dict):
        raise MetadataError(f"{name} of {where} must hold a JSON mapping, not {shown(document)}; the store is damaged.")
    return document


def attributes_of(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the attributes in a document; MetadataError if they are no mapping."""
    attributes = document.get("attributes")
    if attributes is not None and not isinstance(attributes, dict):
        raise MetadataError(
            f"the attributes of {where} must be a mapping, not {shown(attributes)}; the store is damaged."
        )
    return attributes or {}


class UserAttributes(MutableMapping[str, Any]):
    """Free metadata of an image: everything in its Zarr attributes but the key "lithax".

    Reading looks into the store; assigning and deleting store the change at once. A value that was
    read is a copy: assign it again to keep what was changed inside it.
    """

    def __init__(self, read: Callable[[], dict[str, Any]], change: Callable[[Callable[[dict], None]], Any]):
        self._read = read
        self._change = change

    def _free(self) -> dict[str, Any]:
        return {key: value for key, value in self._read().items() if key != KEY}

    def __getitem__(self, key: str) -> Any:
        return self._free()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._free())

    def __len__(self) -> int:
        return len(self._free())

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self._check(key)

        def remove(attributes: dict) -> None:
            del attributes[key]

        self._change(remove)

    def update(self, *values: Any, **more: Any) -> None:
        """Store several values in one change."""
        new = dict(*values, **more)
        for key in new:
            self._check(key)
        self._change(lambda attributes: attributes.update(new))

    def _check(self, key: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"attribute name {key!r} must be text.")
        if key == KEY:
            raise KeyError(f"{KEY!r} holds the image's own metadata; change it with image.update(...)")

    def __repr__(self) -> str:
        return repr(self._free())
