"""Laws of the cross power spectrum, the coherence and the transfer of pairs of fields."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.cross as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.cross import cross_spectra, cross_spectrum
from cosmogan.statistics.power import power_spectra

BOX = 250.0
SHAPES = [(24, 24), (15, 15), (12, 12, 12), (9, 9, 9)]

case = st.sampled_from(SHAPES)
seeds = st.integers(0, 99)


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def couple(shape, seed=1, share=0.5):
    """Return two fields, the second in part a copy of the first."""
    first, other = noise(2, *shape, seed=seed)
    return first, share * first + other


def wavevectors(shape):
    """Return n (d, N, N, ...) and |n|^2 (N, N, ...) of a full transform."""
    n = np.fft.fftfreq(shape[0], 1 / shape[0]).astype(int)
    vectors = np.stack(np.meshgrid(*[n] * len(shape), indexing="ij"))
    return vectors, (vectors**2).sum(axis=0)


def plane_wave(shape, vector, phase=0.0):
    x = np.meshgrid(*[np.arange(grid) / grid for grid in shape], indexing="ij")
    turns = sum(n * axis for n, axis in zip(vector, x, strict=True))
    return np.cos(2 * np.pi * turns + phase)


@given(shape=case, seed=seeds, low=st.integers(1, 3), width=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_it_equals_a_sum_over_the_full_transforms(shape, seed, low, width):
    first, second = couple(shape, seed)
    edges = [low, low + width, low + 2 * width]
    squares = wavevectors(shape)[1]
    product = (np.fft.fftn(first) * np.fft.fftn(second).conj()).real
    product *= BOX ** len(shape) / first.size**2
    found = cross_spectrum(first, second, BOX, edges)
    for i in range(2):
        shell = (squares >= edges[i] ** 2) & (squares < edges[i + 1] ** 2)
        assert found.modes[i] == shell.sum()
        mean_k = np.sqrt(squares[shell]).mean() * 2 * np.pi / BOX
        assert found.k[i] == pytest.approx(mean_k, rel=1e-13)
        # Signed terms may cancel: rounding is that of their size.
        size = np.abs(product[shell]).mean()
        assert found.power[i] == pytest.approx(product[shell].mean(), rel=0, abs=1e-12 * size)


@given(shape=case, seed=seeds)
@settings(max_examples=15, deadline=None)
def test_the_power_of_a_sum_is_both_powers_and_twice_the_cross(shape, seed):
    first, second = couple(shape, seed)
    found = cross_spectrum(first, second, BOX)
    _, power, _ = power_spectra((first + second)[None], BOX)
    expected = found.first + found.second + 2 * found.power
    np.testing.assert_allclose(expected, power[0], rtol=1e-11)


@pytest.mark.parametrize("shape", [(90, 64, 64), (5, 63, 63), (2, 16, 16, 16), (2, 9, 9, 9)])
@pytest.mark.parametrize("types", [(np.float32, np.float32), (np.float64, np.float32)])
@pytest.mark.parametrize("edges", [None, [1, 4], [1.5, 2.5, 3, 6.5]])
def test_the_powers_have_the_bits_of_the_power_spectrum(shape, types, edges):
    pair = [noise(*shape, seed=i, dtype=dtype) for i, dtype in enumerate(types)]
    k, _, *powers, modes = cross_spectra(*pair, BOX, edges)
    for fields, power in zip(pair, powers, strict=True):
        expected = power_spectra(fields, BOX, edges)
        np.testing.assert_array_equal(k, expected[0])
        np.testing.assert_array_equal(power, expected[1])
        np.testing.assert_array_equal(modes, expected[2])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_itself_a_field_is_coherent_and_its_cross_power_its_power(shape, dtype):
    field = noise(*shape, dtype=dtype)
    found = cross_spectrum(field, field, BOX)
    np.testing.assert_array_equal(found.power, found.first)
    np.testing.assert_array_equal(found.power, found.second)
    np.testing.assert_array_equal(found.transfer, 1)
    np.testing.assert_allclose(found.coherence, 1, rtol=1e-15)  # a root squared


@given(
    shape=st.sampled_from([(16, 16), (15, 15), (10, 10, 10)]),
    vector=st.lists(st.integers(-4, 4), min_size=3, max_size=3),
    shift=st.lists(st.integers(0, 14), min_size=3, max_size=3),
    phase=st.floats(0, 6),
)
@settings(max_examples=40, deadline=None)
def test_a_shifted_plane_wave_loses_the_cosine_of_its_phase(shape, vector, shift, phase):
    vector, shift = vector[: len(shape)], shift[: len(shape)]
    square = sum(n * n for n in vector)
    if square == 0:
        return
    wave = plane_wave(shape, vector, phase)
    moved = np.roll(wave, shift, range(len(shape)))
    edges = [np.sqrt(square) * factor for factor in (0.99, 1.01)]
    found = cross_spectrum(wave, moved, BOX, edges)
    cosine = np.cos(2 * np.pi * np.dot(vector, shift) / shape[0])
    assert found.coherence[0] == pytest.approx(cosine, rel=0, abs=1e-12)
    assert found.transfer[0] == pytest.approx(1, rel=1e-12)
    # Two modes of A^2 L^d / 4 each; no n of these is its own partner.
    total = found.power[0] * found.modes[0] / (BOX ** len(shape) / 2)
    assert total == pytest.approx(cosine, rel=0, abs=1e-12)


@given(shape=case, seed=seeds, shift=st.tuples(*[st.integers(0, 11)] * 3))
@settings(max_examples=15, deadline=None)
def test_a_shift_leaves_the_power_and_turns_the_modes(shape, seed, shift):
    shift = shift[: len(shape)]
    field = noise(*shape, seed=seed)
    found = cross_spectrum(field, np.roll(field, shift, range(len(shape))), BOX, [1, 2, 4])
    np.testing.assert_allclose(found.second, found.first, rtol=1e-11)
    vectors, squares = wavevectors(shape)
    phase = 2 * np.pi / shape[0] * np.tensordot(shift, vectors, 1)
    turned = np.abs(np.fft.fftn(field)) ** 2 * np.cos(phase) * BOX ** len(shape) / field.size**2
    expected = [turned[(squares >= a) & (squares < b)].mean() for a, b in ((1, 4), (4, 16))]
    np.testing.assert_allclose(found.power, expected, rtol=0, atol=1e-12 * found.first.max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("types", [(np.float64, np.float64), (np.float64, np.float32)])
def test_exchange_keeps_the_cross_power_and_inverts_the_transfer(shape, types):
    first, second = (f.astype(t) for f, t in zip(couple(shape), types, strict=True))
    there, back = cross_spectrum(first, second, BOX), cross_spectrum(second, first, BOX)
    np.testing.assert_array_equal(back.power, there.power)
    np.testing.assert_array_equal(back.coherence, there.coherence)
    np.testing.assert_array_equal(back.first, there.second)
    np.testing.assert_array_equal(back.second, there.first)
    np.testing.assert_allclose(back.transfer * there.transfer, 1, rtol=1e-14)


@given(shape=case, seed=seeds, factor=st.floats(-3, 3))
@settings(max_examples=15, deadline=None)
def test_it_is_linear_in_each_field(shape, seed, factor):
    first, second, other = noise(3, *shape, seed=seed)

    def cross(a, b):
        return cross_spectrum(a, b, BOX).power

    cell = (BOX / shape[0]) ** len(shape)  # the power of this noise
    for one, two in (
        (cross(first + factor * other, second), cross(other, second)),
        (cross(first, second + factor * other), cross(first, other)),
    ):
        expected = cross(first, second) + factor * two
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-12 * cell)


@given(
    shape=case,
    seed=seeds,
    factors=st.tuples(*[st.floats(1e-3, 1e3)] * 2),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 2),
)
@settings(max_examples=25, deadline=None)
def test_the_coherence_knows_no_amplitude_but_the_sign(shape, seed, factors, signs):
    first, second = couple(shape, seed)
    before = cross_spectrum(first, second, BOX)
    a, b = (f * s for f, s in zip(factors, signs, strict=True))
    after = cross_spectrum(a * first, b * second, BOX)
    same = signs[0] * signs[1]
    np.testing.assert_allclose(after.coherence, same * before.coherence, rtol=0, atol=1e-12)
    np.testing.assert_allclose(after.transfer, before.transfer * abs(a / b), rtol=1e-12)
    assert np.abs(after.coherence).max() <= 1 + 1e-15  # Schwarz, but for rounding


@pytest.mark.parametrize(
    ("shape", "pairs"), [((16, 16), 3000), ((15, 15), 3000), ((8, 8, 8), 1000)]
)
def test_independent_gaussian_fields_scatter_by_the_root_of_their_modes(shape, pairs):
    _, cross, first, second, modes = cross_spectra(*noise(2, pairs, *shape), BOX)
    coherence = cross / np.sqrt(first * second)
    # Exact for white noise: the cosine between two random directions in as many dimensions.
    assert np.abs(coherence.mean(axis=0) * np.sqrt(modes * pairs)).max() < 4
    # Its square has mean 1 / modes and a scatter of sqrt(2) times that, less with few modes.
    pull = ((coherence**2).mean(axis=0) * modes - 1) / np.sqrt(2 / pairs)
    assert np.abs(pull).max() < 4


@pytest.mark.parametrize("share", [-0.8, 0.3])
def test_a_field_that_holds_a_share_of_another_tells_it(share):
    first, other = noise(2, 400, 32, 32)
    second = 2 * (share * first + np.sqrt(1 - share**2) * other)
    _, cross, one, two, modes = cross_spectra(first, second, BOX)
    coherence = cross.mean(axis=0) / np.sqrt(one.mean(axis=0) * two.mean(axis=0))
    # The scatter of a correlation r of m draws: (1 - r^2) / sqrt(m).
    pull = (coherence - share) / (1 - share**2) * np.sqrt(modes * len(first))
    assert np.abs(pull).max() < 4
    transfer = np.sqrt(one.mean(axis=0) / two.mean(axis=0))
    # Each power is known to sqrt(2 / modes), its root to half of that, both together: 4 sigma.
    np.testing.assert_allclose(transfer, 0.5, rtol=4 / np.sqrt(modes[0] * len(first)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_field_without_power_gives_nothing_and_no_nan(shape):
    flat, field = np.ones(shape), noise(*shape)
    for pair in ((flat, field), (field, flat), (flat, flat)):
        found = cross_spectrum(*pair, BOX)
        np.testing.assert_array_equal(found.coherence, 0)
        np.testing.assert_array_equal(found.transfer, 0)


def test_overdensity_and_density_over_mean_give_the_same():
    first, second = (0.3 * field for field in couple((24, 24)))
    there, back = cross_spectrum(first, second, BOX), cross_spectrum(1 + first, second + 1, BOX)
    for name in ("power", "first", "second", "coherence", "transfer"):
        np.testing.assert_allclose(getattr(back, name), getattr(there, name), rtol=1e-10)


def test_turning_mirroring_and_rolling_both_fields_change_nothing():
    pair = np.stack(couple((12, 12, 12)))
    before = cross_spectrum(*pair, BOX).power
    for same in (
        pair.transpose(0, 3, 1, 2),
        pair[:, ::-1],
        pair[..., ::-1],
        np.roll(pair, (3, 5, 7), (1, 2, 3)),
    ):
        np.testing.assert_allclose(cross_spectrum(*same, BOX).power, before, rtol=1e-11)


@pytest.mark.parametrize("shape", [(1500, 16, 16), (9, 63, 63), (3, 12, 12, 12)])
@pytest.mark.parametrize("types", [(np.float32, np.float32), (np.float64, np.float32)])
def test_threads_and_batches_do_not_change_a_bit(shape, types):
    pair = [noise(*shape, seed=i, dtype=dtype) for i, dtype in enumerate(types)]
    _, *alone, _ = cross_spectra(*pair, BOX)
    for workers in (2, 3):
        _, *together, _ = cross_spectra(*pair, BOX, workers=workers)
        np.testing.assert_array_equal(together, alone)
    ones = [cross_spectrum(a, b, BOX) for a, b in zip(*pair, strict=True)]
    for name, rows in zip(("power", "first", "second"), alone, strict=True):
        np.testing.assert_array_equal([getattr(one, name) for one in ones], rows)


@pytest.mark.parametrize(
    ("first", "second", "box", "edges", "error", "message"),
    [
        (np.zeros((8, 8)), np.zeros((9, 9)), 1.0, None, LayoutError, r"8, 8\), second of .*9, 9\)"),
        (np.zeros((8, 8)), np.zeros((8, 8, 8)), 1.0, None, LayoutError, "pair equal shapes"),
        (np.zeros((8, 9)), np.zeros((8, 9)), 1.0, None, LayoutError, "neither a square nor a cube"),
        (np.zeros((8, 8), complex), np.zeros((8, 8)), 1.0, None, LayoutError, "not real"),
        (np.full((8, 8), np.nan), np.zeros((8, 8)), 1.0, None, LayoutError, "first field 0 .* not"),
        (np.zeros((8, 8)), np.full((8, 8), np.inf), 1.0, None, LayoutError, "second field 0 .* no"),
        (np.zeros((8, 8)), np.zeros((8, 8)), -1.0, None, RecipeError, "box_size = -1.0"),
        (np.zeros((8, 8)), np.zeros((8, 8)), 1.0, [2, 1], RecipeError, "increasing"),
        (np.zeros((8, 8)), np.zeros((8, 8)), 1.0, [5.8, 6.5], RecipeError, "no mode of a grid"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(first, second, box, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        cross_spectrum(first, second, box, edges)
    assert "\n" not in str(caught.value)


def test_batches_of_different_length_are_refused_and_the_bad_row_is_named():
    with pytest.raises(LayoutError, match=r"\(3, 8, 8\), second of shape \(1, 8, 8\)"):
        cross_spectra(np.zeros((3, 8, 8)), np.zeros((1, 8, 8)), BOX)
    fields = noise(3, 8, 8)
    fields[2, 1, 1] = np.nan
    with pytest.raises(LayoutError, match="second field 2 holds a value that is not finite"):
        cross_spectra(noise(3, 8, 8), fields, BOX)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
