"""The bispectrum of periodic fields, by shells and FFTs: equilateral triangles, or any others.

With delta(n) = FFT(delta) / N^d and D_i(x) the field made of the modes of shell i alone, the sum of
D_1 D_2 D_3 over the cells is, but for a factor, the sum of delta(p) delta(q) delta(r) over all closed
triangles p + q + r = 0 with a side in each of the three shells; the same operation on ones counts the
triangles (Sefusatti et al. 2016, arXiv:1512.07295; Tomlinson et al. 2019, arXiv:1904.11055)::

    B(k1, k2, k3) = V^2 sum_x D_1 D_2 D_3 / sum_x I_1 I_2 I_3        [(Mpc/h)^(2d)]

The reduced bispectrum (Fry 1984, ApJ 279, 499) is what is left of it once the power is divided out, with
the mean powers P_i of the same shells of the same field::

    Q(k1, k2, k3) = B / (P_1 P_2 + P_2 P_3 + P_3 P_1)                [1]

The richest fields carry most of B, and most of P^2 as well: in slices of simulations of 128 Mpc/h, B
scatters by half from one to the next, and their mean Q by 4 %.

B is exact while three modes cannot add up to a whole turn of the grid: the upper edges of the three
shells must add up to at most N, for equilateral triangles to N / 3 each, and any other is refused.
Then the shells also fit on a grid that just holds the sum of their largest wavenumbers, which is where
the D are made.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.shells import Edges, Fields, Modes, Shells, shells, stack, wide_edges

DEFAULT_WIDTH = 3
"""Width of the default shells [fundamental]."""

Triangles = Sequence[tuple[int, int, int]]
"""Numbers of the shells that hold the three sides."""
Bispectra = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]

_CHUNK_CELLS = 1 << 19


@dataclass(frozen=True, eq=False)
class Bispectrum:
    """Bispectrum by shells of wavenumber."""

    sides: NDArray[np.float64]
    """(t, 3) mean sides of the triangles [h/Mpc]."""
    value: NDArray[np.float64]
    """(t,) mean of delta delta delta over the triangles [(Mpc/h)^(2d)]."""
    reduced: NDArray[np.float64]
    """(t,) the same over P1 P2 + P2 P3 + P3 P1; 0 where there is no power."""
    triangles: NDArray[np.int64]
    """(t,) how many, all orders within a shell and Hermitian partners counted; the variance of a
    Gaussian field is s L^d P1 P2 P3 / triangles, with s = 6, 2 or 1 for three, two or no equal shells."""

    @property
    def k(self) -> NDArray[np.float64]:
        """(t,) mean of the three sides [h/Mpc]."""
        mean: NDArray[np.float64] = self.sides.mean(axis=1)
        return mean


def bispectrum(
    delta: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    triangles: Triangles | None = None,
) -> Bispectrum:
    """Measure the bispectrum of one periodic field.

    Parameters
    ----------
    delta : (N, N) or (N, N, N) array_like
        Overdensity, or density over mean.
    box_size : float
        Side L of the box [Mpc/h].
    edges : (b + 1,) array_like, optional
        Edges of the shells, edges[i] <= |n| < edges[i + 1] [fundamental 2 pi / L]. Default: 1, 4, 7,
        ... up to N / 3.
    triangles : sequence of (int, int, int), optional
        Shells of the three sides, as `equilateral`, `isosceles` and `squeezed` list them. Default: all
        equilateral ones.

    Returns
    -------
    Bispectrum
        Of the simulation's overdensity: a mean other than 1 does not enter.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If the box size or the edges make no sense, or no triangle closes, or some alias.
    """
    sides, value, reduced, number = bispectra(np.asarray(delta)[None], box_size, edges, triangles)
    return Bispectrum(sides, value[0], reduced[0], number)


def bispectra(
    fields: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    triangles: Triangles | None = None,
) -> Bispectra:
    """Measure the bispectra of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean, one field on each row of the first axis.
    box_size, edges, triangles
        As in `bispectrum`.

    Returns
    -------
    sides : (t, 3) ndarray
        Mean sides of the triangles [h/Mpc].
    value : (n, t) ndarray
        B, one row a field [(Mpc/h)^(2d)].
    reduced : (n, t) ndarray
        Q, over the powers of that very field; 0 where there is no power. The mean over fields is not
        the ratio of the means: compare it among fields of one size.
    number : (t,) ndarray of int
        Triangles, all orders and Hermitian partners counted.

    Raises
    ------
    LayoutError, RecipeError
        As in `bispectrum`.
    """
    stacked = stack(fields, box_size)
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    chosen = equilateral(len(found.modes)) if triangles is None else list(triangles)
    _check(found, chosen, grid)
    sides, number = _count(found, chosen, dimension)
    squares, cubes = _moments(stacked, found, chosen)
    mean = cubes / number
    value = mean * box_size ** (2 * dimension)
    if not np.isfinite(value).all():
        bad = int(np.argmin(np.isfinite(value).all(axis=1)))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    one, two, three = np.moveaxis((squares / found.modes)[:, chosen], -1, 0)
    tree = one * two + two * three + three * one
    reduced = np.divide(mean, tree, out=np.zeros_like(mean), where=tree > 0)
    return sides * (2 * np.pi / box_size), value, reduced, number


def default_edges(grid: int) -> NDArray[np.float64]:
    """Return 1, 4, 7, ... up to grid / 3, or one shell from 1 on a grid below 12 [fundamental].

    Narrower shells close few triangles, wider ones mix their shapes.
    """
    return wide_edges(grid // 3, DEFAULT_WIDTH)


def equilateral(shells: int) -> list[tuple[int, int, int]]:
    """List the triangles with all sides in one of `shells` shells."""
    return [(i, i, i) for i in range(shells)]


def isosceles(shells: int, legs: int) -> list[tuple[int, int, int]]:
    """List the triangles with two sides in shell `legs` and the third in any that is no longer."""
    return [(i, legs, legs) for i in range(min(shells, legs + 1))]


def squeezed(shells: int, base: int = 0) -> list[tuple[int, int, int]]:
    """List the triangles with one side in shell `base` and two in the same, longer one."""
    return [(base, i, i) for i in range(base + 1, shells)]


def _check(found: Shells, triangles: Triangles, grid: int) -> None:
    """Refuse triangles of shells that do not exist, and those that alias."""
    last = len(found.modes) - 1
    if not triangles:
        raise RecipeError("triangles: give at least one")
    for triangle in triangles:
        if not all(0 <= shell <= last for shell in triangle):
            raise RecipeError(
                f"triangles: {tuple(triangle)} asks for a shell that is not there; there are 0 to {last}"
            )
        ends = [float(found.edges[shell + 1]) for shell in triangle]
        if sum(ends) > grid or 2 * max(ends) > grid:
            raise RecipeError(
                f"edges: shells {tuple(triangle)} end at {ends} on a grid of {grid}, where triangles "
                f"alias; let three add up to {grid} at most, and none pass {grid / 2:g}"
            )


def _groups(found: Shells, triangles: Triangles) -> dict[int, list[int]]:
    """Return the places of the triangles that fit on each grid, by cells a side."""
    groups: dict[int, list[int]] = {}
    for place, triangle in enumerate(triangles):
        reach = [_reach(found, shell) for shell in triangle]
        least = max(sum(reach), 2 * max(reach)) + 1
        groups.setdefault(scipy.fft.next_fast_len(least, real=True), []).append(place)
    return groups


def _moments(
    fields: Fields, found: Shells, triangles: Triangles
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum over each field: |delta|^2 of the modes of each shell (n, b), delta^3 of triangles (n, t)."""
    axes = tuple(range(1, fields.ndim))
    step = max(1, _CHUNK_CELLS // fields[0].size)
    squares = np.zeros((len(fields), len(found.modes)))
    cubes = np.empty((len(fields), len(triangles)))
    for start in range(0, len(fields), step):
        part = slice(start, start + step)
        modes: Modes = scipy.fft.rfftn(fields[part], axes=axes, norm="forward")
        for grid, places in _groups(found, triangles).items():
            needed = sorted({shell for place in places for shell in triangles[place]})
            within = {shell: _alone(modes, found, shell, grid) for shell in needed}
            for shell, field in within.items():
                squares[part, shell] = _mean_product(field, field)
            for place in places:
                cubes[part, place] = _mean_product(*(within[s] for s in triangles[place]))
    return squares, cubes


def _count(
    found: Shells, triangles: Triangles, dimension: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sides (t, 3) [fundamental] and number (t,) of the closed triangles."""
    sides = np.empty((len(triangles), 3))
    number = np.empty(len(triangles), dtype=np.int64)
    for grid, places in _groups(found, triangles).items():
        needed = sorted({shell for place in places for shell in triangles[place]})
        ones = {shell: _ones(found, shell, dimension, grid) for shell in needed}
        long = {shell: _ones(found, shell, dimension, grid, power=1) for shell in needed}
        for place in places:
            a, b, c = triangles[place]
            number[place] = np.rint(_mean_product(ones[a], ones[b], ones[c])[0])
            if not number[place]:
                ranges = ", ".join(
                    f"[{found.edges[shell]:g}, {found.edges[shell + 1]:g})" for shell in (a, b, c)
                )
                raise RecipeError(f"edges: no triangle closes in {ranges}; widen them")
            for side, (x, y, z) in enumerate(((a, b, c), (b, c, a), (c, a, b))):
                total = _mean_product(long[x], ones[y], ones[z])[0]
                sides[place, side] = total / number[place]
    return sides, number


def _ones(
    found: Shells, shell: int, dimension: int, grid: int, power: int = 0
) -> NDArray[np.float64]:
    """Return the field whose modes are |n|^power in the shell, (1, grid, ...)."""
    reach = _reach(found, shell)
    block = np.sqrt(_squares(reach, dimension))[None] ** power
    return _fill(block, found, shell, grid)


def _alone(modes: Modes, found: Shells, shell: int, grid: int) -> NDArray[np.float64]:
    """Return the fields made of the modes of one shell alone, on a grid of so many cells a side."""
    reach = _reach(found, shell)
    rows = np.r_[0 : reach + 1, -reach:0]
    every = np.ix_(range(len(modes)), *[rows] * (modes.ndim - 2), range(reach + 1))
    return _fill(modes[every], found, shell, grid)


def _fill(
    block: Modes | NDArray[np.float64], found: Shells, shell: int, grid: int
) -> NDArray[np.float64]:
    """Return the fields of a block of low modes, those outside the shell left out.

    The block holds n = 0..reach, -reach..-1 along each axis and 0..reach along the last.
    """
    reach, dimension = block.shape[-1] - 1, block.ndim - 1
    squares = _squares(reach, dimension)
    inside = (squares >= found.squares[shell]) & (squares < found.squares[shell + 1])
    small = np.zeros((len(block), *(grid,) * (dimension - 1), grid // 2 + 1), np.complex128)
    rows = np.r_[0 : reach + 1, -reach:0]
    every = np.ix_(range(len(block)), *[rows] * (dimension - 1), range(reach + 1))
    small[every] = np.where(inside, block, 0.0)
    shape = (grid,) * dimension
    axes = tuple(range(1, dimension + 1))
    fields: NDArray[np.float64] = scipy.fft.irfftn(small, s=shape, axes=axes, norm="forward")
    return fields


def _reach(found: Shells, shell: int) -> int:
    """Return the largest component of a wavevector of the shell."""
    return math.isqrt(found.squares[shell + 1] - 1)


def _squares(reach: int, dimension: int) -> NDArray[np.int64]:
    """Return |n|^2 of a block of low modes as `_fill` takes it."""
    half = np.arange(reach + 1)
    whole = np.r_[half, np.arange(-reach, 0)]
    axes = np.ix_(*[whole] * (dimension - 1), half)
    return np.asarray(sum(n**2 for n in axes))


def _mean_product(*factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of a product over the cells of each field: (n,)."""
    product: NDArray[np.float64] = functools.reduce(np.multiply, factors)
    mean: NDArray[np.float64] = product.reshape(len(product), -1).mean(axis=1)
    return mean
