"""Peaks and minima of periodic fields by height.

A peak is a cell strictly above all of its 3^d - 1 neighbours, those across a corner and across the
faces of the box included; a minimum is one strictly below them. Cells of a plateau are equal to a
neighbour and count as neither, however wide the plateau: empty space of density 0 has no minimum.

Bins of height are fixed beforehand, with one below and one above, so that a rare peak is never
lost; a bin holds its lower edge. In white noise every 9th cell of a slice and every 27th of a box is
a peak; smooth a field to count those of more than one cell. What was flat then holds the rounding of
the transform, and may have extrema of it.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import RecipeError
from cosmogan.statistics.pdf import DEFAULT_EDGES, finite, smooth
from cosmogan.statistics.shells import Edges, Fields, stack

Counts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

_CHUNK_CELLS = 1 << 19


@dataclass(frozen=True, eq=False)
class Extrema:
    """Numbers of peaks and minima of a field by height."""

    edges: NDArray[np.float64]
    """(b + 1,) edges in rho; a bin holds its lower one. The first and the last are infinite."""
    peaks: NDArray[np.float64]
    """(b,) how many cells lie strictly above all their neighbours."""
    minima: NDArray[np.float64]
    """(b,) how many lie strictly below them."""


def peaks_and_minima(
    rho: ArrayLike, edges: Edges = DEFAULT_EDGES, *, smoothing: float = 0.0
) -> Extrema:
    """Count peaks and minima of one field.

    Parameters
    ----------
    rho : (N, N) or (N, N, N) array_like
        Density over mean, periodic.
    edges : (b - 1,) array_like
        Inner edges in rho, increasing; a bin holds its lower edge.
    smoothing : float
        Standard deviation of a Gaussian to smooth the field with before [cells].

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If the edges do not increase, or the smoothing is negative.

    Examples
    --------
    >>> import numpy as np
    >>> rho = np.ones((4, 4))
    >>> rho[0, 0] = 5
    >>> peaks_and_minima(rho, edges=[1.0, 4.0]).peaks
    array([0., 0., 1.])
    """
    whole, peaks, minima = extrema(np.asarray(rho)[None], edges, smoothing=smoothing)
    return Extrema(whole, peaks[0], minima[0])


def extrema(fields: ArrayLike, edges: Edges = DEFAULT_EDGES, *, smoothing: float = 0.0) -> Counts:
    """Count peaks and minima of many fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Density over mean, periodic, one field on each row of the first axis.
    edges, smoothing
        As in `peaks_and_minima`.

    Returns
    -------
    edges : (b + 1,) ndarray
        With an infinity added at either end.
    peaks : (n, b) ndarray
        How many peaks of each height, one row a field.
    minima : (n, b) ndarray
        How many minima.

    Raises
    ------
    LayoutError, RecipeError
        As in `peaks_and_minima`.
    """
    inner = np.array(edges, dtype=np.float64)
    listed = inner.ndim == 1 and inner.size > 0 and np.isfinite(inner).all()
    if not listed or not (np.diff(inner) > 0).all():
        raise RecipeError(f"edges = {inner.tolist()}: give at least one, increasing")
    stacked = finite(stack(fields, 1.0))
    peaks, minima = np.zeros((2, len(stacked), inner.size + 1))
    step = max(1, _CHUNK_CELLS // math.prod(stacked.shape[1:]))
    for start in range(0, len(stacked), step):
        part = stacked[start : start + step]
        if smoothing != 0:
            part = smooth(part, smoothing, axes=range(1, part.ndim))
        boxes = part.reshape(len(part), -1, *part.shape[-2:])
        _sweep(boxes, inner, peaks[start : start + step], minima[start : start + step])
    return np.concatenate([[-np.inf], inner, [np.inf]]), peaks, minima


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    fields: Fields,
    edges: NDArray[np.float64],
    peaks: NDArray[np.float64],
    minima: NDArray[np.float64],
) -> None:
    """Count the extrema of each field (planes, rows, columns); a slice is a box of one plane."""
    number, planes, rows, columns = fields.shape
    high, low = np.empty((2, columns), fields.dtype)
    for i in range(number):
        for z in range(planes):
            for y in range(rows):
                _surround(fields[i], z, y, high, low)
                row = fields[i, z, y]
                for x in range(columns):
                    value = row[x]
                    a, b = x - 1 if x > 0 else columns - 1, x + 1 if x + 1 < columns else 0
                    if value > max(row[a], row[b], high[a], high[x], high[b]):
                        peaks[i, _place(edges, value)] += 1
                    elif value < min(row[a], row[b], low[a], low[x], low[b]):
                        minima[i, _place(edges, value)] += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _surround(box: Fields, z: int, y: int, high: Fields, low: Fields) -> None:
    """Write the largest and smallest value, by column, of the 2 or 8 rows around a row."""
    planes, rows, columns = box.shape
    reach = 1 if planes > 1 else 0
    high[:], low[:] = -np.inf, np.inf
    for dz in range(-reach, reach + 1):
        for dy in range(-1, 2):
            if dz == 0 and dy == 0:
                continue
            row = box[(z + dz) % planes, (y + dy) % rows]
            for x in range(columns):
                high[x] = max(high[x], row[x])
                low[x] = min(low[x], row[x])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _place(edges: NDArray[np.float64], value: float) -> int:
    """Return the bin of a height: how many edges lie at or below it."""
    place = 0
    for edge in edges:
        place += edge <= value
    return place
