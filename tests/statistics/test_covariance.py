"""Laws of covariances over simulations and of their inverses."""

import numpy as np
import pytest

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.covariance import (
    chi_squared,
    correlation_matrix,
    covariance_matrix,
    precision_matrix,
)

BINS = 5
MIXING = np.tril(np.random.default_rng(2).uniform(0.2, 1, (BINS, BINS)))
TRUTH = MIXING @ MIXING.T


def draws(number, seed=1):
    return np.random.default_rng(seed).standard_normal((number, BINS)) @ MIXING.T + 7


def shares():
    """Return samples of three bins that add up to one, as those of a distribution."""
    raw = np.random.default_rng(3).random((30, 3))
    return raw / raw.sum(axis=1, keepdims=True)


def test_it_is_that_of_numpy():
    samples = draws(20)
    np.testing.assert_allclose(covariance_matrix(samples), np.cov(samples.T), rtol=1e-12)
    np.testing.assert_allclose(correlation_matrix(samples), np.corrcoef(samples.T), rtol=1e-12)
    np.testing.assert_array_equal(np.diag(correlation_matrix(samples)), 1)


def test_correlations_do_not_know_the_units():
    samples = draws(20)
    scaled = samples * np.geomspace(1e-8, 1e8, BINS)
    np.testing.assert_allclose(correlation_matrix(scaled), correlation_matrix(samples), rtol=1e-9)


def test_the_mean_over_many_draws_is_the_truth_for_the_matrix_and_for_its_inverse():
    number, repeats = 12, 4000
    matrices = [draws(number, seed) for seed in range(repeats)]
    for estimate, truth in (
        (covariance_matrix, TRUTH),
        (precision_matrix, np.linalg.inv(TRUTH)),
    ):
        found = np.array([estimate(samples) for samples in matrices])
        error = found.std(axis=0) / np.sqrt(repeats)
        # 25 entries: 4 sigma; without Hartlap's factor the inverse is off by 2.2
        assert (np.abs(found.mean(axis=0) - truth) < 4 * error).all()
        assert (error < 0.05 * np.abs(truth).max()).all()


def test_chi_squared_of_a_draw_has_the_mean_of_its_bins():
    rng = np.random.default_rng(5)
    values = [
        chi_squared(MIXING @ rng.standard_normal(BINS), draws(30, seed)) for seed in range(3000)
    ]
    assert np.mean(values) == pytest.approx(BINS, abs=4 * np.std(values) / np.sqrt(3000))


def test_chi_squared_of_one_bin_is_the_square_in_standard_errors():
    samples = draws(400)[:, :1]
    hartlap = (400 - 1 - 2) / (400 - 1)
    found = chi_squared([0.3], samples)
    assert found == pytest.approx(hartlap * 0.3**2 / samples.var(ddof=1), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: covariance_matrix(draws(1)), LayoutError, "give at least 2 rows"),
        (lambda: correlation_matrix(draws(2)), LayoutError, "give at least 3 rows"),
        (lambda: covariance_matrix([[1.0, 2.0], [np.nan, 1.0]]), LayoutError, "sample 1 is not"),
        (lambda: correlation_matrix([[1, 2], [1, 3], [1, 4]]), LayoutError, "bin 0 is the same"),
        (lambda: correlation_matrix(shares() * [1, 0, 1] + [0, 0.1, 0]), LayoutError, "bin 1 is"),
        (lambda: precision_matrix(shares()), LayoutError, "3 bins are linearly dependent"),
        (lambda: precision_matrix(draws(7)), RecipeError, "7 samples of 5 bins .* at least 8"),
        (lambda: chi_squared([1, 2], draws(30)), LayoutError, r"\(2,\): give \(5,\)"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
