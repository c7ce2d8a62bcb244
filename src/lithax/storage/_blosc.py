"""Some of the bytes that a blosc buffer holds, without decoding the others.

Blosc compresses blocks of some 100 KiB one by one. The blocks that hold what is wanted are made
into a buffer of their own, which any blosc decodes. Layout of a buffer (Blosc chunk format,
README_CHUNK_FORMAT.rst of c-blosc 1.21): 16 bytes of header (version, version of the compressor,
flags, bytes per voxel; bytes held, bytes per block, length of the buffer), the place of every
block, the blocks in any order. Where compressing would have gained nothing, the header is followed
by the bytes themselves.
"""

from collections.abc import Callable

import numpy as np

_HEADER = 16
_PLAIN = 0x2
"""The flag of a buffer whose bytes are not compressed."""


def check_buffer(header: np.ndarray, length: int, held: int | None = None, most: int | None = None) -> None:
    """Refuse a buffer that is cut off, or holds another number of bytes than a chunk: blosc itself
    trusts the header.

    Parameters
    ----------
    header
        Its first 16 bytes, or all.
    length
        How many bytes there are.
    held
        How many bytes it must hold; None: any number.
    most
        How many bytes it may hold; None: any number.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    if length < _HEADER:
        raise ValueError(f"it is cut off after {length} bytes, before its header ends")
    if _number(header, 12) != length:
        raise ValueError(f"it has {length} bytes, and its header says {_number(header, 12)}")
    if held is not None and _number(header, 4) != held:
        raise ValueError(f"it holds {_number(header, 4)} bytes instead of {held}")
    if most is not None and _number(header, 4) > most:
        raise ValueError(f"it holds {_number(header, 4)} bytes, more than the {most} of a chunk")


def read_part(
    read: Callable[[int, int], np.ndarray],
    length: int,
    held: int,
    start: int,
    stop: int,
    decode: Callable[[np.ndarray], bytes],
) -> np.ndarray:
    """Return bytes ``start ... stop`` of those that a blosc buffer holds.

    Parameters
    ----------
    read
        Returns some bytes of the buffer (uint8).
    length
        Number of bytes of the buffer.
    held
        Number of bytes that it must hold.
    start, stop
        The bytes wanted, of those that it holds.
    decode
        Decodes a whole buffer.

    Raises
    ------
    ValueError
        If the buffer is damaged.
    """
    header = read(0, min(length, _HEADER))
    check_buffer(header, length, held)
    if header[2] & _PLAIN:
        if length != _HEADER + held:
            raise ValueError(f"it has {length} bytes instead of {_HEADER + held}")
        return read(_HEADER + start, _HEADER + stop)
    block = _number(header, 8)
    if not block:
        raise ValueError("its blocks hold nothing")
    table = _HEADER + 4 * -(-held // block)
    if table > length:
        raise ValueError(f"it has {length} bytes, its index alone takes {table}")
    places = read(_HEADER, table).view("<u4").astype(np.int64)
    ordered = np.sort(places)
    if ordered[0] < table or ordered[-1] >= length:
        raise ValueError(f"its index points to bytes {ordered[0]} to {ordered[-1]} of {length}")
    # A block ends where the next one begins. Blosc refuses a buffer that holds less than a block: a
    # shorter last one takes the one before it along.
    wanted = slice(max(0, min(start // block, held // block - 1)), -(-stop // block))
    begins = places[wanted]
    ends = np.append(ordered, length)[np.searchsorted(ordered, begins, side="right")]
    first, last = int(begins.min()), int(ends.max())
    if last - first == int((ends - begins).sum()):  # side by side, as one thread writes them
        pieces, places = [read(first, last)], begins - first
    else:
        pieces = [read(int(a), int(b)) for a, b in zip(begins, ends, strict=True)]
        places = np.concatenate([[0], np.cumsum(ends - begins)[:-1]])
    index = (places + _HEADER + 4 * len(places)).astype("<u4").view(np.uint8)
    inside = min(wanted.stop * block, held) - wanted.start * block
    size = _HEADER + index.size + sum(p.size for p in pieces)
    numbers = np.array([inside, block, size], "<u4").view(np.uint8)
    decoded = np.frombuffer(decode(np.concatenate([header[:4], numbers, index, *pieces])), np.uint8)
    return decoded[start - wanted.start * block : stop - wanted.start * block]


def _number(data: np.ndarray, position: int) -> int:
    return int.from_bytes(data[position : position + 4].tobytes(), "little")
