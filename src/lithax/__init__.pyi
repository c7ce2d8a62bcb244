"""What `lithax` offers; type checkers read this list, and so does the loader of names."""

from . import (
    arith as arith,
)
from . import (
    arrays as arrays,
)
from . import (
    dect as dect,
)
from . import (
    errors as errors,
)
from . import (
    fields as fields,
)
from . import (
    generate as generate,
)
from . import (
    images as images,
)
from . import (
    measure as measure,
)
from . import (
    ops as ops,
)
from . import (
    passes as passes,
)
from . import (
    regions as regions,
)
from . import (
    runtime as runtime,
)
from . import (
    sharded as sharded,
)
from . import (
    solve as solve,
)
from . import (
    viz as viz,
)
from .fields import (
    clear_border as clear_border,
)
from .fields import (
    cumulative_sum as cumulative_sum,
)
from .fields import (
    distance as distance,
)
from .fields import (
    distance_lines as distance_lines,
)
from .fields import (
    drainage as drainage,
)
from .fields import (
    fill_holes as fill_holes,
)
from .fields import (
    first_and_last as first_and_last,
)
from .fields import (
    fourier_lines as fourier_lines,
)
from .fields import (
    geodesic_distance as geodesic_distance,
)
from .fields import (
    grain_sizes as grain_sizes,
)
from .fields import (
    h_maxima as h_maxima,
)
from .fields import (
    h_minima as h_minima,
)
from .fields import (
    hysteresis as hysteresis,
)
from .fields import (
    keep_largest as keep_largest,
)
from .fields import (
    keep_percolating as keep_percolating,
)
from .fields import (
    label as label,
)
from .fields import (
    local_thickness as local_thickness,
)
from .fields import (
    map_lines as map_lines,
)
from .fields import (
    pore_sizes as pore_sizes,
)
from .fields import (
    reconstruct as reconstruct,
)
from .fields import (
    regional_maxima as regional_maxima,
)
from .fields import (
    regional_minima as regional_minima,
)
from .fields import (
    remove_small as remove_small,
)
from .fields import (
    total_variation as total_variation,
)
from .fields import (
    watershed as watershed,
)
from .geometry import inscribed_cuboid as inscribed_cuboid
from .images import (
    FileFormat as FileFormat,
)
from .images import (
    VoxelImage as VoxelImage,
)
from .images import (
    chunk_covariance as chunk_covariance,
)
from .images import (
    chunk_loss as chunk_loss,
)
from .images import (
    chunk_map as chunk_map,
)
from .images import (
    chunk_reduce as chunk_reduce,
)
from .images import (
    chunk_value_and_grad as chunk_value_and_grad,
)
from .images import (
    connectivity as connectivity,
)
from .images import (
    create as create,
)
from .images import (
    domain as domain,
)
from .images import (
    empty as empty,
)
from .images import (
    empty_like as empty_like,
)
from .images import (
    file_formats as file_formats,
)
from .images import (
    from_array as from_array,
)
from .images import (
    full as full,
)
from .images import (
    full_like as full_like,
)
from .images import (
    import_file as import_file,
)
from .images import (
    import_raw as import_raw,
)
from .images import (
    load_classifier as load_classifier,
)
from .images import (
    load_network as load_network,
)
from .images import (
    ones as ones,
)
from .images import (
    ones_like as ones_like,
)
from .images import (
    open as open,
)
from .images import (
    patches as patches,
)
from .images import (
    plan as plan,
)
from .images import (
    pyramid as pyramid,
)
from .images import (
    register_format as register_format,
)
from .images import (
    run_passes as run_passes,
)
from .images import (
    save as save,
)
from .images import (
    save_classifier as save_classifier,
)
from .images import (
    save_network as save_network,
)
from .images import (
    shard as shard,
)
from .images import (
    simulated_scan as simulated_scan,
)
from .images import (
    sphere_pack as sphere_pack,
)
from .images import (
    train_classifier as train_classifier,
)
from .images import (
    verify as verify,
)
from .images import (
    where as where,
)
from .images import (
    zeros as zeros,
)
from .images import (
    zeros_like as zeros_like,
)
from .ops import (
    Context as Context,
)
from .ops import (
    chain as chain,
)
from .ops import (
    voxel_op as voxel_op,
)
from .report import report as report

__version__: str
