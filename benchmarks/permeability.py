"""The rows of Stokes flow: beside lattice Boltzmann, beside itself, and what is held against minutes and bytes."""

from collections.abc import Iterator

from benchmarks.rows import Call, Data, Rival, Row
from benchmarks.whole_images import GIB, Limit

TO = {"1 %": 1e-2, "0.1 %": 1e-3}
TIMES = {"1 %": 20.0, "0.1 %": 30.0}
"""By how much less processor time than lattice Boltzmann at 128³."""


def rows(small: int) -> Iterator[Row]:
    """Yield the rows; a quarter and a half of the edge `small` [voxel]."""
    edge = small // 2  # lattice Boltzmann takes minutes, and at half the edge a fifth of them
    for name, tolerance in TO.items():
        options = {"pores": Data("noise", edge, "b1"), "tolerance": tolerance}
        sides = {"lattice Boltzmann, pore voxels only": "lattice_boltzmann"}
        if tolerance == TO["1 %"]:  # ten minutes
            sides["lbmpy, lattice Boltzmann of all voxels, compiled"] = "lbmpy"
        rivals = tuple(Rival(who, (Call(side, "permeability", options),), TIMES[name]) for who, side in sides.items())
        measure = f"permeability to {name}, noise {edge}³, processor time"
        yield Row(measure, Call("permeability", "solve", options), rivals, 1, processor=True)

    options = {"pores": Data("noise", small // 4, "u1"), "tolerance": 1e-4}
    value = Rival("the tensor alone, as tight", (Call("permeability", "tensor", options),), 1.1, speed=False)
    call = Call("permeability", "tensor and gradient", options)
    yield Row(f"permeability, tensor and its gradient for every voxel, {small // 4}³", call, (value,), 5)


def limits(small: int, large: int) -> Iterator[Limit]:
    """Yield what is held against minutes and memory, with edges of 300, 400 and 3 × 128 voxels where `large` is 512."""
    one, three = large * 75 // 128, large * 25 // 32
    options = {"pores": Data("noise", one, "u1"), "tolerance": 1e-2}
    yield Limit(f"permeability, one axis, noise {one}³, to 1 %", Call("permeability", "watched solve", options), 60.0)
    options = {"pores": Data("noise", three, "u1"), "tolerance": 5e-3, "axis": "all"}
    call = Call("permeability", "watched solve", options)
    yield Limit(f"permeability, three axes, noise {three}³, to 0.5 %", call, 600.0, 24 * GIB)
    edge = small // 2
    options = {"pores": Data("noise", 3 * edge, "u1"), "edge": edge}
    call = Call("permeability", "watched subvolumes", options)
    yield Limit(f"permeability and conduction, 27 sub-volumes of {edge}³, three axes", call, 600.0)
