"""Voxel arithmetic: on arrays, and on images (then options of `chunk_map` such as ``store=`` and
``where=`` are accepted).

Types follow NumPy: both operands are cast to the type in which NumPy would compute, then combined.
In place: ``image.apply("add", other)``.
"""

from lithax.images import binary

set = binary("set")
add = binary("add")
subtract = binary("subtract")
multiply = binary("multiply")
divide = binary("divide")
logical_and = binary("logical_and")
logical_or = binary("logical_or")
logical_xor = binary("logical_xor")
minimum = binary("minimum")
maximum = binary("maximum")
average = binary("average")
absolute_difference = binary("absolute_difference")
