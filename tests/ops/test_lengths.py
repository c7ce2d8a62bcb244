"""Lengths with a unit: the voxels of the image decide, along each axis, what a filter does."""

from functools import partial

import numpy as np
import pytest

import lithax as lx
from lithax import ops
from lithax.testing import assert_same_bits

CUBES, PLATES = (2.5, 2.5, 2.5), (2.5, 2.5, 5.0)  # um
GREY = np.random.default_rng(0).random((9, 8, 7))
SAME = [  # with units, in voxels of 2.5 x 2.5 x 5 um
    (ops.gaussian, {"sigma": "5 um"}, {"sigma": (2.0, 2.0, 1.0)}),
    (ops.gaussian, {"sigma": "0.005mm", "radius": "9.9 um"}, {"sigma": (2, 2, 1), "radius": (3, 3, 1)}),
    (ops.gaussian, {"sigma": (1.0, "2500 nm", "5e-6 m")}, {"sigma": (1.0, 1.0, 1.0)}),
    (ops.gaussian_derivative, {"sigma": "5 um", "order": 1, "spacing": "image"},
     {"sigma": (2, 2, 1), "order": 1, "spacing": PLATES}),
    (ops.gradient_magnitude, {"spacing": "image"}, {"spacing": PLATES}),
    (ops.derivative, {"axis": "z", "spacing": "image"}, {"axis": "z", "spacing": 5.0}),
    (ops.laplacian, {"spacing": "image"}, {"spacing": PLATES}),
    (ops.hessian_eigenvalues, {"sigma": "5 um", "spacing": "image"}, {"sigma": (2, 2, 1), "spacing": PLATES}),
    (ops.structure_tensor_eigenvalues, {"sigma": "5 um"}, {"sigma": (2, 2, 1)}),
    (ops.bilateral, {"sigma_color": 0.2, "sigma_spatial": "5 um", "radius": "5 um"},
     {"sigma_color": 0.2, "sigma_spatial": (2, 2, 1), "radius": (2, 2, 1)}),
    (ops.non_local_means, {"h": 0.2, "patch_size": "7.5 um", "patch_distance": "5 um"},
     {"h": 0.2, "patch_size": (3, 3, 1), "patch_distance": (2, 2, 1)}),
    (ops.median, {"radius": "5 um", "footprint": "ball"}, {"radius": (2, 2, 1), "footprint": "ball"}),
    (ops.percentile, {"percentile": 30, "size": "12.5 um"}, {"percentile": 30, "size": (5, 5, 3)}),
    (ops.rank, {"rank": 1, "radius": "5 um"}, {"rank": 1, "radius": (2, 2, 1)}),
    (ops.minimum, {"radius": "5 um"}, {"radius": (2, 2, 1)}),
    (ops.maximum, {"size": "7.5 um"}, {"size": (3, 3, 1)}),
    (ops.uniform, {"size": "7.5 um"}, {"size": (3, 3, 1)}),
    (ops.local_standard_deviation, {"radius": "5 um"}, {"radius": (2, 2, 1)}),
    (ops.local_entropy, {"range": (0, 1), "radius": "5 um"}, {"range": (0, 1), "radius": (2, 2, 1)}),
    (ops.adaptive, {"block_size": "12.5 um", "sigma": "5 um"}, {"block_size": (5, 5, 3), "sigma": (2, 2, 1)}),
    (ops.niblack, {"window_size": "12.5 um"}, {"window_size": (5, 5, 3)}),
    (ops.sauvola, {"window_size": "12.5 um", "r": 1}, {"window_size": (5, 5, 3), "r": 1}),
    (ops.local_threshold, {"window_size": "12.5 um"}, {"window_size": (5, 5, 3)}),
    (ops.unsharp_mask, {"radius": "5 um"}, {"radius": (2, 2, 1)}),
    (ops.sato, {"sigmas": ("2.5 um", 2.0)}, {"sigmas": ((1.0, 1.0, 0.5), 2.0)}),
    (ops.frangi, {"sigmas": "2.5 um", "gamma": 1.0}, {"sigmas": ((1.0, 1.0, 0.5),), "gamma": 1.0}),
    (ops.erosion, {"radius": "5 um"}, {"radius": (2.0, 2.0, 1.0)}),
    (ops.dilation, {"radius": "4 um"}, {"radius": (1.6, 1.6, 0.8)}),
    (ops.opening, {"radius": "5 um"}, {"radius": (2, 2, 1)}),
    (ops.remove_zingers, {"threshold": 0.2, "radius": "5 um"}, {"threshold": 0.2, "radius": (2, 2, 1)}),
]  # fmt: skip
ALIKE = [  # in cubes of 2.5 um only
    (ops.features, {"sigmas": ("2.5 um",)}, {"sigmas": (1.0,)}),
    (ops.tensor_diffusion, {"contrast": 0.2, "sigma": "2.5 um", "rho": "5 um"},
     {"contrast": 0.2, "sigma": 1.0, "rho": 2.0}),
]  # fmt: skip


def made(op, image, parameters):
    out = lx.chunk_map(op, image, **parameters, backend="numpy", progress=False)
    return [o[...] for o in out] if isinstance(out, tuple) else [out[...]]


@pytest.mark.parametrize(("op", "lengths", "voxels"), SAME + ALIKE, ids=lambda v: getattr(v, "name", None))
def test_the_same_as_in_voxels(op, lengths, voxels):
    cubes = any(op is row[0] for row in ALIKE)
    image = lx.from_array(GREY, voxel_length=CUBES if cubes else PLATES, voxel_unit="um")
    for a, b in zip(made(op, image, lengths), made(op, image, voxels), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)  # 0.005 mm are 5 um to rounding
    if cubes:
        with pytest.raises(ValueError, match=r"same in all directions, but a voxel is 2\.5 x 2\.5 x 5 um; resample"):
            made(op, lx.from_array(GREY, voxel_length=PLATES, voxel_unit="um"), lengths)
    with pytest.raises(ValueError, match=r"known only with the voxels of an image; give numbers"):
        op(GREY, **lengths)


def test_every_length_is_tested():
    names = {"sigmas", "sigma_spatial", "radius", "size", "win_size", "window_size", "block_size", "spacing", "rho"}
    tested = {op.name for op, *_ in SAME + ALIKE}
    for op in vars(ops).values():
        if isinstance(op, ops.VoxelOp):
            assert not names & op._parameters.keys() - op.lengths.keys(), f"{op.name}: lengths are not declared"
            assert not op.lengths or op.name in tested | {"guided"}  # which takes two arrays


def test_a_point_spreads_alike_in_all_directions():
    """The variance of a smoothed point is sigma squared, in um² along every axis, whatever the voxels."""
    x = np.zeros((41, 41, 41))
    x[20, 20, 20] = 1
    image = lx.from_array(x, voxel_length=(2.0, 3.0, 1.5), voxel_unit="um")
    smooth = made(ops.gaussian, image, {"sigma": "6 um"})[0]
    for axis, h in enumerate(image.voxel_length):
        along = smooth.sum(axis=tuple(a for a in range(3) if a != axis))
        variance = (along * ((np.arange(41) - 20) * h) ** 2).sum()
        # Cut off at four standard deviations, a Gaussian has lost 0.1 % of its variance.
        assert variance == pytest.approx(36.0, rel=2e-3)


def test_chains_measurements_and_classifiers_take_lengths():
    image = lx.from_array(GREY, voxel_length=CUBES, voxel_unit="um")
    chain = lx.chain(partial(ops.median, radius="2.5 um"), lambda v: v * 2.0, partial(ops.gaussian, sigma="2.5 um"))
    same = lx.chain(partial(ops.median, radius=1), lambda v: v * 2.0, partial(ops.gaussian, sigma=1.0))
    assert_same_bits(made(chain, image, {})[0], made(same, image, {})[0])
    means = [
        lx.chunk_reduce(lx.measure.Moments(), image, fn=fn, backend="numpy").standard_deviation for fn in (chain, same)
    ]
    assert means[0] == means[1]
    labels = np.where(GREY > 0.9, 2, GREY < 0.1).astype("u1")
    classifier = lx.train_classifier(image, labels, sigmas=("2.5 um",), kinds=("gaussian",))
    coarse = lx.from_array(GREY, voxel_length=5.0, voxel_unit="um")
    assert list(classifier.importances) == ["grey", "gaussian, 2.5 um"]
    in_voxels = ops.features(GREY, sigmas=(0.5,), kinds=("gaussian",))
    wanted = ops.classify_by_trees(*in_voxels, trees=classifier.trees)
    assert_same_bits(made(classifier.classify, coarse, {})[0], wanted)


@pytest.mark.parametrize(
    ("parameters", "unit", "message"),
    [
        ({"sigma": "wide"}, "um", r"sigma='wide' of gaussian\(\) is no length; give numbers of voxels"),
        ({"sigma": "5"}, "um", "is no length; give numbers of voxels"),
        ({"sigma": "5 kg"}, "um", "is no length: "),
        ({"sigma": "5 um"}, "", r"have no unit of length; give voxels, or say it with image\.update"),
        ({"sigma": ("5 um", "5 um")}, "um", "must be one length, or three"),
        ({"sigma": "-5 um"}, "um", "must be a finite number of voxels >= 0"),
    ],
    ids=str,
)
def test_mistakes_are_named(parameters, unit, message):
    image = lx.from_array(GREY, voxel_length=2.5, voxel_unit=unit)
    with pytest.raises(ValueError, match=message):
        lx.chunk_map(ops.gaussian, image, **parameters)
    with pytest.raises(ValueError, match=r"spacing='voxel' of laplacian\(\) is not known; give numbers, or 'image'"):
        lx.chunk_map(ops.laplacian, image, spacing="voxel")
    with pytest.raises(ValueError, match=r"lengths=.*must map keyword-only parameters of <lambda> to one of 'width'"):
        lx.voxel_op(lambda block, *, reach: block, lengths={"reach": "far"})


def test_ridges_look_alike_in_voxels_that_are_no_cubes():
    """A tube along x, sampled finely across z: Sato's measure on the axis is that in cubes."""
    y, z = (np.arange(-20, 21) * h for h in (1.0, 0.5))
    tubes = [np.tile(np.exp(-(y[:, None] ** 2 + z[None, :] ** 2 * f) / 18.0), (5, 1, 1)) for f in (1.0, 4.0)]
    in_cubes = ops.sato(tubes[1], sigmas=(2.0,), black_ridges=False)[2, 20, 20]
    flat = ops.sato(tubes[0], sigmas=((2.0, 2.0, 4.0),), black_ridges=False)[2, 20, 20]
    assert abs(flat / in_cubes - 1) < 0.02  # both are samples of one Gaussian
    np.testing.assert_allclose(
        ops.sato(GREY, sigmas=((1.5,) * 3,)), ops.sato(GREY, sigmas=(1.5,)), rtol=1e-9, atol=1e-12
    )
