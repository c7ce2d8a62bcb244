"""How fast the viewer answers: seconds against a limit, each measure in processes of its own.

The images are made of grey values with noise, which compress as those of a micro-CT scan do. Of the image with a pyramid
only what the viewer asks for is stored: the coarse levels, and the chunks that the sample for the histogram takes.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sides import Unavailable

CHROMIUM = Path(__file__).parent.parent / "tests" / "web" / "chromium.py"
FIRST_PICTURES = 3
LEVELS = 4


@dataclass(frozen=True)
class Timed:
    """A measure: what it is called, seconds that are allowed (None: said for information), and what takes the seconds."""

    name: str
    limit: float | None
    take: Callable[[], list[float]]


class Viewer:
    """The measures of one run; their images are made when one is first taken, and removed in the end.

    Parameters
    ----------
    folder
        For the images: 6 GB for an edge of 1000.
    edge
        Of the image without levels; that of the pyramid is twice as long, that of the web viewer half [voxel].
    repeats
        Moves of the reference point; a third as many processes are started for a first picture.
    """

    def __init__(self, folder: Path, edge: int, repeats: int):
        self.folder, self.edge, self.repeats = folder / "viewer", edge, repeats
        self._taken: dict[str, dict[str, list[float]]] = {}

    def measures(self) -> Iterator[Timed]:
        plain, large, web = (f"uint16 {edge}³" for edge in (self.edge, 2 * self.edge, web_edge(self.edge)))
        for program, image, measure, limit in (
            ("moves", plain, "move of the reference point, anywhere", 0.1),
            ("moves", plain, "move of the reference point, within decoded layers", 0.1),
            ("first", f"{large} with pyramid", "first picture, cold, after the import", 1.0),
            ("first", f"{large} with pyramid", "move of the reference point, anywhere", 0.1),
            ("web", web, "web viewer, first slice", 2.0),
            ("web", web, "web viewer, the client has drawn", None),
        ):
            yield Timed(f"viewer: {measure}, {image}", limit, lambda p=program, m=measure: self._take(p)[m])

    def _take(self, program: str) -> dict[str, list[float]]:
        if program not in self._taken:
            place = self.folder / program
            if not (place / "complete").exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                MAKE[program](place, self.edge)
                (place / "complete").touch()
                os.sync()  # what is still being written would take the cores' time
            found: dict[str, list[float]] = {}
            for _ in range(1 if program == "moves" else max(1, self.repeats // FIRST_PICTURES)):
                if program == "first":
                    forget(place)
                command = [sys.executable, "-m", "benchmarks.viewer", program, str(place), str(self.repeats)]
                done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
                if done.returncode:
                    raise Unavailable((done.stderr.strip() or "it said nothing").splitlines()[-1])
                for measure, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                    found.setdefault(measure, []).extend(seconds)
            self._taken[program] = found
        return self._taken[program]

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def web_edge(edge: int) -> int:
    return 512 if edge == 1000 else edge // 2


def forget(folder: Path) -> None:
    """Drop the files from the memory of the operating system, where it can be asked to."""
    if not hasattr(os, "posix_fadvise"):
        return
    os.sync()
    for path in folder.glob("**/*"):
        if path.is_file():
            number = os.open(path, os.O_RDONLY)
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(number)


# The images


def make_block(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Grey values of two phases with noise."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=tuple(-(-n // 8) for n in shape))
    grain = np.kron(coarse > 0, np.ones((8, 8, 8), bool))[tuple(slice(0, n) for n in shape)]
    return (9000 + 12000 * grain + random.normal(0, 600, shape)).astype("u2")


def fill(image: Any, blocks: list[np.ndarray], indices: Any = None) -> None:
    """Write chunks of an image, taken in turn from a few blocks."""
    from lithax.grid import ChunkGrid

    grid = ChunkGrid(image.shape, image.chunks)
    for number, index in enumerate(indices if indices is not None else grid):
        box = grid.box(index)
        image[box] = blocks[number % len(blocks)][tuple(slice(0, s.stop - s.start) for s in box)]


def make_image(folder: Path, edge: int) -> None:
    import lithax as lx

    image = lx.create((edge,) * 3, "u2", store=folder / "image", voxel_length=2.0, voxel_unit="um")
    fill(image, [make_block(image.chunks, seed) for seed in range(4)])


def make_pyramid(folder: Path, edge: int) -> None:
    import lithax as lx
    from lithax.grid import ChunkGrid
    from lithax.viz._distribution import SAMPLE_CHUNKS, spread

    for level in range(LEVELS):
        image = lx.create(
            (2 * edge // 2**level,) * 3,
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


def make_halves(folder: Path, edge: int) -> None:
    """Dark up to the middle of x, bright beyond: so a slice is known when it is seen."""
    import lithax as lx

    edge = web_edge(edge)
    noise = np.random.default_rng(0).standard_normal((edge,) * 3, "f4") * np.float32(600)
    noise[: edge // 2] += 9000
    noise[edge // 2 :] += 21000
    lx.from_array(noise.astype("u2"), store=folder / "image", voxel_length=2.0, voxel_unit="um")


# The programs: each prints the seconds of its measures


def moves(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Time moves of the reference point, drawn to the last pixel: near (what was decoded is kept) and anywhere."""
    import lithax as lx

    image = lx.open(folder / "image", mode="r")
    viewer = lx.viz.OrthogonalViewer(image, window=False)
    viewer.figure.canvas.draw()
    random = np.random.default_rng(0)
    first = [c * (n // 2 // c) for n, c in zip(image.shape, image.chunks, strict=True)]
    beyond = [min(c, n - f) for f, c, n in zip(first, image.chunks, image.shape, strict=True)]

    def near() -> tuple[int, ...]:
        return tuple(int(f + random.integers(0, b)) for f, b in zip(first, beyond, strict=True))

    def anywhere() -> tuple[int, ...]:
        return tuple(int(random.integers(0, n)) for n in image.shape)

    viewer.reference_voxel = near()
    return {
        "move of the reference point, within decoded layers": [moved(viewer, near()) for _ in range(repeats)],
        "move of the reference point, anywhere": [moved(viewer, anywhere()) for _ in range(repeats)],
    }


def moved(viewer: Any, voxel: tuple[int, ...]) -> float:
    start = time.perf_counter()
    viewer.reference_voxel = voxel
    viewer.figure.canvas.draw()
    return time.perf_counter() - start


def first(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Time the way from the end of the import to a picture in a file, and moves after it."""
    import lithax as lx

    opened = lx.open  # names load what they need on first use: that is the import
    start = time.perf_counter()
    levels = [opened(folder / "pyramid" / str(number), mode="r") for number in range(LEVELS)]
    viewer = lx.viz.OrthogonalViewer(levels[0], levels=levels, window=False)
    viewer.save(folder / "first.png")
    taken = time.perf_counter() - start
    random = np.random.default_rng(0)
    return {
        "first picture, cold, after the import": [taken],
        "move of the reference point, anywhere": [
            moved(viewer, tuple(int(random.integers(0, n)) for n in levels[0].shape)) for _ in range(repeats)
        ],
    }


def web(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Time the way from the address to the first slice in headless Chromium, and to the picture of the client."""
    import lithax as lx
    from lithax.web import serve

    specification = importlib.util.spec_from_file_location("chromium", CHROMIUM)
    assert specification is not None
    assert specification.loader is not None
    chromium = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(chromium)
    if chromium.chromium() is None:
        raise SystemExit("Chromium is not installed: apt install chromium")

    def halves(picture: Any, top: float, bottom: float) -> bool:
        """Whether the dark half and the bright one are seen, in a band of the picture's height, on the left."""
        pixels = np.asarray(picture.convert("L"), float)
        height, width = pixels.shape
        rows = pixels[int(top * height) : int(bottom * height)]
        dark, bright = (rows[:, int(a * width) : int(b * width)].mean() for a, b in ((0.10, 0.16), (0.22, 0.28)))
        return bool(bright > 150 > 80 > dark)

    def drawn(picture: Any) -> bool:
        """Whether the client is there, with its toolbar and the first slice below it."""
        toolbar = np.asarray(picture.convert("L"))[: int(0.03 * picture.height)].max() > 60
        return bool(toolbar) and halves(picture, 0.10, 0.18)

    with serve(lx.open(folder / "image", mode="r")) as server:
        _, _, frames = chromium.visit(server.url, drawn)
    return {
        "web viewer, first slice": [next(taken for taken, picture in frames if halves(picture, 0.32, 0.44))],
        "web viewer, the client has drawn": [frames[-1][0]],
    }


MAKE = {"moves": make_image, "first": make_pyramid, "web": make_halves}
RUN = {"moves": moves, "first": first, "web": web}


if __name__ == "__main__":
    _, program, place, count = sys.argv
    print(json.dumps(RUN[program](Path(place), int(count))))
