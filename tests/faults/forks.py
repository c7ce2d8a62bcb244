"""Runs small programs in processes of their own, forked from one that has imported lithax: a hundred times quicker than Python anew.

Each line of the input names a program and its arguments; the answer says how it ended, and what it wrote to stderr.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
import warnings

import numpy as np

import lithax as lx


def main():
    assert np
    assert lx
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        with tempfile.TemporaryFile("w+") as errors:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # JAX warns of forks; here it has not started when one is made
                child = os.fork()
            if child == 0:
                status = 0
                os.dup2(errors.fileno(), 2)
                try:
                    sys.argv = command
                    runpy.run_path(command[0], run_name="__main__")
                except BaseException:
                    traceback.print_exc()
                    status = 1
                sys.stderr.flush()
                os._exit(status)
            _, status = os.waitpid(child, 0)
            errors.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(status), errors.read()]), flush=True)


if __name__ == "__main__":
    main()
