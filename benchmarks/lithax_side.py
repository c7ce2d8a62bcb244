"""Our side of the comparison."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import dual_energy as dual_energy_data
import jax
import numpy as np
import psutil
import zarr

import lithax as lx

ZARR = [zarr.codecs.ZstdCodec(level=0)]  # what zarr-python, and so RockVerse, compresses with by default


def versions():
    return lambda: {name: version(name) for name in ("lithax", "jax", "numpy", "zarr", "numcodecs")}


def codec(name):
    """Options of an image: our own codec, or zarr-python's."""
    return {"own": {}, "rockverse": {"compressors": ZARR}}[name]


def stored(values, folder, chunks, name="image", compress="own"):
    array = np.load(values, mmap_mode="r")
    return lx.from_array(array, store=f"{folder}/{name}", chunks=tuple(chunks), overwrite=True, **codec(compress))


def without(folder):
    """Remove the last result, so that its removal is not timed."""
    return lambda: shutil.rmtree(folder, ignore_errors=True)


def cylinder(image):
    """The region of interest of a core: along z, a tenth narrower than the image."""
    middle = np.mean(image.bounding_box, axis=0)
    return lx.regions.Cylinder(tuple(middle), (0.0, 0.0, 1.0), 0.45 * image.dimensions[0])


def mapped(function, image, folder, compress="own", **options):
    """A timed call, image to image, into a new store each time."""
    target = f"{folder}/out"
    dtype = np.dtype(jax.eval_shape(function, jax.ShapeDtypeStruct((8, 8, 8), image.dtype)).dtype)

    def run():
        out = lx.empty_like(image, dtype=dtype, store=target, **codec(compress))
        lx.chunk_map(function, image, out=out, progress=False, **options)

    return without(target), run


def add(values, folder, chunks, compress="own", in_place=False):
    image = stored(values, folder, chunks, compress=compress)
    if in_place:
        return lambda: image.apply("add", 1)
    return mapped(lambda v: v + 1, image, folder, compress)


FIVE = lx.chain(
    lambda v: v - 0.25,
    lambda v: v * 1.75,
    lambda v: v * v,
    lambda v: v / (1.0 + v),
    lambda v: v + 1.0,
)


def elementwise(values, phases, folder, chunks, count):
    """`count` steps, 1 or 5, where the exclusion and the region of interest allow."""
    image = stored(values, folder, chunks)
    left_out = lx.chunk_map(lambda v: v == 1, stored(phases, folder, chunks, "phases"), store=f"{folder}/exclude")
    where = lx.domain(exclude=left_out, region=cylinder(image))
    return mapped({1: lambda v: v + 1.0, 5: FIVE}[count], image, folder, where=where)


STEPS = [partial(lx.ops.median, radius=1), partial(lx.ops.gaussian, sigma=1.5), lambda v: v < 0.4]


def stencils(values, folder, chunks):
    return mapped(lx.chain(*STEPS), stored(values, folder, chunks), folder)


def compute(values, chunks):
    """The steps of `stencils`, each on every block in memory, as many blocks at once as there are cores."""
    array = np.load(values)
    edges = [range(0, size, edge) for size, edge in zip(array.shape, chunks, strict=True)]
    blocks = [
        np.ascontiguousarray(array[x : x + chunks[0], y : y + chunks[1], z : z + chunks[2]])
        for x in edges[0]
        for y in edges[1]
        for z in edges[2]
    ]
    steps = [jax.jit(step) for step in STEPS]

    def run():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for step in steps:
                for _ in pool.map(lambda block, step=step: step(block).block_until_ready(), blocks):
                    pass

    return run


def gaussian(values, folder, chunks, sigma):
    return mapped(partial(lx.ops.gaussian, sigma=sigma), stored(values, folder, chunks), folder)


def median(values, folder, chunks, size):
    return mapped(partial(lx.ops.median, radius=size // 2), stored(values, folder, chunks), folder)


def ranked(values, folder, chunks, radius, percentile):
    operation = partial(lx.ops.percentile, percentile=percentile, radius=radius, footprint="ball")
    return mapped(operation, stored(values, folder, chunks), folder)


def corner(values, folder, chunks, edge, name="corner"):
    """An image of the corner of this edge."""
    array = np.ascontiguousarray(np.load(values, mmap_mode="r")[:edge, :edge, :edge])
    return lx.from_array(array, store=f"{folder}/{name}", chunks=tuple(chunks), overwrite=True)


def denoise(values, folder, chunks, edge, method, parameters):
    return mapped(partial(getattr(lx.ops, method), **parameters), corner(values, folder, chunks, edge), folder)


def denoise_array(values, edge, method, parameters):
    """A filter on an array in memory, compiled: what its loops take without files."""
    array = jax.numpy.asarray(np.ascontiguousarray(np.load(values, mmap_mode="r")[:edge, :edge, :edge]))
    compiled = jax.jit(partial(getattr(lx.ops, method), **parameters))

    def run():
        return {"sum": float(np.sum(compiled(array), dtype=float))}

    return run


def total_variation(values, folder, chunks, edge, parameters):
    """Many iterations in passes."""
    image = corner(values, folder, chunks, edge)
    target = f"{folder}/out"
    return without(target), lambda: lx.total_variation(image, store=target, progress=False, **parameters)


def strokes(array):
    """Labels as a person would draw them: one slice, the darkest and the brightest quarter."""
    labels = np.zeros(array.shape, np.uint8)
    dark, bright = np.quantile(array[0], (0.25, 0.75))
    labels[0][array[0] < dark], labels[0][array[0] > bright] = 1, 2
    return labels


def pixel_classifier(values, folder, chunks, edge, sigmas):
    """Features and a forest of 50 trees, trained beforehand."""
    image = corner(values, folder, chunks, edge)
    classifier = lx.train_classifier(image, strokes(image[...]), sigmas=sigmas)
    target = f"{folder}/out"

    def run():
        lx.chunk_map(classifier.classify, image, store=target, progress=False)

    return without(target), run


def denoise_and_classify(values, folder, chunks, part):
    """A filter, classes of a mixture, or both in one pass."""
    image = corner(values, folder, chunks, 128, "image")  # where the bare copy looks for it
    quiet = partial(lx.ops.non_local_means, patch_distance=3, h=0.1)
    mixture = lx.measure.gaussian_mixture(image, classes=3)
    steps = {"filter": quiet, "classify": mixture.classify, "both": lx.chain(quiet, mixture.classify)}
    return mapped(steps[part], image, folder)


def multi_otsu(values, classes, edge, levels, folder=None, chunks=None):
    array = np.load(values, mmap_mode="r")[:edge, :edge, :edge].astype(np.float64)
    array = ((array - array.min()) / np.ptp(array) * levels).astype(np.uint16)
    image = (
        array if folder is None else lx.from_array(array, store=f"{folder}/otsu", chunks=tuple(chunks), overwrite=True)
    )
    return lambda: {"thresholds": [int(t) for t in lx.measure.otsu(image, classes=classes)]}


def mixture(values, folder, chunks, classes, edge, iterations):
    array = np.load(values, mmap_mode="r")[:edge, :edge, :edge]
    channels = [array, np.roll(array, 1, 0)]
    images = [
        lx.from_array(np.ascontiguousarray(c), store=f"{folder}/{n}", chunks=tuple(chunks), overwrite=True)
        for n, c in enumerate(channels)
    ]

    def run():
        lx.measure.gaussian_mixture(
            *images, classes=classes, tolerance=1e-12, most_iterations=iterations, progress=False
        )

    return run


def histogram(values, folder, chunks, bins, phases=None):
    image = stored(values, folder, chunks)
    segmentation = None if phases is None else stored(phases, folder, chunks, "phases")
    return lambda: {"counted": int(lx.measure.histogram(image, bins, segmentation=segmentation).counts.sum())}


def raw_import(raw, folder, chunks, shape, dtype):
    def run():
        lx.import_raw(raw, tuple(shape), dtype, store=f"{folder}/image", chunks=tuple(chunks))

    return without(f"{folder}/image"), run


def pyramid(values, folder, chunks):
    """A copy of the image with all coarser levels."""
    image = stored(values, folder, chunks)
    target = f"{folder}/out"
    return without(target), lambda: lx.pyramid(image, target, progress=False) and None


def spheres(folder, chunks, shape):
    def run():
        lx.sphere_pack(tuple(shape), store=f"{folder}/image", chunks=tuple(chunks))

    return without(f"{folder}/image"), run


def dual_energy(voxels, draws, dtype):
    """Invert arrays of values that are all different, quantiles included."""
    coefficients = lx.dect.Coefficients(*dual_energy_data.coefficients(draws))
    low, high = (v.astype(dtype) for v in dual_energy_data.voxels(voxels))

    def run():
        result = lx.dect.invert(low, high, coefficients)
        return dual_energy_data.medians(result.electron_density.median, result.atomic_number.median)

    return run


def coefficients(draws):
    """Draw calibrations of both energies, from distributions to A, B and n."""
    stuff = [lx.dect.Material(str(formula), formula, density) for density, formula in dual_energy_data.MATERIALS]
    rows = dual_energy_data.levels()
    standards = [
        lx.dect.Standard(made, [(level, dual_energy_data.DEVIATION) for level in row])
        for made, row in zip(stuff, rows, strict=True)
    ]
    air = lx.dect.Standard(None, [(0.0, dual_energy_data.DEVIATION)] * 2)

    def run():
        drawn = lx.dect.draw_coefficients(standards, air, draws, seed=1, progress=False)
        return {"valid": float(drawn.valid.mean())}

    return run


def memory(folder, chunks, shape):
    """Filter an image, and say what that took of memory above a process that has done it before on a small one."""
    operation = partial(lx.ops.gaussian, sigma=2.0)
    small = lx.full(tuple(2 * edge for edge in chunks), "f4", 0.5, store=f"{folder}/small", chunks=tuple(chunks))
    lx.chunk_map(operation, small, store=f"{folder}/small out", progress=False)
    image = lx.create(tuple(shape), "f4", store=f"{folder}/image", chunks=tuple(chunks))
    rng = np.random.default_rng(0)
    tile = rng.normal(size=tuple(chunks)).astype("f4")
    for number, box in enumerate(image.chunk_slices(n) for n in range(image.nchunks)):
        image[box] = tile[tuple(slice(0, s.stop - s.start) for s in box)] + number

    def run():
        plan = lx.plan(lx.chunk_map, operation, image, store=f"{folder}/out")
        with Watch() as watch:
            lx.chunk_map(operation, image, store=f"{folder}/out", progress=False)
        return {"nbytes": image.nbytes, "baseline": watch.baseline, "peak": watch.peak, "plan": plan.memory}

    return run


class Watch:
    """Peak resident memory of this process while the block runs, looked at every few milliseconds [byte]."""

    def __enter__(self):
        self._process = psutil.Process()
        self.baseline = self.peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self):
        while not self._stop.is_set():
            self.peak = max(self.peak, self._process.memory_info().rss)
            time.sleep(0.002)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


CASES = {
    "coefficients": coefficients,
    "dual energy": dual_energy,
    "versions": versions,
    "add": add,
    "elementwise": elementwise,
    "stencils": stencils,
    "compute": compute,
    "gaussian": gaussian,
    "median": median,
    "ranked": ranked,
    "denoise": denoise,
    "denoise and classify": denoise_and_classify,
    "denoise array": denoise_array,
    "total variation": total_variation,
    "pixel classifier": pixel_classifier,
    "multi_otsu": multi_otsu,
    "mixture": mixture,
    "histogram": histogram,
    "raw import": raw_import,
    "spheres": spheres,
    "pyramid": pyramid,
    "memory": memory,
}
