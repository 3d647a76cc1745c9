"""Laws of the power spectrum of particles."""

import numpy as np
import pytest
import scipy.fft

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.mesh import ORDERS, paint
from cosmogan.statistics.particles import particle_spectrum
from cosmogan.statistics.power import power_spectrum

BOX = 100.0
WINDOWS = list(ORDERS)


def uniform(count, dimension, seed=1):
    return np.random.default_rng(seed).random((count, dimension)) * BOX


def lattice(cells, dimension):
    axis = (np.arange(cells) + 0.5) * BOX / cells
    return np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), -1).reshape(-1, dimension)


@pytest.fixture(scope="module")
def clustered():
    """Return 64^3 particles moved by a Gaussian displacement field, as the Zel'dovich one."""
    n = 64
    modes = scipy.fft.rfftn(np.random.default_rng(3).standard_normal((n, n, n)))
    k = np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * 2, np.arange(n // 2 + 1), indexing="ij")
    square = sum(axis**2 for axis in k)
    square[0, 0, 0] = np.inf
    moved = [scipy.fft.irfftn(1j * axis / square**1.5 * modes) for axis in k]
    scale = 1.0 * BOX / n / np.std(moved)
    start = lattice(n, 3) + np.random.default_rng(4).random((n**3, 3)) * BOX / n
    return start + scale * np.stack(moved, -1).reshape(-1, 3)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_random_points_have_no_power_but_shot_noise(dimension, window, interlaced):
    grid = 32 if dimension == 2 else 16
    spectra = [
        particle_spectrum(
            uniform(3000, dimension, seed), grid, BOX, window=window, interlaced=interlaced
        )
        for seed in range(60)
    ]
    power = np.array([s.power for s in spectra])
    error = power.std(axis=0, ddof=1) / np.sqrt(len(spectra))
    # fifteen bins: one beyond 4 sigma in a thousand runs, and the seeds are fixed
    assert (np.abs(power.mean(axis=0)) < 4 * error).all()
    assert (error < 0.1 * spectra[0].shot_noise).all()


def test_interlaced_tsc_is_right_to_half_a_per_cent_at_half_the_nyquist_wavenumber(clustered):
    coarse = particle_spectrum(clustered, 32, BOX)
    fine = particle_spectrum(clustered, 64, BOX)
    below = coarse.k <= 0.5 * np.pi * 32 / BOX
    ratio = coarse.power[below] / fine.power[: below.sum()]
    assert below.sum() == 7
    np.testing.assert_allclose(ratio, 1, atol=0.005)


def test_what_is_not_interlaced_keeps_the_nearest_images(clustered):
    fine = particle_spectrum(clustered, 64, BOX).power[13]
    off = {
        interlaced: abs(
            particle_spectrum(clustered, 32, BOX, interlaced=interlaced).power[13] / fine - 1
        )
        for interlaced in (False, True)
    }
    assert off[False] > 3 * off[True]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_painted_wave_gets_its_amplitude_back(window, interlaced):
    points = lattice(128, 2)
    weights = 1 + 0.3 * np.cos(2 * np.pi / BOX * (5 * points[:, 0] + 3 * points[:, 1]))
    found = particle_spectrum(
        points, 16, BOX, [5.5, 6], window=window, interlaced=interlaced, weights=weights
    )
    amplitude = ((found.power + found.shot_noise) * found.modes).sum() / BOX**2
    # eight points a cell instead of a continuum: their own images
    off = {"ngp": 0.03, "cic": 0.01, "tsc": 1e-3, "pcs": 1e-3}[window]
    assert amplitude == pytest.approx(2 * 0.15**2, rel=off)


def test_a_field_with_its_window_and_particles_is_the_same_without_interlacing():
    points = uniform(5000, 3)
    for window in WINDOWS:
        field = paint(points, 16, BOX, window)
        there = power_spectrum(field, BOX, window=window, particles=len(points))
        here = particle_spectrum(points, 16, BOX, window=window, interlaced=False)
        np.testing.assert_allclose(there.power, here.power, rtol=1e-10)
        np.testing.assert_allclose(there.shot_noise, here.shot_noise, rtol=1e-12)
        raw = power_spectrum(field, BOX, window=window)
        assert raw.shot_noise is None
        np.testing.assert_allclose(raw.power, there.power + there.shot_noise, rtol=1e-12)


def test_splitting_every_particle_in_two_changes_nothing():
    points = uniform(2000, 3)
    whole = particle_spectrum(points, 16, BOX)
    weights = np.full(4000, 0.5)
    halves = particle_spectrum(np.concatenate([points, points]), 16, BOX, weights=weights)
    total = whole.power + whole.shot_noise
    np.testing.assert_allclose(halves.power + halves.shot_noise, total, rtol=1e-6)  # float32
    np.testing.assert_allclose(halves.shot_noise, whole.shot_noise / 2, rtol=1e-12)


def test_whole_numbers_are_positions_like_any_other():
    points = np.random.default_rng(1).integers(0, 64, (2000, 3))
    here, there = (particle_spectrum(p, 32, 64.0) for p in (points, points.astype(np.float64)))
    np.testing.assert_array_equal(here.power, there.power)


def test_the_error_of_a_bin_knows_the_shot_noise():
    found = particle_spectrum(uniform(500, 3), 8, BOX)
    total = found.power + found.shot_noise
    np.testing.assert_allclose(found.error, total * np.sqrt(2 / found.modes), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: particle_spectrum(np.zeros((5, 1)), 8, BOX), LayoutError, r"give \(n, 2\)"),
        (lambda: particle_spectrum(uniform(5, 3), 8, -BOX), RecipeError, "box_size = -100"),
        (
            lambda: particle_spectrum(uniform(5, 3), 8, BOX, window="cloud"),
            RecipeError,
            "unknown mass assignment",
        ),
        (lambda: particle_spectrum(np.empty((0, 3)), 8, BOX), RecipeError, "no mass to paint"),
        (
            lambda: power_spectrum(np.ones((8, 8)), BOX, particles=10),
            RecipeError,
            "give how many there are and how they were painted",
        ),
        (
            lambda: power_spectrum(np.ones((8, 8)), BOX, window="cic", particles=0),
            RecipeError,
            "particles = 0, window = cic",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
