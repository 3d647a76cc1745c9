"""The Gaussian latent is a lognormal universe with the spectrum that theory asks for."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from cosmogan.models.latent import white_noise
from cosmogan.models.lognormal import gaussian_colour, lognormal_field
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


@pytest.mark.parametrize("strength", [1, 4])
@pytest.mark.parametrize(("dimension", "grid", "count"), CASES)
def test_the_expected_power_is_that_of_theory_at_any_strength(
    make_theory, dimension, grid, count, strength
):
    """Of exp(g - <g^2>/2) it is known exactly: 1 + xi = exp(xi_G). Slices also scatter in their mean as theory has it."""
    theory = make_theory(dimension=dimension)
    theory = replace(theory, power=strength * theory.power)
    colour = gaussian_colour(theory, 0, grid)
    shape, axes = (grid,) * dimension, tuple(range(dimension))
    xi_g = scipy.fft.irfftn(colour.amplitude**2, s=shape, axes=axes)
    assert colour.variance == pytest.approx(xi_g[(0,) * dimension])
    cell = theory.cell_size**dimension
    found = scipy.fft.rfftn(np.expm1(xi_g), axes=axes).real * cell
    n = wavevectors(grid, 1 / grid, dimension)
    size = np.sqrt(sum(x**2 for x in n)) / (2 * np.pi)
    large = (size > 0) & (size < 0.4 * grid / 2)
    expected = theory.field_power(0, wavevectors(grid, theory.cell_size, dimension))
    # far from the Nyquist modes, which no seed fills
    np.testing.assert_allclose(found[large], expected[large], rtol=0.01)
    mean = found[(0,) * dimension]
    if dimension == 2:
        box = grid * theory.cell_size
        assert mean == pytest.approx(theory.mean_power(0, box), rel=0.01)
    else:
        assert 0 <= mean < expected[large].min()


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


def test_each_row_has_its_own_spectrum(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0)))
    k = wavevectors(16, theory.cell_size, 2)
    ratio = theory.field_power(0, k)[1:, 1:] / theory.field_power(1, k)[1:, 1:]
    np.testing.assert_allclose(ratio, 4, rtol=1e-12)
    strong, weak = (lognormals(theory, 16, 20, row).std() for row in (0, 1))
    assert strong > 1.3 * weak
