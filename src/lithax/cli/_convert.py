"""``lithax convert``."""

from typing import Any

import click

from lithax.cli._describe import describe
from lithax.cli._parameters import CHUNKS, OVERWRITE, PATH, QUIET, alone, raw_layout, tell


@click.command("convert")
@click.argument("source")
@click.argument("target")
@PATH
@raw_layout()
@click.option("--chunks", type=CHUNKS, help="Edge of the chunks of a store, one number or three.  [default: about 128]")
@OVERWRITE
@QUIET
@tell
@alone
def convert_command(source: str, target: str, path: str | None, overwrite: bool, quiet: bool, **options: Any) -> None:
    """Turn an image or a file into another format, which the ending of TARGET names.

    \b
    rock.raw        bare voxels, with a JSON document beside them that says what they are
    rock.npy        NumPy, axes x, y, z
    rock.tif        a stack of pages along z, with voxel size, as ImageJ and Fiji write it
    rock.nrrd       NRRD; also .nhdr with a data file
    rock.mha        MetaImage of ITK; also .mhd with a data file
    rock.ome.zarr   OME-Zarr 0.5 with coarser levels (lithax pyramid has more options)
    rock.zarr       a store of lithax; also a name without an ending, or a URL

    SOURCE is one of these, or any other store that lithax opens: images of RockVerse,
    three-dimensional Zarr arrays, OME-Zarr of versions 0.1 to 0.5. Nothing is held in memory as a
    whole.

    \b
    lithax convert scan.tif rock.zarr --voxel-length 2.5 --unit um
    lithax convert rock.zarr rock.tif
    lithax convert rock.zarr rock.ome.zarr
    lithax convert rock.raw rock.npy --shape 512,512,400 --dtype '<u2'
    """
    from lithax.images import VoxelImage, convert

    given = {name: value for name, value in options.items() if value is not None}
    made = convert(source, target, path=path, overwrite=overwrite, progress=not quiet, **given)
    click.echo(describe(made) if isinstance(made, VoxelImage) else str(made))
