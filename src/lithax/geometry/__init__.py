"""Where voxels are, and regions of space. No I/O, no devices."""

from lithax.geometry._axis_names import AxisNamesMixin as AxisNamesMixin
from lithax.geometry._frame import Frame as Frame
from lithax.geometry._inscribed import inscribed_cuboid as inscribed_cuboid
from lithax.geometry._region import AbstractRegion as AbstractRegion
from lithax.geometry._region import Complement as Complement
from lithax.geometry._region import Intersection as Intersection
from lithax.geometry._region import Union as Union
from lithax.geometry._shapes import Box as Box
from lithax.geometry._shapes import Cylinder as Cylinder
from lithax.geometry._shapes import HalfSpace as HalfSpace
from lithax.geometry._shapes import Sphere as Sphere
from lithax.geometry._slice_center import check_center as check_center
from lithax.geometry._unit import UnknownUnit as UnknownUnit
from lithax.geometry._unit import length_factor as length_factor
from lithax.geometry._unit import lenient_unit as lenient_unit
from lithax.geometry._unit import unit_in_file as unit_in_file
from lithax.geometry._unit import validate_unit as validate_unit
