"""Laws of mass-assignment windows and aliased shot noise."""

import itertools

import numpy as np
import pytest

from cosmogan.errors import RecipeError
from cosmogan.mesh import ORDERS, window_transform
from cosmogan.statistics.assignment import mean_of_product, shot_noise, window_squared
from cosmogan.statistics.power import default_edges
from cosmogan.statistics.shells import shells

WINDOWS = list(ORDERS)


def images(grid, window, sign, reach):
    """Return the sum over images of W^2, every other one with `sign`, along an axis."""
    n = np.arange(grid // 2 + 1)
    j = np.arange(-reach, reach + 1)
    squared = np.sinc((n[:, None] + j * grid) / grid) ** (2 * ORDERS[window])
    return (sign ** np.abs(j) * squared).sum(axis=1)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_window_is_that_of_the_mesh(window):
    k = np.arange(17) * 2 * np.pi / 64  # cells of 2 in a box of 64
    expected = window_transform([k], 2.0, window) ** 2
    np.testing.assert_allclose(window_squared(32, window), expected, rtol=1e-12)


def test_without_a_window_nothing_is_divided_out():
    np.testing.assert_array_equal(window_squared(8, None), np.ones(5))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("grid", [16, 17])
def test_aliased_shot_noise_is_the_sum_over_all_images(grid, window):
    ((_, plain),) = shot_noise(grid, window, interlaced=False)
    (_, same), (_, alternating) = shot_noise(grid, window, interlaced=True)
    reach = 20_000  # the images of ngp fall with the square alone: the sum is short by 1 / reach
    np.testing.assert_allclose(plain, images(grid, window, 1, reach), rtol=3e-5)
    np.testing.assert_array_equal(same, plain)
    np.testing.assert_allclose(alternating, images(grid, window, -1, reach), atol=1e-8)


@pytest.mark.parametrize("window", WINDOWS)
def test_interlacing_keeps_the_images_with_an_even_sum(window):
    grid, reach = 8, 400
    j = np.arange(-reach, reach + 1)
    n = np.array([0, 1, 3])
    one = [np.sinc((i + j * grid) / grid) ** (2 * ORDERS[window]) for i in n]
    even = (np.add.outer(j, j) % 2) == 0
    expected = [(np.multiply.outer(a, b)[even]).sum() for a, b in itertools.product(one, one)]
    parts = shot_noise(grid, window, interlaced=True)
    found = [sum(f * t[a] * t[b] for f, t in parts) for a, b in itertools.product(n, n)]
    # the images that are left out
    np.testing.assert_allclose(found, expected, rtol=3e-3 if window == "ngp" else 1e-6)


@pytest.mark.parametrize(("dimension", "grid"), [(2, 12), (2, 13), (3, 8), (3, 9)])
def test_the_mean_of_a_product_is_that_over_all_modes(dimension, grid):
    found = shells(grid, dimension, default_edges(grid))
    table = np.random.default_rng(1).random(grid // 2 + 1)
    n = np.abs(np.round(np.fft.fftfreq(grid, 1 / grid))).astype(int)
    axes = np.meshgrid(*[n] * dimension, indexing="ij")
    shell = found.of_square[sum(axis**2 for axis in axes)]
    product = np.prod([table[axis] for axis in axes], axis=0)
    expected = [product[shell == i].mean() for i in range(len(found.modes))]
    np.testing.assert_allclose(mean_of_product(found, grid, dimension, table), expected, rtol=1e-12)


@pytest.mark.parametrize("call", [window_squared, lambda g, w: shot_noise(g, w, interlaced=True)])
def test_an_unknown_window_is_refused(call):
    with pytest.raises(RecipeError, match="'cloud': unknown mass assignment; use one of ngp, cic"):
        call(16, "cloud")
