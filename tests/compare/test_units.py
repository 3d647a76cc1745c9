import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.compare import units
from cosmogan.compare.units import Units, estimate


def make(rows, logs=None):
    rows = np.asarray(rows, dtype=np.float64)
    logs = np.empty((len(rows), 0)) if logs is None else logs
    return Units(means=rows, logs=logs, squares=logs**2, fields=len(rows))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_average_is_the_mean_over_each_simulation(members, seed):
    simulation = np.array(members)
    rows = np.random.default_rng(seed).standard_normal((len(members), 3))
    expected = [rows[simulation == s].mean(axis=0) for s in np.unique(simulation)]
    np.testing.assert_allclose(units.average(rows, simulation), expected, atol=1e-14)


def test_mean_and_variance_are_those_of_the_textbook(universe):
    rows = universe.rng.standard_normal((9, 4)) + 5
    found = estimate(make(rows))
    np.testing.assert_allclose(found.value[0], rows.mean(axis=0))
    # 1e-9: RESOLUTION^2 of the value is added to every variance
    np.testing.assert_allclose(found.variance[0], rows.var(axis=0, ddof=1) / 9, rtol=1e-9)


def test_counts_are_the_same_as_repeated_rows(universe):
    rows = universe.rng.standard_normal((7, 3)) + 4
    logs = universe.rng.standard_normal((7, 2))
    counts = units.draw_with_replacement(universe.rng, 5, 7)
    resampled = estimate(make(rows, logs), counts)
    for b, row in enumerate(counts.astype(int)):
        alone = estimate(make(np.repeat(rows, row, axis=0), np.repeat(logs, row, axis=0)))
        np.testing.assert_allclose(resampled.value[b], alone.value[0])
        np.testing.assert_allclose(resampled.variance[b], alone.variance[0], rtol=1e-6)


def test_scatter_of_one_field_a_simulation_is_the_unbiased_variance(universe):
    logs = universe.rng.standard_normal((12, 3)) + 20
    found = estimate(make(np.empty((12, 0)), logs))
    np.testing.assert_allclose(found.value[0], logs.var(axis=0, ddof=1))


def test_error_of_the_scatter_agrees_with_the_delete_one_jackknife(universe):
    logs = universe.rng.standard_normal((80, 5, 4)) + universe.rng.standard_normal((80, 1, 4))
    whole = Units(
        means=np.empty((80, 0)), logs=logs.mean(axis=1), squares=(logs**2).mean(axis=1), fields=400
    )
    leave_one_out = estimate(whole, 1.0 - np.eye(80)).value
    jackknife = 79 * leave_one_out.var(axis=0)
    # the two differ by some 1 / n, n = 80
    np.testing.assert_allclose(estimate(whole).variance[0], jackknife, rtol=0.08)


def test_one_simulation_says_nothing_about_its_error():
    assert np.isinf(estimate(make([[1.0, 2.0]])).variance).all()


def test_slices_of_one_simulation_count_as_one(universe):
    one = universe.simulations(6, slices=1)
    samples = {"power": np.repeat(one["power"].samples, 4, axis=0)}
    from cosmogan.compare.rules import Rules, make_yardsticks

    rules = Rules(tolerance={"power": 0.1})
    yardsticks = make_yardsticks(one, rules)
    single = units.reduce_to_units({"power": one["power"].samples}, one.simulation, yardsticks)
    copied = units.reduce_to_units(samples, np.repeat(one.simulation, 4), yardsticks)
    a, b = estimate(single), estimate(copied)
    np.testing.assert_allclose(a.value, b.value)
    np.testing.assert_allclose(a.variance, b.variance, rtol=1e-6)


@pytest.mark.parametrize("size", [None, 3, 11])
def test_draws_with_replacement_have_the_size_asked_for(universe, size):
    counts = units.draw_with_replacement(universe.rng, 50, 6, size)
    assert counts.shape == (50, 6)
    assert (counts.sum(axis=1) == (size or 6)).all()
    # each simulation is drawn equally often: 5 sigma of the binomial
    drawn, total = counts.sum(axis=0), counts.sum()
    assert np.abs(drawn - total / 6).max() < 5 * np.sqrt(total * 5 / 36)


def test_disjoint_draws_share_no_simulation(universe):
    first, second, third = units.draw_disjoint(universe.rng, 40, 10, (4, 3, 2))
    assert (first.sum(axis=1) == 4).all()
    assert (second.sum(axis=1) == 3).all()
    assert (third.sum(axis=1) == 2).all()
    assert (first + second + third).max() == 1
    assert len({tuple(row) for row in first}) > 20
