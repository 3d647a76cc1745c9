"""Forecasts are those of closed forms."""

import numpy as np
import pytest

from benchmarks.fidelity.serve import forecast, ratio


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def test_errors_are_those_of_the_fisher_matrix(rng):
    """Two bins that scatter by 1 and 2 and know one parameter each."""
    samples = rng.standard_normal((200_000, 2)) * [1, 2]
    slope = np.array([[10.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(forecast(samples, slope), [0.1, 0.5, 0.1, 0.5], rtol=0.01)


def test_parameters_that_look_alike_cost_each_other(rng):
    samples = rng.standard_normal((200_000, 2))
    slope = np.array([[1.0, 1.0], [1.0, 0.0]])
    fisher = slope @ slope.T
    free = np.sqrt(np.diag(np.linalg.inv(fisher)))
    expected = [*free, *np.diag(fisher) ** -0.5]
    np.testing.assert_allclose(forecast(samples, slope), expected, rtol=0.01)


def test_twice_the_scatter_promises_twice_the_error(rng):
    boxes = [rng.standard_normal((20, 3)) for _ in range(60)]
    slope = rng.standard_normal((2, 3))
    value, low, high = ratio([2 * box for box in boxes], boxes, slope)
    np.testing.assert_allclose(value, 2)
    assert (low < 2).all()
    assert (high > 2).all()
    other = [rng.standard_normal((20, 3)) for _ in range(60)]
    value, low, high = ratio(other, boxes, slope)
    assert (np.abs(value - 1) < 0.15).all()
    assert ((low < 1.05) & (high > 0.95)).all()
