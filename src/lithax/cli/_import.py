"""``lithax import``."""

from pathlib import Path
from typing import Any

import click

from lithax.cli._parameters import CHUNKS, LENGTH, SHAPE, tell


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("store")
@click.option("--shape", type=SHAPE, help="Voxels along x, y, z, such as 512,512,400.")
@click.option("--dtype", help="Type of the voxels: u1, <u2 (little-endian), >u2 (big-endian), <f4, ...")
@click.option("--order", type=click.Choice(["F", "C"]), help="F: x runs fastest in the file (default); C: z does.")
@click.option("--offset", type=int, help="Bytes before the first voxel.")
@click.option("--voxel-length", type=LENGTH, help="Edge of a voxel, one number or three.")
@click.option("--unit", "voxel_unit", help="Its unit: um, mm, ...")
@click.option("--chunks", type=CHUNKS, help="Edge of the chunks, one number or three.  [default: about 128]")
@click.option("--field-name", help="What the voxels are: attenuation, grey level, phase, ...")
@click.option("--field-unit", help="Their unit.")
@click.option("--overwrite", is_flag=True, help="Replace an image that is there.")
@tell
def import_command(file: str, store: str, overwrite: bool, chunks: Any, **options: Any) -> None:
    """Make an image of a raw or .npy file.

    FILE is a raw file, also compressed (.gz), or a .npy file with the axes x, y, z. If a JSON document lies beside a raw file
    (rock.raw.json, as lithax export writes it), it says what the file holds, and options override it; otherwise --shape
    and --dtype are needed. STORE is a folder such as rock.zarr, or a URL.

    \b
    lithax import rock.raw rock.zarr --shape 512,512,400 --dtype '<u2' --voxel-length 2.5 --unit um
    lithax import rock.npy rock.zarr --voxel-length 2.5 --unit um
    """
    import numpy as np

    from lithax.images import from_array, import_raw

    given = {name: value for name, value in options.items() if value is not None}
    given |= {"store": store, "overwrite": overwrite, "chunks": chunks or "auto"}
    if Path(file).suffix.lower() == ".npy":
        if layout := [f"--{name}" for name in ("shape", "dtype", "order", "offset") if name in given]:
            raise click.UsageError(f"{', '.join(layout)}: a .npy file says itself what it holds; leave it out.")
        image = from_array(np.load(file, mmap_mode="r"), **given)
    else:
        image = import_raw(file, **given)
    click.echo(repr(image))
