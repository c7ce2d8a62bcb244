"""What a viewer shows, as one small immutable value."""

import dataclasses
import math
import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lithax.chunked import ArraySource
from lithax.geometry import AbstractRegion, Frame
from lithax.images import VoxelImage
from lithax.measure import HistogramResult
from lithax.viz._levels import levels_of
from lithax.viz._phase_colors import PhaseColors
from lithax.viz._templates import TEMPLATES, Template

PARTS = {"real": np.real, "imaginary": np.imag, "magnitude": np.abs, "angle": np.angle}
"""What can be shown of complex voxels."""

_CHOICES = {
    "template": tuple(TEMPLATES),
    "layout": ("2x2", "vertical", "horizontal"),
    "status_mode": ("coordinate", "voxel"),
    "histogram": ("auto", "sample", "full"),
    "histogram_scale": ("linear", "log"),
}
_STYLES = (
    "image_style",
    "guide_line_style",
    "histogram_line_style",
    "contour_style",
    "outline_style",
    "chunk_line_style",
    "shard_line_style",
    "figure_style",
    "grid_style",
)
_FIGURE = {"figsize", "dpi", "facecolor"}
_GRID = {"left", "right", "bottom", "top", "wspace", "hspace"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ViewState:
    """Everything that decides what a viewer shows; `render` makes a picture of it.

    Values are checked when a state is made, so a state that exists can be shown.
    """

    image: VoxelImage
    levels: Sequence[VoxelImage] = ()
    """The image and its coarser levels; by default ``image.levels`` where there is such a property.
    """
    mask: Any = None
    """Boolean image or array, True = left out."""
    segmentation: Any = None
    """Image or array of phases, unsigned integers or booleans."""
    region: AbstractRegion | None = None
    """What lies outside is left out, like what the mask leaves out."""
    part: str | None = None
    """Of complex voxels: "real", "imaginary", "magnitude" or "angle"."""

    reference_voxel: tuple[int, int, int] | None = None
    """The slices go through this voxel; by default the middle of the image."""
    zoom: float = 1.0
    """How much the slices are magnified [-]."""
    center: tuple[float, float, float] | None = None
    """What lies in the middle of the slices [voxel_unit]; by default the middle of the image."""

    show_xy_plane: bool | None = None
    """Whether the xy slice is drawn; None draws it unless it is one voxel thin. So for the two
    others.
    """
    show_xz_plane: bool | None = None
    show_zy_plane: bool | None = None
    show_histogram: bool = True
    show_guide_lines: bool = True
    show_axes: bool = True
    """Ticks, their labels and the names of the axes."""
    show_scale_bar: bool = True
    show_color_bar: bool = True
    """The calibration bar, from colours to values."""
    show_legend: bool = True
    show_chunks: bool = False
    show_shards: bool = False
    show_region_outline: bool = True

    limits: tuple[float, float] | None = None
    """Values with the first and the last colour; by default the percentiles 0.05 and 99.95."""
    color_map: str | None = None
    """A colour map of matplotlib; by default that of the template."""
    contours: Collection[float] = ()
    """Values at which contour lines are drawn."""
    segmentation_colors: PhaseColors | None = None
    """A colour (None: nothing) for phases, by default `default_color`; or a colour map of
    matplotlib.
    """
    segmentation_alpha: float = 0.45
    phase_names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    mask_color: Any = None
    mask_alpha: float | None = None

    histogram: Any = "auto"
    """"auto" counts all voxels of a small image and a sample of a large one; "sample"; "full"; or a
    `HistogramResult`.
    """
    histogram_bins: Any = 256
    """A number of equal bins, or their edges."""
    histogram_scale: str = "linear"
    """"linear" or "log"."""

    image_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options of ``Axes.imshow``, such as ``interpolation``."""
    guide_line_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    histogram_line_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    contour_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outline_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    chunk_line_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shard_line_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    figure_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """``figsize`` [inch], ``dpi`` and ``facecolor``."""
    grid_style: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Margins ``left right bottom top`` and gaps ``wspace hspace`` [inch]."""

    template: str = "X-ray CT"
    """"X-ray CT" or "scalar field"."""
    layout: str = "2x2"
    """"2x2", "vertical" or "horizontal"."""
    status_mode: str = "coordinate"
    """"coordinate" or "voxel": what the status bar says of the place under the mouse."""

    def __post_init__(self) -> None:
        if not isinstance(self.image, VoxelImage):
            raise TypeError(
                f"image is a {type(self.image).__name__}; give a VoxelImage (lx.open, or lx.from_array for an array)."
            )
        self._set("levels", levels_of(self.image, self.levels or None))
        self._check_part()
        self._check_overlays()
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if not (isinstance(value, str) and value in allowed) and not isinstance(value, HistogramResult):
                raise ValueError(f"{name}={value!r} must be {' or '.join(map(repr, allowed))}.")
        self._check_place()
        self._check_look()

    def replace(self, **changes: Any) -> "ViewState":
        """Return a state that differs in some values; `reference_point` [voxel_unit] may stand for
        `reference_voxel`.

        Raises
        ------
        TypeError
            If there is no value of that name.
        ValueError
            If a value is not possible.
        """
        if "reference_point" in changes:
            if "reference_voxel" in changes:
                raise ValueError("reference_point and reference_voxel say the same thing; give one of them.")
            image = changes.get("image", self.image)
            changes["reference_voxel"] = image.coordinate_to_index(*changes.pop("reference_point"))
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            known = ", ".join(sorted(field.name for field in dataclasses.fields(self)))
            raise TypeError(f"{', '.join(sorted(unknown))} is nothing that a viewer has; it has {known}.")
        if "image" in changes and "levels" not in changes:
            changes["levels"] = ()
        return dataclasses.replace(self, **changes)

    # What follows from the values

    @property
    def frame(self) -> Frame:
        """Where the voxels of the image are."""
        return self.image.frame

    @property
    def voxel(self) -> tuple[int, int, int]:
        """The reference voxel, the middle of the image by default."""
        if self.reference_voxel is not None:
            return self.reference_voxel
        nx, ny, nz = self.image.shape
        return nx // 2, ny // 2, nz // 2

    @property
    def reference_point(self) -> tuple[float, float, float]:
        """Coordinates of the reference voxel [voxel_unit]."""
        return self.frame.index_to_coordinate(*self.voxel)

    @property
    def window(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """The lower and upper end of what is seen along x, y and z [voxel_unit]; it lies within the
        image.
        """
        lower, upper = self.frame.extent
        middle = self.center or tuple(0.5 * (a + b) for a, b in zip(lower, upper, strict=True))
        found = []
        for a, b, c in zip(lower, upper, middle, strict=True):
            half = 0.5 * (b - a) / self.zoom
            c = min(max(c, a + half), b - half)
            found.append((c - half, c + half) if self.zoom > 1 else (a, b))
        return found[0], found[1], found[2]

    @property
    def planes(self) -> tuple[str, ...]:
        """The slices that are drawn, out of "xy", "zy" and "xz"."""
        asked = {"xy": self.show_xy_plane, "zy": self.show_zy_plane, "xz": self.show_xz_plane}
        if all(size == 1 for size in self.image.shape):
            return tuple(name for name, shown in asked.items() if shown or (shown is None and name == "xy"))
        thin = {name: any(self.image.shape["xyz".index(a)] == 1 for a in name) for name in asked}
        if all(thin.values()):  # a single row of voxels
            thin = {name: max(self.image.shape["xyz".index(a)] for a in name) == 1 for name in asked}
        return tuple(name for name, shown in asked.items() if (shown if shown is not None else not thin[name]))

    @property
    def look(self) -> Template:
        """The template with what the user set himself."""
        base = TEMPLATES[self.template]
        return dataclasses.replace(
            base,
            color_map=base.color_map if self.color_map is None else self.color_map,
            mask_color=base.mask_color if self.mask_color is None else self.mask_color,
            mask_alpha=base.mask_alpha if self.mask_alpha is None else self.mask_alpha,
            guide=_over(base.guide, self.guide_line_style),
            histogram=_over(base.histogram, self.histogram_line_style),
            contour=_over(base.contour, self.contour_style),
            outline=_over(base.outline, self.outline_style),
            chunk=_over(base.chunk, self.chunk_line_style),
            shard=_over(base.shard, self.shard_line_style),
        )

    def shown_part(self, values: np.ndarray) -> np.ndarray:
        """Return what is shown of voxels: themselves, or the chosen part of complex ones."""
        return values if self.part is None else PARTS[self.part](values)

    # Checks

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_part(self) -> None:
        if self.image.dtype.kind == "c":
            if self.part not in PARTS:
                said = "has no default" if self.part is None else "is not one"
                raise ValueError(
                    f"part={self.part!r} {said}: the image is complex ({self.image.dtype}); choose what to show of it: "
                    f"part={' or '.join(map(repr, PARTS))}."
                )
        elif self.part is not None:
            raise ValueError(
                f"part={self.part!r} is for complex images; this one has {self.image.dtype}. Leave it out."
            )

    def _check_overlays(self) -> None:
        for name, kinds, rule in (
            ("mask", "b", "boolean, True = left out"),
            ("segmentation", "ub", "unsigned integers, one number per phase"),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            if not hasattr(value, "dtype") or not hasattr(value, "shape"):
                raise TypeError(f"{name} is a {type(value).__name__}; give an image or an array of {rule}.")
            if not hasattr(value, "stored") and not isinstance(value, ArraySource):
                value = ArraySource(value)
                self._set(name, value)
            if value.dtype.kind not in kinds:
                raise TypeError(f"{name} has dtype {value.dtype}; it must be {rule}.")
            if tuple(value.shape) != self.image.shape:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, the image {self.image.shape}; they must agree."
                )
            own = getattr(value, "frame", None)
            if isinstance(own, Frame) and not own.same_grid(self.frame):
                raise ValueError(
                    f"{name} lies elsewhere: its {own.difference(self.frame)} of the image; correct one of them with "
                    "image.update(...)."
                )
        if self.region is not None and not isinstance(self.region, AbstractRegion):
            raise TypeError(f"region is a {type(self.region).__name__}; give a region of lithax.regions.")

    def _check_place(self) -> None:
        if self.reference_voxel is not None:
            voxel = tuple(operator.index(i) for i in self.reference_voxel)
            if len(voxel) != 3 or any(not 0 <= i < n for i, n in zip(voxel, self.image.shape, strict=True)):
                raise IndexError(
                    f"reference_voxel={self.reference_voxel} is not a voxel of an image of shape {self.image.shape}."
                )
            self._set("reference_voxel", voxel)
        if not (math.isfinite(self.zoom) and self.zoom > 0):
            raise ValueError(f"zoom={self.zoom!r} must be a positive number; 1 shows the whole image.")
        self._set("zoom", min(max(1.0, float(self.zoom)), max(1.0, max(self.image.shape) / 2)))
        if self.center is not None:
            center = tuple(float(c) for c in self.center)
            if len(center) != 3 or not all(map(math.isfinite, center)):
                raise ValueError(f"center={self.center!r} must be three coordinates, or None for the middle.")
            self._set("center", center)

    def _check_look(self) -> None:
        if self.limits is not None:
            low, high = (float(v) for v in self.limits)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(
                    f"limits={self.limits!r} must be two finite values, the lower one first; None finds them."
                )
            self._set("limits", (low, high))
        for name in ("segmentation_alpha", "mask_alpha"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(
                    f"{name}={value!r} must lie between 0 (nothing to see) and 1 (nothing shines through)."
                )
        contours = (self.contours,) if isinstance(self.contours, int | float) else tuple(self.contours)
        self._set("contours", tuple(sorted(float(v) for v in contours)))
        for name in _STYLES:
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(f"{name}={getattr(self, name)!r} must be a mapping of options of matplotlib.")
        for name, known in (("figure_style", _FIGURE), ("grid_style", _GRID)):
            unknown = set(getattr(self, name)) - known
            if unknown:
                raise ValueError(
                    f"{name} has {', '.join(sorted(map(str, unknown)))}; it knows {', '.join(sorted(known))}."
                )
        _check_colors(self)


def _check_colors(state: ViewState) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import is_color_like

    maps = {"color_map": state.color_map}
    if isinstance(state.segmentation_colors, str):
        maps["segmentation_colors"] = state.segmentation_colors
    for name, value in maps.items():
        if value is not None and value not in colormaps:
            raise ValueError(f"{name}={value!r} is no colour map of matplotlib; try 'gray', 'viridis' or 'cividis'.")
    if state.mask_color is not None and not is_color_like(state.mask_color):
        raise ValueError(f"mask_color={state.mask_color!r} is no colour; try 'tab:red' or '#5e3c99'.")
    colors = state.segmentation_colors
    if colors is None or isinstance(colors, str):
        return
    for color in colors.values() if isinstance(colors, Mapping) else colors:
        if color is not None and not is_color_like(color):
            raise ValueError(
                f"segmentation_colors holds {color!r}, which is no colour; try 'tab:red', '#5e3c99' or None."
            )


_SHORT = {"c": "color", "lw": "linewidth", "ls": "linestyle"}


def _over(base: Mapping[str, Any], style: Mapping[str, Any]) -> dict[str, Any]:
    """Return a style with some of its options changed; matplotlib has short names for some."""
    return {**base, **{_SHORT.get(name, name): value for name, value in style.items()}}
