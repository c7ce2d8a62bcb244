"""What a call on a small image in memory takes beyond the bare compiled function."""

import json
import statistics
import subprocess
import sys

CALLS = {
    "gaussian of an image of 64³": ("lx.chunk_map(lx.ops.gaussian, image, sigma=1.0)", "gaussian(array)"),
    "`lambda v: v + 1`, written anew each time": ("lx.chunk_map(lambda v: v + 1, image)", "add(array)"),
    "histogram of an image of 64³": ("lx.measure.histogram(image, bins=256)", None),
    "from_array of 64³": ("lx.from_array(values)", None),
}
_PROGRAM = """
import json, time
import jax, numpy as np, lithax as lx
values = np.random.default_rng(0).random((64, 64, 64), "f4")
image, array = lx.from_array(values), jax.numpy.asarray(values)
gaussian = jax.jit(lambda v: lx.ops.gaussian(v, sigma=1.0))
add = jax.jit(lambda v: v + 1)
taken = {"call": [], "bare": []}
def timed(kind, call):
    start = time.perf_counter()
    jax.block_until_ready(call())
    taken[kind].append(time.perf_counter() - start)
for _ in range(60):
    timed("call", lambda: CALL)
    timed("bare", lambda: BARE)
print(json.dumps({kind: seconds[10:] for kind, seconds in taken.items()}))
"""


def small_call_seconds() -> dict[str, dict[str, list[float] | None]]:
    """Return the seconds of each "call", and of the "bare" compiled function on an array, in turn in one process."""
    found = {}
    for name, (call, bare) in CALLS.items():
        program = _PROGRAM.replace("CALL", call).replace("BARE", bare or "None")
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        taken = json.loads(done.stdout.splitlines()[-1])
        found[name] = {"call": taken["call"], "bare": taken["bare"] if bare else None}
    return found


def small_call_lines(found: dict[str, dict[str, list[float] | None]]) -> str:
    """Return the table of the page."""
    lines = [
        "Images and results in memory, warm, one process; medians [ms]. Wanted: at most 3 ms over the bare function.",
        "",
        "| call | takes | bare compiled function | over it |",
        "|---|---|---|---|",
    ]
    for name, taken in found.items():
        call = 1e3 * statistics.median(taken["call"] or [])
        bare = 1e3 * statistics.median(taken["bare"]) if taken["bare"] else None
        cells = ["", ""] if bare is None else [f"{bare:.2f}", f"{call - bare:.2f}"]
        lines.append(f"| {name} | {call:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)
