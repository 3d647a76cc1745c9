"""Laws of the Minkowski functionals."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.minkowski as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.minkowski import (
    DEFAULT_THRESHOLDS,
    gaussian_expectation,
    minkowski,
    minkowski_functionals,
)
from cosmogan.statistics.pdf import smooth

BOX = 250.0
NU = np.array(DEFAULT_THRESHOLDS)


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def total(field, threshold):
    """Return V_0 to V_d of the whole box in units of the cell, at a threshold in the field's unit."""
    found = minkowski_functionals(field, len(field), [threshold], standardise=False)
    return found.values[:, 0] * field.size


def every_other(field):
    """Return the fields of every other point: 2^d of an even grid, one of an odd grid."""
    grid, d = len(field), field.ndim
    if grid % 2:
        return [field[np.ix_(*[2 * np.arange(grid) % grid] * d)]]
    return [field[tuple(slice(i, None, 2) for i in at)] for at in np.ndindex(*(2,) * d)]


def extrapolated(count, field, threshold):
    """Return V_1 to V_d as `total` should, from a count of the functionals of one lattice alone."""
    near = count(field >= threshold)
    lattices = every_other(field)
    far = sum(count(one >= threshold) for one in lattices)
    shrunk = field.size / sum(one.size for one in lattices) / 2.0 ** np.arange(1, field.ndim + 1)
    return near + (near - far * shrunk) / 3


def shifted(inside, *offset):
    return np.roll(inside, [-n for n in offset], range(inside.ndim))


def every(inside, *offsets):
    """Count the places of which all these neighbours are in the set."""
    return np.logical_and.reduce([shifted(inside, *offset) for offset in offsets]).sum()


def some(inside, *offsets):
    return np.logical_or.reduce([shifted(inside, *offset) for offset in offsets]).sum()


def half_of(neighbours):
    return [n for n in neighbours if n > (0,) * len(n)]


def both_connectivities(inside, a, b):
    """Return the mean Euler characteristic with 4 and with 8 neighbours of planes of rectangles."""
    o, c = (0,) * inside.ndim, tuple(np.add(a, b))
    return (every(inside, o, a, b, c) + some(inside, o, a, b, c)) / 2 - inside.sum()


def brute_slice(inside):
    crossed = {
        n: (inside != shifted(inside, *n)).sum() / 2 for n in [(1, 0), (0, 1), (1, 1), (1, -1)]
    }
    pieces = sum(crossings / np.hypot(*n) for n, crossings in crossed.items()) / 4
    return np.array([np.pi / 4 * pieces, both_connectivities(inside, (1, 0), (0, 1))])


def brute_cube(inside):
    """Return V_1 to V_3 from crossings, 4- and 8-connected planes, triangles and tetrahedra."""
    weight = {1: 1 / 21, 2: 4 / 105, 3: 9 / 280}  # of Lebedev's 26 directions
    lines = planes = 0.0
    for n in half_of(itertools.product((-1, 0, 1), repeat=3)):
        square = np.dot(n, n)
        share = 2 * weight[square] / np.sqrt(square)
        lines += share * (inside != shifted(inside, *n)).sum() / 2
        normal_to_n = [
            m for m in half_of(itertools.product((-1, 0, 1), repeat=3)) if np.dot(m, n) == 0
        ]
        if square < 3:
            a, b = sorted(normal_to_n, key=lambda m: np.dot(m, m))[:2]
            planes += share * both_connectivities(inside, a, b)
        else:
            planes += share * triangles(inside, normal_to_n)
    return np.array([2 / 3 * lines, 2 / 3 * planes, tetrahedra(inside)])


def triangles(inside, sides):
    """Return the Euler characteristic of planes of equilateral triangles, of these three sides."""
    o = (0, 0, 0)
    third = next(c for c in sides if any(tuple(np.add(a, b)) == c for a in sides for b in sides))
    a, b = (m for m in sides if m != third)
    edges = sum(every(inside, o, m) for m in sides)
    return inside.sum() - edges + every(inside, o, a, third) + every(inside, o, b, third)


def tetrahedra(inside):
    """Return the mean Euler characteristic of cubes cut along one of their four diagonals."""
    corners = list(itertools.product((0, 1), repeat=3))
    chains = [
        chain
        for size in range(4)
        for chain in itertools.combinations(corners[1:], size)
        if all((np.array(a) <= b).all() for a, b in itertools.pairwise(chain))
    ]
    turned = [np.flip(inside, axes) for axes in [(), (0,), (1,), (2,)]]
    return sum((-1) ** len(c) * every(t, (0, 0, 0), *c) for t in turned for c in chains) / 4


def ball(grid, radius, dimension, centre, *, hole=0.0):
    """Return a smooth field that is above 0 between these distances of a centre [cells]."""
    x = (np.arange(grid) - np.reshape(centre, (-1, 1)) + grid / 2) % grid - grid / 2
    distance = np.sqrt(sum(axis**2 for axis in np.ix_(*x)))
    return np.minimum(radius - distance, distance - hole)


@given(
    case=st.sampled_from([(2, 2), (2, 3), (2, 4), (2, 9), (3, 2), (3, 3), (3, 5), (3, 6)]),
    seed=st.integers(0, 999),
    threshold=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_they_equal_sums_over_the_pieces_of_sections(case, seed, threshold):
    dimension, grid = case
    field = np.random.default_rng(seed).integers(0, 5, (grid,) * dimension)  # with ties
    count = brute_slice if dimension == 2 else brute_cube
    expected = extrapolated(count, field, threshold)
    np.testing.assert_allclose(total(field, threshold)[1:], expected, rtol=1e-12, atol=1e-11)


def pieces_less_holes(inside):
    """Return the Euler characteristic of a set that touches no edge, mean of both connectivities."""
    cross, square = (scipy.ndimage.generate_binary_structure(2, n) for n in (1, 2))
    inside = np.pad(inside, 1)
    numbers = [
        scipy.ndimage.label(part, around)[1]
        for part, around in [(inside, cross), (~inside, square), (inside, square), (~inside, cross)]
    ]
    return np.array([0, (numbers[0] - numbers[1] + numbers[2] - numbers[3]) / 2 + 1])


@given(grid=st.sampled_from([4, 6, 12, 20]), seed=st.integers(0, 999), threshold=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_euler_characteristic_in_a_plane_is_pieces_less_holes(grid, seed, threshold):
    field = np.full((grid, grid), -1.0)
    field[1:-1, 1:-1] = np.random.default_rng(seed).random((grid - 2, grid - 2))
    expected = extrapolated(pieces_less_holes, field, threshold)
    assert total(field, threshold)[2] == pytest.approx(expected[1], abs=1e-9)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("hole", [0.0, 5.0])
def test_a_ball_anywhere_has_its_volume_surface_curvature_and_euler_number(dimension, hole):
    grid, radius = 40, 12.0
    expected = {
        2: [np.pi * (radius**2 - hole**2), 2 * np.pi * (radius + hole) / 4, 1 - (hole > 0)],
        3: [
            4 / 3 * np.pi * (radius**3 - hole**3),
            4 * np.pi * (radius**2 + hole**2) / 6,
            4 / 3 * (radius - hole),
            1 + (hole > 0),
        ],
    }[dimension]
    centres = np.random.default_rng(2).uniform(0, grid, (12, dimension))
    found = np.array([total(ball(grid, radius, dimension, at, hole=hole), 0.0) for at in centres])
    # Counts scatter by where the grid falls: by at most 2 % here, a third of that in the mean.
    np.testing.assert_allclose(found[:, -1], expected[-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[:, :-1], np.tile(expected[:-1], (12, 1)), rtol=0.02)
    np.testing.assert_allclose(found.mean(axis=0), expected, rtol=0.006, atol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_two_balls_are_two_pieces_and_all_else_adds_up(dimension):
    big = ball(40, 9.0, dimension, np.full(dimension, 10.0))
    small = ball(40, 5.0, dimension, np.full(dimension, 30.0))
    both = total(np.maximum(big, small), 0.0)
    assert both[-1] == 2
    np.testing.assert_allclose(both, total(big, 0.0) + total(small, 0.0), rtol=1e-12)


def test_a_solid_ring_has_a_tunnel_and_the_mean_curvature_of_its_length():
    grid, large, small = 48, 14.0, 5.0
    x, y, z = np.ix_(*[np.arange(grid) - 23.6] * 3)
    ring = small - np.hypot(np.hypot(x, y) - large, z)
    expected = [
        2 * np.pi**2 * large * small**2,
        4 * np.pi**2 * large * small / 6,
        2 * np.pi * large / 3,
    ]
    # It lies along the grid, and has no direction but those of a plane: percents.
    np.testing.assert_allclose(total(ring, 0.0)[:3], expected, rtol=0.03)
    assert total(ring, 0.0)[3] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("wave", [(0, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, -1), (-2, 1)])
def test_bands_around_the_box_have_their_boundary_to_five_percent_and_no_euler_number(wave):
    grid = 96
    x, y = np.ix_(*[2 * np.pi * (np.arange(grid) + 0.5) / grid] * 2)
    found = total(np.cos(wave[0] * x + wave[1] * y + 0.3), 0.2)
    boundary = 2 * np.hypot(*wave) * grid  # 2 L for each turn of the wave
    # By its direction, as the module says; the grid adds a little.
    assert 0.945 < found[1] / (boundary / 4) < 1.03
    assert found[2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "wave", [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, -1, 2), (1, 2, 3), (0, 2, 1)]
)
def test_slabs_have_their_surface_to_eight_percent_and_no_curvature(wave):
    grid = 48
    axes = np.ix_(*[2 * np.pi * (np.arange(grid) + 0.5) / grid] * 3)
    found = total(np.cos(sum(n * x for n, x in zip(wave, axes, strict=True)) + 0.3), 0.2)
    surface = 2 * np.linalg.norm(wave) * grid**2
    assert 0.915 < found[1] / (surface / 6) < 1.03
    np.testing.assert_allclose(found[2:], 0, atol=1e-9)


def test_a_filament_along_an_axis_has_the_curvature_of_its_length_less_the_stated_part():
    disc = ball(40, 7.0, 2, (12.3, 20.1))
    found = total(np.repeat(disc[:, :, None], 40, axis=2), 0.0)
    # A plane cuts it once, wherever; only the mean over 13 directions is not that over all.
    assert found[2] == pytest.approx(40 / 3 * (1 - 0.0816), rel=1e-4)
    assert found[0] == total(disc, 0.0)[0] * 40
    assert found[3] == pytest.approx(0, abs=1e-12)


def gaussian(grid, dimension, cells, seed):
    """Return white noise smoothed over some cells, and its sigma1 / sigma0 from its own modes."""
    axes = [2 * np.pi * np.fft.fftfreq(grid)] * (dimension - 1) + [
        2 * np.pi * np.fft.rfftfreq(grid)
    ]
    square = sum(k**2 for k in np.ix_(*axes))
    white = noise(*(grid,) * dimension, seed=seed, dtype=np.float32)
    modes = scipy.fft.rfftn(white) * np.exp(-square * cells**2 / 2).astype(np.float32)
    modes.flat[0] = 0
    partners = np.r_[1, np.full(grid // 2 - 1, 2), 1]
    power = partners * np.abs(modes) ** 2
    field = scipy.fft.irfftn(modes, s=white.shape)
    return field, np.sqrt((power * square).sum() / power.sum())


@pytest.mark.parametrize(("dimension", "grid", "fields"), [(2, 512, 16), (3, 96, 24)])
def test_gaussian_fields_have_the_known_functionals_to_a_percent_of_the_peak(
    dimension, grid, fields
):
    nu = np.arange(-10, 11) / 4
    peak = np.abs(gaussian_expectation(nu, 1, np.sqrt(dimension / 2) / 2, dimension)).max(axis=1)
    parity = np.r_[-1, (-1.0) ** np.arange(dimension)][:, None]  # turned over, a field is as likely
    off = []
    for seed in range(fields):
        field, ratio = gaussian(grid, dimension, 2.0, seed)
        _, values = minkowski(field[None], grid, nu)
        expected = gaussian_expectation(nu, 1.0, ratio, dimension)
        deviation = (values[0] - expected) / peak[:, None]
        off.append((deviation + parity * deviation[:, ::-1]) / 2)
    mean, error = np.mean(off, axis=0), np.std(off, axis=0, ddof=1) / np.sqrt(fields)
    # The error of the grid as the module states it, and 4 sigma of a mean of few fields.
    stated = {2: [0, 0.001, 0.003], 3: [0, 0.002, 0.004, 0.007]}[dimension]
    assert (np.abs(mean) <= np.array(stated)[:, None] + 4 * error).all()
    assert np.abs(mean).max() < 0.01
    shape = expected / np.abs(expected).max(axis=1)[:, None]
    amplitude = (mean * shape)[1:].sum(axis=1) / (shape**2)[1:].sum(axis=1)
    np.testing.assert_allclose(amplitude, 0, atol=0.01)


def test_halving_the_cell_takes_away_nine_tenths_of_the_error_of_the_grid():
    nu = np.arange(-10, 11) / 4
    at = {cells: [] for cells in (1, 2, 4)}
    for seed in range(40):
        field = gaussian(512, 2, 4.0, seed)[0]
        field /= field.std(dtype=np.float64)
        for cells, found in at.items():
            step = 4 // cells
            parts = [field[i::step, j::step] for i in range(step) for j in range(step)]
            found.append(minkowski(parts, BOX, nu, standardise=False)[1].mean(axis=0))
    mean = {cells: np.mean(found, axis=0)[1:] for cells, found in at.items()}
    peak = np.abs(mean[4]).max(axis=1)
    coarse, fine = (np.abs(mean[cells] - mean[4]).max(axis=1) / peak for cells in (1, 2))
    # V2 of these fields is only known to a third of a percent.
    assert 0.01 < coarse[0] < 0.02
    assert fine[0] < 0.13 * coarse[0]
    assert 0.015 < coarse[1] < 0.035
    assert fine[1] < 0.01


def test_the_expectation_in_a_plane_is_that_of_the_papers():
    nu, s0, s1 = NU, 0.7, 0.3
    from scipy.special import erfc

    gauss = np.exp(-(nu**2) / 2)
    expected = [
        erfc(nu / np.sqrt(2)) / 2,
        s1 / s0 / (8 * np.sqrt(2)) * gauss,
        (s1 / s0) ** 2 / (2 * (2 * np.pi) ** 1.5) * nu * gauss,
    ]
    np.testing.assert_allclose(gaussian_expectation(nu, s0, s1, 2), expected, rtol=1e-13)


def test_the_expectation_in_space_is_that_of_rice_and_of_the_genus_curve():
    nu, s0, s1 = NU, 0.7, 0.3
    # Rice (1944) crossings of a line are half of the surface; Hamilton, Gott & Weinberg (1986).
    along = s1 / s0 / np.sqrt(3)
    gauss = np.exp(-(nu**2) / 2)
    surface = 2 * along / np.pi * gauss
    genus = along**3 / (4 * np.pi**2) * (1 - nu**2) * gauss
    _, v1, v2, v3 = gaussian_expectation(nu, s0, s1, 3)
    np.testing.assert_allclose(v1, surface / 6, rtol=1e-13)
    np.testing.assert_allclose(v3, -genus, rtol=1e-13, atol=1e-18)
    # Sections are Gaussian fields in a plane, of two thirds of the squared gradient.
    plane = gaussian_expectation(nu, s0, s1 * np.sqrt(2 / 3), 2)[2]
    np.testing.assert_allclose(v2, 2 / 3 * plane, rtol=1e-13)


SHAPES = [(18, 18), (17, 17), (10, 10, 10), (9, 9, 9)]


@pytest.mark.parametrize("shape", SHAPES)
def test_v0_is_exactly_the_fraction_of_cells_at_or_above(shape):
    counts = np.random.default_rng(5).integers(0, 9, shape)
    found = minkowski_functionals(counts, BOX, range(-1, 11), standardise=False)
    expected = [(counts >= nu).mean() for nu in range(-1, 11)]
    np.testing.assert_array_equal(found.values[0], expected)
    assert expected[0] == 1
    assert expected[-1] == 0
    np.testing.assert_allclose(found.values[1:, [0, -1]], 0, atol=1e-16)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_complement_has_the_same_boundary_and_the_opposite_curvature(shape):
    field = noise(*shape) ** 3
    there = minkowski_functionals(field, BOX).values
    back = minkowski_functionals(-field, BOX, -NU[::-1]).values[:, ::-1]
    signs = {2: [-1, 1, -1], 3: [-1, 1, -1, 1]}[len(shape)]
    mirrored = np.array(signs)[:, None] * back + np.eye(len(signs))[0][:, None]
    peak = np.abs(there).max(axis=1)[:, None]
    np.testing.assert_allclose(mirrored / peak, there / peak, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_rolling_mirroring_and_turning_the_box_change_nothing(shape):
    field = noise(*shape)
    before = minkowski_functionals(field, BOX, standardise=False).values
    axes = tuple(range(len(shape)))
    for same in (
        np.roll(field, (3, 5, 7)[: len(shape)], axes),
        field.transpose(*axes[1:], 0),
        field[::-1],
        field[..., ::-1],
        field.T[::-1],
    ):
        after = minkowski_functionals(same, BOX, standardise=False).values
        peak = np.abs(before).max(axis=1)[:, None]
        np.testing.assert_allclose(after / peak, before / peak, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rising_function_of_the_field_changes_nothing_if_thresholds_go_along(shape):
    field = noise(*shape)
    before = minkowski_functionals(field, BOX, NU, standardise=False).values
    lognormal = minkowski_functionals(np.exp(field), BOX, np.exp(NU), standardise=False).values
    np.testing.assert_array_equal(lognormal, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_count_standard_deviations_from_the_mean_of_the_smoothed_field(dtype):
    field = noise(32, 32, dtype=dtype)
    field = 2 + field**2
    found = minkowski_functionals(field, BOX, smoothing=1.5)
    np.testing.assert_array_equal(found.nu, NU)
    assert found.nu[[0, -1]].tolist() == [-3, 3]
    assert len(found.nu) == 25
    smoothed = smooth(field, 1.5).astype(np.float64)
    by_hand = (smoothed - smoothed.mean()) / smoothed.std()
    expected = minkowski_functionals(by_hand, BOX, standardise=False)
    np.testing.assert_array_equal(found.values, expected.values)
    stretched = minkowski_functionals(4 * field, BOX, smoothing=1.5)
    np.testing.assert_array_equal(stretched.values, found.values)


@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
def test_values_are_densities_in_the_unit_of_the_box(shape):
    field = noise(*shape)
    small, large = (minkowski_functionals(field, box).values for box in (BOX, 2 * BOX))
    orders = np.arange(len(shape) + 1)[:, None]
    np.testing.assert_array_equal(large, small / 2.0**orders)
    twice = minkowski_functionals(np.tile(field, (2,) * len(shape)), 2 * BOX).values
    peak = np.abs(small).max(axis=1)[:, None]
    np.testing.assert_allclose(twice / peak, small / peak, rtol=0, atol=1e-12)


def test_each_threshold_is_measured_as_if_alone():
    field = noise(12, 12, 12)
    together = minkowski_functionals(field, BOX, np.linspace(-2, 2, 300)).values
    for i in (0, 77, 150, 299):
        alone = minkowski_functionals(field, BOX, [np.linspace(-2, 2, 300)[i]]).values
        np.testing.assert_allclose(together[:, [i]], alone, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("shape", [(40, 16, 16), (7, 33, 33), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 1.3])
def test_a_batch_holds_the_very_bits_of_each_field_alone(shape, dtype, smoothing):
    fields = np.exp(noise(*shape, dtype=dtype))
    nu, together = minkowski(fields, BOX, smoothing=smoothing)
    assert together.shape == (shape[0], len(shape), 25)
    alone = [minkowski_functionals(field, BOX, smoothing=smoothing) for field in fields]
    np.testing.assert_array_equal(together, [one.values for one in alone])
    np.testing.assert_array_equal(nu, alone[0].nu)


def test_a_constant_field_is_measured_in_its_own_unit_alone():
    found = minkowski_functionals(np.ones((8, 8)), BOX, [0.5, 1, 1.5], standardise=False)
    np.testing.assert_array_equal(found.values, [[1, 1, 0], [0, 0, 0], [0, 0, 0]])


BAD = np.where(np.eye(8) > 0, np.nan, 1.0)


@pytest.mark.parametrize(
    ("field", "options", "error", "message"),
    [
        (np.zeros((8, 9)), {}, LayoutError, "neither a square nor a cube"),
        (BAD, {}, LayoutError, "field 0 holds a value that is not finite"),
        (BAD, {"standardise": False}, LayoutError, "field 0 .* not finite"),
        (np.where(np.eye(8) > 0, np.inf, 1), {"smoothing": 1.0}, LayoutError, "not finite"),
        (np.full((8, 8), 0.1), {}, LayoutError, "field 0 is constant"),
        (np.full((8, 8), 0.1), {"smoothing": 2.0}, LayoutError, "field 0 is constant"),
        (np.full((8, 8, 8), 0.1, np.float32), {"smoothing": 2.0}, LayoutError, "is constant"),
        (noise(8, 8) + 3, {"smoothing": 50.0}, LayoutError, "is constant"),
        (noise(8, 8), {"thresholds": [1, 0]}, RecipeError, "increasing"),
        (noise(8, 8), {"thresholds": [1, 1]}, RecipeError, "increasing"),
        (noise(8, 8), {"thresholds": []}, RecipeError, "at least one"),
        (noise(8, 8), {"thresholds": [0, np.nan]}, RecipeError, "finite"),
        (noise(8, 8), {"thresholds": [[0, 1]]}, RecipeError, "at least one"),
        (noise(8, 8), {"smoothing": -1.0}, RecipeError, "smoothing = -1.0 must be a width"),
        (noise(8, 8), {"smoothing": np.nan}, RecipeError, "smoothing = nan"),
        (noise(8, 8), {"box_size": 0.0}, RecipeError, "box_size = 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(field, options, error, message):
    with pytest.raises(error, match=message) as caught:
        minkowski_functionals(field, **({"box_size": BOX} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", [(1, 1, 4), (0, 1, 2), (1, -1, 3), (np.inf, 1, 2), (1, np.nan, 3)])
def test_an_impossible_gaussian_field_is_refused(case):
    with pytest.raises(RecipeError, match="must be 2 or 3, the others positive numbers"):
        gaussian_expectation(NU, *case)


def test_the_bad_field_of_a_batch_is_named():
    fields = noise(5, 8, 8)
    fields[3] = 7.0
    with pytest.raises(LayoutError, match="field 3 is constant"):
        minkowski(fields, BOX)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
