"""Laws of the forces on the mesh."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cosmogan.simulate import gravity


def scattered(count, n, seed=1):
    return np.random.default_rng(seed).uniform(0, n, (count, 3)).astype(np.float32)


def force_on(positions, field):
    """Return the force gathered at each particle: the kick of particles at rest."""
    moved, kicks = positions.copy(), np.zeros_like(positions)
    with ThreadPoolExecutor(1) as pool:
        gravity.Mover(moved, kicks, pool, 1)(field, 0.0, 1.0, 0.0)
    np.testing.assert_array_equal(moved, positions)
    return kicks


@pytest.mark.parametrize(("mesh", "particles"), [(16, 16), (16, 8), (8, 16)])
def test_forces_add_up_to_nothing(mesh, particles):
    positions = scattered(particles**3, mesh)
    forces = force_on(positions, gravity.Gravity(mesh, particles)(positions))
    total = forces.sum(axis=0, dtype=np.float64) / np.abs(forces).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(total, 0, atol=1e-6)  # float32 rounding, averaged


def test_a_particle_does_not_pull_itself():
    alone = np.array([[3.3, 7.9, 0.2]], dtype=np.float32)
    field = gravity.Gravity(16, 16)(alone)
    other = force_on(alone + 1, field)
    assert np.abs(force_on(alone, field)).max() < 1e-4 * np.abs(other).max()


def test_two_particles_attract_as_the_inverse_square():
    """By the difference of two distances: uniform background and images then almost cancel."""
    n = 64

    def pull(distance):
        pair = np.array([[20.0, 20.0, 20.0], [20.0 + distance, 20.0, 20.0]], dtype=np.float32)
        field = gravity.Gravity(n, n)(pair)
        return force_on(pair, field)[0, 0] + distance * background

    background = 1 / 3  # laplace(phi) = delta of one unit mass a cell: -1 / n^3 each, times n^3 / 2
    background *= 2 / n**3 / 2
    for distance in (6.0, 9.0):
        assert pull(distance) == pytest.approx(1 / (4 * np.pi * distance**2), rel=0.03)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gradient_of_a_wave_is_of_fourth_order(axis):
    n, k = 32, 2 * np.pi / 32 * 3
    x = np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
    potential = np.broadcast_to(np.cos(k * x), (n, n, n)).astype(np.float32)
    force = np.empty((n, n, n, 3), dtype=np.float32)
    gravity.downhill(potential, force)
    expected = k * (1 - k**4 / 30) * np.sin(k * x)
    np.testing.assert_allclose(force[..., axis], expected + 0 * potential, atol=5e-4 * k)
    np.testing.assert_allclose(np.delete(force, axis, axis=-1), 0, atol=1e-6)


def test_the_kernel_is_the_inverse_laplacian_on_large_scales():
    for mesh, particles in ((64, 64), (64, 32)):
        kernel = gravity.poisson_kernel(mesh, particles)
        k = 2 * np.pi / mesh
        assert kernel[0, 0, 0] == 0
        assert kernel[1, 0, 0] * k**2 == pytest.approx(-1, rel=2e-3)
        assert (kernel.ravel()[1:] < 0).all()


def test_deposit_keeps_the_mass_and_wraps():
    positions = np.array([[7.75, 7.5, 0.0], [0.0, 3.0, 7.999]], dtype=np.float32)
    density = np.zeros((8, 8, 8), dtype=np.float32)
    gravity.deposit(positions, np.float32(2), density)
    assert density.sum() == pytest.approx(4, rel=1e-6)
    assert density[0, 0, 0] == pytest.approx(2 * 0.75 * 0.5, rel=1e-6)


def test_wrapped_positions_never_reach_the_far_side():
    x = np.array([[-1e-9, 8.0, 25.0], [-8.0, 7.5, -0.5]], dtype=np.float32)
    gravity.wrap(x, 8)
    np.testing.assert_array_equal(x, np.array([[0, 0, 1], [0, 7.5, 7.5]], dtype=np.float32))


def test_however_far_a_particle_moves_it_stays_in_the_box():
    positions, velocities = scattered(100, 8), scattered(100, 1000, seed=2) - np.float32(500)
    with ThreadPoolExecutor(1) as pool:
        force = np.zeros((8, 8, 8, 3), dtype=np.float32)
        gravity.Mover(positions, velocities, pool, 1)(force, 1.0, 0.0, 1.0)
    assert (positions >= 0).all()
    assert (positions < 8).all()
