"""Results as a Markdown table, in the documentation and on the screen."""

import datetime
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cold_start import cold_start_lines
from benchmarks.measuring import Result
from benchmarks.small_calls import small_call_lines
from benchmarks.whole_images import limit_lines

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def machine() -> dict[str, Any]:
    """What ran the benchmarks, without naming it."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = models[0] if models else processor
    return {
        "date": today(),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def line(result: Result) -> str:
    cells = [result.measure, result.against]
    if result.error:
        cells += ["-", "-", f"not measured: {result.error}", f"{sign(result)} {result.want:g}", "no"]
    else:
        ratios = result.ratios
        cells += [seconds(statistics.median(result.ours)), seconds(statistics.median(result.theirs))]
        cells += [f"**{result.ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"]
        cells += [f"{sign(result)} {result.want:g}", "yes" if result.met else "no"]
    return "| " + " | ".join(cell.replace("|", "/") for cell in [*cells, result.date]) + " |"


def sign(result: Result) -> str:
    return "≥" if result.speed else "≤"


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def table(results: list[Result]) -> str:
    head = [
        "| measure | against | ours [s] | theirs [s] | ratio (min to max) | wanted | met | on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [line(result) for result in results])


def memory_lines(facts: dict[str, Any]) -> str:
    above = facts["peak"] - facts["baseline"]
    gib = {name: f"{value / 2**30:.2f} GiB" for name, value in facts.items() if isinstance(value, int)}
    verdicts = {
        "peak resident memory at most 2 GiB": facts["peak"] <= 2 * 2**30,
        "peak above the baseline at most the plan": above <= facts["plan"],
        "plan at most 1.5 times the peak above the baseline": facts["plan"] <= 1.5 * above,
    }
    text = (
        f"A gaussian (σ=2) over an image of {gib['nbytes']}: baseline {gib['baseline']} (the process has filtered a small "
        f"image before), peak {gib['peak']}, {above / 2**30:.2f} GiB above it; the plan said {gib['plan']}.\n"
    )
    return text + "".join(f"\n- {what}: {'yes' if met else 'no'}" for what, met in verdicts.items())


def meeting_lines(facts: dict[str, int]) -> str:
    counts = " and ".join(f"{meetings} times in a call with {blocks} blocks" for blocks, meetings in facts.items())
    inside = len(set(facts.values())) > 1
    return (
        f"Two processes meet {counts}; wanted: no collective inside the loop over blocks: {'no' if inside else 'yes'}."
    )


def timed(measure: str, limit: float | None) -> dict[str, Any]:
    """Return a line of the viewer's table, still without its seconds."""
    return {"measure": measure, "limit": limit, "seconds": [], "error": ""}


def viewer_lines(every: list[dict[str, Any]]) -> str:
    lines = ["| measure | median [s] (min to max) | wanted [s] | met |", "|---|---|---|---|"]
    for each in every:
        limit, taken = each["limit"], each["seconds"]
        wanted = "" if limit is None else f"< {limit:g}"
        if taken:
            middle = statistics.median(taken)
            found = f"**{seconds(middle)}** ({seconds(min(taken))} to {seconds(max(taken))})"
            met = "" if limit is None else "yes" if middle < limit else "no"
        else:
            found, met = f"not measured: {each['error']}", "" if limit is None else "no"
        lines.append(f"| {each['measure'].removeprefix('viewer: ')} | {found} | {wanted} | {met} |".replace("  ", " "))
    return "\n".join(lines)


def import_lines(taken: dict[str, list[float]]) -> str:
    middle = {name: statistics.median(values) for name, values in taken.items()}
    more = {name: middle[name] - middle["jax, zarr"] for name in middle}
    return (
        f"`import lithax` takes {more['lithax']:.2f} s more than `import jax, zarr` ({middle['lithax']:.2f} against "
        f"{middle['jax, zarr']:.2f} s, medians of {len(taken['lithax'])}), and {more['chunk_map']:.2f} s with all that "
        "`lx.chunk_map` and `lx.ops` load on their first use; wanted: at most 0.4 s more."
    )


def document(record: dict[str, Any]) -> str:
    """Return everything between the markers of docs/benchmarks.md."""
    on = record["machine"]
    sides = record["versions"]
    versions = ", ".join(f"{package} {number}" for packages in sides.values() for package, number in packages.items())
    parts = [
        f"{on['processor']}, {on['cores']} cores, {on['memory']} GiB, {on['system']}, "
        f"Python {on['python']}; {', '.join(dict.fromkeys(versions.split(', ')))}.",
        table([Result(**result) for result in record["results"]]),
    ]
    sections: dict[str, tuple[str, Any]] = {
        "limits": ("Whole images of any size", limit_lines),
        "viewer": ("Viewer", viewer_lines),
        "processes: meetings": ("Meetings of processes", meeting_lines),
        "memory": ("Memory", memory_lines),
        "import": ("Import", import_lines),
        "small calls": ("Small calls", small_call_lines),
        "cold start": ("Cold start", cold_start_lines),
    }
    for name, (title, lines) in sections.items():
        if record.get(name):
            parts += [f"## {title}", f"Measured on {record['dates'][name]}.", lines(record[name])]
    return "\n\n".join(parts)


def insert(page: Path, text: str) -> None:
    """Replace what stands between the markers of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
