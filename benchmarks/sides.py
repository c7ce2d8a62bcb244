"""The processes that are timed, each in the environment of its packages."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent / "worker.py"
KINDS = ("free", "pinned", "devices", "bound", "apart")
PEERS = {
    "rockverse": ["rockverse==1.2.1", "mpich>=4.3"],
    "taufactor": ["taufactor==1.2.1", "torch"],
    "voxels": ["edt>=3", "connected-components-3d>=4", "dask-image>=2024.5", "zarr>=3.1.6"],
    "porespy": ["porespy==3.2.0", "openpnm", "pypardiso; platform_machine == 'x86_64'"],
    "lbmpy": ["lbmpy==2.0"],
}
PEER_PYTHON = ((3, 11), (3, 12))


class Unavailable(RuntimeError):
    """A side cannot run here, or a case of it failed."""


def peer_environment(folder: Path, peer: str) -> Path:
    """Return the folder of executables of an environment with a peer; make it (about 1 GB) if it is not there.

    LITHAX_ROCKVERSE, LITHAX_TAUFACTOR, LITHAX_PORESPY, LITHAX_VOXELS and LITHAX_LBMPY name the interpreter of an environment that exists already.
    """
    given = os.environ.get(f"LITHAX_{peer.upper()}")
    if given:
        return Path(given).parent
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "complete").exists():
        names = ["python3.12", "python3.11"]
        here = [sys.executable] if sys.version_info[:2] in PEER_PYTHON else []
        interpreters = here + [found for name in names if (found := shutil.which(name))]
        if not interpreters:
            raise Unavailable(f"{PEERS[peer][0]} needs Python 3.11 or 3.12, and neither is here")
        print(f"Installing {PEERS[peer][0]} into its own environment: about 1 GB, minutes.", file=sys.stderr)
        subprocess.run([interpreters[0], "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(scripts / "python"), "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        (folder / "complete").touch()
    return scripts


def mpiexec() -> str:
    """Return the launcher that belongs to the MPI library of this Python."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise Unavailable("mpiexec is not installed: pip install 'lithax[mpi]'")
    return found


class Side:
    """One warm worker, spoken to in lines of JSON.

    Parameters
    ----------
    name
        ``"lithax"``, ``"conduction"``, ``"permeability"``, ``"lattice_boltzmann"``, ``"bare"``, ``"taps"``, ``"scipy"``, ``"whole_images"``, ``"taufactor"``, ``"porespy"``, ``"lbmpy"``, ``"voxels"``, ``"rockverse"``, or ``"rockverse-2"`` for two processes under mpiexec; ``"free"``,
        ``"pinned"``, ``"devices"``, ``"bound"`` and ``"apart"`` are the kinds of `processes_side`, ``"pinned-2"`` two processes of it.
    folder
        Where logs and environments are kept.
    """

    def __init__(self, name: str, folder: Path):
        module, _, processes = name.partition("-")
        command = [sys.executable]
        if module in PEERS:
            scripts = peer_environment(folder / module, module)
            command = [str(scripts / "python")]
            if processes:
                command = [str(scripts / "mpiexec"), "-n", processes, *command]
        elif processes:
            command = [mpiexec(), "-n", processes, *command]
        arguments = ["processes", module] if module in KINDS else [module]
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, str(WORKER), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Unavailable(f"{self.name} ended: see {self._log}")
        reply = json.loads(line)
        if "error" in reply:
            raise Unavailable(f"{self.name}: {reply['error']}")
        return reply

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=30)
        except BrokenPipeError:
            self._process.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()


class Sides:
    """Every worker that has been asked for: started when it is first needed, and again if it has ended."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sides: dict[str, Side] = {}

    def __getitem__(self, name: str) -> Side:
        if name not in self._sides or not self._sides[name].alive:
            try:
                self._sides[name] = Side(name, self._folder)
            except (subprocess.CalledProcessError, OSError) as error:
                raise Unavailable(f"{name} does not start: {error}") from error
        return self._sides[name]

    def versions(self) -> dict[str, dict[str, str]]:
        """Return the versions of the packages of every side that runs."""
        found = {}
        for name, side in self._sides.items():
            with contextlib.suppress(Unavailable):
                side.ask("prepare", key="versions", case="versions", options={})
                found[name] = side.ask("run", key="versions")["facts"]
        return found

    def close(self) -> None:
        for side in self._sides.values():
            side.close()
