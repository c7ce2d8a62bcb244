"""Rows of the conduction solver: beside TauFactor and PoreSpy, each by its own stopping rule, and beside itself."""

from collections.abc import Iterator

from benchmarks.rows import Call, Data, Rival, Row


def rows(small: int, large: int) -> Iterator[Row]:
    """Yield the rows; half the edge `small`, `small` itself, and `large` [voxel].

    Every side raises an error where its value is further than half a per cent from a converged one.
    """
    half = small // 2
    for kind, near, far in (("spheres", 6.0, 25.0), ("noise", 12.0, 30.0)):
        for edge, want in ((half, near), (small, far)):
            options = {"pores": Data(kind, edge, "u1")}
            peer = Rival("TauFactor, criterion 0.01, 2 threads", (Call("taufactor", "solve", options),), want)
            yield Row(f"conduction, {kind} {edge}³, to 0.5 %", Call("conduction", "solve", options), (peer,))

    options = {"pores": Data("noise", half, "u1")}
    ours = Call("conduction", "solve", options)
    peer = Rival("PoreSpy tortuosity_fd", (Call("porespy", "solve", options),), 20.0)
    yield Row(f"conduction, noise {half}³, beside PoreSpy", ours, (peer,))

    tight = options | {"tolerance": 5e-5}  # what a gradient of 1 % asks for
    value = Rival("the value alone, as tight", (Call("conduction", "solve", tight),), 1.3, speed=False)
    yield Row(f"conduction, value and gradient, {half}³", Call("conduction", "gradient", options), (value,))

    grey = {"grey": Data("field", small, "f4")}
    one = Rival("one solve", (Call("conduction", "thresholds", grey | {"count": 1}),), 3.0, speed=False)
    yield Row(f"conduction, ten thresholds, {small}³", Call("conduction", "thresholds", grey | {"count": 10}), (one,))

    cubes = {"pores": Data("noise", 3 * half, "u1"), "edge": half}
    single = Rival("one solve of that size", (ours,), 81.0, speed=False)
    yield Row(f"conduction, 27 sub-volumes of {half}³, three axes", Call("conduction", "subvolumes", cubes), (single,))

    options = {"pores": Data("noise", large, "u1")}
    smaller = Rival(f"{small}³, one axis", (Call("conduction", "solve", {"pores": Data("noise", small, "u1")}),),
                    3.3 * (large / small) ** 3, speed=False)  # fmt: skip
    call = Call("conduction", "solve", options | {"axis": "all"})
    yield Row(f"conduction, {large}³, three axes", call, (smaller,))

    # A solve in memory takes 37 bytes a voxel.
    memory = Rival("the same in memory", (Call("conduction", "solve", options),), 3.0, speed=False)
    call = Call(
        "conduction", "from_disk", options | {"folder": "{folder}", "memory_limit": max(16 * large**3, 600 * 10**6)}
    )
    yield Row(f"conduction, noise {large}³ larger than memory", call, (memory,), pairs=3, processor=True)
