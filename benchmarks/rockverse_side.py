"""RockVerse's side of the comparison, in its own environment: alone, or under mpiexec with several processes."""

import shutil
from functools import partial

import dual_energy as dual_energy_data
import numba
import numpy as np
import rockverse
import zarr
from rockverse.dect._cpu_functions import calc_rhoZ_arrays_cpu, fill_coeff_matrix_cpu
from rockverse.voxel_image import from_array, import_raw, sphere_pack
from rockverse.voxel_image.histogram import Histogram
from shared_requests import from_first

world = rockverse.mpi_comm
first = world.Get_rank() == 0
barrier = world.barrier
share = partial(from_first, world)


def versions():
    return lambda: {
        "rockverse": rockverse.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "zarr": zarr.__version__,
    }


def without(folder):
    """Remove the last result, so that its removal is not timed."""
    return lambda: shutil.rmtree(f"{folder}/image", ignore_errors=True) if first else None


LITHAX = [zarr.codecs.BloscCodec(cname="lz4", clevel=5)]  # what lithax compresses with by default


def stored(values, folder, chunks, name="image", compress="own"):
    codec = {"own": {}, "lithax": {"compressors": LITHAX}}[compress]
    array = np.load(values, mmap_mode="r")
    return from_array(array, store=f"{folder}/{name}", chunks=tuple(chunks), overwrite=True, **codec)


def add(values, folder, chunks, compress="own"):
    image = stored(values, folder, chunks, compress=compress)
    return lambda: image.math(1, "add")


def histogram(values, folder, chunks, bins, phases=None):
    image = stored(values, folder, chunks)
    segmentation = None if phases is None else stored(phases, folder, chunks, "phases")
    # An integer `bins` is its number of edges, so that n bins take n + 1.
    return lambda: {"counted": int(Histogram(image, bins=bins + 1, segmentation=segmentation).count["full"].sum())}


def raw_import(raw, folder, chunks, shape, dtype):
    def run():
        import_raw(raw, tuple(shape), dtype, store=f"{folder}/image", chunks=tuple(chunks))

    return without(folder), run


def spheres(folder, chunks, shape):
    def run():
        sphere_pack(tuple(shape), store=f"{folder}/image", chunks=tuple(chunks))

    return without(folder), run


def dual_energy(voxels, draws):
    """RockVerse's own inner function and its quartiles, without its reading, writing and messages."""
    low, high = dual_energy_data.rockverse_rows(dual_energy_data.coefficients(draws))
    scans = dual_energy_data.voxels(voxels)
    standards = [density for density, _ in dual_energy_data.STANDARDS]

    def run():
        found = []
        for a, b in zip(*scans, strict=True):
            density, number, error = calc_rhoZ_arrays_cpu(draws, low, high, a, b, *standards, 1e-12)
            valid = error < 1e-12
            quartiles = [np.percentile(v[valid], (25, 50, 75)) for v in (density, number)]
            found.append((quartiles[0][1], quartiles[1][1], valid.mean()))
        density, number, valid = np.transpose(found)
        return dual_energy_data.medians(density, number) | {"valid": float(valid.mean())}

    return run


def coefficients(draws):
    """RockVerse's own inner function for both energies, with its defaults, without what its caller does around it."""
    materials = [dual_energy_data.atoms(formula) for _, formula in dual_energy_data.MATERIALS]
    densities = [
        2 * density * (atoms[:, 2] @ atoms[:, 0]) / (atoms[:, 2] @ atoms[:, 1])
        for (density, _), atoms in zip(dual_energy_data.MATERIALS, materials, strict=True)
    ]
    limits = np.array([*densities, 2000.0, 1500.0, 30.0, 1e-12])
    unused = np.zeros(2)

    def run():
        valid = []
        for energy in (0, 1):
            means = [0.0, *dual_energy_data.levels()[:, energy]]
            gaussians = [np.array([mean, dual_energy_data.DEVIATION]) for mean in means]
            tables = [table for gaussian in gaussians for table in (gaussian, unused)]
            rows = np.full((draws, 11), np.nan)
            fill_coeff_matrix_cpu(rows, *materials, limits, *tables)
            valid.append(rows[:, -1] < 1e-12)
        return {"valid": float(np.mean(valid[0] & valid[1]))}

    return run


CASES = {
    "coefficients": coefficients,
    "dual energy": dual_energy,
    "versions": versions,
    "add": add,
    "histogram": histogram,
    "raw import": raw_import,
    "spheres": spheres,
}
