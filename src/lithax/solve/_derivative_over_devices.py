"""Derivatives over devices: they were found beside the value, where the voxels lie, and are handed
to JAX here.

Conductivity and permeability are stationary in their fields, so that the derivative is known once
these are. No loop is traced: under `jax.grad`, `jax.vjp` and `jax.jvp` the host's loop runs on the
voxels as they are.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp

from lithax.arrays import is_traced
from lithax.solve._arguments import is_wanted
from lithax.solve._conductivity import Conductivity

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The entries of a symmetric tensor."""


def without_derivative(image: Any) -> Any:
    """Return an array as it is where `jax.grad`, `jax.vjp` or `jax.jvp` look at it; other values as
    they are.
    """
    return jax.lax.stop_gradient(image) if is_traced(image) else image


def refuse_further_derivatives(values: Any, fluid: Any, reservoir: int, fields: bool, gradient: Any) -> None:
    """Raise ValueError for what has no derivative over devices."""
    if any(is_traced(v) for v in (values or {}).values()):
        raise ValueError(
            "values= are differentiated, and image lies over several devices, where derivatives are taken with respect to "
            "fields of conductivities; pass gradient=True, and sum result.gradient over the voxels of each value."
        )
    if reservoir and is_traced(fluid):
        raise ValueError(
            f"fluid= is differentiated, and with reservoir={reservoir} the value depends on it, of which the derivative is not "
            "available over several devices; solve on one device: jax.device_put(image, jax.devices()[0])."
        )
    if fields or is_wanted(gradient):
        name = "fields" if fields else "gradient"
        raise ValueError(
            f"{name}= is not available where an image over several devices is differentiated; leave it out, or call "
            "conductivity() outside of jax.grad."
        )


def with_derivative(result: Conductivity, image: Any, slopes: Sequence[jax.Array]) -> Conductivity:
    """Return a result whose value and tensor depend on an image.

    Parameters
    ----------
    result
        Of a solve.
    image
        As it was handed in.
    slopes
        Like the image: the derivative of the value for each axis, or of the entries `PAIRS` of the
        tensor.
    """
    if result.tensor is not None:
        tensor = depending_tensor(image, result.tensor, slopes)
        return eqx.tree_at(lambda r: (r.value, r.tensor), result, (jnp.diagonal(tensor), tensor))
    several = len(slopes) > 1
    found = depending(image, tuple(result.value) if several else (result.value,), slopes)
    return eqx.tree_at(lambda r: r.value, result, jnp.stack(found) if several else found[0])


def depending_tensor(image: jax.Array, tensor: Any, slopes: Sequence[jax.Array]) -> jax.Array:
    """Return a symmetric tensor that depends on an image, with a slope for each of `PAIRS`."""
    found = dict(zip(PAIRS, depending(image, tuple(jnp.asarray(tensor[p]) for p in PAIRS), slopes), strict=True))
    return jnp.stack([jnp.stack([found[min(i, j), max(i, j)] for j in range(3)]) for i in range(3)])


@jax.custom_jvp
def depending(image: jax.Array, numbers: tuple[jax.Array, ...], slopes: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """Return numbers that depend on an image, each with a slope like it."""
    return numbers


@depending.defjvp
def _(primals: Any, tangents: Any) -> Any:
    image, numbers, slopes = primals
    return numbers, tuple(_change(_once(slope, image), tangents[0]) for slope in slopes)


@jax.jit
def _change(slope: jax.Array, tangent: jax.Array) -> jax.Array:
    # In filler, where the slope is zero, a tangent may be NaN.
    return jnp.sum(jnp.where(slope != 0, slope * tangent, 0))


@jax.custom_jvp
def _once(slope: jax.Array, image: jax.Array) -> jax.Array:
    return slope


@_once.defjvp
def _(primals: Any, tangents: Any) -> Any:
    raise NotImplementedError(
        "second derivatives are not available over several devices; take them on one device: "
        "jax.device_put(image, jax.devices()[0])."
    )
