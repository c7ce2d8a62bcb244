"""The front door: what users type is there, is documented, and comes from where it should."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import lithax

SOURCE = Path(__file__).parent.parent / "src" / "lithax"
ROOMS = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)

CREATION = [
    "create",
    "empty",
    "zeros",
    "ones",
    "full",
    "empty_like",
    "zeros_like",
    "ones_like",
    "full_like",
    "from_array",
]
NAMES = [
    *CREATION,
    *["FileFormat", "file_formats", "register_format", "import_file"],
    *["open", "import_raw", "simulated_scan", "sphere_pack", "pyramid", "verify", "VoxelImage", "shard", "save"],
    *["voxel_op", "chain", "Context", "patches", "save_network", "load_network"],
    *["train_classifier", "save_classifier", "load_classifier"],
    *["distance", "label", "remove_small", "keep_largest", "keep_percolating", "clear_border", "fill_holes"],
    *["local_thickness", "reconstruct", "drainage", "watershed", "hysteresis", "h_maxima", "h_minima"],
    *["regional_maxima", "regional_minima", "pore_sizes", "grain_sizes"],
    *["map_lines", "cumulative_sum", "distance_lines", "first_and_last", "fourier_lines", "geodesic_distance"],
    "total_variation",
    *[
        "chunk_map",
        "chunk_reduce",
        "chunk_value_and_grad",
        "chunk_loss",
        "chunk_covariance",
        "plan",
        "run_passes",
        "domain",
        "where",
        "inscribed_cuboid",
        "connectivity",
        "report",
    ],
]
MODULES = ["arith", "dect", "errors", "fields", "measure", "ops", "passes", "regions", "runtime", "solve", "viz"]
DOCUMENTED_ROOMS = {"arrays", "generate", "images", "sharded"}
STABLE = {*NAMES, *MODULES, "__version__"}


def public(module):
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(STABLE))
def test_what_users_type_is_there(name):
    assert hasattr(lithax, name)


def test_the_front_door_offers_nothing_else():
    """A name that users can see is a promise: add it to the lists above on purpose, or keep it in its room."""
    # importing a room makes it an attribute
    rooms = {path.name for path in ROOMS if path.parent == SOURCE} | {"typing", "groups"}
    assert set(public(lithax)) <= STABLE | rooms
    assert set(lithax.__all__) == STABLE - {"__version__"} | DOCUMENTED_ROOMS
    assert set(dir(lithax)) >= STABLE | DOCUMENTED_ROOMS


@pytest.mark.parametrize("name", NAMES)
def test_what_users_type_is_documented(name):
    assert inspect.getdoc(getattr(lithax, name))


@pytest.mark.parametrize("module", MODULES)
def test_everything_in_a_module_for_users_is_documented(module):
    module = importlib.import_module(f"lithax.{module}")
    assert inspect.getdoc(module)
    for name, value in public(module).items():
        if callable(value):
            assert inspect.getdoc(value), f"{module.__name__}.{name} has no docstring"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(SOURCE).as_posix())
def test_a_room_opens_on_what_it_re_exports(room):
    """Visibly, one name at a time, as `name as name`; what it is made of stands in private files, one idea each."""
    for node in ast.parse((room / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, f"line {node.lineno}: write `{alias.name} as {alias.name}`"
    for path in room.glob("*.py"):
        assert path.name.startswith("_"), (
            f"{path.relative_to(SOURCE)}: name it _{path.name} and re-export what is public"
        )
    module = importlib.import_module("lithax." + ".".join(room.relative_to(SOURCE).parts))
    for name, value in public(module).items():
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), f"{module.__name__}.{name} has no docstring"
