"""``lithax solve conductivity``."""

from typing import Any

import click

from lithax.cli._parameters import JSON, PATH, QUIET, in_parts, make_room_for, mapping, pore_of, raw_layout, show, tell


@click.command("conductivity")
@click.argument("store", metavar="IMAGE")
@PATH
@raw_layout()
@click.option(
    "--pore", type=int, multiple=True, help="Value of the segmentation that is pore; may be given several times."
)
@click.option(
    "--value",
    "values",
    multiple=True,
    callback=mapping("PHASE=CONDUCTIVITY", "0=5.0", float),
    metavar="PHASE=CONDUCTIVITY",
    help="Conductivity of a phase; once for each.",
)
@click.option("--fluid", type=float, help="Conductivity of the pore fluid, with --value.")
@click.option(
    "--axis", type=click.Choice(["x", "y", "z", "all"]), default="all", show_default=True, help="Of the current."
)
@click.option("--ends", type=click.Choice(["potential", "periodic"]), default="potential", show_default=True)
@click.option("--sides", type=click.Choice(["insulating", "periodic"]), default="insulating", show_default=True)
@click.option("--tolerance", type=float, default=5e-3, show_default=True, help="Relative error of the value.")
@click.option(
    "--memory-limit",
    metavar="SIZE",
    help="Such as 16GiB: what does not fit is solved from disk.  [default: what is free]",
)
@click.option("--scratch", metavar="FOLDER", help="For a solve from disk, 17 to 25 bytes a voxel; on the fastest disk.")
@click.option("--checkpoint", metavar="FOLDER", help="Keep the state there; the same command goes on from it.")
@JSON
@QUIET
@tell
@in_parts
def conductivity_command(
    store: str,
    path: str | None,
    pore: tuple[int, ...],
    values: dict[int, float],
    as_json: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Formation factor, tortuosity and effective diffusivity of an image.

    IMAGE is anything that lithax opens. Booleans need nothing else (true is pore); a segmentation
    needs --pore, or --value for every phase. The exit code is 1 if the iterations do not converge.

    \b
    lithax solve conductivity rock.zarr --pore 0 --json f.json
    lithax solve conductivity rock.zarr --value 0=5 --value 1=0 --value 2=0.2 --fluid 5 --axis z
    lithax solve conductivity large.zarr --pore 0 --axis z --scratch /fast --checkpoint kept
    """
    from lithax.images import open as open_image
    from lithax.solve import conductivity

    make_room_for(as_json)
    names = ("axis", "ends", "sides", "fluid", "tolerance", "memory_limit", "scratch", "checkpoint")
    how = {name: options.pop(name) for name in names}
    image = open_image(store, path=path, mode="r", **{k: v for k, v in options.items() if v is not None})
    found = conductivity(image, pore=pore_of(pore), values=values or None, progress=not quiet, **how)
    show(found, as_json)
