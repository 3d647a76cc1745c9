"""The power spectrum of particles: painted on one grid or on two interlaced ones.

Windows are divided out mode by mode and the shot noise is subtracted as the grid aliases it
(`cosmogan.statistics.assignment`). With interlacing and tsc the images that remain are below half a
per cent at half the Nyquist wavenumber.
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.mesh import at_cell_centres, paint
from cosmogan.statistics.power import (
    PowerSpectrum,
    default_edges,
    mean_shot_noise,
    sums_of_modes,
)
from cosmogan.statistics.shells import Edges, Modes, shells


def particle_spectrum(
    positions: ArrayLike,
    grid: int,
    box_size: float,
    edges: Edges | None = None,
    *,
    window: str = "tsc",
    interlaced: bool = True,
    weights: ArrayLike | None = None,
) -> PowerSpectrum:
    """Measure the power spectrum of particles in a periodic box.

    Parameters
    ----------
    positions : (n, 2) or (n, 3) float array
        Comoving positions [Mpc/h].
    grid : int
        Cells per side.
    box_size : float
        Side L of the box [Mpc/h].
    edges : (b + 1,) array_like, optional
        As in `power_spectrum`.
    window : {"ngp", "cic", "tsc", "pcs"}
        Mass assignment.
    interlaced : bool
        Whether to average two grids half a cell apart, which cancels the nearest images.
    weights : (n,) float array, optional
        Masses; the shot noise is L^d sum w^2 / (sum w)^2.

    Returns
    -------
    PowerSpectrum
        Without the shot noise, which stands beside it. Transforms run on as many threads as
        `scipy.fft.set_workers` says.

    Raises
    ------
    LayoutError
        If the positions are not of two or three dimensions.
    RecipeError
        If the window is unknown, there is nothing to paint, or the box or the edges make no sense.
    """
    points = np.asarray(positions)
    if points.dtype not in (np.float32, np.float64):
        points = points.astype(np.float64)
    if not 0 < box_size < np.inf:
        raise RecipeError(f"box_size = {box_size} must be a positive length in Mpc/h")
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise LayoutError(f"positions of shape {points.shape}: give (n, 2) or (n, 3)")
    dimension = points.shape[1]
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    modes = _transform(paint(points, grid, box_size, window, weights))
    if interlaced:
        modes = (modes + _half_a_cell_on(points, grid, box_size, window, weights)) / 2
    total = sums_of_modes(modes, found, window, scipy.fft.get_workers())
    shot = mean_shot_noise(found, grid, dimension, window, interlaced=interlaced)
    shot *= box_size**dimension * _inverse_number(len(points), weights)
    power = total * (box_size / grid**2) ** dimension / found.modes - shot
    return PowerSpectrum(found.length * (2 * np.pi / box_size), power, found.modes.copy(), shot)


def _half_a_cell_on(
    points: NDArray[Any], grid: int, box_size: float, window: str, weights: ArrayLike | None
) -> Modes:
    """Return the modes of the particles on a grid half a cell away, brought back by their phases."""
    shifted = points + np.asarray(box_size / (2 * grid), dtype=points.dtype)
    return at_cell_centres(_transform(paint(shifted, grid, box_size, window, weights)), grid)


def _transform(density: NDArray[np.float32]) -> Modes:
    modes: Modes = scipy.fft.rfftn(density)
    return modes


def _inverse_number(count: int, weights: ArrayLike | None) -> float:
    if weights is None:
        return 1 / count
    masses = np.asarray(weights, dtype=np.float64)
    return float((masses**2).sum() / masses.sum() ** 2)
