"""``lithax export``."""

import click

from lithax.cli._parameters import tell


@click.command("export")
@click.argument("store")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--path", help="Path of the image inside the store.")
@click.option("--dtype", help="Type of the voxels in the file.  [default: that of the image]")
@click.option(
    "--order",
    type=click.Choice(["F", "C"]),
    default="F",
    show_default=True,
    help="F: x runs fastest in the file; C: z does.",
)
@click.option("--byteorder", type=click.Choice(["little", "big", "native"]), default="native", show_default=True)
@click.option("--fiji-macro", is_flag=True, help="Write a macro, too, by which Fiji opens the file.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@tell
def export_command(
    store: str,
    file: str,
    path: str | None,
    dtype: str | None,
    order: str,
    byteorder: str,
    fiji_macro: bool,
    overwrite: bool,
) -> None:
    """Write an image to a raw file, and beside it a JSON document that says what it holds.

    \b
    lithax export rock.zarr rock.raw
    lithax export pores.zarr pores.raw --dtype u1 --fiji-macro
    """
    from lithax.images import open as open_image

    image = open_image(store, path=path, mode="r")
    made = image.export_raw(file, dtype, order, byteorder, fiji_macro, overwrite=overwrite)
    click.echo(f"{made} ({image.nx} x {image.ny} x {image.nz}), described in {made}.json")
