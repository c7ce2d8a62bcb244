"""What a user reads when a command fails: words of the command line, no names of Python."""

import re
import warnings

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import lithax as lx
from lithax.cli import main
from lithax.cli._parameters import worded

PYTHON = re.compile(
    r"\b(?:lx|lithax|np|numpy|zarr|tifffile)\.[a-z_]+\b|\b[a-z_]+\(|\b[a-z_]+=|import_raw|from_array|Traceback"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.arange(60, dtype="u2").reshape(3, 4, 5)
    lx.from_array(values, store="rock.zarr", voxel_length=2, voxel_unit="um")
    lx.from_array(values + 1j, store="complex.zarr")
    lx.from_array(values % 3, store="plain.zarr")
    values.tofile("rock.raw")
    values.tofile("rock.4d")
    tifffile.imwrite("rgb.tif", np.zeros((8, 9, 3), "u1"), photometric="rgb")
    tifffile.imwrite("rock.tif", values, photometric="minisblack")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array", "shape": [0]}')
    (tmp_path / "empty").mkdir()
    np.save("flat.npy", np.zeros((4, 4)))
    np.save("none.npy", np.zeros((0, 4, 4)))
    np.save("records.npy", np.zeros((2, 2, 2), [("a", "u1")]))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "rock.npy").write_bytes((tmp_path / "rock.tif").read_bytes())
    (tmp_path / "none.tif").touch()
    Image.fromarray(values[0]).save("lzw.tif", compression="tiff_lzw")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "slices").mkdir()
    for n in (0, 1, 3):
        tifffile.imwrite(f"slices/s{n}.tif", values[n % 3])
    return tmp_path


FAILING = [
    "info nothing.zarr",
    "info nothing.tif",
    "info damaged.zarr",
    "info damaged.tif",
    "info rgb.tif",
    "info empty",
    "info rock.raw",
    "info rock.4d",
    "info rock.raw --shape 3,4,4 --dtype u2",
    "info rock.tif --shape 3,4,5",
    "info rock.tif --path scan",
    "info rock.zarr --shape 3,4,5",
    "info rock.zarr --path scan",
    "info rock.tif --voxel-length 0",
    "info rock.tif --voxel-length 2 --unit kg",
    "info none.npy",
    "info records.npy",
    "info objects.npy",
    "info rock.npy",
    "info none.tif",
    "info lzw.tif",
    "info slices",
    "info rock.raw --dtype u2",
    "info rock.tif --voxel-length 2,5um",
    "import rock.raw a.zarr",
    "import slices a.zarr --shape 3,4,5",
    "convert rock.zarr a.raw --chunks 2",
    "convert rock.tif folder.npy",
    "info loop",
    "solve conductivity rock.zarr",
    "solve conductivity rock.zarr --value 0=5 --value 0=1",
    "solve permeability rock.zarr --permeability 2=1.5mD --permeability 2=2mD",
    "solve conductivity rock.zarr --pore 99",
    "solve permeability rock.zarr --pore 99",
    "solve permeability rock.zarr --pore 0 --permeability 99=1mD",
    "solve permeability rock.zarr --pore 0 --permeability 0=1mD",
    "solve permeability rock.zarr --pore 0 --permeability 2=-1mD",
    "solve permeability rock.zarr --pore 0 --permeability 2=1kg",
    "solve permeability rock.npy --pore 0 --permeability 2=1mD",
    "solve permeability plain.zarr --pore 0 --permeability 2=1mD",
    "solve permeability plain.zarr --pore 0 --permeability 2=1mD --wall accurate",
    "solve conductivity plain.zarr --value 0=5",
    "export rock.zarr a.raw.gz",
    "import rock.raw a.zarr --shape 3,4,5",
    "import rock.raw a.zarr --shape 3,4,6 --dtype u2",
    "import rock.raw a.zarr --shape 3,4,5 --dtype nonsense",
    "import rock.raw a.zarr --shape 3,4,5 --dtype u2 --offset -1",
    "import rock.raw rock.zarr --shape 3,4,5 --dtype u2",
    "import rock.raw a.tif --shape 3,4,5 --dtype u2",
    "import rock.raw a.vti --shape 3,4,5 --dtype u2",
    "import flat.npy a.zarr",
    "import rgb.tif a.zarr",
    "import rock.tif a.zarr --chunks 0",
    "export rock.zarr rock.raw",
    "export rock.zarr rock.vti",
    "export rock.zarr rock",
    "export rock.zarr a.tif --dtype u1",
    "export rock.zarr a.raw --dtype u1 --byteorder big --fiji-macro --order Q",
    "export complex.zarr a.tif",
    "export complex.zarr a.nrrd",
    "export nothing.zarr a.raw",
    "convert rock.zarr a.vti",
    "convert rock.zarr a.nc",
    "convert rock.zarr rock.tif",
    "convert rock.raw a.tif",
    "convert complex.zarr a.mha",
    "convert rock.zarr rock.zarr --overwrite",
    "rechunk rock.zarr rock.zarr --chunks 2",
    "rechunk rock.zarr b.zarr --chunks 2 --shards 3",
    "pyramid rock.tif",
    "pyramid complex.zarr --smallest 2 --method mode",
    "pyramid rock.zarr rock.raw",
    "verify nothing.zarr",
    "view complex.zarr --web --no-browser",
    "view rock.raw --web --no-browser",
    "report nothing.raw",
    "report rock.raw",
    "report rock.tif --shape 3,4,5 --dtype u2",
    "report damaged.tif",
    "report rock.zarr --threshold nonsense",
]


@pytest.mark.parametrize("command", FAILING)
def test_no_python_in_a_message(folder, command):
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code in (1, 2), done.output
    message = done.output.partition("Error: ")[2]
    assert message.strip(), done.output
    found = PYTHON.search(message)
    assert found is None, f"{found[0]!r} in {message}"
    options = re.findall(r"--[a-z-]+", message)
    assert not re.search(r"(--[\w-]+)(?:,| and| or) \1\b", message), message  # none twice in a list
    commands = [c for one in main.commands.values() for c in (one, *getattr(one, "commands", {}).values())]
    known = {option for command in commands for p in command.params for option in p.opts} | {"--help"}
    assert set(options) <= known, message


def test_options_stand_once_in_a_command():
    for name, command in main.commands.items():
        options = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
        assert len(options) == len(set(options)), name
        text = command.get_help(click.Context(command))
        rows = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
        assert len(rows) == len(set(rows)), name
        assert not re.search(r"\blx\.|import_raw|from_array|=True", text), name


def test_the_help_names_the_rule_of_walls_that_is_taken():
    text = " ".join(main.commands["solve"].commands["permeability"].get_help(click.Context(click.Command("k"))).split())
    assert "half_voxel is the only one for soft walls and with --permeability. [default: accurate, or that]" in text
    rock = np.ones((4, 4, 4), np.uint8)
    rock[:, 1:3] = 0
    for options, rule in (({}, "accurate"), ({"permeability": {1: 0.1}}, "half_voxel")):
        assert lx.solve.permeability(rock, pore=0, axis="x", **options).wall == rule


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("info rock.raw", "--shape and --dtype must be given"),
        ("import rock.raw rock.zarr --shape 3,4,5 --dtype u2", "pass --overwrite"),
        ("import rock.raw a.zarr --shape 3,4,6 --dtype u2", "is too short: it has 120 bytes"),
        ("info rock.tif --voxel-length 0", "--voxel-length"),
        ("info none.npy", "an image has at least one voxel"),
        ("info records.npy", "an image holds numbers or booleans"),
        ("info objects.npy", "holds Python objects; an image holds numbers"),
        ("info rock.npy", "it does not begin like one"),
        ("info none.tif", "it is empty"),
        ("info slices", "between the slices s1.tif and s3.tif is a gap"),
        ("info empty", "neither a Zarr store nor one of TIFF slices"),
        ("info rock.raw --dtype u2", "--shape is missing"),
        ("info rock.tif --voxel-length 2 --unit kg", "--unit 'kg' is no unit of length (it measures [mass])"),
        ("info rock.tif --voxel-length 2,5um", "with a decimal point: 2.5um, or 2.5,2.5,5um"),
        ("info loop", "is a symbolic link that leads to itself"),
        ("convert rock.tif folder.npy", "folder.npy"),
        ("solve conductivity rock.zarr --value 0=5 --value 0=1", "phase 0 is given twice"),
        ("solve permeability rock.zarr --permeability 2=1mD --permeability 2=2", "phase 2 is given twice"),
        (
            "solve permeability rock.zarr --blocks 2 --sides no_slip --budget",
            "--sides, --budget: of a solve of the whole",
        ),
        (
            "solve permeability plain.zarr --pore 0 --blocks 5",
            "--blocks 5 must be whole numbers of voxels, at least 2, that fit",
        ),
        ("solve conductivity plain.zarr --pore 9", "--pore 9 is no value of the image, which holds 0, 1, 2"),
        (
            "solve permeability plain.zarr --pore 0 --permeability 2=1mD",
            "--permeability 2='1.0 mD' has a unit, but the image has no unit of length: name it where the file is read "
            "(--voxel-length 2um), or give a plain number in voxel².",
        ),
        ("solve conductivity rock.zarr --value five", "write PHASE=CONDUCTIVITY, such as 0=5.0"),
        ("solve conductivity rock.zarr", "Pass --pore 0 (which value is pore) or --value, once for each phase"),
        ("pyramid rock.tif", "name a TARGET, such as rock.ome.zarr"),
        ("convert rock.zarr a.vti", "'a.vti': lithax does not write .vti files; use one of .zarr"),
    ],
)
def test_what_is_said(folder, command, words):
    assert words in CliRunner().invoke(main, command.split()).output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "import rock.tif new.zarr --voxel-length 2,2,5um",
            "new.zarr: 5 x 4 x 3 voxels of uint16, each 2 x 2 x 5 um, chunks",
        ),
        (
            "convert rock.raw new.zarr --shape 3,4,5 --dtype u2",
            "new.zarr: 3 x 4 x 5 voxels of uint16, chunks 3 x 4 x 5",
        ),
        ("rechunk rock.zarr new.zarr --chunks 2", "new.zarr: 3 x 4 x 5 voxels of uint16, each 2 um, chunks 2 x 2 x 2"),
        ("verify rock.zarr", "rock.zarr: no defects"),
        ("info rock.tif --voxel-length 2.5Å", "2.5 x 2.5 x 2.5 Å"),
    ],
)
def test_no_python_in_an_answer(folder, command, words):
    done = CliRunner().invoke(main, [*command.split(), *(["--quiet"] if command[0] in "cr" else [])])
    assert done.exit_code == 0, done.output
    assert words in done.output
    found = PYTHON.search(done.output)
    assert found is None, f"{found[0]!r} in {done.output}"


def test_what_a_damaged_store_is_told(folder):
    image = lx.from_array(np.arange(4096, dtype="u2").reshape(16, 16, 16), store="levels.zarr", chunks=8)
    lx.pyramid(image, smallest=8, progress=False)
    image[0, 0, 0] = 9
    done = CliRunner().invoke(main, ["verify", "levels.zarr"])
    assert done.exit_code == 1
    assert "make them again with lithax pyramid --overwrite" in done.output
    assert PYTHON.search(done.output) is None, done.output


def test_an_import_that_was_cut_off(folder):
    document = folder / "rock.zarr" / "zarr.json"
    document.write_text(document.read_text().replace('"complete"', '"writing"'))
    for command in ("export rock.zarr a.npy", "report rock.zarr", "verify rock.zarr"):
        done = CliRunner().invoke(main, [*command.split(), "--quiet"])
        assert done.exit_code == 1
        assert "was cut off while it was written; repeat what was writing it." in done.output
        assert PYTHON.search(done.output) is None, done.output


def test_a_full_or_read_only_disk_is_named(folder, monkeypatch):
    def full(*arguments, **options):
        words = (
            "Read-only file system while this file was written; the file system is mounted read-only: write elsewhere"
        )
        raise OSError(30, words, "out/a.zarr/zarr.json")

    monkeypatch.setattr("lithax.images.convert", full)
    done = CliRunner().invoke(main, ["convert", "rock.raw", "a.tif", "--quiet"])
    assert done.output.startswith("Error: out/a.zarr/zarr.json: Read-only file system")
    assert "write elsewhere" in done.output


def test_a_warning_is_a_line(folder):
    # What a shell shows; in this process a warning is an error.
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = CliRunner().invoke(main, ["convert", "rock.zarr", "a.npy", "--quiet"])
    assert done.exit_code == 0
    assert "Warning: a.npy: a .npy file has no place for voxel_length, voxel_unit" in done.output
    assert ".py" not in done.output.replace("npy", "")


def test_a_piece_that_does_not_fit_has_a_way_out():
    rock = lx.create((256, 256, 256), "u1")
    with pytest.raises(lx.errors.MemoryLimitError) as found:
        lx.solve.upscaled_permeability(rock, edge=128, pore=0, memory_limit="2 GiB")
    said = worded(str(found.value))
    assert said.startswith("the estimate of the error solves a piece of (256, 256, 256) voxels")
    assert said.endswith("choose smaller --blocks.")
    assert not PYTHON.search(said)
