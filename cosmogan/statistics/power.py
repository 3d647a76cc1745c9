"""The power spectrum of periodic fields: one real FFT and one sweep over its modes.

P(k) = |FFT(delta)|^2 L^d / N^(2d), the mean over all modes of a shell, in (Mpc/h)^d. The zero mode
never enters; delta and 1 + delta give the same answer. Neither the mass-assignment window nor shot
noise is taken out unless it is asked for: a generated field has no particles, so compare like with
like. `cosmogan.statistics.particles` measures particles themselves, with interlaced grids.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics import assignment
from cosmogan.statistics.shells import Edges, Fields, Modes, Shells, for_each, shells, stack

_log = logging.getLogger(__name__)

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
    shot_noise: NDArray[np.float64] | None = None
    """(b,) what was subtracted from `power` for the particles [(Mpc/h)^d]; None if nothing was."""

    @property
    def error(self) -> NDArray[np.float64]:
        """Scatter P sqrt(2 / modes) of a Gaussian field from box to box, P with its shot noise."""
        total = self.power if self.shot_noise is None else self.power + self.shot_noise
        scatter: NDArray[np.float64] = total * np.sqrt(2.0 / self.modes)
        return scatter


def power_spectrum(
    delta: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    *,
    window: str | None = None,
    particles: float | None = None,
    workers: int = 1,
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
        integers from 1 to N // 2, the last whole shell below the Nyquist wavenumber; shells beyond that
        lack modes, and are warned of.
    window : {"ngp", "cic", "tsc", "pcs"}, optional
        Mass assignment to divide out, mode by mode; images of higher wavenumbers stay, so trust
        nothing beyond half the Nyquist wavenumber.
    particles : float, optional
        How many equal particles were painted: the shot noise L^d / particles, aliased as `window`
        does, is subtracted. Slices that were painted in three dimensions and then averaged have less: the window
        smooths along the line of sight too (CIC slabs one cell thick two thirds of it, two cells thick five sixths).
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
        If the box size or the edges make no sense, the window is unknown, or missing for the
        particles.

    Examples
    --------
    >>> import numpy as np
    >>> wave = 0.1 * np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    >>> spectrum = power_spectrum(np.tile(wave, (16, 1)), box_size=100.0)
    >>> np.round(spectrum.power * spectrum.modes, 3)  # two modes of A^2 L^2 / 4
    array([ 0.,  0., 50.,  0.,  0.,  0.,  0.])
    """
    stacked = stack(np.asarray(delta)[None], box_size)
    k, power, modes = power_spectra(stacked, box_size, edges, window=window, workers=workers)
    if particles is None:
        return PowerSpectrum(k, power[0], modes)
    if window is None or not particles > 0:
        raise RecipeError(
            f"particles = {particles}, window = {window}: give how many there are and how they were "
            f"painted"
        )
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    level = box_size**dimension / particles
    shot = level * mean_shot_noise(found, grid, dimension, window, interlaced=False)
    return PowerSpectrum(k, power[0] - shot, modes, shot)


def power_spectra(
    fields: ArrayLike,
    box_size: float,
    edges: Edges | None = None,
    *,
    window: str | None = None,
    workers: int = 1,
) -> Spectra:
    """Measure the power spectra of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean, one field on each row of the first axis.
    box_size, edges, window, workers
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
    if found.edges[-1] > grid / 2:
        _log.warning(
            "edges reach to %g, beyond the Nyquist wavenumber %g: shells there lack modes",
            found.edges[-1],
            grid / 2,
        )
    sums = _square_sums(stacked, found, window, workers)
    if not np.isfinite(sums).all():
        bad = int(np.argmin(np.isfinite(sums).all(axis=1)))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    power = sums * (box_size / grid**2) ** dimension / found.modes
    return found.length * (2 * np.pi / box_size), power, found.modes.copy()


def default_edges(grid: int) -> NDArray[np.float64]:
    """Return the integers from 1 to grid // 2 [fundamental]."""
    return np.arange(1.0, grid // 2 + 1)


def log_edges(grid: int, per_decade: float = 10) -> NDArray[np.float64]:
    """Return edges from 1 to grid // 2, evenly spaced in the logarithm but at least 1 apart [fundamental].

    The lowest are so the integers, since narrower shells may hold no mode, and the last shell may be
    wider than the others by less than 1 or one step.

    Raises
    ------
    RecipeError
        If there are not more than 0 shells per decade, or the grid is too small for one.
    """
    last = grid // 2
    if not 0 < per_decade < np.inf or last < 2:
        raise RecipeError(
            f"grid = {grid}, per_decade = {per_decade}: give 4 cells and more than 0 at least"
        )
    edges = [1.0]
    while (wider := max(edges[-1] + 1, edges[-1] * 10 ** (1 / per_decade))) <= last:
        edges.append(wider)
    if len(edges) > 1:
        edges.pop()
    return np.array([*edges, float(last)])


def mean_shot_noise(
    found: Shells, grid: int, dimension: int, window: str, *, interlaced: bool
) -> NDArray[np.float64]:
    """Return the shot noise over V / N in each shell, the window divided out: (b,)."""
    squared = assignment.window_squared(grid, window)
    parts = assignment.shot_noise(grid, window, interlaced=interlaced)
    shot: NDArray[np.float64] = np.sum(
        [f * assignment.mean_of_product(found, grid, dimension, t / squared) for f, t in parts],
        axis=0,
    )
    return shot


def _weights(
    grid: int, window: str | None, plane: Sequence[int] | NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return |n|^2 and 1 / W^2 of planes of a transform, and 1 / W^2 along an axis."""
    inverse = 1 / assignment.window_squared(grid, window)
    n = np.asarray(plane, dtype=np.int64)
    return n**2, inverse[n], inverse


def _square_sums(
    fields: Fields, found: Shells, window: str | None, workers: int
) -> NDArray[np.float64]:
    """Sum |FFT|^2 over the modes of each shell of each field: (n, b)."""
    if fields.ndim == 4:
        cubes = (scipy.fft.rfftn(cube, workers=workers) for cube in fields)
        return np.array([sums_of_modes(modes, found, window, workers) for modes in cubes])
    step = max(1, _CHUNK_CELLS // fields[0].size)
    out = np.empty((len(fields), len(found.modes) + 1))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        modes: Modes = scipy.fft.rfft2(fields[part], workers=1)
        planes = _weights(fields.shape[-1], window, np.zeros(len(modes), np.int64))
        _sweep(modes, *planes, found.of_square, out[part])

    for_each(measure, range(0, len(fields), step), workers)
    return out[:, :-1]


def sums_of_modes(
    modes: Modes, found: Shells, window: str | None, workers: int
) -> NDArray[np.float64]:
    """Sum |FFT|^2 / W^2 over each shell, plane by plane, so that threads cannot change the order.

    Parameters
    ----------
    modes : (N, N // 2 + 1) or (N, N, N // 2 + 1) ndarray
        Transform of one field.
    found : Shells
        b shells of that grid.
    window : str or None
        Mass assignment to divide out.
    workers : int
        Threads.

    Returns
    -------
    (b,) ndarray
    """
    grid = len(modes)
    if modes.ndim == 2:
        one = np.empty((1, len(found.modes) + 1))
        _sweep(modes[None], *_weights(grid, window, [0]), found.of_square, one)
        return one[0, :-1]
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    planes = np.empty((grid, len(found.modes)))
    step = -(-grid // (4 * workers))

    def measure(start: int) -> None:
        part = slice(start, start + step)
        planes[part] = sums_of_planes(modes[part], n[part], found, window)

    for_each(measure, range(0, grid, step), workers)
    total: NDArray[np.float64] = planes.sum(axis=0)
    return total


def sums_of_planes(
    modes: Modes,
    plane: Sequence[int] | NDArray[np.int64],
    found: Shells,
    window: str | None = None,
) -> NDArray[np.float64]:
    """Sum |FFT|^2 / W^2 over each shell, in each of some planes across the transform of a cube.

    Parameters
    ----------
    modes : (p, N, N // 2 + 1) ndarray
        Rows run along the other axis that is not halved.
    plane : (p,) array_like of int
        Wavenumber |n| of each plane along the axis it lies across, 0 to N // 2.
    found, window
        As in `sums_of_modes`.

    Returns
    -------
    (p, b) ndarray
        Each row depends on its plane alone; all N of them add up to `sums_of_modes`.
    """
    out = np.empty((len(modes), len(found.modes) + 1))
    _sweep(modes, *_weights(modes.shape[1], window, plane), found.of_square, out)
    return out[:, :-1]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    modes: Modes,
    offset: NDArray[np.int64],
    factor: NDArray[np.float64],
    inverse: NDArray[np.float64],
    of_square: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Sum |mode|^2 by shell over each plane (rows, half of the columns) of a real transform.

    A mode of plane p, row y and column z has |n|^2 = offset[p] + n_y^2 + z^2 and the weight
    factor[p] inverse[|n_y|] inverse[z]. Neighbours mostly fall into one shell: two sums that take
    turns spare the processor waiting for the last addition.
    """
    planes, rows, columns = modes.shape
    shells_and_rest = out.shape[1]
    partners = np.full(columns, 2.0)
    partners[0] = 1.0
    if rows % 2 == 0:
        partners[columns - 1] = 1.0
    partners *= inverse
    sums = np.empty((2, shells_and_rest))
    for p in range(planes):
        sums[:] = 0.0
        for y in range(rows):
            ny = min(y, rows - y)
            square = offset[p] + ny**2
            weight = factor[p] * inverse[ny]
            for z in range(columns):
                real = np.float64(modes[p, y, z].real)
                imaginary = np.float64(modes[p, y, z].imag)
                power = weight * partners[z] * (real * real + imaginary * imaginary)
                sums[z & 1, of_square[square + z * z]] += power
        for i in range(shells_and_rest):
            out[p, i] = sums[0, i] + sums[1, i]
