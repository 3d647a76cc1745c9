"""How alike periodic fields are when neither place nor orientation counts: which one is a copy.

The resemblance r of two fields is their largest correlation coefficient over all periodic shifts s and
all symmetries g of the square (8) or the cube (48)::

    r = max over g, s of  sum_n (g a)_n* b_n exp(2 pi i n.s / M),    sum |a|^2 = sum |b|^2 = 1

The *signatures* a and b are the modes 0 < |n| <= band N / 2 of log1p(rho / scale), each over the root of
the mean power at its |n|^2. One inverse transform gives all shifts at once.

* *Logarithm*: of rho itself, white, one cell of a slice 2 Mpc/h thick holds 5 % of the variance in the
  median and up to 17 %, of the logarithm 1 % and 2 %: one halo must not decide.
* *White*: else r would count the few modes of the largest scales alone. Between independent Gaussian
  fields it scatters by 1 / sqrt(modes) at one shift; the largest of all shifts is some four times that.
* *Band*: noise, smoothing and other resolutions spoil a copy on small scales first.

Shifts are tried on a grid of M cells: at least 4 for the shortest wavelength kept, but never more than the
field has. From band = 1/2 on M = N, and a copy shifted by whole cells has r = 1. Else it may lie up to half
a cell of M off along each axis, and keeps at worst 2 J1(x) / x = 0.85 in 2D, 3 j1(x) / x = 0.83 in 3D,
x = pi sqrt(d) / 4; with 2 cells a wavelength it would be 0.50 and 0.43.
"""

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.pdf import finite
from cosmogan.statistics.shells import for_each, modes_per_square, stack

Array = NDArray[np.float64]
Rows = slice | NDArray[np.intp] | NDArray[np.bool_]

# Fewer at a time, and calls cost more than transforms; many more leave the cache (measured, 64^2, 24^3).
_CHUNK_CELLS = 1 << 18


@dataclass(frozen=True, kw_only=True, eq=False)
class Signatures:
    """What is compared of fields: their white modes of norm 1; rows can be chosen as of an array."""

    modes: NDArray[np.complex64]
    """(n, S, S // 2 + 1) or (n, S, S, S // 2 + 1), as of a real transform of S cells a side, S - 1
    twice the largest component of a kept mode. Zero for a field without structure."""
    grid: int
    """M, cells per side of the grid of shifts."""
    largest: int
    """Largest |n|^2 kept."""

    def __len__(self) -> int:
        return len(self.modes)

    def __getitem__(self, rows: Rows) -> "Signatures":
        return replace(self, modes=self.modes[rows])

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.modes.ndim - 1

    @property
    def noise(self) -> float:
        """Scatter of the correlation of independent Gaussian fields at one shift: 1 / sqrt(modes)."""
        counts = modes_per_square(self.modes.shape[1], self.dimension)
        return 1 / math.sqrt(counts[1 : self.largest + 1].sum())


def signatures(
    fields: ArrayLike, *, power: ArrayLike | None = None, band: float = 0.5, scale: float = 0.5
) -> Signatures:
    """Reduce fields to what is compared of them.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Density over mean, periodic, one field on each row of the first axis.
    power : (b,) array_like, optional
        Mean power by |n|^2 to divide by, from `mean_power` with the same band and scale. Default: that
        of these fields.
    band : float
        Largest |n| kept [Nyquist wavenumber], at most 1.
    scale : float
        Where the logarithm takes over [mean density].

    Returns
    -------
    Signatures

    Raises
    ------
    LayoutError
        If a field is not square or cubic, not finite or negative, or the power is not of this band.
    RecipeError
        If the band keeps no mode, or the scale is not positive.
    """
    modes, largest, grid = _low_modes(fields, band, scale)
    square, partners = _squares(modes.shape[1], modes.ndim - 1)
    mean = _mean_power(modes, largest) if power is None else np.asarray(power, dtype=np.float64)
    if mean.shape != (largest + 1,) or not (mean >= 0).all():
        raise LayoutError(
            f"power of shape {mean.shape} must be {largest + 1} numbers of at least 0, one a |n|^2; "
            f"use mean_power of fields of this grid with this band"
        )
    factor = np.zeros(max(square.max(), largest) + 1)
    np.divide(1.0, np.sqrt(mean), out=factor[: largest + 1], where=mean > 0)
    modes *= factor[square]
    norm = np.sqrt(np.sum(partners * np.abs(modes) ** 2, axis=tuple(range(1, modes.ndim))))
    norm = norm.reshape(-1, *[1] * (modes.ndim - 1))
    white = np.divide(modes, norm, out=np.zeros_like(modes), where=norm > 0)
    shifts = min(grid, scipy.fft.next_fast_len(math.ceil(2 * band * grid), real=True))
    return Signatures(modes=white.astype(np.complex64), grid=shifts, largest=largest)


def mean_power(fields: ArrayLike, *, band: float = 0.5, scale: float = 0.5) -> Array:
    """Return the mean power of log1p(rho / scale) by |n|^2, from 0 to the largest kept.

    Parameters
    ----------
    fields, band, scale
        As in `signatures`.

    Returns
    -------
    (b,) ndarray
        In the units of a transform that is not normalised; 0 at n = 0 and where there is no mode.

    Raises
    ------
    LayoutError, RecipeError
        As in `signatures`.
    """
    modes, largest, _ = _low_modes(fields, band, scale)
    return _mean_power(modes, largest)


def resemblance(one: Signatures, other: Signatures, *, workers: int = 1) -> Array:
    """Return the largest correlation of each pair of fields over all shifts and symmetries.

    Parameters
    ----------
    one, other : Signatures
        Of n and m fields.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    (n, m) ndarray
        At most 1, but for the rounding of float32; 0 for a field without structure.

    Raises
    ------
    LayoutError
        If the signatures are not of one band.

    Examples
    --------
    >>> import numpy as np
    >>> rho = np.random.default_rng(1).lognormal(size=(3, 32, 32))
    >>> copies = np.roll(np.rot90(rho, axes=(1, 2)), (5, 11), axis=(1, 2))
    >>> (resemblance(signatures(rho), signatures(copies)) > 0.99).astype(int)
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    _check_alike(one, other)
    found = np.empty((len(one), len(other)))

    def measure(row: int) -> None:
        found[row] = _row(one.modes[row], other)

    for_each(measure, range(len(one)), workers)
    return found


def nearest(
    one: Signatures,
    other: Signatures,
    exclude: ArrayLike | None = None,
    *,
    workers: int = 1,
) -> tuple[Array, NDArray[np.intp]]:
    """Find for each field the one that it resembles most.

    Parameters
    ----------
    one : Signatures
        Of n fields, each of which is asked about.
    other : Signatures
        Of m fields among which it is looked for.
    exclude : (n, m) array_like of bool, optional
        Pairs that do not count: a field and itself, or two slices of one simulation.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    value : (n,) ndarray
        Resemblance to the nearest field.
    index : (n,) ndarray of int
        Which of the other fields it is.

    Raises
    ------
    LayoutError
        If the signatures are not of one band, or a field has nothing to be compared with.

    Notes
    -----
    A pair of slices of 64^2 cells costs some 70 microseconds of a core, 9 a symmetry, a pair of cubes with
    as many modes 2 milliseconds. Memory is that of some dozen fields a thread and of the signatures.

    Examples
    --------
    Two slices of each of three simulations; the last slice is the first one, moved and mirrored.

    >>> import numpy as np
    >>> rho = np.random.default_rng(1).lognormal(size=(6, 32, 32))
    >>> rho[5] = np.roll(rho[0], (3, 8), axis=(0, 1)).T
    >>> simulation = np.array([1, 1, 2, 2, 3, 3])
    >>> marks = signatures(rho)
    >>> value, index = nearest(marks, marks, simulation[:, None] == simulation)
    >>> print(value.round(2)[[0, 5]], index[[0, 5]])
    [1. 1.] [5 0]
    >>> bool((value[1:5] < 8 * marks.noise).all())  # what chance makes of 1024 shifts
    True
    """
    _check_alike(one, other)
    shape = len(one), len(other)
    barred = np.zeros(shape, bool) if exclude is None else np.asarray(exclude, dtype=bool)
    if barred.shape != shape:
        raise LayoutError(f"exclude of shape {barred.shape} must be {shape}; give a row a field")
    if barred.all(axis=1).any():
        alone = int(np.argmax(barred.all(axis=1)))
        raise LayoutError(f"field {alone} has no other to be compared with; exclude less")
    value, index = np.empty(len(one)), np.empty(len(one), dtype=np.intp)

    def measure(row: int) -> None:
        found = np.where(barred[row], -np.inf, _row(one.modes[row], other))
        index[row] = np.argmax(found)
        value[row] = found[index[row]]

    for_each(measure, range(len(one)), workers)
    return value, index


def _check_alike(one: Signatures, other: Signatures) -> None:
    kinds = [(s.dimension, s.grid, s.largest, s.modes.shape[1]) for s in (one, other)]
    if kinds[0] != kinds[1]:
        raise LayoutError(
            "signatures: dimension, grid of shifts, largest |n|^2 and width are "
            f"{kinds[0]} and {kinds[1]}; make both of fields of one kind, with one band"
        )


def _row(field: NDArray[np.complex64], other: Signatures) -> Array:
    """Return the resemblance of one signature to each of the others, always in the same blocks."""
    turned = _turned(field)[:, None]
    transforms = max(1, _CHUNK_CELLS // other.grid**field.ndim)
    step = max(1, transforms // len(turned))
    turns = range(0, len(turned), max(1, transforms // step))
    found = np.empty(len(other))
    for start in range(0, len(other), step):
        block = other.modes[start : start + step]
        best = [_largest(turned[at : at + turns.step] * block, other.grid) for at in turns]
        found[start : start + step] = np.max(best, axis=0)
    return found


def _largest(modes: NDArray[np.complex64], grid: int) -> NDArray[np.float32]:
    """Return the largest value over turns and shifts of products (turns, m, S, ...) of modes: (m,)."""
    for axis in range(2, modes.ndim - 1):
        modes = scipy.fft.ifft(
            _widen(modes, axis, grid), axis=axis, norm="forward", overwrite_x=True
        )
    shifts = scipy.fft.irfft(modes, n=grid, norm="forward", overwrite_x=True)
    largest: NDArray[np.float32] = shifts.reshape(*modes.shape[:2], -1).max(axis=(0, 2))
    return largest


def _widen(modes: NDArray[np.complex64], axis: int, grid: int) -> NDArray[np.complex64]:
    """Insert zeros between the positive and the negative wavenumbers of an axis."""
    side = modes.shape[axis]
    if side == grid:
        return modes
    shape = list(modes.shape)
    shape[axis] = grid - side
    middle = np.zeros(shape, dtype=modes.dtype)
    low, high = np.split(modes, [side // 2 + 1], axis=axis)
    return np.concatenate([low, middle, high], axis=axis)


def _turned(field: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Return the conjugate transforms of a field under all symmetries, mirrored about cell 0."""
    place, conjugate = _symmetries(field.shape[0], field.ndim)
    modes = field.ravel()[place]
    return np.where(conjugate, modes, modes.conj())


@functools.lru_cache(maxsize=8)
def _symmetries(side: int, dimension: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Say where the modes of a turned field stand in the field, and which are Hermitian partners."""
    n = _wavevectors(side, dimension)
    places, partners = [], []
    for order in itertools.permutations(range(dimension)):
        for signs in itertools.product((1, -1), repeat=dimension):
            turned = n[list(order)] * np.reshape(signs, (-1, *[1] * dimension))
            beyond = turned[-1] < 0
            turned = np.where(beyond, -turned, turned)
            places.append(np.ravel_multi_index((*(turned[:-1] % side), turned[-1]), n.shape[1:]))
            partners.append(beyond)
    return np.array(places), np.array(partners)


@functools.lru_cache(maxsize=8)
def _squares(side: int, dimension: int) -> tuple[NDArray[np.int64], Array]:
    """Return |n|^2 of the modes of a real transform, and how many each of them stands for."""
    last = np.arange(side // 2 + 1)
    partners = np.where((last == 0) | (2 * last == side), 1.0, 2.0)
    square: NDArray[np.int64] = (_wavevectors(side, dimension) ** 2).sum(axis=0)
    return square, np.broadcast_to(partners, square.shape)


def _wavevectors(side: int, dimension: int) -> NDArray[np.int64]:
    """Return n of the modes of a real transform: (d, S, S // 2 + 1) or (d, S, S, S // 2 + 1)."""
    n = np.arange(side)
    n = np.where(n > side // 2, n - side, n)
    last = np.arange(side // 2 + 1)
    return np.stack(np.meshgrid(*[n] * (dimension - 1), last, indexing="ij"))


def _mean_power(modes: NDArray[np.complex128], largest: int) -> Array:
    square, partners = _squares(modes.shape[1], modes.ndim - 1)
    power = np.mean(np.abs(modes) ** 2, axis=0) if len(modes) else np.zeros(square.shape)
    length = max(square.max(), largest) + 1  # no mode need have just the largest |n|^2
    sums = np.bincount(square.ravel(), (partners * power).ravel(), length)
    counts = np.bincount(square.ravel(), partners.ravel(), length)
    return np.asarray((sums / np.maximum(counts, 1))[: largest + 1])


def _low_modes(
    fields: ArrayLike, band: float, scale: float
) -> tuple[NDArray[np.complex128], int, int]:
    """Return the kept modes of log1p(rho / scale), the largest |n|^2 and the cells per side."""
    stacked = finite(stack(fields, 1.0))
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    # a band of a / b means whole wavenumbers, not what rounding leaves of them
    largest = math.floor((band * grid / 2) ** 2 * (1 + 1e-12)) if 0 < band <= 1 else 0
    if largest < 1 or not 0 < scale < math.inf:
        raise RecipeError(
            f"band = {band} keeps no mode of {grid} cells, or scale = {scale} is not positive; "
            f"give a band from {2 / grid:.3g} to 1 and a positive density"
        )
    negative = stacked.reshape(len(stacked), -1).min(axis=1) < 0
    if negative.any():
        raise LayoutError(
            f"field {int(np.argmax(negative))} is negative somewhere; give density over mean"
        )
    side = min(2 * math.isqrt(largest) + 1, grid)
    square, _ = _squares(side, dimension)
    low = np.ix_(
        *[np.arange(side) + (grid - side) * (np.arange(side) > side // 2)] * (dimension - 1)
    )
    modes = np.empty((len(stacked), *square.shape), dtype=np.complex128)
    axes = tuple(range(1, dimension + 1))
    step = max(1, _CHUNK_CELLS // grid**dimension)
    for start in range(0, len(stacked), step):
        part = np.log1p(stacked[start : start + step].astype(np.float64) / scale)
        part -= part.mean(axis=axes, keepdims=True)
        whole = scipy.fft.rfftn(part, axes=axes, overwrite_x=True)
        modes[start : start + step] = whole[..., : square.shape[-1]][(slice(None), *low)]
    return np.where((square > 0) & (square <= largest), modes, 0), largest, grid
