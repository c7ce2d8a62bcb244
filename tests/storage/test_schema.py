"""The metadata of an image: what is written is read, what is wrong is named, what is unknown is kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithax.errors import MetadataError
from lithax.storage import SCHEMA, Metadata

NUMBER = st.floats(-1e30, 1e30)
LENGTH = st.floats(1e-30, 1e30)


@given(
    st.builds(
        Metadata,
        field_name=st.text(),
        description=st.text(),
        voxel_origin=st.tuples(NUMBER, NUMBER, NUMBER),
        voxel_length=st.tuples(LENGTH, LENGTH, LENGTH),
        voxel_unit=st.sampled_from(["", "um", "furlong"]),
        content_hash=st.none() | st.text(),
        state=st.sampled_from(["complete", "writing"]),
        provenance=st.none() | st.dictionaries(st.text(), st.integers()),
        run=st.none() | st.text() | st.lists(st.integers()),
    )
)
def test_a_round_trip_through_json(metadata):
    assert Metadata.from_json(json.loads(json.dumps(metadata.to_json())), "here") == metadata


def test_keys_of_later_versions_are_kept():
    document = {**Metadata().to_json(), "orientation": [1, 2, 3]}
    assert Metadata.from_json(document, "here").replace(field_name="x").to_json()["orientation"] == [1, 2, 3]


def test_a_newer_schema_is_refused_with_both_versions():
    with pytest.raises(MetadataError, match=rf"at here has metadata of schema 99; lithax .* up to {SCHEMA}\. Open it"):
        Metadata.from_json({"schema": 99}, "here")


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("schema", "1", "a positive integer"),
        ("schema", True, "a positive integer"),
        ("field_name", 3, "text"),
        ("voxel_origin", [0, 0], "three finite numbers"),
        ("voxel_origin", [0, 0, float("nan")], "three finite numbers"),
        ("voxel_length", [1, 1, 0], "three positive numbers"),
        ("voxel_length", "1", "three positive numbers"),
        ("voxel_unit", None, "text"),
        ("state", "done", "'complete' or 'writing'"),
        ("content_hash", 1, "text or null"),
        ("provenance", [], "a mapping or null"),
    ],
)
def test_a_wrong_value_names_its_key(key, value, rule):
    with pytest.raises(MetadataError, match=rf"metadata key '{key}' \(=.*\) of here must be {rule}"):
        Metadata.from_json({**Metadata().to_json(), key: value}, "here")


@pytest.mark.parametrize("key", ["schema", "voxel_length", "voxel_origin", "state"])
def test_a_missing_value_is_named(key):
    document = Metadata().to_json()
    del document[key]
    with pytest.raises(MetadataError, match=f"metadata key '{key}' of here is missing"):
        Metadata.from_json(document, "here")


def test_metadata_must_be_a_mapping():
    with pytest.raises(MetadataError, match="must be a mapping"):
        Metadata.from_json([1], "here")
