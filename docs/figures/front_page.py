"""Draw ``docs/_static/front.png``: a simulated scan of a measured sphere pack, and the grains that lithax finds in it.

``python docs/figures/front_page.py`` draws it again, in about two minutes. On the left of the cut the faces of the cube
show the grey levels of the scan; on the right the segmentation is seen, grains lit from above, pores empty.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

import lithax as lx
from lithax.generate import simulated_ct

VOXELS, RADII = 240, 10.0  # edge of the cube [voxel], [sphere radius]
PIXELS = 2000  # of the square that is traced; the picture has half as many, which smooths its edges
GRAIN = np.array([214, 160, 102]) / 255
CUT = np.array([232, 190, 140]) / 255


@lx.voxel_op(context=True)
def detector(fraction, *, block):
    """Grey levels of 16 bits with noise, as a scanner would write them."""
    i, j, k = block.index(fraction)
    return simulated_ct(fraction, i, j, k, seed=block.seed, pore=20_000, grain=40_000, noise=0.12)


def scanned_and_segmented():
    """Return the scan, the voxels taken for grain, and a smooth field whose gradient is the normal of the grains."""
    half = RADII / 2
    pack = lx.sphere_pack(
        (VOXELS,) * 3, "f4", xlim=(-half, half), ylim=(-half, half), zlim=(-half, half), limits="faces"
    )
    scan = lx.chunk_map(lx.chain(partial(lx.ops.gaussian, sigma=0.7), detector), pack, seed=1)
    filtered = lx.chunk_map(lx.ops.median, scan, radius=1)
    grains = lx.chunk_map(lx.ops.threshold, filtered, value=lx.measure.otsu(filtered))
    print(f"porosity {1 - lx.measure.porosity(grains).porosity:.4f}, of the pack {1 - lx.measure.mean(pack):.4f}")
    smooth = lx.chunk_map(lx.ops.gaussian, grains, sigma=1.5)
    return np.asarray(scan), np.asarray(grains), np.asarray(smooth)


def rays():
    """Return the points where parallel rays enter the cube, and their direction, for an isometric view."""
    towards = -np.array([1.0, 1.0, 0.82])
    towards /= np.linalg.norm(towards)
    across = np.cross(towards, [0, 0, 1.0])
    across /= np.linalg.norm(across)
    up = np.cross(across, towards)
    reach = 0.86 * VOXELS
    ticks = np.linspace(-reach, reach, PIXELS)
    middle = np.full(3, (VOXELS - 1) / 2)
    start = middle + ticks[None, :, None] * across + ticks[::-1, None, None] * up - 1.0 * VOXELS * towards
    return start.reshape(-1, 3), towards, up, across


def march(scan, grains, smooth):
    """Follow every ray to the first voxel that it sees, and light it."""
    start, towards, up, across = rays()
    light = up + 0.75 * across - 0.55 * towards
    light /= np.linalg.norm(light)
    color = np.ones((len(start), 4))
    color[:, 3] = 0.0
    alive = np.arange(len(start))
    step, last = 0.5, np.zeros(len(start), bool)
    low, high = np.percentile(scan, [1, 99])
    for n in range(int(2.2 * VOXELS / step)):
        points = start[alive] + n * step * towards
        index = np.round(points).astype(int)
        inside = np.all((index >= 0) & (index < VOXELS), axis=1)
        gone = last[alive] & ~inside
        i, j, k = index[inside].T
        left = i > j  # the half to the left of the cut, seen from this side
        seen = np.zeros(len(alive), bool)
        seen[inside] = left | grains[i, j, k]
        entering = ~last[alive]
        last[alive] |= inside
        rows = np.flatnonzero(seen)
        if rows.size:
            at, who = index[rows], alive[rows]
            i, j, k = at.T
            grey = i > j
            value = np.clip((scan[i, j, k] - low) / (high - low), 0, 1)
            face = np.argmin(np.abs(points[rows] - np.where(at == VOXELS - 1, VOXELS - 1, np.inf)), axis=1)
            shade = np.array([0.86, 0.72, 1.0])[face]
            grey_rgb = (shade * (0.06 + 0.9 * value))[:, None] * np.ones(3)
            normal = -np.stack([ndimage.map_coordinates(g, points[rows].T, order=1, mode="nearest") for g in smooth], 1)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
            lit = np.clip(normal @ light, 0, 1)
            depth = np.exp(-(VOXELS - 1 - at).min(axis=1) / 90)
            round_rgb = GRAIN * ((0.26 + 0.86 * lit) * (0.45 + 0.55 * depth))[:, None]
            flat_rgb = CUT * (shade * 0.98)[:, None]
            cut = entering[rows]
            rgb = np.where(grey[:, None], grey_rgb, np.where(cut[:, None], flat_rgb, round_rgb))
            color[who, :3], color[who, 3] = np.clip(rgb, 0, 1), 1.0
        alive = alive[~(seen | gone)]
    return color.reshape(PIXELS, PIXELS, 4)


def main():
    from matplotlib import image

    scan, grains, smooth = scanned_and_segmented()
    picture = march(scan, grains, np.gradient(smooth))
    rows, columns = np.flatnonzero(picture[..., 3].any(1)), np.flatnonzero(picture[..., 3].any(0))
    picture = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    quads = picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2].reshape(len(picture) // 2, 2, -1, 2, 4)
    weight = quads[..., 3:].mean((1, 3))
    mean = np.concatenate([(quads[..., :3] * quads[..., 3:]).mean((1, 3)) / np.maximum(weight, 1e-9), weight], -1)
    image.imsave(Path(__file__).parent.parent / "_static" / "front.png", np.clip(mean, 0, 1))


if __name__ == "__main__":
    main()
