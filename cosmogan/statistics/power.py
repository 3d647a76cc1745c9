"""The power spectrum of periodic fields: one real FFT and one sweep over its modes.

P(k) = |FFT(delta)|^2 L^d / N^(2d), the mean over all modes of a shell, in (Mpc/h)^d. Neither the
mass-assignment window nor shot noise is taken out: a generated field has no particles, so compare
like with like. The zero mode never enters; delta and 1 + delta give the same answer.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError
from cosmogan.statistics.shells import Edges, Fields, Modes, Shells, shells, stack

Spectra = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]

# Transforms that stay in the cache are twice as fast as those that do not (measured, 256^2).
_CHUNK_CELLS = 1 << 19


@dataclass(frozen=True, eq=False)
class PowerSpectrum:
    """Power in shells of wavenumber."""

    k: NDArray[np.float64]
    """(b,) mean |k| of the modes of a shell [h/Mpc]."""
    power: NDArray[np.float64]
    """(b,) mean power of these modes [(Mpc/h)^d]."""
    modes: NDArray[np.int64]
    """(b,) how many, Hermitian partners included."""

    @property
    def error(self) -> NDArray[np.float64]:
        """Scatter P sqrt(2 / modes) of a Gaussian field from box to box [(Mpc/h)^d]."""
        return self.power * np.sqrt(2.0 / self.modes)


def power_spectrum(
    delta: ArrayLike, box_size: float, edges: Edges | None = None, *, workers: int = 1
) -> PowerSpectrum:
    """Measure the power spectrum of one periodic field.

    Parameters
    ----------
    delta : (N, N) or (N, N, N) array_like
        Overdensity, or density over mean.
    box_size : float
        Side L of the box [Mpc/h].
    edges : (b + 1,) array_like, optional
        Edges of the shells, edges[i] <= |n| < edges[i + 1] [fundamental 2 pi / L]. Default: the
        integers from 1 to N // 2, the last whole shell below the Nyquist wavenumber.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    PowerSpectrum
        In two dimensions P is in (Mpc/h)^2, and not a cut through the three-dimensional one.

    Raises
    ------
    LayoutError
        If the field is not square or cubic, or not finite.
    RecipeError
        If the box size or the edges make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> wave = 0.1 * np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    >>> spectrum = power_spectrum(np.tile(wave, (16, 1)), box_size=100.0)
    >>> np.round(spectrum.power * spectrum.modes, 3)  # two modes of A^2 L^2 / 4
    array([ 0.,  0., 50.,  0.,  0.,  0.,  0.])
    """
    k, power, modes = power_spectra(np.asarray(delta)[None], box_size, edges, workers=workers)
    return PowerSpectrum(k, power[0], modes)


def power_spectra(
    fields: ArrayLike, box_size: float, edges: Edges | None = None, *, workers: int = 1
) -> Spectra:
    """Measure the power spectra of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean, one field on each row of the first axis.
    box_size, edges, workers
        As in `power_spectrum`.

    Returns
    -------
    k : (b,) ndarray
        Mean |k| of the modes of a shell [h/Mpc].
    power : (n, b) ndarray
        Mean power of these modes, one row a field [(Mpc/h)^d].
    modes : (b,) ndarray of int
        How many, Hermitian partners included.

    Raises
    ------
    LayoutError, RecipeError
        As in `power_spectrum`.
    """
    stacked = stack(fields, box_size)
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    sums = _square_sums(stacked, found, workers)
    if not np.isfinite(sums).all():
        bad = int(np.argmin(np.isfinite(sums).all(axis=1)))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    power = sums * (box_size / grid**2) ** dimension / found.modes
    return found.length * (2 * np.pi / box_size), power, found.modes.copy()


def default_edges(grid: int) -> NDArray[np.float64]:
    """Return the integers from 1 to grid // 2 [fundamental]."""
    return np.arange(1.0, grid // 2 + 1)


def _square_sums(fields: Fields, found: Shells, workers: int) -> NDArray[np.float64]:
    """Sum |FFT|^2 over the modes of each shell of each field: (n, b)."""
    if fields.ndim == 4:
        return np.array([_sums_of_cube(cube, found, workers) for cube in fields])
    step = max(1, _CHUNK_CELLS // fields[0].size)
    out = np.empty((len(fields), len(found.modes) + 1))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        modes: Modes = scipy.fft.rfft2(fields[part], workers=1)
        _sweep(modes, np.zeros(len(modes), np.int64), found.of_square, out[part])

    _for_each(measure, range(0, len(fields), step), workers)
    return out[:, :-1]


def _sums_of_cube(cube: Fields, found: Shells, workers: int) -> NDArray[np.float64]:
    """Sum |FFT|^2 over each shell, plane by plane, so that threads cannot change the order: (b,)."""
    grid = len(cube)
    modes: Modes = scipy.fft.rfftn(cube, workers=workers)
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    planes = np.empty((grid, len(found.modes) + 1))
    step = -(-grid // (4 * workers))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        _sweep(modes[part], n[part] ** 2, found.of_square, planes[part])

    _for_each(measure, range(0, grid, step), workers)
    total: NDArray[np.float64] = planes[:, :-1].sum(axis=0)
    return total


def _for_each(function: Callable[[int], None], items: Sequence[int], workers: int) -> None:
    if workers == 1:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(function, items):
            pass


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    modes: Modes,
    offset: NDArray[np.int64],
    of_square: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Sum |mode|^2 by shell over each plane (rows, half of the columns) of a real transform.

    A mode of plane p, row y and column z has |n|^2 = offset[p] + n_y^2 + z^2. Neighbours mostly
    fall into one shell: two sums that take turns spare the processor waiting for the last addition.
    """
    planes, rows, columns = modes.shape
    shells_and_rest = out.shape[1]
    partners = np.full(columns, 2.0)
    partners[0] = 1.0
    if rows % 2 == 0:
        partners[columns - 1] = 1.0
    sums = np.empty((2, shells_and_rest))
    for p in range(planes):
        sums[:] = 0.0
        for y in range(rows):
            square = offset[p] + min(y, rows - y) ** 2
            for z in range(columns):
                real = np.float64(modes[p, y, z].real)
                imaginary = np.float64(modes[p, y, z].imag)
                power = partners[z] * (real * real + imaginary * imaginary)
                sums[z & 1, of_square[square + z * z]] += power
        for i in range(shells_and_rest):
            out[p, i] = sums[0, i] + sums[1, i]
