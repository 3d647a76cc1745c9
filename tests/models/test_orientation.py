"""Orientations are the symmetries of a periodic grid, all of them and nothing else."""

import itertools
from collections import Counter

import pytest
import torch

from cosmogan.models.orientation import (
    Orientation,
    draw_orientation,
    orient,
    restore_orientation,
)

GRID = 5


def group(dimension, shifts):
    """Every turn and mirror, with these shifts."""
    for axes in itertools.permutations(range(dimension)):
        for flips in itertools.product((False, True), repeat=dimension):
            for cells in itertools.product(shifts, repeat=dimension):
                yield Orientation(axes, flips, cells)


ELEMENTS = [*group(2, (0, 1, 3)), *group(3, (0, 2))]


def numbered(dimension, channels=2):
    """A field in which no cell is like another."""
    cells = channels * GRID**dimension
    return torch.arange(cells).reshape(channels, *(GRID,) * dimension)


def test_every_element_is_undone():
    for element in ELEMENTS:
        field = numbered(len(element.axes))
        assert torch.equal(element.undo(element.apply(field)), field), element
        assert torch.equal(element.apply(element.undo(field)), field), element


def test_every_element_moves_cells_and_keeps_channels():
    for element in ELEMENTS:
        field = numbered(len(element.axes))
        moved = element.apply(field)
        assert moved.shape == field.shape
        assert torch.equal(moved.flatten(1).sort(1).values, field.flatten(1)), element
        assert torch.equal(
            moved[1] - moved[0], torch.full_like(moved[0], GRID ** len(element.axes))
        )


def test_neighbours_stay_neighbours():
    for element in ELEMENTS:
        d = len(element.axes)
        place = torch.stack(torch.meshgrid(*[torch.arange(GRID)] * d, indexing="ij"))
        moved = element.apply(place)
        for axis in range(1, d + 1):
            step = (moved.roll(-1, axis) - moved) % GRID
            distance = torch.minimum(step, GRID - step).sum(0)
            assert torch.equal(distance, torch.ones_like(distance)), element


def test_different_elements_do_different_things():
    field = numbered(2, 1)
    images = {tuple(e.apply(field).flatten().tolist()) for e in group(2, range(GRID))}
    assert len(images) == 8 * GRID**2


@pytest.mark.parametrize(("dimension", "turns"), [(2, 8), (3, 48)])
def test_draws_are_even_and_repeat_for_the_same_seed(dimension, turns):
    draws = [draw_orientation(seed, dimension, 4) for seed in range(60 * turns)]
    assert draws[:20] == [draw_orientation(seed, dimension, 4) for seed in range(20)]
    counts = Counter((d.axes, d.flips) for d in draws)
    assert len(counts) == turns
    assert max(abs(c - 60) for c in counts.values()) < 4.5 * 60**0.5, "Poisson"
    shifts = Counter(s for d in draws for s in d.shifts)
    assert set(shifts) == {0, 1, 2, 3}
    mean = 60 * turns * dimension / 4
    assert max(abs(c - mean) for c in shifts.values()) < 4.5 * mean**0.5


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_batch_is_oriented_one_by_one_and_brought_back(dimension):
    fields = torch.randn(4, 2, *(GRID,) * dimension)
    elements = [draw_orientation(seed, dimension, GRID) for seed in range(4)]
    oriented = orient(fields, elements)
    for field, moved, element in zip(fields, oriented, elements, strict=True):
        assert torch.equal(element.apply(field), moved)
    assert torch.equal(restore_orientation(oriented, elements), fields)
    with pytest.raises(ValueError, match="zip"):
        orient(fields, elements[:3])
