"""One session for each question that one can ask about the project; CI asks the same ones by the same names.

``python -m nox -s tests`` is the usual one; what stands after ``--`` is passed on.
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import nox
import nox.project

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
TORCH = "torch==2.13.0"
READERS = ["zarr==3.0.10", "zarr>=3", "tensorstore"]  # an old one that was not withdrawn, the newest, and another
NO_TESTS = 5  # what pytest returns when it collected nothing
CACHE = {  # compiled programs outlive the process: the second run of demo or tests compiles next to nothing
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def install_torch(session: nox.Session) -> None:
    """Install PyTorch where that is cheap; LITHAX_TESTS_TORCH=1 installs it anywhere, 0 nowhere."""
    choice = os.environ.get("LITHAX_TESTS_TORCH") or ("1" if torch_is_cheap(session) else "0")
    if choice == "0":
        session.log("PyTorch stays out (its build offered here may bring 3 GB of CUDA); LITHAX_TESTS_TORCH=1 takes it")
    else:
        session.install(TORCH)


def torch_is_cheap(session: nox.Session) -> bool:
    """Ask pip what PyTorch would bring along; the builds without CUDA bring none of NVIDIA's packages."""
    answer = Path(session.create_tmp()) / "torch.json"
    answer.unlink(missing_ok=True)
    flags = ["--dry-run", "--ignore-installed", "--quiet", f"--report={answer}"]
    session.run("python", "-m", "pip", "install", *flags, TORCH, silent=True, success_codes=[0, 1])
    if not answer.exists():
        return False
    names = [item["metadata"]["name"] for item in json.loads(answer.read_text())["install"]]
    return not any(name.startswith(("nvidia", "cuda", "triton")) for name in names)


def workers() -> tuple[str, ...]:
    """Neighbours in a file stay on one worker, which makes its fixtures and compiles its programs once."""
    return f"--numprocesses={min(os.cpu_count() or 1, 8)}", "--dist=worksteal"


@nox.session
def demo(session: nox.Session) -> None:
    """Make demo/report.html: from a simulated scan of a measured sphere pack to petrophysical numbers."""
    session.install(".[viz]")
    session.run("lithax", "report", "--output", "demo", *session.posargs, env=CACHE)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, but for those marked gpu, mpi or slow; a few start processes with mpiexec all the same."""
    session.install(".[io,mpi,pandas,viz,web,xarray]", *group("tests"))
    install_torch(session)
    session.run("pytest", *workers(), "--durations=10", *session.posargs, env=CACHE)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with pyright."""
    session.install(".[classifier,io,notebook,pandas,viz,volume,web,xarray,xray]", *group("types"))
    session.run("pyright", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build docs/_build/index.html, executing its pages; a warning is an error, and so is a link that leads nowhere."""
    session.install(".[classifier,io,mpi,pandas,viz,volume,xarray,xray]", *group("docs"))
    shutil.rmtree(ROOT / "docs/_build", ignore_errors=True)  # pages that are gone must not linger
    session.run(
        "sphinx-build", "-W", "-E", "--keep-going", "-b", "html", "docs", "docs/_build", *session.posargs, env=CACHE
    )
    session.run("python", "docs/check_links.py", "docs/_build")


@nox.session
def tutorials(session: nox.Session) -> None:
    """Execute the tutorials, each of which ends with a number that it checks."""
    session.install(".[classifier,io,mpi,pandas,viz,xarray,xray]", *group("tutorials"))
    notebooks = session.posargs or sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tutorials").glob("*.md"))
    for notebook in notebooks:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            options = ["--to", "ipynb", "--execute", "--run-path", folder, "--output", f"{folder}/notebook.ipynb"]
            session.run("jupytext", *options, notebook, env=CACHE)
        session.log(f"{notebook} took {time.monotonic() - start:.0f} s")


@nox.session
def interop(session: nox.Session) -> None:
    """Use the viewer in windows of Qt and in JupyterLab, by mouse; read stored images with napari and other programs."""
    session.install(".[desktop,notebook,web]", "jupyterlab>=4.2", "napari[pyside6]>=0.5", "napari-ome-zarr>=0.6")
    programs = session.posargs or [
        "in_a_window.py", "in_jupyter.py", "in_napari.py", "in_neuroglancer.py", "in_other_readers.py"
    ]  # fmt: skip
    for program in programs:
        if program == "in_other_readers.py":
            read_elsewhere(session, f"tests/interop/{program}")
        else:
            session.run("python", f"tests/interop/{program}", env={"QT_QPA_PLATFORM": "offscreen"})


def read_elsewhere(session: nox.Session, program: str) -> None:
    """Let each reader open stored images in an environment of its own, in which lithax need not be installable."""
    with tempfile.TemporaryDirectory() as folder:
        for number, reader in enumerate(READERS):
            session.run("python", program, "write", f"{folder}/{number}")
            python = f"{folder}/reader-{number}/bin/python"
            session.run("python", "-m", "venv", f"{folder}/reader-{number}")
            session.run(python, "-m", "pip", "install", "--quiet", reader, external=True)
            session.run(python, program, "read", f"{folder}/{number}", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Time lithax beside RockVerse, scipy and bare reading and writing, and renew docs/benchmarks.md."""
    session.install(".[viz,web]", "scikit-learn>=1.5")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def mpi(session: nox.Session) -> None:
    """Run all tests of several processes and devices, by MPI and by jax.distributed; in CI those that `tests` and `slow` leave."""
    session.install(".[io,mpi,pandas,viz,web,xarray]", *group("tests"))
    rooms = session.posargs or ["tests/cli", "tests/processes", "tests/runtime", "tests/sharded"]
    which = ["-m", "mpi"] if os.environ.get("CI") else ["--run-slow"]  # CI has asked `tests` for the others
    session.run("pytest", "--run-mpi", *which, "--durations=10", *rooms, env=CACHE)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill runs, fuzz metadata and damage stores, drawn from seeds that are printed; ``-- --minutes 5`` is the default."""
    session.install(".")
    session.run("python", "tests/faults/campaigns.py", *session.posargs, env=CACHE)


@nox.session
def strict(session: nox.Session) -> None:
    """Run the tests of the pure rooms with JAX refusing implicit promotions, and with many more drawn examples."""
    session.install(".[io,pandas,viz,web,xarray]", *group("tests"))
    install_torch(session)
    environment = CACHE | {
        "HYPOTHESIS_PROFILE": "thorough",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
    }
    rooms = [f"tests/{room}" for room in ("arrays", "geometry", "ops", "measure", "generate")]
    session.run("pytest", *workers(), *(session.posargs or rooms), env=environment)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes or gigabytes, with all optimisations of the compiler."""
    session.install(".[io,mpi,pandas,viz,web,xarray]", *group("tests"))
    environment = CACHE | {"LITHAX_TESTS_OPTIMISED": "1"}
    session.run("pytest", "--run-slow", "-m", "slow", "--durations=10", *session.posargs, env=environment)


@nox.session
def optimised(session: nox.Session) -> None:
    """Run the tests as users compile, and with annotations checked at every call; CI takes chunk grids and pages."""
    session.install(".[io,mpi,pandas,viz,web,xarray]", *group("tests"))
    if not session.posargs:
        install_torch(session)
    environment = CACHE | {
        "LITHAX_TESTS_OPTIMISED": "1",
        "LITHAX_CHECK_TYPES": os.environ.get("LITHAX_CHECK_TYPES", "all"),
    }
    session.run("pytest", *workers(), *session.posargs, env=environment)


@nox.session
def newest(session: nox.Session) -> None:
    """Run the tests with the newest JAX, NumPy and Zarr there are, also beyond the bounds of pyproject.toml."""
    session.install(".[io,pandas,viz,web,xarray]", *group("tests"))
    session.install("--upgrade", "jax", "jaxlib", "numpy", "zarr")  # pip says which bounds these break
    session.run("python", "-c", "import jax, numpy, zarr; print(jax.__version__, numpy.__version__, zarr.__version__)")
    session.run("pytest", *workers(), *session.posargs, env=CACHE)


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the tests that need a GPU; installs JAX for CUDA, LITHAX_JAX=jax[rocm] or the like for another one."""
    session.install(".[io,pandas,viz,web,xarray]", *group("tests"), os.environ.get("LITHAX_JAX", "jax[cuda13]"))
    session.run("pytest", "--run-gpu", "-m", "gpu", *session.posargs, success_codes=[0, NO_TESTS])
