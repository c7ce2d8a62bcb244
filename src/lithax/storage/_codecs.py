"""A chain of Zarr v3 codecs, run in the calling thread.

The codec objects are zarr-python's own; only the scheduling through an event loop is left out. Two
steps are taken directly because they decide the speed: plain bytes are a view, and blosc decodes
into the array it is given.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, SupportsSyncCodec
from zarr.buffer.cpu import numpy_buffer_prototype
from zarr.codecs import BloscCodec, BytesCodec, TransposeCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.sync import sync

from lithax.storage._blosc import check_buffer, read_part
from lithax.storage._inflate import inflated, loose_limit
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
        self._nbytes = math.prod(self._shape) * self._dtype.itemsize
        steps: list[tuple[Any, ArraySpec]] = []
        for codec in codecs:
            steps.append((codec, spec))
            spec = codec.resolve_metadata(spec)
        self._array_steps = [step for step in steps if isinstance(step[0], ArrayArrayCodec | ArrayBytesCodec)]
        self._bytes_steps = steps[len(self._array_steps) :]
        # Memory is stored as it is: the steps on arrays are a view.
        *turns, last = [codec for codec, _ in self._array_steps]
        self._plain = not turns and _is_plain(last, self._dtype)
        self._order = self._layer_order(turns, last)

    def _layer_order(self, turns: Sequence[Any], last: Any) -> tuple[int, ...] | None:
        """Return the order in which the axes are stored, if the bytes of a layer of the first of
        them can be had alone.
        """
        compressors = [codec for codec, _ in self._bytes_steps]
        in_parts = not compressors or (len(compressors) == 1 and isinstance(compressors[0], BloscCodec))
        turned = len(self._shape) == 3 and all(isinstance(turn, TransposeCodec) for turn in turns)
        if not (in_parts and turned and _is_plain(last, self._dtype)):
            return None
        order: tuple[int, ...] = (0, 1, 2)
        for turn in turns:
            order = tuple(order[axis] for axis in turn.order)
        return order

    def encoded_size(self, nbytes: int) -> int:
        """Return how many bytes `nbytes` become; only for chains whose result has a fixed size."""
        for codec, spec in (*self._array_steps, *self._bytes_steps):
            nbytes = codec.compute_encoded_size(nbytes, spec)
        return nbytes

    @property
    def layered_axis(self) -> int | None:
        """The axis of which `decode_layers` decodes some layers for less than the whole chunk; None
        if there is none.
        """
        return None if self._order is None else self._order[0]

    def encode(self, values: np.ndarray) -> Payload:
        """Encode a whole chunk; where nothing is compressed the result may be a view of
        `values`.
        """
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
                check_buffer(data, len(data), most=loose_limit(self._nbytes))
            if self._plain and position == 0 and isinstance(codec, BloscCodec):
                return self._decode_blosc(codec, data, out)
            limit = self._nbytes if self._plain and position == 0 else loose_limit(self._nbytes)
            known = inflated(codec.to_dict(), data, limit)
            if known is None:
                known = np.asarray(_run(codec, "decode", _buffer(data), spec).as_numpy_array())
            data = known
        if self._plain:
            return data.view(self._dtype).reshape(self._shape)
        buffer: Any = _buffer(data)
        for codec, spec in reversed(self._array_steps):
            buffer = _run(codec, "decode", buffer, spec)
        return np.asarray(buffer.as_numpy_array()).astype(self._dtype, copy=False).reshape(self._shape)

    def decode_layers(self, read: Callable[[int, int], np.ndarray], length: int, layers: slice) -> np.ndarray:
        """Decode the layers ``layers.start ... layers.stop`` along `layered_axis`.

        Parameters
        ----------
        read
            Returns some of the encoded bytes.
        length
            How many there are.
        layers
            Which layers of the chunk.

        Returns
        -------
            The layers, in any memory order; maybe a view of what `read` returned.

        Raises
        ------
        Exception
            Of whatever kind the codec raises, if the bytes are damaged.
        """
        assert self._order is not None
        shape = [self._shape[axis] for axis in self._order]
        layer = self._nbytes // shape[0]
        start, stop = layers.start * layer, layers.stop * layer
        if self._bytes_steps:
            codec: Any = self._bytes_steps[0][0]
            data = read_part(read, length, self._nbytes, start, stop, codec._blosc_codec.decode)
        elif length != self._nbytes:
            raise ValueError(f"it has {length} bytes instead of {self._nbytes}")
        else:
            data = read(start, stop)
        values = data.view(self._dtype).reshape(-1, *shape[1:])
        return values.transpose(np.argsort(self._order))

    def _decode_blosc(self, codec: BloscCodec, data: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        # numcodecs checks that the target is large enough, not that it is filled.
        check_buffer(data, len(data), self._nbytes)
        target = np.empty(self._shape, self._dtype) if out is None else out
        codec._blosc_codec.decode(data, target)
        return target


def _is_plain(codec: Any, dtype: np.dtype) -> bool:
    if not isinstance(codec, BytesCodec):
        return False
    # The document has a fixed form; the attribute is an enumeration or text, depending on the
    # version of Zarr.
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
