"""Arrays in Zarr v3: chunks, shards, metadata, and the formats around them."""

from lithax.storage._stored_array import StoredArray as StoredArray
