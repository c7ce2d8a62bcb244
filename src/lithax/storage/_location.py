"""Where an image is, or shall be: a path, a URL, a Zarr store or memory, and a path inside it."""

import contextlib
import errno
import glob
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import zarr
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, StorePath, ZipStore

from lithax.errors import MetadataError
from lithax.storage._abstract_array import AbstractStoredArray
from lithax.storage._node_document import ZARR_JSON, attributes_of, parse_document, read_document
from lithax.storage._objects import PARTIAL_SUFFIX, Objects, objects_of
from lithax.storage._schema import shown

LEVELS = "levels"
"""Name of the group below an array that holds the coarser levels that were made of it."""

SCRATCH = "scratch"
"""Name of the group below an unfinished array that holds what only the passes of the algorithm see.
"""

_ASIDE = ".replaced"

_V2_NAMES = {".zarray": "array", ".zgroup": "group"}


@dataclass(frozen=True)
class Location:
    """A node of a Zarr store, which may or may not exist."""

    store: Store
    path: str
    label: str
    """What the user wrote, for messages."""

    @property
    def objects(self) -> Objects:
        """The objects of the whole store."""
        return objects_of(self.store)

    @property
    def directory(self) -> Path | None:
        """The node's directory on a local disk, or None."""
        return self.store.root / self.path if type(self.store) is LocalStore else None

    @property
    def in_memory(self) -> bool:
        """Whether the store lies in the memory of this process."""
        return isinstance(self.store, MemoryStore)

    @property
    def unshared(self) -> bool:
        """Whether other processes cannot reach it: memory of this one, also behind a URL
        (``memory://``).
        """
        protocol = getattr(getattr(self.store, "fs", None), "protocol", ())
        return self.in_memory or protocol == "memory" or "memory" in protocol

    def key(self, name: str) -> str:
        """Return the key of an object of this node."""
        return f"{self.path}/{name}" if self.path else name

    def node(self) -> "Node | None":
        """Return the array or group that is there, or None."""
        for name in (ZARR_JSON, *_V2_NAMES):
            data = read_document(self.objects, self.key(name), self.label)
            if data is not None:
                document = parse_document(data, self.label, name)
                if name == ZARR_JSON:
                    kind, found = document.get("node_type"), document.get("zarr_format")
                    if kind not in ("array", "group") or found != 3:
                        raise MetadataError(
                            f"{name} of {self.label} describes node_type {shown(kind)} in zarr_format {shown(found)}, "
                            "where an array or a group in format 3 is expected; the store is damaged."
                        )
                    return Node(3, kind, document, attributes_of(document, self.label))
                free = read_document(self.objects, self.key(".zattrs"), self.label)
                attributes = {} if free is None else parse_document(free, self.label, ".zattrs")
                return Node(2, _V2_NAMES[name], document, attributes)
        return None

    def kind(self) -> str | None:
        """Return "array", "group", or None if no Zarr node is there."""
        node = self.node()
        return None if node is None else node.kind

    def holds(self, array: AbstractStoredArray) -> bool:
        """Tell whether an open array is the one at this location."""
        if self.directory is not None:
            return array.directory is not None and array.directory.resolve() == self.directory.resolve()
        return array.directory is None and array.path == self.path and same_store(array.store, self.store)

    def covers(self, array: AbstractStoredArray) -> bool:
        """Tell whether replacing what is at this location would remove an open array: one that is
        here, or below, as the levels of an image are.
        """
        if self.directory is not None:
            return array.directory is not None and array.directory.resolve().is_relative_to(self.directory.resolve())
        if array.directory is not None:
            return False
        if isinstance(self.store, FsspecStore) and isinstance(array.store, FsspecStore):
            if self.store.fs != array.store.fs:
                return False
            here, there = f"{self.store.path}/{self.path}", f"{array.store.path}/{array.path}"
        elif same_store(array.store, self.store):
            here, there = self.path, array.path
        else:
            return False
        here, there = here.strip("/"), there.strip("/")
        return not here or there == here or there.startswith(f"{here}/")

    def same_place(self, other: "Location") -> bool:
        """Tell whether two locations are the same one."""
        if self.directory is not None or other.directory is not None:
            return self.directory == other.directory
        return self.path == other.path and same_store(self.store, other.store)

    def child(self, name: str) -> "Location":
        """Return a node below this one."""
        return Location(self.store, self.key(name), f"{self.label}/{name}")

    def children(self) -> list[str]:
        """Return the names of the Zarr nodes directly below this one (empty where the store cannot
        list).
        """
        if not self.store.supports_listing:
            return []
        return [name for name in self.objects.children(self.path) if self.child(name).node() is not None]

    def parent(self) -> "Location | None":
        """Return the node above, also one above the root of a store that was given by its path;
        None if unknown.
        """
        if self.path:
            return Location(self.store, self.path.rpartition("/")[0], f"the parent of {self.label}")
        if type(self.store) is LocalStore:
            return Location(LocalStore(self.store.root.parent, read_only=True), "", f"the parent of {self.label}")
        if isinstance(self.store, FsspecStore):
            above = self.store.path.rstrip("/").rpartition("/")[0]
            if above:
                store = FsspecStore(self.store.fs, read_only=True, path=above)
                return Location(store, "", f"the parent of {self.label}")
        return None


@dataclass(frozen=True)
class Node:
    """A Zarr array or group as its metadata describes it."""

    zarr_format: int
    kind: str
    """"array" or "group"."""
    document: dict[str, Any]
    attributes: dict[str, Any]


def same_store(a: Store, b: Store) -> bool:
    """Tell whether two Zarr stores are the same place."""
    if isinstance(a, MemoryStore) and isinstance(b, MemoryStore):
        return a._store_dict is b._store_dict  # equality would compare every byte
    return a is b or a == b


def locate(
    store: Any, path: str | None = None, *, read_only: bool = False, storage_options: Mapping[str, Any] | None = None
) -> Location:
    """Find out what `store` means; nothing is made or touched.

    Parameters
    ----------
    store
        A path, a URL, any Zarr store, a Zarr array or group, or None for new memory.
    path
        Path of the image inside the store; its root by default.
    read_only
        Whether the store will only be read.
    storage_options
        Options for the file system behind a URL.

    Raises
    ------
    TypeError, ValueError
        If `store` or `path` is of no such kind.
    ImportError
        If the package for a URL's protocol is not installed.
    """
    inside = _normal_path(path)
    if isinstance(store, zarr.Array | zarr.Group):
        store = store.store_path
    if isinstance(store, StorePath):
        inside = "/".join(part for part in (store.path, inside) if part)
        store = store.store
    is_url = isinstance(store, str) and "://" in store and not store.startswith("file://")
    if storage_options is not None and not is_url:
        raise TypeError(f"storage_options={storage_options!r} is for URLs such as 's3://...'; store={store!r} is none.")
    label = _label(store, inside)
    return Location(_store(store, read_only, storage_options), inside, label)


def _store(store: Any, read_only: bool, storage_options: Mapping[str, Any] | None) -> Store:
    if store is None:
        return MemoryStore()
    if isinstance(store, Store):
        return store
    if isinstance(store, dict):
        return MemoryStore(store)
    if type(store).__module__.partition(".")[0] == "obstore":
        return ObjectStore(store, read_only=read_only)
    if isinstance(store, str) and store.startswith("file://"):
        store = url2pathname(urlsplit(store).path)
    if isinstance(store, str) and "://" in store:
        return _url_store(store, read_only, storage_options)
    if isinstance(store, str | os.PathLike):
        if not os.fspath(store):
            raise ValueError(f"store={store!r} must not be empty; use a path, a URL, a Zarr store, or None for memory.")
        place = Path(os.fspath(store)).expanduser()
        if place.suffix == ".zip" and place.is_file():
            return ZipStore(place, mode="r", read_only=True)
        # Absolute, so that the same place is known as the same, and stays when the working
        # directory changes.
        try:
            place.stat()
        except OSError as error:  # Path.resolve() says so only before Python 3.13
            if error.errno == errno.ELOOP:
                raise FileNotFoundError(
                    f"store={os.fspath(store)!r} is a symbolic link that leads to itself."
                ) from error
        return LocalStore(place.resolve(), read_only=read_only)
    if hasattr(store, "shape") and hasattr(store, "dtype"):
        raise TypeError(f"store is an array of type {type(store).__name__}; lx.from_array makes an image of it.")
    raise TypeError(
        f"store={store!r} must be a path, a URL, a Zarr store, or None for memory, not {type(store).__name__}."
    )


def _url_store(url: str, read_only: bool, storage_options: Mapping[str, Any] | None) -> Store:
    from fsspec import available_protocols

    protocol = url.partition("://")[0].split("::")[0]
    if protocol not in available_protocols():
        raise ValueError(
            f"store={url!r} has the unknown protocol {protocol!r}; use for example s3://, gs:// or https://."
        )
    read_only = read_only or protocol in ("http", "https")
    options: dict[str, Any] = dict(storage_options or {})
    try:
        return FsspecStore.from_url(url, storage_options=options, read_only=read_only)
    except ImportError as missing:
        with contextlib.suppress(ImportError):
            from obstore.store import from_url

            return ObjectStore(from_url(url, **options), read_only=read_only)
        raise ImportError(
            f"store={url!r} needs a package that is not installed ({missing}); pip install 'lithax[io]', "
            "or pass a Zarr store."
        ) from missing


def _normal_path(path: str | None) -> str:
    if path is None:
        return ""
    if not isinstance(path, str):
        raise TypeError(f"path={path!r} must be text, the place of the image inside its store.")
    parts = [part for part in path.replace("\\", "/").split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ValueError(f"path={path!r} must not contain '.' or '..'; it starts at the root of the store.")
    return "/".join(parts)


def _label(store: Any, path: str) -> str:
    if store is None:
        name = "memory"
    elif isinstance(store, str | os.PathLike):
        name = os.fspath(store)
    elif isinstance(store, dict):
        name = "a dictionary in memory"
    else:
        name = str(store)
    return f"{name}/{path}" if path else str(name)


def claim(location: Location, overwrite: bool) -> None:
    """Check that a new image may be made at a location; nothing is changed.

    Raises
    ------
    FileExistsError
        If something is there that `overwrite` does not cover: an image without ``overwrite=True``,
        or anything else that lithax did not make and will not remove.
    PermissionError
        If the store is read-only.
    ValueError
        If the path lies inside another array.
    """
    label = location.label
    if location.store.read_only:
        raise PermissionError(f"store={label} is read-only; an image cannot be made there.")
    if not location.store.supports_deletes:
        raise ValueError(
            f"store={label} is a {type(location.store).__name__}, whose objects can be neither replaced nor removed, so that an image "
            "cannot be written to it step by step; make the image in a folder, and then, for example, "
            "shutil.make_archive('rock.zarr', 'zip', 'rock.zarr')."
        )
    directory = location.directory
    if directory is not None:
        for place in (directory, *directory.parents):
            if place.is_file():
                raise FileExistsError(f"store={label}: {place} is a file, not a Zarr store; choose another name.")
    above = location
    while above.path:
        above = Location(location.store, above.path.rpartition("/")[0], above.label)
        found = above.node()
        inside = location.path.removeprefix(above.path).strip("/")
        if found is not None and found.kind == "array" and inside.partition("/")[0] not in (LEVELS, SCRATCH):
            raise ValueError(
                f"path={location.path!r} lies inside the array {above.path or '/'!r} of the store; use another path."
            )
    there = location.node()
    if there is None:
        # Unfinished files are what is left of a process that was killed while it made the image.
        if (
            directory is not None
            and directory.is_dir()
            and any(not file.name.endswith(PARTIAL_SUFFIX) for file in directory.iterdir())
        ):
            raise FileExistsError(f"store={label} is a directory that holds something else; choose another name.")
        return
    if there.kind == "group":
        below = location.children()
        if below or not overwrite:
            held = f" holding {', '.join(map(repr, below[:5]))}" if below else ""
            raise FileExistsError(f"store={label} is a group{held}; pass path= to make an image inside it.")
    if not overwrite:
        raise FileExistsError(f"store={label} holds an image already; pass overwrite=True to replace it.")


@contextlib.contextmanager
def replacing(location: Location) -> Iterator[None]:
    """Remove what is at a location while something new is made there; put it back if that fails.

    On a local disk the old directory is set aside by renaming, and removed at the end. Elsewhere it
    is removed first. Whatever was begun is removed on failure.
    """
    objects, directory = location.objects, location.directory
    exists = location.node() is not None
    was_directory = directory is not None and directory.is_dir()
    aside: Path | None = None
    made_directories = [] if directory is None else [p for p in (directory, *directory.parents) if not p.exists()]
    unfinished = [] if directory is None else [*directory.glob(f"*{PARTIAL_SUFFIX}")]
    if exists and directory is not None:
        aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}{_ASIDE}")
        try:
            directory.rename(aside)
        except OSError:  # a mount point, or a parent that may not be written to
            aside = None
    if exists and aside is None:
        objects.delete_tree(location.path)
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            objects.delete_tree(location.path)
        for place in made_directories:
            with contextlib.suppress(OSError):
                place.rmdir()
        if aside is not None and directory is not None:
            aside.rename(directory)
        elif directory is not None and was_directory:
            directory.mkdir(exist_ok=True)
        raise
    if directory is not None:
        # Also what an earlier attempt that was killed had left or set aside.
        for old in unfinished:
            old.unlink(missing_ok=True)
        for old in directory.parent.glob(f".{glob.escape(directory.name)}.*{_ASIDE}"):
            shutil.rmtree(old, ignore_errors=True)


def require_node(location: Location) -> Node:
    """Return the array or group that is there, or say why nothing can be opened.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    MetadataError
        If something is there that is not Zarr.
    """
    directory = location.directory
    if type(location.store) is LocalStore:
        if location.store.root.is_file():
            raise MetadataError(
                f"store={location.label} is a file, not a Zarr store; lx.open reads files of other formats."
            )
        if location.store.root.exists() and not location.store.root.is_dir():
            raise MetadataError(f"store={location.label} is a pipe or a device, not a Zarr store.")
        if not location.store.root.exists():
            raise FileNotFoundError(f"store={location.label} does not exist.")
    try:
        node = location.node()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"store={location.label} does not exist.") from error
    if node is not None:
        return node
    names = []
    if location.path:
        root = Location(location.store, "", location.label)
        names = root.children()
        if root.node() is not None or names:
            held = f"; the store holds {', '.join(map(repr, names[:10]))}" if names else ""
            raise FileNotFoundError(f"path={location.path!r} does not exist in the store {location.label}{held}.")
    if directory is not None and directory.is_dir():
        raise MetadataError(f"store={location.label} is a folder, but neither a Zarr store nor one of TIFF slices.")
    raise FileNotFoundError(f"store={location.label} does not exist, or holds no Zarr array.")
