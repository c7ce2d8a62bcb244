"""``lithax pyramid``."""

from typing import Any

import click

from lithax.cli._describe import describe
from lithax.cli._parameters import CHUNKS, OVERWRITE, PATH, QUIET, connect, say, tell


@click.command("pyramid")
@click.argument("store")
@click.argument("target", required=False)
@PATH
@click.option(
    "--method",
    type=click.Choice(["auto", "mean", "mode", "first"]),
    default="auto",
    show_default=True,
    help="How one voxel is made of eight. mode: the most frequent value, for segmentations.",
)
@click.option(
    "--smallest",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Voxels along the longest axis of the coarsest level, at most.",
)
@click.option("--chunks", type=CHUNKS, help="Edge of the chunks, one number or three.  [default: about 128]")
@click.option("--shards", type=CHUNKS, help="Edge of the shards, multiples of the chunks.  [default: none]")
@OVERWRITE
@click.option("--resume", is_flag=True, help="Go on with a pyramid that was cut off.")
@QUIET
@tell
def pyramid_command(
    store: str,
    target: str | None,
    path: str | None,
    method: str,
    smallest: int,
    chunks: Any,
    shards: Any,
    overwrite: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """Make coarser levels of an image, which viewers read instead of all voxels.

    Without TARGET the levels are made inside STORE, beside the image, and take about a seventh of
    its size. With TARGET a new OME-Zarr 0.5 group is made, with a copy of the image and all levels,
    for napari, Fiji, neuroglancer and others. Shards put many chunks into one file, which file
    systems and object stores prefer to thousands of small ones. Under mpiexec the processes share
    the work.

    \b
    lithax pyramid rock.zarr
    lithax pyramid rock.zarr rock.ome.zarr
    lithax pyramid rock.zarr rock.ome.zarr --chunks 64 --shards 512
    lithax pyramid phases.zarr phases.ome.zarr --method mode
    mpiexec -n 4 lithax pyramid rock.zarr --resume
    """
    from lithax.images import open as open_image
    from lithax.images import pyramid

    world = connect()
    image = open_image(store, path=path, mode="r+" if target is None else "r", world=world)
    options = {"method": method, "smallest": smallest, "chunks": chunks, "shards": shards}
    made = pyramid(image, target, overwrite=overwrite, resume=resume, progress=not quiet, **options)
    if not made.levels:
        say(world, f"No axis has more than {smallest} voxels: no coarser levels are needed (see --smallest).")
    for level in (made, *made.levels):
        say(world, describe(level))
