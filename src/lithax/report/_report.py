"""From a scan to petrophysical numbers: measure, draw, write."""

import csv
import io
import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lithax.report._advice import advice_numbers, phase_numbers
from lithax.report._analysis import Analysis, analyse
from lithax.report._finney_demo import Continuous, Pack, continuous_porosity, raw_scan, scan, true_phases
from lithax.report._folder import report_folder
from lithax.report._input import RawLayout, open_source
from lithax.report._number import Number
from lithax.report._numbers import grey_numbers, image_numbers, prefixed, space_numbers, truth_numbers
from lithax.report._pack_permeability import pack_criterion, pack_numbers, pack_permeability
from lithax.report._page import render
from lithax.report._picture import Picture
from lithax.report._settings import Settings
from lithax.report._steps import Steps
from lithax.report._transport import transport_parts
from lithax.report._transport_part import TransportPart
from lithax.report._truth import Comparison, Criterion, compare_with_truth, criteria
from lithax.runtime import check_launcher, connected
from lithax.storage.formats import written_whole

_SUMMARY = {
    "truth.continuous",
    "truth.voxelised",
    "porosity.recommended",
    "porosity.total",
    "porosity.connected",
    "porosity.isolated",
    "porosity.otsu",
    "porosity.half_contrast",
    "porosity.balance",
    "sensitivity.span",
    "surface.specific",
    "rev.edge",
    "grey.edge_width",
    "grey.contrast_to_noise",
}
_FAMILIES = ("porosity.percolating", "transport.formation_factor", "transport.permeability", "pack.permeability")
SCHEMA = {"format": "lithax-report", "version": 1}


@dataclass(frozen=True)
class Report:
    """The numbers of a report, and where its files are. ``report["porosity.total"]`` is one of the
    numbers.
    """

    title: str
    folder: Path
    numbers: tuple[Number, ...]
    criteria: tuple[Criterion, ...] = ()
    """What a demo must show; empty for a scan whose truth is not known."""
    warnings: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def passed(self) -> bool:
        """Whether all criteria hold; also True where there are none."""
        return all(criterion.passed for criterion in self.criteria)

    def __getitem__(self, key: str) -> Number:
        for number in self.numbers:
            if number.key == key:
                return number
        raise KeyError(f"{key!r} is not in the report; its numbers are: {', '.join(n.key for n in self.numbers)}.")

    def __iter__(self) -> Iterator[Number]:
        return iter(self.numbers)

    def __repr__(self) -> str:
        return f"<Report {self.title!r}, {len(self.numbers)} numbers, {self.path}>"

    def summary(self) -> str:
        """Return the main numbers, criteria and warnings as lines of text."""
        numbers = [n for n in self.numbers if n.key in _SUMMARY or n.key.startswith(_FAMILIES)]
        width, room = max(len(n.name) for n in numbers), max(len(n.text) for n in numbers)
        lines = [self.title, *(f"  {n.name:<{width}}  {n.text:<{room}}  {n.kind}" for n in numbers)]
        lines += [f"  {criterion}" for criterion in self.criteria]
        lines += [f"  Please note: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``report.json`` has it."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "passed": self.passed,
            "criteria": [
                {"name": c.name, "value": c.value, "limit": c.limit, "unit": c.unit, "passed": c.passed}
                for c in self.criteria
            ],
            "warnings": list(self.warnings),
            "numbers": [n.as_dict() for n in self.numbers],
            "provenance": self.provenance,
        }


def report(
    image: Any = None,
    output: str | Path = "report",
    *,
    filter: str = "median",
    threshold: str | float = "otsu",
    roi: str = "auto",
    pore_phase: int | None = None,
    voxel_length: float | Sequence[float] | None = None,
    voxel_unit: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    order: str | None = None,
    offset: int | None = None,
    transport: bool = False,
    title: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Report:
    """Measure porosity, grey levels, connectivity and representative volume of a scan, and write a
    page about them.

    Makes in the folder `output`: ``report.html``, which holds its pictures and needs no network;
    ``report.json`` and ``numbers.csv``, the same numbers for programs; ``pores.zarr``, the
    segmentation; and ``scan.zarr`` where the input was in another format.

    Parameters
    ----------
    image
        An image, an array, or the path of a Zarr store, a ``.npy`` file or a raw file (also
        ``.gz``). An image of few values is taken as segmented already. None: a simulated scan of
        Finney's measured sphere pack, whose porosity is known, and the report shows how far each
        method is from it.
    output
        Folder for the files; made if it does not exist.
    filter
        Applied before the threshold: "none"; "median", or "median:2" (radius [voxel]);
        "gaussian:1.5", "bilateral:1.5" (standard deviation [voxel]); "non_local_means:3" (radius of
        the search [voxel]); "total_variation:1", "anisotropic_diffusion:2.5", "tensor_diffusion:1"
        (strength). Strengths are in standard deviations of the noise, which is measured
        (`lithax.measure.noise`).
    threshold
        "otsu", "half" (midway between the two peaks of the histogram), "kittler_illingworth", "li",
        "yen", "isodata", "triangle", "minimum", "otsu:3" to "otsu:6" (so many phases, of which the
        darkest is pore) or a grey level. Filtered voxels up to it are pore. The histogram is that
        of the filtered scan, measured in a pass of its own without being stored; a second pass
        filters and segments at once.
    roi
        The voxels that count. "auto": the core, if the image shows one standing in air; "cylinder":
        the core, or the largest cylinder along z; "none": all.
    pore_phase
        Value of the pores in an image that is segmented already; by default the lowest, of booleans
        True.
    voxel_length, voxel_unit
        Override what the image says.
    shape, dtype, order, offset
        Layout of a raw file without a JSON document beside it, as for `import_raw`.
    transport
        Solve for formation factor and permeability as well: along the three axes, with error budget
        and a map of the current and of the flow, in a section of its own. Of larger images a cube
        of 320 voxels in the middle is solved.
    title
        Of the page.
    overwrite
        Replace files of an earlier report in `output`.
    progress
        Say on standard error what is being done.

    Returns
    -------
        The numbers, each with unit, kind (measured, assumed, simulated), denominator, method and
        evidence.

    Raises
    ------
    FileExistsError
        If `output` holds an earlier report and `overwrite` is False, or stores that no report made.
    ModuleNotFoundError
        If matplotlib or jinja2 is missing (the extra ``viz``).
    TypeError, ValueError
        If an argument is wrong, or the input cannot be read as an image; then no page is written.
    RuntimeError
        If several processes work together: a report is the work of one.
    """
    refuse_many()
    settings = Settings(filter, threshold, roi, pore_phase)
    layout = RawLayout(None if shape is None else _three(shape), dtype, order, offset)
    _check_viz()
    if image is None and (layout.given or voxel_length is not None or voxel_unit is not None):
        raise ValueError(
            "shape, dtype, order, offset, voxel_length and voxel_unit describe an input, but none was given."
        )
    steps = Steps(progress)
    from lithax.report._figures import pictures  # draws: loaded by those who report, not by all who import lithax

    with report_folder(Path(output), overwrite=overwrite, demo=image is None) as folder:
        if image is None:
            return finney_report(Pack(), folder, settings, steps, title=title, transport=transport)
        steps("Open the input")
        source = open_source(
            image, folder, layout=layout, voxel_length=voxel_length, voxel_unit=voxel_unit, overwrite=True
        )
        analysis = analyse(source.image, settings, folder, steps, overwrite=True)
        numbers = [
            *image_numbers(analysis.image, simulated=False),
            *advice_numbers(analysis),
            *space_numbers(analysis),
            *phase_numbers(analysis),
            *grey_numbers(analysis),
        ]
        parts = transport_parts(analysis, steps) if transport else ()
        numbers += [number for part in parts for number in part.numbers]
        steps("Hash the voxels")
        provenance = _provenance(source.described, analysis, settings)
        name = title or _title(source.described)
        done = Report(name, folder, tuple(numbers), (), tuple(analysis.warnings), provenance)
        return _write(done, analysis, pictures(analysis), steps, parts=parts)


def finney_report(
    pack: Pack, folder: Path, settings: Settings, steps: Steps, *, title: str | None = None, transport: bool = False
) -> Report:
    """Make the report of the simulated scan of Finney's pack: what is measured beside what is
    known.
    """
    from lithax.report._figures import comparison, pictures

    steps("Simulate: porosity of the spheres themselves")
    continuous = continuous_porosity(pack)
    show: dict[str, Any] = {"progress": steps.show}
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
        other = Path(scratch)
        steps(
            f"Simulate: {pack.voxels}³ voxels, blur {SHARP:g} voxel, noise {pack.noise:g} of the contrast; export and import raw"
        )
        grains = true_phases(pack, other / "grains.zarr")
        image = raw_scan(pack, grains, SHARP, folder, **show)
        analysis = analyse(image, settings, folder, steps, overwrite=True)
        sharp = compare_with_truth(analysis, grains, SHARP, pack.noise, **show)
        steps(f"Once more with blur {BLURRED:g}")
        second = scan(pack, grains, BLURRED, other / "scan.zarr", **show)
        blurred = compare_with_truth(analyse(second, settings, other, steps), grains, BLURRED, pack.noise, **show)
        label = f"blur {BLURRED:g}"
        numbers = [
            *image_numbers(image, simulated=True),
            *truth_numbers(sharp, continuous),
            *advice_numbers(analysis),
            *space_numbers(analysis),
            *grey_numbers(analysis),
            *prefixed("blurred", label, truth_numbers(blurred)),
            *prefixed("blurred", label, grey_numbers(blurred.analysis)),
        ]
        steps("Flow: permeability of the pack, beside Kozeny and Carman's")
        flow = pack_permeability(analysis.space.pores)
        numbers += pack_numbers(flow)
        parts = transport_parts(analysis, steps) if transport else ()
        numbers += [number for part in parts for number in part.numbers]
        drawn = pictures(analysis)
        drawn["comparison"] = comparison(continuous[0], (sharp, blurred))
        drawn |= {f"blurred_{name}": picture for name, picture in pictures(blurred.analysis).items()}
        steps("Hash the voxels")
        made = {
            "simulated": "Finney pack, cube cut at ±7 R"
            if pack.half_edge == 7
            else f"Finney pack, ±{pack.half_edge:g} R",
            "file": str(folder / "scan.raw"),
            "blur [voxel]": SHARP,
            "noise [contrast]": pack.noise,
            "seed": pack.seed,
            "second scan, blur [voxel]": BLURRED,
        }
        provenance = _provenance(made, analysis, settings)
        name = title or "Finney pack under a simulated scanner"
        checks = (*criteria(sharp, blurred), pack_criterion(flow))
        done = Report(name, folder, tuple(numbers), checks, tuple(analysis.warnings), provenance)
        return _write(done, analysis, drawn, steps, continuous, (sharp, blurred), parts)


SHARP, BLURRED = 0.7, 2.0
"""Blur of the two simulated scans, standard deviation [voxel]."""


def refuse_many() -> None:
    """Raise RuntimeError where several processes work together: they would write the same files."""
    world = connected()
    check_launcher()
    if world.count > 1:
        raise RuntimeError(
            f"report() is the work of one process, and {world.count} work together here; filter and segment the scan with all of them, "
            f"and call report() in a program of its own, started without a launcher."
        )


def _write(
    done: Report,
    analysis: Analysis,
    drawn: dict[str, Picture],
    steps: Steps,
    continuous: tuple[Continuous, ...] = (),
    comparisons: tuple[Comparison, ...] = (),
    parts: tuple[TransportPart, ...] = (),
) -> Report:
    steps("Write the page")
    done.provenance["seconds"] = round(steps.seconds, 1)
    document = json.dumps(done.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    _replace(done.folder / "report.json", document + "\n")
    _replace(done.folder / "numbers.csv", _table(done.numbers))
    _replace(done.path, render(done, analysis, drawn, continuous, comparisons, parts))
    return done


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: nobody finds half of it."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _table(numbers: Sequence[Number]) -> str:
    names = ["key", "name", "value", "uncertainty", "unit", "kind", "denominator", "method", "evidence"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for number in numbers:
        writer.writerow({k: "" if v is None else v for k, v in number.as_dict().items()})
    return text.getvalue()


def _provenance(described: dict[str, Any], analysis: Analysis, settings: Settings) -> dict[str, Any]:
    packages = ("lithax", "jax", "numpy", "zarr", "matplotlib")
    return {
        "input": described,
        "content_hash": analysis.image.content_hash(),
        "shape": list(analysis.image.shape),
        "dtype": str(analysis.image.dtype),
        "voxel_length": list(analysis.image.voxel_length),
        "voxel_unit": str(analysis.image.voxel_unit),
        "settings": settings.as_dict(),
        "region_of_interest": f"{analysis.region.name} ({analysis.region.how})",
        "segmentation": str(analysis.space.pores.stored.where),
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _title(described: dict[str, Any]) -> str:
    place = described.get("file") or described.get("folder") or described.get("store")
    return f"Porosity of {Path(str(place)).name}" if place else "Porosity of an image"


def _three(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        x, y, z = (int(n) for n in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape={shape!r} must be three whole numbers, along x, y and z.") from None
    return x, y, z


def _check_viz() -> None:
    from lithax.viz import load_matplotlib

    load_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("A report needs jinja2: pip install 'lithax[viz]'.", name="jinja2") from error
