"""Regions of space, under the name that users type: ``lx.regions.Sphere(center, radius)``."""

from lithax.geometry import AbstractRegion as AbstractRegion
from lithax.geometry import Box as Box
from lithax.geometry import Complement as Complement
from lithax.geometry import Cylinder as Cylinder
from lithax.geometry import HalfSpace as HalfSpace
from lithax.geometry import Intersection as Intersection
from lithax.geometry import Sphere as Sphere
from lithax.geometry import Union as Union
from lithax.images import inside as inside
from lithax.images import mask as mask
