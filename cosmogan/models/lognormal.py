"""The latent that needs nothing but a seed: lognormal universes (Coles & Jones 1991).

A Gaussian random field g is coloured by theory so that exp(g - <g^2>/2) has the power spectrum of the
nonlinear density, with the windows of mass assignment and slab applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmogan.fields.cut import origins as make_origins
from cosmogan.mesh import white_noise_modes
from cosmogan.models.seeds import derive_seed
from cosmogan.models.theory import Theory

MEMORY = 2**30
"""Colours are kept up to so many bytes."""
_ROUNDS = 5


class GaussianLatent:
    """Lognormal fields, each a universe of its own.

    Parameters
    ----------
    theory : Theory
        Nonlinear spectra.
    grid : int
        Cells per side.
    """

    channels = densities = 1

    def __init__(self, theory: Theory, grid: int) -> None:
        self.theory, self.grid = theory, grid
        kept = max(MEMORY // (8 * grid**theory.dimension), 64)
        self._colour = lru_cache(maxsize=kept)(self._make_colour)

    def origins(self, seed: int, numbers: Sequence[int]) -> NDArray[np.void]:
        """Return a seed of its own for every field."""
        none = np.full(len(numbers), -1)
        made = make_origins(none, none)
        made["simulation"] = made["seed"] = [derive_seed(seed, k) for k in numbers]
        return made

    def density(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return a lognormal field for every seed."""
        seeds = origins["seed"].tolist()
        d = self.theory.dimension
        fields = [
            lognormal_field(s, self._colour(r), self.grid, d)
            for s, r in zip(seeds, rows, strict=True)
        ]
        return np.stack(fields)

    def views(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the fields alone: nothing lies beside them."""
        return self.density(origins, rows)[:, None]

    def _make_colour(self, row: int) -> "Colour":
        return gaussian_colour(self.theory, row, self.grid)


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
    """Return the spectrum of g for which exp(g - <g^2>/2) has the theory's power, and of slices the scatter of their mean too.

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
    xi_G = ln(1 + xi); modes in which its transform is negative get no power. If that is the mode of the whole box, as it is for cubes,
    whose mean does not scatter, exp(xi_G) is too large by a factor f, and xi is taken smaller by as much beforehand.
    """
    d, cell = theory.dimension, theory.cell_size
    power = theory.field_power(row, _wavevectors(grid, cell, d))
    power[(0,) * d] = theory.mean_power(row, grid * cell)
    shape = (grid,) * d
    axes = tuple(range(d))
    correlation = scipy.fft.irfftn(power, s=shape, axes=axes) / cell**d
    smaller = 1.0
    for _ in range(_ROUNDS):
        transformed = scipy.fft.rfftn(np.log1p(smaller * correlation), axes=axes).real
        smaller = float(np.exp(min(transformed[(0,) * d] / grid**d, 0.0)))
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
