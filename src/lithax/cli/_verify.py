"""``lithax verify``."""

import click

from lithax.cli._parameters import PATH, QUIET, connect, say, tell, worded


@click.command("verify")
@click.argument("store")
@PATH
@click.option(
    "--no-hash", is_flag=True, help="Do not compare the stored content hash, which reads the image once more."
)
@click.option("--record", is_flag=True, help="Take what is stored as right, and record its digests for later checks.")
@QUIET
@tell
def verify_command(store: str, path: str | None, no_hash: bool, record: bool, quiet: bool) -> None:
    """Check that a store holds what it says.

    Its metadata is read. Every chunk is decoded, and its stored bytes are compared with the digest
    that lithax recorded when it wrote them: a chunk that is missing or has changed is a defect. Of
    stores made by other programs, or before lithax kept digests, nothing was recorded: the answer
    says so, and --record records what is there now. The content hash, if one is stored, is compared
    with what the image holds; so are the levels of a pyramid. All defects are listed, each with
    what it concerns. The image is read chunk by chunk, so that it may be larger than memory; under
    mpiexec the processes share the work.

    The exit code is 0 if the store is sound, and 1 if it has a defect or nothing is there.

    \b
    lithax verify rock.zarr
    lithax verify s3://bucket/rock.zarr --path scan --no-hash
    lithax verify --record old.zarr
    mpiexec -n 4 lithax verify rock.zarr
    """
    from lithax.images import verify

    world = connect()
    found = verify(store, path, content=not no_hash, record=record, progress=not quiet, world=world)
    say(world, worded(str(found)))
    if not found.sound:
        raise click.exceptions.Exit(1)
