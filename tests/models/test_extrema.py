"""Soft counts of peaks and minima are those of the battery, and gradients make more of them."""

import numpy as np
import pytest
import torch

from cosmogan.models import extrema as module
from cosmogan.models.extrema import QUIET, Extrema
from cosmogan.models.heights import EMPTY, QUANTILES
from cosmogan.statistics.peaks import extrema as counted

CASES = [(2, 32), (3, 12)]


@pytest.fixture(params=CASES, ids=["2", "3"])
def known(request, make_clumps):
    """Fields, and summaries that know their heights."""
    dimension, grid = request.param
    density = make_clumps(20, grid, dimension, height=4, radius=1.0)
    summaries = Extrema()
    summaries.fit(density)
    return summaries, density


def numbers(summaries, density):
    """Peaks and minima, (2, n, heights)."""
    return torch.stack((summaries(density).exp() - QUIET).chunk(2, dim=1))


def test_sharply_counted_they_are_peaks_and_minima(known, monkeypatch):
    monkeypatch.setattr(module, "SOFT", 1e-6)
    summaries, density = known
    peaks, minima = (each.sum(1) for each in counted(density.numpy(), [1.0])[1:])
    found = numbers(summaries, density)
    np.testing.assert_allclose(found[0, :, 0], peaks, rtol=0.02, atol=0.1)  # the lowest cells
    np.testing.assert_allclose(found[1, :, -1], minima, rtol=0.02, atol=0.1)  # and the highest


def test_softly_counted_they_are_nearly_as_many(known):
    summaries, density = known
    peaks, minima = (each.sum(1) for each in counted(density.numpy(), [1.0])[1:])
    found = numbers(summaries, density)
    np.testing.assert_allclose(found[0, :, 0].sum(), peaks.sum(), rtol=0.1)
    np.testing.assert_allclose(found[1, :, -1].sum(), minima.sum(), rtol=0.1)


def test_there_are_fewer_peaks_the_higher_and_fewer_minima_the_deeper(known):
    peaks, minima = numbers(*known)
    assert (peaks.diff(dim=1) <= 1e-3).all()
    assert (minima.diff(dim=1) >= -1e-3).all()
    assert peaks.sum(0)[[0, -1]].diff() < 0
    assert minima.sum(0)[[0, -1]].diff() > 0


def test_a_peak_counts_up_to_its_height(known):
    summaries, density = known
    flat = torch.full_like(density[:1], 0.5)  # without margins, all cells alike
    place = QUANTILES.index(0.93)
    level = EMPTY * torch.sinh(summaries.heights[place])
    flat.view(-1)[7] = level
    found = numbers(summaries, flat)[0, 0]
    assert found[place - 1] == pytest.approx(1, abs=0.01)
    assert found[place:].abs().max() < 0.01


def test_gradients_make_what_is_asked_for(known):
    summaries, density = known
    logarithm = density[:4].log().requires_grad_()
    before = numbers(summaries, density[:4])
    for sign, kind in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        total = summaries(logarithm.exp()).chunk(2, dim=1)[kind].sum()
        (gradient,) = torch.autograd.grad(total, logarithm)
        moved = logarithm.detach() + sign * 0.02 * gradient.sign()
        change = (numbers(summaries, moved.exp()) - before)[kind].sum()
        assert sign * change > 0


def test_turns_mirrors_and_shifts_change_nothing(known):
    summaries, density = known
    for moved in (density.transpose(1, 2), density.flip(-1), density.roll((2, 5), (1, 2))):
        torch.testing.assert_close(summaries(moved), summaries(density), rtol=0, atol=1e-3)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("density", [-0.01, 0.0, 1.0])
def test_a_flat_field_has_finite_summaries_and_gradients(dimension, density):
    flat = torch.full((2, *(6,) * dimension), density, requires_grad=True)
    found = Extrema()(flat)
    (gradient,) = torch.autograd.grad(found.sum(), flat)
    assert found.isfinite().all()
    assert gradient.isfinite().all()
