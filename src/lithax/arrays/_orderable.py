"""Values whose order the library knows."""

from typing import Any

import array_api_compat

from lithax.arrays._namespace import namespace
from lithax.typing import Array

_WIDER = {"torch.uint16": "int32", "torch.uint32": "int64"}


def orderable(x: Array) -> Array:
    """Return `x` in a dtype that its library can compare and order.

    PyTorch stores unsigned integers of 16 and 32 bits but does not order them; they are widened. All else is returned
    as it is.
    """
    if array_api_compat.is_torch_array(x) and (wider := _WIDER.get(str(x.dtype))):
        xp: Any = namespace(x)
        return xp.astype(x, getattr(xp, wider))
    return x
