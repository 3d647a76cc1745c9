"""The best filter finds all that is linear in its channels, and nothing that is not there."""

import numpy as np
import pytest

from benchmarks.fidelity.inputs import EDGES, covariances, left_open

GRID = 64


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def shell():
    lines = np.meshgrid(np.fft.fftfreq(GRID, 1 / GRID), np.arange(GRID // 2 + 1), indexing="ij")
    return np.digitize(np.hypot(*lines), EDGES)


def boxes(rng, shell, truth, count=6):
    """Boxes of 20 slices of white noise: two channels, and what `truth` makes of them and a third."""
    found = []
    for _ in range(count):
        known, other, hidden = rng.standard_normal((3, 20, GRID, GRID))
        found.append(covariances(np.stack([known, other], 1), truth(known, other, hidden), shell))
    return left_open(found, count // 2)


def test_a_linear_truth_leaves_nothing_open(rng, shell):
    assert np.abs(boxes(rng, shell, lambda a, b, _: 3 * a - b)).max() < 1e-5


def test_noise_leaves_what_it_adds(rng, shell):
    """r^2 = 1 / (1 + 1)."""
    found = boxes(rng, shell, lambda a, _b, hidden: a + hidden)
    np.testing.assert_allclose(found[3:], 1 - np.sqrt(0.5), atol=0.05)


def test_what_is_not_in_the_channels_is_not_found(rng, shell):
    assert boxes(rng, shell, lambda _a, _b, hidden: hidden).min() > 0.7


def test_a_filter_is_tried_on_other_boxes_than_it_is_fitted_on(rng, shell):
    known, flipped = (
        boxes(rng, shell, lambda a, b, _: a - b, count=2),
        left_open([*one_box(rng, shell, 1), *one_box(rng, shell, -1)], 1),
    )
    assert np.abs(known).max() < 1e-5
    np.testing.assert_allclose(flipped, 2, atol=1e-5)


def one_box(rng, shell, sign):
    known = rng.standard_normal((20, GRID, GRID))
    return [covariances(known[:, None], sign * known, shell)]
