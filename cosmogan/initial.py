"""Initial conditions: Gaussian modes, Zel'dovich and second-order displacements.

A particle that starts at ``q`` on the lattice stands at ``x = q + D psi1 + D2 psi2``, where ``D`` is
`cosmogan.cosmology.growth_factor` and ``D2``, near ``-3/7 D^2``, `second_order_growth`. With the
linear density ``delta`` at redshift 0 and ``laplace(phi) = delta``::

    psi1 = -grad(phi)
    psi2 = grad(phi2),  laplace(phi2) = sum over i < j of  phi,ii phi,jj - phi,ij^2

(Bouchet et al. 1995, A&A 296, 575; Scoccimarro 1998, MNRAS 299, 1097, appendix D).
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.optimize
from numpy.typing import NDArray

from cosmogan.errors import RecipeError
from cosmogan.mesh import at_cell_centres, frequencies, paint, wavenumbers, white_noise_modes

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
    k = _components(delta_k.shape[0], box_size)
    first, second = _potentials(delta_k, k, threads)
    return _gradient(-first, k, threads), _gradient(second, k, threads)


def collapsed_displacements(
    delta_k: NDArray[np.complex64],
    box_size: float,
    growth: tuple[float, float],
    radius: float,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Return displacements of a lattice that neither overshoot in clumps nor in filaments.

    Above `radius` they are those of second order, below it those of spherical collapse::

        psi = K psi_2LPT + (1 - K) psi_sc,  K(k) = exp(-k^2 radius^2 / 2)
        div psi_sc = 3 (sqrt(1 - 2/3 D delta) - 1), or -3 where that has collapsed

    (augmented LPT; Kitaura & Hess 2013, MNRAS 435, L78, equations 5 to 8).

    Parameters
    ----------
    delta_k : (grid, grid, grid // 2 + 1) complex64 array
        Linear density at redshift 0, as `linear_modes` makes it.
    box_size : float
        Side of the box [Mpc/h].
    growth : tuple of float
        D and D2 at the wanted redshift.
    radius : float
        Where the one takes over from the other [Mpc/h]; 0 is all second order.
    threads : int
        Workers of the Fourier transforms; the bits do not depend on it.

    Returns
    -------
    (grid^3, 3) float32 array
        In the order of the lattice [Mpc/h].
    """
    grid = delta_k.shape[0]
    k = _components(grid, box_size)
    first, second = _potentials(delta_k, k, threads)
    potential = np.float32(growth[1]) * second - np.float32(growth[0]) * first
    if radius > 0:
        linear = np.float32(growth[0]) * density(delta_k, threads)
        collapse = 3 * np.sqrt(np.maximum(1 - np.float32(2 / 3) * linear, 0)) - 3
        alone = scipy.fft.rfftn(collapse, workers=threads) * _inverse_laplacian(k)
        _clear_nyquist(alone)
        potential = alone + _smooth(potential - alone, box_size, radius)
    return _gradient(potential, k, threads)


def displaced_density(
    delta_k: NDArray[np.complex64],
    box_size: float,
    growth: tuple[float, float],
    *,
    radius: float = 0.0,
    window: str = "cic",
    threads: int = 1,
) -> NDArray[np.float32]:
    """Return the density of matter moved by `collapsed_displacements`, over its mean.

    Displacements are computed on the cells and interpolated to particles on a lattice twice as
    fine: with one particle a cell, the lattice would show in voids as stripes.

    Parameters
    ----------
    delta_k, box_size, growth, radius, threads
        As there; `crossing_radius` is a good radius.
    window : {"ngp", "cic", "tsc", "pcs"}
        Mass assignment.

    Returns
    -------
    (grid, grid, grid) float32 array
        Density over its mean.
    """
    matter = displaced_matter(
        delta_k, box_size, growth, radius=radius, window=window, threads=threads
    )
    found: NDArray[np.float32] = matter[0]
    return found


def displaced_matter(
    delta_k: NDArray[np.complex64],
    box_size: float,
    growth: tuple[float, float],
    *,
    radius: float = 0.0,
    carried: Sequence[float] = (),
    window: str = "cic",
    threads: int = 1,
) -> NDArray[np.float32]:
    """Return where matter went, and how dense it was at first.

    Perturbation theory smears clumps out; the initial density of the matter in them tells where they
    have collapsed. Fields carried along are also what Lagrangian bias is expanded in (Modi, Chen &
    White 2020, MNRAS 492, 5754).

    Parameters
    ----------
    delta_k, box_size, growth, radius, window, threads
        As for `displaced_density`.
    carried : sequence of float
        Gaussian radii over which the initial density is smoothed [Mpc/h].

    Returns
    -------
    (1 + len(carried), grid, grid, grid) float32 array
        Density over its mean; then for each radius the mean of D delta over the matter of a cell,
        zero where there is none. A sphere of 1.686 would have collapsed.
    """
    grid = delta_k.shape[0]
    moved = collapsed_displacements(delta_k, box_size, growth, radius, threads)
    positions = _refine(moved.reshape(grid, grid, grid, 3)).reshape(-1, 3)
    positions += lattice(2 * grid, box_size)
    found = np.empty((1 + len(carried), grid, grid, grid), dtype=np.float32)
    found[0] = paint(positions, grid, box_size, window)
    for number, scale in enumerate(carried, 1):
        initial = density(growth[0] * _smooth(delta_k, box_size, scale), threads)
        mass = _refine(initial[..., None]).ravel()
        found[number] = _mean_by_cell(mass, positions, found[0], box_size, window)
    return found


def _mean_by_cell(
    values: NDArray[np.float32],
    positions: NDArray[np.float32],
    matter: NDArray[np.float32],
    box_size: float,
    window: str,
) -> NDArray[np.float64]:
    """Return the mean of particles' values over the matter (grid, grid, grid) of each cell, or zero."""
    lowest = float(values.min()) - 1  # only positive weights can be painted
    weights = values - lowest
    total = paint(positions, matter.shape, box_size, window, weights) * weights.mean(dtype=float)
    mean = np.divide(total, matter, out=np.full(matter.shape, lowest), where=matter > 0)
    return np.where(matter > 0, mean + lowest, 0.0)


def crossing_radius(power: Power, growth: float) -> float:
    """Return the Gaussian radius R [Mpc/h] at which the linear density scatters by one.

    D^2 sigma^2(R) = D^2 int dlnk k^3 P(k) exp(-k^2 R^2) / 2 pi^2 = 1: smaller patches have
    collapsed and their particles crossed. Zero if nothing larger than 0.01 Mpc/h has.

    Parameters
    ----------
    power : callable
        Linear spectrum at redshift 0, k [h/Mpc] to [(Mpc/h)^3].
    growth : float
        D at the wanted redshift.

    Raises
    ------
    RecipeError
        If patches of 100 Mpc/h have.
    """
    logarithm = np.linspace(np.log(1e-4), np.log(1e3), 8192)
    k = np.exp(logarithm)
    variance = growth**2 * k**3 * power(k) / (2 * np.pi**2)

    def excess(log_radius: float) -> float:
        weight = np.exp(-((k * np.exp(log_radius)) ** 2))
        return float(np.log(np.trapezoid(variance * weight, logarithm) + 1e-300))

    smallest, largest = np.log(0.01), np.log(100.0)
    if excess(smallest) <= 0:
        return 0.0
    if excess(largest) >= 0:
        raise RecipeError("power: the linear density scatters by one at 100 Mpc/h; lower it")
    return float(np.exp(scipy.optimize.brentq(excess, smallest, largest)))


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


def _smooth(
    delta_k: NDArray[np.complex64], box_size: float, radius: float
) -> NDArray[np.complex64]:
    k = _components(delta_k.shape[0], box_size)
    kernel = np.exp(-0.5 * radius**2 * (k[0] ** 2 + k[1] ** 2 + k[2] ** 2))
    smoothed: NDArray[np.complex64] = delta_k * kernel.astype(np.float32)
    return smoothed


def _components(grid: int, box_size: float) -> list[NDArray[np.float32]]:
    return [component.astype(np.float32) for component in wavenumbers(grid, box_size)]


def _potentials(
    delta_k: NDArray[np.complex64], k: list[NDArray[np.float32]], threads: int
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Return the modes of phi and phi2 of the module's head, at the centres of cells."""
    inverse = _inverse_laplacian(k)
    first = at_cell_centres(delta_k, delta_k.shape[0])
    first *= inverse
    second = scipy.fft.rfftn(_second_order_source(first, k, threads), workers=threads)
    second *= inverse
    _clear_nyquist(second)
    return first, second


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


def _refine(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate (n, n, n, c) linearly to the centres of the eighths of the cells."""
    for axis in range(3):
        near = np.float32(0.75) * values
        far = [np.float32(0.25) * np.roll(values, shift, axis) for shift in (1, -1)]
        shape = [2 * n if i == axis else n for i, n in enumerate(values.shape)]
        values = np.stack([near + far[0], near + far[1]], axis + 1).reshape(shape)
    return values


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
