"""Chunk arithmetic: boxes, halos, and the protocols between combinators, storage and processes."""

from lithax.grid._chunk_grid import Box as Box
from lithax.grid._chunk_grid import ChunkGrid as ChunkGrid
from lithax.grid._chunk_grid import Index as Index
from lithax.grid._chunk_grid import box_shape as box_shape
from lithax.grid._chunk_grid import intersect as intersect
from lithax.grid._chunk_grid import shift as shift
from lithax.grid._chunk_grid import triple as triple
from lithax.grid._halo import Halo as Halo
from lithax.grid._halo import add_halos as add_halos
from lithax.grid._halo import as_halo as as_halo
from lithax.grid._halo import as_halos as as_halos
from lithax.grid._protocols import BlockSink as BlockSink
from lithax.grid._protocols import BlockSource as BlockSource
from lithax.grid._protocols import World as World
from lithax.grid._share import EVERYTHING as EVERYTHING
from lithax.grid._share import Share as Share
