"""One block at a time: map, reduce and differentiate over images of any size."""

from lithax.chunked._array_source import ArraySource as ArraySource
from lithax.chunked._cache import ChunkCache as ChunkCache
from lithax.chunked._components import Components as Components
from lithax.chunked._components import find_components as find_components
from lithax.chunked._gradient import LossOverBlocks as LossOverBlocks
from lithax.chunked._kernel import Kernel as Kernel
from lithax.chunked._kernel import KernelRequest as KernelRequest
from lithax.chunked._kernel import backend_namespace as backend_namespace
from lithax.chunked._kernel import check_plain_functions as check_plain_functions
from lithax.chunked._kernel import make_kernel as make_kernel
from lithax.chunked._kernel import needs_x64 as needs_x64
from lithax.chunked._layout import ANY_MACHINE as ANY_MACHINE
from lithax.chunked._layout import Layout as Layout
from lithax.chunked._layout import available_cores as available_cores
from lithax.chunked._layout import choose_layout as choose_layout
from lithax.chunked._lift import lift as lift
from lithax.chunked._map import MapJob as MapJob
from lithax.chunked._memory import ALLOCATOR_OVERHEAD as ALLOCATOR_OVERHEAD
from lithax.chunked._memory import CACHE_OVERHEAD as CACHE_OVERHEAD
from lithax.chunked._memory import FIXED_BYTES as FIXED_BYTES
from lithax.chunked._memory import release_memory as release_memory
from lithax.chunked._reduce import BlockReader as BlockReader
from lithax.chunked._reduce import BlockState as BlockState
from lithax.chunked._reduce import block_state as block_state
from lithax.chunked._reduce import reduce_blocks as reduce_blocks
from lithax.chunked._selection import Selection as Selection
