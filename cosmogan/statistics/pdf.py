"""The one-point distribution of the density, of the cells and of the smoothed field.

Bins are fixed beforehand and equal for every data set, with one below and one above, so that the
fractions of a field always add up to one and a rare peak is never lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.shells import Edges, Fields, Modes, stack

DEFAULT_EDGES: tuple[float, ...] = tuple(np.geomspace(10**-1.5, 100.0, 22).round(6).tolist())
"""21 bins of a sixth of a decade in rho, from 0.03 to 100."""
SMOOTHED_EDGES: tuple[float, ...] = tuple(np.geomspace(0.2, 8.0, 17).round(6).tolist())
"""16 bins of a tenth of a decade in rho, from 0.2 to 8, for fields smoothed over some cells."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """Fractions of the cells of a field by density."""

    edges: NDArray[np.float64]
    """(b + 1,) edges in rho; a bin holds its lower one. The first is 0, the last infinity."""
    rho: NDArray[np.float64]
    """(b,) geometric centres; the two open bins are given the width of their neighbours."""
    fraction: NDArray[np.float64]
    """(b,) fractions of the cells."""


def pdf(rho: ArrayLike, edges: Edges = DEFAULT_EDGES) -> Distribution:
    """Measure the one-point distribution of one field.

    Parameters
    ----------
    rho : (N, N) or (N, N, N) array_like
        Density over mean.
    edges : (b - 1,) array_like
        Inner edges in rho, increasing from above 0; a bin holds its lower edge.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or holds NaN.
    RecipeError
        If the edges do not increase from above 0.

    Examples
    --------
    >>> pdf([[0.5, 1.0], [1.0, 3.0]], edges=[1.0, 2.0]).fraction
    array([0.25, 0.5 , 0.25])
    """
    whole, centres, fraction = pdfs(np.asarray(rho)[None], edges)
    return Distribution(whole, centres, fraction[0])


def pdfs(
    fields: ArrayLike, edges: Edges = DEFAULT_EDGES
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measure the one-point distributions of many fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Density over mean, one field on each row of the first axis.
    edges : (b - 1,) array_like
        As in `pdf`.

    Returns
    -------
    edges : (b + 1,) ndarray
        With 0 and infinity added.
    rho : (b,) ndarray
        Geometric centres.
    fraction : (n, b) ndarray
        Fractions of the cells, one row a field.

    Raises
    ------
    LayoutError, RecipeError
        As in `pdf`.
    """
    whole, centres = bins(edges)
    inner = whole[1:-1]
    cells = _cells(stack(fields, 1.0))
    counts = np.empty((len(cells), inner.size + 2), dtype=np.int64)
    _count(cells, inner, counts)
    if counts[:, -1].any():
        raise LayoutError(f"field {int(np.argmax(counts[:, -1] > 0))} holds NaN; make it again")
    return whole, centres, counts[:, :-1] / cells.shape[1]


def bins(edges: Edges) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the edges of the bins, with 0 and infinity added, and their geometric centres.

    Raises
    ------
    RecipeError
        If the inner edges (b - 1,) do not increase from above 0.
    """
    inner = np.array(edges, dtype=np.float64)
    if inner.ndim != 1 or inner.size < 2 or inner[0] <= 0 or not (np.diff(inner) > 0).all():
        raise RecipeError(f"edges = {inner.tolist()}: give at least two, increasing, above 0")
    return np.concatenate([[0.0], inner, [np.inf]]), _centres(inner)


def mean_density(fields: ArrayLike) -> NDArray[np.float64]:
    """Return the mean of each field of (n, N, N) or (n, N, N, N), summed in float64: (n,)."""
    mean: NDArray[np.float64] = _cells(stack(fields, 1.0)).mean(axis=1, dtype=np.float64)
    return mean


def finite(fields: Fields) -> Fields:
    """Return fields (n, N, N) or (n, N, N, N) as they are.

    Raises
    ------
    LayoutError
        If one holds NaN or infinity.
    """
    with np.errstate(invalid="ignore"):  # infinities of both signs
        whole = np.isfinite(mean_density(fields))
    if not whole.all():
        bad = int(np.argmin(whole))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    return fields


def smooth(field: ArrayLike, cells: float, *, axes: Sequence[int] | None = None) -> Fields:
    """Smooth a periodic field with a Gaussian.

    Parameters
    ----------
    field : array_like
        Real; float32 stays float32.
    cells : float
        Standard deviation s of the Gaussian [cells].
    axes : sequence of int, optional
        Axes to smooth along, in order; default all.

    Returns
    -------
    ndarray
        Each mode times exp(-k^2 s^2 / 2), the mean kept.

    Raises
    ------
    RecipeError
        If `cells` is negative or not a number.
    """
    if not 0 <= cells < np.inf:
        raise RecipeError(f"cells = {cells} must be a width of at least 0")
    array = np.asarray(field)
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    along = tuple(range(array.ndim)) if axes is None else tuple(axes)
    modes: Modes = scipy.fft.rfftn(array, axes=along)
    for axis in along:
        grid, size = array.shape[axis], modes.shape[axis]
        n = np.minimum(np.arange(size), grid - np.arange(size))
        damping = np.exp(-0.5 * (2 * np.pi * n / grid * cells) ** 2).astype(array.dtype)
        modes *= damping.reshape([-1 if a == axis % array.ndim else 1 for a in range(array.ndim)])
    shape = [array.shape[axis] for axis in along]
    smoothed: Fields = scipy.fft.irfftn(modes, s=shape, axes=along, overwrite_x=True)
    return smoothed


def _cells(fields: Fields) -> Fields:
    return fields.reshape(len(fields), -1)


def _centres(inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the geometric centres, each open bin taken as wide as its neighbour."""
    below, above = inner[0] ** 2 / inner[1], inner[-1] ** 2 / inner[-2]
    closed = np.concatenate([[below], inner, [above]])
    return np.asarray(np.sqrt(closed[:-1] * closed[1:]))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(cells: Fields, edges: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Count the cells of each field between edges; NaN go into the last column.

    To count the edges below a cell keeps the processor busier than to search among them.
    """
    counts[:] = 0
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            value = np.float64(cells[i, j])
            place = 0
            for edge in edges:
                place += edge <= value
            counts[i, place] += 1
            counts[i, edges.size + 1] += np.isnan(value)
