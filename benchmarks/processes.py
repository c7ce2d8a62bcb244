"""The rows about several processes: two against one, the price of a world of one, weak scaling, halos, and a solve."""

from collections.abc import Iterator

from benchmarks.rows import Call, Data, Rival, Row

EXCHANGED = 256
"""Edge of the array whose halos are exchanged [voxel]."""
SOLVED = 256
"""Edge of the image whose conductivity is solved for, at most [voxel]."""
FACTOR = 384
"""Edge of the pore space whose formation factor is solved for, at most [voxel]."""
FLOWING, LARGER = 128, 256
"""Edges of the images whose permeability is solved for, at most [voxel]."""


def rows(edge: int, chunk: int, repeats: int) -> Iterator[Row]:
    """Yield the rows; `edge` is that of the images, and `repeats` how often a job that must be long is done [-]."""
    options = {"values": Data("values", edge, "f4"), "folder": "{folder}", "chunks": [chunk] * 3}
    one = Rival("1 process", (Call("pinned", "chain", options),), 1.8)
    # What the machine allows: cores share caches, memory and the disk.
    apart = Rival(
        "2 programs apart, a half each", (Call("apart-2", "chain", options | {"half": True}),), 1.1, speed=False
    )
    yield Row(
        f"processes: 2, median, gaussian and threshold, float32 {edge}³, a core for each",
        Call("pinned-2", "chain", options),
        (one, apart),
    )
    half = Rival("1 process, half the image", (Call("pinned", "chain", options | {"half": True}),), 0.9)
    # The same in the same turns: what two busy cores of this machine are to one.
    machine = Rival("2 programs apart, a half each", (Call("apart-2", "chain", options | {"half": True}),), 0.9)
    yield Row(
        f"processes: weak scaling from 1 to 2, the same chain, float32 {edge}³, a core for each",
        Call("pinned-2", "chain", options),
        (half, machine),
    )
    long = options | {"repeats": repeats}
    serial = Rival("without a launcher", (Call("free", "chain", long),), 1.05, speed=False)
    yield Row(
        f"processes: a world of one under mpiexec, the same chain {repeats} times, float32 {edge}³",
        Call("free-1", "chain", long),
        (serial,),
    )
    size = {"edge": EXCHANGED}
    copies = Rival("copying the same from its own memory", (Call("devices-2", "padded", size | {"local": True}),), 2.0, speed=False)  # fmt: skip
    yield Row(
        f"processes: 2, 50 halo exchanges, float32 {EXCHANGED}³, halo 1, padded parts",
        Call("devices-2", "padded", size),
        (copies,),
    )
    bare = Rival("copying them by NumPy and a bare socket", (Call("devices-2", "sockets", size),), 2.0, speed=False)
    copies = Rival("copying them from its own memory", (Call("devices-2", "faces", size | {"local": True}),), 2.0, speed=False)  # fmt: skip
    yield Row(
        f"processes: 2, 50 halo exchanges, float32 {EXCHANGED}³, halo 1, faces alone",
        Call("devices-2", "faces", size),
        (bare, copies),
    )
    solved = min(edge, SOLVED)
    field, factor = Data("values", solved, "f4"), min(edge, FACTOR)
    cases = [("conduction", "values", field, {}, "conductivity along one axis", f"float32 {solved}³")]
    cases.append(("conduction", "values", field, {"axis": "z"}, "conductivity along z", f"float32 {solved}³"))
    pores = [("formation_factor", factor, {}, "formation factor along one axis")]
    pores.append(("formation_factor", factor, {"axis": "z"}, "formation factor along z"))
    pores += [("permeability", min(edge, size), {}, "permeability along one axis") for size in (FLOWING, LARGER)]
    cases += [(case, "pores", Data("noise", n, "u1"), more, measure, f"noise {n}³") for case, n, more, measure in pores]
    for case, name, data, more, measure, what in cases:
        options = {name: data, "folder": "{folder}", "chunks": [min(chunk, data.edge)] * 3} | more
        pinned = Rival("1 process on one core", (Call("pinned", case, options),), 1.6)
        alone = Rival("1 process on all cores", (Call("free", case, options),), 0.95)
        # What the machine allows: the cores share caches and memory, and these solves wait for memory.
        apart = Rival("2 programs apart, a half each", (Call("apart-2", case, options | {"half": True}),), 1.2, speed=False)  # fmt: skip
        yield Row(
            f"processes: 2, {measure}, {what}, a core for each",
            Call("bound-2", case, options),
            (pinned, alone, apart),
            5,
        )
