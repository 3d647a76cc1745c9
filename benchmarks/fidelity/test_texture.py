"""A grid that no spectrum shows is found, and nature has none."""

import numpy as np
import pytest

from benchmarks.fidelity.texture import curvature, measures, unevenness


@pytest.fixture
def heights():
    return np.random.default_rng(3).standard_normal((200, 32, 32))


def test_four_means_of_noise_differ_by_chance(heights):
    """By the variance of one cell over their number, 256."""
    expected = heights.var() / 256
    assert unevenness(heights + 1) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", ["squared steps", "squared curvature", "peaks", "minima"])
def test_cells_of_a_pair_made_otherwise_are_found_wherever_the_grid_lies(heights, name):
    uneven = heights.copy()
    uneven[:, ::2, ::2] *= 1.5
    for shift in ((0, 0), (1, 0), (1, 1)):
        found = measures(np.roll(uneven, shift, (1, 2)))[name]
        assert unevenness(found) > 3 * unevenness(measures(heights)[name])


def test_what_only_every_fourth_cell_has_sixteen_means_find(heights):
    uneven = heights.copy()
    uneven[:, ::4, ::4] *= 2
    found, chance = (measures(each)["squared curvature"] for each in (uneven, heights))
    assert unevenness(found, 4) > 5 * unevenness(chance, 4)
    assert unevenness(found, 4) > 3 * unevenness(found, 2)


def test_peaks_and_minima_are_those_of_eight_neighbours(heights):
    """One cell in nine is the highest of nine."""
    found = measures(heights)
    for name in ("peaks", "minima"):
        assert found[name].mean() == pytest.approx(1 / 9, rel=0.02)
    single = np.zeros((1, 8, 8))
    single[0, 3, 4] = 1
    assert measures(single)["peaks"].sum() == 1
    assert curvature(single)[0, 3, 4] == 1
