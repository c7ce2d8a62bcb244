"""Regions on every array library: what they contain, how far away they are, how they are differentiated."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lithax.regions
from lithax.geometry import Box, Complement, Cylinder, HalfSpace, Intersection, Sphere, Union

SHAPES = {
    "sphere": Sphere((0.3, -0.2, 0.5), 1.3),
    "cylinder": Cylinder((0.1, 0.2, -0.3), (1.0, 2.0, -0.5), 0.9),
    "short cylinder": Cylinder((0.1, 0.2, -0.3), (1.0, 2.0, -0.5), 0.9, 1.7),
    "box": Box((-1.0, -0.5, -1.2), (0.7, 1.1, 0.4)),
    "half-space": HalfSpace((0.2, 0.1, 0.0), (1.0, -2.0, 0.5)),
}
COMBINED = {
    "union": SHAPES["sphere"] | SHAPES["box"],
    "intersection": SHAPES["sphere"] & SHAPES["half-space"],
    "complement": ~SHAPES["short cylinder"],
    "difference": SHAPES["box"] - SHAPES["cylinder"],
}


def surface(name, rng, count=60_000):
    """Points spread over the surface of a shape, made without its distance."""
    shape = SHAPES[name]
    if name == "sphere":
        direction = rng.normal(size=(count, 3))
        return shape.center + shape.radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    if name == "box":
        lower, upper = np.array(shape.lower), np.array(shape.upper)
        points = rng.uniform(lower, upper, size=(count, 3))
        face = rng.integers(0, 6, count)
        points[np.arange(count), face % 3] = np.where(face < 3, lower[face % 3], upper[face % 3])
        return points
    normal = np.array(shape.normal if name == "half-space" else shape.direction)
    normal /= np.linalg.norm(normal)
    first = np.cross(normal, (0.0, 0.0, 1.0))
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    if name == "half-space":
        a, b = rng.uniform(-6, 6, size=(2, count, 1))
        return np.array(shape.point) + a * first + b * second
    angle = rng.uniform(0, 2 * np.pi, size=(count, 1))
    half = 5.0 if math.isinf(shape.length) else shape.length / 2
    height, radius = rng.uniform(-half, half, size=(count, 1)), np.full((count, 1), shape.radius)
    if name == "short cylinder":
        end = rng.random((count, 1)) < 0.4
        height = np.where(end, np.sign(height) * half, height)
        radius = np.where(end, radius * np.sqrt(rng.random((count, 1))), radius)
    return np.array(shape.point) + height * normal + radius * (np.cos(angle) * first + np.sin(angle) * second)


@pytest.mark.parametrize("name", SHAPES)
def test_distance_is_that_to_the_nearest_of_many_points_of_the_surface(name, rng):
    points = rng.uniform(-2, 2, size=(200, 3))
    cloud = surface(name, rng)
    nearest = np.array([np.sqrt(np.min(np.sum((cloud - p) ** 2, axis=1))) for p in points])
    distance = SHAPES[name].signed_distance(*points.T)
    # The cloud is at most as near as the surface; its points are about 0.03 apart.
    assert np.all(nearest - np.abs(distance) > -1e-12)
    assert np.all(nearest - np.abs(distance) < 0.06)
    np.testing.assert_allclose(SHAPES[name].signed_distance(*cloud.T), 0, atol=1e-12)  # rounding


@pytest.mark.parametrize("name", SHAPES | COMBINED)
def test_contains_where_the_distance_is_negative(name, rng):
    region = (SHAPES | COMBINED)[name]
    x, y, z = rng.uniform(-2, 2, size=(3, 5000))
    np.testing.assert_array_equal(region.contains(x, y, z), region.signed_distance(x, y, z) <= 0)
    assert 0 < np.mean(region.contains(x, y, z)) < 1


@pytest.mark.parametrize("name", COMBINED)
def test_distance_of_a_combination_never_exceeds_the_true_one(name, rng):
    region = COMBINED[name]
    point = rng.uniform(-2, 2, size=(3, 300, 1))
    other = rng.uniform(-3, 3, size=(3, 1, 4000))
    distance = np.abs(region.signed_distance(*point))[:, 0]
    # Whatever is nearer than the distance lies on the same side.
    gap = np.where(region.contains(*point) != region.contains(*other), np.linalg.norm(point - other, axis=0), np.inf)
    assert np.all(distance <= gap.min(axis=1))


@pytest.mark.parametrize("name", SHAPES | COMBINED)
def test_every_library_gives_the_same(name, xp):
    region = (SHAPES | COMBINED)[name]
    axes = [np.linspace(-2, 2, n, dtype=np.float32) for n in (5, 6, 7)]
    shapes = ((5, 1, 1), (1, 6, 1), (1, 1, 7))
    points = [xp.reshape(xp.asarray(a), s) for a, s in zip(axes, shapes, strict=True)]
    reference = [a.reshape(s).astype(np.float64) for a, s in zip(axes, shapes, strict=True)]
    distance = region.signed_distance(*points)
    inside = region.contains(*points)
    assert tuple(distance.shape) == tuple(inside.shape) == (5, 6, 7)
    assert distance.dtype == xp.float32
    assert inside.dtype == xp.bool
    # float32 at coordinates of about 4, squared and rooted
    np.testing.assert_allclose(np.asarray(distance), region.signed_distance(*reference), atol=4e-6)
    clear = np.abs(region.signed_distance(*reference)) > 1e-5
    np.testing.assert_array_equal(np.asarray(inside)[clear], region.contains(*reference)[clear])


def test_strict_promotion_and_jit(strict_promotion):
    x = jnp.linspace(-2, 2, 4, dtype=jnp.float32)
    for region in (SHAPES | COMBINED).values():
        distance = jax.jit(region.signed_distance)(x, x, x)
        assert distance.dtype == jnp.float32
        assert eqx.filter_jit(lambda r, x: r.contains(x, x, x))(region, x).shape == (4,)


def test_integer_coordinates(xp):
    index = xp.asarray([0, 1, 2], dtype=xp.int32)
    assert np.asarray(Sphere((0, 0, 0), 1.5).contains(index, 0, 0)).tolist() == [True, True, False]


def test_plain_numbers():
    sphere = Sphere([1, 2, 3], 2)
    assert sphere.signed_distance(1, 2, 6) == 1.0
    assert sphere.contains(1, 2, 5)
    assert not (~sphere).contains(1, 2, 5)
    assert sphere.center == (1.0, 2.0, 3.0)
    assert isinstance(sphere.radius, float)
    assert isinstance(Sphere(np.array([1, 2, 3]), np.float32(2)).center[0], float)


def test_the_surface_belongs_to_the_region():
    assert Sphere((0, 0, 0), 5).contains(3, 4, 0)
    assert Cylinder((0, 0, 0), (0, 0, 7), 5).contains(3, 4, 1e6)
    assert Cylinder((0, 0, 0), (1, 1, 0), 2, math.sqrt(8)).contains(1, 1, 2)
    assert Box((0, 0, 0), (1, 1, 1)).contains(1, 0, 1)
    assert HalfSpace((0, 0, 1), (0, 0, 2)).contains(5, 5, 1)
    assert not (~Box((0, 0, 0), (1, 1, 1))).contains(1, 0, 1)
    assert not (Box((0, 0, 0), (2, 2, 2)) - Box((1, 0, 0), (2, 2, 2))).contains(1, 1, 1)


def test_a_finite_cylinder_is_centred_on_its_point():
    """The meaning that users of earlier tools know."""
    cylinder = Cylinder((0, 0, 10), (0, 0, -3), 1, length=4)
    assert cylinder.contains(0, 0, np.array([7.9, 8.0, 10.0, 12.0, 12.1])).tolist() == [False, True, True, True, False]


def test_a_normal_points_out_of_its_half_space():
    assert HalfSpace((0, 0, 1), (0, 0, 1)).contains(0, 0, 0)
    assert HalfSpace((0, 0, 1), (0, 0, 1)).signed_distance(0, 0, 3) == 2.0


def test_algebra(rng):
    a, b, c = SHAPES["sphere"], SHAPES["box"], SHAPES["half-space"]
    points = rng.uniform(-2, 2, size=(3, 1000))
    inside = {name: r.contains(*points) for name, r in (("a", a), ("b", b), ("c", c))}
    np.testing.assert_array_equal((a | b | c).contains(*points), inside["a"] | inside["b"] | inside["c"])
    np.testing.assert_array_equal((a & b & c).contains(*points), inside["a"] & inside["b"] & inside["c"])
    np.testing.assert_array_equal((a - b).contains(*points), inside["a"] & ~inside["b"])
    assert len((a | b | c).regions) == 3
    assert isinstance(a & b, Intersection)
    assert isinstance(~a, Complement)
    assert ~~a is a
    assert (a | b) == Union((a, b))
    with pytest.raises(TypeError):
        a | 3


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Sphere((0, 0, 0), -1), ValueError, "radius=-1.0 must be one number, not negative"),
        (lambda: Sphere((0, 0, 0), math.nan), ValueError, "radius=nan"),
        (lambda: Sphere((0, 0), 1), ValueError, "center=.*three components"),
        (lambda: Sphere((0, math.nan, 0), 1), ValueError, "center=.*finite"),
        (lambda: Sphere(jnp.zeros(2), 1), ValueError, "center=.*three components"),
        (lambda: Sphere((0, 0, 0), jnp.asarray(-1.0)), ValueError, "radius=.*not negative"),
        (lambda: Cylinder((0, 0, 0), (0, 0, 0), 1), ValueError, r"direction=\(0.0, 0.0, 0.0\) must not be zero"),
        (lambda: Cylinder((0, 0, 0), (0, 0, 1), 1, -2), ValueError, "length=-2.0 must be one number, not negative"),
        (lambda: Cylinder((0, 0, 0), (0, 0, 1), -1), ValueError, "radius=-1.0"),
        (lambda: Box((0, 0, 0), (1, -1, 1)), ValueError, "lower=.*must not exceed upper="),
        (lambda: Box((0, 0, math.nan), (1, 1, 1)), ValueError, "lower=.*must not exceed"),
        (lambda: HalfSpace((0, 0, 0), (0, 0, 0)), ValueError, "normal=.*must not be zero"),
        (lambda: Union(()), TypeError, "regions="),
    ],
)
def test_refuses(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_immutable_and_printable():
    sphere = SHAPES["sphere"]
    with pytest.raises(AttributeError):
        sphere.radius = 2.0
    assert repr(sphere) == "Sphere(center=(0.3, -0.2, 0.5), radius=1.3)"
    assert hash(sphere) == hash(Sphere((0.3, -0.2, 0.5), 1.3))


def arrays(region):
    """The region with JAX arrays for parameters."""
    return jax.tree.map(jnp.asarray, region)


@pytest.mark.parametrize("name", SHAPES | COMBINED)
def test_gradients_are_those_of_finite_differences(name, rng):
    region = (SHAPES | COMBINED)[name]
    points = rng.uniform(-2, 2, size=(3, 50))
    weights = rng.normal(size=50)
    leaves, structure = jax.tree.flatten(region)
    finite = np.isfinite(leaves)

    def loss(values):
        moved = jax.tree.unflatten(structure, list(values))
        return (weights * moved.signed_distance(*points)).sum()

    with jax.enable_x64():
        both = jax.jit(lambda values: (jax.grad(loss)(values), jax.jacfwd(loss)(values)))
        reverse, forward = map(np.asarray, both(jnp.asarray(leaves)))
    step = 1e-6
    for leaf in np.flatnonzero(finite):
        shift = np.zeros(len(leaves))
        shift[leaf] = step
        slope = (loss((leaves + shift).tolist()) - loss((leaves - shift).tolist())) / (2 * step)
        # central differences: rounding 1e-16 * 50 / 1e-6, truncation 1e-12 times third derivatives
        np.testing.assert_allclose([reverse[leaf], forward[leaf]], slope, atol=1e-6, rtol=1e-6)
    assert np.all(np.isfinite(reverse[finite]))


@pytest.mark.parametrize(
    ("region", "point"),
    [
        (Sphere((1, 2, 3), 1), (1, 2, 3)),
        (Cylinder((0, 0, 0), (0, 0, 1), 1), (0, 0, 5)),
        (Cylinder((0, 0, 0), (0, 0, 1), 1, 2), (0, 0, 0)),
        (Cylinder((0, 0, 0), (0, 0, 1), 1, 2), (1, 0, 1)),
        (Box((-1, -1, -1), (1, 1, 1)), (0, 0, 0)),
        (Box((-1, -1, -1), (1, 1, 1)), (1, 1, 1)),
        (Box((-math.inf, -1, -1), (math.inf, 1, 1)), (0, 0, 0)),
        (Sphere((0, 0, 0), 1) | Sphere((0, 0, 0), 1), (0, 0, 0)),
    ],
)
def test_no_nan_at_centres_axes_and_edges(region, point):
    point = tuple(map(float, point))
    assert all(np.isfinite(jax.grad(region.signed_distance, argnums=(0, 1, 2))(*point)))
    gradient = jax.grad(lambda r: r.signed_distance(*point))(arrays(region))
    assert not any(np.isnan(leaf) for leaf in jax.tree.leaves(gradient))


def test_vmap_over_many_spheres(rng):
    centers, radii = rng.normal(size=(4, 3)), rng.uniform(0.5, 1, size=4)
    x = jnp.linspace(-1, 1, 5)
    many = jax.vmap(lambda c, r: Sphere(c, r).contains(x, 0.0, 0.0))(jnp.asarray(centers), jnp.asarray(radii))
    for row, center, radius in zip(many, centers, radii, strict=True):
        np.testing.assert_array_equal(row, Sphere(center, radius).contains(np.asarray(x), 0.0, 0.0))


def test_torch_gradient():
    torch = pytest.importorskip("torch", reason="pip install torch")
    center = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([3.0, 0.0], dtype=torch.float64)
    Sphere(center, 1.0).signed_distance(x, 4.0, 0.0).sum().backward()
    np.testing.assert_allclose(center.grad.numpy(), [-0.6, -0.8 - 1.0, 0.0], rtol=1e-15)  # rounding
    jacobian = torch.func.grad(lambda r: Sphere((0.0, 0.0, 0.0), r).signed_distance(x, 4.0, 0.0).sum())
    assert jacobian(torch.tensor(1.0, dtype=torch.float64)) == -2.0


def test_regions_are_re_exported():
    for name in ("Sphere", "Cylinder", "Box", "HalfSpace", "Union", "Intersection", "Complement", "AbstractRegion"):
        assert getattr(lithax.regions, name) is getattr(lithax.geometry, name)
