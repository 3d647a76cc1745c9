"""Halo-like and void-like regions of periodic fields: how many, and how large.

A region is a set of cells at or above a threshold (halo-like), or at or below it (void-like), that
hang together by their faces: 4 neighbours of a cell in a slice, 6 in a box. It may reach through
the faces of the periodic box and still is one. Its size is the number of its cells.

Bins of size hold their lower edge, the first begins at one cell and the last is open, so that none
is lost. Such regions are what a threshold cuts out; they are no haloes or voids of a finder. One
sweep a threshold joins each cell to those it touches (union by size, paths halved: Tarjan and van
Leeuwen 1984, J. ACM 31, 245).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import RecipeError
from cosmogan.statistics.pdf import finite
from cosmogan.statistics.shells import Edges, Fields, stack

DEFAULT_EDGES: tuple[float, ...] = tuple(2.0**i for i in range(11))
"""11 bins of size: 1, 2 to 3, 4 to 7, ..., 1024 and more [cells]."""

Thresholds = Sequence[float] | NDArray[np.float64]
Links = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Regions:
    """Numbers of connected regions of a field by threshold and size."""

    thresholds: NDArray[np.float64]
    """(t,) thresholds in rho, as they were given."""
    edges: NDArray[np.float64]
    """(b,) smallest size of each bin [cells]; the last bin is open."""
    counts: NDArray[np.float64]
    """(t, b) how many regions."""

    @property
    def number(self) -> NDArray[np.float64]:
        """(t,) how many regions of any size."""
        return np.asarray(self.counts.sum(axis=-1))


def count_regions(
    rho: ArrayLike, thresholds: Thresholds, *, below: bool = False, edges: Edges = DEFAULT_EDGES
) -> Regions:
    """Count the connected regions of one field.

    Parameters
    ----------
    rho : (N, N) or (N, N, N) array_like
        Density over mean, periodic.
    thresholds : (t,) array_like
        Thresholds in rho, in any order.
    below : bool
        Whether regions are of cells at or below a threshold; default at or above.
    edges : (b,) array_like
        Smallest size of each bin [cells], increasing from 1; the last bin is open.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If there is no threshold, one is not finite, or the edges do not increase from 1.

    Examples
    --------
    >>> count_regions([[5, 5, 0], [0, 0, 0], [0, 0, 0]], thresholds=[4.0], edges=[1, 2, 3]).counts
    array([[0., 1., 0.]])
    """
    counts = regions(np.asarray(rho)[None], thresholds, below=below, edges=edges)
    return Regions(np.array(thresholds, np.float64), np.array(edges, np.float64), counts[0])


def regions(
    fields: ArrayLike, thresholds: Thresholds, *, below: bool = False, edges: Edges = DEFAULT_EDGES
) -> NDArray[np.float64]:
    """Count the connected regions of many fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Density over mean, periodic, one field on each row of the first axis.
    thresholds, below, edges
        As in `count_regions`.

    Returns
    -------
    (n, t, b) ndarray
        How many regions, by field, threshold and size.

    Raises
    ------
    LayoutError, RecipeError
        As in `count_regions`.
    """
    levels, sizes = _choices(thresholds, edges)
    stacked = finite(stack(fields, 1.0))
    cells = math.prod(stacked.shape[1:])
    boxes = stacked.reshape(len(stacked), -1, *stacked.shape[-2:])
    links = np.empty(cells, np.int32 if cells < np.iinfo(np.int32).max else np.int64)
    counts = np.zeros((len(stacked), levels.size, sizes.size))
    sign = -1.0 if below else 1.0
    for box, row in zip(boxes, counts, strict=True):
        for level, count in zip(levels, row, strict=True):
            _join(box, sign, sign * level, links)
            _count(links, sizes, count)
    return counts


def _choices(
    thresholds: Thresholds, edges: Edges
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    levels, sizes = np.array(thresholds, dtype=np.float64), np.array(edges, dtype=np.float64)
    if levels.ndim != 1 or levels.size < 1 or not np.isfinite(levels).all():
        raise RecipeError(f"thresholds = {levels.tolist()}: give a list of finite densities")
    listed = sizes.ndim == 1 and sizes.size > 0 and np.isfinite(sizes).all()
    if not listed or sizes[0] != 1 or not (np.diff(sizes) > 0).all():
        raise RecipeError(f"edges = {sizes.tolist()}: give sizes in cells, increasing from 1")
    return levels, sizes


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join(box: Fields, sign: float, level: float, links: Links) -> None:
    """Link the cells (planes, rows, columns) of each region, those where sign rho >= level.

    A link is the index of another cell of the region, or at its root minus its size; `links.size`
    marks a cell outside. Only neighbours already passed are joined: the one before along each axis
    and, at the end of the axis, the one at its beginning. A slice is a box of one plane.
    """
    planes, rows, columns = box.shape
    cell = 0
    for z in range(planes):
        for y in range(rows):
            for x in range(columns):
                if sign * np.float64(box[z, y, x]) >= level:
                    links[cell] = -1
                    _meet(links, cell, x, columns, 1)
                    _meet(links, cell, y, rows, columns)
                    _meet(links, cell, z, planes, rows * columns)
                else:
                    links[cell] = links.size
                cell += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _meet(links: Links, cell: int, place: int, length: int, stride: int) -> None:
    """Join a cell to the neighbours along one axis that were passed before it."""
    if place > 0:
        _unite(links, cell, cell - stride)
    if place == length - 1:
        _unite(links, cell, cell - place * stride)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unite(links: Links, cell: int, other: int) -> None:
    """Join two regions, the smaller to the larger; a cell outside has none."""
    if links[other] == links.size:
        return
    a, b = _root(links, cell), _root(links, other)
    if a == b:
        return
    if links[a] > links[b]:
        a, b = b, a
    links[a] += links[b]
    links[b] = a


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(links: Links, cell: int) -> int:
    """Return the root of a cell, and halve the path to it."""
    while links[cell] >= 0:
        above = links[cell]
        if links[above] >= 0:
            links[cell] = links[above]
        cell = above
    return cell


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(links: Links, edges: NDArray[np.float64], counts: NDArray[np.float64]) -> None:
    """Count the roots by the size of their region."""
    for link in links:
        if link < 0:
            place = -1
            for edge in edges:
                place += edge <= -link
            counts[place] += 1
