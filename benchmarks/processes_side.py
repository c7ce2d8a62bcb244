"""Several processes of ours: started by mpiexec or alone, on a core each or free, by MPI or by jax.distributed.

The kind is the second argument of the worker: "pinned" gives every process one core, for all its threads; "free" leaves
all cores to it; "devices" joins the processes by jax.distributed, and leaves them all cores; "bound" joins them and gives
every process a core; "apart" gives every process a core and a half of the image, and lets it know nothing of the others.
"""

import os
import shutil
import socket
import sys
import threading
from functools import partial
from importlib.metadata import version

KIND = sys.argv[2]
if KIND in ("pinned", "apart", "bound") and hasattr(os, "sched_setaffinity"):
    # Before anything starts a thread: threads inherit it.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(os.environ.get("PMI_RANK", "0")) % len(cores)]})

import jax  # noqa: E402
import numpy as np  # noqa: E402
from shared_requests import from_first  # noqa: E402

import lithax as lx  # noqa: E402
from lithax.sharded import exchange_faces, exchange_halo, make_mesh  # noqa: E402

world = lx.runtime.connect({"devices": "jax", "bound": "jax", "apart": "serial"}.get(KIND, "auto"))
comm, rank = None, 0
if "PMI_RANK" in os.environ:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    rank = comm.Get_rank()
first = rank == 0

STEPS = lx.chain(partial(lx.ops.median, radius=1), partial(lx.ops.gaussian, sigma=1.5), lambda v: v < 0.4)
TIMES = 50
"""Exchanges in one timed call."""


def barrier():
    if comm is not None:
        comm.Barrier()


def share(read):
    return read() if comm is None else from_first(comm, read)


def versions():
    return lambda: {name: version(name) for name in ("lithax", "jax", "mpi4py", "mpich")}


def chain(values, folder, chunks, repeats=1, half=False):
    """Filter an image, or this process's half of it along x, from disk to disk."""
    array = np.load(values, mmap_mode="r")
    if half:
        middle = array.shape[0] // 2
        array = array[middle:] if rank else array[:middle]
        folder = f"{folder}/{rank}"
    image = lx.from_array(array, store=f"{folder}/image", chunks=tuple(chunks), overwrite=True)
    target = f"{folder}/out"

    def make_room():
        if world.first:
            shutil.rmtree(target, ignore_errors=True)

    def run():
        for _ in range(repeats):
            lx.chunk_map(STEPS, image, store=target, overwrite=True, progress=False)

    return make_room, run


def solved(solve, array, folder, chunks, half, axis="x"):
    """Solve for an image on disk, each process with its own part; or for this process's half of it.

    The current runs along the cut, so that it takes as many steps in both halves as in the whole.
    """
    if half:
        middle = array.shape[1] // 2
        array = array[:, middle:] if rank else array[:, :middle]
        folder = f"{folder}/{rank}"
    image = lx.from_array(array, store=f"{folder}/solved", chunks=tuple(chunks), overwrite=True)
    return lambda: solve(image, axis=axis).value


def conduction(values, folder, chunks, half=False, axis="x"):
    """The conductivity of a field."""
    field = np.abs(np.load(values, mmap_mode="r")) + 0.01
    return solved(lx.solve.conductivity, field, folder, chunks, half, axis)


def formation_factor(pores, folder, chunks, half=False, axis="x"):
    """The same of a pore space."""
    return solved(lx.solve.conductivity, np.load(pores).astype(bool), folder, chunks, half, axis)


def permeability(pores, folder, chunks, half=False):
    """The same of the permeability."""
    return solved(lx.solve.permeability, np.load(pores).astype(bool), folder, chunks, half)


def meetings(folder, edge, chunks):
    """How often the processes meet in a call on `edge`³ voxels, with few blocks and with many."""
    image = lx.zeros((edge,) * 3, "f4", store=f"{folder}/image", chunks=max(chunks), overwrite=True)
    exchange = type(world)._exchange
    counted = [0]

    def counting(self, message):
        counted[0] += 1
        return exchange(self, message)

    def run():
        type(world)._exchange = counting
        try:
            found = {}
            for chunk in chunks:
                before = counted[0]
                lx.chunk_map(
                    lambda v: v + 1, image, store=f"{folder}/out", overwrite=True, chunks=chunk, progress=False
                )
                found[str((edge // chunk) ** 3)] = counted[0] - before
        finally:
            type(world)._exchange = exchange
        return {"meetings": found}

    return run


def sharded(edge, local):
    """Return an array over the devices of all processes, or this process's part of it on its own device alone."""
    mesh = make_mesh((1, 1, 1), jax.local_devices()) if local else make_mesh()
    rng = np.random.default_rng(0)
    shape = (edge // world.count, edge, edge) if local else (edge, edge, edge)

    def part(index):
        return rng.random([len(range(*s.indices(n))) for s, n in zip(index, shape, strict=True)], dtype="f4")

    return mesh, jax.make_array_from_callback(shape, lx.sharded.sharding_of(mesh), part)


def repeated(call, x):
    compiled = jax.jit(call)

    def run():
        for _ in range(TIMES):
            jax.block_until_ready(compiled(x))

    return run


def padded(edge, local=False):
    mesh, x = sharded(edge, local)
    return repeated(partial(exchange_halo, halo=1, mesh=mesh), x)


def faces(edge, local=False):
    mesh, x = sharded(edge, local)
    return repeated(partial(exchange_faces, halo=1, mesh=mesh), x)


def sockets(edge):
    """The same faces by NumPy, those between the processes through a bare socket, both ways at once."""
    part = np.random.default_rng(0).random((edge // 2, edge, edge), dtype="f4")
    if first:
        listener = socket.create_server(("127.0.0.1", 0))
        comm.send(listener.getsockname()[1], dest=1)
        connection, _ = listener.accept()
    else:
        connection = socket.create_connection(("127.0.0.1", comm.recv(source=0)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    a, b, c = part.shape
    along_x, along_y, along_z = (np.empty(s, "f4") for s in [(2, b, c), (2, a + 2, c), (2, a + 2, b + 2)])
    inner, outer = (
        (1, 0) if first else (0, 1)
    )  # which of the faces along x is the other process's, and which the image's

    def once():
        sender = threading.Thread(target=connection.sendall, args=(part[-inner].reshape(-1).view("u1").data,))
        sender.start()
        along_x[outer] = part[-outer]
        room = along_x[inner].reshape(-1).view("u1").data
        while room:
            room = room[connection.recv_into(room) :]
        sender.join()
        for k in (0, -1):
            along_y[k, 0], along_y[k, 1:-1], along_y[k, -1] = along_x[0, k], part[:, k], along_x[1, k]
            along_z[k, 1:-1, 1:-1] = part[:, :, k]
            along_z[k, 0, 1:-1], along_z[k, -1, 1:-1] = along_x[0, :, k], along_x[1, :, k]
            along_z[k, :, 0], along_z[k, :, -1] = along_y[0, :, k], along_y[1, :, k]

    def run():
        for _ in range(TIMES):
            once()

    return run


CASES = {
    "versions": versions,
    "chain": chain,
    "conduction": conduction,
    "formation_factor": formation_factor,
    "permeability": permeability,
    "meetings": meetings,
    "padded": padded,
    "faces": faces,
    "sockets": sockets,
}
