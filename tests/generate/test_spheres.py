"""Rasterised spheres against the inequality itself, voxel by voxel, for every division into blocks."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from lithax.generate import finney_pack, rasterise_spheres
from lithax.geometry import Frame, Sphere


def brute_force(centers, radii, x, y, z):
    inside = np.zeros((len(x), len(y), len(z)), dtype=bool)
    for (cx, cy, cz), r in zip(centers, np.broadcast_to(radii, len(centers)), strict=True):
        dx, dy, dz = x[:, None, None] - cx, y[None, :, None] - cy, z[None, None, :] - cz
        inside |= dx * dx + (dy * dy + dz * dz) <= r * r
    return inside


def axes(frame):
    return [frame.axis_coordinates(axis) for axis in range(3)]


finite = st.floats(-10, 10)


@hypothesis.given(
    spheres=st.lists(st.tuples(finite, finite, finite, st.one_of(st.just(0.0), st.floats(0.01, 12))), max_size=6),
    shape=st.tuples(*[st.integers(1, 14)] * 3),
    length=st.tuples(*[st.floats(0.05, 5)] * 3),
    origin=st.tuples(finite, finite, finite),
)
def test_equals_the_inequality_at_every_voxel(spheres, shape, length, origin):
    table = np.array(spheres).reshape(-1, 4)
    points = axes(Frame(shape, length, origin))
    np.testing.assert_array_equal(
        rasterise_spheres(table[:, :3], table[:, 3], *points), brute_force(table[:, :3], table[:, 3], *points)
    )


@hypothesis.given(
    spheres=st.lists(st.tuples(*[st.integers(-2, 9)] * 3, st.integers(0, 7)), min_size=1, max_size=5),
    step=st.sampled_from([1.0, 0.5, 0.1]),
)
def test_ties_are_decided_by_the_inequality(spheres, step):
    """Centres on voxel centres and whole radii: many voxels lie exactly on a surface."""
    table = np.array(spheres, dtype=float) * step
    points = axes(Frame((8, 9, 10), step))
    result = rasterise_spheres(table[:, :3], table[:, 3], *points)
    np.testing.assert_array_equal(result, brute_force(table[:, :3], table[:, 3], *points))
    region = Sphere(table[0, :3], table[0, 3])
    one = rasterise_spheres(table[:1, :3], table[:1, 3], *points)
    np.testing.assert_array_equal(one, region.contains(*Frame((8, 9, 10), step).coordinates()))


@hypothesis.given(blocks=st.tuples(*[st.integers(9, 40)] * 3))
@hypothesis.example(blocks=(1, 40, 40))
@hypothesis.example(blocks=(40, 40, 1))
@hypothesis.settings(max_examples=8)
def test_identical_for_every_division_into_blocks(blocks):
    frame = Frame((40, 37, 33), (0.31, 0.33, 0.35), (-6.1, -5.0, -5.9))
    points = axes(frame)
    whole = rasterise_spheres(finney_pack(), 1.0, *points)
    parts = np.zeros_like(whole)
    for start in itertools.product(*(range(0, n, b) for n, b in zip(frame.shape, blocks, strict=True))):
        box = tuple(slice(s, min(s + b, n)) for s, b, n in zip(start, blocks, frame.shape, strict=True))
        parts[box] = rasterise_spheres(finney_pack(), 1.0, *(p[s] for p, s in zip(points, box, strict=True)))
    np.testing.assert_array_equal(parts, whole)


def test_finney_pack_against_the_inequality():
    points = axes(Frame((48, 40, 44), 0.21, -4.4))
    for radius in (0.8, 1.0, 1.3):
        np.testing.assert_array_equal(
            rasterise_spheres(finney_pack(), radius, *points), brute_force(finney_pack(), radius, *points)
        )


@pytest.mark.parametrize("count", [255, 256, 257, 512])
def test_any_number_of_spheres_may_overlap(count):
    """Overlaps are counted in small integers, which must not wrap round to none."""
    points = axes(Frame((5, 5, 5)))
    assert rasterise_spheres(np.full((count, 3), 2.0), 10.0, *points).all()


def test_many_sizes_in_one_pack(rng):
    centers = rng.uniform(-1, 11, size=(300, 3))
    radii = rng.lognormal(-1, 1, size=300)
    points = axes(Frame((21, 20, 19), 0.5))
    np.testing.assert_array_equal(rasterise_spheres(centers, radii, *points), brute_force(centers, radii, *points))


def test_periodic_space(rng):
    centers = rng.uniform(0, 6, size=(10, 3))
    frame = Frame((12, 12, 12), 0.5, 0.25)
    points = axes(frame)
    period = (6.0, 6.0, float("inf"))
    images = np.array([[6.0 * m, 6.0 * n, 0] for m in range(-2, 3) for n in range(-2, 3)])
    copies = (centers[:, None] + images[None]).reshape(-1, 3)
    expected = brute_force(copies, 1.7, *points)
    assert expected.mean() > brute_force(centers, 1.7, *points).mean()
    result = rasterise_spheres(centers, 1.7, *points, period=period)
    np.testing.assert_array_equal(result, expected)
    # a sphere larger than the period, and a block far from the centres
    shifted = [points[0] + 600.0, points[1] - 600.0, points[2]]
    np.testing.assert_array_equal(rasterise_spheres(centers, 1.7, *shifted, period=period), result)
    copies = (centers[:1, None] + images[None]).reshape(-1, 3)
    np.testing.assert_array_equal(
        rasterise_spheres(centers[:1], 7.0, *points, period=period), brute_force(copies, 7.0, *points)
    )


def test_coordinates_far_from_the_origin():
    centers = finney_pack()[:200] + 1e6
    points = [np.asarray(1e6 - 3 + 0.13 * np.arange(40)) for _ in range(3)]
    np.testing.assert_array_equal(rasterise_spheres(centers, 1.0, *points), brute_force(centers, 1.0, *points))


def test_no_sphere():
    assert not rasterise_spheres(np.zeros((0, 3)), 1.0, *axes(Frame((2, 3, 4)))).any()
    assert not rasterise_spheres(np.full((1, 3), 99.0), 1.0, *axes(Frame((2, 3, 4)))).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"centers": np.zeros((3, 2))}, "centers has shape"),
        ({"centers": np.full((2, 3), np.nan)}, "centers must be finite"),
        ({"radii": -1.0}, "radii=.*not negative"),
        ({"radii": np.ones(3)}, "radii has shape"),
        ({"x": np.array([0.0, 1.0, 3.0])}, "x must be evenly spaced"),
        ({"y": np.array([1.0, 0.0])}, "y must be evenly spaced and increasing"),
        ({"z": np.zeros((2, 2))}, "z has shape"),
        ({"period": (1, 0, 1)}, "period=.*positive"),
    ],
)
def test_refuses(arguments, message):
    good = {"centers": np.zeros((2, 3)), "radii": 1.0, "x": np.arange(3.0), "y": np.arange(2.0), "z": np.arange(2.0)}
    with pytest.raises(ValueError, match=message):
        rasterise_spheres(**good | arguments)


def test_finney_pack_is_what_was_measured():
    centers = finney_pack()
    assert centers.shape == (4021, 3)
    assert not centers.flags.writeable
    assert centers[0].tolist() == [-0.324554, 0.081522, -0.452144]
    assert np.linalg.norm(centers, axis=1).max() == pytest.approx(18.499, abs=1e-3)  # as its source states


@pytest.mark.parametrize(("edge", "porosity"), [(10, 0.3584), (14, 0.3601), (18, 0.3615), (20, 0.3625)])
def test_porosity_of_the_pack(edge, porosity):
    """Against Monte-Carlo values of the continuous pack, each known to 0.0008; cubes with faces at half their edge."""
    count = 120
    length = edge / count
    points = axes(Frame((count,) * 3, length, -edge / 2 + length / 2))
    found = 1 - rasterise_spheres(finney_pack(), 1.0, *points).mean()
    # Sampling at the voxel centres adds much less than the reference's own error.
    assert found == pytest.approx(porosity, abs=0.0016)
