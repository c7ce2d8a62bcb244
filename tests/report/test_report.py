"""The whole: from an input to the files of a report."""

import csv
import html.parser
import json
import re

import numpy as np
import pytest
import scipy.ndimage

import lithax as lx
from lithax.images import from_array
from lithax.measure import specific_surface
from lithax.report import Report, report
from lithax.report._analysis import analyse
from lithax.report._finney_demo import Pack
from lithax.report._folder import report_folder
from lithax.report._numbers import space_numbers
from lithax.report._report import finney_report
from lithax.report._settings import Settings
from lithax.report._steps import Steps

SMALL = Pack(voxels=64, half_edge=1.75)  # spheres as fine as in the demo, 18.3 voxels to the radius
KINDS = {"measured", "assumed", "simulated"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return finney_report(SMALL, folder, Settings(), Steps(False))


@pytest.fixture(scope="module")
def grey():
    """A noisy scan of 64³ voxels, of which everything is compiled for the demo already, and its pores."""
    rng = np.random.default_rng(11)
    pore = scipy.ndimage.gaussian_filter(rng.normal(size=(64, 64, 64)), 3) < -0.01
    level = scipy.ndimage.gaussian_filter(np.where(pore, 900.0, 1800.0), 0.6)
    return (level + rng.normal(0, 60, pore.shape)).round().astype("u2"), pore


@pytest.fixture(scope="module")
def scanned(grey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    np.save(folder / "rock.npy", grey[0])
    output = folder / "out"
    return report(folder / "rock.npy", output, voxel_length=2.5, voxel_unit="um", progress=False)


class Page(html.parser.HTMLParser):
    """Collects what a page refers to, and its text."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.addresses, self.open, self.words, self.pictures = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data", "srcset")]
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("which", ["demo", "scanned"])
def test_the_page_holds_everything(which, request):
    made = request.getfixturevalue(which)
    text = made.path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"@import|url\(|<script", text)
    assert all(picture["alt"] for picture in page.pictures)
    assert len(page.pictures) >= 6
    words = " ".join(page.words)
    for number in made:
        if number.key.startswith("porosity."):
            assert number.text in words, number.key
    assert made.provenance["content_hash"] in words


@pytest.mark.parametrize("which", ["demo", "scanned"])
def test_numbers_stand_alike_in_all_files(which, request):
    made = request.getfixturevalue(which)
    document = json.loads((made.folder / "report.json").read_text(encoding="utf-8"))
    assert document["schema"] == {"format": "lithax-report", "version": 1}
    with (made.folder / "numbers.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [n["key"] for n in document["numbers"]] == [row["key"] for row in table] == [n.key for n in made]
    assert len({n.key for n in made}) == len(made.numbers)
    for number, row in zip(made, table, strict=True):
        assert number.kind in KINDS
        assert number.method
        assert number.unit or number.value == "not known"
        assert row["value"] == ("" if number.value is None else str(number.value))
        if number.key.startswith("porosity.") and number.key != "porosity.components":
            assert number.denominator, number.key


@pytest.mark.parametrize("which", ["demo", "scanned"])
def test_porosities_fit_together(which, request):
    made = request.getfixturevalue(which)
    pores = lx.open(made.folder / "pores.zarr", mode="r")
    assert made["porosity.total"].value == pores[:].mean()
    assert made["porosity.total"].value == made["porosity.otsu"].value
    assert made["porosity.total"].value == pytest.approx(
        made["porosity.connected"].value + made["porosity.isolated"].value
    )
    assert made["sensitivity.low"].value <= made["porosity.total"].value <= made["sensitivity.high"].value
    for axis in "xyz":
        assert made[f"porosity.percolating.{axis}"].value <= made["porosity.connected"].value


def test_the_demo_holds_the_methods_against_the_truth(demo):
    """A 64th part of the demo, whose criteria are for the whole: with fewer grains and pores errors are some times larger."""
    assert len(demo.criteria) == 5
    grains = SMALL.voxels**3
    assert demo["truth.voxelised"].kind == "simulated"
    assert demo["truth.voxelised"].value * grains == pytest.approx(round(demo["truth.voxelised"].value * grains))
    assert abs(demo["error.otsu"].value) < 0.01
    assert abs(demo["error.balance"].value) < 0.005
    assert abs(demo["blurred.error.balance"].value) < 0.01
    assert demo["blurred.error.otsu"].value > 0.01
    assert demo["split.segmentation"].value == demo["error.otsu"].value
    assert demo["grey.pore"].value == pytest.approx(20_000, rel=5e-3)
    assert demo["grey.grain"].value == pytest.approx(40_000, rel=5e-3)
    assert demo["grey.pore.noise"].value == pytest.approx(2_000, rel=0.1)
    assert demo["truth.dice"].value > 0.97
    # Blur 0.7 and 2 together with the distances of voxels to a surface of voxels, known to a fraction of a voxel.
    assert 0.65 < demo["grey.edge_width"].value < 0.95
    assert 1.8 < demo["blurred.grey.edge_width"].value < 2.4
    assert sorted(path.name for path in demo.folder.iterdir()) == [
        "numbers.csv", "pores.zarr", "report.html", "report.json", "scan.raw", "scan.raw.json", "scan.zarr",
    ]  # fmt: skip


def test_the_permeability_of_the_pack_stands_beside_kozeny_and_carman(demo):
    pores = np.asarray(lx.open(demo.folder / "pores.zarr")[:63, :63, :63])
    coarse = pores.reshape(21, 3, 21, 3, 21, 3).mean((1, 3, 5)) > 0.5  # spheres of 12 voxels
    porosity = coarse.mean()
    flow = lx.solve.permeability(coarse, axis="x", spacing=f"{3 * SMALL.voxel_length} um", unit="um²")
    assert demo["pack.permeability.x"].value == pytest.approx(float(flow.value), rel=1e-5)
    expected = porosity**3 / (1 - porosity) ** 2 * 200.0**2 / 180
    assert demo["pack.permeability.kozeny_carman"].value == pytest.approx(expected)
    assert (demo["pack.permeability.kozeny_carman"].kind, demo["pack.permeability.x"].kind) == ("assumed", "measured")
    k = [demo[f"pack.permeability.{axis}"].value for axis in "xyz"]
    assert demo["pack.permeability.ratio"].value == pytest.approx(np.mean(k) / expected)
    # Not two spheres wide; the whole pack is within 20 %.
    assert 0.7 < demo["pack.permeability.ratio"].value < 1.3
    assert 0.05 < float(flow.narrow_share) <= demo["pack.narrow_share"].value + 1e-5 < 1
    criterion = demo.as_dict()["criteria"][-1]
    assert (criterion["unit"], criterion["limit"]) == ("%", 20)
    assert criterion["value"] == pytest.approx(100 * abs(np.mean(k) / expected - 1))


def test_a_scan_without_truth_says_what_it_cannot_know(scanned, grey):
    assert scanned.criteria == ()
    assert scanned.passed
    assert not any(n.key.startswith("truth") for n in scanned)
    # Noise 60 of a contrast of 900 misplaces next to nothing; blurred surfaces move by a fraction of a voxel.
    assert scanned["porosity.total"].value == pytest.approx(grey[1].mean(), abs=0.01)
    assert scanned["grey.grain.noise"].value == pytest.approx(60, abs=6)
    assert scanned["image.voxel_length"].kind == "assumed"
    words = scanned.path.read_text(encoding="utf-8")
    assert "Pores below the resolution are not seen" in words
    assert scanned.provenance["input"]["sha256"]
    assert "2.5 µm" in words


def test_the_summary_names_the_main_numbers(demo):
    text = demo.summary()
    assert demo["porosity.total"].text in text
    assert text.count("PASS") + text.count("FAIL") == 5
    assert "blurred.porosity.total" not in text


def test_an_image_of_few_values_is_segmented_already(tmp_path, rng):
    phases = np.where(rng.random((20, 20, 20)) < 0.3, 7, 3).astype("u1")
    made = report(from_array(phases), tmp_path / "a", progress=False)
    assert made["porosity.total"].value == (phases == 3).mean()
    assert any("segmented already" in w for w in made.warnings)
    assert any("assumed to be the value 3" in w for w in made.warnings)
    assert not any(n.key.startswith(("grey", "threshold")) for n in made)
    other = report(from_array(phases), tmp_path / "b", pore_phase=7, progress=False)
    assert other["porosity.total"].value == (phases == 7).mean()
    assert not any("assumed" in w for w in other.warnings)
    with pytest.raises(ValueError, match=r"pore_phase=5 does not occur.*3, 7"):
        report(from_array(phases), tmp_path / "c", pore_phase=5, progress=False)
    assert not (tmp_path / "c").exists()


def test_true_is_pore_in_a_boolean_image(tmp_path, rng):
    pore = rng.random((20, 20, 20)) < 0.2
    assert report(pore, tmp_path / "a", progress=False)["porosity.total"].value == pore.mean()


def test_a_core_is_the_region_of_interest(tmp_path, rng):
    """Air around a core is no pore: with all voxels the porosity would be far too high."""
    grid = np.meshgrid(*(np.arange(64),) * 3, indexing="ij")
    inside = (grid[0] - 31.5) ** 2 + (grid[1] - 31.5) ** 2 <= 27.3**2
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=inside.shape), 2)
    pore = smooth < np.quantile(smooth, 0.25)
    grey = np.where(inside & ~pore, 2000, 600) + rng.normal(0, 80, inside.shape)
    image = from_array(grey.round().astype("u2"))
    made = report(image, tmp_path / "core", filter="gaussian:0.5", progress=False)
    assert "a cylinder along z" in made.provenance["region_of_interest"]
    # The pores of a 64³ sample of this field; its mean over the core differs from 1/4 by chance.
    assert made["porosity.total"].value == pytest.approx(0.25, abs=0.03)
    assert "cylinder along z" in made["porosity.total"].denominator
    assert not any("air outside" in w for w in made.warnings)


def test_air_around_a_sample_is_pointed_out(tmp_path, rng):
    grid = np.meshgrid(*(np.arange(20),) * 3, indexing="ij")
    outside = (grid[0] - 9.5) ** 2 + (grid[1] - 9.5) ** 2 > 7**2
    made = report(outside | (rng.random(outside.shape) < 0.2), tmp_path / "out", progress=False)
    assert any("air outside of the sample" in w for w in made.warnings)
    assert "air outside of the sample" in made.path.read_text(encoding="utf-8")


def test_voxels_without_a_value_are_pointed_out(grey, tmp_path):
    values = grey[0].astype("f4")
    values[10:12, 20, 30] = np.nan
    made = report(values, tmp_path / "out", filter="none", progress=False)
    assert any(w.startswith("2 voxels are NaN") for w in made.warnings)
    assert made["porosity.total"].value == pytest.approx((grey[0] <= made["threshold.used"].value).mean(), abs=1e-5)


def test_an_earlier_report_is_kept_unless_told(tmp_path, rng):
    image = from_array(rng.random((20, 20, 20)) < 0.3)
    folder = tmp_path / "out"
    first = report(image, folder, title="first", progress=False)
    with pytest.raises(FileExistsError, match="holds a report already"):
        report(image, folder, progress=False)
    assert json.loads((folder / "report.json").read_text())["title"] == first.title
    second = report(image, folder, title="second", overwrite=True, progress=False)
    assert json.loads((folder / "report.json").read_text())["title"] == second.title == "second"


def test_stores_that_no_report_made_are_safe(tmp_path):
    from_array(np.zeros((4, 4, 4)), store=tmp_path / "pores.zarr")
    with pytest.raises(FileExistsError, match=r"holds pores\.zarr, and no report\.json says"):
        report(np.zeros((4, 4, 4), bool), tmp_path, progress=False)
    assert lx.open(tmp_path / "pores.zarr").shape == (4, 4, 4)
    assert not (tmp_path / "report.json").exists()


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="All voxels of the image have the value 5"):
        report(np.full((8, 8, 8), 5, "u1"), tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine.txt").write_text("mine")
    with pytest.raises(TypeError, match="complex64"):
        report(np.ones((8, 8, 8), "c8"), tmp_path / "old", progress=False)
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["mine.txt"]


def test_a_report_that_was_killed_can_be_made_again(tmp_path):
    with pytest.raises(KeyboardInterrupt), report_folder(tmp_path / "a", overwrite=False, demo=False) as folder:  # noqa: PT012
        document = (folder / "report.json").read_text()
        raise KeyboardInterrupt
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "report.json").write_text(document)  # what a kill leaves
    from_array(np.zeros((4, 4, 4)), store=tmp_path / "b" / "pores.zarr")
    pore = np.zeros((20, 20, 20), bool)
    pore[4:9] = True
    assert report(pore, tmp_path / "b", progress=False)["porosity.total"].value == 5 / 20


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filter": "mean"}, ValueError, "filter='mean' is not known"),
        ({"threshold": "best"}, ValueError, "threshold='best' must be"),
        ({"roi": "sphere"}, ValueError, "roi='sphere' must be one of"),
        ({"shape": (3, 3)}, ValueError, "shape=.*three whole numbers"),
        ({"shape": (3, 3, 3)}, ValueError, "shape: only raw files need this"),
        ({"voxel_unit": "furlongs per fortnight"}, ValueError, "voxel_unit"),
    ],
)
def test_wrong_arguments_are_named(options, error, message, tmp_path, grey):
    with pytest.raises(error, match=message):
        report(grey[0], tmp_path / "out", progress=False, **options)
    assert not (tmp_path / "out").exists()


def test_without_an_input_nothing_can_be_said_of_it(tmp_path):
    with pytest.raises(ValueError, match="describe an input, but none was given"):
        report(None, tmp_path / "out", shape=(3, 3, 3), dtype="u1", progress=False)
    assert not (tmp_path / "out").exists()


def test_numbers_are_found_by_name(scanned):
    assert isinstance(scanned, Report)
    with pytest.raises(KeyError, match=r"'porosity' is not in the report; its numbers are: image\.shape"):
        scanned["porosity"]


@pytest.mark.slow
def test_the_demo_passes(tmp_path):
    """What `nox -s demo` shows, 256³ voxels."""
    made = report(output=tmp_path / "demo", progress=False)
    assert made.passed, made.summary()
    assert report(output=tmp_path / "demo", progress=False)["porosity.total"].value == made["porosity.total"].value


@pytest.mark.parametrize(
    ("length", "unit", "shown"),
    [
        ((1, 1, 1), "", "1/voxel"),
        ((5, 5, 5), "", "1/length unit"),
        ((2, 3, 4), "", "1/length unit"),
        ((2, 3, 4), "mm", "1/mm"),
        ((5, 5, 5), "um", "1/um"),
    ],
)
def test_lengths_never_call_themselves_voxels_when_they_are_not(length, unit, shown, rng, tmp_path):
    pore = rng.random((20, 20, 20)) < 0.4
    image = from_array(pore, voxel_length=length, voxel_unit=unit)
    analysis = analyse(image, Settings(roi="cylinder"), tmp_path, Steps(False))
    numbers = {n.key: n for n in space_numbers(analysis)}
    surface = numbers["surface.specific"]
    assert surface.unit == shown
    assert surface.value == pytest.approx(specific_surface(image, analysis.region.region).value, rel=1e-12)
    assert image.frame.unit_name in analysis.region.name  # "diameter 40 and length 80 mm"
    assert ("whose unit is not known" in surface.method) == (shown == "1/length unit")
    # The edge of sub-cubes is a length only where there is a unit and voxels are cubes.
    assert ("rev.length" in numbers) <= (unit == "um")


def test_the_report_says_which_porosity_to_quote(scanned, demo):
    """Its ± covers what the methods disagree about, and it says that the other ± is statistical."""
    for made in (scanned, demo):
        quoted = made["porosity.recommended"]
        assert quoted.uncertainty >= abs(made["porosity.balance"].value - made["porosity.total"].value)
        assert quoted.uncertainty >= 0.5 * made["sensitivity.span"].value - 1e-12
        assert quoted.value in (made["porosity.total"].value, made["porosity.balance"].value)
        assert "because" in quoted.method
        page = made.path.read_text(encoding="utf-8")
        assert "Porosity to quote" in page
        assert "statistical alone" in page
        assert quoted.text in made.summary()
    # Of known truth: the quoted one is within its uncertainty, sharp and blurred alike.
    assert (
        abs(demo["porosity.recommended"].value - demo["truth.voxelised"].value)
        <= demo["porosity.recommended"].uncertainty
    )


def test_three_phases_are_a_table_and_options_that_do_not_apply_are_said_to(tmp_path, rng, grey):
    phases = rng.choice([1, 4, 9], size=(20, 20, 20), p=[0.2, 0.5, 0.3]).astype("u1")
    made = report(from_array(phases), tmp_path / "a", filter="gaussian", threshold=3, pore_phase=4, progress=False)
    assert [made[f"phase.{v}"].value for v in (1, 4, 9)] == [float((phases == v).mean()) for v in (1, 4, 9)]
    assert made["phase.4"].name == "Phase 4, taken for pore"
    assert "All phases" in made.path.read_text(encoding="utf-8")
    for given in ("filter='gaussian' (--filter)", "threshold=3.0 (--threshold)"):
        assert f"{given} does not apply to a segmented image, and was not used." in made.warnings
    two = report(from_array((phases == 1).astype("u1")), tmp_path / "b", progress=False)
    assert not any(n.key.startswith("phase") for n in two)
    assert not any("not apply" in w for w in two.warnings)
    other = report(from_array(grey[0]), tmp_path / "c", pore_phase=2, progress=False)
    assert any("pore_phase=2" in w and "not used" in w for w in other.warnings)


@pytest.mark.slow
def test_transport_is_a_section_of_its_own(tmp_path):
    rng = np.random.default_rng(3)
    pore = scipy.ndimage.gaussian_filter(rng.normal(size=(16, 16, 16)), 2) < 0.05
    image = from_array(pore, voxel_length=2.0, voxel_unit="um")
    made = report(image, tmp_path / "out", transport=True, progress=False)
    for axis in "xyz":
        factor = float(lx.solve.conductivity(pore, axis=axis).formation_factor)
        assert made[f"transport.formation_factor.{axis}"].value == pytest.approx(factor, rel=1e-5)
    assert "F along y" in made.summary()
    flow = lx.solve.permeability(pore, axis="all", unit="mD", spacing="2 um")
    for n, axis in enumerate("xyz"):
        k = made[f"transport.permeability.{axis}"]
        assert (k.unit, k.value) == ("mD", pytest.approx(float(flow.value[n]), rel=1e-5))
        assert f"{float(flow.value[n]) * 9.869233e-4:.4g} µm²" in k.evidence
        assert made[f"transport.breakthrough_diameter.{axis}"].value == flow.breakthrough_diameter[n] < 10
    assert made["transport.porosity.percolating"].value == pytest.approx(min(flow.porosities.percolating))
    assert made["transport.permeability.kozeny_carman"].value == pytest.approx(flow.kozeny_carman, rel=1e-6)
    assert "k along z" in made.summary()
    page = made.path.read_text()
    for words in (">Transport<", "resolution (image coarsened)", "imaged without stress", "Where the current along",
                  "wall rule “accurate”", "symmetric sides", "Klinkenberg", "below about 10 the",
                  "Where the fluid flows"):  # fmt: skip
        assert words in page
