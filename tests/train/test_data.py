"""The stream of training fields: each once an epoch, turned at random, the same after a restart."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.fields.scaling import Scaling
from cosmogan.train.data import SAMPLE, TrainingFields, check_training, spread, to_tensor


@pytest.fixture(scope="module")
def scaling(sides):
    return Scaling.fit(sides[0][:], 0.5)


@pytest.fixture
def stream(sides, scaling, theory):
    return TrainingFields(sides[0], scaling, theory, seed=5)


def fingerprints(fields):
    """What no turn, mirror or shift changes: the sorted cells."""
    return [tuple(row.tolist()) for row in fields.flatten(1).sort(1).values]


def test_every_field_is_shown_once_an_epoch_in_another_order(stream, sides, scaling):
    size = len(sides[0])
    known = sorted(fingerprints(to_tensor(sides[0][:], scaling)))
    orders = []
    for epoch in range(2):
        shown = fingerprints(stream.at(range(epoch * size, (epoch + 1) * size)).fields)
        assert sorted(shown) == known
        orders.append(shown)
    assert orders[0] != orders[1]


def test_the_field_at_a_cursor_never_changes(stream, sides, scaling, theory):
    cursors = [3, 4, 5, 22, 23, 24, 25, 70]  # over the end of an epoch, and beyond
    together = stream.at(cursors).fields
    again = TrainingFields(sides[0], scaling, theory, seed=5)
    for place in reversed(range(len(cursors))):
        alone = again.at(cursors[place : place + 1]).fields
        assert torch.equal(alone[0], together[place])
    other = TrainingFields(sides[0], scaling, theory, seed=6).at(cursors).fields
    assert not torch.equal(other, together)


def test_a_field_comes_back_in_another_orientation(stream, sides):
    size = len(sides[0])
    first, second = (stream.at(range(n * size, (n + 1) * size)).fields for n in (0, 1))
    later = dict(zip(fingerprints(second), second, strict=True))
    same = [torch.equal(f, later[p]) for p, f in zip(fingerprints(first), first, strict=True)]
    assert sum(same) <= 1, "of 8 * 16^2 orientations"


def test_fields_come_as_float32_with_the_row_of_their_parameters(
    tmp_path, write_fields, two_epochs, scaling
):
    fields = write_fields(tmp_path / "x.fields", two_epochs, boxes=2)
    stream = TrainingFields(fields, scaling, two_epochs, seed=1)
    batch = stream.at(range(12))
    y, rows = batch.fields, np.array(batch.rows)
    assert y.shape == (12, 1, 16, 16)
    assert y.dtype == torch.float32
    assert sorted(rows.tolist()) == [0] * 6 + [1] * 6
    contrast = [y[torch.from_numpy(rows == row)].var().item() for row in (0, 1)]
    assert contrast[0] > contrast[1], "redshift 0 has more structure than redshift 1"
    np.testing.assert_array_equal(two_epochs.parameters[stream.rows], fields.parameters)
    known = fingerprints(to_tensor(fields[:], scaling))
    shown = [stream.rows[known.index(found)] for found in fingerprints(y)]
    assert rows.tolist() == shown, "each row is that of its own field"


def test_parameters_without_a_spectrum_are_refused(
    tmp_path, write_fields, two_epochs, theory, scaling
):
    fields = write_fields(tmp_path / "x.fields", two_epochs, boxes=1)
    with pytest.raises(RecipeError, match="redshift = 1"):
        TrainingFields(fields, scaling, theory, seed=1)


def test_scales_are_fixed_from_fields_of_every_part_of_the_set(sides):
    size = len(sides[0])
    assert spread(sides[0]).tolist() == list(range(size))
    assert size < SAMPLE
    for most in (2, 5, size - 1):
        some = spread(sides[0], most)
        assert len(some) == most
        assert some[[0, -1]].tolist() == [0, size - 1]
        assert np.ptp(np.diff(some)) <= 1, "evenly"


def test_training_space_is_standard(sides, scaling):
    y = to_tensor(sides[0][:], scaling)
    assert y.mean().item() == pytest.approx(0, abs=1e-5)
    assert y.std().item() == pytest.approx(1, abs=1e-3)


def test_both_sides_of_the_split_must_be_different_simulations(
    tmp_path, sides, write_fields, theory
):
    check_training(*sides)
    shared = write_fields(tmp_path / "shared.fields", theory, boxes=3, first=3)
    with pytest.raises(SplitError, match="simulation 3"):
        check_training(sides[0], shared)


@pytest.mark.parametrize("side", [0, 1])
def test_fixed_amplitudes_are_refused_on_either_side(tmp_path, sides, write_fields, theory, side):
    pair = list(sides)
    pair[side] = write_fields(tmp_path / "f.fields", theory, boxes=1, first=50, fixed=True)
    with pytest.raises(RecipeError, match="fixed-amplitude"):
        check_training(*pair)


@pytest.mark.parametrize(
    ("name", "other"),
    [("thickness", 4.0), ("mass_assignment", "tsc"), ("particles", 64), ("box_size", 32.0)],
)
def test_sides_of_different_kinds_are_refused(sides, name, other):
    """A slab of validation would stand beside the latent of another."""
    train, validation = sides
    odd = copy.copy(validation)
    odd.layout = replace(validation.layout, **{name: other})
    with pytest.raises(LayoutError, match=rf"{name} = {other}, but .* fields of one kind$"):
        check_training(train, odd)
    check_training(train, validation)
