"""lithax: digital rock petrophysics on voxel images of any size."""

import typing as _typing

from lithax import arith as arith
from lithax import errors as errors
from lithax import fields as fields
from lithax import measure as measure
from lithax import ops as ops
from lithax import passes as passes
from lithax import regions as regions
from lithax import runtime as runtime
from lithax.fields import clear_border as clear_border
from lithax.fields import cumulative_sum as cumulative_sum
from lithax.fields import distance as distance
from lithax.fields import distance_lines as distance_lines
from lithax.fields import drainage as drainage
from lithax.fields import fill_holes as fill_holes
from lithax.fields import first_and_last as first_and_last
from lithax.fields import fourier_lines as fourier_lines
from lithax.fields import geodesic_distance as geodesic_distance
from lithax.fields import grain_sizes as grain_sizes
from lithax.fields import h_maxima as h_maxima
from lithax.fields import h_minima as h_minima
from lithax.fields import hysteresis as hysteresis
from lithax.fields import keep_largest as keep_largest
from lithax.fields import keep_percolating as keep_percolating
from lithax.fields import label as label
from lithax.fields import local_thickness as local_thickness
from lithax.fields import map_lines as map_lines
from lithax.fields import pore_sizes as pore_sizes
from lithax.fields import reconstruct as reconstruct
from lithax.fields import regional_maxima as regional_maxima
from lithax.fields import regional_minima as regional_minima
from lithax.fields import remove_small as remove_small
from lithax.fields import total_variation as total_variation
from lithax.fields import watershed as watershed
from lithax.geometry import inscribed_cuboid as inscribed_cuboid
from lithax.images import FileFormat as FileFormat
from lithax.images import VoxelImage as VoxelImage
from lithax.images import chunk_covariance as chunk_covariance
from lithax.images import chunk_loss as chunk_loss
from lithax.images import chunk_map as chunk_map
from lithax.images import chunk_reduce as chunk_reduce
from lithax.images import chunk_value_and_grad as chunk_value_and_grad
from lithax.images import connectivity as connectivity
from lithax.images import create as create
from lithax.images import domain as domain
from lithax.images import empty as empty
from lithax.images import empty_like as empty_like
from lithax.images import file_formats as file_formats
from lithax.images import from_array as from_array
from lithax.images import full as full
from lithax.images import full_like as full_like
from lithax.images import import_file as import_file
from lithax.images import import_raw as import_raw
from lithax.images import load_classifier as load_classifier
from lithax.images import load_network as load_network
from lithax.images import ones as ones
from lithax.images import ones_like as ones_like
from lithax.images import open as open
from lithax.images import patches as patches
from lithax.images import plan as plan
from lithax.images import pyramid as pyramid
from lithax.images import register_format as register_format
from lithax.images import register_group as _register_group
from lithax.images import run_passes as run_passes
from lithax.images import save as save
from lithax.images import save_classifier as save_classifier
from lithax.images import save_network as save_network
from lithax.images import shard as shard
from lithax.images import simulated_scan as simulated_scan
from lithax.images import sphere_pack as sphere_pack
from lithax.images import train_classifier as train_classifier
from lithax.images import verify as verify
from lithax.images import zeros as zeros
from lithax.images import zeros_like as zeros_like
from lithax.ops import Context as Context
from lithax.ops import chain as chain
from lithax.ops import voxel_op as voxel_op
from lithax.report import report as report

if _typing.TYPE_CHECKING:
    from lithax import dect as dect
    from lithax import solve as solve
    from lithax import viz as viz


where = domain


def _is_study(place: _typing.Any) -> bool:
    from lithax.storage import dual_energy_group, own_attributes

    own = own_attributes(place)
    return (own is not None and "study" in own) or dual_energy_group(place) is not None


def _open_study(place: _typing.Any, world: _typing.Any) -> _typing.Any:
    from lithax.inverse import open_study  # loaded with the first study

    return open_study(place, world)


_register_group(_is_study, _open_study)


_LOADED_LATER = ("dect", "solve", "viz")


def __getattr__(name: str) -> _typing.Any:
    # What most programs do not need, solvers, tables and pictures, is loaded with the first use.
    if name in _LOADED_LATER:
        from importlib import import_module

        return import_module(f"lithax.{name}")
    # The version is looked up when asked for: reading a package's metadata takes longer than most
    # imports here.
    if name == "__version__":
        from importlib.metadata import version

        return version("lithax")
    raise AttributeError(f"module 'lithax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_LATER, "__version__"})
