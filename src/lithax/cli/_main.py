"""The command ``lithax``: arguments in, calls out."""

from importlib.metadata import version

import click

from lithax.cli._convert import convert_command
from lithax.cli._export import export_command
from lithax.cli._import import import_command
from lithax.cli._info import info_command
from lithax.cli._pyramid import pyramid_command
from lithax.cli._rechunk import rechunk_command
from lithax.cli._report import report_command
from lithax.cli._solve import solve_command
from lithax.cli._verify import verify_command
from lithax.cli._view import view_command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: lithax report --help. Errors show where they come from with LITHAX_TRACEBACK=1.",
)
@click.version_option(version("lithax"), prog_name="lithax")
def main() -> None:
    """Digital rock petrophysics on voxel images of any size.

    Images live in Zarr stores: a folder such as rock.zarr that holds the voxels in compressed
    chunks, and what is known of them: voxel length and unit, place, name.

    \b
    lithax report                        show what a report is, on a scan of known porosity
    lithax report rock.raw ...           of your scan: porosity, connectivity, REV; one page to send
    lithax import rock.raw rock.zarr     a file (raw, TIFF, NRRD, ...) becomes an image
    lithax info rock.zarr                what an image is
    lithax solve conductivity rock.zarr  formation factor, tortuosity, diffusivity
    lithax solve permeability rock.zarr  permeability by Stokes flow
    lithax view rock.zarr                look at it; --web: in a browser
    lithax pyramid rock.zarr             coarser levels, so that large images open at once
    lithax rechunk rock.zarr new.zarr    other chunks
    lithax verify rock.zarr              is every chunk there and sound?
    lithax export rock.zarr rock.raw     write it to a file
    lithax convert rock.zarr rock.tif    any of these formats into another

    Exit codes: 0 all is well; 1 a defect or a failed criterion was found, or the work failed; 2 the
    command was not understood.
    """


COMMANDS = (
    report_command,
    info_command,
    import_command,
    export_command,
    convert_command,
    rechunk_command,
    pyramid_command,
    view_command,
    solve_command,
    verify_command,
)
for command in COMMANDS:
    main.add_command(command)
