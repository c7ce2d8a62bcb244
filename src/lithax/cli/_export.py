"""``lithax export``."""

from typing import Any

import click

from lithax.cli._parameters import OVERWRITE, QUIET, alone, tell


@click.command("export")
@click.argument("store")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--path", help="Path of the image inside the store.")
@click.option("--dtype", help="Type of the voxels in the file.  [default: that of the image]")
@click.option(
    "--order",
    type=click.Choice(["F", "C"]),
    help="F: x runs fastest in a raw file (default); C: z does.",
)
@click.option("--byteorder", type=click.Choice(["little", "big", "native"]), help="Of a raw file.  [default: native]")
@click.option("--fiji-macro", is_flag=True, help="Write a macro, too, by which Fiji opens the file.")
@OVERWRITE
@QUIET
@tell
@alone
def export_command(
    store: str, file: str, path: str | None, fiji_macro: bool, overwrite: bool, quiet: bool, **options: Any
) -> None:
    """Write an image to a raw file, and beside it a JSON document that says what it holds; or to
    another format.

    What FILE is, its ending says: .raw, .tif (pages along z), .npy (axes x, y, z), .nrrd, .nhdr,
    .mha, .mhd.

    \b
    lithax export rock.zarr rock.raw
    lithax export pores.zarr pores.raw --dtype u1 --fiji-macro
    lithax export rock.zarr rock.tif
    """
    from lithax.images import export_file, file_format
    from lithax.images import open as open_image

    image = open_image(store, path=path, mode="r")
    given = {name: value for name, value in options.items() if value is not None}
    if fiji_macro:
        given["fiji_macro"] = True
    raw = file_format(file) == "raw"
    made = export_file(image, file, overwrite=overwrite, progress=not quiet, **given)
    click.echo(f"{made} ({image.nx} x {image.ny} x {image.nz})" + (f", described in {made}.json" if raw else ""))
