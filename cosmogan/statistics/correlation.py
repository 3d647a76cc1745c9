"""The two-point correlation function of periodic fields: two FFTs and one sweep over separations.

With delta the field less its own mean, for a shell of separations d::

    xi(r) = mean over d and over all cells x of delta(x) delta(x + d)        [1]

|FFT(delta)|^2 transformed back holds the mean over x of every d at once (Wiener-Khinchin), so that
nothing is drawn or binned twice. A separation is the shortest of its periodic images, a vector of
integers as a mode is, and falls into the shells of `shells` by its integer square. The mean is that
of the field itself, of a slice too: overdensity and density over mean give the same, and the sum of
xi over all separations, none included, is zero. xi is that of the grid: neither the mass-assignment
window nor shot noise is taken out. xi at 0 is the variance.
"""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError
from cosmogan.statistics.shells import Edges, Fields, Modes, shells, stack

Correlations = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]

_CHUNK_CELLS = 1 << 18


@dataclass(frozen=True, eq=False)
class CorrelationFunction:
    """Correlation in shells of separation."""

    r: NDArray[np.float64]
    """(b,) mean |d| of the separations of a shell [Mpc/h]."""
    xi: NDArray[np.float64]
    """(b,) mean of delta(x) delta(x + d) over these separations and all cells."""
    pairs: NDArray[np.int64]
    """(b,) how many separations, d and -d both counted; each is that of N^d pairs of cells."""
    variance: float
    """Mean of delta^2 over the cells: xi of no separation, which no shell holds."""


def correlation_function(
    delta: ArrayLike, box_size: float, edges: Edges | None = None
) -> CorrelationFunction:
    """Measure the two-point correlation function of one periodic field.

    Parameters
    ----------
    delta : (N, N) or (N, N, N) array_like
        Overdensity, or density over mean; its own mean is taken off. From float32, xi is good to
        1e-6 of the variance.
    box_size : float
        Side L of the box [Mpc/h].
    edges : (b + 1,) array_like, optional
        Edges of the shells, edges[i] <= |d| < edges[i + 1] [cells]. Default: the integers from 1 to
        N // 2; beyond half the box a shell is cut by the faces, and one separation has several images.

    Returns
    -------
    CorrelationFunction
        In two dimensions that of the slice, and not a cut through the three-dimensional one.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If the box size or the edges make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> board = np.indices((8, 8)).sum(axis=0) % 2
    >>> found = correlation_function(board, box_size=8.0, edges=[1, 1.2, 1.5])
    >>> np.round(found.xi / found.variance, 6)  # side by side, and across a corner
    array([-1.,  1.])
    """
    r, xi, pairs, variance = _measure(np.asarray(delta)[None], box_size, edges)
    return CorrelationFunction(r, xi[0], pairs, float(variance[0]))


def correlation_functions(
    fields: ArrayLike, box_size: float, edges: Edges | None = None
) -> Correlations:
    """Measure the two-point correlation functions of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean, one field on each row of the first axis.
    box_size, edges
        As in `correlation_function`.

    Returns
    -------
    r : (b,) ndarray
        Mean |d| of the separations of a shell [Mpc/h].
    xi : (n, b) ndarray
        Mean of delta(x) delta(x + d), one row a field.
    pairs : (b,) ndarray of int
        How many separations, d and -d both counted.

    Raises
    ------
    LayoutError, RecipeError
        As in `correlation_function`.
    """
    r, xi, pairs, _ = _measure(fields, box_size, edges)
    return r, xi, pairs


def default_edges(grid: int) -> NDArray[np.float64]:
    """Return the integers from 1 to grid // 2 [cells]."""
    return np.arange(1.0, grid // 2 + 1)


def _measure(
    fields: ArrayLike, box_size: float, edges: Edges | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return r (b,), xi (n, b), pairs (b,) and variance (n,)."""
    stacked = stack(fields, box_size)
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    planes = grid ** (dimension - 2)  # a square is one plane deep
    solids = stacked.reshape(len(stacked), planes, grid, grid)
    step = max(1, _CHUNK_CELLS // solids[0].size)
    sums = np.empty((len(solids), len(found.modes) + 1))
    variance = np.empty(len(solids))
    for start in range(0, len(solids), step):
        part = slice(start, start + step)
        products = _mean_products(solids[part])
        _sweep(products, found.of_square, sums[part])
        variance[part] = products[:, 0, 0, 0]
    if not np.isfinite(sums).all():
        bad = int(np.argmin(np.isfinite(sums).all(axis=1)))
        raise LayoutError(
            f"field {bad} holds a value that is not finite, or whose square is not; make it again"
        )
    xi = sums[:, :-1] / found.modes
    return found.length * (box_size / grid), xi, found.modes.copy(), variance


def _mean_products(fields: Fields) -> Fields:
    """Return the mean over x of delta(x) delta(x + d) at every d of each field, (n, planes, N, N)."""
    axes = (1, 2, 3) if fields.shape[1] > 1 else (2, 3)
    modes: Modes = scipy.fft.rfftn(fields, axes=axes, norm="forward")
    modes[:, 0, 0, 0] = 0  # the mean
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out tells
        np.multiply(modes, modes.conj(), out=modes)
    shape = [fields.shape[axis] for axis in axes]
    products: Fields = scipy.fft.irfftn(modes, shape, axes, norm="forward", overwrite_x=True)
    return products


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(products: Fields, of_square: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Sum by shell over the separations (x, y, z) of each field.

    d and -d have one product, so half of the last axis is enough. Two sums take turns, as in `power`.
    """
    fields, planes, rows, columns = products.shape
    last = columns // 2
    sums = np.empty((2, out.shape[1]))
    for i in range(fields):
        sums[:] = 0.0
        for x in range(planes):
            for y in range(rows):
                square = min(x, planes - x) ** 2 + min(y, rows - y) ** 2
                for z in range(last + 1):
                    images = 1.0 if z == 0 or 2 * z == columns else 2.0
                    sums[z & 1, of_square[square + z * z]] += images * products[i, x, y, z]
        for shell in range(out.shape[1]):
            out[i, shell] = sums[0, shell] + sums[1, shell]
