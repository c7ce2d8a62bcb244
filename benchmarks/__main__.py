"""``python -m benchmarks``: time every row, print the table, renew benchmarks/results.json and docs/benchmarks.md."""

import argparse
import json
import os
import subprocess
from pathlib import Path

from benchmarks import conduction, permeability, processes, report, whole_images
from benchmarks.cold_start import cold_start_seconds
from benchmarks.measuring import Bench, import_seconds
from benchmarks.rows import rows
from benchmarks.sides import Unavailable
from benchmarks.small_calls import small_call_seconds
from benchmarks.viewer import Viewer

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this text; others keep their last result")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--pairs", type=int, default=11, help="alternating runs of every row")
    parser.add_argument(
        "--seconds", type=float, default=60, help="a row longer than this has fewer runs, three at least"
    )
    parser.add_argument("--small", type=int, default=256, help="edge of most images [voxel]")
    parser.add_argument("--large", type=int, default=512, help="edge of the large images [voxel]")
    parser.add_argument("--chunk", type=int, default=128, help="edge of a chunk [voxel]")
    parser.add_argument(
        "--repeats", type=int, default=16, help="how often the job is done whose every run must take 20 s"
    )
    parser.add_argument(
        "--memory", type=int, default=1024, help="edge of the image whose peak memory is watched [voxel]"
    )
    parser.add_argument(
        "--viewer",
        type=int,
        default=1000,
        help="edge of the image that the viewer moves in, half of that with a pyramid",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".benchmarks", help="for inputs, stores and RockVerse")
    parser.add_argument("--dry", action="store_true", help="print the table, write no file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    count = min(os.cpu_count() or 1, 8)
    every = [
        *rows(options.small, options.large, options.chunk, count),
        *conduction.rows(options.small, options.large),
        *permeability.rows(options.small),
        *whole_images.rows(options.small, options.large, options.chunk),
        *processes.rows(options.large, options.chunk, options.repeats),
    ]
    every_limit = [
        *whole_images.limits(options.small, options.large, options.chunk, options.memory),
        *permeability.limits(options.small, options.large),
    ]
    limits = [limit for limit in every_limit if options.only in limit.measure]
    table = [row for row in every if options.only in row.measure]
    viewer = Viewer(options.folder.resolve(), options.viewer, options.pairs)
    timed = [measure for measure in viewer.measures() if options.only in measure.name]
    if options.list:
        names = [
            *(row.measure for row in table),
            *(limit.measure for limit in limits),
            *(measure.name for measure in timed),
        ]
        print("\n".join([*names, "processes: meetings", "memory", "import", "small calls", "cold start"]))
        return
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() and options.only else {"results": []}
    results = {(result["measure"], result["against"]): result for result in record["results"]}
    dates = record.setdefault("dates", {})
    bench = Bench(options.folder.resolve(), options.pairs, options.seconds)
    try:
        for number, row in enumerate(table, 1):
            print(f"[{number}/{len(table)}] {row.measure}", flush=True)
            for result in bench.run(row):
                print(report.line(result), flush=True)
                results[result.measure, result.against] = result.record() | {"date": report.today()}
        held = {each["measure"]: each for each in record.get("limits", [])}
        for limit in limits:
            print(limit.measure, flush=True)
            held[limit.measure] = bench.limit(limit)
            dates["limits"] = report.today()
        record["limits"] = [held[limit.measure] for limit in every_limit if limit.measure in held]
        times = {each["measure"]: each for each in record.get("viewer", [])}
        for measure in timed:
            print(measure.name, flush=True)
            times[measure.name] = report.timed(measure.name, measure.limit)
            dates["viewer"] = report.today()
            try:
                times[measure.name]["seconds"] = measure.take()
            except Unavailable as error:
                print(error)
                times[measure.name]["error"] = str(error)
        record["viewer"] = [times[measure.name] for measure in viewer.measures() if measure.name in times]
        single = {
            "processes: meetings": bench.meetings,
            "memory": lambda: bench.memory(options.memory, options.chunk),
            "import": lambda: import_seconds(10),
            "small calls": small_call_seconds,
            "cold start": lambda: cold_start_seconds(3),
        }
        for name, measure in single.items():
            if options.only in name:
                print(name, flush=True)
                try:
                    record[name] = measure()
                    dates[name] = report.today()
                except (Unavailable, subprocess.CalledProcessError) as error:
                    print(error)
        order = [row.measure for row in every]
        known = [result for result in results.values() if result["measure"] in order]
        record["results"] = sorted(known, key=lambda result: order.index(result["measure"]))
        # Of the sides that took no part this time the versions are those of their last.
        record |= {"machine": report.machine(), "versions": record.get("versions", {}) | bench.sides.versions()}
    finally:
        bench.sides.close()
        viewer.close()
    text = report.document(record)
    print(text)
    if not options.dry:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        report.insert(PAGE, text)


if __name__ == "__main__":
    main()
