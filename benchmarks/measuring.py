"""Alternating runs of one row, and what else is measured: memory, and the time that an import takes."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import path_of
from benchmarks.rows import Call, Data, Rival, Row
from benchmarks.sides import Sides, Unavailable
from benchmarks.whole_images import Limit


@dataclass(frozen=True)
class Result:
    """One line of the table: the ratios of the pairs, and the seconds that they came from."""

    measure: str
    against: str
    want: float
    speed: bool
    ours: list[float]
    theirs: list[float]
    error: str = ""
    date: str = ""

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.ours, self.theirs, strict=True)
        return [theirs / ours if self.speed else ours / theirs for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        return not self.error and (self.ratio >= self.want if self.speed else self.ratio <= self.want)

    def record(self) -> dict[str, Any]:
        return asdict(self)


class Bench:
    """The sides, the inputs and the place for stores of one run.

    A row has `pairs` turns, or as many as it begins within `seconds`, but three at least.
    """

    def __init__(self, folder: Path, pairs: int, seconds: float):
        self.folder = folder
        self.pairs = pairs
        self.seconds = seconds
        self.sides = Sides(folder)
        self._stores = folder / "stores"

    def _options(self, key: str, call: Call) -> dict[str, Any]:
        """Return the options of a call, with files in place of inputs, and folders that are there."""
        places = {"{ours}": str(self._stores / "0"), "{folder}": str(self._stores / key)}
        options = {}
        for name, value in call.options.items():
            if isinstance(value, Data):
                value = str(path_of(value, self.folder / "data"))
            elif isinstance(value, str):
                for mark, place in places.items():
                    value = value.replace(mark, place)
            options[name] = value
        (self._stores / key).mkdir(parents=True, exist_ok=True)
        return options

    def _prepare(self, key: str, call: Call) -> None:
        options = self._options(key, call)
        side = self.sides[call.side]
        side.ask("prepare", key=key, case=call.case, options=options)
        side.ask("run", key=key)  # compiles, fills caches; not counted

    def _time(self, key: str, call: Call, clock: str) -> float:
        if hasattr(os, "sync"):
            os.sync()  # what the last call wrote must not be flushed on this one's time
        return self.sides[call.side].ask("run", key=key)[clock]

    def _clear(self, calls: dict[str, Call]) -> None:
        for name in {call.side for call in calls.values()}:
            try:
                self.sides[name].ask("forget")
            except Unavailable:
                continue
        shutil.rmtree(self._stores, ignore_errors=True)

    def run(self, row: Row) -> list[Result]:
        """Time a row: our call and those of every rival in turn, every other time in the opposite order."""
        calls = {"0": row.ours}
        keys: dict[str, list[str]] = {}
        for rival in row.rivals:
            keys[rival.name] = [str(len(calls) + number) for number, _ in enumerate(rival.calls)]
            calls |= dict(zip(keys[rival.name], rival.calls, strict=True))
        errors: dict[str, str] = {}
        seconds: dict[str, list[float]] = {key: [] for key in calls}

        def attempt(key: str, step: Any) -> None:
            try:
                step()
            except Unavailable as error:
                print(error, flush=True)
                errors[key] = str(error).strip().splitlines()[-1]

        try:
            for key, call in calls.items():
                if "0" not in errors:
                    attempt(key, lambda key=key, call=call: self._prepare(key, call))
            start = time.monotonic()
            clock = "processor" if row.processor else "seconds"
            for turn in range(min(self.pairs, row.pairs or self.pairs)):
                if turn >= 3 and time.monotonic() - start > self.seconds:
                    break
                for key in list(calls)[:: -1 if turn % 2 else 1]:
                    if key not in errors and "0" not in errors:
                        attempt(key, lambda key=key: seconds[key].append(self._time(key, calls[key], clock)))
        finally:
            self._clear(calls)
        return [self._result(row, rival, keys[rival.name], seconds, errors) for rival in row.rivals]

    @staticmethod
    def _result(
        row: Row, rival: Rival, keys: list[str], seconds: dict[str, list[float]], errors: dict[str, str]
    ) -> Result:
        failed = [errors[key] for key in ("0", *keys) if key in errors]
        total = sum if rival.added else max
        theirs = [total(turn) for turn in zip(*(seconds[key] for key in keys), strict=True)] if not failed else []
        ours = seconds["0"] if not failed else []
        return Result(row.measure, rival.name, rival.want, rival.speed, ours, theirs, failed[0] if failed else "")

    def meetings(self) -> dict[str, int]:
        """Return how often two processes meet in one call, by the number of its blocks."""
        place = self._stores / "0"
        place.mkdir(parents=True, exist_ok=True)
        side = self.sides["pinned-2"]
        try:
            side.ask(
                "prepare",
                key="meetings",
                case="meetings",
                options={"folder": str(place), "edge": 64, "chunks": [32, 8]},
            )
            return side.ask("run", key="meetings")["facts"]["meetings"]
        finally:
            side.ask("forget")
            shutil.rmtree(self._stores, ignore_errors=True)

    def limit(self, limit: Limit) -> dict[str, Any]:
        """Run what is held against seconds and bytes once, in a fresh process, and return its line."""
        try:
            self.sides[limit.call.side].close()  # the next one asked for is new
            side = self.sides[limit.call.side]
            options = self._options("0", limit.call)
            side.ask("prepare", key="0", case=limit.call.case, options=options)
            facts = side.ask("run", key="0")["facts"]
        except Unavailable as error:
            print(error, flush=True)
            return limit.record(error=str(error).strip().splitlines()[-1])
        finally:
            shutil.rmtree(self._stores, ignore_errors=True)
        print(facts, flush=True)
        return limit.record(facts)

    def memory(self, edge: int, chunk: int) -> dict[str, Any]:
        """Filter an image of `edge`³ float32 and return image size, baseline, peak and plan [byte]."""
        options = {"folder": str(self._stores / "0"), "chunks": [chunk] * 3, "shape": [edge] * 3}
        (self._stores / "0").mkdir(parents=True, exist_ok=True)
        side = self.sides["lithax"]
        try:
            side.ask("forget")
            side.ask("prepare", key="memory", case="memory", options=options)
            return side.ask("run", key="memory")["facts"]
        finally:
            shutil.rmtree(self._stores, ignore_errors=True)


def import_seconds(times: int) -> dict[str, list[float]]:
    """Time ``import jax, zarr``, ``import lithax``, and this with what the first call on an image loads,
    in fresh processes, in turn.
    """
    statements = {
        "jax, zarr": "import jax, zarr",
        "lithax": "import jax, zarr, lithax",
        "chunk_map": "import jax, zarr, lithax; lithax.chunk_map, lithax.ops",
    }
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    for turn in range(times + 1):
        for name, statement in statements.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            if turn:  # the first reads the packages from disk
                seconds[name].append(time.perf_counter() - start)
    return seconds
