"""The Gaussian latent is a lognormal universe with the spectrum that theory asks for."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
from scipy.integrate import trapezoid

from cosmogan.errors import RecipeError
from cosmogan.models.latent import gaussian_colour, lognormal_field, white_noise
from cosmogan.statistics.power import power_spectra

CASES = [(2, 32, 300), (3, 16, 200)]


def wavevectors(grid, cell, dimension):
    full, half = (2 * np.pi * f(grid, cell) for f in (np.fft.fftfreq, np.fft.rfftfreq))
    return list(np.meshgrid(*[full] * (dimension - 1), half, indexing="ij", sparse=True))


def lognormals(theory, grid, count, row=0):
    colour = gaussian_colour(theory, row, grid)
    return np.stack(
        [lognormal_field(seed, colour, grid, theory.dimension) for seed in range(count)]
    )


@pytest.mark.parametrize(("dimension", "grid", "count"), CASES)
def test_the_density_has_the_power_of_theory(make_theory, dimension, grid, count):
    theory = make_theory(dimension=dimension)
    box = grid * theory.cell_size
    k, power, _ = power_spectra(lognormals(theory, grid, count), box)
    expected = theory.field_power(0, wavevectors(grid, theory.cell_size, dimension))
    n = wavevectors(grid, 1 / grid, dimension)
    squared = np.rint(sum(x**2 for x in n) / (2 * np.pi) ** 2)
    weight = np.full(expected.shape, 2.0)
    weight[..., 0] = 1.0
    edges = np.arange(1, len(k) + 2)
    shell = np.searchsorted(edges**2, squared.ravel(), side="right")
    total = np.bincount(shell, (weight * expected).ravel()) / np.bincount(shell, weight.ravel())
    error = power.std(axis=0) / np.sqrt(count)
    ratio = power.mean(axis=0) / total[1 : len(k) + 1]
    # the missing Nyquist modes of g cost 1 % of the power beside them
    assert np.all(np.abs(ratio - 1) < 4 * error / power.mean(axis=0) + 0.015)
    assert (error / power.mean(axis=0)).max() < 0.05, "the fields are many enough to tell"


@pytest.mark.parametrize(("dimension", "grid", "count"), CASES)
def test_the_density_is_positive_and_one_on_average(make_theory, dimension, grid, count):
    rho = lognormals(make_theory(dimension=dimension), grid, count)
    assert rho.dtype == np.float32
    assert rho.min() > 0
    means = rho.mean(axis=tuple(range(1, rho.ndim)), dtype=np.float64)
    assert means.mean() == pytest.approx(1, abs=4 * means.std() / np.sqrt(count) + 1e-6)
    assert rho.std() > 0.3, "a universe with contrast"


@pytest.mark.parametrize(("dimension", "grid", "count"), CASES)
def test_the_correlation_of_g_is_the_logarithm_of_that_of_the_density(
    make_theory, dimension, grid, count
):
    theory = make_theory(dimension=dimension)
    colour = gaussian_colour(theory, 0, grid)
    shape, axes = (grid,) * dimension, tuple(range(dimension))
    power = theory.field_power(0, wavevectors(grid, theory.cell_size, dimension))
    power[(0,) * dimension] = 0
    xi = scipy.fft.irfftn(power, s=shape, axes=axes) / theory.cell_size**dimension
    xi_g = scipy.fft.irfftn(colour.amplitude**2, s=shape, axes=axes)
    assert colour.variance == pytest.approx(xi_g[(0,) * dimension])
    # equal but for a constant (g has no mean) and the Nyquist modes, which no seed fills
    difference = np.log1p(xi) - xi_g
    assert difference.std() < 0.02 * xi_g.std()
    assert np.abs(difference - difference.mean()).max() < 0.03 * colour.variance


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_white_theory_meets_the_integrals_of_its_windows(make_theory, thickness):
    """CIC: sum of sinc^4 over aliases is 1 - 2/3 sin^2; planes overlap by 2/3 and 1/6 of a cell."""
    theory = make_theory(thickness=thickness)
    theory = replace(theory, power=np.full_like(theory.power, 700.0))
    cell = theory.cell_size
    k = wavevectors(16, cell, 2)
    sampled = [1 - 2 / 3 * np.sin(x * cell / 2) ** 2 for x in k]
    depth = (thickness * 2 / 3 + 2 * (thickness - 1) / 6) / (thickness**2 * cell)
    expected = 700.0 * depth * sampled[0] * sampled[1]
    found = theory.field_power(0, k)[1:, 1:]
    np.testing.assert_allclose(found, expected[1:, 1:], rtol=2e-2)  # aliases beyond the first
    centre = (slice(0, 3), slice(0, 3))
    np.testing.assert_allclose(found[centre], expected[1:, 1:][centre], rtol=2e-3)


def test_white_theory_of_cubes_is_the_sum_of_aliases(make_theory):
    theory = make_theory(dimension=3)
    theory = replace(theory, power=np.full_like(theory.power, 700.0))
    k = wavevectors(8, theory.cell_size, 3)
    expected = 700.0 * np.ones(())
    for x in k:
        expected = expected * (1 - 2 / 3 * np.sin(x * theory.cell_size / 2) ** 2)
    found = theory.field_power(0, k)[1:, 1:, 1:]
    np.testing.assert_allclose(found, expected[1:, 1:, 1:], rtol=3e-2)  # aliases beyond the first


@pytest.mark.parametrize("n", [1, 4, 12])
@pytest.mark.parametrize("thickness", [1, 4])
def test_the_projection_is_the_integral_along_the_line_of_sight(make_theory, n, thickness):
    theory = make_theory(thickness=thickness, cell_size=3.0)
    k, cell = n * 2 * np.pi / (64 * 3.0), 3.0

    z = np.linspace(0, 8 * np.pi / cell, 200_001)
    slab = np.abs(np.mean([np.exp(1j * z * cell * i) for i in range(thickness)], axis=0)) ** 2
    weight = np.sinc(z * cell / 2 / np.pi) ** 4 * slab / np.pi
    expected = 0.0
    for kx in k + np.array([-1, 0, 1]) * 2 * np.pi / cell:
        total = np.log(np.hypot(kx, z))
        power = np.exp(np.interp(total, np.log(theory.k), np.log(theory.power[0])))
        expected += np.sinc(kx * cell / 2 / np.pi) ** 4 * trapezoid(power * weight, z)
    found = theory.field_power(0, [np.array([k]), np.array([0.0])])
    assert found[0] == pytest.approx(expected, rel=5e-3)


def test_one_seed_gives_the_same_phases_on_a_finer_grid(make_theory):
    """White noise is nested to the bit; the field only in its phases, for the windows change."""
    coarse, fine = make_theory(cell_size=4.0), make_theory(cell_size=2.0)
    modes = []
    for theory, grid in ((coarse, 16), (fine, 32)):
        colour = gaussian_colour(theory, 0, grid)
        g = np.log(lognormal_field(5, colour, grid, 2)).astype(np.float64)
        modes.append(np.fft.rfft2(g)[:8, :8] / grid**2)
    assert np.abs(np.angle(modes[0] / modes[1])[1:]).max() < 1e-3, "float32"
    assert np.abs(modes[0] / modes[1]).std() > 1e-3, "amplitudes follow the windows"


def test_a_field_belongs_to_its_seed(theory):
    colour = gaussian_colour(theory, 0, 16)
    one, same, other = (lognormal_field(seed, colour, 16, 2) for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.5


def test_noise_of_a_larger_box_goes_on_where_the_smaller_ends():
    small, large = white_noise(3, (64, 16), 2), white_noise(3, (128, 32), 2)
    for level, whole in zip(small, large, strict=True):
        np.testing.assert_array_equal(whole[: len(level), : len(level)], level)


def test_noise_of_two_levels_and_two_seeds_has_nothing_in_common():
    fields = [*white_noise(3, (32, 32), 2), white_noise(4, (32,), 2)[0]]
    table = np.corrcoef([f.ravel() for f in fields])
    assert np.abs(table[~np.eye(3, dtype=bool)]).max() < 4 / 32, "4 standard errors"
    assert fields[0].std() == pytest.approx(1, abs=4 / np.sqrt(2 * 1024))


def test_a_network_is_not_asked_about_universes_it_never_saw(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0), (0.35, 0.5)))
    assert [theory.row(p) for p in theory.parameters] == [0, 1, 2]
    assert theory.row([0.3 * (1 + 1e-12), 1.0]) == 1
    with pytest.raises(RecipeError, match=r"Omega_m = 0.31, redshift = 0: .* not trained there"):
        theory.row([0.31, 0.0])
    with pytest.raises(RecipeError, match="not trained there"):
        theory.row([np.nan, 0.0])


def test_conditions_are_what_varies_scaled_to_one(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0), (0.3, 3.0)))
    assert theory.num_conditions == 1
    conditions = theory.conditions(theory.parameters)
    assert conditions.dtype == np.float32
    np.testing.assert_allclose(conditions, [[-1], [-1 / 3], [1]], rtol=1e-6)
    alone = make_theory()
    assert alone.num_conditions == 0
    assert alone.conditions(alone.parameters).shape == (1, 0)


def test_each_row_has_its_own_spectrum(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0)))
    k = wavevectors(16, theory.cell_size, 2)
    ratio = theory.field_power(0, k)[1:, 1:] / theory.field_power(1, k)[1:, 1:]
    np.testing.assert_allclose(ratio, 4, rtol=1e-12)
    strong, weak = (lognormals(theory, 16, 20, row).std() for row in (0, 1))
    assert strong > 1.3 * weak
