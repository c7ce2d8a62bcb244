"""Measure chunk shapes and codecs, and renew the tables of docs/guides/chunks.md: ``python -m benchmarks.chunks``.

Three images of one rock, a sphere pack under a simulated scanner: its grey levels (16 bits, noisy), the same
after a median filter, and the segmentation. Files lie in a temporary folder, and in the page cache of the machine; every
number is the median of five runs. It takes about two minutes.
"""

import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zarr

import lithax as lx
from lithax.generate import simulated_ct

EDGE = 256
RUNS = 5
PAGE = Path(__file__).parent.parent / "docs" / "guides" / "chunks.md"
CODECS: dict[str, dict[str, Any]] = {
    "default: blosc LZ4": {},
    "blosc zstd, level 5": {
        "compressors": zarr.codecs.BloscCodec(cname="zstd", clevel=5, shuffle=zarr.codecs.BloscShuffle.bitshuffle)
    },
    "zstd, level 3": {"compressors": zarr.codecs.ZstdCodec(level=3)},
    "gzip, level 5": {"compressors": zarr.codecs.GzipCodec(level=5)},
    "none": {"compressors": None},
}


@lx.voxel_op(context=True)
def detector(fraction, *, block):
    i, j, k = block.index(fraction)
    return simulated_ct(fraction, i, j, k, seed=block.seed, pore=20_000, grain=40_000, noise=0.1)


def images() -> dict[str, np.ndarray]:
    """Return the voxels of the three images."""
    pack = lx.sphere_pack((EDGE,) * 3, "f4", xlim=(-7, 7), ylim=(-7, 7), zlim=(-7, 7), limits="faces")
    scan = np.asarray(lx.chunk_map(lx.chain(partial(lx.ops.gaussian, sigma=0.7), detector), pack, seed=1))
    scan = np.round(scan).astype("u2")
    filtered = np.asarray(lx.ops.median(scan, radius=2))
    return {"scan": scan, "filtered": filtered, "segmented": (filtered > 30_000).astype("u1")}


def seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return statistics.median(times)


def objects(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json"]


def speed(array: np.ndarray, time: float) -> str:
    return f"{array.nbytes / 1e6 / time:,.0f}".replace(",", " ")


def codec_rows(voxels: dict[str, np.ndarray], folder: Path) -> list[str]:
    rows = [
        "| codec | image | stored, of the voxels | write [MB/s] | read [MB/s] |",
        "|---|---|---:|---:|---:|",
    ]
    for codec, options in CODECS.items():
        for name, array in voxels.items():
            store = folder / "codec.zarr"
            write = seconds(partial(lx.from_array, array, 128, store, overwrite=True, **options))
            image = lx.open(store)
            read = seconds(lambda image=image: image[...])
            share = sum(path.stat().st_size for path in objects(store)) / array.nbytes
            rows.append(f"| {codec} | {name} | {share:.1%} | {speed(array, write)} | {speed(array, read)} |")
    return rows


def chunk_rows(scan: np.ndarray, folder: Path) -> list[str]:
    rows = [
        "| chunk | shard | objects | write [MB/s] | read all [MB/s] | a slice [ms] | a voxel [ms] | gaussian σ = 1.5 [s] |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    layouts = [(32, None), (32, 128), (64, None), (64, 256), (128, None), (256, None), ((256, 256, 1), None)]
    for chunk, shard in layouts:
        shape = " × ".join(map(str, chunk)) if isinstance(chunk, tuple) else f"{chunk}³"
        rows.append(f"| {shape} | {f'{shard}³' if shard else '-'} | {chunk_row(scan, chunk, shard, folder)} |")
    return rows


def chunk_row(scan: np.ndarray, chunk: Any, shard: Any, folder: Path) -> str:
    store = folder / "chunks.zarr"
    write = seconds(lambda: lx.from_array(scan, chunk, store, shards=shard, overwrite=True))
    image = lx.open(store)
    everything = seconds(lambda: image[...])
    plane = seconds(lambda: image[:, 100, :])
    voxel = seconds(lambda: image[100, 100, 100])

    def smooth() -> None:
        lx.chunk_map(lx.ops.gaussian, image, sigma=1.5, store=folder / "smooth.zarr", overwrite=True, progress=False)

    smooth()  # compiles
    cells = [
        len(objects(store)),
        speed(scan, write),
        speed(scan, everything),
        f"{1000 * plane:.1f}",
        f"{1000 * voxel:.2f}",
    ]
    return " | ".join(map(str, [*cells, f"{seconds(smooth):.2f}"]))


def renew(page: Path, mark: str, rows: list[str]) -> None:
    before, rest = page.read_text().split(f"<!-- {mark}: begin -->")
    _, after = rest.split(f"<!-- {mark}: end -->")
    page.write_text(f"{before}<!-- {mark}: begin -->\n\n" + "\n".join(rows) + f"\n\n<!-- {mark}: end -->{after}")


def main() -> None:
    voxels = images()
    with tempfile.TemporaryDirectory() as name:
        codecs = codec_rows(voxels, Path(name))
        chunks = chunk_rows(voxels["scan"], Path(name))
    machine = [
        f"{EDGE}³ voxels; {os.cpu_count()} cores, {platform.system()} {platform.machine()}, zarr {zarr.__version__}."
    ]
    renew(PAGE, "codecs", codecs)
    renew(PAGE, "chunks", chunks)
    renew(PAGE, "machine", machine)


if __name__ == "__main__":
    main()
