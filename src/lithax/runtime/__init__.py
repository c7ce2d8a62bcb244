"""Processes and devices."""

from lithax.runtime._world import SerialWorld as SerialWorld
from lithax.runtime._world import check_launcher as check_launcher
from lithax.runtime._world import connect as connect
from lithax.runtime._world import connected as connected
