"""Scales are fixed by training fields of all kinds, each beside what belongs to it."""

from dataclasses import replace

import numpy as np
import pytest

from cosmogan.train.material import Material


@pytest.fixture
def material(tmp_path, base_plan, two_epochs, write_fields):
    """Of boxes whose fields are of one redshift and the other in turn."""
    sides = {
        name: write_fields(tmp_path / f"{name}.fields", two_epochs, boxes=16, first=first)
        for name, first in (("train", 0), ("validation", 50))
    }
    paths = {name: str(side.path) for name, side in sides.items()}
    return Material(replace(base_plan, **paths, theory=two_epochs))


def test_one_in_so_many_of_the_sample_is_of_all_redshifts(material):
    """Also if it is one in as many as a redshift has in the data set."""
    found = material.conditions[:, 0]
    assert set(found.tolist()) == {-1.0, 1.0}
    for every in range(2, 7):
        assert set(found[::every].tolist()) == {-1.0, 1.0}, every


def test_conditions_are_those_of_the_fields_of_the_sample(material):
    fields = material.training.fields
    place = {field.tobytes(): number for number, field in enumerate(fields[:])}
    rows = [place[field.tobytes()] for field in material.sample]
    assert sorted(rows) == list(range(len(fields)))
    redshift = fields.parameters[rows, 1]
    np.testing.assert_array_equal(material.conditions[:, 0], 2 * redshift - 1)
