"""Everything that the processes of a world can do together, once."""
# ruff: noqa: PT017 - a program, which pytest does not run

import os
import sys
from pathlib import Path

from lithax import runtime
from lithax.errors import ProcessFailure
from lithax.images._collective import together

world = runtime.connect(sys.argv[1])
assert runtime.connect() is world
assert world.count > 1
assert world.first == (world.index == 0)
assert len(world.cores) == world.count
assert world.index in world.neighbours

everyone = range(world.count)
if sys.argv[1] == "jax" and hasattr(os, "SCHED_BATCH"):
    # Threads of JAX push nobody aside; those of the program are as they were.
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert os.SCHED_BATCH in {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}
assert world.broadcast(f"from {world.index}") == "from 0"
long = 3 * 2**20  # more than one message of the coordinator of jax.distributed
assert world.gather(bytes([world.index]) * (world.index * long)) == [bytes([k]) * (k * long) for k in everyone]
assert world.reduce(str(world.index), lambda a, b: f"({a}{b})").endswith(f"{world.count - 1})")
given = world.give({k: (world.index, bytes([k]) * ((k + 1) * long)) for k in everyone if (k + world.index) % 2 == 0})
assert list(given) == [k for k in everyone if (k + world.index) % 2 == 0]
assert all(value == (k, bytes([world.index]) * ((world.index + 1) * long)) for k, value in given.items())
assert world.give({}) == {}
world.barrier()
world.agree()

# One fails; the others notice without waiting for it, and all raise.
error = None
try:
    if world.index == 1:
        raise OSError("the tape is torn")
    while True:
        world.check()
except (OSError, ProcessFailure) as raised:
    error = raised
    world.announce(error)
try:
    world.agree(error)
except OSError as raised:
    assert world.index == 1
    assert raised is error
except ProcessFailure as raised:
    assert world.index != 1
    assert f"process 1 of {world.count}" in str(raised)
    assert 'raise OSError("the tape is torn")' in str(raised)
else:
    raise AssertionError

# The same error everywhere, where one worked for all.
try:
    world.agree(FileExistsError("taken") if world.first else None, same_type=True)
except FileExistsError as raised:
    assert str(raised) == "taken"
else:
    raise AssertionError

# One fails while another waits for what it gives.
deliver = type(world)._deliver
if world.index == 1:
    type(world)._deliver = lambda self, messages, sizes: 1 / 0
try:
    with together(world):
        world.give({0: b"x" * long} if world.index == 1 else {1: b"y" * long})
except ZeroDivisionError:
    assert world.index == 1
except ProcessFailure as raised:
    assert "ZeroDivisionError" in str(raised)
else:
    raise AssertionError
type(world)._deliver = deliver

# What came before is forgotten.
world.check()
try:
    world.barrier() if world.first else world.gather(0)
except RuntimeError as raised:
    assert "came to gather()" in str(raised)
    assert "came to barrier()" in str(raised)
else:
    raise AssertionError
assert world.gather(world.index) == list(everyone)

if sys.argv[1] == "mpi":  # which needs JAX for nothing
    from jax._src import xla_bridge

    assert not xla_bridge._backends
report = runtime.report()
assert len(report.splitlines()) == world.count
if world.first:
    print(type(world).__name__)
    print(report)
