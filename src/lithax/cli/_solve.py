"""``lithax solve``."""

import re
from typing import Any

import click

from lithax.cli._parameters import JSON, PATH, QUIET, in_parts, make_room_for, mapping, pore_of, raw_layout, show, tell
from lithax.cli._solve_conductivity import conductivity_command


@click.group("solve")
def solve_command() -> None:
    """Solve for transport properties of a segmented image.

    \b
    lithax solve conductivity rock.zarr --pore 0   formation factor, tortuosity
    lithax solve permeability rock.zarr --pore 0
    lithax solve permeability rock.zarr --pore 0 --axis z --sides no_slip --json k.json
    """


def _permeability(text: str) -> Any:
    found = re.fullmatch(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(.*)", text)
    if found is None:
        raise ValueError(f"{text!r} is no number with a unit")
    number, unit = float(found[1]), found[2].strip()
    return f"{number} {unit}" if unit else number


@solve_command.command("permeability")
@click.argument("store", metavar="IMAGE")
@PATH
@raw_layout()
@click.option("--pore", type=int, multiple=True, help="Value of the pores; may be repeated. Only booleans need none.")
@click.option(
    "--permeability",
    "matrix",
    multiple=True,
    callback=mapping("VALUE=K", "2=1.5mD", _permeability),
    metavar="VALUE=K",
    help="Porous phase, such as 2=1.5mD; may be repeated.",
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
@click.option(
    "--wall",
    type=click.Choice(["accurate", "half_voxel"]),
    help="Rule for walls; half_voxel is the only one for soft walls and with --permeability.  [default: accurate, or that]",
)
@click.option("--reservoir", type=int, default=0, show_default=True, help="Open voxels added at both ends.")
@click.option(
    "--tolerance", type=float, default=5e-3, show_default=True, help="Relative error that the solver may leave."
)
@click.option("--budget", is_flag=True, help="Also solve on split and, without porous phases, on coarsened voxels.")
@click.option(
    "--blocks",
    "edge",
    type=int,
    metavar="EDGE",
    help="For an image larger than memory: upscale k from blocks of so many voxels an edge.",
)
@click.option("--checkpoint", metavar="FOLDER", help="Keep the state there; the same command goes on from it.")
@JSON
@QUIET
@tell
@in_parts
def permeability_command(
    store: str,
    path: str | None,
    pore: tuple[int, ...],
    matrix: dict[int, Any],
    axis: str,
    ends: str,
    sides: str,
    wall: str | None,
    reservoir: int,
    tolerance: float,
    budget: bool,
    edge: int | None,
    checkpoint: str | None,
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
    lithax solve permeability large.zarr --pore 0 --blocks 128
    """
    from lithax.images import open as open_image
    from lithax.solve import permeability, upscaled_permeability

    whole = {
        "--ends": ends != "pressure", "--sides": sides != "symmetric", "--reservoir": reservoir != 0, "--budget": budget,
        "--checkpoint": checkpoint is not None,
    }  # fmt: skip
    if edge is not None and any(whole.values()):
        unused = ", ".join(name for name, given in whole.items() if given)
        raise click.UsageError(f"{unused}: of a solve of the whole image; leave it out with --blocks.")
    make_room_for(as_json)
    given = {name: value for name, value in options.items() if value is not None}
    image = open_image(store, path=path, mode="r", **given)
    shared: dict[str, Any] = {
        "axis": axis, "pore": pore_of(pore), "permeability": matrix or None, "wall": wall, "tolerance": tolerance,
        "progress": not quiet,
    }  # fmt: skip
    if edge is not None:
        show(upscaled_permeability(image, edge=edge, **shared), as_json)
        return
    # Porous phases cannot be coarsened.
    lines = ("grid",) if budget and matrix else ("grid", "resolution") if budget else ()
    whole_image = {"ends": ends, "sides": sides, "reservoir": reservoir, "budget": lines, "checkpoint": checkpoint}
    show(permeability(image, **whole_image, **shared), as_json)


solve_command.add_command(conductivity_command)
