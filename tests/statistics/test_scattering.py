"""Laws of the scattering transform."""

import doctest

import numpy as np
import pytest
import scipy.fft
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.scattering as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.power import power_spectrum
from cosmogan.statistics.scattering import default_scales, morlets, scattering, scatterings

BOX = 100.0
FEWER_POINTS = 6e-4  # of a mean over fewer points than cells: 5e-4 was the most, of few waves


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def peaked(*shape, seed=1):
    """Return fields of rare, round peaks: the exponential of smooth Gaussian ones."""
    n = np.fft.fftfreq(shape[-1], 1 / shape[-1])
    length = np.hypot(n[:, None], n[: shape[-1] // 2 + 1])
    modes = scipy.fft.rfft2(noise(*shape, seed=seed)) * np.exp(-(length**2) / 72)
    smooth = scipy.fft.irfft2(modes, s=shape[-2:])
    return np.exp(2 * smooth / smooth.std())


def in_space(grid, scale, direction, angles):
    """Return a Morlet wavelet on the cells of a periodic grid, from its definition in space."""
    sigma, xi, slant = 0.8 * 2**scale, 0.75 * np.pi / 2**scale, 4 / angles
    turn = np.pi * direction / angles
    images = int(10 * sigma / min(slant, 1) / grid) + 1  # ten sigma are 1e-22
    x = np.arange(-images * grid, (images + 1) * grid)
    along = x[:, None] * np.cos(turn) + x * np.sin(turn)
    across = x * np.cos(turn) - x[:, None] * np.sin(turn)
    bell = np.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2))
    wave = bell * np.exp(1j * xi * along)
    whole = (wave - wave.sum() / bell.sum() * bell) * slant / (2 * np.pi * sigma**2)
    copies = 2 * images + 1
    return whole.reshape(copies, grid, copies, grid).sum(axis=(0, 2))


def by_definition(field, scales, angles):
    """Return s1 and s2 at full resolution, from the wavelets in space and their convolutions."""
    grid = len(field)
    wavelets = np.array(
        [[in_space(grid, j, d, angles) for d in range(angles)] for j in range(scales)]
    )
    bank = np.fft.fft2(wavelets)
    envelopes = np.abs(np.fft.ifft2(np.fft.fft2(field) * bank))
    again = np.abs(np.fft.ifft2(np.fft.fft2(envelopes)[:, :, None, None] * bank))
    second = again.mean(axis=(-1, -2)).mean(axis=(1, 3))
    return envelopes.mean(axis=(1, 2, 3)), np.triu(second, 1)


def same(found, expected, tolerance):
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    np.testing.assert_allclose(found[1], expected[1], rtol=tolerance)


def both(field, **options):
    found = scattering(field, BOX, **options)
    return found.first, found.second


@given(
    grid=st.integers(11, 26),
    angles=st.integers(3, 9),
    scales=st.integers(1, 3),
    seed=st.integers(0),
)
@settings(max_examples=25, deadline=None)
def test_it_is_what_wavelets_and_moduli_in_space_give(grid, angles, scales, seed):
    field = noise(grid, grid, seed=seed) ** 2
    expected = by_definition(field, scales, angles)
    same(both(field, scales=scales, angles=angles), expected, 1e-10)


def test_a_convolution_summed_cell_by_cell_is_one_of_transforms():
    grid, field = 12, noise(12, 12)
    x, y = np.indices((grid, grid)).reshape(2, -1)
    psi = in_space(grid, 1, 1, 3)[(x[:, None] - x) % grid, (y[:, None] - y) % grid]
    by_fft = np.fft.ifft2(np.fft.fft2(field) * morlets(grid, 2, 3)[1][1])
    np.testing.assert_allclose(psi @ field.ravel(), by_fft.ravel(), atol=1e-12)


@pytest.mark.parametrize("make", [noise, peaked])
@pytest.mark.parametrize(("grid", "scales"), [(64, 4), (45, 5)])
def test_large_scales_need_fewer_points(grid, scales, make):
    field = make(grid, grid)
    same(both(field, scales=scales), by_definition(field, scales, 4), FEWER_POINTS)


@given(
    n=st.tuples(st.integers(-12, 11), st.integers(0, 12)),
    phase=st.floats(0, 6),
    angles=st.integers(3, 8),
)
@settings(max_examples=40, deadline=None)
def test_a_wave_has_half_its_amplitude_times_the_wavelet_at_its_wavenumber(n, phase, angles):
    grid, amplitude = 24, 0.3
    turns = np.add.outer(n[0] * np.arange(grid), n[1] * np.arange(grid)) * 2 * np.pi / grid + phase
    wave = amplitude / 2 * np.exp(1j * turns)
    for j, found in enumerate(scattering(amplitude * np.cos(turns), BOX, angles=angles).first):
        psi = np.fft.fft2([in_space(grid, j, d, angles) for d in range(angles)])
        # What little psi leaves of -k beats with it.
        both_ways = np.multiply.outer(psi[:, *n], wave)
        both_ways += np.multiply.outer(psi[:, -n[0], -n[1]], wave.conj())
        assert found == pytest.approx(np.abs(both_ways).mean(), abs=1e-13)


@pytest.mark.parametrize("j", range(4))
def test_a_wave_is_loudest_at_the_scale_of_its_wavenumber(j):
    n = 24 // 2**j
    wave = np.tile(np.cos(2 * np.pi * n * np.arange(64) / 64), (64, 1))
    found = scattering(wave, BOX)
    assert np.argmax(found.first) == j
    assert found.k[j] == pytest.approx(2 * np.pi * n / BOX, rel=1e-14)


@pytest.mark.parametrize(("n", "scale", "loss"), [(12, 1, 0.3), (6, 2, 0.15), (3, 3, 0.06)])
def test_the_second_order_of_waves_in_lumps_is_the_first_of_their_envelope(n, scale, loss):
    turns, depth = 2 * np.pi * np.arange(64) / 64, 0.5
    envelope = np.tile(depth * np.cos(n * turns), (64, 1))
    found = scattering((1 + envelope) * np.cos(24 * turns), BOX)
    assert np.argmax(found.second[0]) == scale
    # Of the waves of n = 24 +- n, which make the lumps, the wavelet loses some.
    expected = scattering(envelope, BOX).first[scale]
    assert (1 - loss) * expected < found.sparsity[0, scale] < expected


def test_a_gaussian_field_has_the_mean_modulus_of_gaussian_numbers():
    count, grid = 1200, 24
    _, first, _ = scatterings(noise(count, grid, grid), BOX)
    for j, psi in enumerate(morlets(grid, 2, 4)):
        back = np.roll(psi[:, ::-1, ::-1], 1, axis=(1, 2))
        power = (psi**2).sum(axis=(1, 2))
        # Were psi nothing at -k, I * psi would be as wide in every phase, its modulus Rayleigh.
        minor = (1 - np.abs((psi * back).sum(axis=(1, 2))) / power) / 2
        major = 1 - minor
        modulus = np.sqrt(2 / np.pi * major) * scipy.special.ellipe(1 - minor / major)
        rayleigh = np.sqrt(np.pi) / 2
        assert np.abs(modulus / rayleigh - 1).max() < (0.001 if j else 0.04)
        expected = (modulus * np.sqrt(power)).mean() / grid
        error = first[:, j].std() / np.sqrt(count)
        assert error < 0.005 * expected
        assert abs(first[:, j].mean() - expected) < 4 * error


def test_it_sees_phases_that_the_power_spectrum_does_not():
    peaks, random = peaked(5, 64, 64), scipy.fft.rfft2(noise(5, 64, 64, seed=2))
    modes = np.abs(scipy.fft.rfft2(peaks)) * np.exp(1j * np.angle(random))
    for there, gone in zip(peaks, scipy.fft.irfft2(modes, s=(64, 64)), strict=True):
        np.testing.assert_allclose(
            power_spectrum(there, BOX).power, power_spectrum(gone, BOX).power, rtol=1e-9
        )
        before, after = scattering(there, BOX), scattering(gone, BOX)
        assert (before.first[:3] < 0.9 * after.first[:3]).all()  # the last has few waves
        above = np.triu_indices(4, 1)
        assert (before.sparsity[above] > 2 * after.sparsity[above]).all()


@given(factor=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1]), mean=st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_it_is_linear_in_the_amplitude_and_knows_no_mean(factor, sign, mean):
    field = noise(32, 32)
    before = scattering(field, BOX)
    after = scattering(mean + sign * factor * field, BOX)
    # A mean of 10 over waves of 1e-3 costs four digits.
    np.testing.assert_allclose(after.first, factor * before.first, rtol=1e-10)
    np.testing.assert_allclose(after.second, factor * before.second, rtol=1e-10)
    np.testing.assert_allclose(after.sparsity, before.sparsity, rtol=1e-10)


@pytest.mark.parametrize("value", [np.float32(0.1), np.float64(7), np.float64(0)])
def test_a_constant_has_nothing(value):
    found = scattering(np.full((45, 45), value), BOX)
    assert found.first.tolist() == [0] * 3
    assert not found.second.any()
    assert not found.sparsity.any()


def test_only_pairs_of_growing_scale_are_filled_in():
    found = scattering(noise(64, 64), BOX)
    np.testing.assert_array_equal(found.second > 0, np.triu(np.ones((4, 4)), 1) > 0)
    expected = found.second / found.first[:, None]
    np.testing.assert_allclose(found.sparsity, expected, rtol=1e-15)


@pytest.mark.parametrize(("scales", "tolerance"), [(3, 1e-12), (5, FEWER_POINTS)])
@pytest.mark.parametrize("make", [noise, peaked])
def test_neither_rolling_mirroring_nor_turning_changes_it(make, scales, tolerance):
    field = make(64, 64)
    before = both(field, scales=scales)
    for again in (np.roll(field, (3, 7), (0, 1)), field[::-1], field.T, np.rot90(field)):
        same(both(again, scales=scales), before, tolerance)


@pytest.mark.parametrize("angles", [3, 4, 5, 8, 16])
@pytest.mark.parametrize("grid", [64, 100, 63])
def test_the_wavelets_cover_all_waves_between_the_longest_and_the_finest(grid, angles):
    scales = default_scales(grid)
    total = np.zeros((grid, grid))
    for psi in morlets(grid, scales, angles):
        n = scipy.fft.fftfreq(psi.shape[-1], 1 / psi.shape[-1]).astype(int)
        total[np.ix_(n, n)] += (psi**2).sum(axis=0)
        assert not psi[:, 0, 0].any()
    total = (total + np.roll(total[::-1, ::-1], 1, axis=(0, 1))) / 2  # a real field has k and -k
    k = np.hypot(*np.meshgrid(*[2 * np.pi * scipy.fft.fftfreq(grid)] * 2))
    finest = 0.75 * np.pi
    covered = total[(k >= finest / 2 ** (scales - 1)) & (k <= finest)]
    assert covered.min() > 0.55
    assert total.max() < 1.15


@given(st.integers(8, 1000))
def test_the_longest_wave_repeats_three_times_and_one_octave_more_would_still_fit(grid):
    longest = 8 / 3 * 2 ** (default_scales(grid) - 1)
    assert 3 * longest <= grid < 6 * longest


@pytest.mark.parametrize("shape", [(9, 64, 64), (5, 45, 45), (40, 16, 16)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_gives_the_bits_of_its_fields(shape, dtype):
    fields = noise(*shape, dtype=dtype)
    one_by_one = [scattering(field, BOX) for field in fields]
    k, first, second = scatterings(fields, BOX)
    np.testing.assert_array_equal(first, [found.first for found in one_by_one])
    np.testing.assert_array_equal(second, [found.second for found in one_by_one])
    np.testing.assert_array_equal(k, one_by_one[0].k)
    assert scatterings(fields[:0], BOX)[2].shape == (0, len(k), len(k))


@pytest.mark.parametrize("mean", [0, 10_000])
def test_single_precision_is_good_to_six_digits_of_what_differs_from_the_mean(mean):
    field = np.float32(mean) + peaked(64, 64).astype(np.float32)
    same(both(field), both(field.astype(np.float64)), 1e-6)


@pytest.mark.parametrize(
    ("field", "options", "error", "message"),
    [
        (np.zeros((8, 8, 8)), {}, LayoutError, r"\(8, 8, 8\) is a cube; cut it"),
        (np.zeros((16, 15)), {}, LayoutError, "neither a square nor a cube"),
        (np.zeros((7, 7)), {}, LayoutError, "8 x 8 or more"),
        (np.full((8, 8), np.nan), {}, LayoutError, "field 0 .* not finite"),
        (np.full((8, 8), np.inf), {}, LayoutError, "field 0 .* not finite"),
        (np.zeros((64, 64)), {"scales": 0}, RecipeError, "scales = 0: give 1 to 5"),
        (np.zeros((64, 64)), {"scales": 6}, RecipeError, "scales = 6: give 1 to 5"),
        (np.zeros((64, 64)), {"scales": 2.5}, RecipeError, "scales = 2.5"),
        (np.zeros((64, 64)), {"angles": 2}, RecipeError, "angles = 2: give 3 to 64"),
        (np.zeros((64, 64)), {"angles": 4.5}, RecipeError, "angles = 4.5"),
        (np.zeros((64, 64)), {"box_size": -1.0}, RecipeError, "box_size = -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(field, options, error, message):
    with pytest.raises(error, match=message) as caught:
        scattering(field, **{"box_size": BOX} | options)
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
