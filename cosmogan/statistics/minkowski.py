"""The Minkowski functionals of the excursion sets of periodic fields, by counting on the grid.

The places where a field is at or above a threshold have, per volume of the box, a volume V0, a
boundary V1 (a quarter of its length; in 3-D a sixth of its area), in 3-D a mean curvature V2 (its
integral over 3 pi) and an Euler characteristic Vd: pieces less holes in a plane, pieces less tunnels
plus cavities in space. By Crofton's formula all are mean Euler characteristics I_j, per j-volume, of
sections by lines (j = 1), planes (j = 2) or none (j = d) of all places and directions (Schmalzing &
Buchert 1997, ApJ 482, L1); with omega_j the volume of the unit ball::

    V_j = omega_d / (omega_(d-j) omega_j) I_j        [(Mpc/h)^-j]

A section of the grid is cut into edges, triangles and tetrahedra, its cells along each diagonal in
turn. Those whose lowest corner is in the set have an Euler characteristic of points less edges plus
triangles less tetrahedra: that of the field interpolated linearly, which treats a set and its
complement alike. In a plane it is the mean of 4- and 8-connectivity; in space it has 14 neighbours,
and V3 two thirds of the error that the mean of 6- and 26- has. To sort the simplices by their
lowest corner gives all thresholds in one sweep, without the error of a bin of thresholds that
derivatives have (Lim & Simon 2012, JCAP 01, 048), and only the order of the values enters: a
lognormal field is measured as well as the Gaussian field it is made from. This decided for counting.

Directions: those to all 8 or 26 neighbours (Legland, Kieu & Devaux 2007, Image Anal. Stereol. 26,
83), and the planes normal to them, weighted as a quadrature of seventh order (in 3-D that of Lebedev
1976). What has no preferred direction is measured without bias. A straight boundary is off by -5.2
(along an axis) to +2.6 % in 2-D; that of a slab, or V2 of a filament, by -8.2 to +2.2 % in 3-D.

Spacing: a grid misses what is smaller than a cell. Sections through every other point miss four times
as much, to leading order, so 4/3 of the first less 1/3 of these is right to fourth order. The worst
error at any threshold, of the peak, for smoothed Gaussian white noise (first sections alone)::

    smoothing    2-D: V1           V2            3-D: V1        V2            V3
    1 cell       1.4 % (6 %)       2.2 % (8 %)   2.3 % (8 %)    4.4 % (12 %)  6 % (8 %)
    2 cells      0.1 % (1.6 %)     0.3 % (2 %)   0.2 % (2 %)    0.4 % (3 %)   0.7 % (2 %)

The Euler characteristic is an integer for what both spacings resolve. An unsmoothed field may not be
so, and its values depend on the grid whatever one does: compare like with like.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import scipy.special
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.pdf import smooth
from cosmogan.statistics.shells import Fields, stack

DEFAULT_THRESHOLDS: tuple[float, ...] = tuple((np.arange(-12, 13) / 4).tolist())
"""25 thresholds, -3 to 3 standard deviations."""

Ranks = NDArray[np.int32]
Simplex = tuple[tuple[int, ...], ...]
Frame = tuple[NDArray[np.int64], ...]

_MARGIN = 2  # the furthest corner of a simplex is two points away
_CROFTON = {2: [1.0, math.pi / 4, 1.0], 3: [1.0, 2 / 3, 2 / 3, 1.0]}
# The weight of a direction whose steps have a length of the root of 1, of 2, of 3.
_SHARES = {2: (1 / 4, 1 / 4), 3: (2 / 21, 8 / 105, 9 / 140)}


@dataclass(frozen=True, eq=False)
class MinkowskiFunctionals:
    """Minkowski functionals of one field against the threshold, per volume of the box."""

    nu: NDArray[np.float64]
    """(t,) thresholds [standard deviations from the mean, or the unit of the field]."""
    values: NDArray[np.float64]
    """(d + 1, t) V_0 to V_d [(Mpc/h)^-j]."""


def minkowski_functionals(
    field: ArrayLike,
    box_size: float,
    thresholds: ArrayLike | None = None,
    *,
    smoothing: float = 0.0,
    standardise: bool = True,
) -> MinkowskiFunctionals:
    """Measure the Minkowski functionals of one periodic field.

    Parameters
    ----------
    field : (N, N) or (N, N, N) array_like
        Overdensity, density over mean, or any other field.
    box_size : float
        Side L of the box [Mpc/h].
    thresholds : (t,) array_like, optional
        Increasing. Default: -3 to 3 in steps of 0.25.
    smoothing : float
        Standard deviation of a periodic Gaussian filter, applied first [cells].
    standardise : bool
        Thresholds are nu = (field - mean) / standard deviation of this very field, smoothed; else
        they are in the unit of the field.

    Returns
    -------
    MinkowskiFunctionals
        Of the cells at or above each threshold; V_0 is exactly their fraction.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, not finite, or constant and to be standardised.
    RecipeError
        If the box size, the thresholds or the smoothing make no sense.

    Examples
    --------
    >>> wave = np.cos(2 * np.pi * (np.arange(64) + 0.5) / 64)
    >>> band = minkowski_functionals(np.outer(wave, np.ones(64)), 100.0, [0.0])
    >>> band.values.round(4).tolist()  # V1 of a boundary of 2 L, less 5 %: along an axis
    [[0.5], [0.0047], [0.0]]
    """
    nu, values = minkowski(
        np.asarray(field)[None], box_size, thresholds, smoothing=smoothing, standardise=standardise
    )
    return MinkowskiFunctionals(nu, values[0])


def minkowski(
    fields: ArrayLike,
    box_size: float,
    thresholds: ArrayLike | None = None,
    *,
    smoothing: float = 0.0,
    standardise: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the Minkowski functionals of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        One field on each row of the first axis; each is standardised by itself.
    box_size, thresholds, smoothing, standardise
        As in `minkowski_functionals`, and so are the errors.

    Returns
    -------
    nu : (t,) ndarray
        Thresholds.
    values : (n, d + 1, t) ndarray
        V_0 to V_d of each field [(Mpc/h)^-j].
    """
    stacked = stack(fields, box_size)
    nu = np.array(DEFAULT_THRESHOLDS if thresholds is None else thresholds, dtype=np.float64)
    if nu.ndim != 1 or not nu.size or not np.isfinite(nu).all() or not (np.diff(nu) > 0).all():
        raise RecipeError(f"thresholds = {nu.tolist()}: give at least one, increasing and finite")
    if not 0 <= smoothing < math.inf:
        raise RecipeError(f"smoothing = {smoothing} must be a width of at least 0 cells")
    values = np.empty((len(stacked), stacked.ndim, nu.size))
    for i, field in enumerate(stacked):
        smoothed, zero, unit = _prepared(field, smoothing, i, standardise)
        values[i] = _per_cell(smoothed, zero + unit * nu)
    cell = box_size / stacked.shape[-1]
    return nu, values / cell ** np.arange(stacked.ndim)[:, None]


def gaussian_expectation(
    nu: ArrayLike, sigma0: float, sigma1: float, dimension: int
) -> NDArray[np.float64]:
    """Return the mean Minkowski functionals of an isotropic Gaussian random field.

    With He_j the Hermite polynomials 1, nu, nu^2 - 1 (Tomita 1986, Prog. Theor. Phys. 76, 952;
    Schmalzing & Buchert 1997), V_0 is erfc(nu / sqrt(2)) / 2, and in V_j::

        I_j = (sigma1 / sqrt(d) sigma0)^j He_(j-1)(nu) exp(-nu^2 / 2) / (2 pi)^((j + 1) / 2)

    Parameters
    ----------
    nu : (t,) array_like
        Thresholds [standard deviations from the mean].
    sigma0, sigma1 : float
        Root mean square of the field less its mean, and of the length of its gradient [h/Mpc].
    dimension : int
        d, 2 or 3.

    Returns
    -------
    (d + 1, t) ndarray
        V_0 to V_d [(Mpc/h)^-j].

    Raises
    ------
    RecipeError
        If the dimension is neither, or a sigma not a positive number.
    """
    if dimension not in (2, 3) or not (0 < sigma0 < math.inf and 0 < sigma1 < math.inf):
        given = f"dimension = {dimension}, sigma0 = {sigma0}, sigma1 = {sigma1}"
        raise RecipeError(f"{given}: the first must be 2 or 3, the others positive numbers")
    at = np.asarray(nu, dtype=np.float64)
    j = np.arange(1, dimension + 1)[:, None]
    hermite = np.stack([np.ones_like(at), at, at**2 - 1])[:dimension]
    size = (sigma1 / math.sqrt(dimension) / sigma0) ** j / (2 * np.pi) ** ((j + 1) / 2)
    volume = scipy.special.erfc(at / math.sqrt(2)) / 2
    sections = np.vstack([volume, size * hermite * np.exp(-(at**2) / 2)])
    return np.asarray(np.array(_CROFTON[dimension])[:, None] * sections)


def _prepared(
    field: Fields, smoothing: float, number: int, standardise: bool
) -> tuple[Fields, float, float]:
    """Return the smoothed field, and the zero and the unit of its thresholds."""
    if not np.isfinite(field).all():
        raise LayoutError(f"field {number} holds a value that is not finite; make it again")
    smoothed = smooth(field, smoothing) if smoothing else field
    if not standardise:
        return smoothed, 0.0, 1.0
    scatter = float(smoothed.std(dtype=np.float64))
    # Below this it is the rounding of a mean, or of a transform.
    if not scatter > 8 * np.finfo(field.dtype).eps * np.abs(field).max():
        raise LayoutError(f"field {number} is constant; leave it out, or standardise=False")
    return smoothed, float(smoothed.mean(dtype=np.float64)), scatter


def _per_cell(field: Fields, cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return V_0 to V_d in units of the cell: (d + 1, t)."""
    ranks = np.searchsorted(cuts, field.ravel(), side="right").astype(np.int32)
    solid = ranks.reshape((1,) * (3 - field.ndim) + field.shape)
    wrapped = np.concatenate([solid[..., -_MARGIN:], solid, solid[..., :_MARGIN]], axis=-1)
    simplices, order = _simplices(field.ndim), np.arange(field.ndim + 1)[:, None]
    near, far = (
        sum(w.T @ _count(wrapped, corners, step, cuts.size) for corners, w in simplices)
        for step in (1, 2)
    )
    found = (near + (near - far / 2.0**order) / 3) / field.size  # V_0 to the last bit
    return np.asarray(np.array(_CROFTON[field.ndim])[:, None] * found)


@functools.cache
def _simplices(dimension: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]:
    """Return points, edges, triangles, tetrahedra: corners (s, c, 3), weights in I_j (s, d + 1).

    Each stands for all that differ from it by a shift; one of its corners is at the origin.
    """
    weights: dict[Simplex, NDArray[np.float64]] = {}
    for frame, share in _frames(dimension):
        for simplex in _between(frame):
            sums = weights.setdefault(simplex, np.zeros(dimension + 1))
            sums[len(frame)] += share * (-1) ** (len(simplex) - 1)
    sizes = [[s for s in sorted(weights) if len(s) == size] for size in range(1, dimension + 2)]
    return tuple((np.array(size), np.array([weights[s] for s in size])) for size in sizes)


def _between(frame: Frame) -> set[Simplex]:
    """Return the simplices that fill the lattice of a frame, along a diagonal of its cells."""
    found: set[Simplex] = set()
    for order in itertools.permutations(frame):
        path = np.cumsum([(0, 0, 0), *order], axis=0).tolist()
        for size in range(1, len(path) + 1):
            for corners in itertools.combinations(path, size):
                found.add(tuple(map(tuple, np.subtract(sorted(corners), min(corners)).tolist())))
    return found


def _frames(dimension: int) -> Iterator[tuple[Frame, float]]:
    """Yield vectors that span the points, the space, lines and planes of the grid, and weights."""
    yield (), 1.0
    axes = np.eye(3, dtype=np.int64)
    first, *others = axes[3 - dimension :]
    for signs in itertools.product((1, -1), repeat=dimension - 1):
        yield (first, *map(operator.mul, signs, others)), 0.5 ** len(signs)
    for n in itertools.product((-1, 0, 1), repeat=3):
        if n <= (0, 0, 0) or (dimension == 2 and n[0]):
            continue
        square = sum(map(abs, n))
        share = _SHARES[dimension][square - 1] / math.sqrt(square)
        yield (np.array(n),), share
        if dimension == 3:
            across = [sign * axis for sign, axis in zip(n, axes, strict=True) if sign]
            within = [axis for sign, axis in zip(n, axes, strict=True) if not sign]
            a, b = within + [u - v for u, v in itertools.pairwise(across)]
            yield (a, b), share / 2
            yield (a, -b if within else b), share / 2


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(
    ranks: Ranks, simplices: NDArray[np.int64], step: int, thresholds: int
) -> NDArray[np.int64]:
    """Count the simplices of each kind that are in the set: (s, t).

    Columns go on beyond both ends: a row of corners is one slice, compared several at once.
    """
    planes, rows, padded = ranks.shape
    columns = padded - 2 * _MARGIN
    low = np.empty(columns, ranks.dtype)
    counts = np.zeros((len(simplices), thresholds + 1), np.int64)
    for x, y in np.ndindex(planes, rows):
        for i, simplex in enumerate(simplices):
            low[:] = thresholds
            for corner in simplex:
                start = _MARGIN + step * corner[2]
                plane, row = (x + step * corner[0]) % planes, (y + step * corner[1]) % rows
                line = ranks[plane, row, start : start + columns]
                for z in range(columns):
                    low[z] = min(low[z], line[z])
            for z in range(columns):
                counts[i, low[z]] += 1
    for i in range(thresholds, 0, -1):
        counts[:, i - 1] += counts[:, i]
    return counts[:, 1:]
