"""What the generator starts from: a physical field made from a seed, and white noise.

The `gaussian` latent is a lognormal universe (Coles & Jones 1991): a Gaussian random field g whose
spectrum is coloured by theory, so that exp(g - <g^2>/2) has the power spectrum of the nonlinear
density, with the windows of mass assignment and slab applied. It exists at any box size and
cosmology and its large scales are right before training starts.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import RecipeError
from cosmogan.mesh import white_noise_cells, white_noise_modes, window_transform

LINE_OF_SIGHT = 512
"""Wavenumbers of the projection integral."""


@dataclass(frozen=True, kw_only=True)
class Theory:
    """Nonlinear power spectra of the trained parameters, and the windows of the fields.

    Attributes
    ----------
    dimension : {2, 3}
        Slices or cubes.
    cell_size : float
        [Mpc/h].
    thickness : int
        Thickness of a slice [cells]; ignored for cubes.
    window : str
        Mass assignment.
    names : tuple of str
        Names of the parameters.
    parameters : (m, p) ndarray
        Parameters for which there is a spectrum.
    k : (b,) ndarray
        [h/Mpc].
    power : (m, b) ndarray
        Three-dimensional nonlinear power [(Mpc/h)^3].
    """

    dimension: int
    cell_size: float
    thickness: int
    window: str
    names: tuple[str, ...]
    parameters: NDArray[np.float64]
    k: NDArray[np.float64]
    power: NDArray[np.float64]

    def row(self, parameters: ArrayLike) -> int:
        """Return which spectrum belongs to `parameters` (p,).

        Raises
        ------
        RecipeError
            If the network was not trained there.
        """
        asked = np.asarray(parameters, dtype=np.float64)
        same = np.all(np.isclose(self.parameters, asked, rtol=1e-9, atol=1e-12), axis=1)
        if not same.any():
            values = ", ".join(f"{n} = {v:g}" for n, v in zip(self.names, asked, strict=True))
            raise RecipeError(f"{values}: the network was not trained there; ask for its own")
        return int(np.flatnonzero(same)[0])

    def conditions(self, parameters: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return those of the parameters (n, p) that vary, scaled to [-1, 1]: (n, conditions)."""
        low, high = self.parameters.min(0), self.parameters.max(0)
        varied = high > low
        middle, half = (low + high)[varied] / 2, (high - low)[varied] / 2
        scaled: NDArray[np.float32] = ((parameters[:, varied] - middle) / half).astype(np.float32)
        return scaled

    @property
    def num_conditions(self) -> int:
        """Number of parameters that vary."""
        return int(np.ptp(self.parameters, axis=0).astype(bool).sum())

    def field_power(self, row: int, k: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the spectrum of the fields at wavevectors of their own dimension.

        Parameters
        ----------
        row : int
            Which spectrum.
        k : sequence of ndarray
            Components of the wavevectors, broadcastable [h/Mpc].

        Returns
        -------
        ndarray
            [(Mpc/h)^dimension], windows applied, first aliases of the mesh included.

        Notes
        -----
        Slices: P_2D(k) = int dk_z / 2 pi P(k, k_z) W(k)^2 W(k_z)^2 S(k_z)^2 with the window W of
        the mass assignment and S the mean over the planes of the slab.
        """
        sampling = 2 * np.pi / self.cell_size
        nothing: NDArray[np.float64] = np.zeros(np.broadcast_shapes(*(x.shape for x in k)))
        total = nothing
        for shift in itertools.product((-1, 0, 1), repeat=len(k)):
            shifted = [x + s * sampling for x, s in zip(k, shift, strict=True)]
            squared = sum((x**2 for x in shifted), start=nothing)
            window = window_transform(shifted, self.cell_size, self.window) ** 2
            total = total + window * self._unwindowed(row, squared)
        return total

    def _unwindowed(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.dimension == 3:
            return self._interpolate(row, squared)
        depth, weight = self._line_of_sight()
        projected: NDArray[np.float64] = np.zeros_like(squared)
        for z, w in zip(depth, weight, strict=True):
            projected += w * self._interpolate(row, squared + z**2)
        return projected

    def _line_of_sight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        edges = np.linspace(0, 6 * np.pi / self.cell_size, LINE_OF_SIGHT + 1)
        z = (edges[1:] + edges[:-1]) / 2
        half = z * self.cell_size / 2
        slab = np.sin(self.thickness * half) / (self.thickness * np.sin(half))
        window = window_transform([z], self.cell_size, self.window) ** 2
        return z, np.diff(edges) / np.pi * window * slab**2

    def _interpolate(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = 0.5 * np.log(np.maximum(squared, self.k[0] ** 2))
        power = np.exp(np.interp(logarithm, np.log(self.k), np.log(self.power[row])))
        return np.where(squared > 0, power, 0.0)


@dataclass(frozen=True)
class Colour:
    """The spectrum of the Gaussian field on a grid.

    Attributes
    ----------
    amplitude : ndarray
        Root of power over cell volume, in the layout of rfftn.
    variance : float
        <g^2>.
    """

    amplitude: NDArray[np.float64]
    variance: float


def gaussian_colour(theory: Theory, row: int, grid: int) -> Colour:
    """Return the spectrum of g for which exp(g - <g^2>/2) has the theory's power.

    Parameters
    ----------
    theory : Theory
        Spectra and windows.
    row : int
        Which spectrum.
    grid : int
        Cells per side.

    Notes
    -----
    xi_G = ln(1 + xi); modes in which its transform is negative get no power.
    """
    d, cell = theory.dimension, theory.cell_size
    power = theory.field_power(row, _wavevectors(grid, cell, d))
    power[(0,) * d] = 0.0
    shape = (grid,) * d
    axes = tuple(range(d))
    correlation = scipy.fft.irfftn(power, s=shape, axes=axes) / cell**d
    transformed = scipy.fft.rfftn(np.log1p(correlation), axes=axes).real
    transformed[(0,) * d] = 0.0
    amplitude = np.sqrt(np.maximum(transformed, 0.0))
    amplitude[_nyquist(grid, d)] = 0.0
    variance = float(scipy.fft.irfftn(amplitude**2, s=shape, axes=axes)[(0,) * d])
    return Colour(amplitude, variance)


def lognormal_field(seed: int, colour: Colour, grid: int, dimension: int) -> NDArray[np.float32]:
    """Return exp(g - <g^2>/2), a lognormal density over mean, (grid,) * dimension."""
    modes = white_noise_modes(seed, grid, dimension) * colour.amplitude
    axes = tuple(range(dimension))
    g = scipy.fft.irfftn(modes, s=(grid,) * dimension, axes=axes)
    density: NDArray[np.float32] = np.exp(g - colour.variance / 2).astype(np.float32)
    return density


def white_noise(seed: int, grids: Sequence[int], dimension: int) -> list[NDArray[np.float32]]:
    """Return a white-noise field on each grid, indexed by (seed, level, cell)."""
    return [
        white_noise_cells(seed, (grid,) * dimension, stream=level + 1)
        for level, grid in enumerate(grids)
    ]


def _wavevectors(grid: int, cell: float, dimension: int) -> list[NDArray[np.float64]]:
    full = 2 * np.pi * np.fft.fftfreq(grid, cell)
    half = 2 * np.pi * np.fft.rfftfreq(grid, cell)
    lines = [full] * (dimension - 1) + [half]
    return list(np.meshgrid(*lines, indexing="ij", sparse=True))


def _nyquist(grid: int, dimension: int) -> NDArray[np.bool_]:
    edge = np.abs(np.fft.fftfreq(grid)) == 0.5
    last = np.fft.rfftfreq(grid) == 0.5
    lines = np.meshgrid(*[edge] * (dimension - 1), last, indexing="ij", sparse=True)
    zeroed: NDArray[np.bool_] = np.logical_or.reduce(np.broadcast_arrays(*lines))
    return zeroed
