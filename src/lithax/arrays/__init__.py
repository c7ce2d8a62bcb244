"""Array libraries side by side: namespace lookup and the few verbs that the array standard lacks."""

from lithax.arrays._bincount import bincount as bincount
from lithax.arrays._bincount import count_not_above as count_not_above
from lithax.arrays._bincount import lookup as lookup
from lithax.arrays._bincount import maximum_by as maximum_by
from lithax.arrays._bincount import minimum_by as minimum_by
from lithax.arrays._boundary import BOUNDARIES as BOUNDARIES
from lithax.arrays._boundary import boundary_index as boundary_index
from lithax.arrays._boundary import check_boundary as check_boundary
from lithax.arrays._boundary import pad as pad
from lithax.arrays._boundary import refill as refill
from lithax.arrays._control import cond as cond
from lithax.arrays._control import fence as fence
from lithax.arrays._control import fori_loop as fori_loop
from lithax.arrays._label import label_block as label_block
from lithax.arrays._label import merge_labels as merge_labels
from lithax.arrays._namespace import is_array as is_array
from lithax.arrays._namespace import is_jax as is_jax
from lithax.arrays._namespace import is_traced as is_traced
from lithax.arrays._namespace import namespace as namespace
from lithax.arrays._namespace import real_dtype as real_dtype
from lithax.arrays._namespace import to_numpy as to_numpy
from lithax.arrays._pieces import PIECE as PIECE
from lithax.arrays._pieces import fold_pieces as fold_pieces
from lithax.arrays._wide import wide_scope as wide_scope
from lithax.arrays._wide import widest_float as widest_float
from lithax.arrays._wide import widest_integer as widest_integer
