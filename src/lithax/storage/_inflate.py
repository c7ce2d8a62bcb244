"""Decompression that stops at the size that the metadata declare: a chunk of a few bytes can hold
gigabytes of zeros.

Only the general compressors are here, whose output is not bounded by their input; blosc says in its
header how much it holds, and `_blosc` reads that.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numcodecs
import numpy as np


def loose_limit(nbytes: int) -> int:
    """Return how many bytes a chunk of `nbytes` may have on the way through several codecs: none
    adds more than a little.
    """
    return nbytes + nbytes // 8 + (1 << 16)


def inflated(codec: Mapping[str, Any], data: np.ndarray, limit: int) -> np.ndarray | None:
    """Decompress at most `limit` bytes.

    Parameters
    ----------
    codec
        The codec in its stored form; names of Zarr v3 and of numcodecs are known.
    data
        The compressed bytes (uint8).
    limit
        How many bytes there may be.

    Returns
    -------
        The bytes (uint8); None if the codec is not one of these.

    Raises
    ------
    ValueError
        If there are more bytes, or the data are damaged.
    """
    name = str(codec.get("name", "")).removeprefix("numcodecs.").lower()
    configuration = codec.get("configuration") or {}
    made = _STREAMS.get(name)
    if name == "lzma" and (configuration.get("filters") or configuration.get("format") == lzma.FORMAT_RAW):
        return None  # which only the configuration describes
    if name == "zstd":
        return _zstd(data, limit)
    if name == "lz4":
        return _lz4(data, limit)
    if made is None:
        return None
    try:
        return _streamed(made, data.tobytes(), limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise ValueError(str(error)) from error


_STREAMS: dict[str, Any] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zlib": lambda: zlib.decompressobj(),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


def _streamed(make: Any, data: bytes, limit: int) -> np.ndarray:
    parts, left = [], limit
    while data:
        stream = make()
        part = stream.decompress(data, left + 1)
        if len(part) > left:
            raise ValueError(f"it holds more than the {limit} bytes of a chunk")
        if not stream.eof:
            raise ValueError("it was cut off")
        parts.append(part)
        left -= len(part)
        data = stream.unused_data  # gzip, bz2 and xz files may be several, one after the other
        if not data.strip(b"\0"):
            break
    return np.frombuffer(b"".join(parts), np.uint8)


def _zstd(data: np.ndarray, limit: int) -> np.ndarray:
    held = _zstd_size(data)
    if held is not None and held > limit:
        raise ValueError(f"it holds {held} bytes, more than the {limit} of a chunk")
    size = limit if held is None else held
    # numcodecs fills an array of exactly the size; of a frame that does not declare one it then
    # says what there was.
    for _ in range(2):
        out = np.empty(size, np.uint8)
        try:
            return np.frombuffer(numcodecs.Zstd().decode(data, out=out), np.uint8) if size else out
        except RuntimeError as error:
            found = re.search(r"expected to decompress \d+, got (\d+)", str(error))
            if found is None or int(found[1]) >= size:
                raise ValueError(str(error)) from error
            size = int(found[1])
    raise ValueError("it was cut off")


def _zstd_size(data: np.ndarray) -> int | None:
    """Return the size that the header of a zstd frame declares (RFC 8878, 3.1.1.1); None if it does
    not.
    """
    if data.size < 6 or data[:4].tobytes() != b"\x28\xb5\x2f\xfd":
        raise ValueError("it is no zstd frame")
    descriptor = int(data[4])
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    length = (1 if single else 0, 2, 4, 8)[flag]
    if length == 0:
        return None
    if data.size < start + length:
        raise ValueError("it was cut off")
    return int.from_bytes(data[start : start + length].tobytes(), "little") + (256 if length == 2 else 0)


def _lz4(data: np.ndarray, limit: int) -> np.ndarray:
    # numcodecs puts the size in front of the block, and trusts it.
    if data.size < 4:
        raise ValueError("it was cut off")
    held = int.from_bytes(data[:4].tobytes(), "little")
    if held > limit:
        raise ValueError(f"it holds {held} bytes, more than the {limit} of a chunk")
    try:
        return np.frombuffer(numcodecs.LZ4().decode(data), np.uint8)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
