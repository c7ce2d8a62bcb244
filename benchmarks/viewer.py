"""How fast the viewer answers: ``python -m benchmarks.viewer [--folder FOLDER] [--edge 1000]``.

The images are made of grey values with noise, which compress as those of a micro-CT scan do. Of the image with a pyramid
only what the viewer asks for is stored: the coarse levels, and the chunks that the sample for the histogram takes.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def make_block(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Grey values of two phases with noise."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=tuple(-(-n // 8) for n in shape))
    grain = np.kron(coarse > 0, np.ones((8, 8, 8), bool))[tuple(slice(0, n) for n in shape)]
    return (9000 + 12000 * grain + random.normal(0, 600, shape)).astype("u2")


def fill(image, blocks: list[np.ndarray], indices=None) -> None:
    """Write chunks of an image, taken in turn from a few blocks."""
    from lithax.grid import ChunkGrid

    grid = ChunkGrid(image.shape, image.chunks)
    for number, index in enumerate(indices if indices is not None else grid):
        box = grid.box(index)
        image[box] = blocks[number % len(blocks)][tuple(slice(0, s.stop - s.start) for s in box)]


def make(folder: Path, edge: int) -> None:
    import lithax as lx
    from lithax.grid import ChunkGrid
    from lithax.viz._distribution import SAMPLE_CHUNKS, spread

    image = lx.create((edge,) * 3, "u2", store=folder / "image", voxel_length=2.0, voxel_unit="um")
    blocks = [make_block(image.chunks, seed) for seed in range(4)]
    fill(image, blocks)
    (folder / "pyramid").mkdir()
    for level in range(4):
        size = 2 * edge // 2**level
        image = lx.create(
            (size,) * 3,
            "u2",
            store=folder / "pyramid" / str(level),
            chunks=128 if level == 0 else 64,
            voxel_length=2.0**level,
            voxel_origin=0.5 * (2**level - 1),
            voxel_unit="um",
        )
        blocks = [make_block(image.chunks, seed) for seed in range(4)]
        sample = spread(ChunkGrid(image.shape, image.chunks), SAMPLE_CHUNKS)
        fill(image, blocks, sample if level < 2 else None)


def moves(folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of a move of the reference point, drawn to the last pixel: near (what was decoded is kept) and anywhere."""
    import lithax as lx

    image = lx.open(folder / "image", mode="r")
    viewer = lx.viz.OrthogonalViewer(image, window=False)
    viewer.figure.canvas.draw()
    random = np.random.default_rng(0)
    first = [c * (n // 2 // c) for n, c in zip(image.shape, image.chunks, strict=True)]
    found: dict[str, list[float]] = {"within a layer of chunks": [], "anywhere": []}
    viewer.reference_voxel = tuple(f + 1 for f in first)
    for name, times in found.items():
        for _ in range(repeats):
            if name == "anywhere":
                voxel = tuple(int(random.integers(0, n)) for n in image.shape)
            else:
                voxel = tuple(int(f + random.integers(0, c)) for f, c in zip(first, image.chunks, strict=True))
            before = time.perf_counter()
            viewer.reference_voxel = voxel
            viewer.figure.canvas.draw()
            times.append(time.perf_counter() - before)
    return {name: statistics.median(times) for name, times in found.items()}


FIRST = """
import sys, time
import lithax as lx
folder = sys.argv[1]
before = time.perf_counter()
levels = [lx.open(f"{folder}/pyramid/{n}", mode="r") for n in range(4)]
viewer = lx.viz.OrthogonalViewer(levels[0], levels=levels, window=False)
viewer.save(f"{folder}/first.png")
first = time.perf_counter() - before
times = []
for n in range(7):
    before = time.perf_counter()
    viewer.reference_voxel = tuple((997 * (n + 1) * (k + 3)) % levels[0].shape[k] for k in range(3))
    viewer.figure.canvas.draw()
    times.append(time.perf_counter() - before)
print(first, sorted(times)[3])
"""


def first_picture(folder: Path, repeats: int) -> dict[str, float]:
    """Seconds from the end of the import to a picture in a file, each in a new process; and of moves anywhere after it."""
    done = []
    for _ in range(repeats):
        output = subprocess.run([sys.executable, "-c", FIRST, str(folder)], check=True, capture_output=True, text=True)
        done.append([float(word) for word in output.stdout.split()])
    return {"first picture": statistics.median(d[0] for d in done), "anywhere": statistics.median(d[1] for d in done)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the images are, or are made and left (6 GB); else temporary")
    parser.add_argument(
        "--edge", type=int, default=1000, help="of the image; that of the pyramid is twice as long [voxel]"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--make-only", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="lithax-viewer-"))
    try:
        if not (folder / "pyramid").exists():
            folder.mkdir(exist_ok=True)
            make(folder, arguments.edge)
        if not arguments.make_only:
            edge = arguments.edge
            result = {
                f"move, uint16 {edge}³ [s]": moves(folder, arguments.repeats),
                f"uint16 {2 * edge}³ with pyramid [s]": first_picture(folder, 3),
            }
            print(json.dumps(result, indent=2, ensure_ascii=False))
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
