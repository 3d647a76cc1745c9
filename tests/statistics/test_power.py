"""Laws of the power spectrum."""

import doctest
import hashlib
from itertools import pairwise

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan.statistics.power as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics import shells
from cosmogan.statistics.power import log_edges, power_spectra, power_spectrum

BOX = 250.0


def noise(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape, dtype=dtype)


def to_the_corner(grid, dimension):
    """Return whole shells that hold every mode but the zero mode."""
    return np.arange(1, int(np.sqrt(dimension) * (grid // 2)) + 2)


def brute_force(delta, box_size, edges):
    """Return k, P and modes from full complex transforms, float lengths and bincount."""
    grid, dimension = len(delta), delta.ndim
    n = np.meshgrid(*[np.fft.fftfreq(grid, 1 / grid)] * dimension, indexing="ij")
    length = np.sqrt(sum(axis**2 for axis in n)).ravel()
    # No edge of these tests lies within 1e-9 of a mode it should hold, but on it.
    shell = np.digitize(length + 1e-9, edges) - 1
    inside = (shell >= 0) & (shell < len(edges) - 1)
    power = (np.abs(np.fft.fftn(delta)) ** 2).ravel() * box_size**dimension / delta.size**2
    modes = np.bincount(shell[inside], minlength=len(edges) - 1)
    mean = [
        np.bincount(shell[inside], values[inside], len(edges) - 1) / modes
        for values in (length * 2 * np.pi / box_size, power)
    ]
    return (*mean, modes)


def every_shell_holds_a_mode(grid, dimension, edges):
    squares = np.unique(sum(np.ix_(*[np.arange(grid // 2 + 1) ** 2] * dimension)))
    return all(((squares >= a**2) & (squares < b**2)).any() for a, b in pairwise(edges))


@pytest.fixture(scope="module")
def golden():
    """Return a field of spectrum k^-2 that other codes have measured, 128^3 in 1000 Mpc/h."""
    n = 128
    white = noise(n, n, n, seed=20240601, dtype=np.float32)
    assert hashlib.sha256(white.tobytes()).hexdigest()[:16] == "487ccadb7ce9bfe3"
    i = np.fft.fftfreq(n, 1 / n)
    square = i[:, None, None] ** 2 + i[:, None] ** 2 + np.arange(n // 2 + 1) ** 2
    square[0, 0, 0] = np.inf
    modes = scipy.fft.rfftn(white) / np.sqrt(square).astype(np.float32)
    return scipy.fft.irfftn(modes, s=white.shape)


def test_the_golden_spectrum_is_that_of_other_codes(golden):
    spectrum = power_spectrum(golden, 1000.0, workers=2)
    shell = np.array([1, 2, 4, 8, 16, 32, 63]) - 1
    expected = [3.107669e02, 8.414190e01, 2.796704e01, 6.516377e00, 1.694611e00]
    expected += [4.488233e-01, 1.181852e-01]
    lengths = [1.41642, 2.39992, 4.43033, 8.44830, 16.46877, 32.48253, 63.49112]
    assert golden.std() == pytest.approx(0.02153245, rel=1e-6)
    # Seven digits are given; float32 transforms agree to 3e-7.
    np.testing.assert_allclose(spectrum.power[shell], expected, rtol=1e-6)
    np.testing.assert_allclose(spectrum.k[shell] * 1000 / (2 * np.pi), lengths, rtol=1e-5)
    assert spectrum.modes[shell].tolist() == [26, 66, 234, 866, 3306, 13106, 51498]
    assert len(spectrum.k) == 63


def test_delta_and_density_over_mean_give_the_same_spectrum():
    delta = 0.3 * noise(24, 24)
    np.testing.assert_allclose(
        power_spectrum(1 + delta, BOX).power, power_spectrum(delta, BOX).power, rtol=1e-11
    )


@pytest.mark.parametrize(("dimension", "grid"), [(2, 16), (2, 15), (3, 8), (3, 9)])
def test_the_sum_over_all_modes_is_the_variance(dimension, grid):
    delta = noise(*(grid,) * dimension)
    spectrum = power_spectrum(delta, BOX, to_the_corner(grid, dimension))
    variance = (spectrum.power * spectrum.modes).sum() / BOX**dimension
    assert variance == pytest.approx(delta.var(), rel=1e-12)


@given(
    dimension=st.sampled_from([2, 3]),
    grid=st.integers(4, 12),
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(1, 40), min_size=2, max_size=6, unique=True),
)
@settings(max_examples=30, deadline=None)
def test_it_equals_a_sum_over_the_full_transform(dimension, grid, seed, cuts):
    delta = noise(*(grid,) * dimension, seed=seed)
    edges = np.sort(cuts) / 4
    if not every_shell_holds_a_mode(grid, dimension, edges):
        with pytest.raises(RecipeError, match="no mode"):
            power_spectrum(delta, BOX, edges)
        return
    k, power, modes = brute_force(delta, BOX, edges)
    found = power_spectrum(delta, BOX, edges)
    np.testing.assert_array_equal(found.modes, modes)
    np.testing.assert_allclose(found.k, k, rtol=1e-13)
    np.testing.assert_allclose(found.power, power, rtol=1e-11)


@pytest.mark.parametrize(("dimension", "grid"), [(2, 64), (2, 63), (3, 16), (3, 17)])
def test_all_modes_but_the_zero_mode_are_counted_once(dimension, grid):
    spectrum = power_spectrum(noise(*(grid,) * dimension), BOX, to_the_corner(grid, dimension))
    assert spectrum.modes.sum() == grid**dimension - 1


def test_a_mode_on_an_edge_belongs_to_the_shell_above_it():
    grid, edges = 32, [3, 4, 5, 6]
    x = 2 * np.pi * np.arange(grid) / grid
    on_edge = np.cos(3 * x[:, None] + 4 * x)  # |n| = 5, by a root that floats may round below
    power = power_spectrum(on_edge, BOX, edges).power
    assert power[2] == pytest.approx(power.sum(), rel=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_plane_wave_has_a_quarter_of_its_square_in_each_of_two_modes(dimension):
    grid, amplitude = 16, 0.2
    x = np.arange(grid) * 2 * np.pi / grid
    wave = np.broadcast_to(amplitude * np.cos(3 * x + 0.4), (grid,) * dimension)
    spectrum = power_spectrum(wave, BOX)
    total = spectrum.power * spectrum.modes
    assert total[2] == pytest.approx(2 * amplitude**2 * BOX**dimension / 4, rel=1e-13)
    assert np.delete(total, 2).max() < 1e-25 * total[2]


@pytest.mark.parametrize(("dimension", "grid"), [(2, 256), (3, 64)])
def test_white_noise_is_flat_at_its_variance_a_cell(dimension, grid):
    scatter = 0.7
    spectrum = power_spectrum(scatter * noise(*(grid,) * dimension), BOX)
    expected = scatter**2 * (BOX / grid) ** dimension
    pull = (spectrum.power / expected - 1) / np.sqrt(2 / spectrum.modes)
    assert np.abs(pull).max() < 4.5  # of at most 127 shells
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))


def test_random_points_have_the_power_of_shot_noise():
    points, grid = 40_000, 32
    places = np.random.default_rng(3).integers(0, grid**3, points)
    density = np.bincount(places, minlength=grid**3).reshape(grid, grid, grid) * grid**3 / points
    spectrum = power_spectrum(density, BOX)
    pull = (spectrum.power / (BOX**3 / points) - 1) / np.sqrt(2 / spectrum.modes)
    assert np.abs(pull).max() < 4


def test_turning_mirroring_and_rolling_the_box_change_nothing():
    delta = noise(12, 12, 12)
    before = power_spectrum(delta, BOX).power
    for same in (
        delta.transpose(2, 0, 1),
        delta[::-1],
        delta[:, :, ::-1],
        np.roll(delta, (3, 5, 7), (0, 1, 2)),
    ):
        np.testing.assert_allclose(power_spectrum(same, BOX).power, before, rtol=1e-12)


def test_the_scatter_of_a_gaussian_field_is_the_root_of_two_over_its_modes():
    k, power, modes = power_spectra(noise(3000, 16, 16), BOX)
    scatter = power.std(axis=0, ddof=1) / power.mean(axis=0)
    # The scatter of a scatter of 3000 draws is 1/sqrt(6000) = 1.3 %, more with few modes: 5 sigma.
    np.testing.assert_allclose(scatter, np.sqrt(2 / modes), rtol=0.08)
    field = power_spectrum(noise(16, 16), BOX)
    np.testing.assert_allclose(field.error, field.power * np.sqrt(2 / field.modes))
    assert k[0] >= 2 * np.pi / BOX


@pytest.mark.parametrize("shape", [(300, 16, 16), (7, 63, 63), (3, 12, 12, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_and_batches_do_not_change_a_bit(shape, dtype):
    fields = noise(*shape, dtype=dtype)
    _, alone, _ = power_spectra(fields, BOX)
    for workers in (2, 3):
        np.testing.assert_array_equal(power_spectra(fields, BOX, workers=workers)[1], alone)
    one_by_one = [power_spectrum(field, BOX).power for field in fields]
    np.testing.assert_array_equal(one_by_one, alone)


def test_any_real_type_and_byte_order_is_understood():
    counts = np.random.default_rng(5).integers(0, 9, (16, 16))
    expected = power_spectrum(counts.astype(np.float64), BOX).power
    for dtype, tolerance in (("<i4", 0), (">f8", 0), ("<f2", 0), (">f4", 1e-5), ("<f4", 1e-5)):
        np.testing.assert_allclose(
            power_spectrum(counts.astype(dtype), BOX).power, expected, rtol=tolerance
        )


@pytest.mark.parametrize(("dimension", "grid"), [(2, 9), (2, 10), (3, 9), (3, 10)])
def test_modes_are_counted_by_their_integer_square(dimension, grid):
    n = np.fft.fftfreq(grid, 1 / grid).astype(int)
    squares = sum(np.ix_(*[n**2] * dimension)).ravel()
    np.testing.assert_array_equal(shells.modes_per_square(grid, dimension), np.bincount(squares))


@pytest.mark.parametrize(
    ("field", "box", "edges", "error", "message"),
    [
        (np.zeros((8, 9)), 1.0, None, LayoutError, "neither a square nor a cube"),
        (np.zeros(8), 1.0, None, LayoutError, "neither a square nor a cube"),
        (np.zeros((8, 8), complex), 1.0, None, LayoutError, "not real"),
        (np.full((8, 8), np.nan), 1.0, None, LayoutError, "field 0 .* not finite"),
        (np.zeros((8, 8)), 0.0, None, RecipeError, "box_size = 0.0"),
        (np.zeros((8, 8)), np.nan, None, RecipeError, "box_size = nan"),
        (np.zeros((8, 8)), 1.0, [1, 3, 2], RecipeError, "increasing"),
        (np.zeros((8, 8)), 1.0, [0, 3], RecipeError, "above 0"),
        (np.zeros((8, 8)), 1.0, [2], RecipeError, "at least two"),
        (np.zeros((8, 8)), 1.0, [5.8, 6.5], RecipeError, "no mode of a grid of 8"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(field, box, edges, error, message):
    with pytest.raises(error, match=message) as caught:
        power_spectrum(field, box, edges)
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@given(grid=st.integers(4, 200), per_decade=st.floats(1, 40), dimension=st.sampled_from([2, 3]))
def test_logarithmic_shells_reach_from_the_first_mode_to_the_nyquist_wavenumber(
    grid, per_decade, dimension
):
    edges = log_edges(grid, per_decade)
    assert (edges[0], edges[-1]) == (1, grid // 2)
    widths, factor = np.diff(edges), 10 ** (1 / per_decade)
    assert (widths > 1 - 1e-9).all()
    grown = np.maximum(edges[:-1] + 1, edges[:-1] * factor)
    np.testing.assert_allclose(edges[1:-1], grown[:-1], rtol=1e-12)
    assert edges[-1] < max(grown[-1] + 1, grown[-1] * factor)
    assert (shells.shells(grid, dimension, edges).modes > 0).all()


@pytest.mark.parametrize(("grid", "per_decade"), [(64, 0), (64, -5), (3, 10)])
def test_logarithmic_shells_that_make_no_sense_are_refused(grid, per_decade):
    with pytest.raises(RecipeError, match=f"grid = {grid}, per_decade = {per_decade}"):
        log_edges(grid, per_decade)


@pytest.mark.filterwarnings("ignore::FutureWarning:powerbox")
@pytest.mark.parametrize("shape", [(96, 96), (40, 40, 40)])
def test_it_is_the_spectrum_of_powerbox_with_the_same_edges(shape):
    """powerbox takes float edges: a whisker below the integers, no mode changes its shell."""
    from powerbox import get_power

    delta = np.random.default_rng(8).standard_normal(shape)
    edges = np.arange(1.0, shape[0] // 2 + 1)
    theirs = get_power(
        delta,
        250.0,
        bins=2 * np.pi / 250 * edges * (1 - 1e-7),
        dimensionless=False,
        ignore_zero_mode=True,
    )
    ours = power_spectrum(delta, 250.0)
    np.testing.assert_allclose(ours.power, theirs.power, rtol=1e-6)


def test_shells_beyond_nyquist_are_warned_of(caplog):
    delta = np.random.default_rng(1).standard_normal((16, 16))
    power_spectrum(delta, BOX, edges=[1, 4, 8])
    assert not caplog.records
    power_spectrum(delta, BOX, edges=[1, 4, 11])
    assert "edges reach to 11, beyond the Nyquist wavenumber 8" in caplog.text
