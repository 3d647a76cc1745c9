"""Curvature and shear are those of the matrix of second differences, and belong to heights."""

import itertools

import numpy as np
import pytest
import torch

from cosmogan.models.heights import EMPTY, QUANTILES, height_of, ramps
from cosmogan.models.hessian import FEW, QUIET, Hessian, _second_differences, sums_about

CASES = [(2, 32), (3, 12)]


@pytest.fixture(params=CASES, ids=["2", "3"])
def known(request, make_clumps):
    """Fields, and summaries that know their heights."""
    dimension, grid = request.param
    density = make_clumps(20, grid, dimension, height=3, radius=0.7)
    summaries = Hessian()
    summaries.fit(density)
    return summaries, density


def means(summaries, density):
    """Curvature, log of its square and of the shear, (n, heights, 3)."""
    return summaries(density).unflatten(1, (-1, 3))


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_they_are_invariants_of_the_second_differences(make_clumps, dimension, grid):
    h = make_clumps(2, grid, dimension, height=3, radius=0.7).double()

    def moved(*steps):
        return torch.roll(h, steps, tuple(range(1, dimension + 1)))

    unit = np.eye(dimension, dtype=int)
    matrix = torch.zeros(*h.shape, dimension, dimension, dtype=torch.float64)
    for i, j in itertools.product(range(dimension), repeat=2):
        a, b = unit[i], unit[j]
        if i == j:
            matrix[..., i, i] = moved(*a) + moved(*-a) - 2 * h
        else:
            along, across = moved(*a + b) + moved(*-a - b), moved(*a - b) + moved(*b - a)
            matrix[..., i, j] = (along - across) / 4
    values = torch.linalg.eigvalsh(matrix)
    curvature, shear = _second_differences(h)
    torch.testing.assert_close(curvature, -values.mean(-1))
    torch.testing.assert_close(shear, values.var(-1, correction=0) * dimension / 2)


def test_all_cells_count_once_and_bend_nothing_together(known):
    """Second differences of a periodic field add up to nothing."""
    summaries, density = known
    ones = torch.ones(len(density), density[0].numel(), 1)
    count = sums_about(ones, summaries.beyond(height_of(density)))
    torch.testing.assert_close(count.sum(1), ones.sum(1))
    total = (means(summaries, density)[:, :, :1] * (count + FEW)).sum(1) / ones.sum(1)
    assert total.abs().max() < 1e-4


def test_a_cell_counts_at_its_height_and_at_no_other():
    heights = torch.tensor([0.0, 1.0, 3.0, 7.0])
    cells = torch.tensor([[-5.0, 0.0, 0.5, 1.0, 2.5, 7.0, 9.0]])
    alone = torch.eye(7)[None]
    expected = np.maximum(0, 1 - np.abs(np.interp(cells, heights, range(4)).T - range(4)))
    found = sums_about(alone, ramps(cells, heights))[0].T
    np.testing.assert_allclose(found, expected, atol=1e-6)


def cells(height, *, at, long=0.0):
    """Return a field with one cell that stands out, and perhaps its neighbour."""
    flat = torch.ones(1, 16, 16)
    flat[0, 8, 8], flat[0, 8, 9] = height, 1 + long * (height - 1)
    return flat * at


def test_an_empty_cell_among_full_ones_is_sharp(known):
    summaries, _ = known
    lone, many = cells(0.001, at=0.5), cells(0.001, at=0.5, long=1.0)
    (deep, shallow) = (means(summaries, each)[0, 0, 0] for each in (lone, many))
    assert deep < shallow < 0


def test_a_peak_of_two_cells_is_longer_than_one_of_one(known):
    summaries, _ = known
    round_, long = (means(summaries, cells(1e4, at=1.0, long=x))[0, -1, 2] for x in (0.0, 0.9))
    assert round_ == pytest.approx(np.log(QUIET) / (1 + FEW), rel=0.05)
    assert long > round_ + 1


def test_what_lies_at_another_height_says_nothing(known):
    """With all above a height levelled to it nothing is found beyond, and the same as before far below."""
    summaries, density = known
    place = QUANTILES.index(0.93)
    whole = means(summaries, density)
    capped = means(summaries, density.clamp_max(EMPTY * torch.sinh(summaries.heights[place])))
    assert capped[:, place + 1 :].abs().max() < 1e-2
    assert whole[:, place + 1, 0].abs().min() > 0.1
    low = QUANTILES.index(0.01)
    assert (capped[:, :low, 0] - whole[:, :low, 0]).abs().mean() < 0.1 * whole[
        :, :low, 0
    ].abs().mean()


def test_turns_mirrors_and_shifts_change_nothing(known):
    summaries, density = known
    for moved in (density.transpose(1, 2), density.flip(-1), density.roll((2, 5), (1, 2))):
        torch.testing.assert_close(summaries(moved), summaries(density), rtol=1e-3, atol=1e-3)


def test_gradients_sharpen_and_stretch(known, monkeypatch):
    summaries, density = known
    logarithm = density[:4].log().requires_grad_()
    beyond = summaries.beyond(height_of(logarithm.exp()))
    assert not beyond.requires_grad
    monkeypatch.setattr(summaries, "beyond", lambda _: beyond)  # heights are taken as given
    for number, sign in itertools.product(range(3), (1, -1)):
        before = means(summaries, logarithm.exp())[..., number].sum()
        (gradient,) = torch.autograd.grad(before, logarithm)
        step = sign * 1e-3 * gradient / gradient.abs().max()
        after = means(summaries, (logarithm + step).exp())[..., number].sum()
        assert sign * (after - before) > 0


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("density", [-0.01, 0.0, 1.0])
def test_a_flat_field_has_finite_summaries_and_gradients(dimension, density):
    flat = torch.full((2, *(6,) * dimension), density, requires_grad=True)
    found = Hessian()(flat)
    (gradient,) = torch.autograd.grad(found.sum(), flat)
    assert found.isfinite().all()
    assert gradient.isfinite().all()
