"""The cross power spectrum of pairs of periodic fields: how much of one is in the other.

With a = FFT(first) and b = FFT(second), in the shells and the normalisation of `power`::

    P12(k) = Re(a b*) L^d / N^(2d), the mean over all modes of a shell        [(Mpc/h)^d]
    r(k)   = P12 / sqrt(P1 P2)                                                [1]
    T(k)   = sqrt(P1 / P2)                                                    [1]

P1 and P2 are the power spectra of the fields, from the same two transforms. r is 1 where the fields
have the same phases and a fixed ratio of amplitudes, and scatters about 0 by 1 / sqrt(modes) where
they are Gaussian and know nothing of each other. T is the ratio of the amplitudes whatever the
phases, first over second: an emulated field is the first, the true one the second.
"""

from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError
from cosmogan.statistics.power import default_edges
from cosmogan.statistics.shells import Edges, Fields, Modes, Shells, for_each, shells, stack

CrossSpectra = tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int64],
]

# Half of that of `power`: here the transforms of two fields share the cache.
_CHUNK_CELLS = 1 << 18


@dataclass(frozen=True, eq=False)
class CrossSpectrum:
    """Cross power and both powers of a pair of fields in shells of wavenumber."""

    k: NDArray[np.float64]
    """(b,) mean |k| of the modes of a shell [h/Mpc]."""
    power: NDArray[np.float64]
    """(b,) mean of Re(a b*) over these modes, of either sign [(Mpc/h)^d]."""
    first: NDArray[np.float64]
    """(b,) mean power of the first field [(Mpc/h)^d]."""
    second: NDArray[np.float64]
    """(b,) mean power of the second field [(Mpc/h)^d]."""
    modes: NDArray[np.int64]
    """(b,) how many, Hermitian partners included."""

    @property
    def coherence(self) -> NDArray[np.float64]:
        """(b,) r(k), from -1 to 1 but for rounding; 0 where a field has no power.

        Over independent Gaussian fields it scatters about 0 by 1 / sqrt(modes).
        """
        return quotient(self.power, np.sqrt(self.first) * np.sqrt(self.second))

    @property
    def transfer(self) -> NDArray[np.float64]:
        """(b,) T(k) = sqrt(first / second), first over second; 0 where the second has no power."""
        return quotient(np.sqrt(self.first), np.sqrt(self.second))


def cross_spectrum(
    first: ArrayLike,
    second: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    *,
    workers: int = 1,
) -> CrossSpectrum:
    """Measure the cross power spectrum of one pair of periodic fields.

    Parameters
    ----------
    first, second : (N, N) or (N, N, N) array_like
        Overdensity, or density over mean, of one shape.
    box_size, edges, workers
        As in `power.power_spectrum`.

    Returns
    -------
    CrossSpectrum
        Its `first` and `second` have the bits of `power.power_spectrum` of each field.

    Raises
    ------
    LayoutError
        If a field is not square or cubic, or not finite, or the shapes differ.
    RecipeError
        If the box size or the edges make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.tile(np.cos(2 * np.pi * 3 * np.arange(24) / 24), (24, 1))
    >>> later = 0.5 * np.roll(wave, 1, axis=1)  # 3 / 24 of a turn behind
    >>> found = cross_spectrum(wave, later, box_size=100.0, edges=[3, 4])
    >>> np.round(np.concatenate([found.coherence, found.transfer]), 4)
    array([0.7071, 2.    ])
    """
    pair = np.asarray(first)[None], np.asarray(second)[None]
    k, power, one, two, modes = cross_spectra(*pair, box_size, edges, workers=workers)
    return CrossSpectrum(k, power[0], one[0], two[0], modes)


def cross_spectra(
    first: ArrayLike,
    second: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    *,
    workers: int = 1,
) -> CrossSpectra:
    """Measure the cross power spectra of many pairs of periodic fields.

    Parameters
    ----------
    first, second : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean; row i of one is paired with row i of the other.
    box_size, edges, workers
        As in `power.power_spectrum`.

    Returns
    -------
    k : (b,) ndarray
        Mean |k| of the modes of a shell [h/Mpc].
    cross : (n, b) ndarray
        Mean of Re(a b*) over these modes, one row a pair [(Mpc/h)^d].
    first, second : (n, b) ndarray
        Mean power of each field, in the bits of `power.power_spectra` [(Mpc/h)^d].
    modes : (b,) ndarray of int
        How many, Hermitian partners included.

    Raises
    ------
    LayoutError, RecipeError
        As in `cross_spectrum`.
    """
    pairs = stack(first, box_size), stack(second, box_size)
    shape = pairs[0].shape
    if shape != pairs[1].shape:
        raise LayoutError(
            f"first is of shape {shape}, second of shape {pairs[1].shape}; pair equal shapes"
        )
    grid, dimension = shape[-1], len(shape) - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    sums = _product_sums(*pairs, found, workers)
    for i, name in enumerate(("first", "second")):
        finite = np.isfinite(sums[:, i]).all(axis=1)
        if not finite.all():
            bad = int(np.argmin(finite))
            raise LayoutError(f"{name} field {bad} holds a value that is not finite; make it again")
    factor = (box_size / grid**2) ** dimension
    one, two, cross = (sums[:, i] * factor / found.modes for i in range(3))
    return found.length * (2 * np.pi / box_size), cross, one, two, found.modes.copy()


def quotient(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return above / below, 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _product_sums(
    first: Fields, second: Fields, found: Shells, workers: int
) -> NDArray[np.float64]:
    """Sum |a|^2, |b|^2 and Re(a b*) over the modes of each shell of each pair: (n, 3, b)."""
    if first.ndim == 4:
        pairs = zip(first, second, strict=True)
        return np.array([_sums_of_cubes(*pair, found, workers) for pair in pairs])
    step = max(1, _CHUNK_CELLS // first[0].size)
    out = np.empty((len(first), 3, len(found.modes) + 1))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        a: Modes = scipy.fft.rfft2(first[part], workers=1)
        b: Modes = scipy.fft.rfft2(second[part], workers=1)
        _sweep(a, b, np.zeros(len(a), np.int64), found.of_square, out[part])

    for_each(measure, range(0, len(first), step), workers)
    return out[..., :-1]


def _sums_of_cubes(
    first: Fields, second: Fields, found: Shells, workers: int
) -> NDArray[np.float64]:
    """Sum over each shell, plane by plane, so that threads cannot change the order: (3, b)."""
    grid = len(first)
    a: Modes = scipy.fft.rfftn(first, workers=workers)
    b: Modes = scipy.fft.rfftn(second, workers=workers)
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    planes = np.empty((grid, 3, len(found.modes) + 1))
    step = -(-grid // (4 * workers))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        _sweep(a[part], b[part], n[part] ** 2, found.of_square, planes[part])

    for_each(measure, range(0, grid, step), workers)
    # One by one: numpy then adds in the very order of `power`, even where there is one shell.
    return np.array([planes[:, i, :-1].sum(axis=0) for i in range(3)])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    first: Modes,
    second: Modes,
    offset: NDArray[np.int64],
    of_square: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Sum |a|^2, |b|^2 and Re(a b*) by shell over each plane of two real transforms.

    As `power` does, in the same order: a mode of plane p, row y and column z has |n|^2 =
    offset[p] + n_y^2 + z^2, and two sums take turns.
    """
    planes, rows, columns = first.shape
    partners = np.full(columns, 2.0)
    partners[0] = 1.0
    if rows % 2 == 0:
        partners[columns - 1] = 1.0
    sums = np.empty((2, out.shape[2], 3))
    for p in range(planes):
        sums[:] = 0.0
        for y in range(rows):
            square = offset[p] + min(y, rows - y) ** 2
            for z in range(columns):
                a, b = np.complex128(first[p, y, z]), np.complex128(second[p, y, z])
                of_shell = sums[z & 1, of_square[square + z * z]]
                of_shell[0] += partners[z] * (a.real * a.real + a.imag * a.imag)
                of_shell[1] += partners[z] * (b.real * b.real + b.imag * b.imag)
                of_shell[2] += partners[z] * (a.real * b.real + a.imag * b.imag)
        for shell in range(out.shape[2]):
            for i in range(3):
                out[p, i, shell] = sums[0, shell, i] + sums[1, shell, i]
