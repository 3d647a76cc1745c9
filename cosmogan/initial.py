"""Initial conditions: Gaussian modes, Zel'dovich and second-order displacements.

A particle that starts at ``q`` on the lattice stands at ``x = q + D psi1 + D2 psi2``, where ``D`` is
`cosmogan.cosmology.growth_factor` and ``D2``, near ``-3/7 D^2``, `second_order_growth`. With the
linear density ``delta`` at redshift 0 and ``laplace(phi) = delta``::

    psi1 = -grad(phi)
    psi2 = grad(phi2),  laplace(phi2) = sum over i < j of  phi,ii phi,jj - phi,ij^2

(Bouchet et al. 1995, A&A 296, 575; Scoccimarro 1998, MNRAS 299, 1097, appendix D).
"""

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmogan.errors import RecipeError
from cosmogan.mesh import at_cell_centres, frequencies, wavenumbers, white_noise_modes

Power = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A spectrum: k [h/Mpc] to P [(Mpc/h)^3]."""


def linear_modes(
    seed: int,
    grid: int,
    box_size: float,
    power: Power,
    *,
    fixed: bool = False,
    paired: bool = False,
) -> NDArray[np.complex64]:
    """Return the modes of a Gaussian linear density at redshift 0.

    Parameters
    ----------
    seed : int
        Which universe; the same on any grid (see `cosmogan.mesh.white_noise_modes`).
    grid : int
        Cells per side.
    box_size : float
        Side of the box [Mpc/h].
    power : callable
        Linear spectrum at redshift 0, k [h/Mpc] to [(Mpc/h)^3].
    fixed : bool
        Give every mode exactly the amplitude sqrt(P) (Angulo & Pontzen 2016, MNRAS 462, L1).
    paired : bool
        Turn every phase by pi: the partner of the box of the same seed.

    Raises
    ------
    RecipeError
        If `power` is negative or not finite.

    Returns
    -------
    (grid, grid, grid // 2 + 1) complex64 array
        Unnormalised rfftn of delta; zero mode and Nyquist planes are zero.
    """
    modes = white_noise_modes(seed, grid)
    if fixed:
        _fix_amplitudes(modes, grid**1.5)
    amplitude = np.sqrt(_shell_values(power, grid, box_size) * (grid / box_size) ** 3)
    modes *= -amplitude if paired else amplitude
    return modes


def density(delta_k: NDArray[np.complex64], threads: int = 1) -> NDArray[np.float32]:
    """Return the linear overdensity at the centres of cells, (grid, grid, grid)."""
    grid = delta_k.shape[0]
    return _field(at_cell_centres(delta_k, grid), threads)


def displacements(
    delta_k: NDArray[np.complex64], box_size: float, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the first and second order displacements of a lattice at cell centres.

    Parameters
    ----------
    delta_k : (grid, grid, grid // 2 + 1) complex64 array
        Linear density at redshift 0, as `linear_modes` makes it.
    box_size : float
        Side of the box [Mpc/h].
    threads : int
        Workers of the Fourier transforms; the bits do not depend on it.

    Returns
    -------
    first, second : (grid^3, 3) float32 array
        psi1 and psi2 of the module's head, in the order of the lattice [Mpc/h].
    """
    grid = delta_k.shape[0]
    k = [component.astype(np.float32) for component in wavenumbers(grid, box_size)]
    inverse = _inverse_laplacian(k)
    potential = at_cell_centres(delta_k, grid)
    potential *= inverse
    first = _gradient(potential, k, threads)
    np.negative(first, out=first)
    source = _second_order_source(potential, k, threads)
    potential = scipy.fft.rfftn(source, workers=threads)
    potential *= inverse
    _clear_nyquist(potential)
    return first, _gradient(potential, k, threads)


def lattice(grid: int, box_size: float) -> NDArray[np.float32]:
    """Return the centres of cells, (grid^3, 3) [Mpc/h], last axis fastest."""
    centres = ((np.arange(grid) + 0.5) * (box_size / grid)).astype(np.float32)
    points = np.empty((grid, grid, grid, 3), dtype=np.float32)
    points[..., 0] = centres[:, None, None]
    points[..., 1] = centres[:, None]
    points[..., 2] = centres
    return points.reshape(-1, 3)


def _fix_amplitudes(modes: NDArray[np.complex64], amplitude: float) -> None:
    found = np.abs(modes)
    found[found == 0] = 1
    modes *= np.float32(amplitude) / found


def _shell_values(power: Power, grid: int, box_size: float) -> NDArray[np.float64]:
    """Return P at every mode, from a table over the integer |n|^2, with P(0) = 0."""
    squares = [(n * n).astype(np.int64) for n in frequencies(grid)]
    largest = sum(int(n.max()) for n in squares)
    table = np.zeros(largest + 1)
    table[1:] = power(np.sqrt(np.arange(1, largest + 1)) * (2 * np.pi / box_size))
    if not (np.isfinite(table) & (table >= 0)).all():
        raise RecipeError(
            "power: negative or not finite at some k; give a spectrum that is neither"
        )
    values: NDArray[np.float64] = table[squares[0] + squares[1] + squares[2]]
    return values


def _inverse_laplacian(k: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    square = np.asarray(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    square[0, 0, 0] = 1
    inverse = np.asarray(-1 / square, dtype=np.float32)
    inverse[0, 0, 0] = 0
    return inverse


def _gradient(
    potential: NDArray[np.complex64], k: list[NDArray[np.float32]], threads: int
) -> NDArray[np.float32]:
    grid = potential.shape[0]
    result = np.empty((grid, grid, grid, 3), dtype=np.float32)
    for axis in range(3):
        result[..., axis] = _field(potential * (1j * k[axis]).astype(np.complex64), threads)
    return result.reshape(-1, 3)


def _second_order_source(
    potential: NDArray[np.complex64], k: list[NDArray[np.float32]], threads: int
) -> NDArray[np.float32]:
    def second_derivative(i: int, j: int) -> NDArray[np.float32]:
        return _field(potential * (-k[i] * k[j]), threads)

    xx, yy = second_derivative(0, 0), second_derivative(1, 1)
    source = xx * yy
    xx += yy
    xx *= second_derivative(2, 2)
    source += xx
    for i, j in ((0, 1), (0, 2), (1, 2)):
        mixed = second_derivative(i, j)
        mixed *= mixed
        source -= mixed
    return source


def _clear_nyquist(modes: NDArray[np.complex64]) -> None:
    grid = modes.shape[0]
    if grid % 2 == 0:
        half = grid // 2
        modes[half] = 0
        modes[:, half] = 0
        modes[:, :, half] = 0


def _field(modes: NDArray[np.complex64], threads: int) -> NDArray[np.float32]:
    grid = modes.shape[0]
    field: NDArray[np.float32] = scipy.fft.irfftn(modes, s=(grid,) * 3, workers=threads)
    return field
