"""Laws of the initial conditions."""

import numpy as np
import pytest
import scipy.fft

from cosmogan import initial, mesh
from cosmogan.errors import RecipeError

BOX = 100.0


def spectrum(k):
    return 50 * (0.1 / np.maximum(k, 1e-9))


def band_limited(k):
    return np.where(k < 2 * np.pi / BOX * 5, spectrum(k), 0)


def modes_of(field):
    """Return modes whose phases count from the corner, of a field given at centres of cells."""
    grid = len(field)
    modes = scipy.fft.rfftn(field)
    return np.conj(mesh.at_cell_centres(np.conj(modes), grid)).astype(np.complex64)


def centres(grid):
    return np.meshgrid(*[(np.arange(grid) + 0.5) * BOX / grid] * 3, indexing="ij")


def test_modes_have_the_power_that_was_asked_for():
    grid = 32
    modes = initial.linear_modes(1, grid, BOX, spectrum)
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(grid, BOX)))
    inside = (k > 0) & (np.abs(modes) > 0)
    ratio = np.abs(modes[inside]) ** 2 * BOX**3 / grid**6 / spectrum(k[inside])
    assert ratio.mean() == pytest.approx(1, abs=5 / np.sqrt(inside.sum() / 2))
    assert ratio.std() == pytest.approx(1, rel=0.1)
    assert modes[0, 0, 0] == 0


def test_fixed_modes_have_no_scatter_and_the_same_phases():
    grid = 16
    free = initial.linear_modes(1, grid, BOX, spectrum)
    fixed = initial.linear_modes(1, grid, BOX, spectrum, fixed=True)
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(grid, BOX)))
    alive = np.abs(free) > 0
    power = np.abs(fixed[alive]) ** 2 * BOX**3 / grid**6
    np.testing.assert_allclose(power, spectrum(k[alive]), rtol=1e-5)
    turn = fixed[alive] / free[alive]
    np.testing.assert_allclose(np.angle(turn), 0, atol=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
def test_paired_modes_are_the_others_turned(fixed):
    one = initial.linear_modes(3, 12, BOX, spectrum, fixed=fixed)
    other = initial.linear_modes(3, 12, BOX, spectrum, fixed=fixed, paired=True)
    np.testing.assert_array_equal(one, -other)


def test_a_finer_lattice_samples_the_same_universe():
    """Of 16 and of 48 cells, every third centre is shared."""
    coarse = initial.density(initial.linear_modes(5, 16, BOX, band_limited))
    fine = initial.density(initial.linear_modes(5, 48, BOX, band_limited))
    np.testing.assert_allclose(fine[1::3, 1::3, 1::3], coarse, atol=1e-5)


def test_displacements_converge_with_the_lattice():
    coarse, fine = (
        [
            psi.reshape(grid, grid, grid, 3)
            for psi in initial.displacements(initial.linear_modes(5, grid, BOX, band_limited), BOX)
        ]
        for grid in (16, 48)
    )
    for order in (0, 1):
        scale = coarse[order].std()
        shared = fine[order][1::3, 1::3, 1::3]
        # The second order of 5 waves has up to 10, more than 16 cells hold.
        tolerance = 1e-5 if order == 0 else 0.3
        np.testing.assert_allclose(shared / scale, coarse[order] / scale, atol=tolerance)


def test_a_plane_wave_is_displaced_as_zeldovich_says():
    x, k = centres(16)[1], 2 * 2 * np.pi / BOX
    first, second = initial.displacements(modes_of(0.3 * np.cos(k * x + 1)), BOX)
    expected = -0.3 / k * np.sin(k * x + 1)
    np.testing.assert_allclose(first[:, 1], expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(first[:, [0, 2]], 0, atol=1e-5)
    np.testing.assert_allclose(second, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other"), [((2, 0, 0), (0, 0, 3)), ((1, 2, 0), (2, 1, -1)), ((1, 1, 1), (-2, 1, 3))]
)
def test_two_waves_displace_to_second_order(one, other):
    """S = ab (1 - cos^2) cos(kx) cos(qx), hence psi2 from the waves of sum and difference."""
    x = np.stack(centres(24), axis=-1)
    k, q = (2 * np.pi / BOX * np.array(n) for n in (one, other))
    delta = 0.3 * np.cos(x @ k) + 0.2 * np.cos(x @ q)
    _, second = initial.displacements(modes_of(delta), BOX)
    strength = 0.06 * (1 - (k @ q) ** 2 / (k @ k) / (q @ q))
    waves = [np.sin(x @ p)[..., None] * p / (p @ p) for p in (k + q, k - q)]
    expected = strength / 2 * sum(waves)
    np.testing.assert_allclose(second, expected.reshape(-1, 3), atol=1e-5)


def test_displacements_diverge_as_the_density_says():
    modes = initial.linear_modes(2, 16, BOX, spectrum)
    first, second = initial.displacements(modes, BOX)
    k = mesh.wavenumbers(16, BOX)

    def derivative(psi, axis, along):
        field = scipy.fft.rfftn(psi.reshape(16, 16, 16, 3)[..., axis].astype(float))
        return scipy.fft.irfftn(1j * k[along] * field, s=(16,) * 3)

    divergence = sum(derivative(first, axis, axis) for axis in range(3))
    np.testing.assert_allclose(divergence, -initial.density(modes), atol=1e-5)
    for psi in (first, second):  # and neither turns, nor has waves of two cells
        curl = derivative(psi, 0, 1) - derivative(psi, 1, 0)
        np.testing.assert_allclose(curl, 0, atol=1e-5)
        spectrum_of = np.abs(scipy.fft.rfftn(psi[:, 0].reshape(16, 16, 16)))
        assert max(spectrum_of[8].max(), spectrum_of[:, 8].max()) < 1e-6 * spectrum_of.max()


def test_the_lattice_stands_at_centres_of_cells():
    points = initial.lattice(5, BOX)
    np.testing.assert_allclose(points[[0, 1, 5, 25]] / BOX * 5, np.eye(4, 3, -1)[:, ::-1] + 0.5)


def test_threads_change_no_bit():
    modes = initial.linear_modes(4, 18, BOX, spectrum)
    alone = initial.displacements(modes, BOX)
    for threads in (2, 3):
        for one, other in zip(alone, initial.displacements(modes, BOX, threads), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_an_impossible_spectrum_is_refused(bad):
    with pytest.raises(RecipeError, match="power"):
        initial.linear_modes(1, 8, BOX, lambda k: np.full_like(k, bad))
