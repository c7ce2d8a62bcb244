"""Global solvers on voxel images: conduction, and the operators, multigrid and Krylov loops that
solvers stand on.
"""

from lithax.solve import _plan_solves as _plan_solves
from lithax.solve._boundary_map import BoundaryMap as BoundaryMap
from lithax.solve._boundary_map import boundary_map as boundary_map
from lithax.solve._bounds import Bounds as Bounds
from lithax.solve._conduction import conductivity as conductivity
from lithax.solve._conductivity import Conductivity as Conductivity
from lithax.solve._conductivity import Porosities as Porosities
from lithax.solve._conjugate_gradients import State as State
from lithax.solve._error_budget import ErrorBudget as ErrorBudget
from lithax.solve._face_operator import FaceOperator as FaceOperator
from lithax.solve._face_operator import face_operator as face_operator
from lithax.solve._jks_length import jks_length as jks_length
from lithax.solve._layout import Layout as Layout
from lithax.solve._microporosity import microporosity as microporosity
from lithax.solve._microporosity import microporosity_of_scans as microporosity_of_scans
from lithax.solve._multigrid import Multigrid as Multigrid
from lithax.solve._multigrid import multigrid as multigrid
from lithax.solve._permeability import permeability as permeability
from lithax.solve._permeability import threshold_sensitivity as threshold_sensitivity
from lithax.solve._permeability_result import FlowPorosity as FlowPorosity
from lithax.solve._permeability_result import Permeability as Permeability
from lithax.solve._random_walker import RandomWalks as RandomWalks
from lithax.solve._random_walker import random_walker as random_walker
from lithax.solve._subvolumes import SubVolumes as SubVolumes
from lithax.solve._subvolumes import subvolumes as subvolumes
from lithax.solve._threshold_sweep import ThresholdSweep as ThresholdSweep
from lithax.solve._threshold_sweep import threshold_sweep as threshold_sweep
from lithax.solve._two_fluids import TwoFluids as TwoFluids
from lithax.solve._two_fluids import two_fluids as two_fluids
from lithax.solve._upscaled import UpscaledPermeability as UpscaledPermeability
from lithax.solve._upscaled import upscaled_permeability as upscaled_permeability
