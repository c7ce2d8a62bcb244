"""A chain of Zarr v3 codecs, run in the calling thread.

The codec objects are zarr-python's own; only the scheduling through an event loop is left out. Two steps are taken
directly because they decide the speed: plain bytes are a view, and blosc decodes into the array it is given.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, SupportsSyncCodec
from zarr.buffer.cpu import numpy_buffer_prototype
from zarr.codecs import BloscCodec, BytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.sync import sync

from lithax.storage._objects import Payload

_PROTOTYPE = numpy_buffer_prototype()


class CodecChain:
    """Array to bytes and back, for chunks of one shape and data type.

    Parameters
    ----------
    codecs
        Zarr v3 codecs in the order of encoding, already adapted to the data type.
    spec
        Shape, data type and fill value of a chunk before encoding.
    """

    def __init__(self, codecs: Sequence[Any], spec: ArraySpec):
        self._shape = tuple(spec.shape)
        self._dtype = np.dtype(spec.dtype.to_native_dtype()).newbyteorder("=")
        self._nbytes = int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize
        steps: list[tuple[Any, ArraySpec]] = []
        for codec in codecs:
            steps.append((codec, spec))
            spec = codec.resolve_metadata(spec)
        self._array_steps = [step for step in steps if isinstance(step[0], ArrayArrayCodec | ArrayBytesCodec)]
        self._bytes_steps = steps[len(self._array_steps) :]
        # Memory is stored as it is: the steps on arrays are a view.
        self._plain = len(self._array_steps) == 1 and _is_plain(self._array_steps[0][0], self._dtype)

    def encoded_size(self, nbytes: int) -> int:
        """Return how many bytes `nbytes` become; only for chains whose result has a fixed size."""
        for codec, spec in (*self._array_steps, *self._bytes_steps):
            nbytes = codec.compute_encoded_size(nbytes, spec)
        return nbytes

    def encode(self, values: np.ndarray) -> Payload:
        """Encode a whole chunk; where nothing is compressed the result may be a view of `values`."""
        chunk: Any = np.ascontiguousarray(values, dtype=self._dtype)
        if self._plain:
            data: Any = chunk.reshape(-1).view(np.uint8)
        else:
            buffer: Any = _PROTOTYPE.nd_buffer.from_ndarray_like(chunk)
            for codec, spec in self._array_steps:
                buffer = _run(codec, "encode", buffer, spec)
            data = np.asarray(buffer.as_numpy_array())
        for codec, spec in self._bytes_steps:
            if isinstance(codec, BloscCodec):
                data = codec._blosc_codec.encode(data)
            else:
                data = np.asarray(_run(codec, "encode", _buffer(data), spec).as_numpy_array())
        return data if isinstance(data, bytes) else data.data.toreadonly()

    def decode(self, data: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Decode a whole chunk, into `out` (in C order) where that saves a copy.

        The result may be `out`, a new array, or a view of `data`, in any memory order.

        Raises
        ------
        Exception
            Of whatever kind the codec raises, if the bytes are damaged.
        """
        for position, (codec, spec) in reversed(list(enumerate(self._bytes_steps))):
            if isinstance(codec, BloscCodec):
                _check_blosc(data)
            if self._plain and position == 0 and isinstance(codec, BloscCodec):
                return self._decode_blosc(codec, data, out)
            data = np.asarray(_run(codec, "decode", _buffer(data), spec).as_numpy_array())
        if self._plain:
            return data.view(self._dtype).reshape(self._shape)
        buffer: Any = _buffer(data)
        for codec, spec in reversed(self._array_steps):
            buffer = _run(codec, "decode", buffer, spec)
        return np.asarray(buffer.as_numpy_array()).astype(self._dtype, copy=False).reshape(self._shape)

    def _decode_blosc(self, codec: BloscCodec, data: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        # numcodecs checks that the target is large enough, not that it is filled.
        size = _blosc_header(data, 4)
        if size != self._nbytes:
            raise ValueError(f"it holds {size} bytes instead of {self._nbytes}")
        target = np.empty(self._shape, self._dtype) if out is None else out
        codec._blosc_codec.decode(data, target)
        return target


def _blosc_header(data: np.ndarray, position: int) -> int:
    return int.from_bytes(data[position : position + 4].tobytes(), "little")


def _check_blosc(data: np.ndarray) -> None:
    """Blosc trusts its header, and would read beyond the end of bytes that were cut off."""
    if len(data) < 16 or _blosc_header(data, 12) != len(data):
        raise ValueError(
            f"it has {len(data)} bytes, and says {_blosc_header(data, 12) if len(data) >= 16 else 'nothing'}"
        )


def _is_plain(codec: Any, dtype: np.dtype) -> bool:
    if not isinstance(codec, BytesCodec):
        return False
    # The document has a fixed form; the attribute is an enumeration or text, depending on the version of Zarr.
    configuration: Any = codec.to_dict().get("configuration", {})
    return dtype.itemsize == 1 or configuration.get("endian", sys.byteorder) == sys.byteorder


def _buffer(data: Any) -> Any:
    if isinstance(data, bytes):
        return _PROTOTYPE.buffer.from_bytes(data)
    return _PROTOTYPE.buffer.from_array_like(data)


def _run(codec: Any, direction: str, buffer: Any, spec: ArraySpec) -> Any:
    # Codecs made of others have the methods, and say so here where one of the others has not.
    if isinstance(codec, SupportsSyncCodec) and getattr(codec, "_sync_capable", True):
        result = getattr(codec, f"_{direction}_sync")(buffer, spec)
    else:
        (result,) = sync(getattr(codec, direction)([(buffer, spec)]))
    if result is None:
        raise ValueError(f"codec {codec!r} returned nothing")
    return result
