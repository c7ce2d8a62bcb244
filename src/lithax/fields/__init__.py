"""Algorithms on whole images: distances, labels, watersheds, thickness; on arrays, and exact on
images of any size.
"""

from lithax.fields._components import ComponentTable as ComponentTable
from lithax.fields._distance import distance as distance
from lithax.fields._drainage import Drainage as Drainage
from lithax.fields._drainage import drainage as drainage
from lithax.fields._extrema import h_maxima as h_maxima
from lithax.fields._extrema import h_minima as h_minima
from lithax.fields._extrema import hysteresis as hysteresis
from lithax.fields._extrema import regional_maxima as regional_maxima
from lithax.fields._extrema import regional_minima as regional_minima
from lithax.fields._geodesic import geodesic_distance as geodesic_distance
from lithax.fields._label import label as label
from lithax.fields._lines import cumulative_sum as cumulative_sum
from lithax.fields._lines import distance_lines as distance_lines
from lithax.fields._lines import first_and_last as first_and_last
from lithax.fields._lines import fourier_lines as fourier_lines
from lithax.fields._lines import map_lines as map_lines
from lithax.fields._reconstruct import reconstruct as reconstruct
from lithax.fields._select import clear_border as clear_border
from lithax.fields._select import fill_holes as fill_holes
from lithax.fields._select import keep_largest as keep_largest
from lithax.fields._select import keep_percolating as keep_percolating
from lithax.fields._select import remove_small as remove_small
from lithax.fields._sizes import SizeDistribution as SizeDistribution
from lithax.fields._sizes import grain_sizes as grain_sizes
from lithax.fields._sizes import label_table as label_table
from lithax.fields._sizes import pore_sizes as pore_sizes
from lithax.fields._thickness import local_thickness as local_thickness
from lithax.fields._total_variation import total_variation as total_variation
from lithax.fields._watershed import watershed as watershed
