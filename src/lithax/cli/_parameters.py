"""Kinds of command-line values, and how errors reach the user."""

import errno
import functools
import json
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lithax.errors import LithaxError

EXPECTED = (LithaxError, ValueError, TypeError, OSError, OverflowError, ModuleNotFoundError, MemoryError)


class Triple(click.ParamType):
    """One number for all axes, or three along x, y and z: "2.5" or "2.5,2.5,5"; also with "x"
    between, "100x100x80".
    """

    def __init__(self, number: Callable[[str], Any], name: str, example: str, single: bool = True):
        self.number, self.name, self.example, self.single = number, name, example, single

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            parts = [self.number(part) for part in value.lower().replace("x", ",").split(",")]
        except ValueError:
            parts = []
        if len(parts) == 1 and self.single:
            return parts * 3
        if len(parts) != 3:
            self.fail(f"{value!r} is not a {self.name}: write {self.example}.", param, ctx)
        return parts


class Length(click.ParamType):
    """The edge of a voxel: one number or three, with its unit behind it or without: "2.5", "2.5um",
    "2.5,2.5,5 um".
    """

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"(.*?[\d.])\s*([A-Za-z\u00b5\u03bc\u00c5\u00e5\u212b]+)", value.strip())
        number, unit = (value, None) if match is None else match.groups()
        example = "one number, or three along x, y and z, with a decimal point: 2.5um, or 2.5,2.5,5um"
        lengths = Triple(float, self.name, example).convert(number, param, ctx)
        if unit is not None and ctx is not None:
            ctx.meta[_UNIT] = unit
        return lengths


_UNIT = "lithax.voxel_unit"


def _unit_behind_length(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    behind = ctx.meta.get(_UNIT)
    if behind is not None and value is not None and value != behind:
        raise click.BadParameter(f"{value!r} is not the unit {behind} of --voxel-length; give one of them.", ctx, param)
    return behind if value is None else value


def mapping(form: str, example: str, read: Callable[[str], Any]) -> Callable[..., dict[int, Any]]:
    """Return the callback of an option that may be repeated, once for each phase: PHASE=something,
    which `read` understands.
    """

    def callback(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for text in given:
            key, _, value = text.partition("=")
            try:
                phase, number = int(key), read(value)
            except ValueError:
                raise click.BadParameter(f"{text!r}: write {form}, such as {example}.", ctx, param) from None
            if phase in found:
                raise click.BadParameter(f"phase {phase} is given twice; give each phase once.", ctx, param)
            found[phase] = number
        return found

    return callback


def pore_of(given: tuple[int, ...]) -> Any:
    """Return what a solver takes for the values of repeated ``--pore``: None, one, or several."""
    return given[0] if len(given) == 1 else list(given) or None


JSON = click.option(
    "--json",
    "as_json",
    type=click.Path(dir_okay=False, writable=True),
    help="Also write the numbers to this file, in a new folder if it names one.",
)


def make_room_for(file: str | None) -> None:
    """Make the folder of a file, or say that nothing can be written there: before a solve that may
    take hours.
    """
    if file is not None:
        folder = Path(file).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def show(found: Any, file: str | None) -> None:
    """Print what a solve found, write its numbers to a file if one is named, and end with 1 if it
    did not converge.
    """
    import numpy as np

    world = connect()
    if hasattr(found, "notes"):
        found = replace(found, notes=tuple(worded(note).removesuffix(".") for note in found.notes))
    say(world, str(found))
    if file is not None and world.first:
        Path(file).write_text(json.dumps(found.numbers(), indent=2) + "\n", encoding="utf-8")
    if not np.all(found.converged):
        raise click.exceptions.Exit(1)


QUIET = click.option("--quiet", is_flag=True, help="Show no progress.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what is there.")
PATH = click.option("--path", help="Path of the image inside the store.")

SHAPE = Triple(int, "shape", "three whole numbers along x, y and z, such as 100,100,80", single=False)
CHUNKS = Triple(int, "chunk shape", "one whole number, or three along x, y and z, such as 64 or 64,64,32")
LENGTH = Length()


def raw_layout(
    of: str = " of a raw file", its: str = "its", file: str = "a raw file", first: str = "its first voxel"
) -> Callable[..., Any]:
    """Add the options that say what a raw file cannot say of itself; the arguments are words of
    their help.
    """
    options = (
        click.option("--shape", type=SHAPE, help=f"Voxels{of} along x, y, z, such as 512,512,400."),
        click.option("--dtype", help=f"Type of {its} voxels: u1, <u2 (little-endian), >u2 (big-endian), <f4, ..."),
        click.option(
            "--order", type=click.Choice(["F", "C"]), help=f"F: x runs fastest in {file} (default); C: z does."
        ),
        click.option("--offset", type=int, help=f"Bytes before {first}."),
        click.option(
            "--voxel-length",
            type=LENGTH,
            is_eager=True,
            help="Edge of a voxel, one number or three: 2.5um, or 2.5,2.5,5.",
        ),
        click.option(
            "--unit", "voxel_unit", callback=_unit_behind_length, help="Its unit, if not behind it: um, mm, ..."
        ),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):  # as decorators, from the lowest to the uppermost
            command = option(command)
        return command

    return add


def connect(kind: str = "auto") -> Any:
    """Return the processes that a launcher such as mpiexec has started to work together; this one
    alone without a launcher.
    """
    from lithax.runtime import connect

    return connect(kind)


def say(world: Any, text: str) -> None:
    """Print on the first process alone."""
    if world.first:
        click.echo(text)


def alone(command: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to be run by a launcher: every process would do the same."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        world = connect()
        if world.count == 1:
            return command(*arguments, **options)
        if world.first:
            name = click.get_current_context().info_name
            click.echo(
                f"Error: lithax {name} works in one process, and a launcher such as mpiexec has started {world.count}; run it "
                "without the launcher. Those that share their work are import, pyramid, rechunk, solve and verify.",
                err=True,
            )
        world.barrier()  # or the launcher might end the first process before it has spoken
        raise click.exceptions.Exit(2)

    return run


def in_parts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let the processes that a launcher has started share a solve: each computes on its own
    devices, and the first one speaks.
    """

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        from lithax.runtime import launched_processes

        world = connect("jax" if launched_processes() > 1 else "auto")
        try:
            return command(*arguments, **options)
        except (click.ClickException, *EXPECTED) as error:
            if world.first:
                raise
            raise click.exceptions.Exit(1) from error

    return run


_WORDS = (
    ("shape and dtype must", "--shape and --dtype must"),
    ("shape is missing", "--shape is missing"),
    ("dtype is missing", "--dtype is missing"),
    ("values={0: 5.0, 1: 0} (the conductivity of each)", "--value, once for each phase"),
    (
        "the image has no voxel_unit: give spacing='2 um', or",
        "the image has no unit of length: name it where the file is read (--voxel-length 2um), or give",
    ),
    ("permeability names phase", "--permeability names phase"),
    ("name an open one in pore=", "name an open one with --pore"),
    ("(budget=('resolution',))", "(--budget)"),
    ("pass where=lx.regions.Cylinder(...) to leave it out", "lithax report --transport leaves it out"),
    (
        "solve sub-volumes (lx.solve.subvolumes), coarsen the image, divide it among processes (connect('jax')), or raise "
        "memory_limit.",
        "coarsen the image (lithax pyramid, then --path); or raise memory_limit=.",
    ),
    ("check=1 solves a piece", "the estimate of the error solves a piece"),
    (
        "choose a smaller edge, raise memory_limit, or pass check=0 and go without an estimate of the error.",
        "choose smaller --blocks.",
    ),
    ("choose a larger edge, or leave such a part of the image out (image.crop)", "choose larger --blocks"),
    ("upscale from blocks (lx.solve.upscaled_permeability), ", "upscale from blocks (--blocks 128), "),
    ("part=None has no default", "--part is missing"),
    ("part=None", "--part is missing"),
    ("part='real'", "--part 'real'"),
    (
        "was cut off while it was written. Repeat",
        "was cut off while it was written; repeat what was writing it. Repeat",
    ),
    ("cut off while it was made; make it with resume=True", "cut off while it was made; repeat it with --resume"),
    ("; repeat the call that made it, with resume=True", "; repeat what was writing it"),
    ("make them again with pyramid(overwrite=True)", "make them again with lithax pyramid --overwrite"),
    ("pass store= to make an OME-Zarr group with a copy of it elsewhere", "name a TARGET, such as rock.ome.zarr"),
)
"""Words of the library's errors that name no argument, and what they are on the command line."""

_PYTHON = re.compile(
    r"(?<![/\w.])(?:lx|lithax|np|numpy|zarr(?!\.json)|tifffile|shutil)\.\w+|\b\w+\([^)]*\)|\b\w+=|\bfrom_array\b|\bimport_raw\b"
    r"|^(?:its options are|there are field_name)"
)


def worded(text: str) -> str:
    """Return a message of the library in words of the command line: options, and no Python."""
    for word, option in _WORDS:
        text = text.replace(word, option)
    context = click.get_current_context(silent=True)
    for parameter in [] if context is None else context.command.params:
        name = str(parameter.name).rstrip("_")
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            text = re.sub(rf"\b{name}=True\b", option, text)
            text = re.sub(rf"\b{name}=(?=[^\s.,;)])", f"{option} ", text)
            text = re.sub(rf"\b{name}=", option, text)
            text = re.sub(rf"(?<![-\w])((?:--[\w-]+, )*){name}(?=(?:, [a-z_]+)*: )", rf"\g<1>{option}", text, count=1)
            text = re.sub(rf"(?<![-\w]){name} \({option}\)", option, text)  # the library names both forms
    text = re.sub(r"\bpermeability\[(-?\d+)\]=", r"--permeability \1=", text)
    text = re.sub(r" \((--[\w-]+(?:, --[\w-]+)*)\)", lambda m: _unless_named(m, text), text)
    # What is left of this form are arguments, whose value says enough.
    text = re.sub(r"\b(?:store|file|target|source|image|folder|directory)=(?=\S)", "", text)
    return "\n".join(_without_python(line) for line in text.split("\n"))


def _unless_named(options: re.Match[str], text: str) -> str:
    """Return options in parentheses, or nothing if the words before them name them already."""
    before = text[: options.start()].rpartition("\n")[2]
    return "" if all(option in before for option in options[1].split(", ")) else options[0]


def _without_python(line: str) -> str:
    """Drop the clauses that tell a programmer what to call; the first one says what is wrong."""
    first, *rest = re.split(r"(?<=[;.]) (?=\S)", line)
    kept = [first, *(clause for clause in rest if not _PYTHON.search(clause))]
    text = " ".join(kept).rstrip(" ;,")
    return text if text.endswith((".", "!", "?", ":")) or not rest else f"{text}."


def _show_warning(message: Warning | str, *where: Any, **options: Any) -> None:
    click.echo(f"Warning: {worded(str(message))}", err=True)


def tell(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show an expected error, and a warning, as one line; with LITHAX_TRACEBACK=1 in the
    environment as Python shows it.
    """

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        if os.environ.get("LITHAX_TRACEBACK") == "1":
            return command(*arguments, **options)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return command(*arguments, **options)
        except EXPECTED as error:
            text = str(error)
            if isinstance(error, OSError) and error.filename is not None and error.strerror:
                text = f"{os.fsdecode(error.filename)}: {error.strerror}"
            text = "\n".join([text, *getattr(error, "__notes__", ())])
            raise click.ClickException(worded(text)) from error

    return run
