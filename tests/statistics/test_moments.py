"""Laws of moments and cumulants by scale."""

import doctest
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.moments as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.moments import (
    DEFAULT_SCALES,
    cumulants,
    hierarchical_amplitudes,
    hierarchy,
    moments,
)


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def skewed(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).exponential(size=shape).astype(dtype)


def gaussian(shape, scale):
    """Return the full complex transform of the Gaussian of a scale."""
    n = np.meshgrid(*[np.fft.fftfreq(grid) for grid in shape], indexing="ij")
    return np.exp(-0.5 * (2 * np.pi * scale) ** 2 * sum(axis**2 for axis in n))


def pull(samples, expected):
    """Return how many standard errors the mean of the rows lies from what is expected."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return np.abs(samples.mean(axis=0) - expected) / error


@given(
    case=st.sampled_from([(2, 8), (2, 9), (3, 6), (3, 5)]),
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 0.4, 1.0, 2.5]),
)
@settings(max_examples=30, deadline=None)
def test_they_equal_powers_of_a_field_smoothed_by_the_full_transform(case, seed, scale):
    dimension, grid = case
    rho = skewed(*(grid,) * dimension, seed=seed)
    smoothed = np.fft.ifftn(np.fft.fftn(rho) * gaussian(rho.shape, scale)).real
    m = [None, smoothed.mean(), *[((smoothed - smoothed.mean()) ** p).mean() for p in range(2, 7)]]
    found = hierarchy(rho, [scale], order=6)
    connected = [m[1], m[2], m[3], m[4] - 3 * m[2] ** 2, m[5] - 10 * m[3] * m[2]]
    connected += [m[6] - 15 * m[4] * m[2] - 10 * m[3] ** 2 + 30 * m[2] ** 3]
    # Both sum deviations of order one in another order.
    np.testing.assert_allclose(found.moments, [m[1:]], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found.cumulants, [connected], rtol=1e-9, atol=1e-11)
    ratios = np.array(connected[2:]) / m[2] ** np.arange(2, 6)
    np.testing.assert_allclose(found.amplitudes, [ratios], rtol=1e-9, atol=1e-11 / m[2] ** 5)


def test_a_field_of_zeros_and_ones_has_the_cumulants_of_a_coin():
    rho = np.zeros((8, 8))
    rho[::2, ::2] = 1
    p, variance = 1 / 4, 3 / 16
    expected = [p, variance, variance * (1 - 2 * p), variance * (1 - 6 * variance)]
    expected += [variance * (1 - 2 * p) * (1 - 12 * variance)]
    expected += [variance * (1 - 30 * variance + 120 * variance**2)]
    np.testing.assert_allclose(cumulants(rho[None], [0.0], 6), [[expected]], rtol=1e-13)


def test_cumulants_of_independent_parts_add_up():
    first, second = skewed(16), noise(16, seed=2) ** 2
    # Every value of the one meets every value of the other once: exactly independent.
    whole = first[:, None] + second
    parts = [np.tile(part[:, None], (1, 16)) for part in (first, second)]
    of_parts = cumulants(parts, [0.0], order=7).sum(axis=0)
    np.testing.assert_allclose(hierarchy(whole, [0.0], order=7).cumulants, of_parts, rtol=1e-10)


def test_a_wave_keeps_its_shape_and_loses_its_variance_as_a_gaussian_does():
    grid, amplitude, scales = 32, 0.6, np.array([0.0, 1.0, 3.0])
    x = 2 * np.pi * np.arange(grid) / grid
    found = hierarchy(1 + amplitude * np.cos(3 * x[:, None] + 2 * x + 0.4), scales)
    k_squared = 13 * (2 * np.pi / grid) ** 2
    variance = amplitude**2 / 2 * np.exp(-k_squared * scales**2)
    np.testing.assert_allclose(found.cumulants[:, 1], variance, rtol=1e-12)
    np.testing.assert_allclose(found.cumulants[:, 2], 0, atol=1e-15)
    np.testing.assert_allclose(found.cumulants[:, 3], -1.5 * variance**2, rtol=1e-11)
    np.testing.assert_allclose(found.amplitudes[:, 1], -1.5 / variance, rtol=1e-11)
    np.testing.assert_array_equal(found.scales, scales)


@pytest.mark.parametrize("shape", [(64, 64), (16, 16, 16)])
def test_exponential_noise_has_factorials_for_cumulants(shape):
    found = cumulants(skewed(400, *shape), [0.0], order=5)[:, 0]
    expected = np.array([factorial(p - 1) for p in range(1, 6)])
    # Among the 4096 cells of a field, about its own mean, k5 is short by 120 (1 + 9) / 4096 or so.
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (error < 0.06 * expected).all()
    assert (np.abs(found.mean(axis=0) - expected) < 4 * error + 0.02 * expected).all()


@pytest.mark.parametrize("shape", [(32, 32), (16, 16, 16)])
def test_smoothed_noise_has_the_moments_of_a_weighted_sum(shape):
    scales = [0.5, 1.0, 2.0]
    found = moments(skewed(600, *shape), scales)
    for place, scale in enumerate(scales):
        # A deviation is the sum of white noise times w - 1 / N^d: the mean is that of the field.
        w = np.fft.ifftn(gaussian(shape, scale)).real - 1 / np.prod(shape)
        two, three, four = ((w**p).sum() for p in (2, 3, 4))
        expected = [1, two, 2 * three, 6 * four + 3 * two**2]
        assert pull(found[:, place], expected).max() < 4
        assert (found[:, place].std(axis=0) / np.sqrt(600) < 0.1 * np.array(expected)).all()


@pytest.mark.parametrize("shape", [(64, 64), (16, 16, 16)])
def test_a_gaussian_field_has_no_hierarchy_at_any_scale(shape):
    found = cumulants(1 + 0.3 * noise(500, *shape), [0.0, 1.0, 2.0])
    amplitudes = hierarchical_amplitudes(found)
    assert pull(amplitudes[..., 0], 0).max() < 4
    # k4 of a field is short by some 6 k2^2 / independent cells: judge where these are many.
    assert pull(amplitudes[:, :2, 1], 0).max() < 4
    errors = amplitudes[:, 0].std(axis=0) / np.sqrt(500)
    assert (errors < [0.01, 0.05]).all()


def test_a_lognormal_field_has_the_known_amplitudes():
    sigma, fields = 0.4, 300
    rho = np.exp(sigma * noise(fields, 64, 64) - sigma**2 / 2)
    found = cumulants(rho, [0.0])[:, 0]
    k2 = np.exp(sigma**2) - 1
    expected = [3 + k2, 16 + 15 * k2 + 6 * k2**2 + k2**3]
    parts = hierarchical_amplitudes(found.reshape(20, -1, 4).mean(axis=1))
    assert pull(found[:, :2], [1, k2]).max() < 4
    assert pull(parts, expected).max() < 4
    assert (parts.std(axis=0) / np.sqrt(20) < 0.02 * np.array(expected)).all()


@given(factor=st.floats(0.1, 10), sign=st.sampled_from([-1, 1]), shift=st.floats(-5, 5))
@settings(deadline=None)
def test_a_factor_enters_by_its_power_and_a_shift_only_the_mean(factor, sign, shift):
    rho, a = skewed(16, 16), sign * factor
    before, after = hierarchy(rho, order=6), hierarchy(a * rho + shift, order=6)
    expected = before.cumulants * a ** np.arange(1, 7)
    expected[:, 0] += shift
    # A shift of 50 times the field costs that many roundings.
    np.testing.assert_allclose(after.cumulants[:, :1], expected[:, :1], rtol=1e-10, atol=1e-10)
    scale = np.abs(a) ** np.arange(2, 7) * np.abs(before.moments[:1, 1:])
    assert (np.abs(after.cumulants - expected)[:, 1:] < 1e-9 * scale).all()
    ratios = before.amplitudes * a ** (2.0 - np.arange(3, 7))
    np.testing.assert_allclose(after.amplitudes[:2], ratios[:2], rtol=1e-8)


@given(
    dimension=st.sampled_from([2, 3]),
    scales=st.tuples(st.floats(0, 3), st.floats(0.125, 3)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_smoothing_lowers_the_variance_and_keeps_the_mean(dimension, scales, seed):
    rho = skewed(*(8,) * dimension, seed=seed)
    little, much = moments(rho[None], [scales[0], sum(scales)])[0]
    assert much[1] < little[1] <= rho.var() * (1 + 1e-13)
    assert little[0] == pytest.approx(rho.mean(), rel=1e-13)
    assert much[0] == pytest.approx(rho.mean(), rel=1e-13)


def test_neither_rolling_mirroring_nor_turning_change_them():
    rho = skewed(12, 12, 12)
    before = moments(rho[None])
    same = [rho.transpose(2, 0, 1), rho[::-1], rho[:, :, ::-1], np.roll(rho, (3, 5, 7), (0, 1, 2))]
    np.testing.assert_allclose(moments(same), np.tile(before, (4, 1, 1)), rtol=1e-10)


@pytest.mark.parametrize("shape", [(70, 96, 96), (7, 15, 15), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_gives_the_bits_of_its_fields(shape, dtype):
    fields = skewed(*shape, dtype=dtype)
    alone = [hierarchy(field) for field in fields]
    together = moments(fields)
    assert together.shape == (len(fields), len(DEFAULT_SCALES), 4)
    np.testing.assert_array_equal(together, [one.moments for one in alone])
    np.testing.assert_array_equal(cumulants(fields), [one.cumulants for one in alone])
    amplitudes = hierarchical_amplitudes(cumulants(fields))
    np.testing.assert_array_equal(amplitudes, [one.amplitudes for one in alone])


def test_single_precision_is_summed_in_double():
    rho = 1000 + skewed(256, 256, dtype=np.float32)  # a sum of squares in float32 would be lost
    expected = hierarchy(rho.astype(np.float64), [0.0]).moments
    np.testing.assert_array_equal(hierarchy(rho, [0.0]).moments, expected)
    assert expected[0, 1] == pytest.approx(rho.astype(np.float64).var(), rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e5])
def test_a_field_without_variance_has_no_amplitudes(dtype, value):
    found = hierarchy(np.full((15, 15), value, dtype), order=6)
    np.testing.assert_array_equal(found.amplitudes, 0)


@pytest.mark.parametrize(
    ("rho", "scales", "order", "error", "message"),
    [
        (np.full((4, 4), np.nan), [0], 4, LayoutError, "field 0 .* not finite"),
        (np.diag([np.inf, -np.inf]), [2], 4, LayoutError, "field 0 .* not finite"),
        (np.ones((4, 5)), [0], 4, LayoutError, "neither a square nor a cube"),
        (np.ones((4, 4)), [], 4, RecipeError, "a list of scales"),
        (np.ones((4, 4)), 2.0, 4, RecipeError, "a list of scales"),
        (np.ones((4, 4)), [0], 1, RecipeError, "order 2 or more"),
        (np.ones((4, 4)), [-1.0], 4, RecipeError, "must be a width"),
        (np.ones((4, 4)), [np.nan], 4, RecipeError, "must be a width"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(rho, scales, order, error, message):
    with pytest.raises(error, match=message) as caught:
        hierarchy(rho, scales, order)
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
