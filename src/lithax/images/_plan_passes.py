"""An algorithm on whole images, worked out before it is run: bytes of all passes, memory of the one
that needs most.
"""

import itertools
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lithax.chunked import Pass
from lithax.errors import MemoryLimitError
from lithax.images._call import gather_inputs, size_text, world_of
from lithax.images._outputs import Form, Output
from lithax.images._plan import Plan
from lithax.images._prepare_pass import PreparedPass, WholeImage, prepare_pass
from lithax.images._resume_key import keyed
from lithax.images._run import Run
from lithax.storage import Location, locate, resolve_chunks

Passes = Generator[Pass, Any, Any]
Algorithm = Callable[[WholeImage], Passes]


@dataclass(frozen=True)
class ImageCall:
    """A call of an algorithm on images: what it is called with, where the results go, and how it
    runs.
    """

    name: str
    """The function that was called."""
    parameters: Mapping[str, Any]
    """Its own arguments, as JSON can hold them: what makes a run the same as an earlier one."""
    where: Any = None
    output: Output = field(default_factory=Output)
    run: Run = field(default_factory=Run)
    ours: bool = True
    """Whether the name says what is computed; if not, `Output.resume_key` does, for a later call to
    compare.
    """

    @property
    def computation(self) -> str | None:
        """What is computed, in a word; None if it cannot be known."""
        if self.output.resume_key is not None:
            return keyed(self.output.resume_key)
        return self.name if self.ours else None

    def gathered(self, name: str, images: Sequence[Any], world: Any = None) -> tuple[WholeImage, Run]:
        """Check the images; return them with the grid of the results, and how the call runs, with
        nothing left out.
        """
        inputs = gather_inputs(name, images, self.where, world_of(name, images, world or self.run.world))
        chunks, shards, first = self.output.chunks, self.output.shards, inputs.first
        if chunks is None and shards is None and first is not None:
            grid = first.chunks, first.shards
        else:
            wanted = "auto" if chunks is None else chunks
            grid = resolve_chunks(inputs.frame.shape, wanted, shards, processes=inputs.world.count)
        return WholeImage(inputs, *grid), self.run.settled(inputs.world)


@dataclass(frozen=True)
class PlannedPasses:
    """The passes of a call, as far as they are known before the first one is done."""

    call: ImageCall
    run: Run
    passes: Sequence[PreparedPass]
    place: Location | None
    """Where what is written goes; None: memory."""
    lived: list[int] = field(default_factory=list)
    """Bytes of the scratch images that are there at the end of each pass, before it spends any."""

    @classmethod
    def of(
        cls, name: str, call: ImageCall, whole: WholeImage, run: Run, algorithm: Algorithm, place: Location | None
    ) -> "PlannedPasses":
        """Go through the passes without doing any."""
        found: list[PreparedPass] = []
        generator, answer = algorithm(whole), None
        if not isinstance(generator, Generator):
            raise TypeError(f"{call.name} returned a {type(generator).__name__}; give a generator function of passes.")
        planned = cls(call, run, found, place)
        live: dict[int, tuple[Any, int]] = {}
        while True:
            try:
                work = generator.send(answer)
            except StopIteration:
                return planned
            except Exception:
                # It may be about a result that stands for one: then the run itself goes on.
                if all(p.forms for p in found) or (planned.scratch_first and not planned.results):
                    raise
                return planned
            found.append(prepare_pass(name, work, whole, run))
            answer = found[-1].expected(run.world)
            if found[-1].scratch and found[-1].forms:
                live |= {id(image): (image, image.nbytes) for image in answer}
            planned.lived.append(sum(nbytes for _, nbytes in live.values()))
            for image in found[-1].spends:
                live.pop(id(image), None)

    @property
    def largest(self) -> PreparedPass:
        """The pass that needs most memory."""
        return max(self.passes, key=lambda p: p.memory)

    @property
    def held(self) -> int:
        """Bytes of results and scratch images in memory."""
        in_memory = self.place is None or self.place.in_memory
        results = sum(form.nbytes for p in self.passes if not p.scratch for form in p.forms)
        return results + self.scratch if in_memory else 0

    @property
    def scratch(self) -> int:
        """Bytes of the scratch images that are there at a time, at most."""
        return max(self.lived, default=0)

    @property
    def memory(self) -> int:
        """Upper bound of the memory in use [byte]."""
        return self.largest.memory + self.held

    @property
    def results(self) -> tuple[Form, ...]:
        """What the pass that writes the results makes."""
        return next((p.forms for p in self.passes if p.forms and not p.scratch), ())

    @property
    def scratch_first(self) -> bool:
        """Whether a scratch image is written."""
        return any(p.forms and p.scratch for p in self.passes)

    def check_results(self) -> None:
        """Raise ValueError if two passes write results to the same images."""
        writing = [p.work.name for p in self.passes if p.forms and not p.scratch]
        if len(writing) > 1:
            raise ValueError(
                f"the passes '{writing[0]}' and '{writing[1]}' both write results; let one pass write all of them, and "
                "make the others scratch=True."
            )

    def check_room(self) -> None:
        """Raise MemoryLimitError if the passes need more memory than they may, or the disk has no
        room for scratch.
        """
        name, limit = self.call.name, self.run.memory_limit
        if self.memory > limit:
            raise MemoryLimitError(
                f"{name} needs up to {size_text(self.memory)} ({size_text(self.largest.memory)} in the pass "
                f"'{self.largest.work.name}' with {self.run.workers} blocks in flight, {size_text(self.held)} "
                f"for images in memory), memory_limit is {size_text(limit)}; give store= so that the result is "
                "written instead of kept, use smaller chunks= or fewer workers, or raise memory_limit."
            )
        scratch = self.scratch
        directory = None if self.place is None else self.place.directory
        if not scratch or directory is None or not self.run.world.first:
            return
        there = next(p for p in (directory, *directory.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < scratch:
            raise MemoryLimitError(
                f"store={self.call.output.store}: {name} needs {size_text(scratch)} there for images between its "
                f"passes, and {size_text(free)} are free; make room, or write to another disk."
            )


def _names(passes: Sequence[PreparedPass]) -> str:
    counted = [(name, len(list(same))) for name, same in itertools.groupby(p.work.name for p in passes)]
    return ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in counted)


def first_place(output: Output) -> Location | None:
    """Return where the first result goes; None: memory."""
    store, path = (v[0] if isinstance(v, tuple | list) else v for v in (output.store, output.path))
    return None if store is None else locate(store, path)


def plan_algorithm(call: ImageCall, images: Sequence[Any], algorithm: Algorithm, place: Location | None = None) -> Plan:
    """Work out what `run_algorithm` would do."""
    whole, run = call.gathered("plan", images)
    planned = PlannedPasses.of("plan", call, whole, run, algorithm, place or first_place(call.output))
    largest = planned.largest
    return Plan(
        function=f"{call.name} in {len(planned.passes)} passes: {_names(planned.passes)}",
        image_shape=whole.shape,
        block_shape=largest.layout.block,
        halos=largest.halos,
        blocks=sum(len(p.layout.grid) for p in planned.passes),
        workers=min(run.workers, len(largest.layout.grid)),
        compilations=sum(p.compilations for p in planned.passes),
        bytes_read=sum(p.bytes_read for p in planned.passes),
        bytes_written=sum(form.nbytes for p in planned.passes for form in p.forms),
        memory=planned.memory,
        memory_limit=run.memory_limit,
    )
