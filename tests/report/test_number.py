"""What a number looks like."""

import json

import pytest

from lithax.report import Number


def number(value, unit="-", **options):
    return Number("key", "name", value, unit, "measured", **options)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (number(0.35941, percent=True), "35.94 %"),
        (number(0.35941, percent=True, uncertainty=0.0008), "35.94 ± 0.08 %"),
        (number(0.35941, percent=True, uncertainty=0.00002), "35.94 ± 0.002 %"),
        (number(-0.00152, difference=True), "\N{MINUS SIGN}0.152 p.u."),
        (number(0.0255, difference=True, uncertainty=0.0008), "+2.550 ± 0.080 p.u."),
        (number(16777216, "voxel"), "16\N{NARROW NO-BREAK SPACE}777\N{NARROW NO-BREAK SPACE}216 voxel"),
        (number(0.76007, "voxel"), "0.76 voxel"),
        (number(-0.027, "voxel"), "\N{MINUS SIGN}0.03 voxel"),
        (number(19999.84, "grey level", uncertainty=1.9), "19999.8 ± 1.9"),
        (number(30397.0, "grey level"), "30397"),
        (number(0.017163, "1/um"), "0.01716 1/µm"),
        (number(3.744), "3.744"),
        (number(float("nan")), "nan"),
        (number(None, "voxel"), "not available"),
        (number("not reached", "voxel"), "not reached"),
    ],
)  # fmt: skip
def test_text(made, text):
    assert made.text == text


def test_the_short_form_has_no_uncertainty():
    assert number(0.35941, percent=True, uncertainty=0.0008).short == "35.94 %"


def test_the_plain_form_is_json():
    plain = number(float("nan"), uncertainty=float("inf")).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["value"] is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind='guessed'.*measured, assumed, simulated"):
        Number("key", "name", 1, "-", "guessed")
