"""Forecasts are those of closed forms."""

import numpy as np
import pytest

from benchmarks.fidelity.serve import PROMISED, Contest, apart, forecast, promise


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


def fields_of(boxes, rng):
    """Return mean density and three powers of twenty fields of each box."""
    return [rng.standard_normal((20, 4)) for _ in range(boxes)]


def test_twice_the_scatter_promises_twice_the_error(rng):
    boxes, slope = fields_of(60, rng), rng.standard_normal((2, 3))
    value, low, high = Contest([2 * box for box in boxes], boxes).ratio(slope)
    np.testing.assert_allclose(value, 2)
    assert (low < 2).all()
    assert (high > 2).all()
    value, low, high = Contest(fields_of(60, rng), boxes).ratio(slope)
    assert (np.abs(value - 1) < 0.15).all()
    assert ((low < 1.05) & (high > 0.95)).all()


def test_what_initial_conditions_share_cancels(rng):
    boxes, slope = fields_of(60, rng), rng.standard_normal((2, 3))
    same = [rng.permutation(box) for box in boxes]
    np.testing.assert_allclose(Contest(same, boxes, paired=True).ratio(slope), 1)
    like = [box + 0.1 * noise for box, noise in zip(boxes, fields_of(60, rng), strict=True)]
    apart, paired = (
        np.ptp(Contest(like, boxes, paired=paired).ratio(slope)[1:], axis=0)
        for paired in (False, True)
    )
    assert (paired < apart / 3).all()


def test_fields_may_be_boxes_of_their_own(rng):
    """As those of a latent that is no simulation: they scatter as much as if they were slices of a few."""
    boxes, slope = fields_of(30, rng), rng.standard_normal((2, 3))
    alone = list(np.concatenate(boxes)[:, None])
    np.testing.assert_allclose(promise(alone, slope), promise(boxes, slope))


def test_the_floor_is_how_far_draws_of_the_same_differ(rng):
    """It shrinks as one over the root of the boxes, and is the scatter of the ratio itself."""
    slope = rng.standard_normal((2, 3))
    few, many = (apart(fields_of(3 * n, rng), n, n, slope) for n in (20, 80))
    assert list(few) == list(PROMISED)
    for name in PROMISED:
        assert 0 < few[name]["median"] < few[name]["high"]
        assert 0.3 < many[name]["high"] / few[name]["high"] < 0.8
    ratios = [
        np.abs(promise(fields_of(20, rng), slope) / promise(fields_of(20, rng), slope) - 1)
        for _ in range(200)
    ]
    expected = np.quantile(ratios, 0.95, axis=0)
    np.testing.assert_allclose([f["high"] for f in few.values()], expected, rtol=0.5)
