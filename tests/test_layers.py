"""The storeys: which room may import which, and which room may import what from outside."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lithax"

STOREYS = [  # from the ground up: a room may import every room of the storeys below it
    ["errors", "groups", "typing"],
    ["arrays", "geometry", "grid"],  # 0: nouns
    ["ops", "measure", "generate", "models"],  # 1: verbs
    ["storage", "runtime"],  # 2: edges of the world
    ["chunked", "sharded"],  # 3: combinators
    ["images", "fields", "inverse", "solve"],  # 4: what users type
    ["viz", "report", "web", "cli", "testing"],  # 5: faces
]
NEIGHBOURS = {  # rooms of the same storey that a room may import as well
    "geometry": {"arrays"},
    "measure": {"ops"},
    "generate": {"ops"},
    "models": {"ops"},
    "fields": {"images"},
    "inverse": {"images"},
    "solve": {"images"},
    "report": {"viz"},
    "cli": {"viz", "report", "web"},
}
NEVER = {  # rooms below that a room must not know
    "storage": {"ops", "measure", "generate", "models"},
    "runtime": {"ops", "measure", "generate", "models"},
    "chunked": {"storage"},
    "sharded": {"storage", "ops", "measure", "generate", "models"},
    "solve": {"storage"},
}
OUTSIDE = {  # a package, and the rooms that may import it
    "zarr": {"storage"},
    "numcodecs": {"storage"},
    "zarrs": {"storage"},
    "mpi4py": {"runtime"},
    "scipy": {"arrays"},
    "cc3d": {"arrays"},
    "edt": {"arrays"},
    "skimage": {"arrays"},
    "sklearn": {"images"},
    "matplotlib": {"viz", "report"},
    "hypothesis": {"testing"},
    "pytest": set(),
    "dask": set(),
}

FILES = [SOURCE / "__init__.pyi", *sorted(SOURCE.rglob("*.py"))]
NAMES = [path.relative_to(SOURCE).as_posix() for path in FILES]


DOORS = {"__init__", "regions", "arith", "dect", "passes"}  # names for users, out of any file; no room imports a door
ROOMS = {room for storey in STOREYS for room in storey}


def allowed(room: str) -> set[str]:
    if room in DOORS:
        return ROOMS - {"cli", "testing"} | (DOORS if room == "__init__" else {room})
    level = next(level for level, storey in enumerate(STOREYS) if room in storey)
    below = {other for storey in STOREYS[:level] for other in storey}
    return below - NEVER.get(room, set()) | NEIGHBOURS.get(room, set()) | {room}


def room_of(path: Path) -> str:
    return Path(path.relative_to(SOURCE).parts[0]).stem


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parts[: -node.level] if node.level else ()
            base = ".".join((*package, *((node.module,) if node.module else ())))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and name_of(node.func) in ("import_module", "__import__", "find_spec"):
            yield from ((node.lineno, named) for named in imported_by_name(node))


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def imported_by_name(call: ast.Call) -> Iterator[str]:
    """Yield what `import_module` imports; an f-string as far as it is written out."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant):
        yield str(first.value)
    elif isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
        yield f"{first.values[0].value}*"
    else:
        yield "unknown.name"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_room_imports_only_what_stands_below_it(path):
    room = room_of(path)
    for line, name in imported(path):
        top, *rest = name.split(".")
        if top == "lithax" and rest and "*" in rest[0]:
            assert room in DOORS, f"{path.relative_to(SOURCE)}:{line}: {name} hides what is imported; name the room"
            continue
        where = f"{path.relative_to(SOURCE)}:{line}"
        if top == "lithax":
            assert rest, f"{where}: import the rooms by name, not lithax itself"
            other = rest[0]
            if other == "__version__":
                continue
            assert other in allowed(room), f"{where}: {room} may import {sorted(allowed(room))}, not {other}"
            private = [part for part in rest[1:] if part.startswith("_")]
            opened = other == room or room in DOORS
            assert opened or not private, f"{where}: {name} is private to {other}; import it from lithax.{other}"
        else:
            homes = OUTSIDE.get(top)
            assert homes is None or room in homes, f"{where}: {top} belongs in {sorted(homes) or 'the tests'}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_annotations_are_evaluated(path):
    """String annotations would escape the check of shapes and dtypes."""
    assert all(name != "__future__.annotations" for _, name in imported(path))


# An image's methods are functions on images in files of their own; a pickled handle opens its store again.
IN_A_CIRCLE = {"images", "storage"}


@pytest.mark.parametrize("room", sorted(ROOMS - IN_A_CIRCLE - {"errors", "groups", "typing"}))
def test_the_files_of_a_room_import_each_other_in_one_direction(room):
    order(room)


def test_a_circle_is_found():
    with pytest.raises(graphlib.CycleError):
        order("images")


def order(room: str) -> None:
    """Raise CycleError if a room's files import each other in a circle, also inside functions."""
    files = {f"lithax.{path.relative_to(SOURCE).with_suffix('').as_posix().replace('/', '.')}": path for path in FILES}
    graph = {}
    for name, path in files.items():
        if room_of(path) == room and path.name != "__init__.py":
            types_only = {
                statement.lineno
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
                for statement in node.body
            }
            found = {named.rpartition(".")[0] for line, named in imported(path) if line not in types_only}
            graph[name] = found & files.keys()
    graphlib.TopologicalSorter(graph).prepare()


def test_the_table_names_every_room():
    assert {room_of(path) for path in FILES} - DOORS == ROOMS


def test_what_is_imported_by_name_is_seen(tmp_path):
    path = SOURCE / "images" / "_open.py"
    assert "lithax.inverse" not in [name for _, name in imported(path)]
    hidden = tmp_path / "hidden.py"
    hidden.write_text(
        "from importlib import import_module\nimport_module('lithax.inverse')\nimport_module(f'lithax.{x}')\n"
    )
    found = {
        name
        for node in ast.walk(ast.parse(hidden.read_text()))
        if isinstance(node, ast.Call)
        for name in imported_by_name(node)
    }
    assert found == {"lithax.inverse", "lithax.*"}
