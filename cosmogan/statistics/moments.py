"""Moments and cumulants of the density, of the cells and of fields smoothed over several scales.

With rho the field, times exp(-k^2 s^2 / 2) in Fourier space, and < > the mean over its cells::

    m1 = <rho>,   mp = <(rho - m1)^p>                                       p = 2, 3, ...
    k1 = m1,      kp = mp - sum_q binomial(p - 1, q - 1) kq m(p - q)        q = 2 .. p - 2
    Sp = kp / k2^(p - 1)                                                    p = 3, 4, ...

so that k2 is the variance, k3 = m3, k4 = m4 - 3 m2^2. Gravity makes Sp of order one that hardly
varies with scale (Bernardeau et al. 2002, arXiv:astro-ph/0112551); a Gaussian field has none.

All is about the mean of the field itself, which smoothing keeps, and nothing is divided by that
mean: for the amplitudes of the literature give the density over the mean of the simulation. Nothing
is corrected for the number of cells either, so that white noise of variance 1 has k2 = 1 - 1 / N^d.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import RecipeError
from cosmogan.statistics.pdf import finite, smooth
from cosmogan.statistics.shells import Fields, stack

DEFAULT_SCALES = (0.0, 1.0, 2.0, 4.0)
"""Standard deviations of the Gaussian [cells]; 0 leaves the field as it is."""
DEFAULT_ORDER = 4

Scales = Sequence[float] | NDArray[np.float64]

_CHUNK_CELLS = 1 << 19
# A scatter below this part of the mean is the rounding of float32 transforms.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Moments, cumulants and hierarchical amplitudes of a field by scale."""

    scales: NDArray[np.float64]
    """(s,) standard deviations of the Gaussian [cells]."""
    moments: NDArray[np.float64]
    """(s, order) mean, then central moments from the second on [rho^p]."""
    cumulants: NDArray[np.float64]
    """(s, order) mean, variance, then connected moments from the third on [rho^p]."""
    amplitudes: NDArray[np.float64]
    """(s, order - 2) S3, S4, ... [1]; 0 where there is no variance."""


def hierarchy(
    rho: ArrayLike, scales: Scales = DEFAULT_SCALES, order: int = DEFAULT_ORDER
) -> Hierarchy:
    """Measure moments, cumulants and hierarchical amplitudes of one field.

    Parameters
    ----------
    rho : (N, N) or (N, N, N) array_like
        Density over mean, periodic.
    scales : (s,) array_like
        Standard deviations of the Gaussian to smooth with [cells].
    order : int
        Highest order, at least 2.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If there is no scale, one is negative, or the order is below 2.

    Examples
    --------
    >>> hierarchy([[0.0, 0.0], [0.0, 4.0]], scales=[0.0]).cumulants
    array([[ 1.,  3.,  6., -6.]])
    """
    central = moments(np.asarray(rho)[None], scales, order)
    connected = _connected(central)
    amplitudes = hierarchical_amplitudes(connected)
    return Hierarchy(np.array(scales, np.float64), central[0], connected[0], amplitudes[0])


def moments(
    fields: ArrayLike, scales: Scales = DEFAULT_SCALES, order: int = DEFAULT_ORDER
) -> NDArray[np.float64]:
    """Measure the mean and the central moments of many smoothed fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Density over mean, periodic, one field on each row of the first axis.
    scales, order
        As in `hierarchy`.

    Returns
    -------
    (n, s, order) ndarray
        By field, scale and order: the mean, then <(rho - mean)^p> about the field's own mean.

    Raises
    ------
    LayoutError, RecipeError
        As in `hierarchy`.
    """
    stacked = finite(stack(fields, 1.0))
    widths = np.array(scales, dtype=np.float64)
    if widths.ndim != 1 or widths.size < 1 or order < 2:
        raise RecipeError(
            f"scales = {widths.tolist()}, order = {order}: give a list of scales and order 2 or more"
        )
    out = np.empty((len(stacked), widths.size, order))
    step = max(1, _CHUNK_CELLS // math.prod(stacked.shape[1:]))
    for start in range(0, len(stacked), step):
        part = stacked[start : start + step]
        for place, scale in enumerate(widths):
            same = part if scale == 0 else smooth(part, scale, axes=range(1, part.ndim))
            rows = same.reshape(len(part), -1, part.shape[-1])
            _sweep(rows, out[start : start + step, place])
    return out


def cumulants(
    fields: ArrayLike, scales: Scales = DEFAULT_SCALES, order: int = DEFAULT_ORDER
) -> NDArray[np.float64]:
    """Measure the cumulants (connected moments) of many smoothed fields.

    Parameters
    ----------
    fields, scales, order
        As in `moments`.

    Returns
    -------
    (n, s, order) ndarray
        By field, scale and order: mean, variance, m3, m4 - 3 m2^2, ...

    Raises
    ------
    LayoutError, RecipeError
        As in `hierarchy`.
    """
    return _connected(moments(fields, scales, order))


def hierarchical_amplitudes(cumulants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hierarchical amplitudes Sp = kp / k2^(p - 1).

    Parameters
    ----------
    cumulants : (..., order) ndarray
        From the first on, as `cumulants` returns them. Those of many fields may be averaged before:
        the mean of a ratio is not the ratio of the means.

    Returns
    -------
    (..., order - 2) ndarray
        S3, S4, ...; 0 where there is no variance, that is, none above the rounding of the mean.
    """
    mean, variance = cumulants[..., :1], cumulants[..., 1:2]
    power = variance ** np.arange(2, cumulants.shape[-1])
    varies = np.broadcast_to(variance > (_FLAT * mean) ** 2, power.shape) & (power > 0)
    return np.divide(cumulants[..., 2:], power, out=np.zeros_like(power), where=varies)


def _connected(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulants of any order from mean and central moments: (..., order)."""
    out = moments.copy()
    for p in range(4, moments.shape[-1] + 1):
        for q in range(2, p - 1):
            pairs = math.comb(p - 1, q - 1)
            out[..., p - 1] -= pairs * out[..., q - 1] * moments[..., p - q - 1]
    return out


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(fields: Fields, out: NDArray[np.float64]) -> None:
    """Write mean and central moments of each field (rows, columns), summed row by row."""
    number, rows, columns = fields.shape
    order = out.shape[1]
    row, total = np.empty(order), np.empty(order)
    for i in range(number):
        mean = 0.0
        for y in range(rows):
            part = 0.0
            for x in range(columns):
                part += np.float64(fields[i, y, x])
            mean += part
        mean /= rows * columns
        total[:] = 0.0
        for y in range(rows):
            row[:] = 0.0
            for x in range(columns):
                deviation = np.float64(fields[i, y, x]) - mean
                power = deviation
                for p in range(1, order):
                    power *= deviation
                    row[p] += power
            total += row
        out[i] = total / (rows * columns)
        out[i, 0] = mean
