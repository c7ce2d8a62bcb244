"""Synthetic rocks as functions of voxel coordinates and a seed."""

from lithax.generate._artefacts import check_artefacts as check_artefacts
from lithax.generate._artefacts import ct_artefacts as ct_artefacts
from lithax.generate._finney import finney_pack as finney_pack
from lithax.generate._noise import hash_noise as hash_noise
from lithax.generate._noise import hash_words as hash_words
from lithax.generate._noise import threefry as threefry
from lithax.generate._scan import detected as detected
from lithax.generate._scan import simulated_ct as simulated_ct
from lithax.generate._spheres import rasterise_spheres as rasterise_spheres
