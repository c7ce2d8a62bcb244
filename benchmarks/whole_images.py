"""Algorithms on whole images: rows beside the packages that hold the image in memory, and limits for what no package holds."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.rows import Call, Data, Rival, Row

GIB = 2**30


@dataclass(frozen=True)
class Limit:
    """One run in a process of its own, and the seconds and the memory that it may take; None: said for information."""

    measure: str
    call: Call
    seconds: float | None = None
    memory: int | None = None
    """Resident memory of the process at its peak [byte]."""
    tight: bool = False
    """Whether the plan may be at most half as much again as what is used."""

    def record(self, facts: dict[str, Any] | None = None, error: str = "") -> dict[str, Any]:
        wanted = asdict(self) | {"facts": facts, "error": error}
        del wanted["call"]
        return wanted


def rows(small: int, large: int, chunk: int) -> Iterator[Row]:
    """Yield the rows; `small` and `large` are the edges of the images, `chunk` that of the chunks [voxel]."""
    grid = {"folder": "{folder}", "chunks": [chunk] * 3}
    near, far = ({"pores": Data("noise", edge, "u1")} for edge in (small, large))

    edt = Rival("edt, 2 threads", (Call("voxels", "distance", near),), 1.0)
    yield Row(f"whole image: distance, {small}³ in memory", Call("whole_images", "distance", near), (edt,))

    through = {"source": "{ours}/image", "target": "{folder}/out"}
    edt = Rival("reading, edt and writing", (Call("voxels", "distance stored", through),), 2.5, speed=False)
    ours = Call("whole_images", "distance stored", far | grid)
    yield Row(f"whole image: distance, {large}³ store to store", ours, (edt,))

    peer = Rival("connected-components-3d", (Call("voxels", "label", near),), 0.8)
    yield Row(f"whole image: labels 26, {small}³ in memory", Call("whole_images", "label", near), (peer,))

    peer = Rival("dask-image, same chunks", (Call("voxels", "label stored", through),), 10.0)
    ours = Call("whole_images", "label stored", near | grid)
    yield Row(f"whole image: labels 26, {small}³ store to store", ours, (peer,))

    for kind, edge in (("spheres", small), ("noise", small * 25 // 16)):
        options = {"pores": Data(kind, edge, "u1")}
        peer = Rival("scikit-image in memory", (Call("skimage", "watershed", options),), 1.2)
        ours = Call("whole_images", "watershed stored", options | grid)
        yield Row(f"whole image: watershed of the distance map, {kind} {edge}³ store to store", ours, (peer,))

    for kind in ("spheres", "noise"):
        options = {"pores": Data(kind, small, "u1")}
        peer = Rival("PoreSpy, whole radii", (Call("porespy", "thickness", options),), 1.5, speed=False)
        ours = Call("whole_images", "thickness", options)
        yield Row(f"whole image: local thickness, exact, {kind} {small}³ in memory", ours, (peer,))


def limits(small: int, large: int, chunk: int, memory: int) -> Iterator[Limit]:
    """Yield what is held against seconds and bytes; the sparse image has sixteen times the edge `small` [voxel]."""
    grid = {"folder": "{folder}", "chunks": [chunk] * 3}
    tile = {"pores": Data("noise", small, "u1"), **grid}
    options = {"pores": Data("noise", large, "u1"), **grid, "pressures": 25}
    name = f"whole image: mercury curve, 25 pressures, {large}³"
    yield Limit(name, Call("whole_images", "mercury", options), 300.0, 4 * GIB)

    options = grid | {"edge": 16 * small}
    name = f"whole image: labels and sizes, {16 * small}³, few objects"
    yield Limit(name, Call("whole_images", "sparse", options), 600.0, 8 * GIB)

    for what in ("labels", "distance"):
        options = tile | {"edge": memory, "what": [what]}
        call = Call("whole_images", "rock", options)
        yield Limit(f"whole image: {what}, {memory}³", call, None, 2 * GIB, tight=True)

    options = tile | {"edge": memory, "what": ["labels", "distance", "pore sizes"]}
    name = f"whole image: labels, distance and pore sizes, {memory}³"
    yield Limit(name, Call("whole_images", "rock", options), 1800.0, 8 * GIB)


def limit_lines(every: list[dict[str, Any]]) -> str:
    """Return the table of the page."""
    lines = [
        "One run each, in a process that has done the same on a small image. Planned and used memory are above the"
        " baseline of that process; the peak is the whole process's.",
        "",
        "| measure | taken [s] | wanted [s] | peak resident | wanted | used | planned | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in every:
        lines.append("| " + " | ".join([each["measure"].removeprefix("whole image: "), *_cells(each)]) + " |")
    return "\n".join(lines)


def _cells(each: dict[str, Any]) -> list[str]:
    facts, seconds, memory = each["facts"], each["seconds"], each["memory"]
    wanted = "" if seconds is None else f"≤ {seconds:g}", "" if memory is None else f"≤ {memory / GIB:g} GiB"
    if facts is None:
        return [f"not measured: {each['error']}", wanted[0], "", wanted[1], "", "", "no"]
    used = facts["peak"] - facts["baseline"]
    met = used <= facts["plan"] and (seconds is None or facts["seconds"] <= seconds)
    met = met and not (each["tight"] and facts["plan"] > 1.5 * used)
    met = met and (memory is None or facts["peak"] <= memory)
    size = [f"{value / GIB:.2f} GiB" for value in (facts["peak"], used, facts["plan"])]
    return [f"{facts['seconds']:.1f}", wanted[0], size[0], wanted[1], size[1], size[2], "yes" if met else "no"]
