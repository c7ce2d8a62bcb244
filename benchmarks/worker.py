"""A process that stays warm and answers a line of JSON with a line of JSON; each side of a comparison is one.

Run by its path, in whichever environment holds the packages of the side: ``python benchmarks/worker.py rockverse``. The
module ``rockverse_side`` holds ``CASES``: functions that set a case up and return what is to be timed, or a pair, the
first of which makes room before each timed call. Where a side is several MPI processes it also says which is
``first``, and how a request is shared.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback


class Worker:
    def __init__(self, side):
        self.cases = side.CASES
        self.barrier = getattr(side, "barrier", lambda: None)
        self.prepared = {}

    def prepare(self, key, case, options):
        made = self.cases[case](**options)
        self.prepared[key] = made if isinstance(made, tuple) else (lambda: None, made)
        return {}

    def run(self, key):
        make_room, timed = self.prepared[key]
        make_room()
        gc.collect()
        self.barrier()
        start, busy = time.perf_counter(), time.process_time()
        facts = timed()
        busy = time.process_time() - busy
        self.barrier()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "processor": busy, "facts": facts if isinstance(facts, dict) else None}

    def forget(self):
        self.prepared.clear()
        return {}


def main():
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # progress bars and prints go to the log
    side = importlib.import_module(f"{sys.argv[1]}_side")
    worker = Worker(side)
    first = getattr(side, "first", True)
    share = getattr(side, "share", lambda read: read())
    while (request := share(lambda: json.loads(sys.stdin.readline() or "null"))) is not None:
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception:
            reply = {"error": traceback.format_exc()}
        if first:
            print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
