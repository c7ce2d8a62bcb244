"""What neuroglancer shows first: the image in four panels, with a contrast or with colours for its
phases.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from lithax.geometry import Frame
from lithax.storage import ome_unit
from lithax.web._contrast import contrast_of
from lithax.web._served_image import ServedImage

FEW_VALUES = 16

# Okabe and Ito, Color universal design (2008): told apart with every kind of colour vision.
_COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")

_METRES = {"micrometer": 1e-6, "millimeter": 1e-3, "nanometer": 1e-9, "meter": 1.0, "centimeter": 1e-2}


def state(layers: Sequence[tuple[str, str, ServedImage]], volume: bool = False) -> dict[str, Any]:
    """Return the state of neuroglancer for images, the first of which lies at the bottom.

    Parameters
    ----------
    layers
        Name, address and image of each.
    volume
        Show the first one in three dimensions, too, as a cloud whose density is the grey level.
    """
    frame = layers[0][2].image.frame
    described = [_layer(name, url, served, above=n > 0) for n, (name, url, served) in enumerate(layers)]
    if volume:
        described[0] |= {"volumeRendering": "on", "volumeRenderingDepthSamples": 128}
    middle = [(n - 1) / 2 + 0.5 for n in frame.shape]
    return {
        "dimensions": _dimensions(frame),
        "position": [m + o / h for m, o, h in zip(middle, frame.voxel_origin, frame.voxel_length, strict=True)],
        "crossSectionScale": max(frame.shape) / 400,
        "projectionScale": 2 * max(frame.shape),
        "layers": described,
        "selectedLayer": {"layer": layers[0][0], "visible": True, "size": 260},
        "showSlices": not volume,
        "layout": "4panel-alt",
        "showAxisLines": True,
        "showScaleBar": bool(frame.voxel_unit),
        "crossSectionBackgroundColor": "#202020",
        "title": layers[0][0],
    }


def _dimensions(frame: Frame) -> dict[str, list[Any]]:
    unit, factor = ome_unit(frame.voxel_unit)
    metre = _METRES.get(unit)
    if metre is None:
        # Without a unit neuroglancer counts numbers; other lengths are turned into metres.
        from lithax.geometry import length_factor

        metre = length_factor(unit, "meter") if unit else None
    lengths = [h * factor * (metre or 1.0) for h in frame.voxel_length]
    return {axis: [h, "m" if metre else ""] for axis, h in zip("xyz", lengths, strict=True)}


def _layer(name: str, url: str, served: ServedImage, above: bool) -> dict[str, Any]:
    layer: dict[str, Any] = {"name": name, "source": f"{url}|zarr3:", "visible": True}
    sample, dtype = served.sample(), served.dtype
    if dtype.kind in "iu" and (served.image.dtype.kind == "b" or dtype.itemsize == 1 or above):
        phases = np.unique(sample)
        if len(phases) <= FEW_VALUES:
            return layer | {"type": "image", "tab": "rendering"} | _phases(phases.tolist(), above)
    if dtype.kind in "iu" and (above or dtype.itemsize == 8):
        return layer | {"type": "segmentation", "tab": "rendering", "selectedAlpha": 0.4, "notSelectedAlpha": 0.4}
    return layer | {"type": "image", "tab": "rendering"} | _contrast(sample)


def _contrast(sample: np.ndarray) -> dict[str, Any]:
    low, high = contrast_of(sample)
    finite = sample[np.isfinite(sample)]
    smallest, largest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    smallest, largest = min(smallest, low), max(largest, high)
    numbers: Any = (lambda v: round(v)) if sample.dtype.kind in "iu" else float
    window, interval = [numbers(smallest), numbers(largest)], [numbers(low), numbers(high)]
    if interval[0] == interval[1]:
        interval[1] += 1
    window[1] = max(window[1], interval[1])
    shader = "#uicontrol invlerp contrast(clamp=true)\nvoid main() {\n  emitGrayscale(contrast());\n}\n"
    return {"shader": shader, "shaderControls": {"contrast": {"range": interval, "window": window}}, "opacity": 1}


def _phases(phases: list[int], above: bool) -> dict[str, Any]:
    lines = [
        f'#uicontrol vec3 colour_{number} color(default="{_COLOURS[number % len(_COLOURS)]}")\n'
        f"#uicontrol bool phase_{number} checkbox(default={'false' if above and phase == 0 else 'true'})"
        for number, phase in enumerate(phases)
    ]
    tests = [
        f"  if (v == {phase} && phase_{number}) {{ emitRGB(colour_{number}); return; }}"
        for number, phase in enumerate(phases)
    ]
    body = "\n".join(
        [*lines, "void main() {", "  int v = int(toRaw(getDataValue()));", *tests, "  emitTransparent();", "}", ""]
    )
    return {"shader": body, "opacity": 0.4 if above else 1}


def fragment(described: dict[str, Any]) -> str:
    """Return the part of an address that hands a state to neuroglancer."""
    from urllib.parse import quote

    return "#!" + quote(json.dumps(described, separators=(",", ":")), safe='{}[]:,"')
