"""What a user reads when a command fails: words of the command line, no names of Python."""

import re

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import lithax as lx
from lithax.cli import main

PYTHON = re.compile(
    r"\b(?:lx|lithax|np|numpy|zarr|tifffile)\.[a-z_]+\b|\b[a-z_]+\(|\b[a-z_]+=|import_raw|from_array|Traceback"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.arange(60, dtype="u2").reshape(3, 4, 5)
    lx.from_array(values, store="rock.zarr", voxel_length=2, voxel_unit="um")
    lx.from_array(values + 1j, store="complex.zarr")
    values.tofile("rock.raw")
    values.tofile("rock.4d")
    tifffile.imwrite("rgb.tif", np.zeros((8, 9, 3), "u1"), photometric="rgb")
    tifffile.imwrite("rock.tif", values, photometric="minisblack")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array", "shape": [0]}')
    (tmp_path / "empty").mkdir()
    np.save("flat.npy", np.zeros((4, 4)))
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
    "import rock.raw a.zarr",
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
    known = {option for command in main.commands.values() for p in command.params for option in p.opts} | {"--help"}
    assert set(options) <= known, message


def test_options_stand_once_in_a_command():
    for name, command in main.commands.items():
        options = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
        assert len(options) == len(set(options)), name
        text = command.get_help(click.Context(command))
        rows = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
        assert len(rows) == len(set(rows)), name
        assert not re.search(r"\blx\.|import_raw|from_array|=True", text), name


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("info rock.raw", "--shape and --dtype must be given"),
        ("import rock.raw rock.zarr --shape 3,4,5 --dtype u2", "pass --overwrite"),
        ("import rock.raw a.zarr --shape 3,4,6 --dtype u2", "is too short: it has 120 bytes"),
        ("info rock.tif --voxel-length 0", "--voxel-length"),
        ("convert rock.zarr a.vti", "'a.vti' ends with '.vti', which no format has that is written"),
    ],
)
def test_what_is_said(folder, command, words):
    assert words in CliRunner().invoke(main, command.split()).output
