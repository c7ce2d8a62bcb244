"""The formats that lithax knows, but for raw files, which several processes write together; a new
one is a row here.
"""

from lithax.storage.formats._format import FileFormat, register_format
from lithax.storage.formats._metaimage import METAIMAGE_SUFFIXES, MetaImageSource, write_metaimage
from lithax.storage.formats._npy import NpySource, write_npy
from lithax.storage.formats._nrrd import NRRD_SUFFIXES, NrrdSource, write_nrrd
from lithax.storage.formats._tiff import TIFF_SUFFIXES, TiffSource
from lithax.storage.formats._tiff_folder import TiffFolderSource
from lithax.storage.formats._tiff_writer import write_tiff

COMPRESS = ("compress",)

TABLE = (
    FileFormat("TIFF", TIFF_SUFFIXES, TiffSource, write_tiff, open_folder=TiffFolderSource),
    FileFormat("npy", (".npy",), NpySource, write_npy),
    FileFormat("NRRD", NRRD_SUFFIXES, NrrdSource, write_nrrd, write_options=COMPRESS),
    FileFormat("MetaImage", METAIMAGE_SUFFIXES, MetaImageSource, write_metaimage, write_options=COMPRESS),
)
for row in TABLE:
    register_format(row)
