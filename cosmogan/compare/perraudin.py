"""The three scores of Perraudin et al. 2019 (arXiv:1908.05519), by their own definitions.

Each is 1 / FD, higher is better, with the Frechet distance of two sets of samples ::

    FD = |m_r - m_f|^2 + Tr(C_r + C_f - 2 (C_r C_f)^(1/2))

between the means and covariances of log10(y / max(mean y_real) + 1e-5), where y is, sample by sample,

* *psd*: the power spectrum in 49 logarithmic bins from the fundamental 2 pi / L to sqrt(d) times the
  Nyquist wavenumber,
* *mass*: the histogram of log10(x + 1) in 20 bins between log10 2 and log10(250884 / 3), or
* *peaks*: the histogram of ln(x + e) over the peaks, in 20 bins between 1.5 and 13,

of the numbers of particles x in the cells. What lies beyond the bins of a histogram counts in the
first or the last. A field of cosmogan is a density over mean and becomes x by `mean_count`: their
cubes are 1024^3 particles in 256^3 cells, 64 a cell, and the limits of the bins are made for these.
Their x are integers, those of any other mass assignment are not.

**These are their scores, with their defects, on purpose.** The power of a bin is the plain mean over
the half of the modes that a real transform keeps, so that those of its own plane count twice; the
overdensity refers to the mean of each sample; neither window nor shot noise is taken out; bins
without a mode are dropped. A peak is a cell equal to the largest of the 5^d cells around it, which are
not all equal, and the field is mirrored at its faces, not periodic; every cell of a plateau counts.
`cosmogan.statistics` measures power and peaks as one should. (Their arithmetic centres of the bins
enter no score, and neither does the length of the box: a constant factor of P cancels.)

FD grows as the number of samples n falls, and what the vectors scatter depends on the grid: scores of
different n, grids, dimensions, boxes or numbers of particles are NOT comparable. The published ones
have n = 30 against 30, grid 256 and boxes of 350 Mpc/h; in 3D they are 1.58, 0.63 and 8.17. Read a
score beside the `ceiling`, what simulations score against other simulations at the same n.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.ndimage
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.shells import stack

Array = NDArray[np.float64]

PUBLISHED_N = 30
"""Samples on either side of the published scores of cubes."""
PUBLISHED_COUNT = 64.0
"""Particles in a cell of their cubes, in the mean."""
LARGEST = 1e9
"""The score of identical samples, whose FD is 0 but for rounding."""

_POWER_EDGES = 50
_BINS = 20
_MASS_LIMITS = (math.log10(2), math.log10(250884 / 3))
_PEAK_LIMITS = (1.5, 13.0)
_PEAK_WINDOW = 5
_FLOOR = 1e-5


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Three scores, and all that they must share with others to be compared with them.

    Attributes
    ----------
    psd, mass, peaks : float
        Scores of the power spectrum, the mass histogram and the peak histogram; at most `LARGEST`.
    n : int
        Samples on either side.
    grid, dimension : int
        Cells per side, and 2 or 3.
    box_size : float
        Side of the box [Mpc/h].
    mean_count : float
        Particles in a cell, in the mean.
    """

    psd: float
    mass: float
    peaks: float
    n: int
    grid: int
    dimension: int
    box_size: float
    mean_count: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Vectors:
    """The vectors (n, b) of n samples."""

    psd: Array
    mass: Array
    peaks: Array
    grid: int
    dimension: int


def perraudin_scores(
    real: Sequence[ArrayLike] | Array,
    fake: Sequence[ArrayLike] | Array,
    *,
    box_size: float,
    mean_count: float = PUBLISHED_COUNT,
) -> Scores:
    """Score emulated fields against simulated ones.

    Parameters
    ----------
    real, fake : (n, N, N) or (n, N, N, N) array_like, or a sequence of fields
        Density over mean, each from a simulation or a seed of its own.
    box_size : float
        Side of the box [Mpc/h]; recorded, the scores do not depend on the unit of length.
    mean_count : float
        Particles in a cell, in the mean.

    Raises
    ------
    LayoutError
        If a field is no density, or the two sides have different grids.
    RecipeError
        If they have different numbers of fields, or fewer than 2.
    """
    if len(real) != len(fake) or len(real) < 2:
        raise RecipeError(
            f"{len(real)} real and {len(fake)} fake fields: these scores need the same number on "
            f"both sides, at least 2, and {PUBLISHED_N} to be compared with published ones"
        )
    one, other = (_vectors(fields, box_size, mean_count) for fields in (real, fake))
    if (one.grid, one.dimension) != (other.grid, other.dimension):
        raise LayoutError(
            f"real fields of {one.grid}^{one.dimension} and fake ones of {other.grid}^"
            f"{other.dimension} cells have no common scores; make them on one grid"
        )
    psd, mass, peaks = _three(one, other)
    return Scores(
        psd=psd,
        mass=mass,
        peaks=peaks,
        n=len(real),
        grid=one.grid,
        dimension=one.dimension,
        box_size=box_size,
        mean_count=mean_count,
    )


def ceiling(
    real: Sequence[ArrayLike] | Array,
    *,
    simulation: ArrayLike | None = None,
    box_size: float,
    seed: int,
    n: int = PUBLISHED_N,
    splits: int = 100,
    mean_count: float = PUBLISHED_COUNT,
) -> Scores:
    """Score simulations against other simulations: what a perfect emulator gets.

    Parameters
    ----------
    real : (m, N, N) or (m, N, N, N) array_like, or a sequence of fields
        Density over mean.
    simulation : (m,) array_like of int, optional
        The simulation each field was cut from; default each its own. A split takes one field, at
        random, of 2 n simulations, n for each side.
    box_size, mean_count
        As in `perraudin_scores`.
    seed : int
        Where chance comes from.
    n : int
        Fields on either side; give the number that the emulated ones are scored with.
    splits : int
        Random splits.

    Returns
    -------
    Scores
        Medians over the splits.

    Raises
    ------
    LayoutError
        If a field is no density, or `simulation` does not name one for each.
    RecipeError
        If there are fewer than 2 n simulations, or n or `splits` is too small.
    """
    members = np.arange(len(real)) if simulation is None else np.asarray(simulation)
    if members.shape != (len(real),):
        raise LayoutError(f"{len(real)} fields and simulations {members.shape}: name one for each")
    found = np.unique(members).size
    if n < 2 or splits < 1 or found < 2 * n:
        raise RecipeError(
            f"n = {n}, splits = {splits}: a ceiling needs n >= 2, one split and 2 n simulations, here "
            f"are {found}; take a smaller n for the ceiling and for the scores beside it"
        )
    rng = np.random.default_rng(seed)
    rows = np.array([_one_of_each(members, rng)[: 2 * n] for _ in range(splits)])
    used, place = np.unique(rows, return_inverse=True)
    vectors = _vectors([real[i] for i in used.tolist()], box_size, mean_count)
    halves = (place.reshape(splits, 2, n)[s] for s in range(splits))
    three = [_three(_rows(vectors, one), _rows(vectors, other)) for one, other in halves]
    psd, mass, peaks = np.median(three, axis=0).tolist()
    return Scores(
        psd=psd,
        mass=mass,
        peaks=peaks,
        n=n,
        grid=vectors.grid,
        dimension=vectors.dimension,
        box_size=box_size,
        mean_count=mean_count,
    )


def score(real: Array, fake: Array) -> float:
    """Return 1 / FD of two sets of vectors, of which the logarithm is taken here.

    Parameters
    ----------
    real, fake : (n, b) ndarray of float64
        One vector a sample, not negative.

    Returns
    -------
    float
        Higher is better, at most `LARGEST`.

    Raises
    ------
    LayoutError
        If all real vectors are 0.
    """
    largest = float(real.mean(axis=0).max())
    if not largest > 0:
        raise LayoutError("the real fields are uniform, without power and peaks; give others")
    one, other = (np.log10(y / largest + _FLOOR) for y in (real, fake))
    distance = frechet_distance(one, other)
    return LARGEST if distance * LARGEST <= 1 else 1 / distance


def frechet_distance(one: Array, other: Array) -> float:
    """Return the Frechet distance (squared 2-Wasserstein) of the Gaussians fitted to two samples.

    Parameters
    ----------
    one, other : (n, b) ndarray of float64
        Samples of vectors; the two n may differ.

    Notes
    -----
    With the centred samples X / sqrt(n - 1) as A_r and A_f, C = A' A and the eigenvalues of C_r C_f
    are the squares of the singular values of A_r A_f', so that Tr (C_r C_f)^(1/2) is their sum. This
    needs no root of a matrix, and is exact for the singular covariances of fewer samples than bins.
    Perraudin et al. take `scipy.linalg.sqrtm` of the product, and add 1e-6 to the diagonals of both
    only if that is not finite: the same number but for rounding of 1e-8 or so.
    """
    means = [x.mean(axis=0) for x in (one, other)]
    a, b = ((x - m) / math.sqrt(len(x) - 1) for x, m in zip((one, other), means, strict=True))
    root = scipy.linalg.svdvals(_corner(a) @ _corner(b).T).sum()
    shift = ((means[0] - means[1]) ** 2).sum()
    return float(shift + (a**2).sum() + (b**2).sum() - 2 * root)


def _corner(rows: Array) -> Array:
    """Return rows, or R of rows = Q R if that has fewer: Q leaves singular values as they are."""
    if len(rows) <= rows.shape[1]:
        return rows
    corner: Array = scipy.linalg.qr(rows, mode="economic")[1]
    return corner


def power_vector(counts: Array) -> Array:
    """Return the power in their bins, over L^d / N^(2 d), of one field: (b,)."""
    bins, modes = _power_bins(len(counts), counts.ndim)
    mean = counts.mean()
    transform = scipy.fft.rfftn((counts - mean) / mean)
    squares = transform.real**2 + transform.imag**2
    sums = np.bincount(bins.ravel(), weights=squares.ravel(), minlength=modes.size + 1)
    power: Array = sums[:-1][modes > 0] / modes[modes > 0]
    return power


def mass_vector(counts: Array) -> Array:
    """Return how many cells have so many particles: (20,)."""
    return _histogram(np.log10(counts + 1), _MASS_LIMITS)


def peak_vector(counts: Array) -> Array:
    """Return how many peaks have so many particles: (20,)."""
    highest = scipy.ndimage.maximum_filter(counts, _PEAK_WINDOW, mode="reflect")
    lowest = scipy.ndimage.minimum_filter(counts, _PEAK_WINDOW, mode="reflect")
    peaks = counts[(counts == highest) & (highest - lowest > 0)]
    return _histogram(np.log(peaks + math.e), _PEAK_LIMITS)


def _histogram(values: Array, limits: tuple[float, float]) -> Array:
    inside = np.clip(values, *limits)
    return np.histogram(inside, bins=_BINS, range=limits)[0].astype(np.float64)


@functools.lru_cache(maxsize=4)
def _power_bins(grid: int, dimension: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return the bin of each mode of a real transform, 49 for none, and the modes of each bin.

    Edges are compared with the integers |n|^2, so that the fundamental falls into the first bin and
    the corner of the grid into the last, as their edges rounded outwards have it.
    """
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    square = functools.reduce(np.add.outer, [n**2] * (dimension - 1) + [n[: grid // 2 + 1] ** 2])
    last = dimension * (grid // 2) ** 2
    edges = np.geomspace(1.0, last, _POWER_EDGES)
    bins = np.searchsorted(edges, np.arange(last + 1), side="right") - 1
    bins[0], bins[1], bins[-1] = _POWER_EDGES - 1, 0, _POWER_EDGES - 2
    of_mode = bins.astype(np.int8)[square]
    return of_mode, np.bincount(of_mode.ravel(), minlength=_POWER_EDGES)[:-1]


def _vectors(fields: Sequence[ArrayLike] | Array, box_size: float, mean_count: float) -> _Vectors:
    """Measure fields one by one, so that not all of them need be in memory."""
    if not 0 < mean_count < math.inf:
        raise RecipeError(f"mean_count = {mean_count} must be a positive number of particles")
    psd, mass, peaks = [], [], []
    shapes = set()
    for i in range(len(fields)):
        field = stack(np.asarray(fields[i])[None], box_size)[0].astype(np.float64)
        shapes.add(field.shape)
        if len(shapes) > 1:
            raise LayoutError(f"field {i} is {field.shape}, unlike those before; make it again")
        if not (np.isfinite(field).all() and field.min() >= 0 and field.max() > 0):
            raise LayoutError(f"field {i} is no density, finite, not negative; make it again")
        counts = field * mean_count
        psd.append(power_vector(counts))
        mass.append(mass_vector(counts))
        peaks.append(peak_vector(counts))
    shape = shapes.pop()
    return _Vectors(
        psd=np.array(psd),
        mass=np.array(mass),
        peaks=np.array(peaks),
        grid=shape[0],
        dimension=len(shape),
    )


def _three(real: _Vectors, fake: _Vectors) -> tuple[float, float, float]:
    return score(real.psd, fake.psd), score(real.mass, fake.mass), score(real.peaks, fake.peaks)


def _rows(vectors: _Vectors, rows: NDArray[np.intp]) -> _Vectors:
    return _Vectors(
        psd=vectors.psd[rows],
        mass=vectors.mass[rows],
        peaks=vectors.peaks[rows],
        grid=vectors.grid,
        dimension=vectors.dimension,
    )


def _one_of_each(members: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return one field of each simulation, both in random order."""
    order = rng.permutation(members.size)
    first = np.unique(members[order], return_index=True)[1]
    return rng.permutation(order[first])
