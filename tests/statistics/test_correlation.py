"""Laws of the two-point correlation function."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.correlation as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.correlation import (
    correlation_function,
    correlation_functions,
    default_edges,
)

BOX = 40.0


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def separations(grid, dimension):
    """Return every separation (N^d, d), each as its shortest image."""
    nearest = (np.arange(grid) + grid // 2) % grid - grid // 2
    return np.array(list(itertools.product(nearest, repeat=dimension)))


def to_the_corner(grid, dimension):
    """Return whole shells that hold every separation but none."""
    return np.arange(1, int(np.sqrt(dimension) * (grid // 2)) + 2)


def brute_force(delta, edges):
    """Return r, xi and pairs from a loop over separations, the field rolled by each."""
    delta = delta - delta.mean()
    every = separations(len(delta), delta.ndim)
    product = np.array([(delta * np.roll(delta, d, range(delta.ndim))).mean() for d in every])
    square = (every**2).sum(axis=1)
    result = []
    for low, high in itertools.pairwise(edges):
        shell = (square >= low**2) & (square < high**2)
        r = np.sqrt(square[shell]).mean() * BOX / len(delta)
        result.append((r, product[shell].mean(), shell.sum()))
    return map(np.array, zip(*result, strict=True))


@given(
    case=st.sampled_from([(2, 7), (2, 8), (2, 12), (3, 5), (3, 6)]),
    seed=st.integers(0, 99),
    mean=st.floats(-2, 2),
    edges=st.sampled_from([[1, 2, 3], [0.5, 1.25, 3.25], [1.2, 2, 2.5], [2, 2.125, 3], [1, 5]]),
)
@settings(max_examples=25, deadline=None)
def test_it_is_the_mean_product_of_all_pairs_of_cells_at_a_distance(case, seed, mean, edges):
    dimension, grid = case
    delta = mean + noise(*(grid,) * dimension, seed=seed)
    r, xi, pairs = brute_force(delta, edges)
    found = correlation_function(delta, BOX, edges)
    np.testing.assert_array_equal(found.pairs, pairs)
    np.testing.assert_allclose(found.r, r, rtol=1e-13)
    np.testing.assert_allclose(found.xi, xi, rtol=0, atol=1e-13)  # of a variance of one
    assert found.variance == pytest.approx(delta.var(), rel=1e-12)


@pytest.mark.parametrize("case", [(2, 16), (2, 15), (3, 8), (3, 9)])
def test_over_all_separations_and_none_it_sums_to_nothing(case):
    dimension, grid = case
    delta = 3 + noise(*(grid,) * dimension) ** 2
    found = correlation_function(delta, BOX, to_the_corner(grid, dimension))
    assert found.pairs.sum() == grid**dimension - 1
    total = found.variance + (found.xi * found.pairs).sum()
    assert abs(total) < 1e-11 * found.variance


@pytest.mark.parametrize("shape", [(32, 32), (15, 15), (12, 12, 12)])
def test_two_cells_of_the_same_value_vary_like_the_field(shape):
    field = np.exp(noise(*shape))
    found = correlation_function(field, BOX)
    assert found.variance == pytest.approx(field.var(), rel=1e-12)
    assert np.abs(found.xi).max() <= found.variance  # Schwarz
    # In single precision the transforms agree to some 1e-7 of the variance.
    single = correlation_function(field.astype(np.float32), BOX)
    assert single.variance == pytest.approx(field.var(), rel=1e-5)
    np.testing.assert_allclose(single.xi, found.xi, rtol=0, atol=1e-6 * found.variance)


@pytest.mark.parametrize(("shape", "fields"), [((32, 32), 400), ((12, 12, 12), 400)])
def test_white_noise_is_not_correlated(shape, fields):
    delta = noise(fields, *shape)
    _, xi, pairs = correlation_functions(delta, BOX)
    cells = delta[0].size
    # Half of the separations are others turned round; each of the rest is a mean over the cells.
    scatter = np.sqrt(2 / (pairs * cells))
    # The mean of the field, taken off, leaves -1 / cells.
    assert np.abs((xi.mean(axis=0) + 1 / cells) / scatter * np.sqrt(fields)).max() < 4
    # The scatter of a scatter of 400 draws is 3.5 %: 5 sigma.
    np.testing.assert_allclose(xi.std(axis=0), scatter, rtol=0.18)


@given(
    case=st.sampled_from([(2, 16), (2, 15), (3, 9), (3, 10)]),
    vector=st.lists(st.integers(-4, 4), min_size=3, max_size=3),
    amplitude=st.floats(0.01, 10),
    phase=st.floats(0, 6),
)
@settings(max_examples=30, deadline=None)
def test_a_plane_wave_gives_half_its_square_times_the_mean_cosine(case, vector, amplitude, phase):
    dimension, grid = case
    vector = vector[:dimension]
    if not any(vector):
        return
    x = np.meshgrid(*[np.arange(grid) / grid] * dimension, indexing="ij")
    turns = sum(n * axis for n, axis in zip(vector, x, strict=True))
    found = correlation_function(amplitude * np.cos(2 * np.pi * turns + phase), BOX, [1, 2, 4])
    every = separations(grid, dimension)
    square = (every**2).sum(axis=1)
    cosine = np.cos(2 * np.pi / grid * every @ vector)
    means = [cosine[(square >= a) & (square < b)].mean() for a, b in ((1, 4), (4, 16))]
    half = amplitude**2 / 2
    np.testing.assert_allclose(found.xi, half * np.array(means), rtol=0, atol=1e-12 * half)
    assert found.variance == pytest.approx(half, rel=1e-12)


def test_a_smoothed_field_is_correlated_as_far_as_its_width():
    grid, fields, width = 48, 300, 2.0
    n = np.fft.fftfreq(grid)[:, None] ** 2 + np.fft.rfftfreq(grid) ** 2
    modes = scipy.fft.rfft2(noise(fields, grid, grid)) * np.exp(-2 * (np.pi * width) ** 2 * n)
    edges = np.arange(1, 12)
    _, xi, _ = correlation_functions(scipy.fft.irfft2(modes, s=(grid, grid)), BOX, edges)
    # White noise seen through two Gaussians: a Gaussian of twice the variance, less the mean.
    square = (separations(grid, 2) ** 2).sum(axis=1)
    at = np.exp(-square / (4 * width**2)) / (4 * np.pi * width**2) - 1 / grid**2
    expected = [at[(square >= a**2) & (square < b**2)].mean() for a, b in itertools.pairwise(edges)]
    error = xi.std(axis=0) / np.sqrt(fields)
    assert error.max() < 0.02 * at.max()
    assert np.abs((xi.mean(axis=0) - expected) / error).max() < 4


@given(
    shape=st.sampled_from([(12, 12), (9, 9), (8, 8, 8), (7, 7, 7)]),
    seed=st.integers(0, 99),
    shift=st.tuples(*[st.integers(0, 11)] * 3),
    order=st.permutations(range(3)),
    flipped=st.tuples(*[st.booleans()] * 3),
)
@settings(max_examples=25, deadline=None)
def test_neither_rolling_mirroring_nor_turning_changes_it(shape, seed, shift, order, flipped):
    dimension = len(shape)
    delta = noise(*shape, seed=seed) ** 2
    before = correlation_function(delta, BOX)
    axes = [axis for axis in order if axis < dimension]
    same = np.roll(delta, shift[:dimension], range(dimension)).transpose(axes)
    same = np.flip(same, [axis for axis in range(dimension) if flipped[axis]])
    after = correlation_function(same, BOX)
    np.testing.assert_allclose(after.xi, before.xi, rtol=0, atol=1e-12 * before.variance)


@given(factor=st.floats(-5, 5), mean=st.floats(-3, 3), box_size=st.floats(1, 5000))
@settings(max_examples=20, deadline=None)
def test_it_grows_with_the_square_and_knows_neither_mean_nor_length(factor, mean, box_size):
    delta = noise(16, 16)
    before = correlation_function(delta, BOX)
    after = correlation_function(mean + factor * delta, box_size)
    np.testing.assert_allclose(after.xi, factor**2 * before.xi, rtol=0, atol=1e-12 * 25)
    np.testing.assert_allclose(after.r / box_size, before.r / BOX, rtol=1e-13)


@pytest.mark.parametrize("shape", [(12, 12), (8, 8, 8)])
def test_a_constant_field_has_none(shape):
    found = correlation_function(np.full(shape, 0.1), BOX)
    np.testing.assert_allclose([found.variance, *found.xi], 0, atol=1e-30)  # of 0.01


@pytest.mark.parametrize("shape", [(1500, 16, 16), (9, 63, 63), (70, 96, 96), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_gives_the_bits_of_its_fields(shape, dtype):
    fields = noise(*shape, dtype=dtype)
    _, xi, _ = correlation_functions(fields, BOX)
    one_by_one = [correlation_function(field, BOX).xi for field in fields]
    np.testing.assert_array_equal(xi, one_by_one)


def test_the_field_given_is_left_as_it_was():
    fields = 1 + noise(3, 16, 16)
    before = fields.copy()
    correlation_functions(fields, BOX)
    np.testing.assert_array_equal(fields, before)


@pytest.mark.parametrize(("grid", "last"), [(8, 4), (9, 4), (64, 32)])
def test_the_default_shells_end_at_half_the_box(grid, last):
    np.testing.assert_array_equal(default_edges(grid), np.arange(1, last + 1))
    found = correlation_function(noise(grid, grid), BOX)
    assert len(found.r) == last - 1
    assert found.r[0] >= BOX / grid
    assert found.r[-1] < BOX / 2


@pytest.mark.parametrize(
    ("field", "box", "edges", "error", "message"),
    [
        (np.zeros((8, 9)), 1.0, None, LayoutError, "neither a square nor a cube"),
        (np.zeros((8, 8), complex), 1.0, None, LayoutError, "not real"),
        (np.full((8, 8), np.nan), 1.0, None, LayoutError, "field 0 .* not finite"),
        (np.full((8, 8), np.inf), 1.0, None, LayoutError, "field 0 .* not finite"),
        (np.eye(8) * 1e200, 1.0, None, LayoutError, "field 0 .* or whose square is not"),
        (np.zeros((8, 8)), 0.0, None, RecipeError, "box_size = 0.0"),
        (np.zeros((8, 8)), 1.0, [2, 1], RecipeError, "increasing"),
        (np.zeros((8, 8)), 1.0, [0, 3], RecipeError, "above 0"),
        (np.zeros((8, 8)), 1.0, [5.8, 6.5], RecipeError, "no mode of a grid of 8"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(field, box, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        correlation_function(field, box, edges)
    assert "\n" not in str(caught.value)


def test_of_a_batch_the_bad_field_is_named():
    fields = noise(3, 8, 8)
    fields[2, 1, 1] = np.nan
    with pytest.raises(LayoutError, match="field 2 holds a value that is not finite"):
        correlation_functions(fields, BOX)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
