"""Global solvers on voxel images: operators, multigrid, Krylov loops."""

from lithax.solve._face_operator import FaceOperator as FaceOperator
from lithax.solve._face_operator import face_operator as face_operator
from lithax.solve._layout import Layout as Layout
from lithax.solve._multigrid import Multigrid as Multigrid
from lithax.solve._multigrid import multigrid as multigrid
