"""The command line does what the functions do, explains itself, and says in one line what went wrong."""

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import webbrowser
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import lithax as lx
from lithax.cli import main
from lithax.web import LoopbackServer


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="lithax")

    return run


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 60_000, (9, 8, 7)).astype("<u2")


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)])
def test_help_teaches_by_example(run, command):
    shown = run(*command, "--help")
    assert shown.exit_code == 0
    assert " ".join(["lithax", *command]) in shown.output
    assert shown.output.count("lithax ") >= 3


def test_every_option_is_explained():
    for command in main.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not isinstance(parameter.type, click.Choice):
                assert parameter.help, f"{command.name} {parameter.name}"


def test_version(run):
    assert lx.__version__ in run("--version").output


def test_there_and_back(run, voxels, tmp_path):
    voxels.ravel("F").tofile("rock.raw")
    made = run(
        "import", "rock.raw", "rock.zarr", "--shape", "9,8,7", "--dtype", "<u2", "--voxel-length", "2.5", "--unit", "um"
    )
    assert made.exit_code == 0, made.output
    image = lx.open(tmp_path / "rock.zarr")
    np.testing.assert_array_equal(image[:], voxels)
    assert (image.voxel_length, image.voxel_unit) == ((2.5, 2.5, 2.5), "um")
    assert run("export", "rock.zarr", "back.raw", "--order", "C", "--byteorder", "big", "--fiji-macro").exit_code == 0
    np.testing.assert_array_equal(np.fromfile("back.raw", ">u2").reshape(voxels.shape), voxels)
    assert (tmp_path / "back.raw.ijm").exists()
    assert run("import", "back.raw", "again.zarr").exit_code == 0  # the document beside it says the rest
    assert lx.open(tmp_path / "again.zarr").content_hash() == image.content_hash()


@pytest.mark.parametrize("length", ["2.5um", "2.5 um", "2.5,2.5,2.5um", "2.5x2.5x2.5 um", "2.5e0um"])
def test_a_length_may_have_its_unit_behind_it(run, voxels, tmp_path, length):
    np.save("rock.npy", voxels)
    assert run("import", "rock.npy", "rock.zarr", "--voxel-length", length).exit_code == 0
    image = lx.open(tmp_path / "rock.zarr")
    assert (image.voxel_length, image.voxel_unit) == ((2.5, 2.5, 2.5), "um")
    refused = run("import", "rock.npy", "other.zarr", "--unit", "mm", "--voxel-length", length)
    assert (refused.exit_code, "is not the unit um of --voxel-length" in refused.output) == (2, True)
    assert not (tmp_path / "other.zarr").exists()


def test_numpy_files_are_images(run, voxels, tmp_path):
    np.save("rock.npy", voxels)
    options = ["--voxel-length", "1,2,3", "--unit", "mm", "--chunks", "4", "--field-name", "grey", "--field-unit", "HU"]
    assert run("import", "rock.npy", "rock.zarr", *options).exit_code == 0
    image = lx.open(tmp_path / "rock.zarr")
    assert (image.voxel_length, image.chunks, image.field_name) == ((1.0, 2.0, 3.0), (4, 4, 4), "grey")
    refused = run("import", "rock.npy", "other.zarr", "--shape", "9x8x7")
    assert (refused.exit_code, "--shape: a .npy file says so itself" in refused.output) == (2, True)


def test_info(run, voxels):
    lx.from_array(voxels, store="rock.zarr", voxel_length=2.5, voxel_unit="um", field_name="grey", description="a rock")
    shown = run("info", "rock.zarr").output
    for words in ("grey", "a rock", "9 x 8 x 7", "uint16", "2.5 x 2.5 x 2.5 um", "complete"):
        assert words in shown
    assert "mean" not in shown
    assert "levels" not in shown
    lx.pyramid(lx.open("rock.zarr"), smallest=4)
    assert "5 x 4 x 4 (voxel 5 x 5 x 5 um)" in run("info", "rock.zarr").output
    more = run("info", "rock.zarr", "--statistics").output
    assert f"{voxels.mean():.6g}" in more
    assert f"{voxels.max():.6g}" in more


def test_a_report(run, rng, tmp_path):
    pore = rng.random((20, 20, 20)) < 0.25
    np.save("rock.npy", np.where(pore, 0, 1).astype("u1"))
    made = run(
        "report", "rock.npy", "--pore-phase", "0", "--voxel-length", "2", "--unit", "um", "--title", "A rock", "--quiet"
    )
    assert made.exit_code == 0, made.output
    folder = tmp_path / "rock-report"
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert document["title"] == "A rock"
    assert document["numbers"][[n["key"] for n in document["numbers"]].index("porosity.total")]["value"] == pore.mean()
    assert f"{100 * pore.mean():.2f} %" in made.output
    assert str(folder.relative_to(tmp_path) / "report.html") in made.output
    again = run("report", "rock.npy", "--quiet")
    assert again.exit_code == 1
    assert (
        "Error: --output 'rock-report' holds a report already; name another folder, or pass --overwrite.\n"
        in again.output
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nothing.zarr"], "Error: "),
        (["import", "nothing.raw", "x.zarr"], "'nothing.raw' does not exist"),
        (["import", "short.raw", "x.zarr", "--shape", "9,8,7", "--dtype", "u1"], "Error: "),
        (["import", "short.raw", "x.zarr"], "--shape and --dtype must be given"),
        (
            ["import", "short.raw", "x.zarr", "--shape", "9", "--dtype", "u1"],
            "write three whole numbers along x, y and z",
        ),
        (["import", "short.raw", "x.zarr", "--voxel-length", "two"], "write one number, or three"),
        (["report", "nothing.raw"], "does not exist"),
        (["report", "--shape", "3,3,3"], "none was given"),
        (["report", "short.raw", "--filter", "mean"], "--filter 'mean' is not known"),
    ],
)
def test_what_went_wrong_is_said_in_a_line(run, tmp_path, arguments, words):
    (tmp_path / "short.raw").write_bytes(b"abc")
    failed = run(*arguments)
    assert failed.exit_code in (1, 2)
    assert words in failed.output
    assert "Traceback" not in failed.output
    assert [path.name for path in tmp_path.iterdir()] == ["short.raw"]  # nothing half-made


@pytest.mark.filterwarnings("ignore:rock.npy. a .npy file has no place")
def test_formats_into_each_other(run, voxels, tmp_path):
    lx.from_array(voxels, store="rock.zarr", voxel_length=(2, 2, 3), voxel_unit="um")
    names = ["rock.zarr", "rock.npy", "again.zarr", "rock.tif", "rock.raw", "rock.ome.zarr", "last.zarr"]
    for source, target in pairwise(names):
        made = run("convert", source, target)
        assert made.exit_code == 0, made.output
    np.testing.assert_array_equal(np.load("rock.npy"), voxels)
    np.testing.assert_array_equal(tifffile.imread("rock.tif"), voxels.transpose(2, 1, 0))
    np.testing.assert_array_equal(np.fromfile("rock.raw", "<u2"), voxels.ravel("F"))
    last = lx.open("last.zarr")
    np.testing.assert_array_equal(last[:], voxels)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # nothing in between is left
    refused = run("convert", "rock.zarr", "rock.npy")
    assert (refused.exit_code, "pass --overwrite" in refused.output) == (1, True)


def test_other_chunks_and_levels(run, voxels):
    image = lx.from_array(voxels, store="rock.zarr", voxel_unit="um")
    assert run("rechunk", "rock.zarr", "small.zarr", "--chunks", "2", "--shards", "4,4,4").exit_code == 0
    small = lx.open("small.zarr")
    assert (small.chunks, small.shards, small.content_hash()) == ((2, 2, 2), (4, 4, 4), image.content_hash())
    made = run("pyramid", "rock.zarr", "--smallest", "3")
    assert made.exit_code == 0, made.output
    assert made.output.count(" voxels of uint16, each ") == 3
    assert len(lx.open("rock.zarr").levels) == 2
    assert "holds a pyramid already" in run("pyramid", "rock.zarr").output
    assert run("pyramid", "rock.zarr", "rock.ome.zarr", "--method", "first", "--smallest", "3").exit_code == 0
    assert len(lx.open("rock.ome.zarr").levels) == 2
    assert run("pyramid", "rock.zarr", "shards.ome.zarr", "--chunks", "2", "--shards", "4").exit_code == 0
    assert (lx.open("shards.ome.zarr").chunks, lx.open("shards.ome.zarr").shards) == ((2, 2, 2), (4, 4, 4))


def test_verify_says_what_is_damaged_and_fails(run, voxels, tmp_path):
    lx.from_array(voxels, store="rock.zarr", chunks=4).content_hash()
    sound = run("verify", "rock.zarr")
    assert (sound.exit_code, "no defects" in sound.output) == (0, True)
    (tmp_path / "rock.zarr/c/1/1/1").write_bytes(b"")
    damaged = run("verify", "rock.zarr", "--no-hash")
    assert damaged.exit_code == 1
    assert "'c/1/1/1'" in damaged.output
    assert run("verify", "nothing.zarr").exit_code == 1


def test_view_in_a_browser(run, voxels, monkeypatch):
    lx.from_array(voxels, store="rock.zarr", voxel_unit="um")
    lx.from_array(voxels > 30_000, store="phases.zarr", voxel_unit="um")
    pages, opened = [], []

    def look(server):
        pages.append([urllib.request.urlopen(server.url + rest).status for rest in ("", "image/zarr.json")])

    monkeypatch.setattr(LoopbackServer, "wait", look)
    monkeypatch.setattr(
        webbrowser,
        "open",
        lambda url: opened.append(Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path)).read_text()),
    )
    shown = run("view", "rock.zarr", "--web", "--segmentation", "phases.zarr")
    assert shown.exit_code == 0, shown.output
    assert pages == [[200, 200]]
    assert shown.output.split()[0].startswith("http://127.0.0.1:")
    assert f'url={shown.output.split()[0]}"' in opened[0]  # in a private file, not in a command line
    assert run("view", "rock.zarr", "--web", "--no-browser").exit_code == 0
    assert len(opened) == 1
    assert run("view", "rock.zarr", "--volume").exit_code == 2


def test_where_it_went_wrong_is_shown_when_asked(run, monkeypatch):
    monkeypatch.setenv("LITHAX_TRACEBACK", "1")
    assert isinstance(run("info", "nothing.zarr").exception, FileNotFoundError)


@pytest.fixture
def run_by_two():
    """Start a command in two processes; returns how it ended."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("mpiexec is not installed: pip install 'lithax[mpi]'")
    lithax = [launcher, "-n", "2", sys.executable, "-c", "from lithax.cli import main; main()"]
    return lambda *arguments: subprocess.run([*lithax, *arguments], capture_output=True, text=True, timeout=120)


def test_a_command_of_one_process_is_not_run_by_two(run_by_two, run, voxels, tmp_path):
    lx.from_array(voxels, store="rock.zarr")
    done = run_by_two("export", "rock.zarr", "rock.raw")
    assert done.returncode == 2, done
    assert done.stderr.count("lithax export works in one process, and a launcher such as mpiexec has started 2") == 1
    assert not (tmp_path / "rock.raw").exists()


@pytest.mark.mpi
def test_two_processes_share_a_solve(run_by_two, run, tmp_path, rng):
    """Each computes its part; one of them speaks."""
    lx.from_array((rng.random((32, 12, 10)) < 0.2).astype("u1"), store="rock.zarr", chunks=8)
    for quantity in ("conductivity", "permeability"):
        solve = ("solve", quantity, "rock.zarr", "--pore", "0", "--axis", "x", "--quiet", "--json")
        alone, done = run(*solve, "alone.json"), run_by_two(*solve, "found.json")
        assert (alone.exit_code, done.returncode) == (0, 0), (alone.output, done)
        assert done.stdout.count("ends") == alone.output.count("ends")
        found, expected = (json.loads(Path(f"{name}.json").read_text())["value"] for name in ("found", "alone"))
        np.testing.assert_allclose(found, expected, rtol=1e-5)  # sums in another order
    refused = run_by_two("solve", "permeability", "rock.zarr", "--pore", "0", "--budget")
    assert refused.returncode == 1
    assert refused.stderr.count("--budget is not available over several devices") == 1


def test_the_numbers_of_a_conductivity_are_written_as_json(run, tmp_path):
    pore = np.zeros((5, 4, 3), bool)
    pore[:, 1, 1] = True  # joins the ends along x, and along no other axis
    image = lx.from_array(pore, store=tmp_path / "tube.zarr")
    done = run("solve", "conductivity", tmp_path / "tube.zarr", "--quiet", "--json", tmp_path / "new" / "f.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "new" / "f.json").read_text(encoding="utf-8"))
    assert found["value"] == lx.solve.conductivity(image, axis="all", progress=False).value.tolist()
    # One open column of twelve: F is the ratio of the areas; JSON has no word for infinity.
    assert found["formation_factor"] == [pytest.approx(12, rel=1e-5), None, None]
    assert found["converged"] == [True] * 3
    assert found["units"]["formation_factor"] == "-"


def test_what_a_solve_of_a_large_image_is_told(run, tmp_path):
    image = lx.from_array(np.ones((64, 64, 64), bool), store=tmp_path / "rock.zarr")
    command = ("solve", "conductivity", tmp_path / "rock.zarr", "--axis", "x", "--quiet")
    done = run(*command, "--memory-limit", "1MB")
    assert done.exit_code == 1
    assert (
        "and 0.001 GB may be used; coarsen the image (lithax pyramid, then --path); or raise --memory-limit."
        in done.output
    )
    limit = lx.plan(lx.solve.conductivity, image).memory - 1  # from disk it takes less
    done = run(*command, "--memory-limit", limit, "--scratch", tmp_path / "nowhere")
    assert done.exit_code == 1
    assert "must be a folder that files can be made in" in done.output
    np.savez(tmp_path / "solve-x-0-1.npz", identity="of another image")
    done = run(*command, "--checkpoint", tmp_path)
    assert done.exit_code == 1
    assert "holds the state of another solve" in done.output


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is that of glibc")
@pytest.mark.parametrize(("command", "given", "found"), [
    ("solve", None, "glibc.malloc.hugetlb=1"), ("solve", "glibc.malloc.perturb=0", "glibc.malloc.perturb=0"), ("info", None, None),
])  # fmt: skip
def test_solves_begin_in_large_pages(command, given, found):
    code = "import os, sys\nprint(os.environ.get('GLIBC_TUNABLES'), os.getpid())\nfrom lithax.cli import run\nrun()"
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"} | (
        {} if given is None else {"GLIBC_TUNABLES": given}
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--help"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    begun = [line.split() for line in done.stdout.splitlines() if line[:4] in ("None", "glib")]
    assert [word for word, _ in begun] == [str(given)] * (found == given) + [str(given), str(found)] * (found != given)
    assert len({process for _, process in begun}) == 1  # the same process, begun anew
    assert "Usage:" in done.stdout


def test_notes_of_a_permeability_end_once(run, tmp_path, rng):
    lx.from_array((rng.random((12, 12, 12)) < 0.6).astype("u1"), store=tmp_path / "rock.zarr")
    done = run(
        "solve", "permeability", tmp_path / "rock.zarr", "--pore", 1, "--quiet", "--checkpoint", tmp_path / "kept"
    )
    assert done.exit_code == 0, done.output
    assert "(--budget)." in done.output
    assert ".." not in done.output
    assert not list((tmp_path / "kept").glob("*"))
    done = run("solve", "permeability", tmp_path / "rock.zarr", "--pore", 1, "--blocks", 6, "--checkpoint", "kept")
    assert done.exit_code == 2
    assert "--checkpoint: of a solve of the whole image; leave it out with --blocks" in done.output
