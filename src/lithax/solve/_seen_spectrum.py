"""What conjugate gradients have seen of the spectrum, and the bound of the error that follows.

With M⁻¹ the preconditioner, q the direction of a step and μ any number below the eigenvalues of
M⁻¹K, the error of the energy before the step is at most φ rᵀz / μ, where φ = rᵀz / qᵀMq (Meurant
& Tichý, Numer. Algorithms 82 (2019) 937). What the step removes of it is known, so the rest is
bounded, too, for nothing but a few numbers.

μ is not known. The smallest Ritz value θ that the steps have found comes down to it from above;
*half of it* is taken. That is where the bound is an estimate, and it was tried: see
docs/design/0013. θ itself, an eigenvalue of a matrix that grows by a row each step, is followed by
incremental estimation (Duff & Vömel, BIT 42 (2002) 300), at most 1.9 times and mostly 1.04 times
too large.
"""

from typing import Any

import equinox as eqx
import jax
from jax import numpy as jnp

SHARE = 0.5
"""Of the smallest Ritz value that is taken for a bound of the spectrum."""


class SeenSpectrum(eqx.Module):
    """What one step hands to the next; all of it scalars.

    L is the bidiagonal factor of the matrix whose eigenvalues are the Ritz values: L Lᵀ.
    """

    alpha: Any
    """Of the last step."""
    direction: Any
    """qᵀMq of it."""
    inverse: Any
    """|xᵀL⁻¹|², with the vector x of length one for which it is largest: 1/θ."""
    row: Any
    """|w|² of the last row w of L⁻¹."""
    mixed: Any
    """xᵀL⁻¹wᵀ."""

    def after(self, alpha: jax.Array, beta: jax.Array, product: jax.Array, first: jax.Array) -> "SeenSpectrum":
        """Return what is known after a step.

        Parameters
        ----------
        alpha, beta
            Of the step.
        product
            rᵀz that it began with.
        first
            Whether it is the first.
        """
        ratio = jnp.sqrt(beta * alpha / jnp.where(self.alpha > 0, self.alpha, 1))
        mixed, row = -ratio * self.mixed, ratio**2 * self.row + alpha
        # The larger eigenvalue of [[inverse, mixed], [mixed, row]], and its vector.
        half = 0.5 * (row - self.inverse)
        root = jnp.sqrt(half**2 + mixed**2)
        largest = 0.5 * (row + self.inverse) + root
        x, y = jnp.where(half > 0, mixed, root - half), jnp.where(half > 0, half + root, mixed)
        length = jnp.sqrt(x**2 + y**2)
        x, y = (jnp.where(length > 0, v / jnp.where(length > 0, length, 1), 1) for v in (x, y))
        return SeenSpectrum(
            alpha,
            jnp.where(first, product, product + beta**2 * self.direction),
            jnp.where(first, alpha, largest),
            jnp.where(first, alpha, row),
            jnp.where(first, alpha, x * mixed + y * row),
        )

    def rest(self, product: jax.Array) -> jax.Array:
        """Return the bound of the error of the energy after the step that began with `product`."""
        share = product / jnp.where(self.direction > 0, self.direction, 1)
        return product * jnp.maximum(share * self.inverse / SHARE - self.alpha, 0)


def nothing_seen(zero: jax.Array) -> SeenSpectrum:
    """Return what is known before the first step."""
    return SeenSpectrum(*[zero] * 5)
