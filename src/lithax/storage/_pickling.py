"""Arrays that travel to another process: by store and path, never by what protects them; in memory
with their voxels.
"""

from typing import Any

from zarr.buffer.cpu import Buffer
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ZipStore

from lithax.storage._abstract_array import AbstractStoredArray


def reduced(array: AbstractStoredArray) -> tuple[Any, ...]:
    """Return how an array is opened again by another process: a function and its arguments.

    Raises
    ------
    TypeError
        If the store is wrapped by another one, has credentials, or lies in memory that others do
        not reach.
    """
    return _reopened, (_place(array), array.path, array.where, array.read_only)


def deep_copy(array: AbstractStoredArray) -> AbstractStoredArray:
    """Return a second handle on an array in a store, in this process; of one in memory a copy with
    its voxels.
    """
    from lithax.storage._location import Location
    from lithax.storage._open_array import open_array

    if type(array.store) is MemoryStore:
        function, arguments = reduced(array)
        return function(*arguments)
    return open_array(Location(array.store, array.path, array.where), read_only=array.read_only)


def _place(array: AbstractStoredArray) -> tuple[str, Any]:
    store = array.store
    if type(store) is LocalStore:
        return "directory", str(store.root)
    if type(store) is MemoryStore:
        prefix = f"{array.path}/" if array.path else ""
        return "memory", {k: v.to_bytes() for k, v in store._store_dict.items() if k.startswith(prefix)}
    if type(store) is ZipStore:
        return "zip", str(store.path)
    way_out = "open the image by its path or URL where it is needed, or copy() it to a folder that all reach"
    if type(store) is not FsspecStore:
        raise TypeError(
            f"the image at {array.where} cannot be pickled: its store is a {type(store).__name__}, which may hold connections or "
            f"credentials; {way_out}."
        )
    system = getattr(store.fs, "sync_fs", store.fs)  # one that Zarr has wrapped to be used asynchronously
    protocol = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
    if protocol == "memory":
        raise TypeError(
            f"the image at {array.where} cannot be pickled: it lies in the memory of this process (memory://), which others "
            f"do not reach; {way_out}."
        )
    if options := set(getattr(system, "storage_options", {})) - {"asynchronous", "loop", "skip_instance_cache"}:
        raise TypeError(
            f"the image at {array.where} cannot be pickled: its file system was opened with {', '.join(sorted(options))}, and "
            f"credentials are not passed on; {way_out}, with storage_options=."
        )
    return "url", system.unstrip_protocol(store.path)


def _reopened(place: tuple[str, Any], path: str, label: str, read_only: bool) -> AbstractStoredArray:
    from lithax.storage._location import Location, locate
    from lithax.storage._open_array import open_array

    kind, where = place
    if kind == "memory":
        store: Any = MemoryStore({key: Buffer.from_bytes(value) for key, value in where.items()})
    elif kind == "directory":
        store = LocalStore(where)
    elif kind == "zip":
        store = ZipStore(where, mode="r", read_only=True)
    else:
        store = locate(where, read_only=read_only).store
    return open_array(Location(store, path, label), read_only=read_only)
