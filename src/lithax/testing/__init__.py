"""What tests of lithax, and of what is built on it, have in common."""

from lithax.testing._chunk_invariance import assert_chunk_invariant as assert_chunk_invariant
from lithax.testing._chunk_invariance import assert_same_bits as assert_same_bits
from lithax.testing._chunk_invariance import assert_same_result as assert_same_result
from lithax.testing._chunk_invariance import some_chunks as some_chunks
from lithax.testing._exact_flow import BrinkmanChannel as BrinkmanChannel
from lithax.testing._exact_flow import CylinderArray as CylinderArray
from lithax.testing._exact_flow import EllipticTube as EllipticTube
from lithax.testing._exact_flow import RectangularDuct as RectangularDuct
from lithax.testing._exact_flow import Slit as Slit
from lithax.testing._exact_flow import SlitBetweenLayers as SlitBetweenLayers
from lithax.testing._exact_flow import SphereArray as SphereArray
from lithax.testing._exact_flow import TriangularTube as TriangularTube
from lithax.testing._exact_flow import Tube as Tube
from lithax.testing._monoid import assert_monoid as assert_monoid
from lithax.testing._reference import ball_offsets as ball_offsets
from lithax.testing._reference import box_offsets as box_offsets
from lithax.testing._reference import gaussian_mean as gaussian_mean
from lithax.testing._reference import neighbourhood as neighbourhood
from lithax.testing._strategies import boundary_rules as boundary_rules
from lithax.testing._strategies import chunk_shapes as chunk_shapes
from lithax.testing._strategies import grids as grids
from lithax.testing._strategies import image_shapes as image_shapes
from lithax.testing._strategies import voxels as voxels
from lithax.testing._thread_world import ThreadWorld as ThreadWorld
from lithax.testing._thread_world import on_threads as on_threads
