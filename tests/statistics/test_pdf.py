"""Laws of the one-point distribution, of smoothing and of the mean."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.pdf as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.pdf import (
    DEFAULT_EDGES,
    SMOOTHED_EDGES,
    mean_density,
    pdf,
    pdfs,
    smooth,
)


def density(*shape, seed=1, dtype=np.float64):
    return np.exp(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@given(
    grid=st.integers(2, 9),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64]),
    edges=st.lists(st.floats(0.03125, 50, width=32), min_size=2, max_size=30, unique=True),
)
@settings(max_examples=40, deadline=None)
def test_it_equals_numpys_histogram_with_open_ends(grid, seed, dtype, edges):
    edges = sorted(edges)
    rho = density(grid, grid, seed=seed, dtype=dtype)
    rho[0, 0] = edges[1]  # on an edge: belongs to the bin above
    found = pdf(rho, edges)
    counts, _ = np.histogram(rho.astype(np.float64), [-np.inf, *edges, np.inf])
    np.testing.assert_array_equal(found.fraction, counts / rho.size)


def test_the_fractions_add_up_to_one_whatever_the_density():
    rho = density(3, 16, 16, dtype=np.float32)
    rho[1] = 0
    rho[2] = 1e9
    edges, centres, fraction = pdfs(rho)
    assert fraction.sum(axis=1).tolist() == [1, 1, 1]
    assert fraction[1, 0] == 1
    assert fraction[2, -1] == 1
    assert edges[0] == 0
    assert edges[-1] == np.inf
    assert len(centres) == fraction.shape[1] == len(edges) - 1


def test_a_lognormal_field_has_the_lognormal_distribution():
    from scipy.stats import norm

    rho = density(512, 512)
    found = pdf(rho)
    expected = np.diff(norm.cdf(np.log(found.edges[1:-1])))
    error = np.sqrt(expected / rho.size)
    assert np.abs((found.fraction[1:-1] - expected) / error).max() < 4


@pytest.mark.parametrize("edges", [DEFAULT_EDGES, SMOOTHED_EDGES])
def test_the_default_bins_are_of_equal_width_in_the_logarithm(edges):
    # Edges are rounded to 6 digits behind the point, so that no libm decides a bin.
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(edges[1] / edges[0]), rtol=1e-4)
    centres = pdf(np.ones((2, 2)), edges).rho
    np.testing.assert_allclose(np.diff(np.log(centres)), np.log(edges[1] / edges[0]), rtol=1e-4)
    assert edges[0] <= 0.2
    assert edges[-1] >= 8


@pytest.mark.parametrize("shape", [(12, 12), (11, 11), (8, 8, 8)])
@pytest.mark.parametrize("cells", [0.0, 0.7, 2.0])
def test_smoothing_multiplies_each_mode_by_a_gaussian_and_keeps_the_mean(shape, cells):
    field = density(*shape)
    n = np.meshgrid(*[np.fft.fftfreq(grid) for grid in shape], indexing="ij")
    k_squared = (2 * np.pi) ** 2 * sum(axis**2 for axis in n)
    smoothed = smooth(field, cells)
    expected = np.fft.fftn(field) * np.exp(-k_squared * cells**2 / 2)
    np.testing.assert_allclose(np.fft.fftn(smoothed), expected, rtol=0, atol=1e-11 * field.sum())
    assert smoothed.mean() == pytest.approx(field.mean(), rel=1e-13)


def test_smoothing_a_batch_smooths_each_field_alone():
    fields = density(5, 16, 16, dtype=np.float32)
    together = smooth(fields, 2.0, axes=(1, 2))
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together, [smooth(field, 2.0) for field in fields])
    np.testing.assert_array_equal(together, smooth(fields, 2.0, axes=(-2, -1)))


def test_smoothing_reaches_across_the_faces_of_the_box():
    field = np.zeros((16, 16))
    field[0, 0] = 1
    smoothed = smooth(field, 2.0)
    assert smoothed[0, 15] == pytest.approx(smoothed[0, 1], rel=1e-12)
    # Far from its own width the periodic Gaussian is the plain one.
    assert smoothed[3, 2] == pytest.approx(np.exp(-13 / 8) / (8 * np.pi), rel=1e-6)


def test_rolling_and_turning_the_box_do_not_change_the_distribution():
    rho = density(16, 16)
    for same in (rho.T, rho[::-1], np.roll(rho, (2, 9), (0, 1))):
        np.testing.assert_array_equal(pdf(same).fraction, pdf(rho).fraction)


@pytest.mark.parametrize("shape", [(4, 64, 64), (2, 16, 16, 16)])
def test_the_mean_is_summed_in_double_precision(shape):
    fields = density(*shape, dtype=np.float32)
    expected = fields.astype(np.float64).reshape(shape[0], -1).mean(axis=1)
    np.testing.assert_allclose(mean_density(fields), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("rho", "edges", "error", "message"),
    [
        (np.full((4, 4), np.nan), [1, 2], LayoutError, "field 0 holds NaN"),
        (np.ones((4, 5)), [1, 2], LayoutError, "neither a square nor a cube"),
        (np.ones((4, 4)), [2, 1], RecipeError, "increasing"),
        (np.ones((4, 4)), [0, 1], RecipeError, "above 0"),
        (np.ones((4, 4)), [1], RecipeError, "at least two"),
        (np.ones((4, 4)), [1, np.nan], RecipeError, "increasing"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(rho, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        pdf(rho, edges)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cells", [-1.0, np.nan, np.inf])
def test_an_impossible_width_of_the_smoothing_is_refused(cells):
    with pytest.raises(RecipeError, match="must be a width"):
        smooth(np.ones((4, 4)), cells)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
