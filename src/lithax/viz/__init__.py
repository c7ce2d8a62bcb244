"""Pictures of images and measurements, still or live; matplotlib is imported when something is
drawn.
"""

from lithax.viz._comparison import Estimate as Estimate
from lithax.viz._comparison import draw_comparison as draw_comparison
from lithax.viz._current import draw_current as draw_current
from lithax.viz._curves import draw_edge as draw_edge
from lithax.viz._curves import draw_profiles as draw_profiles
from lithax.viz._curves import draw_representative_volume as draw_representative_volume
from lithax.viz._curves import draw_sensitivity as draw_sensitivity
from lithax.viz._dual_energy_calibration import draw_coefficients as draw_coefficients
from lithax.viz._dual_energy_calibration import draw_distributions as draw_distributions
from lithax.viz._dual_energy_calibration import draw_effective_numbers as draw_effective_numbers
from lithax.viz._dual_energy_calibration import draw_standard_profiles as draw_standard_profiles
from lithax.viz._dual_energy_crossplot import draw_crossplot as draw_crossplot
from lithax.viz._figure import encode as encode
from lithax.viz._figure import load_matplotlib as load_matplotlib
from lithax.viz._flow import flow_slice as flow_slice
from lithax.viz._histogram import Mark as Mark
from lithax.viz._histogram import draw_histogram as draw_histogram
from lithax.viz._levels import levels_of as levels_of
from lithax.viz._levels import sharp_enough as sharp_enough
from lithax.viz._orthogonal import Slice as Slice
from lithax.viz._orthogonal import cut as cut
from lithax.viz._orthogonal import draw_slices as draw_slices
from lithax.viz._orthogonal import orthogonal as orthogonal
from lithax.viz._orthogonal import slice_pixels as slice_pixels
from lithax.viz._phase_colors import OKABE_ITO as OKABE_ITO
from lithax.viz._phase_colors import default_color as default_color
from lithax.viz._picture import Picture as Picture
from lithax.viz._pixels import blend as blend
from lithax.viz._pixels import colorize as colorize
from lithax.viz._pixels import grey_pixels as grey_pixels
from lithax.viz._plots import histogram as histogram
from lithax.viz._plots import profiles as profiles
from lithax.viz._plots import representative_volume as representative_volume
from lithax.viz._render import render as render
from lithax.viz._scale_bar import draw_scale_bar as draw_scale_bar
from lithax.viz._scale_bar import round_length as round_length
from lithax.viz._side_by_side import side_by_side as side_by_side
from lithax.viz._size_distribution import size_distribution as size_distribution
from lithax.viz._subvolumes import formation_factor_crossplot as formation_factor_crossplot
from lithax.viz._subvolumes import permeability_crossplot as permeability_crossplot
from lithax.viz._unit import unit_symbol as unit_symbol
from lithax.viz._view_state import ViewState as ViewState
from lithax.viz._viewer import OrthogonalViewer as OrthogonalViewer
from lithax.viz._volume import volume as volume
