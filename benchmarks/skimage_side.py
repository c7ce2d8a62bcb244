"""scikit-image and scikit-learn on arrays that are already in memory: no input, no output, no codec."""

import warnings
from importlib.metadata import version

import numpy as np
from scipy import ndimage
from skimage import feature, filters, restoration, segmentation
from sklearn.ensemble import RandomForestClassifier
from sklearn.mixture import GaussianMixture


def versions():
    return lambda: {name: version(name) for name in ("scikit-image", "scikit-learn", "numpy")}


def denoise(values, method, parameters, edge):
    """A filter on the corner of the image of this edge."""
    array = np.ascontiguousarray(np.load(values, mmap_mode="r")[:edge, :edge, :edge])
    if method == "bilateral in planes":

        def run():
            for plane in np.moveaxis(array, 2, 0):
                restoration.denoise_bilateral(plane, **parameters)

        return run
    function = getattr(filters if method == "sato" else restoration, method)

    def run():
        function(array, **parameters)

    return run


def multi_otsu(values, classes, edge, levels):
    array = np.load(values, mmap_mode="r")[:edge, :edge, :edge].astype(np.float64)
    array = ((array - array.min()) / np.ptp(array) * levels).astype(np.uint16)
    return lambda: {"thresholds": [int(t) for t in filters.threshold_multiotsu(array, classes)]}


def mixture(values, classes, edge, iterations):
    array = np.load(values, mmap_mode="r")[:edge, :edge, :edge]
    channels = np.stack([array.ravel(), np.roll(array, 1, 0).ravel()], axis=1)

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it has not converged
            GaussianMixture(classes, random_state=0, tol=1e-12, max_iter=iterations).fit(channels)

    return run


def pixel_classifier(values, edge, sigmas, trees):
    """Features and a forest, trained beforehand on the darkest and the brightest quarter of a slice."""
    array = np.ascontiguousarray(np.load(values, mmap_mode="r")[:edge, :edge, :edge])

    def features():
        return feature.multiscale_basic_features(
            array, sigma_min=min(sigmas), sigma_max=max(sigmas), num_sigma=len(sigmas)
        )

    dark, bright = np.quantile(array[0], (0.25, 0.75))
    drawn = (array[0] < dark) | (array[0] > bright)
    forest = RandomForestClassifier(trees, max_depth=12, n_jobs=-1, random_state=0)
    forest.fit(features()[0][drawn], array[0][drawn] > bright)

    def run():
        found = features()
        forest.predict(found.reshape(-1, found.shape[-1]))

    return run


def watershed(pores):
    """Of a distance map that stands ready; the seeds are its regional maxima."""
    rock = np.load(pores).astype(bool)
    relief = -ndimage.distance_transform_edt(rock).astype(np.float32)

    def run():
        segmentation.watershed(relief, mask=rock)

    return run


CASES = {
    "versions": versions,
    "denoise": denoise,
    "multi_otsu": multi_otsu,
    "mixture": mixture,
    "pixel classifier": pixel_classifier,
    "watershed": watershed,
}
