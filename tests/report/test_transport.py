"""The section on transport: what a part says that could not be solved, and the shape of its pictures."""

from types import SimpleNamespace

import numpy as np
import pytest

from lithax.errors import MemoryLimitError
from lithax.images import from_array
from lithax.report import _conduction, _permeability
from lithax.report._steps import Steps
from lithax.report._transport_sample import TransportSample
from lithax.viz import draw_current, flow_slice


@pytest.mark.parametrize(
    ("module", "solver", "part"),
    [(_conduction, "conductivity", "conduction_part"), (_permeability, "permeability", "permeability_part")],
)
def test_what_does_not_fit_into_memory_is_said(monkeypatch, module, solver, part):
    def refuse(*arguments, **options):
        raise MemoryLimitError("it needs 3 GB, and 2 GB are free")

    monkeypatch.setattr(module, solver, refuse)
    pores = from_array(np.arange(64).reshape(4, 4, 4) % 3 == 0)
    said = getattr(module, part)(TransportSample(pores, pores, "the whole image", None, ""), Steps(False))
    assert said.text == "Not solved: it needs 3 GB, and 2 GB are free"
    assert not said.numbers


def test_a_picture_keeps_the_shape_of_stretched_voxels():
    figure = draw_current(np.zeros((4, 3)), np.ones((4, 3)), names=("x", "z"), along="x", lengths=(1.0, 3.0))
    assert figure.axes[0].get_aspect() == 3
    velocity = (from_array(np.ones((2, 3, 4)), voxel_length=(1, 2, 3)),) * 3
    assert flow_slice(SimpleNamespace(velocity=velocity, axis="x"), across="y").get_aspect() == 3
