"""The table: what is measured, against what, and the ratio that is wanted."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Data:
    """An input file: grey values of a simulated rock, its three phases, the values as a headerless raw file, or pores."""

    kind: str  # "values", "phases", "raw", "field", "noise" or "spheres"
    edge: int
    dtype: str


@dataclass(frozen=True)
class Call:
    """A case of one side; `Data` among the options becomes a file, ``{ours}`` the folder of our own call."""

    side: str
    case: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rival:
    """What our call is held against, and the ratio that is wanted.

    Where there are several calls the slowest of them counts, as the larger of two floors does, or with `added` their sum.
    With `speed` the ratio is theirs / ours and should be at least `want`; without, it is ours / theirs and should be at most
    `want`.
    """

    name: str
    calls: tuple[Call, ...]
    want: float
    speed: bool = True
    added: bool = False


@dataclass(frozen=True)
class Row:
    measure: str
    ours: Call
    rivals: tuple[Rival, ...]
    pairs: int | None = None
    """At most so many runs of each, where one takes minutes."""
    processor: bool = False
    """Whether the seconds are those of the processor, of all threads together."""


BARE = Call("bare", "copy", {"source": "{ours}/image", "target": "{ours}/out", "folder": "{ours}/bare"})
TYPES = {"u2": "uint16", "f4": "float32"}


def rockverse(case: str, want: float, processes: int, note: str = "", **options: Any) -> tuple[Rival, ...]:
    """RockVerse as it runs when called, and under mpiexec with a process for every core."""
    many = f"RockVerse{note}, {processes} processes"
    alone = Rival(f"RockVerse{note}", (Call("rockverse", case, options),), want)
    together = Rival(many, (Call(f"rockverse-{processes}", case, options),), want)
    return (alone, together) if processes > 1 else (alone,)


def rows(small: int, large: int, chunk: int, processes: int) -> Iterator[Row]:
    """Yield every row; `small` and `large` are the edges of the images, `chunk` that of the chunks [voxel]."""
    grid = {"folder": "{folder}", "chunks": [chunk] * 3}

    for dtype, want in {"u2": 5.0, "f4": 3.0}.items():
        for edge in (small, large):
            options = {"values": Data("values", edge, dtype), **grid}
            peers = rockverse("add", want, processes, **options)
            floor = Rival("reading and writing alone", (BARE,), 1.25, speed=False)
            with_ours = rockverse("add", want, processes, " with our codec", compress="lithax", **options)
            call = Call("lithax", "add", options)
            yield Row(f"add 1, {TYPES[dtype]} {edge}³", call, (*peers, *with_ours, floor))
            call = Call("lithax", "add", options | {"compress": "rockverse"})
            yield Row(f"add 1, {TYPES[dtype]} {edge}³, with RockVerse's codec", call, (*peers, floor))
            if edge == small:
                call = Call("lithax", "add", options | {"in_place": True})
                yield Row(f"add 1, {TYPES[dtype]} {edge}³, in place", call, peers)

    values = {dtype: {"values": Data("values", small, dtype)} for dtype in TYPES}
    phases = {"phases": Data("phases", small, "u1")}

    options = values["f4"] | phases | grid
    one, five = (Call("lithax", "elementwise", options | {"count": count}) for count in (1, 5))
    rival = Rival("the same, one op", (one,), 1.3, speed=False)
    yield Row(f"five element-wise ops with exclusion and region, float32 {small}³", five, (rival,))

    compute = Call("lithax", "compute", values["f4"] | {"chunks": grid["chunks"]})
    larger = Rival("larger of I/O and compute", (BARE, compute), 1.1, speed=False)
    both = Rival("I/O and compute, which share the cores", (BARE, compute), 1.1, speed=False, added=True)
    call = Call("lithax", "stencils", values["f4"] | grid)
    yield Row(f"median, gaussian and threshold in one pass, float32 {small}³", call, (larger, both))

    for dtype, name in TYPES.items():
        for bins, want, more in ((256, 10.0, {}), (1024, 30.0, {}), (256, 15.0, phases)):
            options = values[dtype] | grid | {"bins": bins} | more
            note = " per phase" if more else ""
            peers = rockverse("histogram", want, processes, **options)
            yield Row(f"histogram, {bins} bins{note}, {name} {small}³", Call("lithax", "histogram", options), peers)

    options = {"raw": Data("raw", small, "u2"), "shape": [small] * 3, "dtype": "<u2", **grid}
    peers = rockverse("raw import", 4.0, processes, **options)
    yield Row(f"raw import, F order, uint16 {small}³", Call("lithax", "raw import", options), peers)

    options = {"shape": [small] * 3, **grid}
    peers = rockverse("spheres", 2.0, processes, **options)
    yield Row(f"sphere pack, {small}³", Call("lithax", "spheres", options), peers)

    options = values["f4"] | {"sigma": 2.0}
    peer = Rival("scipy in memory", (Call("scipy", "gaussian", options),), 2.5)
    yield Row(f"gaussian σ=2, float32 {small}³, chunked", Call("lithax", "gaussian", options | grid), (peer,))

    for dtype, want in {"f4": 15.0, "u2": 25.0}.items():
        options = values[dtype] | {"size": 3}
        peer = Rival("scipy in memory", (Call("scipy", "median", options),), want)
        name = f"median 3×3×3, {TYPES[dtype]} {small}³, chunked"
        yield Row(name, Call("lithax", "median", options | grid), (peer,))

    for percentile, name in {50: "median", 25: "percentile 25"}.items():
        options = values["f4"] | {"radius": 2, "percentile": percentile}
        peer = Rival("scipy in memory", (Call("scipy", "ranked", options),), 5.0)
        yield Row(
            f"{name} of a ball of 2, float32 {small}³, chunked", Call("lithax", "ranked", options | grid), (peer,)
        )
    yield from segmentation(values["f4"], grid)

    # Every voxel is read and written once, and those of the coarser levels are written.
    options = {"values": Data("values", large, "u2"), **grid}
    floor = Rival("reading and writing alone", (replace(BARE, options=BARE.options | {"levels": list("0123")}),), 0.6)
    yield Row(f"OME-Zarr pyramid, uint16 {large}³", Call("lithax", "pyramid", options), (floor,))

    # RockVerse gets one voxel where lithax gets a thousand: equal times are a thousand times the speed.
    for dtype in ("f4", "f8"):
        call = Call("lithax", "dual energy", {"voxels": 20_000, "draws": 1000, "dtype": dtype})
        peer = Call("rockverse", "dual energy", {"voxels": 20, "draws": 1000})
        name = {"f4": "float32", "f8": "float64"}[dtype]
        rival = Rival("RockVerse with a thousandth of the voxels, one core", (peer,), 1.0)
        yield Row(f"dual energy, 20 000 voxels × 1000 draws, {name}, all cores", call, (rival,))

    # RockVerse gets a hundredth of the draws: equal times are a hundred times the speed.
    call = Call("lithax", "coefficients", {"draws": 200_000})
    peer = Call("rockverse", "coefficients", {"draws": 2000})
    rival = Rival("RockVerse with a hundredth of the draws, one core", (peer,), 1.0)
    yield Row("dual energy, 200 000 draws of the coefficients, all cores", call, (rival,))


def segmentation(values: dict[str, Any], grid: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of filters and classes that scikit-image and scikit-learn have, on a corner of the image."""
    filters = {
        "non-local means, patch 3, search 5": (
            128, "non_local_means", {"h": 0.1}, "denoise_nl_means", {"patch_size": 3, "patch_distance": 5, "h": 0.1}, 4.0
        ),
        "total variation, 10 iterations": (
            128, "total_variation", {"weight": 0.1, "iterations": 10}, "denoise_tv_chambolle",
            {"weight": 0.1, "eps": 0.0, "max_num_iter": 10}, 3.0,
        ),
        # scikit-image's bilateral filter knows planes only: ours is given a window of one plane, too.
        "bilateral, radius 3 in a plane": (
            128, "bilateral", {"sigma_color": 0.2, "sigma_spatial": 1.5, "radius": (3, 3, 0)}, "bilateral in planes",
            {"sigma_color": 0.2, "sigma_spatial": 1.5, "win_size": 7}, 4.0,
        ),
        "Sato, scales 1 and 2": (128, "sato", {"sigmas": (1.0, 2.0)}, "sato", {"sigmas": (1.0, 2.0)}, 4.0),
    }  # fmt: skip
    for name, (edge, ours, parameters, theirs, same, want) in filters.items():
        peer = Call("skimage", "denoise", values | {"edge": edge, "method": theirs, "parameters": same})
        call = Call("lithax", "denoise", values | grid | {"edge": edge, "method": ours, "parameters": parameters})
        yield Row(f"{name}, float32 {edge}³, chunked", call, (Rival("scikit-image in memory", (peer,), want),))
    bare = {
        "bilateral, radius 3": ("bilateral", {"sigma_color": 0.2, "sigma_spatial": 1.5, "radius": 3}, {}),
        "non-local means, patch 3, search 5": ("non_local_means", {"h": 0.1, "patch_distance": 5}, {"patch_size": 3}),
    }
    for name, (method, parameters, more) in bare.items():
        options = values | {"edge": 64}
        call = Call("lithax", "denoise array", options | {"method": method, "parameters": parameters | more})
        floor = Rival("a bare loop over the same voxels in C", (Call("taps", method, options | parameters),), 0.4)
        yield Row(f"{name}, float32 64³, array", call, (floor,), processor=True)
    same = {"weight": 0.1, "eps": 0.0, "max_num_iter": 50}
    for edge in (128, 256):
        peer = Call("skimage", "denoise", values | {"edge": edge, "method": "denoise_tv_chambolle", "parameters": same})
        ours = {"edge": edge, "parameters": {"weight": 0.1, "iterations": 50}}
        call = Call("lithax", "total variation", values | grid | ours)
        name = f"total variation, 50 iterations of the whole image, float32 {edge}³, chunked"
        yield Row(name, call, (Rival("scikit-image in memory", (peer,), 3.0),))
    options = values | {"edge": 64, "sigmas": (1.0, 2.0)}
    peer = Call("skimage", "pixel classifier", options | {"trees": 50})
    call = Call("lithax", "pixel classifier", options | grid)
    rival = Rival("scikit-image and scikit-learn in memory", (peer,), 1.0)
    yield Row("pixel classifier, 50 trees, two scales, float32 64³, chunked", call, (rival,))
    parts = {
        part: Call("lithax", "denoise and classify", values | grid | {"part": part}) for part in ("filter", "classify")
    }
    rival = Rival("the slowest of its parts alone", (BARE, *parts.values()), 1.2, speed=False)
    call = Call("lithax", "denoise and classify", values | grid | {"part": "both"})
    yield Row("non-local means, classes of a mixture and write in one pass", call, (rival,))
    options = values | {"classes": 3, "edge": 64, "levels": 12_000}
    peer = Call("skimage", "multi_otsu", options)
    for name, more, want in (("array", {}, 300.0), ("image", grid, 150.0)):
        call = Call("lithax", "multi_otsu", options | more)
        yield Row(f"Otsu, 3 classes, 12 000 levels, 64³, {name}", call, (Rival("scikit-image", (peer,), want),))
    # As many iterations on both sides, with what begins them.
    for edge in (128, 256):
        options = values | {"classes": 3, "edge": edge, "iterations": 10}
        call = Call("lithax", "mixture", options | grid)
        peer = Rival("scikit-learn in memory", (Call("skimage", "mixture", options),), 3.0)
        yield Row(f"Gaussian mixture, 3 phases, 2 channels, 10 iterations, {edge}³, chunked", call, (peer,))
