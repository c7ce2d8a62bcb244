"""Derivatives given by a rule, where following every operation of a function would be slow or
wrong.
"""

from collections.abc import Callable
from typing import Any

from lithax.arrays._namespace import is_jax


def with_derivative(
    function: Callable[..., Any], rule: Callable[[tuple, tuple], tuple[Any, Any]]
) -> Callable[..., Any]:
    """Return `function` with the derivative that `rule` says.

    ``rule(arguments, tangents)`` returns ``(result, tangent of the result)``, linear in the
    tangents, so that JAX can run it in both directions. Other libraries follow the operations of
    `function` itself, or take no derivatives.
    """

    def call(*arguments: Any) -> Any:
        if not is_jax(*arguments):
            return function(*arguments)
        import jax

        custom = jax.custom_jvp(function)
        custom.defjvp(rule)
        return custom(*arguments)

    return call
