"""Laws of the counts of connected regions."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import cosmogan.statistics.regions as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.regions import DEFAULT_EDGES, count_regions, regions


def uniform(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).random(shape, dtype=dtype)


def every_size(rho):
    return np.arange(1, rho.size + 1)


def sizes(rho, threshold, *, below=False):
    """Return the sizes of all regions, in order."""
    found = count_regions(rho, [threshold], below=below, edges=every_size(rho))
    return np.repeat(every_size(rho), found.counts[0].astype(int))


def brute_force(inside):
    """Return these sizes from labels inside the box, merged wherever they touch through a face."""
    labels, number = scipy.ndimage.label(inside)
    pairs = [np.zeros((2, 0), dtype=int)]
    for axis in range(inside.ndim):
        first, last = labels.take(0, axis).ravel(), labels.take(-1, axis).ravel()
        touch = (first > 0) & (last > 0)
        pairs.append(np.array([first[touch], last[touch]]) - 1)
    a, b = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(a.size), (a, b)), shape=(number, number))
    merged = connected_components(graph, directed=False)[1] if number else np.zeros(0, int)
    return np.sort(np.bincount(merged[labels[inside] - 1]) if number else merged)


@given(
    case=st.sampled_from([(2, 2), (2, 3), (2, 12), (2, 33), (3, 2), (3, 5), (3, 8)]),
    seed=st.integers(0, 999),
    threshold=st.floats(-0.125, 1.125),
    below=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_they_equal_labels_merged_through_the_faces(case, seed, threshold, below):
    dimension, grid = case
    rho = uniform(*(grid,) * dimension, seed=seed)
    inside = rho <= threshold if below else rho >= threshold
    np.testing.assert_array_equal(sizes(rho, threshold, below=below), brute_force(inside))


# Near these fractions a region just spans the box, along the most winding ways.
@pytest.mark.parametrize(("shape", "fraction"), [((200, 200), 0.59), ((40, 40, 40), 0.31)])
def test_the_most_winding_regions_are_joined_right(shape, fraction):
    rho = uniform(*shape)
    np.testing.assert_array_equal(sizes(rho, fraction, below=True), brute_force(rho <= fraction))


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_bump_on_the_corner_of_the_box_is_one_region(dimension):
    rho = np.zeros((6,) * dimension)
    rho[(np.ix_(*[[0, 5]] * dimension))] = 9
    assert sizes(rho, 5.0).tolist() == [2**dimension]
    assert sizes(-rho, -5.0, below=True).tolist() == [2**dimension]


@pytest.mark.parametrize("dimension", [2, 3])
def test_two_bumps_are_two_until_they_touch_by_a_face(dimension):
    rho = np.zeros((8,) * dimension)
    middle = (3,) * dimension
    rho[middle] = 9
    for apart, number in (((5,) * dimension, 2), ((4,) * dimension, 2), ((3,) * dimension, 1)):
        both = rho.copy()
        both[(*apart[:-1], 4)] = 9
        assert len(sizes(both, 9.0)) == number


def test_a_snake_through_the_faces_is_one_region():
    grid = 16
    inside = np.zeros((grid, grid))
    rows = np.arange(grid)
    inside[rows, rows] = inside[rows, (rows + 1) % grid] = 1  # a stair that winds round the box
    assert sizes(inside, 1.0).tolist() == [2 * grid]
    inside[5, 5] = 0
    assert sizes(inside, 1.0).tolist() == [2 * grid - 1]  # still held together at the other end


@pytest.mark.parametrize("shape", [(12, 12), (6, 6, 6)])
def test_a_threshold_below_everything_cuts_out_the_whole_box(shape):
    rho = uniform(*shape)
    assert sizes(rho, 0.0).tolist() == [rho.size]
    assert sizes(rho, 1.0, below=True).tolist() == [rho.size]
    assert sizes(rho, 1.0).size == sizes(rho, -1.0, below=True).size == 0


@given(
    dimension=st.sampled_from([2, 3]), seed=st.integers(0, 99), threshold=st.floats(-0.125, 1.125)
)
@settings(max_examples=40, deadline=None)
def test_regions_above_and_below_share_out_all_cells(dimension, seed, threshold):
    rho = uniform(*(7,) * dimension, seed=seed)
    above = sizes(rho, threshold)
    assert above.sum() == (rho >= threshold).sum()
    assert above.sum() + sizes(rho, np.nextafter(threshold, -2), below=True).sum() == rho.size
    np.testing.assert_array_equal(sizes(-rho, -threshold, below=True), above)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cell_at_the_threshold_is_inside_from_either_side(dtype):
    rho = np.zeros((4, 4), dtype)
    rho[1, 1] = 0.1
    at = float(rho[1, 1])  # in float32 a little above 0.1
    assert sizes(rho, at).tolist() == sizes(-rho, -at, below=True).tolist() == [1]
    assert sizes(rho, np.nextafter(at, 1)).size == 0
    assert sizes(rho, at, below=True).tolist() == [16]
    assert sizes(rho, np.nextafter(at, 0), below=True).tolist() == [15]


def test_neither_rolling_mirroring_nor_turning_change_them():
    rho = uniform(9, 9, 9)
    before = count_regions(rho, [0.3, 0.7]).counts
    moved = [rho[::-1], rho[:, ::-1], np.roll(rho, (3, 5, 7), (0, 1, 2))]
    moved += [rho.transpose(axes) for axes in itertools.permutations(range(3))]
    for counts in regions(moved, [0.3, 0.7]):
        np.testing.assert_array_equal(counts, before)


@pytest.mark.parametrize(("shape", "p"), [((64, 64), 0.2), ((16, 16, 16), 0.1)])
def test_the_smallest_regions_of_white_noise_are_as_many_as_lattice_animals(shape, p):
    fields, q, d = 500, 1 - p, len(shape)
    counts = regions(uniform(fields, *shape), [p], below=True, edges=[1, 2, 3, 4])[:, 0, :3]
    # Straight or bent, with so many ways to lie and so many cells around.
    single, pair = p * q ** (2 * d), d * p**2 * q ** (4 * d - 2)
    bent = 2 * d * (d - 1) * p**3 * q ** (6 * d - 5)
    straight = d * p**3 * q ** (6 * d - 4)
    expected = np.prod(shape) * np.array([single, pair, bent + straight])
    error = counts.std(axis=0, ddof=1) / np.sqrt(fields)
    assert (error < 0.02 * expected).all()
    assert np.abs((counts.mean(axis=0) - expected) / error).max() < 4


def test_bins_hold_their_lower_edge_and_the_last_is_open():
    rho = np.zeros((40, 40))
    for row, size in enumerate((1, 2, 3, 4, 7, 8, 39)):
        rho[4 * row, :size] = 1
    found = count_regions(rho, [1.0, 2.0, 0.0], edges=[1, 2, 4, 8])
    assert found.counts.tolist() == [[1, 2, 2, 2], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert found.number.tolist() == [7, 0, 1]
    assert found.edges.tolist() == [1, 2, 4, 8]
    assert found.thresholds.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(DEFAULT_EDGES, 2 ** np.arange(11))
    by_default = count_regions(rho, [1.0]).counts[0]
    assert by_default.tolist() == [1, 2, 2, 1, 0, 1, 0, 0, 0, 0, 0]


def test_coarse_bins_gather_fine_ones():
    rho = uniform(48, 48)
    fine = count_regions(rho, [0.4, 0.6], edges=every_size(rho)).counts
    coarse = np.add.reduceat(fine, np.array(DEFAULT_EDGES, int) - 1, axis=1)
    np.testing.assert_array_equal(count_regions(rho, [0.4, 0.6]).counts, coarse)


@pytest.mark.parametrize("shape", [(50, 32, 32), (3, 10, 10, 10)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("below", [False, True])
def test_a_batch_gives_the_counts_of_its_fields_and_thresholds(shape, dtype, below):
    fields, thresholds = uniform(*shape, dtype=dtype), [0.7, 0.2, 0.5]
    counts = regions(fields, thresholds, below=below)
    assert counts.shape == (len(fields), 3, len(DEFAULT_EDGES))
    assert counts.dtype == np.float64
    for field, found in zip(fields, counts, strict=True):
        alone = [count_regions(field, [t], below=below).counts[0] for t in thresholds]
        np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize(
    ("rho", "thresholds", "edges", "error", "message"),
    [
        (np.full((4, 4), np.nan), [1], [1, 2], LayoutError, "field 0 .* not finite"),
        (np.diag([np.inf, -np.inf]), [1], [1, 2], LayoutError, "field 0 .* not finite"),
        (np.ones((4, 5)), [1], [1, 2], LayoutError, "neither a square nor a cube"),
        (np.ones((4, 4)), [], [1, 2], RecipeError, "a list of finite densities"),
        (np.ones((4, 4)), 1.0, [1, 2], RecipeError, "a list of finite densities"),
        (np.ones((4, 4)), [np.nan], [1, 2], RecipeError, "a list of finite densities"),
        (np.ones((4, 4)), [1], [2, 4], RecipeError, "increasing from 1"),
        (np.ones((4, 4)), [1], [1, 4, 2], RecipeError, "increasing from 1"),
        (np.ones((4, 4)), [1], [1, np.inf], RecipeError, "increasing from 1"),
        (np.ones((4, 4)), [1], 1.0, RecipeError, "increasing from 1"),
        (np.ones((4, 4)), [1], [], RecipeError, "increasing from 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(rho, thresholds, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        count_regions(rho, thresholds, edges=edges)
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
