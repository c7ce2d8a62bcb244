"""Permeability of sub-volumes, beside their conductivity."""

import numpy as np
import pytest

import lithax as lx
from lithax.testing import Slit


@pytest.fixture(scope="module")
def table():
    """Slits of 4 and 2 voxels in one cube each, a cube without pores and one without grains."""
    rock = np.ones((8, 32, 8), np.uint8)
    for first, width in ((2, 4), (11, 2)):
        rock[:, first : first + width] = 0
    rock[:, 24:] = 0
    image = lx.from_array(rock, voxel_length=(2, 2, 2), voxel_unit="um")
    return lx.solve.subvolumes(image, edge=8, axis="x", pore=0, flow=True)


def test_each_cube_has_its_permeability(table):
    slits = [Slit(w).permeability * w / 8 * 4e-12 for w in (4, 2)]
    assert table.permeability_unit == "m²"
    assert table.permeability == pytest.approx([*slits, 0, np.inf], rel=1e-4)  # float32
    assert list(table.to_pandas().permeability) == list(table.permeability)
    assert "m²" in str(table)


def test_means_of_cubes(table):
    """Conductivities 1/2, 1/4, 0 and 1; one cube without pores, and one without grains, whose k has no end."""
    assert table.means(8) == pytest.approx({"arithmetic": 1.75 / 4, "geometric": 0, "harmonic": 0}, rel=1e-4)
    assert table.means(8, quantity="permeability")["arithmetic"] == np.inf
    assert np.isnan(table.variation("permeability")[8])
    for wrong, words in (
        ({"edge": 9}, "edges are"),
        ({"edge": 8, "axis": "y"}, "axis="),
        ({"edge": 8, "quantity": "F"}, "quantity="),
    ):
        with pytest.raises(ValueError, match=words):
            table.means(**wrong)


def test_the_picture(table):
    axes = lx.viz.permeability_crossplot(table, laboratory=(0.3, 1e-12))
    assert axes.get_legend_handles_labels()[1] == ["8 voxels", "nothing joins the ends", "laboratory"]
    drawn = axes.lines[0].get_xydata()
    assert drawn == pytest.approx(np.stack([table.porosity, table.permeability], 1)[:2])


def test_without_flow_there_is_none():
    rock = np.arange(16)[None, :, None] % 4 > 1
    found = lx.solve.subvolumes(np.broadcast_to(rock, (8, 16, 8)), edge=8, axis="x")
    assert np.isnan(found.permeability).all()
    assert found.permeability_unit == "voxel²"
    for call in (lx.viz.permeability_crossplot, lambda t: t.means(8, quantity="permeability")):
        with pytest.raises(ValueError, match="flow=True"):
            call(found)


def test_porous_phases_that_a_cube_lacks_are_left_out_of_it():
    labels = np.ones((8, 16, 8), np.uint8)
    labels[:, 8:] = 2
    image = lx.from_array(labels, voxel_length=(2, 2, 2), voxel_unit="um")
    flow = {"permeability": {1: "1 mD", 2: "4 mD"}, "pore": None}
    table = lx.solve.subvolumes(image, edge=8, axis="x", values={1: 1.0, 2: 1.0}, flow=flow)
    assert table.permeability == pytest.approx([9.869233e-16, 4 * 9.869233e-16], rel=1e-3)  # uniform flow in each
    assert table.converged.all()
    darcies = {name: k / 9.869233e-16 for name, k in table.means(8, quantity="permeability").items()}
    assert darcies == pytest.approx({"arithmetic": 2.5, "geometric": 2, "harmonic": 1.6}, rel=1e-3)
    assert table.variation("permeability")[8] == pytest.approx(3 / 2**0.5 / 2.5, rel=1e-3)
    assert "varies by 0.849 of its mean" in str(table)


def test_the_unit_of_the_flow_and_what_it_may_not_hold():
    rock = lx.from_array(np.ones((8, 8, 8), np.uint8), voxel_length=2.0, voxel_unit="um")
    rock[:, 2:6] = 0
    table = lx.solve.subvolumes(rock, edge=8, axis="x", pore=0, flow={"unit": "mD"})
    assert table.permeability_unit == "mD"
    assert table.permeability == pytest.approx([4**3 / 12 / 8 * 4e-12 / 9.869233e-16], rel=1e-4)
    assert np.isnan(lx.solve.subvolumes(rock, edge=8, axis="x", pore=0, flow=np.False_).permeability).all()
    for flow, error, words in (
        ({"spacing": "3 um"}, ValueError, "flow= holds spacing=, which both solves share"),  # k was of another length
        ({"axis": "y"}, ValueError, "flow= holds axis="),
        ({"where": np.ones((8, 8, 8), bool)}, ValueError, "flow= holds where=, which belongs to one solve"),
        ({"permeability": {7: "1 mD"}}, ValueError, "phase 7, which no cube holds"),
        ("no_slip", TypeError, "flow='no_slip' must be True or False"),
        (None, TypeError, "flow=None must be True or False"),
    ):
        with pytest.raises(error, match=words):
            lx.solve.subvolumes(rock, edge=8, axis="x", pore=0, flow=flow)
