"""The scores of Perraudin et al.: their bins and distances, counted out by hand."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.compare import perraudin
from cosmogan.compare.perraudin import LARGEST, ceiling, frechet_distance, perraudin_scores, score
from cosmogan.errors import LayoutError, RecipeError


def lognormal(count, *shape, seed=1, strength=1.0):
    """Return densities over mean of a red spectrum, white in its phases."""
    rng = np.random.default_rng(seed)
    axes = range(1, len(shape) + 1)
    wave = np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij")
    k = np.maximum(np.sqrt(sum(w**2 for w in wave)), 1)
    noise = np.fft.fftn(rng.standard_normal((count, *shape)), axes=axes)
    gauss = np.fft.ifftn(noise * k**-0.7, axes=axes).real
    rho = np.exp(strength * gauss / gauss.std())
    return rho / rho.mean(axis=tuple(axes), keepdims=True)


def by_definition(field, box_size):
    """Return the power in bins of |k| in h/Mpc, with one mask for each of them."""
    grid, dimension = len(field), field.ndim
    full = 2 * np.pi * np.fft.fftfreq(grid, box_size / grid)
    half = 2 * np.pi * np.fft.rfftfreq(grid, box_size / grid)
    k = np.sqrt(sum(w**2 for w in np.meshgrid(*[full] * (dimension - 1), half, indexing="ij")))
    lowest, highest = 2 * np.pi / box_size, k.max()
    edges = np.geomspace(lowest * (1 - 1e-12), highest * (1 + 1e-12), 50)
    delta = field / field.mean() - 1
    squares = np.abs(np.fft.rfftn(delta)) ** 2 * (box_size / grid**2) ** dimension
    masks = [(k >= a) & (k < b) for a, b in itertools.pairwise(edges)]
    return np.array([squares[m].mean() for m in masks if m.any()])


@pytest.mark.parametrize("shape", [(32, 32), (27, 27), (16, 16, 16), (11, 11, 11)])
@pytest.mark.parametrize("box_size", [1.0, 350.0])
def test_power_is_the_plain_mean_over_the_modes_of_a_real_transform(shape, box_size):
    field = lognormal(1, *shape)[0]
    expected = by_definition(field, box_size)
    found = perraudin.power_vector(3 * field) * (box_size / shape[0] ** 2) ** len(shape)
    np.testing.assert_allclose(found, expected, rtol=1e-10)  # rounding of two transforms


@pytest.mark.parametrize(("dimension", "filled"), [(2, 43), (3, 46)])
def test_the_bins_of_their_own_grid_miss_only_what_holds_no_mode(dimension, filled):
    of_mode, modes = perraudin._power_bins(256, dimension)
    assert (modes > 0).sum() == filled
    assert modes.sum() == of_mode.size - 1  # all but the zero mode
    assert of_mode[(0,) * dimension] == 49
    # Of the 2 d modes of the fundamental one half-space keeps all but the partner of the last axis.
    assert modes[0] == 2 * dimension - 1


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 8)])
def test_power_knows_neither_the_mean_of_a_sample_nor_the_unit_of_length(shape):
    field = lognormal(1, *shape)[0]
    np.testing.assert_allclose(
        perraudin.power_vector(field), perraudin.power_vector(5 * field), rtol=1e-9
    )
    two = lognormal(6, *shape, seed=2), lognormal(6, *shape, seed=3)
    here, there = (asdict(perraudin_scores(*two, box_size=b)) for b in (1.0, 700.0))
    assert here | {"box_size": 700.0} == there


def test_the_mass_histogram_counts_every_cell_and_puts_the_rest_into_its_ends():
    for number, place in ((0, 0), (0.3, 0), (1, 0), (250884 / 3, 19), (1e7, 19)):
        found = perraudin.mass_vector(np.full((4, 4), float(number)))
        assert found.tolist() == [16.0 if i == place else 0.0 for i in range(20)]


@pytest.mark.parametrize("place", range(1, 20))
def test_the_edges_of_the_histograms_are_where_they_have_them(place):
    mass = 10 ** np.linspace(np.log10(2), np.log10(250884 / 3), 21)[place] - 1
    height = np.exp(np.linspace(1.5, 13, 21)[place]) - np.e
    for factor, side in ((1 - 1e-9, place - 1), (1 + 1e-9, place)):
        assert np.argmax(perraudin.mass_vector(np.full((2, 2), factor * mass))) == side
        cells = np.zeros((8, 8))
        cells[4, 4] = factor * height
        assert np.argmax(perraudin.peak_vector(cells)) == side


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_peak_is_the_largest_of_5_cells_along_each_axis_and_lands_in_its_bin(dimension):
    edges = np.linspace(1.5, 13, 21)
    cells = np.zeros((16,) * dimension)
    heights = np.exp((edges[[2, 9]] + edges[[3, 10]]) / 2) - np.e
    cells[(4,) * dimension], cells[(10,) * dimension] = heights
    assert np.flatnonzero(perraudin.peak_vector(cells)).tolist() == [2, 9]
    cells[(12,) * dimension] = heights[0]  # two cells from a higher one
    assert perraudin.peak_vector(cells).sum() == 2
    cells[(13,) * dimension] = heights[0]  # three cells from it, but not from its equal at 12
    assert perraudin.peak_vector(cells).sum() == 3


def test_peaks_beyond_the_bins_count_in_the_ends_and_flat_ground_in_none():
    cells = np.zeros((16, 16))
    assert perraudin.peak_vector(cells).sum() == 0
    assert perraudin.peak_vector(cells + 7).sum() == 0
    cells[3, 3], cells[9, 9] = 0.5, 1e7
    assert perraudin.peak_vector(cells).tolist() == [1.0] + 18 * [0.0] + [1.0]


def test_the_faces_of_the_box_are_mirrors_as_they_have_it():
    cells = np.zeros((16, 16))
    cells[8, 0], cells[8, 15] = 5.0, 6.0  # neighbours, were the box periodic
    assert perraudin.peak_vector(cells).sum() == 2


def test_every_cell_of_a_plateau_is_a_peak_as_they_have_it():
    cells = np.zeros((16, 16))
    cells[7:9, 7:9] = 40.0
    assert perraudin.peak_vector(cells).sum() == 4


def gaussian(rng, count, mean, root):
    return mean + rng.standard_normal((count, len(root))) @ root.T


def test_the_distance_of_gaussians_is_the_one_in_closed_form():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    sizes = np.array([[1.0, 2.0, 0.5, 3.0], [2.0, 1.0, 0.5, 1.0]])
    shift = np.array([0.5, 0.0, -1.0, 0.0])
    one = gaussian(rng, 400_000, 0.0, turn * sizes[0])
    other = gaussian(rng, 400_000, shift, turn * sizes[1])
    # Covariances that commute: the squares of the differences of their standard deviations.
    expected = (shift**2).sum() + ((sizes[0] - sizes[1]) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=0.01)  # 400,000 samples


@given(
    n=st.tuples(st.integers(12, 40), st.integers(12, 40)),
    bins=st.integers(1, 8),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_the_root_of_the_product_is_that_of_the_matrix(n, bins, seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.standard_normal((m, bins)) * rng.random(bins) + rng.random(bins) for m in n)
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (one, other)]
    root = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    shift = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    expected = shift + sum(np.trace(c) for c in covariances) - 2 * root
    # sqrtm loses half the digits of small eigenvalues.
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("n", [30, 100])
def test_singular_covariances_are_no_trouble(n):
    """What lies in 5 of 46 dimensions is as far apart as it is in 5."""
    rng = np.random.default_rng(8)
    one, other = rng.standard_normal((2, n, 5)) + rng.random((2, 1, 5))
    frame = np.linalg.qr(rng.standard_normal((46, 5)))[0].T
    embedded = frechet_distance(one @ frame, other @ frame)
    assert embedded == pytest.approx(frechet_distance(one, other), rel=1e-10)
    # Their offset to the diagonals, where the root of the product fails, moves the 41 zeros by 1e-6.
    covariances = [np.cov(x @ frame, rowvar=False) + 1e-6 * np.eye(46) for x in (one, other)]
    root = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    shift = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    theirs = shift + sum(np.trace(c) for c in covariances) - 2 * root
    assert embedded == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("bins", [3, 50])
def test_nothing_is_far_from_itself_and_near_and_far_are_the_same_both_ways(bins):
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, 30, bins))
    assert abs(frechet_distance(one, one)) < 1e-10  # rounding
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-12)
    assert frechet_distance(one, one + 2) == pytest.approx(4 * bins, rel=1e-12)


def test_the_score_takes_the_logarithm_over_the_largest_mean_of_the_real_ones():
    rng = np.random.default_rng(5)
    real, fake = rng.random((2, 40, 6)) * np.geomspace(1e-7, 100, 6)
    logs = [np.log10(y / real.mean(axis=0).max() + 1e-5) for y in (real, fake)]
    assert score(real, fake) == pytest.approx(1 / frechet_distance(*logs), rel=1e-12)
    assert score(9 * real, 9 * fake) == pytest.approx(score(real, fake), rel=1e-9)
    assert score(real, 9 * fake) < score(real, fake)


def mode_sums(rng, samples):
    """Return spectra of Gaussian fields of 256^3 cells by bin, from the numbers of modes alone."""
    of_mode, modes = perraudin._power_bins(256, 3)
    twice = np.bincount(of_mode[..., [0, -1]].ravel(), minlength=50)[:-1][modes > 0]
    once = modes[modes > 0] - twice
    pairs, single = (
        rng.gamma(np.maximum(a, 1e-9), size=(samples, a.size)) for a in (twice / 2, once)
    )
    return (2 * pairs + single) / (twice + once)


@pytest.mark.parametrize(
    ("bias", "published"), [(1.0, 14.2), (1.02, 13.3), (1.05, 11.9), (1.1, 6.6), (1.2, 2.8)]
)
def test_a_uniform_bias_of_the_power_lowers_the_score_as_mode_counting_has_it(bias, published):
    """At n = 30 a score scatters by 25 %, and so the median of 60 by 4 %; two such estimates."""
    rng = np.random.default_rng(30)
    scores = [score(mode_sums(rng, 30), bias * mode_sums(rng, 30)) for _ in range(60)]
    assert np.median(scores) == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize("shape", [(32, 32), (12, 12, 12)])
def test_the_further_the_power_the_lower_the_score(shape):
    real = lognormal(30, *shape, strength=0.05)
    biased = [1 + np.sqrt(b) * (real - 1) for b in (1.0, 1.02, 1.05, 1.1, 1.2)]
    scores = [perraudin_scores(real, fake, box_size=100.0).psd for fake in biased]
    assert scores[0] == pytest.approx(LARGEST)
    assert (np.diff(scores) < 0).all()
    # Every bin is off by log10 1.2 and only the floor of 1e-5 lessens that; the means alone are.
    bins = perraudin.power_vector(real[0]).size
    assert 1 / scores[-1] == pytest.approx(bins * np.log10(1.2) ** 2, rel=0.02)


@pytest.mark.parametrize("shape", [(32, 32), (12, 12, 12)])
@pytest.mark.parametrize("name", ["psd", "mass", "peaks"])
def test_each_score_prefers_the_right_fields_to_flatter_ones(shape, name):
    real, right = lognormal(30, *shape, seed=1), lognormal(30, *shape, seed=2)
    scores = [
        getattr(perraudin_scores(real, fake, box_size=100.0), name)
        for fake in (right, lognormal(30, *shape, seed=3, strength=0.7))
    ]
    assert scores[0] > 2 * scores[1]


def test_scores_survive_json_even_of_identical_fields():
    fields = lognormal(5, 16, 16)
    found = asdict(perraudin_scores(fields, fields, box_size=50.0, mean_count=8.0))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["psd"] == found["mass"] == found["peaks"] == LARGEST
    assert (found["n"], found["grid"], found["dimension"]) == (5, 16, 2)
    assert (found["box_size"], found["mean_count"]) == (50.0, 8.0)


def test_fields_are_read_one_by_one():
    class Lazy(list):
        def __getitem__(self, index):
            assert isinstance(index, int)
            return super().__getitem__(index)

    fields = lognormal(12, 16, 16).astype(np.float32)
    whole = perraudin_scores(fields[:6], fields[6:], box_size=50.0)
    assert perraudin_scores(Lazy(fields[:6]), Lazy(fields[6:]), box_size=50.0) == whole
    assert ceiling(Lazy(fields), box_size=50.0, seed=1, n=6) == ceiling(
        fields, box_size=50.0, seed=1, n=6
    )


def test_one_split_of_the_ceiling_is_the_score_of_its_halves():
    fields = lognormal(8, 16, 16)
    tops = [ceiling(fields, box_size=50.0, seed=s, n=4, splits=1) for s in range(40)]
    halves = []
    for rows in itertools.combinations(range(8), 4):
        rest = np.setdiff1d(np.arange(8), rows)
        halves.append(perraudin_scores(fields[list(rows)], fields[rest], box_size=50.0))
    for name in ("psd", "mass", "peaks"):
        known = np.array([getattr(h, name) for h in halves])
        for top in tops:
            assert np.isclose(known, getattr(top, name), rtol=1e-9).any()
    assert all(t.n == 4 for t in tops)
    median = ceiling(fields, box_size=50.0, seed=0, n=4, splits=200).psd
    # The median of 200 among 40 other splits: between their quartiles.
    assert (
        np.quantile([t.psd for t in tops], 0.25) < median < np.quantile([t.psd for t in tops], 0.75)
    )


def test_the_ceiling_rises_with_n_and_a_biased_emulator_stays_below():
    fields = lognormal(120, 24, 24)
    tops = [ceiling(fields, box_size=50.0, seed=1, n=n) for n in (8, 30, 60)]
    for name in ("psd", "mass", "peaks"):
        values = [getattr(t, name) for t in tops]
        assert values[0] < values[1] < values[2]
    flat = lognormal(30, 24, 24, seed=9, strength=0.8)
    assert perraudin_scores(fields[:30], flat, box_size=50.0).mass < tops[1].mass / 2


def test_a_split_takes_one_field_of_a_simulation_and_none_twice():
    """Two slices of each of 12 boxes are equal: halves that shared a box would score higher."""
    boxes = lognormal(12, 16, 16)
    doubled, simulation = np.repeat(boxes, 2, axis=0), np.repeat(np.arange(12), 2)
    fair = ceiling(boxes, box_size=50.0, seed=1, n=6, splits=2000)
    found = ceiling(doubled, simulation=simulation, box_size=50.0, seed=2, n=6, splits=2000)
    unfair = ceiling(doubled, box_size=50.0, seed=2, n=6, splits=2000)
    assert found.psd == pytest.approx(
        fair.psd, rel=0.05
    )  # medians of 2000 splits that scatter 30 %
    assert unfair.psd > 1.1 * fair.psd


def test_the_same_seed_gives_the_same_ceiling():
    fields = lognormal(20, 16, 16)
    first, again, other = (ceiling(fields, box_size=50.0, seed=s, n=5, splits=7) for s in (1, 1, 2))
    assert first == again != other


FIELDS = lognormal(6, 8, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: perraudin_scores(FIELDS, FIELDS[:5], box_size=1.0), RecipeError, "same number"),
        (lambda: perraudin_scores(FIELDS[:1], FIELDS[:1], box_size=1.0), RecipeError, "at least 2"),
        (lambda: perraudin_scores(FIELDS, FIELDS, box_size=0.0), RecipeError, "box_size"),
        (
            lambda: perraudin_scores(FIELDS, FIELDS, box_size=1.0, mean_count=0.0),
            RecipeError,
            "mean_",
        ),
        (
            lambda: perraudin_scores(FIELDS, FIELDS[:, :4, :4], box_size=1.0),
            LayoutError,
            "one grid",
        ),
        (
            lambda: perraudin_scores(FIELDS, [*FIELDS[:5], FIELDS[5, :4, :4]], box_size=1.0),
            LayoutError,
            "unlike",
        ),
        (lambda: perraudin_scores(-FIELDS, FIELDS, box_size=1.0), LayoutError, "no density"),
        (
            lambda: perraudin_scores(FIELDS, np.nan * FIELDS, box_size=1.0),
            LayoutError,
            "no density",
        ),
        (lambda: perraudin_scores(0 * FIELDS + 1, FIELDS, box_size=1.0), LayoutError, "uniform"),
        (lambda: ceiling(FIELDS, box_size=1.0, seed=1), RecipeError, "2 n simulations"),
        (lambda: ceiling(FIELDS, box_size=1.0, seed=1, n=3, splits=0), RecipeError, "one split"),
        (
            lambda: ceiling(FIELDS, simulation=[1, 1, 2, 2, 3, 3], box_size=1.0, seed=1, n=2),
            RecipeError,
            "here are 3",
        ),
        (
            lambda: ceiling(FIELDS, simulation=[1, 2], box_size=1.0, seed=1, n=2),
            LayoutError,
            "one for each",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
