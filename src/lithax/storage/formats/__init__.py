"""Files of other formats, as sources and sinks of boxes."""

from lithax.storage.formats._damage import check_file as check_file
from lithax.storage.formats._damage import readable as readable
from lithax.storage.formats._exact_cast import cast_exactly as cast_exactly
from lithax.storage.formats._fiji import fiji_macro as fiji_macro
from lithax.storage.formats._fiji import fiji_type as fiji_type
from lithax.storage.formats._format import FileFormat as FileFormat
from lithax.storage.formats._format import FileSource as FileSource
from lithax.storage.formats._format import check_store_name as check_store_name
from lithax.storage.formats._format import file_formats as file_formats
from lithax.storage.formats._format import format_of as format_of
from lithax.storage.formats._format import format_of_folder as format_of_folder
from lithax.storage.formats._format import known_suffixes as known_suffixes
from lithax.storage.formats._format import register_format as register_format
from lithax.storage.formats._new_file import check_new_file as check_new_file
from lithax.storage.formats._new_file import written_whole as written_whole
from lithax.storage.formats._raw_dtype import raw_dtype as raw_dtype
from lithax.storage.formats._raw_dtype import raw_order as raw_order
from lithax.storage.formats._raw_dtype import with_byteorder as with_byteorder
from lithax.storage.formats._raw_pair import RawPair as RawPair
from lithax.storage.formats._raw_sidecar import RawDescription as RawDescription
from lithax.storage.formats._raw_sidecar import read_sidecar as read_sidecar
from lithax.storage.formats._raw_sidecar import sidecar_path as sidecar_path
from lithax.storage.formats._raw_sidecar import write_sidecar as write_sidecar
from lithax.storage.formats._raw_sink import RawSink as RawSink
from lithax.storage.formats._raw_source import RawSource as RawSource
from lithax.storage.formats._table import TABLE as TABLE
