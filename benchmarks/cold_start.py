"""The first call of a new process, with an empty and with a filled cache of compiled programs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile

FIRST_CALLS = {
    "gaussian of an image of 64³": "lx.chunk_map(lx.ops.gaussian, image, sigma=1.0)",
    "histogram of an image of 64³": "lx.measure.histogram(image, bins=256)",
    "formation factor of 64³": "lx.solve.conductivity(values < 0.5, axis='z')",
}
_PROGRAM = """
import json, time
import jax, zarr, numpy as np, lithax as lx
values = np.random.default_rng(0).random((64, 64, 64), "f4")
image = lx.from_array(values)
start = time.perf_counter()
{call}
first = time.perf_counter()
{call}
print(json.dumps([first - start, time.perf_counter() - first]))
"""


def cold_start_seconds(times: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each first call with an "empty" and with a "filled" cache, and of the "second" call."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, call in FIRST_CALLS.items():
        taken: dict[str, list[float]] = {"empty": [], "filled": [], "second": []}
        for _ in range(times):
            with tempfile.TemporaryDirectory() as cache:
                for state in ("empty", "filled"):
                    first, second = _first_and_second(call, cache)
                    taken[state].append(first)
                taken["second"].append(second)
        found[name] = taken
    return found


def _first_and_second(call: str, cache: str) -> list[float]:
    keep_all = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(call=call)],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache} | keep_all,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def cold_start_lines(found: dict[str, dict[str, list[float]]]) -> str:
    """Return the table of the page."""
    lines = [
        "A new process each time; the import is not counted. Medians [s]; JAX keeps compiled programs on disk where"
        " `JAX_COMPILATION_CACHE_DIR` names a folder.",
        "",
        "| first call | empty cache | filled cache | second call |",
        "|---|---|---|---|",
    ]
    for name, taken in found.items():
        cells = [f"{statistics.median(taken[state]):.3f}" for state in ("empty", "filled", "second")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
