"""Kernels of the particle-mesh code, each beside the bare FFT of its mesh.

Run with ``pytest benchmarks/test_mesh.py --benchmark-enable``; in the test suite each runs once.
"""

import time

import numpy as np
import pytest
import scipy.fft

from cosmogan import mesh
from cosmogan.cosmology import Cosmology
from cosmogan.initial import displacements, linear_modes
from cosmogan.simulate.evolution import Evolution, evolve
from cosmogan.simulate.gravity import Gravity

GRID, BOX = 64, 100.0


@pytest.fixture
def clock(benchmark):
    """Return the benchmark, set to CPU time: that of other users of the machine does not count."""
    benchmark._timer = time.process_time
    benchmark.group = f"{GRID}^3"
    return benchmark


@pytest.fixture(scope="module")
def particles():
    """Return a lattice scattered by a cell or so, in its order, as a simulation keeps it."""
    centres = (np.indices((GRID,) * 3).reshape(3, -1).T + 0.5) * BOX / GRID
    scatter = mesh.white_noise_cells(1, (GRID**3, 3)) * BOX / GRID
    return ((centres + scatter) % BOX).astype(np.float32)


@pytest.fixture(scope="module")
def modes():
    return linear_modes(1, GRID, BOX, lambda k: 100 / (1 + (k / 0.1) ** 2))


def test_bare_fft(clock):
    clock(scipy.fft.rfftn, mesh.white_noise_cells(2, (GRID,) * 3))


@pytest.mark.parametrize("window", list(mesh.ORDERS))
def test_paint(clock, particles, window):
    density = clock(mesh.paint, particles, GRID, BOX, window)
    assert density.mean(dtype=np.float64) == pytest.approx(1, rel=1e-6)


def test_white_noise_modes(clock):
    assert np.isfinite(clock(mesh.white_noise_modes, 3, GRID)).all()


def test_white_noise_cells(clock):
    assert clock(mesh.white_noise_cells, 3, (GRID,) * 3).shape == (GRID,) * 3


def test_second_order_displacements(clock, modes):
    first, second = clock(displacements, modes, BOX)
    assert first.shape == second.shape == (GRID**3, 3)


@pytest.mark.parametrize("finer", [1, 2])
def test_gravity(clock, particles, finer):
    cells = particles * np.float32(finer * GRID / BOX) % np.float32(finer * GRID)
    force = clock(Gravity(finer * GRID, GRID), cells)
    assert np.isfinite(force).all()


def test_two_steps_of_a_box(clock):
    run = Evolution(box_size=BOX, particles=GRID, mesh=GRID, steps=2)
    clock(lambda: next(evolve(Cosmology(), 1, run, lambda k: 100 / (1 + (k / 0.1) ** 2))))
