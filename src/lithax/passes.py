"""Passes over images, of which algorithms for `lithax.run_passes` are made."""

from lithax.chunked import Field as Field
from lithax.chunked import FoldPass as FoldPass
from lithax.chunked import MapPass as MapPass
from lithax.chunked import MeasurementPass as MeasurementPass
from lithax.chunked import OperationPass as OperationPass
from lithax.chunked import PassBlock as PassBlock
from lithax.chunked import SettlePass as SettlePass
from lithax.images import WholeImage as WholeImage
