"""``lithax view``."""

import contextlib
from typing import Any

import click

from lithax.cli._parameters import PATH, alone, raw_layout, tell
from lithax.errors import NoDisplayError


@click.command("view")
@click.argument("store", metavar="IMAGE")
@PATH
@raw_layout()
@click.option("--segmentation", help="Store of an image of phases, laid over it.")
@click.option(
    "--part",
    type=click.Choice(["real", "imaginary", "magnitude", "angle"]),
    help="What to show of complex voxels.",
)
@click.option("--web", is_flag=True, help="In a browser, instead of a window.")
@click.option("--volume", is_flag=True, help="With --web: also a cloud in three dimensions; needs a graphics card.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="With --web: port to listen on.  [default: a free one]"
)
@click.option("--no-browser", is_flag=True, help="With --web: only say the address.")
@tell
@alone
def view_command(
    store: str,
    path: str | None,
    segmentation: str | None,
    part: str | None,
    web: bool,
    volume: bool,
    port: int,
    no_browser: bool,
    **options: Any,
) -> None:
    """Look at an image: three linked slices, contrast, phases.

    Only what is shown is read, of a coarser level if there is one (lithax pyramid), so that images
    may be larger than memory. With --web the page is served to this machine alone, at an address
    that nobody can guess, and loads nothing from anywhere else; Ctrl-C ends it. On another machine,
    forward the port: ssh -L 8080:127.0.0.1:8080 host.

    \b
    lithax view rock.zarr
    lithax view rock.zarr --segmentation phases.zarr
    lithax view rock.zarr --web
    lithax view scan.tif
    lithax view s3://bucket/rock.zarr --web --no-browser --port 8080
    """
    from lithax.images import open as open_image

    given = {name: value for name, value in options.items() if value is not None}
    image = open_image(store, path=path, mode="r", incomplete=True, **given)
    phases = None if segmentation is None else open_image(segmentation, mode="r", incomplete=True)
    if not web:
        if unused := [
            name for name, given in (("--volume", volume), ("--port", port), ("--no-browser", no_browser)) if given
        ]:
            raise click.UsageError(f"{', '.join(unused)}: only with --web.")
        from lithax.viz import OrthogonalViewer

        shown = {} if part is None else {"part": part}
        try:
            OrthogonalViewer(image, window=False, segmentation=phases, **shown).show(block=True)
        except NoDisplayError as error:
            raise click.ClickException(
                f"no window can be opened: {error.reason}. Look at it in a browser: lithax view --web {store}; or, on a "
                "desktop, pip install 'lithax[desktop]'."
            ) from error
        return
    from lithax.web import open_in_browser, redirect_file, serve

    # Ctrl-C is how it ends, and no failure.
    with (
        contextlib.suppress(KeyboardInterrupt),
        serve(image, phases, part=part, volume=volume, port=port) as server,
        redirect_file(server.url) as file,
    ):
        click.echo(f"{server.url}\nOnly this machine can open it, and only who knows the address. Ctrl-C ends it.")
        if not no_browser:
            open_in_browser(file)
        server.wait()
