"""``lithax rechunk``."""

from typing import Any

import click

from lithax.cli._describe import describe
from lithax.cli._parameters import CHUNKS, OVERWRITE, PATH, QUIET, connect, say, tell


@click.command("rechunk")
@click.argument("store")
@click.argument("target")
@click.option("--chunks", type=CHUNKS, help="Edge of the chunks, one number or three.  [default: about 128]")
@click.option("--shards", type=CHUNKS, help="Edge of the shards, multiples of the chunks.  [default: none]")
@PATH
@OVERWRITE
@QUIET
@tell
def rechunk_command(
    store: str, target: str, chunks: Any, shards: Any, path: str | None, overwrite: bool, quiet: bool
) -> None:
    """Copy an image to a store with other chunks, in bounded memory whatever the two grids.

    Small chunks make small readings fast, large ones compress better; shards put many chunks into
    one file. Under mpiexec the processes share the work.

    \b
    lithax rechunk rock.zarr rock64.zarr --chunks 64
    lithax rechunk rock.zarr planes.zarr --chunks 1024,1024,1
    lithax rechunk rock.zarr rock512.zarr --chunks 64 --shards 512
    """
    from lithax.images import open as open_image

    world = connect()
    image = open_image(store, path=path, mode="r", world=world)
    made = image.copy(target, chunks=chunks or "auto", shards=shards, overwrite=overwrite, progress=not quiet)
    say(world, describe(made))
