"""What the generator starts from: a physical field made from a seed, and white noise.

There are two kinds of field, both on the output grid and right at large scales before training
starts. `gaussian` is a lognormal universe (Coles & Jones 1991): a Gaussian random field g whose
spectrum is coloured by theory, so that exp(g - <g^2>/2) has the power spectrum of the nonlinear
density, with the windows of mass assignment and slab applied. `lpt` is cut from a box: initial
conditions with the linear spectrum, displaced to second order with spherical collapse at small
scales, painted (`cosmogan.initial.displaced_density`). It knows the cosmic web, and given the seed of a simulation
it is what theory knows of that very simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmogan.errors import LayoutError
from cosmogan.fields.cut import cut_box
from cosmogan.fields.cut import origins as make_origins
from cosmogan.initial import crossing_radius, displaced_density, linear_modes
from cosmogan.mesh import white_noise_cells, white_noise_modes
from cosmogan.models.seeds import derive_seed
from cosmogan.models.theory import Theory

LatentKind = Literal["gaussian", "lpt"]

SLABS = 32
"""Most slices that are cut from a box along an axis, evenly spaced: the next one is much the same."""
MEMORY = 2**30
"""Boxes are kept up to so many bytes."""
_BOX = 6
"""Sets the seeds of boxes apart from those of fields."""


class Latent(Protocol):
    """A kind of latent, at all trained parameters, on one grid."""

    def origins(self, seed: int, numbers: Sequence[int]) -> NDArray[np.void]:
        """Return where the latents of fields `numbers` of a seed come from, (n,) `ORIGIN_DTYPE`."""

    @property
    def channels(self) -> int:
        """Fields that the network sees of each latent."""

    def density(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the latents at origins and rows of the theory, density over mean (n, N, ...)."""

    def views(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return what the network sees (n, channels, N, ...): `density` first, then what lies beside it."""


class GaussianLatent:
    """Lognormal fields, each a universe of its own.

    Parameters
    ----------
    theory : Theory
        Nonlinear spectra.
    grid : int
        Cells per side.
    """

    channels = 1

    def __init__(self, theory: Theory, grid: int) -> None:
        self.theory, self.grid = theory, grid
        self._colour = lru_cache(maxsize=64)(self._make_colour)

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


class LptLatent:
    """Samples cut from boxes that theory displaced; field k comes from box k // m.

    Parameters
    ----------
    theory : Theory
        Linear spectra and growth.
    grid : int
        Cells per side; the box has as many particles.
    neighbours : int
        Slabs on either side of a slice that the network sees too: theory may leave matter on the
        wrong side of a face, and structures reach through it. Cubes have none.
    """

    def __init__(self, theory: Theory, grid: int, neighbours: int = 0) -> None:
        self.theory, self.grid = theory, grid
        self.neighbours = neighbours if theory.dimension == 2 else 0
        box_bytes = 4 * grid**3 if theory.dimension == 3 else 12 * grid**2 * self.slabs
        self._box = lru_cache(maxsize=max(MEMORY // box_bytes, 4))(self._make_box)
        self._radius = lru_cache(maxsize=1024)(self._make_radius)

    @property
    def slabs(self) -> int:
        """Slices of a box along an axis."""
        return self.grid // self.theory.thickness if self.theory.dimension == 2 else 1

    def origins(self, seed: int, numbers: Sequence[int]) -> NDArray[np.void]:
        """Return box, axis and slab of each field; a box gives three axes of up to `SLABS` slabs."""
        number = np.asarray(numbers)
        if self.theory.dimension == 3:
            box, axis, slab = number, np.full_like(number, -1), np.full_like(number, -1)
        else:
            used = min(SLABS, self.slabs)
            box, place = np.divmod(number, 3 * used)
            axis, slab = place // used, place % used * self.slabs // used
        made = make_origins(axis, slab)
        made["simulation"] = made["seed"] = [derive_seed(seed, k, _BOX) for k in box.tolist()]
        return made

    def density(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Cut the samples from their boxes.

        Raises
        ------
        LayoutError
            If an origin is no place in a box, or its amplitudes were fixed.
        """
        return self._cut(origins, rows, [0])[:, 0]

    def views(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return each sample, and the slabs before and behind it, the nearest first.

        Raises
        ------
        LayoutError
            As `density`.
        """
        away = [side * n for n in range(1, self.neighbours + 1) for side in (-1, 1)]
        return self._cut(origins, rows, [0, *away])

    @property
    def channels(self) -> int:
        """The sample and its neighbours."""
        return 1 + 2 * self.neighbours

    def _cut(
        self, origins: NDArray[np.void], rows: Sequence[int], slabs: list[int]
    ) -> NDArray[np.float32]:
        self._check(origins)
        samples = [
            self._box(int(o["seed"]), row)[[self._place(o, away) for away in slabs]]
            for o, row in zip(origins, rows, strict=True)
        ]
        return np.stack(samples)

    def _place(self, origin: np.void, away: int) -> int:
        if self.theory.dimension == 3:
            return 0
        return int(origin["axis"]) * self.slabs + (int(origin["slab"]) + away) % self.slabs

    def _check(self, origins: NDArray[np.void]) -> None:
        axis, slab = origins["axis"], origins["slab"]
        if self.theory.dimension == 3:
            wrong = (axis != -1) | (slab != -1)
        else:
            wrong = (axis < 0) | (axis > 2) | (slab < 0) | (slab >= self.slabs)
        for broken, rule in (
            (wrong, f"stands at no axis and slab of {self.slabs} in a box"),
            (origins["fixed"], "has initial amplitudes that were fixed"),
        ):
            if broken.any():
                first = int(np.flatnonzero(broken)[0])
                raise LayoutError(
                    f"origin {first} ({origins[first]}) {rule}; give those of Gaussian simulations "
                    "of the trained layout"
                )

    def _make_box(self, seed: int, row: int) -> NDArray[np.float32]:
        theory = self.theory
        box_size = self.grid * theory.cell_size
        density = displaced_density(
            linear_modes(seed, self.grid, box_size, theory.linear_power(row)),
            box_size,
            theory.growth(row),
            radius=self._radius(row),
            window=theory.window,
        )
        return cut_box(density, theory.dimension, theory.thickness)[0]

    def _make_radius(self, row: int) -> float:
        return crossing_radius(self.theory.linear_power(row), self.theory.growth(row)[0])


def make_latent(kind: LatentKind, theory: Theory, grid: int, neighbours: int = 0) -> Latent:
    """Return the latent of a kind."""
    return LptLatent(theory, grid, neighbours) if kind == "lpt" else GaussianLatent(theory, grid)


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
