"""Where voxels are, and regions of space. No I/O, no devices."""

from lithax.geometry._frame import Frame as Frame
from lithax.geometry._unit import UnknownUnit as UnknownUnit
from lithax.geometry._unit import length_factor as length_factor
from lithax.geometry._unit import lenient_unit as lenient_unit
from lithax.geometry._unit import validate_unit as validate_unit
