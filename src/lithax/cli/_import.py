"""``lithax import``."""

from pathlib import Path
from typing import Any

import click

from lithax.cli._describe import describe
from lithax.cli._parameters import CHUNKS, OVERWRITE, QUIET, connect, raw_layout, say, tell


@click.command("import")
@click.argument("file", type=click.Path(exists=True))
@click.argument("store")
@raw_layout("", "the", "the file", "the first voxel")
@click.option("--chunks", type=CHUNKS, help="Edge of the chunks, one number or three.  [default: about 128]")
@click.option("--field-name", help="What the voxels are: attenuation, grey level, phase, ...")
@click.option("--field-unit", help="Their unit.")
@OVERWRITE
@QUIET
@tell
def import_command(file: str, store: str, overwrite: bool, quiet: bool, chunks: Any, **options: Any) -> None:
    """Make an image of a raw, TIFF, .npy, NRRD or MetaImage file, or of a folder of TIFF slices.

    FILE is a raw file, also compressed (.gz), a TIFF stack of pages along z, a folder of TIFF files
    with one page each, a .npy file with the axes x, y, z, a NRRD (.nrrd, .nhdr) or a MetaImage
    (.mha, .mhd). If a JSON document lies beside
    a raw file (rock.raw.json, as lithax export writes it), it says what the file holds, and options
    override it; otherwise --shape and --dtype are needed. STORE is a folder such as rock.zarr, or a
    URL.

    \b
    lithax import rock.raw rock.zarr --shape 512,512,400 --dtype '<u2' --voxel-length 2.5 --unit um
    lithax import rock.npy rock.zarr --voxel-length 2.5 --unit um
    lithax import stack.tif rock.zarr
    lithax import slices rock.zarr --voxel-length 2.5um
    """
    from lithax.images import file_format, import_file

    world = connect()
    given = {name: value for name, value in options.items() if value is not None}
    given |= {"store": store, "overwrite": overwrite, "chunks": chunks or "auto", "world": world}
    if file_format(file) != "raw" and (
        layout := [f"--{name}" for name in ("shape", "dtype", "order", "offset") if name in given]
    ):
        kind = f"a .{file.rpartition('.')[2]} file" if Path(file).is_file() else f"the folder {file}"
        raise click.UsageError(f"{', '.join(layout)}: {kind} says so itself; leave it out.")
    say(world, describe(import_file(file, progress=not quiet, **given)))
