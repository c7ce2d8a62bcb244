"""How an error travels from one process to the others."""

import pickle
import traceback
from dataclasses import dataclass

from lithax.errors import ProcessFailure

_AGREED = "_lithax_agreed"


class DifferentCalls(RuntimeError):
    """Processes that met were doing different things."""


@dataclass(frozen=True)
class Failure:
    """An error as other processes see it."""

    index: int
    """The process in which it was raised."""
    host: str
    summary: str
    """Type and message, on one line if the message has one."""
    text: str
    """The whole traceback."""
    copy: bytes | None
    """The error itself, pickled; None if that cannot be done."""
    cause: bool
    """False for a process that only stopped because another one had failed."""


def describe(error: BaseException, index: int, host: str) -> Failure:
    """Return an error in the form in which it is sent."""
    summary = "".join(traceback.format_exception_only(error)).strip()
    text = "".join(traceback.format_exception(error)).rstrip()
    try:
        copy = pickle.dumps(error)
        pickle.loads(copy)  # what can be written cannot always be read
    except Exception:
        copy = None
    return Failure(index, host, summary, text, copy, not isinstance(error, ProcessFailure))


def raised_elsewhere(failure: Failure, count: int, *, same_type: bool) -> BaseException:
    """Return the error that a process raises for what happened in another one.

    Parameters
    ----------
    failure
        What happened.
    count
        Number of processes.
    same_type
        Raise an error of the type that the other process raised, if it can be sent; otherwise a
        `ProcessFailure`.
    """
    who = f"process {failure.index} of {count} (on {failure.host})"
    if same_type and failure.copy is not None:
        error = pickle.loads(failure.copy)
        if isinstance(error, BaseException):
            error.add_note(f"This was raised in {who}, which worked for all.")
            return mark_agreed(error)
    indented = "\n".join(f"    {line}" for line in failure.text.splitlines())
    return mark_agreed(ProcessFailure(f"{who} failed: {failure.summary}\n\nIts traceback:\n{indented}"))


def mark_agreed(error: BaseException) -> BaseException:
    """Note on an error that every process raises it, or one that says the same."""
    setattr(error, _AGREED, True)
    return error


def is_agreed(error: BaseException | None) -> bool:
    """Whether every process knows of the error already."""
    return getattr(error, _AGREED, False)
