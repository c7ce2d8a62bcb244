"""Run an algorithm on a stored image, and kill the process after some seconds: `python killed_runs.py image out name delay`."""

import os
import signal
import sys
import threading

import lithax as lx

CALLS = {
    "distance": lambda image, **o: lx.distance(image, nearest=True, store=(o.pop("store"), o.pop("second")), **o),
    "label": lambda image, second, **o: lx.label(image, connectivity=26, **o),
    "local_thickness": lambda image, second, **o: lx.local_thickness(image, **o),
    "watershed": lambda image, second, **o: lx.watershed(image, **o),
    "drainage": lambda image, second, **o: lx.drainage(image, preset="porous_plate", **o),
}


def run(name: str, image: str, out: str) -> None:
    """Do, or go on with, the named algorithm."""
    source = lx.open(image, mode="r")
    CALLS[name](source, store=out, second=f"{out}-2", progress=False, resume=True, workers=1)


if __name__ == "__main__":
    image, out, name, delay = sys.argv[1:]
    if float(delay) > 0:
        threading.Timer(float(delay), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    run(name, image, out)
