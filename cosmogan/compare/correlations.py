"""The correlation matrix of ln P over fields: how the bins of the power spectrum vary together.

Nonlinear growth makes neighbouring and distant bins rise and fall together, and an emulator that gets
mean and scatter of every bin may still miss that: forecasts then come out too optimistic. The matrix is
that of single fields, with simulations as the unit of every resample::

    C_ij = <l_i l_j> - <l_i> <l_j>        R_ij = C_ij / sqrt(C_ii C_jj)        l = ln P of a field

One number stands for it, the mean of R_ij over all pairs of different bins, and its ratio to that of the
simulations is judged. (Armijo, Thiele & Liu 2026, arXiv:2601.20669, find it a quarter low in flows.)

P is of the density over the mean of the whole box, so a slice of mean density m has a factor m^2 in all its bins, which correlates them beside
growth: two fields that are wrong in either may agree in R. Two more numbers tell that apart: the same of ln (P / m^2), and the scatter of ln m.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.floor import Floor, Measured, measured
from cosmogan.compare.units import Array, draw_sides, draw_with_replacement
from cosmogan.statistics.table import StatisticsTable, average

CORRELATION, OWN_CORRELATION, MEAN_SCATTER = "correlation", "own_correlation", "mean_scatter"
"""Keys of the numbers: of ln P, of ln (P / m^2), and the scatter of ln m."""
ALIKE = 1e-4
"""Scatter of ln m below which fields have one mean density, as cubes have."""
_TINY = 1e-100


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """Means over the fields of each of n simulations of ln P in p bins and of ln m, and of their products.

    Attributes
    ----------
    logs : (n, p + 1) ndarray of float64
        Of ln P, and last of the logarithm of the mean density m.
    products : (n, p + 1, p + 1) ndarray of float64
        Of the products of two of them.
    """

    logs: Array
    products: Array

    def __len__(self) -> int:
        return int(self.logs.shape[0])

    @property
    def numbers(self) -> list[str]:
        """Keys of the numbers that say something of such fields."""
        varied = bool(NUMBERS[MEAN_SCATTER](covariance(self))[0] > ALIKE)
        return list(NUMBERS) if varied else [CORRELATION]


@dataclass(frozen=True, kw_only=True)
class Correlated:
    """The correlation matrix of one data set and what it says against the simulations.

    Attributes
    ----------
    matrix : tuple of tuple of float
        R of ln P, row by row.
    ratios : mapping of str to Measured
        Each of the numbers over that of the simulations.
    """

    matrix: tuple[tuple[float, ...], ...]
    ratios: Mapping[str, Measured]


def multiply(table: StatisticsTable, columns: NDArray[np.intp]) -> Products:
    """Average ln P, in some bins, ln m and their products over each simulation of a table."""
    logs = np.log(np.maximum(table["power"].samples[:, columns], _TINY))
    known = table.statistics.get("mean_density")
    mean = np.ones((len(logs), 1)) if known is None else known.samples[:, :1]
    logs = np.concatenate([logs, np.log(np.maximum(mean, _TINY))], axis=1)
    pairs = (logs[:, :, None] * logs[:, None, :]).reshape(len(logs), -1)
    products = average(pairs, table.simulation)
    size = logs.shape[1]
    return Products(logs=average(logs, table.simulation), products=products.reshape(-1, size, size))


def covariance(of: Products, counts: Array | None = None) -> Array:
    """Return the covariance matrices (B, p + 1, p + 1) of ln P and ln m of B resamples of the simulations.

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
    found: Array = second - mean[:, :, None] * mean[:, None, :]
    return found


def correlation(of: Products, counts: Array | None = None) -> Array:
    """Return the correlation matrices (B, p, p) of ln P of B resamples of the simulations, as `covariance`."""
    return _normalise(covariance(of, counts)[:, :-1, :-1])


def off_diagonal(matrix: Array) -> Array:
    """Return the mean of the elements of two different bins, of matrices (..., p, p)."""
    bins = matrix.shape[-1]
    trace = np.trace(matrix, axis1=-2, axis2=-1)
    mean: Array = (matrix.sum(axis=(-2, -1)) - trace) / (bins * (bins - 1))
    return mean


def _normalise(covariances: Array) -> Array:
    scatter = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), _TINY))
    matrix: Array = covariances / (scatter[:, :, None] * scatter[:, None, :])
    return matrix


def _own(covariances: Array) -> Array:
    """Return the covariance (B, p, p) of ln (P / m^2) from that of ln P and ln m."""
    bins = covariances.shape[-1] - 1
    over_mean = np.concatenate([np.eye(bins), np.full((bins, 1), -2.0)], axis=1)
    own: Array = over_mean @ covariances @ over_mean.T
    return own


NUMBERS: Mapping[str, Callable[[Array], Array]] = {
    CORRELATION: lambda c: off_diagonal(_normalise(c[:, :-1, :-1])),
    OWN_CORRELATION: lambda c: off_diagonal(_normalise(_own(c))),
    MEAN_SCATTER: lambda c: np.sqrt(np.maximum(c[:, -1, -1], 0.0)),
}
"""What is read off covariances (B, p + 1, p + 1), (B,) each."""


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
    values = [covariance(side) for side in sides]
    draws = [covariance(side, draw_with_replacement(rng, resamples, len(side))) for side in sides]
    ratios = {}
    for name in truth.numbers:
        number = NUMBERS[name]
        above, below, *owed = map(number, draws)
        for drawn, of in zip(owed, values[2:], strict=True):
            above = above + drawn - number(of)
        value = _over(number(values[0]), number(values[1]))[0]
        ratios[name] = measured(float(value), _over(above, below), min(map(len, sides)))
    return Correlated(matrix=as_rows(correlation(candidate)[0]), ratios=ratios)


def _over(above: Array, below: Array) -> Array:
    """Return a ratio; not a number where the simulations do not vary."""
    ratio: Array = above / np.where(below == 0, np.nan, below)
    return ratio


def as_rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    """Return a matrix as plain numbers."""
    return tuple(map(tuple, matrix.tolist()))


def floors(pool: Sequence[Products], like: Floor, rng: np.random.Generator) -> dict[str, Floor]:
    """Return how far apart the numbers of draws of simulations are, by key.

    Parameters
    ----------
    pool : sequence of Products
        All simulations at hand, the truth first.
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
    drawn, known = [covariance(together, side) for side in counts], covariance(together)
    found = {}
    for name in pool[0].numbers:
        number = NUMBERS[name]
        one, *taught, other = map(number, drawn)
        one = one + sum(taught) - len(taught) * number(known)
        off = np.abs(_over(one, other) - 1)
        found[name] = replace(
            like, median=float(np.median(off)), high=float(np.quantile(off, LEVEL))
        )
    return found
