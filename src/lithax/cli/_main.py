"""The command ``lithax``: arguments in, calls out."""

from importlib.metadata import version

import click

from lithax.cli._export import export_command
from lithax.cli._import import import_command
from lithax.cli._info import info_command
from lithax.cli._report import report_command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: lithax report --help. Errors show where they come from with LITHAX_TRACEBACK=1.",
)
@click.version_option(version("lithax"), prog_name="lithax")
def main() -> None:
    """Digital rock petrophysics on voxel images of any size.

    Images live in Zarr stores: a folder such as rock.zarr that holds the voxels in compressed chunks, and what is known of
    them: voxel length and unit, place, name.

    \b
    lithax report                      show what a report is, on a scan whose porosity is known
    lithax report rock.raw ...         the same of your scan: porosity, connectivity, REV, one page to send
    lithax import rock.raw rock.zarr   a raw file becomes an image
    lithax info rock.zarr              what an image is
    lithax export rock.zarr rock.raw   and back
    """


for command in (report_command, info_command, import_command, export_command):
    main.add_command(command)
