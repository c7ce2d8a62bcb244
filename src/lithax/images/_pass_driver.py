"""The passes of an algorithm, done one after the other.

What every algorithm needs is here: processes agree on the arguments; the memory of all passes is
known before the first one; what is written has journals, under one identity chained through the
passes, so that a killed run resumes in the pass in which it was; scratch images lie inside the
output, and go when it is complete.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lithax.chunked import CopyPass, SettlePass, release_memory
from lithax.errors import IncompleteImageError, MemoryLimitError, ResumeError
from lithax.images._call import size_text, world_of
from lithax.images._collective import check_same, on_first, open_shared_array, refuse_memory, together
from lithax.images._create import new_image
from lithax.images._described import geometry_of
from lithax.images._identity import call_of, comparable, describe_places, made_by, version
from lithax.images._input_state import check_unchanged, input_states, without_times
from lithax.images._outputs import Form, new_outputs, refuse_damaged, refuse_inputs, spread
from lithax.images._pass_group import PassGroup
from lithax.images._plan_passes import Algorithm, ImageCall, PlannedPasses, first_place
from lithax.images._prepare_pass import PreparedPass, WholeImage, prepare_pass
from lithax.images._run import Run
from lithax.images._voxel_image import VoxelImage
from lithax.storage import (
    SCRATCH,
    Location,
    begin_journal,
    claim,
    differing_parts,
    join_journal,
    locate,
    open_array,
    this_process,
    write_group,
)


def run_algorithm(
    call: ImageCall, images: Sequence[Any], algorithm: Algorithm, group: PassGroup | None = None
) -> tuple[list[VoxelImage], Any]:
    """Run an algorithm on images.

    Parameters
    ----------
    call
        The arguments that all algorithms share.
    images
        The images, on one grid of voxels.
    algorithm
        Makes the generator of the passes.
    group
        Where the results go if not each to a place of its own.

    Returns
    -------
        The results, and what the generator returns. If that is None, or JSON can hold it, it is
        noted in the result, for a call with ``resume=True`` that finds it complete.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is read or written.
    MemoryLimitError
        If more memory than `memory_limit` would be needed, or the disk has no room for the scratch
        images.
    FileExistsError, LockedError, ResumeError, IncompleteImageError
        If the output is there already, is being written, or cannot be resumed.
    """
    world = world_of(call.name, images, call.run.world)
    with together(world):
        whole, run = call.gathered(call.name, images, world)
        for handle in whole.images:
            if isinstance(handle, VoxelImage) and handle.stored.metadata.state != "complete":
                raise IncompleteImageError(
                    f"the image at {handle.stored.where} was cut off while it was written; repeat that call with "
                    "resume=True."
                )
        place = first_place(call.output) if group is None else group.place
        planned = PlannedPasses.of(call.name, call, whole, run, algorithm, place)
        if group is None:
            planned.check_results()
        planned.check_room()
        if group is None and place is not None and planned.scratch_first and not planned.results:
            group = PassGroup(place, f"run of {call.name}")
        if group is not None:
            refuse_memory("store", group.place.label, group.place.unshared, world)
            if call.output.overwrite:
                refuse_inputs(whole.inputs, group.place, ", which would be removed; write elsewhere")
        driver = _Driver(call, whole, run, planned, group)
        own = driver.own_identity()
    told = comparable(own) | {"store": describe_places(call.output.store), "path": call.output.path}
    told |= {"overwrite": call.output.overwrite, "resume": call.output.resume}
    told |= told.pop("parameters")
    check_same(world, call.name, lambda: told)
    driver.begin(world.broadcast(own))
    return driver.drive(algorithm)


@dataclass
class _Driver:
    """One run of an algorithm."""

    call: ImageCall
    whole: WholeImage
    run: Run
    planned: PlannedPasses
    group: PassGroup | None
    outputs: list[VoxelImage] = field(default_factory=list)
    journals: list[Any] = field(default_factory=list)
    finished: bool = False
    number: int = 0
    """Of the pass that is done."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    states: list[dict[str, Any]] = field(default_factory=list)

    @property
    def world(self) -> Any:
        """The processes that share the work."""
        return self.run.world

    def own_identity(self) -> dict[str, Any]:
        """Return what makes this run the same as an earlier one, as this process knows it."""
        call, whole, place = self.call, self.whole, self.planned.place
        if call.computation is None and call.output.resume:
            raise ResumeError(
                f"resume=True cannot tell whether {call.name} is the same algorithm as before; name it with "
                "resume_key= in both calls."
            )
        if place is not None and (self.group is None or not place.in_memory) and self.world.first:
            self.states = input_states(whole.inputs, None, thorough=bool(call.output.resume))
        parts = call_of(whole.inputs) | {
            "computation": call.computation,
            "parameters": dict(call.parameters),
            "grid": [list(whole.shape), list(whole.chunks), whole.shards and list(whole.shards)],
            "input_hashes": [
                i.stored.metadata.content_hash if isinstance(i, VoxelImage) else None for i in whole.images
            ],
            "input_state": without_times(self.states),
            "version": version("lithax"),
        }
        return json.loads(json.dumps(parts))

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Make the results, as far as they are known, or find those of the interrupted run."""
        self.identity, output = identity, self.call.output
        if self.group is not None:
            group = self.group
            on_first(self.world, lambda: group.begin(identity, output))
        elif self.planned.scratch_first and self.planned.results:
            self._make_outputs(self.planned.results)
        elif output.store is not None and not output.resume and not output.overwrite:
            # What would be refused later is refused now.
            on_first(self.world, self._check_free)

    def _check_free(self) -> None:
        output = self.call.output
        stores = output.store if isinstance(output.store, tuple | list) else [output.store]
        for store, path in zip(stores, spread(output.path, len(stores), "path"), strict=True):
            claim(locate(store, path), False)

    def _make_outputs(self, forms: Sequence[Form]) -> None:
        self.outputs, self.finished = new_outputs(forms, self.whole.inputs, self.identity, self.call.output)
        if not self.finished:
            self.journals = self._journals(self.outputs, self.identity, self.call.output.resume)

    def _journals(self, images: Sequence[VoxelImage], identity: Mapping[str, Any], resume: bool | str) -> list[Any]:
        world, journals = self.world, []
        owners = world.gather(this_process()) if world.count > 1 else ()

        def begin() -> None:
            for image in images:
                journals.append(begin_journal(image.stored, identity, resume=resume, owners=owners))

        try:
            on_first(world, begin)
            if world.count > 1:
                begun = world.broadcast([journal.state for journal in journals])
                for image, state in zip(images, begun, strict=True) if not world.first else ():
                    journals.append(join_journal(image.stored, state, world.index))
        except BaseException:
            _abandon(journals)
            raise
        return journals

    def drive(self, algorithm: Algorithm) -> tuple[list[VoxelImage], Any]:
        """Do the passes one after the other."""
        if self.finished:  # by an earlier call, which noted what it returned
            on_first(self.world, self._remove_scratch)  # that call may have been killed before it did
            return self.outputs, self.outputs[0].metadata.extra.get("result")
        generator, answer, result = algorithm(self.whole), None, None
        noted = bool(self.outputs)
        try:
            while True:
                try:
                    work = generator.send(answer)
                except StopIteration as end:
                    result = end.value
                    break
                self.number += 1
                with together(self.world):
                    prepared = prepare_pass(self.call.name, work, self.whole, self.run)
                    self._check_memory(prepared)
                    answer = self._do(prepared)
                # Blocks of the next pass may have another shape, which these buffers do not fit.
                release_memory(prepared.memory, 64 * 2**20)
            if not self.finished:
                on_first(self.world, lambda: self._mark_complete(result if noted else None))
                for output in self.outputs if not self.world.first else ():
                    output.stored.reload_metadata()
        except BaseException as error:
            _abandon(self.journals)
            begun = [o.stored.where for o in self.outputs if self.journals and not o.stored.in_memory]
            if begun := begun if self.group is None else [self.group.place.label]:
                error.add_note(
                    "The output is unfinished: repeat the call with resume=True to go on, or with overwrite=True to "
                    "begin again: " + ", ".join(begun)
                )
            raise
        return self.outputs, result

    def _check_memory(self, prepared: PreparedPass) -> None:
        """Raise MemoryLimitError if a pass needs more memory than it may, now that it is known how
        far it looks.
        """
        limit = self.run.memory_limit
        if prepared.memory > limit:
            farthest = max((max(halo) for halo in prepared.halos), default=0)
            raise MemoryLimitError(
                f"the pass '{prepared.work.name}' of {self.call.name} looks {farthest} voxels far and needs up to "
                f"{size_text(prepared.memory)} with {self.run.workers} blocks in flight, memory_limit is "
                f"{size_text(limit)}; use smaller chunks= or fewer workers, or raise memory_limit."
            )

    def _do(self, prepared: PreparedPass) -> Any:
        if prepared.forms and (prepared.scratch or self.group is not None):
            return self._write_part(prepared)
        if prepared.forms:
            return self._write_results(prepared)
        if self.finished and isinstance(prepared.work, SettlePass):
            return None
        return prepared.do(world=self.world, **self._over(prepared))

    def _over(self, prepared: PreparedPass) -> dict[str, Any]:
        total = len(self.planned.passes)
        of = f" of {total}" if self.number <= total else ""
        return self.run.over_blocks(f"{self.call.name}: pass {self.number}{of}, {prepared.work.name}")

    def _write_results(self, prepared: PreparedPass) -> tuple[VoxelImage, ...]:
        if not self.outputs:
            self._make_outputs(prepared.forms)
        elif (made := [o.dtype for o in self.outputs]) != (wanted := [form.dtype for form in prepared.forms]):
            raise ValueError(
                f"the pass {prepared.work.name} writes results of {wanted}, and those of {made} are made: the type of "
                "a result must not depend on what a pass before it found, and one pass writes all results."
            )
        if not self.finished:
            self._note(prepared)
            self._write(prepared, self.outputs, self.journals)
        return tuple(self.outputs)

    def _note(self, prepared: PreparedPass) -> None:
        """Record which pass is done now."""
        number = self.number
        stage = {"pass": number, "of": max(len(self.planned.passes), number), "name": prepared.work.name}

        def write() -> None:
            if self.group is not None:
                self.group.note(stage)
            for output in self.outputs if self.group is None else ():
                output.stored.update_metadata(extra={**output.metadata.extra, "stage": stage})

        on_first(self.world, write)

    def _write_part(self, prepared: PreparedPass) -> tuple[VoxelImage, ...]:
        """Write images that are complete when the pass is: scratch images, and results in a
        group.
        """
        # Whether the inputs are those of then was asked of the output, inside which this image
        # lies.
        chained = {**comparable(self.identity), "pass": [self.number, prepared.work.name]}
        identity = {"pass": self.number, "of": hashlib.sha256(json.dumps(chained).encode()).hexdigest()}
        self._note(prepared)
        places = [self._place(prepared, k) for k in range(len(prepared.forms))]
        images = [
            self._part(place, form, identity, prepared) for place, form in zip(places, prepared.forms, strict=True)
        ]
        if not prepared.scratch:
            self.outputs += images
        if all(image.metadata.state == "complete" for image in images):
            for image in images if not prepared.scratch else ():
                on_first(self.world, lambda image=image: refuse_damaged(image))
            self._spend(prepared)
            return tuple(images)
        journals = self._journals(images, identity, True)
        try:
            self._write(prepared, images, journals)

            def finish() -> None:
                made = {} if prepared.scratch else {"provenance": self._provenance()}
                for image, journal in zip(images, journals, strict=True):
                    journal.check_stored()
                    image.stored.update_metadata(state="complete", run=identity, **made)
                    journal.finish()

            on_first(self.world, finish)
        except BaseException:
            _abandon(journals)
            raise
        for image in images if not self.world.first else ():
            image.stored.reload_metadata()
        self._spend(prepared)
        return tuple(images)

    def _spend(self, prepared: PreparedPass) -> None:
        """Delete the voxels of scratch images that no later pass reads. That they were complete
        stays on record, for a run that goes on.
        """

        def delete(image: VoxelImage) -> None:
            image.stored.update_metadata(extra={**image.metadata.extra, "spent": True})
            chunks = locate(image.zarray).child("c")
            chunks.objects.delete_tree(chunks.path)

        for image in prepared.spends:
            if not image.stored.in_memory and not image.metadata.extra.get("spent"):
                on_first(self.world, lambda image=image: delete(image))

    def _place(self, prepared: PreparedPass, k: int) -> Location | None:
        """Return where image `k` of a pass lies; None: in memory."""
        scratch = f"{SCRATCH}/{self.number}-{k}"
        if self.group is not None:
            path = scratch if prepared.scratch else self.group.path_of(len(self.outputs) + k)
            return self.group.place.child(path)
        stored = bool(self.outputs) and not self.outputs[0].stored.in_memory
        return locate(self.outputs[0].zarray).child(scratch) if stored else None

    def _part(
        self, place: Location | None, form: Form, identity: Mapping[str, Any], prepared: PreparedPass
    ) -> VoxelImage:
        """Return an image that a pass writes, new or that of the interrupted run."""

        def there() -> bool:
            if place is None or place.node() is None:
                return False
            found = open_array(place).metadata
            copied = isinstance(prepared.work, CopyPass) and found.state == "complete"
            return copied or not differing_parts(found.run, identity)

        if place is not None and self.world.broadcast(on_first(self.world, there)):
            with together(self.world):
                return VoxelImage(open_shared_array(place, self.world), self.world)
        where = {} if place is None else {"store": place.store, "path": place.path}
        # Scratch has no shards: a settle changes it block by block, and of two blocks in one shard
        # each would lose what the other wrote.
        shards = None if prepared.scratch else form.shards
        options: dict[str, Any] = {"chunks": form.chunks, "shards": shards, "overwrite": True, **where}
        if isinstance(prepared.work, CopyPass):
            axes = {k: v for k, v in (self.group.options if self.group else {}).items() if k == "axes"}
            memory, workers = self.run.memory_limit, self.call.run.workers
            return prepared.do(memory_limit=memory, workers=workers, progress=self.run.progress, **options, **axes)
        if prepared.scratch or self.group is None:
            options |= {"compressors": None}
        else:
            options |= self.group.options
            above = None if place is None else place.parent()
            if above is not None and above.path != self.group.place.path:
                on_first(self.world, lambda: write_group(above, {}))
        options |= geometry_of(form.frame) | {"state": "writing", "run": identity, "world": self.world}
        with new_image(form.frame.shape, form.dtype, **options) as made:
            return made

    def _write(self, prepared: PreparedPass, images: Sequence[VoxelImage], journals: Sequence[Any]) -> None:
        for source in prepared.work.inputs:
            if isinstance(source, VoxelImage) and source.metadata.extra.get("spent"):
                raise IncompleteImageError(
                    f"what the pass '{prepared.work.name}' of {self.call.name} wrote is gone, and so is the scratch image "
                    "that it was made of; repeat the call with overwrite=True."
                )
        prepared.do(
            sinks=[image.stored for image in images],
            journals=journals,
            kept=any(not image.stored.in_memory for image in images),
            **self._over(prepared),
        ).run()
        if self.world.count > 1:
            for journal in journals:
                journal.close()
            self.world.barrier()

    def _provenance(self) -> dict[str, Any]:
        return made_by(self.whole.inputs, function=self.call.name, parameters=dict(self.call.parameters))

    def _mark_complete(self, result: Any) -> None:
        check_unchanged(self.states, self.whole.inputs)
        if self.group is not None:
            self.group.finish(self.outputs)
            return
        for journal in self.journals:
            journal.check_stored()
        for output, journal in zip(self.outputs, self.journals, strict=True):
            extra = {k: v for k, v in output.metadata.extra.items() if k != "stage"}
            if result is not None:
                extra["result"] = result
            output.stored.update_metadata(
                state="complete", run=self.identity, provenance=self._provenance(), content_hash=None, extra=extra
            )
            journal.finish()
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        for output in self.outputs[:1]:
            if not output.stored.in_memory:
                place = locate(output.zarray).child(SCRATCH)
                place.objects.delete_tree(place.path)


def _abandon(journals: Sequence[Any]) -> None:
    """Leave the records for a later attempt."""
    for journal in journals:
        journal.abandon()
