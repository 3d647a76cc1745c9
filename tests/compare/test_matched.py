"""Matched pairs: intervals and the exact test keep their promises whatever the law of the scatter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmogan.compare.matched import EXCHANGES, FEWEST, paired_interval, weigh_exchanges


def pairs(rng, number, bins=5, *, skew=1.0, off=0.0):
    """Pairs whose members share most of their scatter, with a heavy tail."""
    shared = np.exp(0.5 * rng.standard_normal((number, 1)))
    own = [np.exp(0.1 * skew * rng.standard_normal((number, bins))) for _ in "ct"]
    return shared * own[0] * (1 + off), shared * own[1]


@pytest.mark.parametrize("number", [4, 8, 40])
@pytest.mark.parametrize("off", [0.0, 0.3])
def test_intervals_hold_the_ratio_as_often_as_they_say(number, off):
    rng = np.random.default_rng(number)
    held = []
    for _ in range(400):
        low, high = paired_interval(*pairs(rng, number, off=off))
        held.append((low <= 1 + off) & (1 + off <= high))
    assert 0.92 < np.mean(held) < 0.98


@pytest.mark.parametrize("number", [4, 40])
def test_intervals_in_parts_of_an_amplitude_do_too(number):
    rng = np.random.default_rng(number)
    held = []
    for _ in range(400):
        true = 1e-3 * rng.standard_normal((number, 5))
        made = true + 1e-4 * (rng.standard_normal((number, 5)) + 3)
        low, high = paired_interval(made, true, amplitude=2e-3)
        held.append((low <= 1.15) & (high >= 1.15))
    assert 0.93 < np.mean(held) < 0.97


def test_pairing_takes_out_what_both_share():
    rng = np.random.default_rng(1)
    made, true = pairs(rng, 12)
    low, high = paired_interval(made, true)
    other_low, other_high = paired_interval(made, rng.permutation(true))
    assert np.median((high - low) / (other_high - other_low)) < 0.4


def test_equal_sides_agree_within_rounding():
    made = np.random.default_rng(2).standard_normal((9, 4)) + 5
    low, high = paired_interval(made, made)
    np.testing.assert_allclose([low, high], 1, atol=1e-5)
    found = weigh_exchanges(made, made, np.random.default_rng(0))
    assert found.p_value == 1
    assert found.largest == 0


def test_a_truth_compatible_with_zero_bounds_no_ratio():
    true = np.random.default_rng(3).standard_normal((8, 3))
    low, high = paired_interval(true + 1, true - true.mean(axis=0))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


def test_a_lone_pair_says_nothing():
    low, high = paired_interval(np.ones((1, 2)), np.ones((1, 2)))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()
    assert (
        weigh_exchanges(np.ones((1, 2)), 2 * np.ones((1, 2)), np.random.default_rng(0)).p_value == 1
    )


@pytest.mark.parametrize("number", [FEWEST, 8, 14])
def test_a_perfect_emulator_is_accused_once_in_twenty(number):
    """Exactly: whatever the law, and however the bins hang together."""
    rng = np.random.default_rng(number)
    draws = 600
    alarms = sum(
        weigh_exchanges(*pairs(rng, number, bins=20, skew=5.0), rng).alarm for _ in range(draws)
    )
    assert alarms / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    if 2 ** (number - 1) > 100:  # of few exchanges, one in twenty is none
        assert alarms / draws > 0.05 - 3 * np.sqrt(0.05 * 0.95 / draws)


def test_fewer_than_that_can_accuse_nobody():
    rng = np.random.default_rng(4)
    true = rng.standard_normal((FEWEST - 1, 3))
    assert not weigh_exchanges(true + 100 + rng.random(true.shape), true, rng).alarm
    true = rng.standard_normal((FEWEST, 3))
    assert weigh_exchanges(true + 100 + rng.random(true.shape), true, rng).alarm


def test_a_small_offset_that_all_share_is_seen():
    rng = np.random.default_rng(5)
    made, true = pairs(rng, 10, off=0.2)
    found = weigh_exchanges(made, true, rng)
    assert found.alarm
    assert found.largest > found.threshold
    assert found.p_value == 2 ** -(10 - 1)


def test_many_simulations_are_exchanged_at_random_and_the_same_each_time():
    rng = np.random.default_rng(6)
    made, true = pairs(rng, 30, off=0.2)
    one, two = (weigh_exchanges(made, true, np.random.default_rng(7)) for _ in range(2))
    assert one == two
    assert one.p_value == 1 / EXCHANGES


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_which_side_is_called_the_truth_does_not_matter(seed, number):
    rng = np.random.default_rng(seed)
    made, true = pairs(rng, number)
    one, other = (weigh_exchanges(*sides, rng) for sides in ((made, true), (true, made)))
    assert one.p_value == other.p_value
    assert one.largest == pytest.approx(-other.largest)
    low, high = paired_interval(made, true)
    back_low, back_high = paired_interval(true, made)
    bounded = (low > 0) & (back_low > 0) & np.isfinite(high) & np.isfinite(back_high)
    np.testing.assert_allclose(low[bounded], 1 / back_high[bounded], rtol=1e-6)
