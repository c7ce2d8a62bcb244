"""A program that starts runs of chunk_map which end before their time; `test_resume` drives it.

It imports lithax once and forks for every run, which is a hundred times quicker than starting Python. Each line of its input
describes a run; it answers with the run's process number, and with how it ended.

A run counts the moments named below and dies, or raises, or interrupts itself, at the one it is told.
"""

import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import lithax as lx
from lithax.storage import _journal, _objects, _stored_array

MOMENTS = ("block", "before write", "half written", "before rename", "after write", "before record", "half recorded")


class Moments:
    """Counts how often each moment was reached and acts at the chosen one, in one thread alone."""

    def __init__(self, moment, count, action):
        self.moment, self.left, self.action = moment, count, action
        self._lock = threading.Lock()

    def reached(self, moment):
        if self.due(moment):
            self.act()

    def due(self, moment):
        """Count the moment, and say whether it is the chosen one."""
        if moment != self.moment:
            return False
        with self._lock:
            self.left -= 1
            return self.left == 0

    def act(self):
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        elif self.action == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        elif self.action == "fail":
            raise ZeroDivisionError("in the run")


def watch_storage(moments):
    """Let the moments of writing be noticed."""
    write, replace = _objects.DirectoryObjects.write, Path.replace
    write_unit, record, os_write = _stored_array.StoredArray.write_unit, _journal.Journal.record, os.write

    def noticed_write_unit(self, unit, payload, digest=None):
        moments.reached("before write")
        write_unit(self, unit, payload, digest)
        moments.reached("after write")

    def noticed_replace(self, target):
        moments.reached("before rename")
        return replace(self, target)

    def noticed_os_write(descriptor, data):
        whole = len(data)
        journal = bytes(data[:8]) == b'{"unit":'
        wanted = "half recorded" if journal else "half written" if data[:1] != b"{" else None
        if wanted and moments.due(wanted):
            os_write(descriptor, data[: whole // 2])
            moments.act()
        return os_write(descriptor, data)

    def noticed_record(self, *arguments):
        moments.reached("before record")
        record(self, *arguments)

    _objects.DirectoryObjects.write = write
    _stored_array.StoredArray.write_unit = noticed_write_unit
    Path.replace = noticed_replace
    os.write = noticed_os_write
    _journal.Journal.record = noticed_record


FUNCTIONS = {
    "gaussian": (lx.ops.gaussian, {"sigma": 1.0}),
    "double": (lambda v: v * 2, {}),
    "triple": (lambda v: v * 3, {}),
}


def working():
    """Whether this is the run itself; the main thread looks at the function before."""
    return threading.current_thread() is not threading.main_thread()


def run(spec):
    """Do what one line of input says."""
    moments = Moments(spec.get("moment"), spec.get("count", 1), spec.get("action", "kill"))
    watch_storage(moments)
    options = {"progress": False, "workers": spec.get("workers", 3)} | spec.get("options", {})
    options |= {k: tuple(options[k]) for k in ("chunks", "shards") if options.get(k)}
    if spec.get("wait"):

        def block(v):
            if working():
                Path(spec["wait"]).with_suffix(".waiting").touch()
                end = time.monotonic() + 60
                while not Path(spec["wait"]).exists() and time.monotonic() < end:
                    time.sleep(0.002)
            return v + 1

        lx.chunk_map(block, lx.open(spec["source"]), store=spec["store"], backend="numpy", **options)
        return
    if spec["kind"] == "in place":
        image = lx.open(spec["store"], incomplete=True)
        other = spec.get("other", 1)
        if isinstance(other, str):
            other = lx.open(other)
        image.apply("add", other, resume=spec.get("resume", False), **({"backend": "numpy"} | options))
        return
    function, parameters = FUNCTIONS[spec.get("function", "gaussian")]
    if spec.get("backend") != "jax":
        options["backend"] = "numpy"
        if not isinstance(function, lx.ops.VoxelOp):
            options.setdefault("resume_key", spec.get("function"))
            plain = function

            def function(v):
                if working():
                    moments.reached("block")
                return plain(v)

    source = spec["source"]
    image = lx.from_array(np.load(source), chunks=16) if source.endswith(".npy") else lx.open(source)
    store = spec["store"]
    lx.chunk_map(function, image, store=store, resume=spec.get("resume", False), **parameters, **options)


def fork_each(run):
    """Fork for every run ``[kind, folder, moment, count]`` that the argument lists, and print how each ended."""
    statuses = []
    for kind, folder, *when in json.loads(sys.argv[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of forks; here it has not started when one is made
            child = os.fork()
        if child == 0:
            status = 0
            try:
                run(kind, Path(folder), *when)
            except BaseException:
                traceback.print_exc()
                status = 1
            os._exit(status)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


def main():
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        spec = json.loads(line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of forks; here it has not started when one is made
            child = os.fork()
        if child == 0:
            status, errors = 0, Path(spec["errors"])
            try:
                run(spec)
            except BaseException:
                errors.write_text(traceback.format_exc())
                status = 1
            os._exit(status)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
