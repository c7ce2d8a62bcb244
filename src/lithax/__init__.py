"""lithax: digital rock petrophysics on voxel images of any size."""

import typing as _typing

import lazy_loader as _lazy_loader

from lithax.groups import register_group as _register_group

# Names are listed in __init__.pyi and loaded on first use (SPEC 1 of Scientific Python), so that a
# program waits only for what it touches. EAGER_IMPORT=1 in the environment loads all at once.
_load, _names, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def _is_study(place: _typing.Any) -> bool:
    from lithax.storage import dual_energy_group, own_attributes

    own = own_attributes(place)
    return (own is not None and "study" in own) or dual_energy_group(place) is not None


def _open_study(place: _typing.Any, world: _typing.Any) -> _typing.Any:
    from lithax.inverse import open_study  # loaded with the first study

    return open_study(place, world)


_register_group(_is_study, _open_study)


def __getattr__(name: str) -> _typing.Any:
    # Reading a package's metadata takes longer than most imports here.
    if name == "__version__":
        from importlib.metadata import version

        return version("lithax")
    return _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_names(), "__version__"})
