"""Laws of mass assignment, windows, wavenumbers and white noise."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan import mesh
from cosmogan.errors import RecipeError

BOX = 100.0
few = settings(max_examples=15, deadline=None)
windows = pytest.mark.parametrize("window", list(mesh.ORDERS))


def scattered(count, dimension, seed=1, box=BOX):
    return np.random.default_rng(seed).uniform(0, box, (count, dimension))


@few
@given(
    window=st.sampled_from(list(mesh.ORDERS)),
    cells=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_paint_conserves_mass_on_any_grid(window, cells, seed):
    sides = tuple(10.0 + n for n in cells)
    random = np.random.default_rng(seed)
    positions = random.uniform(-30, 60, (40, len(cells)))
    density = mesh.paint(positions, tuple(cells), sides, window, random.uniform(0, 2, 40))
    assert density.shape == tuple(cells)
    assert density.dtype == np.float32
    assert density.mean(dtype=np.float64) == pytest.approx(1, rel=1e-6)  # float32 rounding


@windows
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_interpolate_is_the_adjoint_of_paint(window, dimension):
    positions = scattered(200, dimension)
    random = np.random.default_rng(2)
    weights, field = random.uniform(0, 1, 200), random.standard_normal((6,) * dimension)
    painted = mesh.paint(positions, 6, BOX, window, weights).astype(np.float64)
    read = mesh.interpolate(field, positions, BOX, window)
    scale = weights.sum() / field.size
    assert weights @ read == pytest.approx(scale * (field * painted).sum(), abs=1e-5)


@windows
def test_a_shift_by_whole_cells_rolls_the_field(window):
    positions = scattered(300, 3)
    shifted = positions + np.array([2, -3, 5]) * BOX / 8
    rolled = np.roll(mesh.paint(positions, 8, BOX, window), (2, -3, 5), axis=(0, 1, 2))
    np.testing.assert_allclose(mesh.paint(shifted, 8, BOX, window), rolled, atol=1e-5)


@windows
def test_the_order_of_particles_does_not_matter(window):
    positions = scattered(500, 3)
    turned = mesh.paint(positions[::-1], 8, BOX, window)
    np.testing.assert_allclose(turned, mesh.paint(positions, 8, BOX, window), rtol=1e-6)


@windows
def test_a_flat_painting_is_the_projection_of_a_deep_one(window):
    positions = scattered(300, 3)
    deep = mesh.paint(positions, (4, 6, 5), BOX, window)
    flat = mesh.paint(positions[:, 1:], (6, 5), BOX, window)
    np.testing.assert_allclose(deep.mean(axis=0), flat, rtol=1e-5)


@windows
def test_a_lattice_paints_a_uniform_field(window):
    centres = (np.indices((8, 8, 8)).reshape(3, -1).T + 0.3) * BOX / 8
    np.testing.assert_allclose(mesh.paint(centres, 8, BOX, window), 1, rtol=1e-6)


def test_a_particle_at_a_centre_stays_in_its_cell():
    for window in ("ngp", "cic"):
        density = mesh.paint([[2.5, 0.5, 3.5]], 4, 4.0, window)
        assert density[2, 0, 3] == 64
        assert density.sum() == 64


def test_nearest_cell_counts_are_a_histogram():
    positions = scattered(1000, 2)
    counts, *_ = np.histogram2d(*positions.T, bins=(5, 10), range=[[0, BOX]] * 2)
    density = mesh.paint(positions, (5, 10), BOX, "ngp")
    np.testing.assert_allclose(density, counts * 50 / 1000, rtol=1e-6)


@windows
def test_float32_positions_paint_the_same(window):
    positions = scattered(500, 3).astype(np.float32)
    double = mesh.paint(positions.astype(np.float64), 8, BOX, window)
    np.testing.assert_array_equal(mesh.paint(positions, 8, BOX, window), double)


@windows
def test_the_transform_of_one_particle_is_the_window(window):
    """Averaged over 64 places in a cell: all aliases but those of order 64 then cancel."""
    grid, places = 16, (np.arange(64) + 0.5) / 64
    (n,) = mesh.frequencies(grid, 1)
    total = np.zeros(len(n), dtype=complex)
    for x in 3 + places:
        modes = scipy.fft.rfft(mesh.paint([[x]], grid, float(grid), window) / grid)
        total += modes * np.exp(2j * np.pi / grid * n * (x - 0.5))
    k = mesh.wavenumbers(grid, float(grid), 1)
    expected = mesh.window_transform(k, 1.0, window)
    np.testing.assert_allclose(total.real / 64, expected, atol=5e-3 if window == "ngp" else 1e-4)
    np.testing.assert_allclose(total.imag, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "aliased"),
    [
        ("ngp", lambda s: np.ones_like(s)),
        ("cic", lambda s: 1 - 2 / 3 * s),
        ("tsc", lambda s: 1 - s + 2 / 15 * s**2),
        ("pcs", lambda s: 1 - 4 / 3 * s + 2 / 5 * s**2 - 4 / 315 * s**3),
    ],
)
def test_shot_noise_is_aliased_as_jing_found(window, aliased):
    """Jing (2005), eq. 20: the power of one particle, over its place in a cell, sums the aliases."""
    grid, places = 16, (np.arange(64) + 0.5) / 64
    fields = [mesh.paint([[5 + x]], grid, 16.0, window) / grid for x in places]
    power = np.mean(np.abs(scipy.fft.rfft(fields)) ** 2, axis=0)
    (n,) = mesh.frequencies(grid, 1)
    np.testing.assert_allclose(power, aliased(np.sin(np.pi * n / grid) ** 2), atol=2e-4)


def test_window_at_nyquist_is_the_textbooks():
    k = (np.array([np.pi]), np.array([0.0]))
    for window, order in mesh.ORDERS.items():
        assert mesh.window_transform(k, 1.0, window)[0] == pytest.approx((2 / np.pi) ** order)


@pytest.mark.parametrize("cells", [(8,), (7, 8), (4, 5, 6)])
def test_wavenumbers_stand_where_rfftn_puts_them(cells):
    sides = tuple(3.0 * n for n in range(1, len(cells) + 1))
    x = np.meshgrid(
        *[np.arange(n) * s / n for n, s in zip(cells, sides, strict=True)], indexing="ij"
    )
    mode = (1,) * len(cells)
    k = [
        float(c[tuple(np.minimum(mode, np.array(c.shape) - 1))])
        for c in mesh.wavenumbers(cells, sides)
    ]
    wave = np.cos(sum(ki * xi for ki, xi in zip(k, x, strict=True)))
    modes = scipy.fft.rfftn(wave)
    assert abs(modes[mode]) == pytest.approx(wave.size / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mesh.paint(scattered(5, 3), 8, BOX, "cloud"), "use one of ngp, cic, tsc, pcs"),
        (lambda: mesh.paint(scattered(5, 4), 8, BOX), r"shape \(5, 4\)"),
        (lambda: mesh.paint(scattered(5, 3), (8, 8), BOX), "in 3 dimensions"),
        (lambda: mesh.paint(scattered(5, 3), 8, BOX, weights=[1.0]), "one for each"),
        (lambda: mesh.paint([[np.nan, 1.0]], 8, BOX), "NaN"),
        (lambda: mesh.paint(np.empty((0, 3)), 8, BOX), "no mass"),
        (lambda: mesh.white_noise_modes(-1, 8), "seed = -1"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(RecipeError, match=message):
        call()


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(counter, key, words):
    assert mesh.philox(*counter, *key) == words


@few
@given(
    grid=st.integers(2, 9),
    dimension=st.integers(1, 3),
    seed=st.integers(0, 2**63 - 1),
)
def test_noise_modes_belong_to_a_real_field(grid, dimension, seed):
    modes = mesh.white_noise_modes(seed, grid, dimension)
    field = scipy.fft.irfftn(modes, s=(grid,) * dimension)
    np.testing.assert_allclose(scipy.fft.rfftn(field), modes, atol=1e-5 * grid ** (dimension / 2))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_finer_grid_adds_modes_and_changes_none(dimension):
    def inner(grid):
        modes = mesh.white_noise_modes(7, grid, dimension) / grid ** (dimension / 2)
        return modes[np.ix_(*[np.r_[0:5, -4:0]] * (dimension - 1), np.r_[0:5])]

    for grid in (11, 16, 24):
        np.testing.assert_allclose(inner(grid), inner(10), rtol=1e-6)


def test_noise_is_white_gaussian_and_of_unit_variance():
    modes = mesh.white_noise_modes(3, 64) / 64**1.5
    assert not modes[32].any()
    assert not modes[:, 32].any()
    assert not modes[:, :, 32].any()
    free = modes[:, :, 1:32][np.r_[0:32, 33:64]][:, np.r_[0:32, 33:64]]
    count = free.size  # independent complex modes
    power = np.abs(free) ** 2
    assert power.mean() == pytest.approx(1, abs=5 / np.sqrt(count))
    assert (power**2).mean() == pytest.approx(2, abs=5 * np.sqrt(20 / count))  # exponential
    assert free.real.var() == pytest.approx(0.5, abs=5 * np.sqrt(0.5 / count))
    assert abs((free**2).mean()) < 5 / np.sqrt(count)  # random phases
    for n in (4, 16, 28):  # flat: each plane alone
        plane = np.abs(free[n]) ** 2
        assert plane.mean() == pytest.approx(1, abs=5 / np.sqrt(plane.size))


def test_parseval():
    modes = mesh.white_noise_modes(5, 15)
    weight = np.full(modes.shape, 2.0)
    weight[..., 0] = 1
    field = scipy.fft.irfftn(modes.astype(complex), s=(15, 15, 15))
    assert (weight * np.abs(modes) ** 2).sum() / 15**3 == pytest.approx((field**2).sum(), rel=1e-6)


def test_seeds_and_streams_are_independent():
    noise = [
        mesh.white_noise_cells(seed, (32, 32, 32), stream=stream).ravel().astype(np.float64)
        for seed, stream in [(1, 0), (2, 0), (1, 1), (2**32 + 1, 0)]
    ]
    modes = mesh.white_noise_modes(1, 33)
    noise.append(scipy.fft.irfftn(modes, s=(33,) * 3).ravel()[: 32**3])
    correlation = np.corrcoef(noise) - np.eye(5)
    assert np.abs(correlation).max() < 5 / np.sqrt(32**3)


def test_cells_are_standard_normal_and_independent_of_their_neighbours():
    cells = mesh.white_noise_cells(9, (64, 64, 64)).astype(np.float64)
    error = 5 / np.sqrt(cells.size)
    assert abs(cells.mean()) < error
    assert abs(cells.var() - 1) < error * np.sqrt(2)
    assert abs((cells**3).mean()) < error * np.sqrt(15)
    assert abs((cells**4).mean() - 3) < error * np.sqrt(96)
    for axis in range(3):
        assert abs((cells * np.roll(cells, 1, axis)).mean()) < error


@few
@given(st.data())
def test_any_block_of_cells_is_cut_from_the_whole(data):
    dimension = data.draw(st.integers(1, 3))
    whole = mesh.white_noise_cells(11, (9,) * dimension, stream=4)
    origin = [data.draw(st.integers(0, 8)) for _ in range(dimension)]
    shape = [data.draw(st.integers(1, 9 - start)) for start in origin]
    block = mesh.white_noise_cells(11, shape, origin, stream=4)
    cut = tuple(slice(i, i + n) for i, n in zip(origin, shape, strict=True))
    np.testing.assert_array_equal(block, whole[cut])


def test_noise_has_the_same_bits_in_any_thread():
    alone = mesh.white_noise_modes(13, 24)
    with ThreadPoolExecutor(4) as pool:
        for modes in pool.map(mesh.white_noise_modes, [13] * 8, [24] * 8):
            np.testing.assert_array_equal(modes, alone)


@pytest.mark.parametrize("grid", [8, 9])
def test_half_a_cell_lies_between_corner_and_centre(grid):
    corners = np.arange(grid) / grid
    wave = [np.cos(2 * np.pi * 2 * (corners + shift) + 1) for shift in (0, 0.5 / grid)]
    modes = scipy.fft.rfft(wave[0])
    centred = scipy.fft.irfft(mesh.at_cell_centres(modes, grid), n=grid)
    np.testing.assert_allclose(centred, wave[1], atol=1e-12)


def test_a_second_process_finds_the_kernels_on_disk(tmp_path: Path) -> None:
    """Of those that close over another, every process would compile and keep a copy of its own."""
    work = (
        "import numpy as np; from cosmogan.mesh import *; x = np.ones((1, 3))\n"
        "for w in ORDERS: interpolate(paint(x, 4, 1.0, w), x, 1.0, w)"
    )
    kept = []
    for _ in range(2):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", work], env=environment, check=True)
        kept.append({path.name for path in tmp_path.rglob("*.nbc")})
    assert kept[0] == kept[1] != set()
