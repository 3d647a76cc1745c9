"""Laws of the counts of peaks and minima."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.peaks as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.pdf import DEFAULT_EDGES, smooth
from cosmogan.statistics.peaks import extrema, peaks_and_minima

EDGES = [-1.0, 0.0, 0.5, 2.0]


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def brute_force(rho, edges):
    """Return both counts from filters over all neighbours but the cell itself."""
    around = np.ones((3,) * rho.ndim, dtype=bool)
    around[(1,) * rho.ndim] = False
    peaks = rho > scipy.ndimage.maximum_filter(rho, footprint=around, mode="wrap")
    minima = rho < scipy.ndimage.minimum_filter(rho, footprint=around, mode="wrap")
    bins = [-np.inf, *edges, np.inf]
    return [np.histogram(rho[cells].astype(float), bins)[0] for cells in (peaks, minima)]


def same(found, other):
    np.testing.assert_array_equal(found.peaks, other.peaks)
    np.testing.assert_array_equal(found.minima, other.minima)


@given(
    dimension=st.sampled_from([2, 3]),
    grid=st.integers(2, 9),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([np.float32, np.float64]),
    levels=st.sampled_from([None, 3, 20]),
)
@settings(max_examples=60, deadline=None)
def test_they_equal_a_filter_over_all_neighbours(dimension, grid, seed, dtype, levels):
    rho = noise(*(grid,) * dimension, seed=seed, dtype=dtype)
    if levels is not None:  # many equal neighbours, and heights on the edges
        rho = np.round(rho * levels / 4).astype(dtype) / 2
    found = peaks_and_minima(rho, EDGES)
    peaks, minima = brute_force(rho, EDGES)
    np.testing.assert_array_equal(found.peaks, peaks)
    np.testing.assert_array_equal(found.minima, minima)


@pytest.mark.parametrize("place", [(3, 4), (0, 0), (0, 7), (7, 7), (2, 3, 4), (0, 7, 0), (7, 7, 7)])
def test_one_bump_is_one_peak_wherever_it_lies(place):
    rho = np.zeros((8,) * len(place))
    for offset in itertools.product((-1, 0, 1), repeat=len(place)):
        cell = tuple((p + o) % 8 for p, o in zip(place, offset, strict=True))
        rho[cell] = 3 - np.abs(offset).sum() / 2
    found = peaks_and_minima(rho, [0.0, 2.0, 2.75, 3.5])
    assert found.peaks.tolist() == [0, 0, 0, 1, 0]
    assert found.minima.sum() == 0  # all around is flat
    same(peaks_and_minima(-rho, [-3.0]), peaks_and_minima(-rho[::-1], [-3.0]))
    assert peaks_and_minima(-rho, [-3.0]).minima.tolist() == [0, 1]


def test_a_plateau_is_neither_however_small():
    rho = np.zeros((8, 8))
    rho[3, 3] = rho[4, 4] = 1  # touch by a corner
    assert peaks_and_minima(rho).peaks.sum() == 0
    rho[4, 4] = np.nextafter(1, 0)
    assert peaks_and_minima(rho).peaks.sum() == 1
    flat = peaks_and_minima(np.ones((8, 8)))
    assert flat.peaks.sum() == flat.minima.sum() == 0


@pytest.mark.parametrize("shape", [(32, 32), (12, 12, 12)])
def test_no_extremum_is_lost_beyond_the_edges(shape):
    rho = np.exp(noise(*shape))
    number = peaks_and_minima(rho, [1.0])
    for edges in (DEFAULT_EDGES, [1e-9, 1e-8], [1e8, 1e9], np.linspace(0.5, 2, 50)):
        found = peaks_and_minima(rho, edges)
        assert found.peaks.sum() == number.peaks.sum() > 0
        assert found.minima.sum() == number.minima.sum() > 0
        assert found.edges.tolist() == [-np.inf, *edges, np.inf]
        assert len(found.peaks) == len(found.minima) == len(found.edges) - 1


def test_a_height_on_an_edge_belongs_to_the_bin_above_it():
    rho = np.zeros((6, 6))
    rho[2, 2] = 2
    assert peaks_and_minima(rho, [1, 2, 3]).peaks.tolist() == [0, 0, 1, 0]
    assert peaks_and_minima(rho, [1, np.nextafter(2, 3), 3]).peaks.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("shape", [(24, 24), (10, 10, 10)])
def test_turning_the_field_over_swaps_peaks_and_minima(shape):
    rho, edges = noise(*shape), np.array(EDGES)
    found, turned = peaks_and_minima(rho, edges), peaks_and_minima(-rho, -edges[::-1])
    np.testing.assert_array_equal(turned.peaks, found.minima[::-1])
    np.testing.assert_array_equal(turned.minima, found.peaks[::-1])
    assert not np.array_equal(found.peaks, found.minima[::-1])


def test_neither_rolling_mirroring_nor_turning_change_them():
    rho = noise(9, 9, 9)
    before = peaks_and_minima(rho, EDGES)
    for moved in (rho[::-1], rho[:, ::-1], np.roll(rho, (3, 5, 7), (0, 1, 2))):
        same(peaks_and_minima(moved, EDGES), before)
    for axes in itertools.permutations(range(3)):
        same(peaks_and_minima(rho.transpose(axes), EDGES), before)


@pytest.mark.parametrize("rising", [np.exp, np.cbrt, np.tanh, lambda rho: 3 * rho - 7])
def test_a_rising_function_moves_the_heights_alone(rising):
    rho = noise(32, 32)
    same(peaks_and_minima(rising(rho), rising(np.array(EDGES))), peaks_and_minima(rho, EDGES))


@pytest.mark.parametrize(("shape", "fields"), [((48, 48), 400), ((12, 12, 12), 1000)])
def test_white_noise_has_a_peak_in_every_ninth_or_27th_cell_of_known_height(shape, fields):
    rho = np.random.default_rng(7).random((fields, *shape))
    inner = np.linspace(0, 1, 11)[1:-1]
    whole = np.r_[0, inner, 1]
    around, cells = 3 ** len(shape), np.prod(shape)
    _, peaks, minima = extrema(rho, inner)
    # The largest of q uniform numbers is below u with probability u^q.
    for counts, law in ((peaks, whole**around), (minima, -((1 - whole) ** around))):
        expected = cells * np.diff(law) / around
        known = expected * fields > 25  # rarer than that is not Gaussian
        error = counts.std(axis=0, ddof=1)[known] / np.sqrt(fields)
        assert np.abs((counts.mean(axis=0) - expected)[known] / error).max() < 4
        number = counts.sum(axis=1)
        error = number.std(ddof=1) / np.sqrt(fields)
        assert abs(number.mean() - cells / around) < 4 * error < 0.01 * cells / around


@pytest.mark.parametrize("shape", [(5, 24, 24), (2, 10, 10, 10)])
def test_smoothing_is_that_of_the_distribution(shape):
    fields = np.exp(noise(*shape))
    _, peaks, minima = extrema(fields, smoothing=1.5)
    for field, above, below in zip(fields, peaks, minima, strict=True):
        found = peaks_and_minima(smooth(field, 1.5))
        np.testing.assert_array_equal(found.peaks, above)
        np.testing.assert_array_equal(found.minima, below)
    assert 0 < peaks.sum() < extrema(fields)[1].sum() / 2


@pytest.mark.parametrize("shape", [(300, 48, 48), (7, 15, 15), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_batch_gives_the_counts_of_its_fields(shape, dtype, smoothing):
    fields = np.exp(noise(*shape, dtype=dtype))
    alone = [peaks_and_minima(field, smoothing=smoothing) for field in fields]
    edges, peaks, minima = extrema(fields, smoothing=smoothing)
    np.testing.assert_array_equal(peaks, [one.peaks for one in alone])
    np.testing.assert_array_equal(minima, [one.minima for one in alone])
    np.testing.assert_array_equal(edges, alone[0].edges)
    assert peaks.dtype == minima.dtype == np.float64


@pytest.mark.parametrize(
    ("rho", "edges", "smoothing", "error", "message"),
    [
        (np.full((4, 4), np.nan), [1], 0.0, LayoutError, "field 0 .* not finite"),
        (np.diag([np.inf, -np.inf]), [1], 0.0, LayoutError, "field 0 .* not finite"),
        (np.ones((4, 5)), [1], 0.0, LayoutError, "neither a square nor a cube"),
        (np.ones((4, 4)), [2, 1], 0.0, RecipeError, "increasing"),
        (np.ones((4, 4)), [1, 1], 0.0, RecipeError, "increasing"),
        (np.ones((4, 4)), [1, np.nan], 0.0, RecipeError, "increasing"),
        (np.ones((4, 4)), [-np.inf, 1], 0.0, RecipeError, "increasing"),
        (np.ones((4, 4)), [], 0.0, RecipeError, "at least one"),
        (np.ones((4, 4)), 1.0, 0.0, RecipeError, "at least one"),
        (np.ones((4, 4)), [1], -1.0, RecipeError, "must be a width"),
        (np.ones((4, 4)), [1], np.nan, RecipeError, "must be a width"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(rho, edges, smoothing, error, message):
    with pytest.raises(error, match=message) as caught:
        peaks_and_minima(rho, edges, smoothing=smoothing)
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
