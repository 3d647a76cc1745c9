"""The correlation matrix of ln P over fields: how the bins of the power spectrum vary together.

Nonlinear growth makes neighbouring and distant bins rise and fall together, and an emulator that gets
mean and scatter of every bin may still miss that: forecasts then come out too optimistic. The matrix is
that of single fields, with simulations as the unit of every resample::

    C_ij = <l_i l_j> - <l_i> <l_j>        R_ij = C_ij / sqrt(C_ii C_jj)        l = ln P of a field

One number stands for it, the mean of R_ij over all pairs of different bins, and its ratio to that of the
simulations is judged. (Armijo, Thiele & Liu 2026, arXiv:2601.20669, find it a quarter low in flows.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.floor import Floor, Measured, measured
from cosmogan.compare.units import Array, draw_sides, draw_with_replacement
from cosmogan.statistics.table import StatisticsTable, average

_TINY = 1e-100


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """Means over the fields of each of n simulations of ln P in p bins, and of its products.

    Attributes
    ----------
    logs : (n, p) ndarray of float64
        Of ln P.
    products : (n, p, p) ndarray of float64
        Of the products of two bins.
    """

    logs: Array
    products: Array

    def __len__(self) -> int:
        return int(self.logs.shape[0])


@dataclass(frozen=True, kw_only=True)
class Correlated:
    """The correlation matrix of one data set and what it says against the simulations.

    Attributes
    ----------
    matrix : tuple of tuple of float
        R, row by row.
    ratio : Measured
        Its mean off-diagonal element over that of the simulations.
    """

    matrix: tuple[tuple[float, ...], ...]
    ratio: Measured


def multiply(table: StatisticsTable, columns: NDArray[np.intp]) -> Products:
    """Average ln P and its products over each simulation of a table, in some bins of the power."""
    logs = np.log(np.maximum(table["power"].samples[:, columns], _TINY))
    pairs = (logs[:, :, None] * logs[:, None, :]).reshape(len(logs), -1)
    products = average(pairs, table.simulation)
    bins = logs.shape[1]
    return Products(logs=average(logs, table.simulation), products=products.reshape(-1, bins, bins))


def correlation(of: Products, counts: Array | None = None) -> Array:
    """Return the correlation matrices (B, p, p) of B resamples of the simulations.

    Parameters
    ----------
    of : Products
        n simulations.
    counts : (B, n) ndarray, optional
        How often each is drawn; default each once.
    """
    weights = np.ones((1, len(of))) if counts is None else counts
    weights = weights / weights.sum(axis=1, keepdims=True)
    mean = weights @ of.logs
    second = np.einsum("bn,nij->bij", weights, of.products, optimize=True)
    covariance = second - mean[:, :, None] * mean[:, None, :]
    scatter = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), _TINY))
    matrix: Array = covariance / (scatter[:, :, None] * scatter[:, None, :])
    return matrix


def off_diagonal(matrix: Array) -> Array:
    """Return the mean of the elements of two different bins, of matrices (..., p, p)."""
    bins = matrix.shape[-1]
    trace = np.trace(matrix, axis1=-2, axis2=-1)
    mean: Array = (matrix.sum(axis=(-2, -1)) - trace) / (bins * (bins - 1))
    return mean


def weigh(
    candidate: Products,
    truth: Products,
    training: Products | None,
    rng: np.random.Generator,
    resamples: int,
) -> Correlated:
    """Set the correlations of a candidate against those of the simulations.

    Parameters
    ----------
    candidate, truth : Products
        The two sides.
    training : Products or None
        The simulations the candidate learned from: their own error is owed too.
    rng : Generator
        Draws the resamples.
    resamples : int
        How many.
    """
    sides = [candidate, truth, *([] if training is None else [training])]
    values = [float(off_diagonal(correlation(side))[0]) for side in sides]
    draws = [
        off_diagonal(correlation(side, draw_with_replacement(rng, resamples, len(side))))
        for side in sides
    ]
    above = draws[0] if training is None else draws[0] + draws[2] - values[2]
    value, resampled = _over(np.array(values[0]), np.array(values[1])), _over(above, draws[1])
    ratio = measured(float(value), resampled, min(map(len, sides)))
    return Correlated(matrix=as_rows(correlation(candidate)[0]), ratio=ratio)


def _over(above: Array, below: Array) -> Array:
    """Return a ratio; not a number where the simulations do not vary."""
    ratio: Array = above / np.where(below == 0, np.nan, below)
    return ratio


def as_rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    """Return a matrix as plain numbers."""
    return tuple(map(tuple, matrix.tolist()))


def floor(pool: Sequence[Products], like: Floor, rng: np.random.Generator) -> Floor:
    """Return how far apart the correlations of draws of simulations are.

    Parameters
    ----------
    pool : sequence of Products
        All simulations at hand.
    like : Floor
        Gives the sizes of the draws, how many, and whether they share simulations.
    rng : Generator
        Draws them.
    """
    together = Products(
        logs=np.concatenate([p.logs for p in pool]),
        products=np.concatenate([p.products for p in pool]),
    )
    counts = draw_sides(rng, like.splits, len(together), like.sizes)
    one, *taught, other = (off_diagonal(correlation(together, side)) for side in counts)
    one = one + sum(taught) - len(taught) * off_diagonal(correlation(together))
    off = np.abs(_over(one, other) - 1)
    return replace(like, median=float(np.median(off)), high=float(np.quantile(off, LEVEL)))
