"""What block buffers cost beyond their size."""

ALLOCATOR_OVERHEAD = 1.75
"""Memory in use per byte of block buffers: the C library keeps freed buffers in one pool per
thread. Measured on images of 1 GiB: 1.3 to 1.7."""

CACHE_OVERHEAD = 1.7
"""The same for decoded chunks that are kept: they come and go among the block buffers. Measured on
an image of 4 GiB: 1.5.
"""

FIXED_BYTES = 16 * 2**20
"""Thread stacks, codec tables, the compiled function."""
