"""One process fails in a way of its own, while the others work, or wait for it."""

import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path

import lithax as lx
from lithax.storage import StoredArray
from lithax.storage._journal import Journal

kind, folder, how, who, when = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
world = lx.runtime.connect(kind)
report = lx.runtime.report()
if world.first:
    print(report, flush=True)
calls = 0


def strike() -> None:
    global calls
    calls += 1
    if calls != when:
        return
    (folder / "struck").touch()  # from now on the others must not take long
    if how.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "disk":
        raise OSError(28, "No space left on device")
    if how == "limit":  # the system itself refuses what is written from now on
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    if how == "unwritable":
        os.seteuid(65534)  # a user who may not write here


write, record = StoredArray.write_unit, Journal.record


def write_unit(self, unit, payload, digest=None):
    if how != "kill-after":
        strike()
    write(self, unit, payload, digest)
    if how == "kill-after":
        strike()


def recorded(self, unit, *digests):
    record(self, unit, *digests)
    if how == "kill-recorded":
        strike()


if world.index == who:
    Journal.record = recorded
    if how != "kill-recorded":
        StoredArray.write_unit = write_unit
    if how in ("user", "exit"):
        (folder / "struck").touch()
    if how == "user":
        raise ZeroDivisionError("in the user's own lines")
    if how == "exit":
        sys.exit(3)

scan = lx.open(folder / "scan")
if "place" in how:
    scan.apply("add", 1, progress=False)
else:
    lx.chunk_map(partial(lx.ops.gaussian, sigma=0.8), scan, store=folder / "out", workers=1, progress=False)
