"""Laws of the forces on the mesh."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cosmogan.mesh import interpolate, paint
from cosmogan.simulate import gravity

meshes = pytest.mark.parametrize(("mesh", "particles"), [(16, 16), (16, 8), (8, 16)])


def scattered(count, n, seed=1):
    return np.random.default_rng(seed).uniform(0, n, (count, 3)).astype(np.float32)


def force_on(positions, field, order):
    """Return the force gathered at each particle: the kick of particles at rest."""
    moved, kicks = positions.copy(), np.zeros_like(positions)
    with ThreadPoolExecutor(1) as pool:
        gravity.Mover(moved, kicks, order, pool, 1)(field, 0.0, 1.0, 0.0)
    np.testing.assert_array_equal(moved, positions)
    return kicks


@meshes
def test_forces_add_up_to_nothing(mesh, particles):
    positions = scattered(particles**3, mesh)
    order = gravity.window_order(mesh, particles)
    forces = force_on(positions, gravity.Gravity(mesh, particles)(positions), order)
    total = forces.sum(axis=0, dtype=np.float64) / np.abs(forces).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(total, 0, atol=1e-6)  # float32 rounding, averaged


@meshes
def test_a_particle_does_not_pull_itself(mesh, particles):
    alone = np.array([[3.3, 5.9, 0.2]], dtype=np.float32)
    order = gravity.window_order(mesh, particles)
    field = gravity.Gravity(mesh, particles)(alone)
    other = force_on(alone + np.float32(1.5), field, order)
    assert np.abs(force_on(alone, field, order)).max() < 1e-4 * np.abs(other).max()


@pytest.mark.parametrize("particles", [48, 24])
@pytest.mark.parametrize("distance", [4.0, 6.0])
def test_particles_attract_as_the_inverse_square(particles, distance):
    """On the mean over places and directions, which a mesh tells apart; 60 pairs: 2 %."""
    n, random = 48, np.random.default_rng(3)
    order, pull = gravity.window_order(n, particles), gravity.Gravity(n, particles)
    radial = []
    for _ in range(60):
        way = random.standard_normal(3)
        way /= np.linalg.norm(way)
        start = random.uniform(0, n, 3)
        pair = (np.array([start, start + distance * way]) % n).astype(np.float32)
        one, other = force_on(pair, pull(pair), order)
        radial.append((one - other) @ way / 2)
    # The other's mass over 4 pi r^2, less that of the background around it.
    expected = (n / particles) ** 3 * (1 / (4 * np.pi * distance**2) - distance / (3 * n**3))
    assert np.mean(radial) == pytest.approx(expected, rel=0.05)


@meshes
def test_the_lattice_starts_on_grid_points_for_tsc_and_between_them_for_cic(mesh, particles):
    first = 0.5 * mesh / particles + gravity.lattice_offset(mesh, particles)
    spacing = mesh / particles
    places = (first + spacing * np.arange(particles)) % 1
    if spacing == 0.5:  # two in a cell, alike to both sides
        np.testing.assert_allclose(np.unique(places), [0.25, 0.75])
    else:
        assert set(places) == {0.0 if gravity.window_order(mesh, particles) == 3 else 0.5}


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
        assert kernel[1, 0, 0] * k**2 == pytest.approx(-1, rel=5e-3)
        assert (kernel.ravel()[1:] < 0).all()


@pytest.mark.parametrize(("order", "window"), [(2, "cic"), (3, "tsc")])
def test_deposit_is_paint_about_whole_numbers(order, window):
    positions = np.vstack([scattered(200, 8), [[7.999, 0.0, 7.5]]]).astype(np.float32)
    density = np.zeros((8, 8, 8), dtype=np.float32)
    gravity.deposit(positions, np.float32(512 / 201), density, order)
    expected = paint(positions.astype(np.float64) + 0.5, 8, 8.0, window)
    np.testing.assert_allclose(density, expected, atol=1e-4)


@pytest.mark.parametrize(("order", "window"), [(2, "cic"), (3, "tsc")])
def test_gather_is_interpolation_about_whole_numbers(order, window):
    positions = scattered(200, 8)
    field = np.random.default_rng(4).standard_normal((8, 8, 8, 3), dtype=np.float32)
    found = force_on(positions, field, order)
    for axis in range(3):
        expected = interpolate(field[..., axis], positions + 0.5, 8.0, window)
        np.testing.assert_allclose(found[:, axis], expected, atol=2e-5)


def test_wrapped_positions_never_reach_the_far_side():
    x = np.array([[-1e-9, 8.0, 25.0], [-8.0, 7.5, -0.5]], dtype=np.float32)
    gravity.wrap(x, 8)
    np.testing.assert_array_equal(x, np.array([[0, 0, 1], [0, 7.5, 7.5]], dtype=np.float32))


def test_however_far_a_particle_moves_it_stays_in_the_box():
    positions, velocities = scattered(100, 8), scattered(100, 1000, seed=2) - np.float32(500)
    with ThreadPoolExecutor(1) as pool:
        force = np.zeros((8, 8, 8, 3), dtype=np.float32)
        gravity.Mover(positions, velocities, 3, pool, 1)(force, 1.0, 0.0, 1.0)
    assert (positions >= 0).all()
    assert (positions < 8).all()
