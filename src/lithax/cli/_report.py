"""``lithax report``."""

from pathlib import Path
from typing import Any

import click

from lithax.cli._parameters import alone, raw_layout, tell, worded


@click.command("report")
@click.argument("source", metavar="[INPUT]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    help="Folder for the files.  [default: INPUT-report, or finney-report]",
)
@raw_layout(file="the file", first="the first voxel")
@click.option(
    "--filter",
    "filter_",
    default="median",
    show_default=True,
    help="Before the threshold: none, median:2 (radius), gaussian:1.5, bilateral:1.5 (standard deviation [voxel]), "
    "non_local_means:3 (search radius), total_variation:1, anisotropic_diffusion:2.5, tensor_diffusion:1 "
    "(strength, times the noise).",
)
@click.option(
    "--threshold",
    default="otsu",
    show_default=True,
    help="otsu, half (midway between the peaks), kittler_illingworth, li, yen, isodata, triangle, minimum, "
    "otsu:3 (the darkest of three phases, up to otsu:6), or a grey level; up to it is pore.",
)
@click.option(
    "--roi",
    type=click.Choice(["auto", "cylinder", "none"]),
    default="auto",
    show_default=True,
    help="What counts. auto: the core, if one is seen standing in air; cylinder: that, or the largest that fits; none: all.",
)
@click.option(
    "--pore-phase", type=int, help="Value of the pores, if INPUT is segmented already.  [default: the lowest]"
)
@click.option(
    "--transport", is_flag=True, help="Solve for formation factor and permeability as well, with error budgets."
)
@click.option("--title", help="Title of the page.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier report in the folder.")
@click.option("--quiet", is_flag=True, help="Say nothing while working.")
@tell
@alone
def report_command(
    source: str | None,
    output: str | None,
    shape: Any,
    dtype: str | None,
    order: str | None,
    offset: int | None,
    voxel_length: Any,
    voxel_unit: str | None,
    filter_: str,
    threshold: str,
    roi: str,
    pore_phase: int | None,
    transport: bool,
    title: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Measure a scan, and write a page about it that can be sent.

    INPUT is a Zarr store, a TIFF, .npy, NRRD or MetaImage file, a folder of TIFF slices, or a raw
    file (.raw, also .gz) with a JSON document beside it or with --shape and --dtype. An image of
    few values is taken as segmented already. Without INPUT a scan of a measured sphere pack is
    simulated, whose porosity is known, and the report shows how far each method is from the truth.

    The folder holds report.html (one file, with its pictures), report.json and numbers.csv (the
    same numbers for programs: each with unit, denominator, method, and whether it was measured,
    assumed or simulated), and pores.zarr, the segmentation.

    \b
    lithax report
    lithax report rock.zarr
    lithax report rock.zarr --transport
    lithax report rock.raw --shape 512,512,400 --dtype '<u2' --voxel-length 2.5 --unit um
    lithax report segmented.raw.gz --shape 110,110,110 --dtype u1 --order C --pore-phase 0
    """
    from lithax.report import report

    made = report(
        source,
        output or (f"{_stem(source)}-report" if source else "finney-report"),
        filter=filter_,
        threshold=threshold,
        roi=roi,
        pore_phase=pore_phase,
        voxel_length=voxel_length,
        voxel_unit=voxel_unit,
        shape=shape,
        dtype=dtype,
        order=order,
        offset=offset,
        transport=transport,
        title=title,
        overwrite=overwrite,
        progress=not quiet,
    )
    click.echo(worded(made.summary()))
    click.echo(f"  {made.path}")
    if not made.passed:
        raise click.exceptions.Exit(1)


def _stem(source: str) -> str:
    return Path(source.rstrip("/")).name.split(".")[0] or "image"
