"""``lithax solve conductivity``."""

from typing import Any

import click

from lithax.cli._parameters import PATH, QUIET, alone, raw_layout, tell


def _values(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[int, float] | None:
    found = {}
    for text in given:
        key, equals, number = text.partition("=")
        try:
            found[int(key)] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise click.BadParameter(f"{text!r}: write PHASE=CONDUCTIVITY, such as 0=5.0.", ctx, param)
    return found or None


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
    callback=_values,
    metavar="PHASE=CONDUCTIVITY",
    help="Conductivity of a phase; once for each.",
)
@click.option("--fluid", type=float, help="Conductivity of the pore fluid; 1 with --pore.")
@click.option(
    "--axis", type=click.Choice(["x", "y", "z", "all"]), default="all", show_default=True, help="Of the current."
)
@click.option("--ends", type=click.Choice(["potential", "periodic"]), default="potential", show_default=True)
@click.option("--sides", type=click.Choice(["insulating", "periodic"]), default="insulating", show_default=True)
@click.option("--tolerance", type=float, default=5e-3, show_default=True, help="Relative error of the value.")
@QUIET
@tell
@alone
def conductivity_command(
    store: str, path: str | None, pore: tuple[int, ...], values: Any, quiet: bool, **options: Any
) -> None:
    """Formation factor, tortuosity and effective diffusivity of an image.

    IMAGE is anything that lithax opens. Booleans need nothing else (true is pore); a segmentation
    needs --pore, or --value for every phase. The exit code is 1 if the iterations do not converge.

    \b
    lithax solve conductivity rock.zarr --pore 0
    lithax solve conductivity rock.zarr --value 0=5 --value 1=0 --value 2=0.2 --fluid 5 --axis z
    """
    import numpy as np

    from lithax.images import open as open_image
    from lithax.solve import conductivity

    how = {name: options.pop(name) for name in ("axis", "ends", "sides", "fluid", "tolerance")}
    image = open_image(store, path=path, mode="r", **{k: v for k, v in options.items() if v is not None})
    found = conductivity(image, pore=pore or None, values=values, progress=not quiet, **how)
    click.echo(str(found))
    if not bool(np.all(np.asarray(found.converged))):
        raise click.exceptions.Exit(1)
