"""Our algorithms on whole images: arrays in memory, and store to store."""

import time
from importlib.metadata import version

import numpy as np
from lithax_side import Watch, without

import lithax as lx

QUIET = {"progress": False}


def versions():
    return lambda: {name: version(name) for name in ("lithax", "jax", "numpy", "zarr")}


def rock(pores):
    return np.load(pores).astype(bool)


def stored(array, folder, chunks, name="image"):
    return lx.from_array(array, store=f"{folder}/{name}", chunks=tuple(chunks), overwrite=True)


def into_store(folder, function, *images, **options):
    """A timed call, image to image, into a new store each time."""
    target = f"{folder}/out"

    def run():
        function(*images, store=target, **options, **QUIET)

    return without(target), run


def distance(pores):
    array = rock(pores)
    return lambda: {"largest": float(lx.distance(array).max())}


def distance_stored(pores, folder, chunks):
    return into_store(folder, lx.distance, stored(rock(pores), folder, chunks))


def label(pores):
    array = rock(pores)

    def run():
        lx.label(array, connectivity=26)

    return run


def label_stored(pores, folder, chunks):
    return into_store(folder, lx.label, stored(rock(pores), folder, chunks), connectivity=26)


def watershed_stored(pores, folder, chunks):
    """The distance map stands ready in the store, as it does in memory for the peer."""
    array = rock(pores)
    relief = stored(-lx.distance(array), folder, chunks, "relief")
    return into_store(folder, lx.watershed, relief, where=stored(array, folder, chunks))


def thickness(pores):
    array = rock(pores)
    return lambda: {"largest": float(lx.local_thickness(array).max())}


def watched(small, plan, work):
    """A call on a small image, so that the process is warm; the plan; and one watched call, of which the facts are told."""
    small()

    def run():
        planned = plan()
        with Watch() as watch:
            start = time.perf_counter()
            work()
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "baseline": watch.baseline, "peak": watch.peak, "plan": planned}

    return run


def mercury(pores, folder, chunks, pressures):
    array = np.load(pores, mmap_mode="r")
    warm = stored(np.ascontiguousarray(array[:64, :64, :64]).astype(bool), folder, [32] * 3, "small")
    image = stored(rock(pores), folder, chunks)
    scale = {"preset": "mercury", "spacing": 1.0, "unit": "um"}

    def work():
        found = lx.drainage(image, **scale, store=f"{folder}/out", **QUIET)
        wanted = found.pressure_of(np.geomspace(found.diameters[0], 1.0, pressures), "psi")
        given = found.capillary_pressure("psi")
        curve = [found.saturation[np.searchsorted(given, p * (1 + 1e-9), side="right") - 1] for p in wanted]
        if not np.all(np.diff(curve) >= 0) or not 0.5 < curve[-1] <= 1:
            raise ValueError(f"saturations {curve} are no mercury curve")

    plan = lambda: lx.plan(lx.drainage, image, **scale, store=f"{folder}/out").memory  # noqa: E731
    return watched(lambda: lx.drainage(warm, **scale, store=f"{folder}/small out", **QUIET), plan, work)


def boxes(edge):
    """Boxes that lie apart, some of them across corners of chunks, and a line through the whole image."""
    step = edge // 8
    for k in range(1, 8):
        yield tuple(slice(k * step - k, k * step + k + 1) for _ in range(3))
    yield slice(0, 1), slice(edge - 1, edge), slice(0, edge)


def sparse(folder, chunks, edge):
    """Sizes of a few objects in an image beyond 2³¹ voxels, of which most chunks are not there."""

    def made(edge, name):
        image = lx.zeros((edge,) * 3, bool, chunks=tuple(chunks), store=f"{folder}/{name}")
        for box in boxes(edge):
            image[box] = True
        return image

    image, warm = made(edge, "image"), made(64, "small")

    def work():
        labels, table = lx.label(image, table=True, store=f"{folder}/out", **QUIET)
        expected = sorted(int(np.prod([s.stop - s.start for s in box])) for box in boxes(edge))
        if sorted(table.sizes.tolist()) != expected:
            raise ValueError(f"sizes {sorted(table.sizes.tolist())}, should be {expected}")
        last = (7 * edge // 8,) * 3
        if labels[tuple(slice(i, i + 1) for i in last)].item() != len(expected):
            raise ValueError(f"the label of {last} is not the last")

    plan = lambda: lx.plan(lx.label, image, table=True, store=f"{folder}/out").memory  # noqa: E731
    return watched(lambda: lx.label(warm, store=f"{folder}/small out", **QUIET), plan, work)


CALLS = {"labels": lx.label, "distance": lx.distance, "pore sizes": lx.pore_sizes}


def repeated(pores, folder, chunks, edge, what):
    """Pores of one image again and again, which are periodic, in an image of this edge."""
    tile = rock(pores)
    warm = stored(tile[:64, :64, :64].copy(), folder, [32] * 3, "small")
    image = lx.create((edge,) * 3, bool, chunks=tuple(chunks), store=f"{folder}/image")
    for box in (image.chunk_slices(n) for n in range(image.nchunks)):
        places = [np.arange(s.start, s.stop) % len(tile) for s in box]
        image[box] = tile[np.ix_(*places)]

    def small():
        for name in what:
            CALLS[name](warm, store=f"{folder}/small {name}", **QUIET)

    def work():
        for name in what:
            CALLS[name](image, store=f"{folder}/{name}", **QUIET)

    return watched(small, lambda: max(lx.plan(CALLS[n], image, store=f"{folder}/{n}").memory for n in what), work)


CASES = {
    "versions": versions,
    "distance": distance,
    "distance stored": distance_stored,
    "label": label,
    "label stored": label_stored,
    "watershed stored": watershed_stored,
    "thickness": thickness,
    "mercury": mercury,
    "sparse": sparse,
    "rock": repeated,
}
