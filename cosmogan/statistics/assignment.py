"""What mass assignment does to the spectrum of particles on a grid, mode by mode.

A window W smooths the density, and the grid adds the images of higher wavenumbers (Jing 2005, ApJ 620,
559)::

    P_grid(k) = sum_n W^2(k + 2 k_N n) P(k + 2 k_N n) + (V / N) C(k),    W(k) = prod_i sinc^p(pi k_i / 2 k_N)

with p = 1, 2, 3, 4 for ngp, cic, tsc, pcs, and the aliased shot noise C = prod_i c(k_i) of closed form
(Jing 2005, eq. 20). Interlacing two grids half a cell apart keeps the images with an even sum of n
alone (Hockney & Eastwood 1981, section 7-8; Sefusatti et al. 2016, arXiv:1512.07295), and so of the
shot noise::

    C(k) = (prod_i c(k_i) + prod_i c'(k_i)) / 2,    c'(k) = sum_n (-1)^n W^2(k + 2 k_N n)

What remains after dividing by W^2 and subtracting shot noise are the images of the signal itself.
"""

import numpy as np
from numpy.typing import NDArray

from cosmogan.mesh import order_of, window_transform
from cosmogan.statistics.shells import Shells

Float64 = NDArray[np.float64]

_ALIASED = {
    "ngp": (1.0,),
    "cic": (1.0, -2 / 3),
    "tsc": (1.0, -1.0, 2 / 15),
    "pcs": (1.0, -4 / 3, 2 / 5, -4 / 315),
}
"""Coefficients of c in powers of sin^2(pi k / 2 k_N)."""
_ALTERNATING = {
    "ngp": (1.0,),
    "cic": (5 / 6, 1 / 6),
    "tsc": (61 / 120, 58 / 120, 1 / 120),
    "pcs": (1385 / 5040, 3111 / 5040, 543 / 5040, 1 / 5040),
}
"""Coefficients of c' / cos x in powers of cos^2 x, x = pi k / 2 k_N."""


def window_squared(grid: int, window: str | None) -> Float64:
    """Return W^2 along an axis, (grid // 2 + 1,), for n = 0, 1, ... [fundamental]; ones for None.

    Raises
    ------
    RecipeError
        If the window is unknown.
    """
    k: Float64 = 2 * np.pi / grid * np.arange(grid // 2 + 1, dtype=np.float64)
    if window is None:
        return np.ones(k.size)
    squared: Float64 = window_transform([k], 1.0, window) ** 2
    return squared


def shot_noise(grid: int, window: str, *, interlaced: bool) -> list[tuple[float, Float64]]:
    """Return the shot noise of a grid as a sum of products over the axes.

    Parameters
    ----------
    grid : int
        Cells per side.
    window : {"ngp", "cic", "tsc", "pcs"}
        Mass assignment.
    interlaced : bool
        Whether two grids, half a cell apart, were averaged.

    Returns
    -------
    list of (factor, (grid // 2 + 1,) ndarray)
        C(k) = sum over the list of factor times the product of table[abs(n_i)] over the axes.
    """
    order_of(window)
    x = np.pi * np.arange(grid // 2 + 1) / grid
    aliased = np.polynomial.polynomial.polyval(np.sin(x) ** 2, _ALIASED[window])
    if not interlaced:
        return [(1.0, aliased)]
    cosine = np.cos(x)
    alternating = cosine * np.polynomial.polynomial.polyval(cosine**2, _ALTERNATING[window])
    return [(0.5, aliased), (0.5, alternating)]


def mean_of_product(found: Shells, grid: int, dimension: int, table: Float64) -> Float64:
    """Average the product of table[abs(n_i)] over the axes over the modes of each shell: (b,)."""
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    weight = np.bincount(n) * table
    square = np.arange(grid // 2 + 1) ** 2
    planes = [(0, 1.0)] if dimension == 2 else zip(square.tolist(), weight.tolist(), strict=True)
    sums = np.zeros(len(found.modes) + 1)
    for offset, factor in planes:
        shell = found.of_square[np.add.outer(square, square) + offset]
        product = np.multiply.outer(weight, weight).ravel()
        sums += factor * np.bincount(shell.ravel(), product, minlength=sums.size)
    mean: Float64 = sums[:-1] / found.modes
    return mean
