"""``lithax solve``."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import click

from lithax.cli._parameters import PATH, QUIET, alone, raw_layout, tell
from lithax.cli._solve_conductivity import conductivity_command


@click.group("solve")
def solve_command() -> None:
    """Solve for transport properties of a segmented image.

    \b
    lithax solve conductivity rock.zarr --pore 0   formation factor, tortuosity
    lithax solve permeability rock.zarr --pore 0
    lithax solve permeability rock.zarr --pore 0 --axis z --sides no_slip --json k.json
    """


@solve_command.command("permeability")
@click.argument("store", metavar="IMAGE")
@PATH
@raw_layout()
@click.option("--pore", type=int, multiple=True, help="Value of the pores; may be repeated. Only booleans need none.")
@click.option(
    "--permeability", "matrix", multiple=True, metavar="VALUE=K", help="Porous phase, such as 2=1.5mD; may be repeated."
)
@click.option("--axis", type=click.Choice(["x", "y", "z", "all"]), default="all", show_default=True)
@click.option("--ends", type=click.Choice(["pressure", "periodic"]), default="pressure", show_default=True)
@click.option(
    "--sides",
    type=click.Choice(["symmetric", "no_slip", "periodic"]),
    default="symmetric",
    show_default=True,
    help="no_slip: a jacketed plug.",
)
@click.option("--wall", type=click.Choice(["accurate", "half_voxel"]), help="Rule for walls.  [default: accurate]")
@click.option("--reservoir", type=int, default=0, show_default=True, help="Open voxels added at both ends.")
@click.option(
    "--tolerance", type=float, default=5e-3, show_default=True, help="Relative error that the solver may leave."
)
@click.option("--budget", is_flag=True, help="Also solve on split and on coarsened voxels: what the grid does to k.")
@click.option(
    "--json", "as_json", type=click.Path(dir_okay=False, writable=True), help="Also write the numbers to this file."
)
@QUIET
@tell
@alone
def permeability_command(
    store: str,
    path: str | None,
    pore: tuple[int, ...],
    matrix: tuple[str, ...],
    axis: str,
    ends: str,
    sides: str,
    wall: str | None,
    reservoir: int,
    tolerance: float,
    budget: bool,
    as_json: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Print the absolute permeability of IMAGE by Stokes flow through its pores.

    IMAGE is anything that lithax opens. Booleans need nothing else (true is pore); a segmentation
    needs --pore. The exit code is 1 if the iterations do not converge.

    \b
    lithax solve permeability rock.zarr --pore 0
    lithax solve permeability rock.zarr --pore 0 --axis z --sides no_slip
    lithax solve permeability carbonate.zarr --pore 0 --permeability 2=1.5mD
    """
    import numpy as np

    from lithax.images import open as open_image
    from lithax.solve import permeability

    if as_json:  # a solve may take hours: whether its numbers can be written is known before
        folder = Path(as_json).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    given = {name: value for name, value in options.items() if value is not None}
    image = open_image(store, path=path, mode="r", **given)
    found = permeability(
        image,
        axis=axis,
        pore=list(pore) or None,
        permeability=_phases(matrix) or None,
        ends=ends,
        sides=sides,
        wall=wall,
        reservoir=reservoir,
        tolerance=tolerance,
        budget=("grid", "resolution") if budget else (),
        progress=not quiet,
    )
    click.echo(str(found))
    if as_json:
        Path(as_json).write_text(json.dumps(found.numbers(), indent=2) + "\n", encoding="utf-8")
    if not bool(np.all(np.asarray(found.converged))):
        raise click.exceptions.Exit(1)


def _phases(matrix: tuple[str, ...]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for text in matrix:
        value, _, k = text.partition("=")
        number = k.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµ²^*")
        try:
            found[int(value)] = f"{float(number)} {k[len(number) :]}" if k != number else float(number)
        except ValueError as error:
            raise click.UsageError(f"--permeability {text!r} must be VALUE=K, such as 2=1.5mD.") from error
    return found


solve_command.add_command(conductivity_command)
