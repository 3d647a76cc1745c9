"""Covariance of a statistic over independent simulations, and what may be done with its inverse.

With x_i the statistic of simulation i, (n, b)::

    C = sum_i (x_i - <x>) (x_i - <x>)^T / (n - 1)        unbiased
    R_ab = C_ab / sqrt(C_aa C_bb)
    <C^-1> = (n - 1) / (n - b - 2) times the true inverse

(Hartlap, Simon & Schneider 2007, astro-ph/0608064, eq. 17): only the inverse is biased, so only in a
chi^2 the factor h = (n - b - 2) / (n - 1) appears; C and R need none. Slices of one simulation are not
independent: average them first.
"""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError

Float64 = NDArray[np.float64]

_ROUNDING = 1e-12


def covariance_matrix(samples: ArrayLike) -> Float64:
    """Return the unbiased covariance of samples (n, b), one row a simulation: (b, b).

    Raises
    ------
    LayoutError
        If there are fewer than two samples, or one is not finite.
    """
    rows = _rows(samples)
    offset = rows - rows.mean(axis=0)
    covariance: Float64 = offset.T @ offset / (len(rows) - 1)
    return covariance


def correlation_matrix(samples: ArrayLike) -> Float64:
    """Return the correlation matrix of samples (n, b), one row a simulation: (b, b).

    Raises
    ------
    LayoutError
        If there are fewer than three samples, one is not finite, or a bin does not vary.
    """
    rows = _rows(samples, least=3)
    covariance = covariance_matrix(rows)
    scatter = np.sqrt(np.diag(covariance))
    still = scatter <= _ROUNDING * np.abs(rows).max(axis=0)
    if still.any():
        raise LayoutError(
            f"bin {int(np.argmax(still))} is the same in all {len(rows)} samples and has no "
            f"correlation; leave it out"
        )
    correlation: Float64 = covariance / np.multiply.outer(scatter, scatter)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def precision_matrix(samples: ArrayLike) -> Float64:
    """Return the unbiased inverse covariance of Gaussian samples (n, b): (b, b).

    Raises
    ------
    LayoutError
        If one is not finite, or the bins are linearly dependent.
    RecipeError
        If there are too few samples, saying how many are needed.
    """
    rows = _rows(samples)
    number, bins = rows.shape
    if number < bins + 3:
        raise RecipeError(
            f"{number} samples of {bins} bins have no covariance to invert; "
            f"give at least {bins + 3}, better {10 * bins}, or wider bins"
        )
    hartlap = (number - bins - 2) / (number - 1)
    scatter = rows.std(axis=0, ddof=1)
    # Of the correlation matrix, whose entries are of one size whatever the units.
    sizes, vectors = scipy.linalg.eigh(correlation_matrix(rows))
    if sizes[0] <= _ROUNDING * sizes[-1]:
        raise LayoutError(
            f"{bins} bins are linearly dependent, as those of a distribution that add up to one; "
            f"leave one of them out"
        )
    inverse = (vectors / sizes) @ vectors.T
    precision: Float64 = hartlap * inverse / np.multiply.outer(scatter, scatter)
    return precision


def chi_squared(difference: ArrayLike, samples: ArrayLike) -> float:
    """Weigh a difference (b,) by the covariance of samples (n, b): d^T h C^-1 d.

    For a Gaussian difference of the same covariance its mean over samples is b.

    Raises
    ------
    LayoutError, RecipeError
        As `precision_matrix`, or if the difference has other bins.
    """
    offset = np.asarray(difference, dtype=np.float64)
    precision = precision_matrix(samples)
    if offset.shape != precision.shape[:1]:
        raise LayoutError(f"a difference of shape {offset.shape}: give {precision.shape[:1]}")
    return float(offset @ precision @ offset)


def _rows(samples: ArrayLike, least: int = 2) -> Float64:
    rows = np.asarray(samples, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < least:
        raise LayoutError(
            f"samples of shape {rows.shape}: give at least {least} rows, one a simulation"
        )
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise LayoutError(f"sample {bad} is not finite; leave it out or make it again")
    return rows
