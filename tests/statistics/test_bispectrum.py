"""Laws of the equilateral bispectrum."""

from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.bispectrum import (
    bispectra,
    bispectrum,
    default_edges,
    equilateral,
    isosceles,
    squeezed,
)
from cosmogan.statistics.power import power_spectra

BOX = 40.0


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def brute_force(delta, edges, triangles):
    """Return sides, B, Q and number of all triples of modes of three shells that add up to zero."""
    grid, dimension = len(delta), delta.ndim
    modes = np.fft.fftn(delta) / delta.size
    n = np.fft.fftfreq(grid, 1 / grid).astype(int)
    vectors = np.stack(np.meshgrid(*[n] * dimension, indexing="ij"), -1).reshape(-1, dimension)
    squares = (vectors**2).sum(axis=1)
    of_shell = [vectors[(squares >= low**2) & (squares < high**2)] for low, high in pairwise(edges)]
    power = [(np.abs(modes[tuple(shell.T)]) ** 2).mean() for shell in of_shell]
    result = []
    for one, two, three in triangles:
        first, second = (
            a.reshape(-1, dimension)
            for a in np.broadcast_arrays(of_shell[one][:, None], of_shell[two])
        )
        third = -first - second
        length = (third**2).sum(axis=1)
        closed = (length >= edges[three] ** 2) & (length < edges[three + 1] ** 2)
        sides = [side[closed] for side in (first, second, third)]
        value = np.prod([modes[tuple(side.T)] for side in sides], axis=0).real.mean()
        p, q, r = power[one], power[two], power[three]
        long = [np.sqrt((side**2).sum(axis=1)).mean() * 2 * np.pi / BOX for side in sides]
        result.append(
            (long, value * BOX ** (2 * dimension), value / (p * q + q * r + r * p), closed.sum())
        )
    return map(np.array, zip(*result, strict=True))


@given(
    case=st.sampled_from([(2, 16), (2, 15), (3, 9), (3, 10)]),
    seed=st.integers(0, 99),
    low=st.sampled_from([1, 1.125, 1.25]),
    width=st.sampled_from([1, 1.25, 1.5]),
)
@settings(max_examples=15, deadline=None)
def test_it_is_the_sum_over_all_closed_triangles(case, seed, low, width):
    dimension, grid = case
    delta = noise(*(grid,) * dimension, seed=seed) ** 2
    edges = (
        [low, low + width] if low + 2 * width > grid / 3 else [low, low + width, low + 2 * width]
    )
    sides, value, reduced, triangles = brute_force(delta, edges, equilateral(len(edges) - 1))
    found = bispectrum(delta, BOX, edges)
    np.testing.assert_array_equal(found.triangles, triangles)
    np.testing.assert_allclose(found.sides, sides, rtol=1e-12)
    np.testing.assert_allclose(found.k, sides[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.value, value, rtol=1e-9, atol=1e-12 * BOX ** (2 * dimension))
    np.testing.assert_allclose(found.reduced, reduced, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dimension", "grid"), [(2, 24), (2, 25), (3, 12)])
def test_any_three_shells_give_the_sum_over_their_triangles(dimension, grid):
    delta = noise(*(grid,) * dimension) ** 2
    edges = [1, 2, 3, 4, 5] if dimension == 3 else [1, 2, 4, 6.5, 9]
    triangles = [t for t in combinations_with_replacement(range(4), 3) if t[2] - t[1] <= t[0]]
    triangles = [t for t in triangles if sum(edges[s + 1] for s in t) <= grid]
    assert len(triangles) > 5
    sides, value, reduced, number = brute_force(delta, edges, triangles)
    found = bispectrum(delta, BOX, edges, triangles)
    np.testing.assert_array_equal(found.triangles, number)
    np.testing.assert_allclose(found.sides, sides, rtol=1e-12)
    np.testing.assert_allclose(found.value, value, rtol=1e-9, atol=1e-12 * BOX ** (2 * dimension))
    np.testing.assert_allclose(found.reduced, reduced, rtol=1e-9, atol=1e-9)


@given(order=st.permutations(range(3)))
def test_the_order_of_the_sides_is_nothing(order):
    delta, triangle = noise(24, 24) ** 2, (0, 1, 2)
    here = bispectrum(delta, BOX, [1, 4, 6, 9], [triangle])
    there = bispectrum(delta, BOX, [1, 4, 6, 9], [tuple(triangle[i] for i in order)])
    np.testing.assert_allclose(there.value, here.value, rtol=1e-9)
    np.testing.assert_allclose(there.sides[0], here.sides[0, list(order)], rtol=1e-12)


def test_the_usual_shapes_are_those_of_their_names():
    assert equilateral(2) == [(0, 0, 0), (1, 1, 1)]
    assert isosceles(9, legs=2) == [(0, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert squeezed(4) == [(0, 1, 1), (0, 2, 2), (0, 3, 3)]
    assert squeezed(4, base=2) == [(2, 3, 3)]


def test_the_squeezed_one_of_a_squared_field_knows_that_long_waves_raise_the_power():
    grid, count, f = 32, 1600, 0.01
    n = np.fft.fftfreq(grid, 1 / grid)
    length = np.sqrt(n[:, None] ** 2 + np.arange(grid // 2 + 1) ** 2)
    modes = scipy.fft.rfft2(noise(count, grid, grid)) / (1 + length) ** 2
    linear = scipy.fft.irfft2(modes, s=(grid, grid))
    square = linear**2 - (linear**2).mean(axis=(1, 2), keepdims=True)
    edges, triangles = np.arange(1, 13), [(0, i, i) for i in (6, 8, 10)]
    plus, minus = (
        bispectra(linear + sign * f * square, BOX, edges, triangles)[1] for sign in (1, -1)
    )
    odd = (plus - minus) / 2
    power = power_spectra(linear, BOX, edges)[1].mean(axis=0)
    tree = np.array(
        [2 * f * (2 * power[0] * power[i] + power[i] ** 2) for i in (6, 8, 10)]
    )  # 2 f (P1 P2 + P2 P3 + P3 P1)
    mean, error = odd.mean(axis=0), odd.std(axis=0, ddof=1) / np.sqrt(count)
    assert (error < 0.1 * tree).all()
    # P falls steeply within a shell, and by different amounts for the two long sides: allow 6 %.
    assert (np.abs(mean - tree) < 3.5 * error + 0.06 * tree).all()


@pytest.mark.parametrize(("triangle", "orders"), [((2, 2, 2), 6), ((1, 2, 2), 2), ((1, 2, 3), 1)])
def test_the_scatter_of_a_gaussian_field_counts_equal_sides(triangle, orders):
    delta = noise(1500, 24, 24)
    _, value, _, number = bispectra(delta, BOX, [1, 2, 4, 6, 8], [triangle])
    expected = np.sqrt(orders * BOX**2 * (BOX / 24) ** 6 / number)
    # A scatter of 1500 draws is known to 2 %; the products of a few modes have heavy tails: 5 sigma.
    np.testing.assert_allclose(value.std(axis=0) / expected, 1, atol=0.12)


def test_three_waves_that_close_a_triangle_give_their_product():
    grid, amplitude = 24, 0.3
    x, y = np.meshgrid(*[2 * np.pi * np.arange(grid) / grid] * 2, indexing="ij")
    phases = (0.3, -0.9, 0.2)
    triangle = ((2, 1), (-1, 2), (-1, -3))
    delta = sum(
        amplitude * np.cos(a * x + b * y + p) for (a, b), p in zip(triangle, phases, strict=True)
    )
    found = bispectrum(delta, BOX, [1, 4])
    # Six orders, and as many of the opposite modes; a mode is half a wave.
    expected = 2 * 6 * (amplitude / 2) ** 3 * np.cos(sum(phases)) * BOX**4 / found.triangles
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(32, 32), (16, 16, 16)])
def test_its_sign_turns_with_that_of_the_field(shape):
    delta = noise(*shape) ** 2
    there, back = bispectrum(delta, BOX).value, bispectrum(-delta, BOX).value
    np.testing.assert_allclose(back, -there, rtol=1e-9, atol=1e-12 * np.abs(there).max())


@pytest.mark.parametrize(("shape", "fields"), [((24, 24), 1500), ((12, 12, 12), 1500)])
def test_a_gaussian_field_has_none_and_the_known_scatter(shape, fields):
    dimension = len(shape)
    delta = noise(fields, *shape)
    _, value, _, triangles = bispectra(delta, BOX)
    power = (BOX / shape[0]) ** dimension
    expected = np.sqrt(6 * BOX**dimension * power**3 / triangles)
    assert np.abs(value.mean(axis=0) / expected * np.sqrt(fields)).max() < 4
    # A scatter of 1500 draws is known to 2 %; the products of a few modes have heavy tails: 5 sigma.
    np.testing.assert_allclose(value.std(axis=0) / expected, 1, atol=0.12)


@pytest.mark.parametrize(("shape", "fields"), [((24, 24), 600), ((12, 12, 12), 600)])
def test_skewed_white_noise_is_flat_at_its_third_cumulant(shape, fields):
    dimension = len(shape)
    delta = np.random.default_rng(4).exponential(size=(fields, *shape))  # third cumulant 2
    _, value, _, _ = bispectra(delta, BOX)
    expected = 2 * (BOX / shape[0]) ** (2 * dimension)
    error = value.std(axis=0, ddof=1) / np.sqrt(fields)
    assert (error < 0.2 * expected).all()
    assert np.abs((value.mean(axis=0) - expected) / error).max() < 4


def test_a_squared_gaussian_field_has_the_bispectrum_of_tree_level():
    grid, count, f = 32, 1600, 0.02
    n = np.fft.fftfreq(grid, 1 / grid)
    length = np.sqrt(n[:, None] ** 2 + np.arange(grid // 2 + 1) ** 2)
    modes = scipy.fft.rfft2(noise(count, grid, grid)) / (1 + length)
    linear = scipy.fft.irfft2(modes, s=(grid, grid))
    square = linear**2 - (linear**2).mean(axis=(1, 2), keepdims=True)
    edges = np.arange(2, 10)
    # Half the difference of both signs of f leaves the terms of odd order: f, and f^3 < 1 % of it.
    plus, minus = (bispectra(linear + sign * f * square, BOX, edges)[1] for sign in (1, -1))
    odd = (plus - minus) / 2
    _, power, _ = power_spectra(linear, BOX, edges)
    mean, error = odd.mean(axis=0), odd.std(axis=0, ddof=1) / np.sqrt(count)
    tree = 6 * f * power.mean(axis=0) ** 2  # 2 f (P1 P2 + P2 P3 + P3 P1)
    assert (error < 0.1 * tree).all()
    # P varies within a shell of width one: allow 6 % beside the errors.
    assert (np.abs(mean - tree) < 3.5 * error + 0.06 * tree).all()


@pytest.mark.parametrize("shape", [(5, 32, 32), (4, 15, 15), (3, 16, 16, 16)])
def test_reduced_it_is_what_the_power_leaves(shape):
    fields = noise(*shape) ** 2
    edges = default_edges(shape[-1])
    _, value, reduced, _ = bispectra(fields, BOX)
    power = power_spectra(fields, BOX, edges)[1]
    np.testing.assert_allclose(reduced, value / (3 * power**2), rtol=1e-10)


@given(factor=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), box_size=st.floats(1, 5000))
def test_reduced_it_falls_with_the_amplitude_and_knows_no_length(factor, sign, box_size):
    delta = noise(24, 24) ** 2
    before = bispectrum(delta, BOX).reduced
    after = bispectrum(sign * factor * delta, box_size).reduced
    np.testing.assert_allclose(after * sign * factor, before, rtol=1e-8)


def test_reduced_that_of_a_field_without_power_is_nothing():
    waves = np.cos(2 * np.pi * np.arange(24) / 24)[:, None] * np.ones(24)  # |n| = 1 alone
    reduced = bispectra(np.stack([np.zeros((24, 24)), waves]), BOX, [1, 4])[2]
    np.testing.assert_allclose(reduced, 0, atol=1e-12)


def test_reduced_that_of_a_squared_gaussian_field_is_twice_the_factor_of_the_square():
    grid, count, f = 32, 400, 0.02
    linear = noise(count, grid, grid)
    square = linear**2 - 1
    plus, minus = (bispectra(linear + sign * f * square, BOX)[2] for sign in (1, -1))
    odd = (plus - minus) / 2
    mean, error = odd.mean(axis=0), odd.std(axis=0, ddof=1) / np.sqrt(count)
    # <B / P^2> exceeds <B> / <P>^2, the more the fewer the modes: judge where there are hundreds.
    assert (error[2:] < 0.05 * 2 * f).all()
    assert (np.abs(mean - 2 * f)[2:] < 3.5 * error[2:] + 0.02 * 2 * f).all()


def test_neither_rolling_mirroring_turning_nor_the_mean_change_it():
    delta = noise(24, 24) ** 2
    before = bispectrum(delta, BOX).value
    for same in (delta.T, delta[::-1], np.roll(delta, (3, 5), (0, 1)), delta + 1):
        np.testing.assert_allclose(bispectrum(same, BOX).value, before, rtol=1e-8)


@pytest.mark.parametrize("shape", [(70, 96, 96), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_gives_the_bits_of_its_fields(shape, dtype):
    fields = noise(*shape, dtype=dtype)
    one_by_one = [bispectrum(field, BOX).value for field in fields]
    np.testing.assert_array_equal(bispectra(fields, BOX)[1], one_by_one)
    one_by_one = [bispectrum(field, BOX).reduced for field in fields]
    np.testing.assert_array_equal(bispectra(fields, BOX)[2], one_by_one)


@pytest.mark.parametrize("grid", [*range(6, 14), 32, 64, 255, 256])
def test_the_default_shells_close_triangles_and_never_alias(grid):
    edges = default_edges(grid)
    assert 3 * edges[-1] <= grid
    _, _, _, triangles = bispectra(np.zeros((1, grid, grid)), BOX)
    assert (triangles > 0).all()
    if grid >= 12:
        assert (np.diff(edges) == 3).all()
        assert (triangles > 1000).all()
        assert edges[-1] + 3 > grid // 3


@pytest.mark.parametrize(
    ("field", "edges", "error", "message"),
    [
        (np.zeros((16, 16)), [1, 6], RecipeError, "three add up to 16 at most, and none pass 8"),
        (np.zeros((30, 30)), [4, 4.1], RecipeError, r"no triangle closes in \[4, 4.1\)"),
        (np.zeros((16, 16)), [3, 1], RecipeError, "increasing"),
        (np.full((16, 16), np.inf), None, LayoutError, "field 0 .* not finite"),
        (np.zeros((16, 15)), None, LayoutError, "neither a square nor a cube"),
        (np.zeros((5, 5)), None, RecipeError, "on a grid of 5, where triangles alias"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_makes_no_sense_is_refused_in_one_line(field, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        bispectrum(field, BOX, edges)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("triangles", "message"),
    [
        ([], "give at least one"),
        ([(0, 1, 4)], "there are 0 to 3"),
        ([(0, -1, 0)], "there are 0 to 3"),
        ([(0, 0, 3)], r"no triangle closes in \[1, 2\), \[1, 2\), \[6, 8\)"),
        ([(2, 3, 3)], "add up to 20 at most"),
    ],
)
def test_triangles_that_make_no_sense_are_refused_in_one_line(triangles, message):
    with pytest.raises(RecipeError, match=message) as caught:
        bispectrum(noise(20, 20), BOX, [1, 2, 4, 6, 8], triangles)
    assert "\n" not in str(caught.value)
