"""Global solvers on voxel images: operators, multigrid, Krylov loops."""

from lithax.solve._face_operator import FaceOperator as FaceOperator
from lithax.solve._face_operator import face_operator as face_operator
from lithax.solve._layout import Layout as Layout
from lithax.solve._microporosity import microporosity as microporosity
from lithax.solve._microporosity import microporosity_of_scans as microporosity_of_scans
from lithax.solve._multigrid import Multigrid as Multigrid
from lithax.solve._multigrid import multigrid as multigrid
from lithax.solve._permeability import permeability as permeability
from lithax.solve._permeability_result import ErrorBudget as ErrorBudget
from lithax.solve._permeability_result import FlowPorosity as FlowPorosity
from lithax.solve._permeability_result import Permeability as Permeability
