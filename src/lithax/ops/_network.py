"""A trained network as a voxel operation: an equinox module of three-dimensional convolutions."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from lithax.arrays import as_real, is_jax, namespace, to_numpy
from lithax.grid import Halo
from lithax.ops._context import Context
from lithax.ops._receptive_field import Reach, Walk
from lithax.ops._voxel_op import voxel_op
from lithax.typing import Array

OUTPUTS = ("class", "probability", "score")
PROBES = (96, 192, 384)
"""Edges of the images on which a network is followed [voxel]: divisible by 2, 3, 4, 6, ... 96."""

_GLOBAL = [
    "BatchNorm",
    "GroupNorm",
    "LayerNorm",
    "SpectralNorm",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptivePool",
    "MultiheadAttention",
]


@dataclass(frozen=True)
class Field:
    """The receptive field of a network, along each axis [voxel]."""

    radius: Halo
    """How far a voxel of the result looks."""
    shrink: Halo
    """How many voxels the result is narrower on either side: layers without padding."""
    stride: Halo
    """Multiple at which blocks must begin: the product of the strides on the way down."""
    channels: int
    """Channels of the result."""

    @property
    def halo(self) -> Halo:
        """What a block needs: the radius, and room to begin at a multiple of the stride."""
        x, y, z = (r + 2 * (s - 1) for r, s in zip(self.radius, self.stride, strict=True))
        return x, y, z


def network_halo(model: Any) -> Halo:
    """Return how far a network looks, derived from its layers.

    Raises
    ------
    ValueError
        If it looks at the whole image.
    """
    return receptive_field(model).halo


def receptive_field(model: Any) -> Field:
    """Follow a network through its layers; see `network`."""
    import jax

    leaves, structure = jax.tree_util.tree_flatten(model)
    shapes = tuple((tuple(n.shape), str(n.dtype)) if hasattr(n, "shape") else n for n in leaves)
    try:
        return _known_field(structure, shapes)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _field(model)


@functools.lru_cache(maxsize=64)
def _known_field(structure: Any, shapes: tuple[Any, ...]) -> Field:
    import jax

    leaves = [jax.ShapeDtypeStruct(*n) if isinstance(n, tuple) else n for n in shapes]
    return _field(jax.tree_util.tree_unflatten(structure, leaves))


def _field(model: Any) -> Field:
    import equinox as eqx
    import jax

    _check_layers(model)
    channels = channels_of(model)
    arrays, fixed = eqx.partition(model, lambda n: hasattr(n, "shape") and hasattr(n, "dtype"))
    found: list[tuple[Reach, tuple[int, ...], Any]] = []
    refused: Exception | None = None
    for edge in PROBES:
        x = jax.ShapeDtypeStruct((channels, edge, edge, edge), _dtype(model))

        def follow(arrays: Any, x: Any) -> Any:
            walk = Walk()
            out, reach = walk(_call(eqx.combine(arrays, fixed)), x)
            found.append((reach, walk.coarsest, out.shape))
            return out

        try:
            jax.eval_shape(follow, arrays, x)
        except (ValueError, TypeError) as error:
            if "the network" in str(error) or "a network for images" in str(error):
                raise
            refused = error
            continue
        reach, coarsest, shape = found[-1]
        lost = [edge - n for n in shape[1:]]
        if any(s != 1 for s in reach.step):
            raise ValueError(
                f"the network returns {' x '.join(map(str, shape[1:]))} voxels for {edge} x {edge} x {edge}: one class per voxel is "
                f"wanted; end with transposed convolutions that undo its strides, or apply it to an image coarsened before."
            )
        if any(n < 0 or n % 2 for n in lost):
            raise ValueError(
                f"the network returns {shape[1:]} voxels for {(edge,) * 3}, so its result lies between voxels or beyond the image; pad "
                f"its layers by the same width on both sides."
            )
        shrink = tuple(n // 2 for n in lost)
        radius = tuple(
            max(math.ceil(s - low), math.ceil(high - s), s)
            for s, low, high in zip(shrink, reach.lower, reach.upper, strict=True)
        )
        return Field(radius, shrink, coarsest, reach.channels)  # type: ignore[arg-type]
    raise ValueError(
        f"the network cannot be followed on an image of {PROBES[-1]} voxels along an edge: {refused}"
    ) from refused


def channels_of(model: Any) -> int:
    """Return how many channels a network takes: those of its first convolution."""
    import equinox as eqx
    import jax

    layers = jax.tree_util.tree_leaves(model, is_leaf=lambda n: isinstance(n, eqx.nn.Conv | eqx.nn.ConvTranspose))
    if isinstance(declared := getattr(model, "in_channels", None), int):
        return declared
    for layer in layers:
        if isinstance(layer, eqx.nn.Conv | eqx.nn.ConvTranspose):
            if layer.num_spatial_dims != 3:
                raise ValueError(
                    f"the network begins with a {type(layer).__name__} of {layer.num_spatial_dims} dimensions; images have three: "
                    f"use Conv3d."
                )
            return layer.in_channels
    raise ValueError(
        "the network has no equinox convolution from which the number of its channels could be read; give it an attribute "
        "in_channels, an integer."
    )


def _dtype(model: Any) -> Any:
    import jax

    for leaf in jax.tree_util.tree_leaves(model):
        if hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            return leaf.dtype
    return jax.numpy.float32


def _check_layers(model: Any) -> None:
    import jax

    found: list[str] = []

    def look(node: Any) -> bool:
        name = type(node).__name__
        if name in _GLOBAL and type(node).__module__.startswith("equinox"):
            found.append(name)
        return False

    jax.tree_util.tree_leaves(model, is_leaf=look)
    if found:
        raise ValueError(
            f"the network holds {', '.join(sorted(set(found)))}, which look at the whole array that they are given, so the result would "
            f"depend on the chunks; leave them out, or fold fixed statistics into the convolution before."
        )


def _call(model: Any) -> Callable[[Array], Array]:
    import equinox as eqx

    model = eqx.nn.inference_mode(model)
    if not callable(model):
        raise ValueError(
            f"model={type(model).__name__} cannot be called; give an equinox module, model(x) of one array."
        )
    return lambda x: model(x)


@voxel_op(halo=network_halo, static=("output",), context=True)
def network(*blocks: Shaped[Any, "x y z"], block: Context, model: Any, output: str = "class") -> Any:
    """Apply a trained network to every voxel: an equinox module that takes (channels, x, y, z).

    What it gives is ``model(image)`` of the whole array, for every chunk grid: its receptive field
    is derived from its layers, and layers that pad with zeros do so at the faces of the image only.
    Where layers do not pad, the image is padded by `boundary` before the first, so that the result
    has its shape. Strides and transposed convolutions are followed, too (the network decides which
    shapes it takes: usually multiples of its stride). Dropout is off, as in
    ``equinox.nn.inference_mode``. ``lx.patches`` cuts what to train it with.

    Networks run on JAX; arrays of other libraries are converted on the way. Scores and
    probabilities can be differentiated in the voxels and the weights, classes cannot. NaN reaches
    every voxel whose receptive field contains it. There is no masked form: a network cannot leave
    voxels out of its field.

    Parameters
    ----------
    *blocks
        One array per channel, in the order of the network's channels; padded by the radius of its
        receptive field, and by what lets a block begin at a multiple of its stride.
    model
        The network. Its weights may be traced. The number of channels is that of its first
        convolution, or its attribute `in_channels`.
    output
        "class", the number of the largest score, from 0, as uint8, or for a single score whether it
        is positive; "probability", the exponentials of the scores divided by their sum, a tuple of
        one array per class, or for a single score its logistic; "score", what the network returns,
        one array per channel.

    Returns
    -------
        Classes, probabilities or scores [-].

    Raises
    ------
    ValueError
        If the network looks at the whole image (global pooling, statistics over voxels, attention),
        depends on where in the array a voxel lies, does not return one value per voxel; or the
        number of arrays is not that of its channels.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output={output!r} is not known; use one of {', '.join(map(repr, OUTPUTS))}.")
    field = receptive_field(model)
    if len(blocks) != channels_of(model):
        raise ValueError(
            f"{len(blocks)} arrays were given to a network of {channels_of(model)} channels; give one per channel."
        )
    xp = namespace(*blocks)
    values = [as_real(b) if is_jax(b) else to_numpy(as_real(b)) for b in blocks]
    scores = _scores(values, block, model, field)
    results = _results(scores, output)
    if not is_jax(*blocks) and not any(map(is_jax, blocks)) and xp is not namespace(*results):
        results = tuple(xp.asarray(np.array(to_numpy(r))) for r in results)
    return results[0] if len(results) == 1 else results


def _results(scores: Array, output: str) -> tuple[Array, ...]:
    import jax
    from jax import numpy as jnp

    single = scores.shape[0] == 1
    if output == "class":
        return (scores[0] > 0,) if single else (jnp.argmax(scores, axis=0).astype(jnp.uint8),)
    if output == "probability":
        scores = jax.nn.sigmoid(scores) if single else jax.nn.softmax(scores, axis=0)
    return tuple(scores)


def _scores(values: list[Array], block: Context, model: Any, field: Field) -> Array:
    import jax
    from jax import numpy as jnp

    call = _call(model)
    x = jnp.stack([jnp.asarray(v) for v in values]).astype(_dtype(model))
    whole = [int(n) + 2 * s for n, s in zip(block.shape, field.shrink, strict=True)]
    first = Walk()
    try:
        jax.eval_shape(lambda v: first(call, v)[0], jax.ShapeDtypeStruct((x.shape[0], *whole), x.dtype))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the network does not take an image of shape {tuple(int(n) for n in block.shape)}: {str(error).splitlines()[0]} Crop the "
            f"image, or pad it, to a multiple of {field.stride} voxels."
        ) from error
    core = [n - 2 * h for n, h in zip(x.shape[1:], field.halo, strict=True)]
    start = [o + s for o, s in zip(block.offset, field.shrink, strict=True)]
    moved, lengths = [], []
    for begin, h, c, r, s, n in zip(start, field.halo, core, field.radius, field.stride, whole, strict=True):
        moved.append(h - r - (0 if s == 1 else (begin + h - r) % s))  # the core lies in r to r + s - 1 voxels
        least = c + 2 * r + s - 1
        lengths.append(least + (n - least) % s)  # so that what the layers lose to strides is as on the image
    x = _cut(x, moved, lengths)
    walk = Walk(first.recorded, [b + m for b, m in zip(start, moved, strict=True)])
    scores, _ = walk(call, x)
    into = [h - s - m for h, s, m in zip(field.halo, field.shrink, moved, strict=True)]
    return _cut(scores, into, core)


def _cut(x: Array, starts: list[Any], lengths: list[int]) -> Array:
    from jax import lax
    from jax import numpy as jnp

    return lax.dynamic_slice(x, [jnp.asarray(s, jnp.int32) for s in (0, *starts)], (x.shape[0], *lengths))
