"""Arrays in Zarr v3: chunks, shards, metadata, and the formats around them."""

from lithax.storage._abstract_array import AbstractStoredArray as AbstractStoredArray
from lithax.storage._abstract_array import map_threads as map_threads
from lithax.storage._chunks import resolve_chunks as resolve_chunks
from lithax.storage._create_array import check_options as check_options
from lithax.storage._create_array import create_array as create_array
from lithax.storage._create_array import creating as creating
from lithax.storage._create_array import default_compressors as default_compressors
from lithax.storage._create_array import voxel_dtype as voxel_dtype
from lithax.storage._foreign_array import ForeignArray as ForeignArray
from lithax.storage._journal import begin_journal as begin_journal
from lithax.storage._journal import check_unlocked as check_unlocked
from lithax.storage._journal import clear_journal as clear_journal
from lithax.storage._journal import describe_parts as describe_parts
from lithax.storage._journal import differing_parts as differing_parts
from lithax.storage._journal import join_journal as join_journal
from lithax.storage._journal import this_process as this_process
from lithax.storage._location import Location as Location
from lithax.storage._location import claim as claim
from lithax.storage._location import locate as locate
from lithax.storage._node_document import UserAttributes as UserAttributes
from lithax.storage._open_array import open_array as open_array
from lithax.storage._schema import SCHEMA as SCHEMA
from lithax.storage._schema import Metadata as Metadata
from lithax.storage._stored_array import StoredArray as StoredArray
from lithax.storage._stored_array import same_encoding as same_encoding
from lithax.storage._workers import default_workers as default_workers
