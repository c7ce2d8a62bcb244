"""Images that lie on many devices at once, and stencils on them: for whole-domain loops such as
flow solvers.
"""

from lithax.sharded._grid import ShardedGrid as ShardedGrid
from lithax.sharded._halo import exchange_faces as exchange_faces
from lithax.sharded._halo import exchange_halo as exchange_halo
from lithax.sharded._halo import stencil as stencil
from lithax.sharded._load import filled_shape as filled_shape
from lithax.sharded._load import load as load
from lithax.sharded._load import valid as valid
from lithax.sharded._mesh import axis_names as axis_names
from lithax.sharded._mesh import make_mesh as make_mesh
from lithax.sharded._mesh import sharding_of as sharding_of
