"""Pictures of images and measurements, drawn without a window; matplotlib is imported when something is drawn."""

from lithax.viz._comparison import Estimate as Estimate
from lithax.viz._comparison import draw_comparison as draw_comparison
from lithax.viz._curves import draw_edge as draw_edge
from lithax.viz._curves import draw_profiles as draw_profiles
from lithax.viz._curves import draw_representative_volume as draw_representative_volume
from lithax.viz._curves import draw_sensitivity as draw_sensitivity
from lithax.viz._figure import encode as encode
from lithax.viz._figure import load_matplotlib as load_matplotlib
from lithax.viz._histogram import Mark as Mark
from lithax.viz._histogram import draw_histogram as draw_histogram
from lithax.viz._orthogonal import Slice as Slice
from lithax.viz._orthogonal import cut as cut
from lithax.viz._orthogonal import draw_slices as draw_slices
from lithax.viz._orthogonal import orthogonal as orthogonal
from lithax.viz._orthogonal import slice_pixels as slice_pixels
from lithax.viz._pixels import blend as blend
from lithax.viz._pixels import grey_pixels as grey_pixels
from lithax.viz._scale_bar import draw_scale_bar as draw_scale_bar
from lithax.viz._scale_bar import round_length as round_length
from lithax.viz._unit import unit_symbol as unit_symbol
