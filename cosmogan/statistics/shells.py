"""Shells of wavevectors on a periodic grid, told apart by integers alone.

A mode is its integer wavevector n, in units of the fundamental 2 pi / L; its length squared is an
integer, so that no mode ever falls on the other side of an edge by rounding.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError

Fields = NDArray[np.float32] | NDArray[np.float64]
Modes = NDArray[np.complex64] | NDArray[np.complex128]
Edges = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shells:
    """Shells edges[i] <= |n| < edges[i + 1] of the modes of a grid."""

    edges: NDArray[np.float64]
    """(b + 1,) edges [fundamental]."""
    squares: tuple[int, ...]
    """(b + 1,) smallest |n|^2 at or beyond each edge."""
    of_square: NDArray[np.int64]
    """(largest |n|^2 of the grid + 1,) shell of a mode from its |n|^2; b for none."""
    modes: NDArray[np.int64]
    """(b,) modes of each shell, Hermitian partners included."""
    length: NDArray[np.float64]
    """(b,) mean |n| of these modes [fundamental]."""


def shells(grid: int, dimension: int, edges: Edges) -> Shells:
    """Sort the modes of a grid into shells.

    Parameters
    ----------
    grid : int
        Cells per side.
    dimension : int
        2 or 3.
    edges : (b + 1,) array_like
        Increasing edges [fundamental], each taken as the exact number that the float is.

    Raises
    ------
    RecipeError
        If the edges do not increase from above 0, or a shell holds no mode.
    """
    values = tuple(float(edge) for edge in edges)
    rising = all(0 < a < b < math.inf for a, b in itertools.pairwise(values))
    if len(values) < 2 or not rising:
        raise RecipeError(f"edges = {values}: give at least two, increasing, above 0")
    return _shells(grid, dimension, values)


def wide_edges(last: int, width: int) -> NDArray[np.float64]:
    """Return 1, 1 + width, 1 + 2 width, ... up to `last`, or one shell from 1 if that is too near [fundamental]."""
    if last < 1 + width:
        return np.array([1.0, max(last, 2)])
    return np.arange(1.0, last + 1, width)


def stack(fields: ArrayLike, box_size: float) -> Fields:
    """Return fields, one on each row of the first axis, in a precision the kernels know.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Real fields; float32 stays, anything else becomes float64, in native byte order.
    box_size : float
        Side L of the box [Mpc/h]; only checked here.

    Raises
    ------
    LayoutError
        If the fields are not square or cubic, or not real.
    RecipeError
        If `box_size` is not a positive number.
    """
    array = np.asarray(fields)
    if array.ndim not in (3, 4) or len(set(array.shape[1:])) != 1 or array.shape[-1] < 2:
        raise LayoutError(
            f"a field of shape {array.shape[1:]} is neither a square nor a cube; cut it to one"
        )
    if array.dtype.kind not in "fiub":
        raise LayoutError(f"a field of type {array.dtype} is not real; give its real part")
    if not 0 < box_size < math.inf:
        raise RecipeError(f"box_size = {box_size} must be a positive length in Mpc/h")
    if array.dtype.newbyteorder("=") == np.float32:
        return np.ascontiguousarray(array, dtype=np.float32)
    return np.ascontiguousarray(array, dtype=np.float64)


def for_each(function: Callable[[int], None], items: Sequence[int], workers: int) -> None:
    """Call a function with each item, on so many threads."""
    if workers == 1:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(function, items):
            pass


def modes_per_square(grid: int, dimension: int) -> NDArray[np.int64]:
    """Count the modes of each |n|^2 on a grid of any parity, 0 to dimension (grid // 2)^2."""
    half = grid // 2
    count = np.ones(1, dtype=np.int64)
    for _ in range(dimension):
        wider = np.zeros(count.size + half**2, dtype=np.int64)
        for n in range(half + 1):
            partners = 1 if n == 0 or 2 * n == grid else 2
            wider[n * n : n * n + count.size] += partners * count
        count = wider
    return count


@functools.lru_cache(maxsize=32)
def _shells(grid: int, dimension: int, edges: tuple[float, ...]) -> Shells:
    squares = tuple(math.ceil(Fraction(edge) ** 2) for edge in edges)
    count = modes_per_square(grid, dimension)
    square = np.arange(count.size)
    number = len(edges) - 1
    shell = np.searchsorted(np.minimum(squares, count.size), square, side="right") - 1
    shell[shell < 0] = number
    modes = np.bincount(shell, weights=count, minlength=number + 1)[:number]
    total = np.bincount(shell, weights=count * np.sqrt(square), minlength=number + 1)[:number]
    if not modes.all():
        i = int(np.argmin(modes))
        raise RecipeError(
            f"edges: no mode of a grid of {grid} lies in [{edges[i]:g}, {edges[i + 1]:g}); widen it"
        )
    arrays = (np.array(edges), shell, modes.astype(np.int64), total / modes)
    for array in arrays:
        array.flags.writeable = False
    return Shells(arrays[0], squares, *arrays[1:])
