"""Array libraries side by side: namespace lookup and the few verbs that the array standard lacks."""

from lithax.arrays._boundary import BOUNDARIES as BOUNDARIES
from lithax.arrays._boundary import boundary_index as boundary_index
from lithax.arrays._boundary import check_boundary as check_boundary
from lithax.arrays._boundary import pad as pad
from lithax.arrays._boundary import refill as refill
from lithax.arrays._control import cond as cond
from lithax.arrays._control import fence as fence
from lithax.arrays._control import fori_loop as fori_loop
from lithax.arrays._namespace import is_array as is_array
from lithax.arrays._namespace import is_jax as is_jax
from lithax.arrays._namespace import is_traced as is_traced
from lithax.arrays._namespace import namespace as namespace
from lithax.arrays._namespace import real_dtype as real_dtype
from lithax.arrays._namespace import to_numpy as to_numpy
