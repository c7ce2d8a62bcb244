"""The exceptions a user of lithax may want to catch by name."""


class LithaxError(Exception):
    """Base class of the errors that are particular to lithax."""


class MetadataError(LithaxError, ValueError):
    """A store does not hold an image, or its metadata is of a form that this version cannot
    read.
    """


class FileFormatError(MetadataError):
    """A file is damaged, or holds what its reader does not know; the message names the file."""


class IncompleteImageError(LithaxError, RuntimeError):
    """The image was cut off while it was being written."""


class ResumeError(LithaxError, RuntimeError):
    """A run cannot go on with the output that is there."""


class StaleHandleError(LithaxError, RuntimeError):
    """The image that a handle was opened on is no longer there: another one stands in its place."""


class LockedError(LithaxError, RuntimeError):
    """Another run is writing to the same image, or keeps the state of a solve in the same
    folder.
    """


class MemoryLimitError(LithaxError, MemoryError):
    """The work would need more memory than the limit it was given."""


class NotElementwiseError(LithaxError, ValueError):
    """A function without halo looks at more than one voxel at a time."""


class ProcessFailure(LithaxError, RuntimeError):
    """Another process of the same world failed."""


class NoDisplayError(LithaxError, RuntimeError):
    """No window can be opened here; `reason` says why."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"no window can be opened: {self.reason}. In Jupyter, pip install ipympl and run '%matplotlib widget' first; on "
            "a desktop, pip install 'lithax[desktop]'; or write the picture to a file with viewer.save('picture.png')."
        )
