"""Processes and devices."""

from lithax.runtime._abstract_world import AbstractWorld as AbstractWorld
from lithax.runtime._choice import chosen_devices as chosen_devices
from lithax.runtime._choice import default_of as default_of
from lithax.runtime._choice import device_memory as device_memory
from lithax.runtime._choice import device_or_devices as device_or_devices
from lithax.runtime._choice import size_in_bytes as size_in_bytes
from lithax.runtime._connect import check_launcher as check_launcher
from lithax.runtime._connect import connect as connect
from lithax.runtime._connect import connected as connected
from lithax.runtime._devices import devices as devices
from lithax.runtime._devices import report as report
from lithax.runtime._devices import using as using
from lithax.runtime._failure import DifferentCalls as DifferentCalls
from lithax.runtime._failure import is_agreed as is_agreed
from lithax.runtime._fork import check_fork as check_fork
from lithax.runtime._jax_world import JaxWorld as JaxWorld
from lithax.runtime._launcher import launched_processes as launched_processes
from lithax.runtime._mpi_world import MpiWorld as MpiWorld
from lithax.runtime._serial_world import SerialWorld as SerialWorld
