"""A Zarr group around what the passes of an algorithm write, which keeps the record of its run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lithax.errors import IncompleteImageError
from lithax.images._outputs import Output
from lithax.images._voxel_image import VoxelImage
from lithax.storage import SCRATCH, Location, claim, differing_parts, own_attributes, replacing, write_group


@dataclass
class PassGroup:
    """Where results go that lie in one group, each on a grid of its own and complete when its pass
    is; or where scratch images lie if there is no result.
    """

    place: Location
    noun: str
    """What it holds, in a message."""
    arguments: str = "arguments and inputs"
    """What a call that goes on must have in common with the first, in a message."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """What is recorded besides; those of the first call stay."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of every result, as for a new image."""
    path_of: Callable[[int], str] = str
    """Returns the path of a result, by its number."""
    completed: Callable[[Sequence[VoxelImage], Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Called with the results, when all are there, and the record; returns the attributes of the
    group for other programs. None: the group goes.
    """

    def begin(self, identity: Mapping[str, Any], output: Output) -> None:
        """Make the group, or find that of an interrupted run."""
        place, overwrite, resume = self.place, output.overwrite, output.resume
        own = own_attributes(place)
        if own is not None and "state" in own:
            complete = own["state"] == "complete"
            same = resume == "force" or not differing_parts(own.get("run"), identity)
            if resume and same:
                self.attributes = own | {"state": "writing"}
                return
            if not overwrite and not complete:
                raise IncompleteImageError(
                    f"the {self.noun} at {place.label} was cut off while it was made; pass resume=True to go on"
                    + ("" if same else f" with the {self.arguments} of then")
                    + ", or overwrite=True to begin again."
                )
            if not overwrite:
                raise FileExistsError(
                    f"store={place.label} holds a {self.noun} already; pass overwrite=True to replace it."
                )
        else:
            claim(place, overwrite)
        self.attributes |= {"run": dict(identity), "state": "writing"}
        with replacing(place):
            write_group(place, {"lithax": self.attributes})

    def note(self, stage: Mapping[str, Any]) -> None:
        """Record which pass is done now."""
        self.attributes["stage"] = dict(stage)
        write_group(self.place, {"lithax": self.attributes})

    def finish(self, results: Sequence[VoxelImage]) -> None:
        """Say that the run is complete."""
        if self.completed is None:
            self.place.objects.delete_tree(self.place.path)
            return
        scratch = self.place.child(SCRATCH)
        scratch.objects.delete_tree(scratch.path)
        others = self.completed(results, self.attributes)
        own = {k: v for k, v in self.attributes.items() if k != "stage"}
        write_group(self.place, {"lithax": own | {"state": "complete"}, **others})
