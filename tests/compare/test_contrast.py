"""Coverage is measured: each bin of one contrast is an experiment of its own."""

from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare import floor
from cosmogan.compare.contrast import LEVEL, Contrast
from cosmogan.compare.units import Units

BINS = 2000
# Binomial scatter of the coverage over 2000 experiments is 0.5 %; 2 % more for the skewness of the
# rows at so few simulations, which Student's t does not know.
NEAR = 0.02


def units(rows):
    nothing = np.empty((len(rows), 0))
    return Units(means=rows, logs=nothing, squares=nothing, fields=len(rows))


def scatters(fields):
    """Return units of (n, m, p) fields of ln P."""
    nothing = np.empty((len(fields), 0))
    return Units(
        means=nothing,
        logs=fields.mean(axis=1),
        squares=(fields**2).mean(axis=1),
        fields=fields.shape[0] * fields.shape[1],
    )


def contrast(candidate, truth, training=None, *, signed=False, scatter=False, amplitude=0.0):
    bins = candidate.means.shape[1] + candidate.logs.shape[1]
    return Contrast(
        candidate=candidate,
        truth=truth,
        training=training,
        pool=truth,
        signed=np.full(bins, signed),
        scatter=np.full(bins, scatter),
        amplitude=np.full(bins, amplitude),
    )


def coverage(of, ratio, critical=None):
    low, high = of.interval(of.student() if critical is None else critical)
    return np.mean((low <= ratio) & (ratio <= high))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def positive(rng, simulations, mean=1.0, scatter=0.2):
    return units(mean * np.exp(scatter * rng.standard_normal((simulations, BINS))))


@pytest.mark.parametrize("sizes", [(16, 8), (200, 4), (5, 5)])
def test_students_interval_covers_the_true_ratio(rng, sizes):
    found = contrast(positive(rng, sizes[0], 1.3), positive(rng, sizes[1]))
    assert abs(coverage(found, 1.3) - LEVEL) < NEAR


def test_what_learned_from_few_simulations_needs_their_error(rng):
    training, truth = positive(rng, 8), positive(rng, 8)
    learned = units(training.means.mean(axis=0) * (1 + 0.3 * rng.standard_normal((400, BINS))))
    assert abs(coverage(contrast(learned, truth, training), 1.0) - LEVEL) < NEAR
    assert coverage(contrast(learned, truth), 1.0) < LEVEL - 0.05


def test_the_scatter_of_slices_is_covered(rng):
    def fields(boxes, spread):
        box = 0.3 * rng.standard_normal((boxes, 1, BINS))
        return scatters(spread * (box + rng.standard_normal((boxes, 6, BINS))))

    found = contrast(fields(16, 1.2), fields(8, 1.0), scatter=True)
    assert abs(coverage(found, 1.2) - LEVEL) < NEAR


@pytest.mark.parametrize("mean", [10.0, 3.0, 0.5])
def test_fiellers_interval_covers_the_ratio_even_where_the_truth_is_near_zero(rng, mean):
    candidate = units(2 * mean + 3 * rng.standard_normal((20, BINS)))
    truth = units(mean + 3 * rng.standard_normal((8, BINS)))
    found = contrast(candidate, truth, signed=True)
    assert coverage(found, 2.0) > LEVEL - NEAR


def test_fiellers_interval_too_knows_the_training_simulations(rng):
    training, truth = (units(10 + 3 * rng.standard_normal((8, BINS))) for _ in range(2))
    learned = units(training.means.mean(axis=0) + rng.standard_normal((400, BINS)))
    assert coverage(contrast(learned, truth, training, signed=True), 1.0) > LEVEL - NEAR
    assert coverage(contrast(learned, truth, signed=True), 1.0) < LEVEL - 0.05


def test_a_truth_compatible_with_zero_bounds_no_ratio(rng):
    truth = units(rng.standard_normal((8, BINS)))
    low, high = contrast(units(1 + truth.means), truth, signed=True).interval(np.full(BINS, 2.4))
    zero = np.abs(truth.means.mean(axis=0)) < 2.4 * truth.means.std(axis=0, ddof=1) / np.sqrt(8)
    np.testing.assert_array_equal(np.isinf(low) & np.isinf(high), zero)


def test_resampled_critical_values_cover_too(rng):
    found = contrast(positive(rng, 40), positive(rng, 30))
    critical = np.quantile(np.abs(floor.null_deviations(found, rng, 600)), LEVEL, axis=0)
    # the quantile of 600 resamples itself scatters by 1 % of coverage
    assert abs(coverage(found, 1.0, critical) - LEVEL) < NEAR


def test_exchanging_the_sides_inverts_ratio_and_interval(rng):
    one, other = positive(rng, 9), positive(rng, 6, 1.1)
    there, back = contrast(one, other), contrast(other, one)
    low, high = there.interval(there.student())
    low_back, high_back = back.interval(back.student())
    np.testing.assert_allclose(there.ratio, 1 / back.ratio)
    np.testing.assert_allclose(low, 1 / high_back)
    np.testing.assert_allclose(high, 1 / low_back)
    np.testing.assert_allclose(there.deviation, -back.deviation)


def test_units_of_the_statistic_do_not_matter(rng):
    one, other = positive(rng, 9), positive(rng, 6)
    scaled = contrast(units(1e6 * one.means), units(1e6 * other.means))
    plain = contrast(one, other)
    np.testing.assert_allclose(scaled.deviation, plain.deviation)
    np.testing.assert_allclose(scaled.interval(scaled.student()), plain.interval(plain.student()))


def test_one_simulation_leaves_the_ratio_open(rng):
    found = contrast(positive(rng, 50), positive(rng, 1))
    low, high = found.interval(found.student())
    assert np.isinf(low).all()
    assert np.isinf(high).all()
    assert not found.deviation.any()


def test_a_candidate_without_any_is_far_off_not_undefined(rng):
    truth = positive(rng, 8, 0.05)
    found = contrast(units(np.zeros((100, BINS))), truth)
    low, high = found.interval(found.student())
    assert (found.ratio == 0).all()
    assert (high < 0.01).all()
    assert (low <= 0).all()
    assert (found.deviation < -2).all()


def test_rounding_is_no_deviation():
    """The slabs of a box average to 1 but for rounding, on both sides."""
    rng = np.random.default_rng(3)
    sides = (units(1 + 1e-8 * rng.standard_normal((n, 50))) for n in (16, 8))
    assert np.abs(contrast(*sides).deviation).max() < 0.1


def test_a_deviation_in_parts_of_the_largest_value_is_covered_where_the_truth_is_zero(rng):
    """A difference of .3 in units of an amplitude of 2 reads 1.15, whatever the bin itself holds."""
    sizes, centre = (16, 8), rng.uniform(-1, 1, BINS)
    candidate, truth = (
        units(off + centre + 0.2 * rng.standard_normal((n, BINS)))
        for n, off in zip(sizes, (0.3, 0.0), strict=True)
    )
    found = contrast(candidate, truth, signed=True, amplitude=2.0)
    assert abs(coverage(found, 1.15) - LEVEL) < NEAR
    assert np.median(found.ratio) == pytest.approx(1.15, abs=0.01)
    low, high = found.interval(found.student())
    # Student's 97.5 % for some 15 degrees of freedom
    expected = 2 * 2.13 * 0.2 * np.sqrt(1 / 16 + 1 / 8) / 2.0
    assert np.median(high - low) == pytest.approx(expected, rel=0.1)


def test_without_an_amplitude_bins_are_compared_by_their_ratio(rng):
    sides = positive(rng, 16, 1.3), positive(rng, 8)
    with_zero, without = contrast(*sides), contrast(*sides)
    without = replace(without, amplitude=None)
    np.testing.assert_array_equal(with_zero.ratio, without.ratio)
    for one, other in zip(
        with_zero.interval(with_zero.student()), without.interval(without.student()), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_sides_that_do_not_vary_differ_for_sure_or_not_at_all():
    nothing = units(np.zeros((4, 3)))
    assert contrast(nothing, nothing, signed=True).deviation.tolist() == [0, 0, 0]
    other = units(np.tile([0.0, 1e-3, -1e-3], (4, 1)))
    found = contrast(other, nothing, signed=True).deviation
    assert found[0] == 0
    assert found[1] > 100
    assert found[2] < -100
