"""A network applied block by block is the network of the whole array; what cannot be is refused by name."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lithax as lx
from lithax.arrays import to_numpy
from lithax.ops._network import receptive_field

SHAPE = (22, 18, 20)


def drawn(kind, *sizes, seed, **options):
    """Return a layer with weights that NumPy draws: JAX would compile a generator for every shape of them."""
    layer = eqx.filter_eval_shape(lambda: kind(*sizes, key=jax.random.key(0), **options))
    draw = np.random.default_rng(seed).uniform

    def weights(part):
        bound = 1 / np.sqrt(max(np.prod(part.shape[1:]), 1))
        return jnp.asarray(draw(-bound, bound, part.shape), part.dtype)

    return jax.tree.map(weights, layer)


def conv(inputs, outputs, size, seed, **options):
    return drawn(eqx.nn.Conv3d, inputs, outputs, size, seed=seed, **options)


def function(fn):
    return eqx.nn.Lambda(fn)


class Layers(eqx.Module):
    """Layers one after another; equinox's own Sequential passes keys."""

    layers: list

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Hourglass(eqx.Module):
    """A network that halves the grid, goes back, and joins what it left out on the way."""

    first: eqx.nn.Conv3d
    down: eqx.nn.MaxPool3d
    middle: eqx.nn.Conv3d
    up: eqx.nn.ConvTranspose3d
    last: eqx.nn.Conv3d

    def __init__(self):
        self.first = conv(1, 3, 3, 0, padding=1)
        self.down = eqx.nn.MaxPool3d(2, 2)
        self.middle = conv(3, 4, 3, 1, padding=1)
        self.up = drawn(eqx.nn.ConvTranspose3d, 4, 3, 2, seed=2, stride=2)
        self.last = conv(6, 2, 3, 3, padding=1)

    def __call__(self, x):
        fine = jax.nn.relu(self.first(x))
        coarse = jax.nn.gelu(self.middle(self.down(fine)))
        return jax.nn.log_softmax(self.last(jnp.concatenate([fine, self.up(coarse)])), axis=0)


PADDED = Layers([
    conv(1, 4, 3, 0, padding=1), function(jax.nn.relu), conv(4, 3, 3, 1, padding=2, dilation=2), function(jax.nn.elu),
    eqx.nn.MaxPool3d(3, 1, padding=1), eqx.nn.Dropout(0.5, inference=True), eqx.nn.AvgPool3d((1, 1, 3), 1, padding=(0, 0, 1)),
])  # fmt: skip
UNPADDED = Layers([conv(1, 4, (3, 1, 5), 0), function(jnp.tanh), conv(4, 2, 3, 1)])
NETWORKS = {"padded": PADDED, "unpadded": UNPADDED, "hourglass": Hourglass()}
RADII = {"padded": (4, 4, 5), "unpadded": (2, 1, 3), "hourglass": (5, 5, 5)}
"""By hand. Padded: 1 + 2 + 1, and one more along z. Unpadded: halves of 3 + 3, 1 + 3 and 5 + 3, less one each. Hourglass:
1 + 1 for the fine layers, and 2 for a coarse neighbour, which pools 2: from the odd voxel of a pair 3 to the left."""


@pytest.fixture(scope="module")
def grey():
    return np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def on_the_whole(grey):
    """What a network gives for the whole array, compiled once for each."""
    return functools.cache(lambda name: whole_scores(name, grey))


def whole_scores(name, grey):
    pad = ((0, 0), *((r, r) for r in (RADII[name] if name == "unpadded" else (0, 0, 0))))
    return np.asarray(jax.jit(lambda x: NETWORKS[name](x))(np.pad(grey[None], pad, mode="symmetric")))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_receptive_field_follows_from_the_layers(name):
    assert receptive_field(NETWORKS[name]).radius == RADII[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_radius_is_enough_and_needed(name, grey):
    run = jax.jit(lambda x: NETWORKS[name](x))
    middle, radius = 10, RADII[name]
    lost = receptive_field(NETWORKS[name]).shrink
    reached = np.zeros(3, int)
    for parity in (0, 1):
        at = (slice(None), *(middle + parity - s for s in lost))
        x = jnp.asarray(np.pad(grey, 4, mode="wrap"))[None, :24, :24, :24]
        slope = jax.grad(lambda x, at=at: jnp.sum(run(x)[at] ** 2))(x)[0]
        for axis in range(3):
            along = np.abs(np.asarray(slope)).sum(axis=tuple(a for a in range(3) if a != axis))
            far = np.abs(np.flatnonzero(along) - middle - parity).max()
            assert far <= radius[axis]
            reached[axis] = max(reached[axis], far)
    if name != "hourglass":  # the mean of relu and maximum leaves some voxels out, by chance
        assert (reached >= np.asarray(radius) - 1).all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "chunks",
    [(13, 7, 9), *(pytest.param(c, marks=pytest.mark.slow) for c in ((8, 8, 8), (22, 18, 20)))],
    ids=str,
)
def test_every_grid_gives_the_network_of_the_whole_array(name, chunks, grey, on_the_whole):
    expected = on_the_whole(name)
    image = lx.from_array(grey, chunks=chunks)
    scores = lx.chunk_map(lx.ops.network, image, model=NETWORKS[name], output="score", progress=False)
    # A convolution may add its products in another order for another shape: 4 ulp of the largest score.
    tolerance = 4 * np.spacing(np.abs(expected).max())
    for found, truth in zip(scores, expected, strict=True):
        np.testing.assert_allclose(found[...], truth, rtol=0, atol=tolerance)


def test_classes_and_probabilities(xp, grey, on_the_whole):
    scores = on_the_whole("padded")
    given = xp.asarray(grey)
    classes = lx.ops.network(given, model=PADDED)
    assert classes.dtype == xp.uint8
    np.testing.assert_array_equal(to_numpy(classes), scores.argmax(axis=0))
    shares = [to_numpy(s) for s in lx.ops.network(given, model=PADDED, output="probability")]
    np.testing.assert_allclose(np.stack(shares), np.asarray(jax.nn.softmax(scores, axis=0)), rtol=1e-5)
    single = Layers([conv(2, 1, 1, 4)])
    score = lx.ops.network(given, given, model=single, output="score")
    np.testing.assert_array_equal(to_numpy(lx.ops.network(given, given, model=single)), to_numpy(score) > 0)


def test_gradient_in_voxels_and_weights(grey):
    def score(x, model):
        parts = lx.ops.network(x, model=model, output="probability")
        return jnp.sum(parts[0] * jnp.arange(x.shape[2]))

    with jax.enable_x64(True):
        x = jnp.asarray(grey[:7, :6, :8], jnp.float64)
        model = jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_array(a) else a, UNPADDED)
        arrays, fixed = eqx.partition(model, eqx.is_array)
        run = jax.jit(lambda x, a: score(x, eqx.combine(a, fixed)))
        direction = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (x, arrays))
        slope = jax.jvp(run, (x, arrays), direction)[1]
        step = 1e-5
        ahead = [run(*jax.tree.map(lambda a, d, s=s: a + s * d, (x, arrays), direction)) for s in (step, -step)]
        # Central differences: an error of step squared times a third derivative of the order of the value.
        np.testing.assert_allclose(slope, (ahead[0] - ahead[1]) / (2 * step), rtol=1e-6)


REFUSED = {
    "GroupNorm": ([conv(1, 4, 3, 0), eqx.nn.GroupNorm(2, 4)], "GroupNorm"),
    "BatchNorm": ([conv(1, 4, 3, 0), eqx.nn.BatchNorm(4, "batch", mode="batch")], "BatchNorm"),
    "adaptive pooling": ([conv(1, 4, 3, 0), eqx.nn.AdaptiveAvgPool3d(1)], "AdaptiveAvgPool3d"),
    "mean": ([conv(1, 4, 3, 0), function(lambda x: x - x.mean(axis=(1, 2, 3), keepdims=True))], "'reduce_sum' over all of x, y, z"),
    "cumulative": ([conv(1, 4, 3, 0), function(lambda x: jnp.cumsum(x, axis=2))], "'cumsum' along x, y or z"),
    "mirror": ([conv(1, 4, 3, 0), function(lambda x: x[:, ::-1])], "'rev' along x, y or z"),
    "replicated padding": ([conv(1, 4, 3, 0, padding=1, padding_mode="REPLICATE")], "'slice' along x, y or z"),
    "positions": ([conv(1, 4, 1, 0), function(lambda x: x + jnp.arange(x.shape[3]))], "differs from place to place"),
    "coarser": ([conv(1, 4, 2, 0, stride=2)], "one class per voxel"),
    "between voxels": ([conv(1, 4, 2, 0)], "between voxels"),
    "two dimensions": ([drawn(eqx.nn.Conv2d, 1, 4, 3, seed=0)], "Conv3d"),
    "no channels": ([function(jnp.tanh)], "in_channels"),
    "no voxels": ([conv(1, 4, 1, 0), function(jnp.zeros_like)], "does not depend on the voxels"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_at_the_whole_image_is_refused_by_name(name, grey):
    layers, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        lx.chunk_map(lx.ops.network, lx.from_array(grey), model=Layers(layers), progress=False)


def test_other_mistakes_are_named(grey):
    with pytest.raises(ValueError, match=r"2 arrays were given to a network of 1 channels"):
        lx.ops.network(grey, grey, model=PADDED)
    with pytest.raises(ValueError, match="output='classes' is not known"):
        lx.ops.network(grey, model=PADDED, output="classes")
    with pytest.raises(ValueError, match=r"does not take an image of shape \(21, 18, 20\).*multiple of \(2, 2, 2\)"):
        lx.ops.network(grey[1:], model=NETWORKS["hourglass"])
    with pytest.raises(ValueError, match="no masked form"):
        lx.chunk_map(lx.ops.network, lx.from_array(grey), model=PADDED, where=grey > 0, progress=False)
