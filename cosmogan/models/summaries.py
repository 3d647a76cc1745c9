"""Summary statistics of a batch of fields, differentiable, for the discriminator.

They are the statistics a referee looks at first: the power spectra of the field in training space
and of the density, and whether these have directions (`cosmogan.models.directions`), the mean density, the first
moments of the field in training space, moments of the density smoothed over a few cells and of bands of it, the
one-point distribution out to the rarest peaks, peaks and minima by height (`cosmogan.models.extrema`), and how sharp and how
long cells of a height stand out (`cosmogan.models.hessian`); and, where the latent is known, the transfer functions from its
guides to the field and to the density, down to the mode of the whole box. Each is standardised over the training fields (`cosmogan.models.standard`), so
that all speak equally loud, but for curvature and shear, which would drown the others and are a third as loud.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.fields.scaling import Scaling
from cosmogan.models.directions import Directions
from cosmogan.models.extrema import Extrema
from cosmogan.models.heights import ramps
from cosmogan.models.hessian import LOUD, Hessian
from cosmogan.models.modes import shell_table, squared_modes
from cosmogan.models.standard import Standard

SMOOTHING = (0.0, 1.0, 2.0, 4.0)
"""Radii at which moments of the density are taken [cells]; 0 is no smoothing."""
EXTREMA = 1
"""Which of these densities has its peaks and minima counted, as the battery does."""
BANDS = (1, 4, 7, 10, 13, 17, 21)
"""Edges of the bands of |n| whose skewness is followed, for 64 cells; they scale with the grid."""
LEVELS = (
    *(0.0005, 0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85),
    *(0.93, 0.97, 0.99, 0.996, 0.999, 0.9997, 0.9999, 1.0),
)
"""Quantiles of the training fields between which the one-point distribution is followed; rare
peaks get bins of their own, since a few of them carry most of the power and bispectrum."""
LEAST = 1e-4
"""Smallest scatter of a summary from field to field."""
CLIP = 8.0
"""Standardised summaries are bounded, so that no outlier dictates the gradient; those less loud at so many more of their scatters."""


LatentsOf = Callable[[slice], Tensor]
"""Returns the latents (n, c, N, ...) of some of the training fields by which scales are fixed."""


def in_blocks(count: int, every: int = 1) -> list[slice]:
    """Return each, or one in so many, of the rows 0 to `count`, a few at a time."""
    step = 64 * every
    return [slice(start, min(start + step, count), every) for start in range(0, count, step)]


def repeat(given: Tensor, count: int) -> Tensor:
    """Return m of something again and again, until they are `count`, a multiple of m."""
    return given.repeat(count // len(given), *(1 for _ in given.shape[1:]))


class Summaries(nn.Module):
    """Summary statistics of fields in training space.

    Parameters
    ----------
    grid, dimension : int
        Cells per side and spatial axes of the fields.
    scaling : Scaling
        The training space.
    guides : int
        Channels of the latent, from the first, from which the transfer function is a summary.
    conditions : int
        Parameters that vary among the training fields.
    """

    shells: Tensor
    kernels: Tensor
    knots: Tensor

    def __init__(
        self,
        grid: int,
        dimension: int,
        scaling: Scaling,
        *,
        guides: int = 0,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.grid, self.dimension, self.scaling = grid, dimension, scaling
        self.guides, self.conditions = guides, conditions
        squared = squared_modes(grid, dimension)
        self.register_buffer("shells", shell_table(grid, dimension))
        self.directions = Directions(grid, dimension)
        self.extrema, self.hessian = Extrema(), Hessian()
        self.register_buffer("kernels", _kernels(squared, grid))
        self.register_buffer("knots", torch.linspace(-2.0, 4.0, len(LEVELS)))
        self.standard = Standard(self.length, conditions)

    @property
    def length(self) -> int:
        """Number of summaries of a field."""
        shells = int(self.shells.shape[1])
        means = 1 if self.conditions else 2
        spectra = 2 * shells + self.guides * (2 * shells + means)
        moments = 4 + 2 * len(self.kernels)
        local = self.extrema.length + self.hessian.length
        return spectra + moments + len(LEVELS) - 1 + 2 * self.directions.length + local

    @torch.no_grad()
    def standardise(
        self, fields: Tensor, latents: LatentsOf | None = None, conditions: Tensor | None = None
    ) -> None:
        """Fix knots, and mean and scatter of each summary, from training fields (n, 1, N, ...), their latents and conditions."""
        quantiles = np.quantile(fields.numpy(), LEVELS)
        self.knots.copy_(torch.from_numpy(np.maximum.accumulate(quantiles)))
        every = in_blocks(len(fields))
        self.extrema.fit(torch.cat([self._smooth(fields[rows]) for rows in every]))
        self.hessian.fit(self.scaling.inverse(fields[:, 0], torch))
        raw = torch.cat([self.measure(fields[rows], latents and latents(rows)) for rows in every])
        self.standard.fit(raw, conditions, least=LEAST)
        self.standard.spread[-self.hessian.length :] /= LOUD

    def forward(
        self, y: Tensor, latent: Tensor | None = None, conditions: Tensor | None = None
    ) -> Tensor:
        """Return standardised summaries (n, length) of fields (n, 1, N, ...) at conditions (n, c)."""
        standard: Tensor = self.standard(self.measure(y, latent), conditions)
        return standard.clamp(-CLIP, CLIP)

    def measure(self, y: Tensor, latent: Tensor | None = None) -> Tensor:
        """Return the summaries before standardisation."""
        density = self.scaling.inverse(y, torch)
        flat = y.flatten(1)
        modes = self._transform(y), self._transform(density - 1)
        power = [_power(each) for each in modes]
        filtered = self._filter(modes[1], self.kernels)
        return torch.cat(
            [
                *(torch.log(each @ self.shells + 1e-6) for each in power),
                *self._transfers(modes, latent),
                _moments(flat, density.flatten(1)),
                _filtered_moments(filtered.flatten(2)),
                self._distribution(flat),
                *(self.directions(each) for each in power),
                self.extrema(1 + filtered[:, EXTREMA]),
                self.hessian(density[:, 0]),
            ],
            1,
        )

    def _transform(self, x: Tensor) -> Tensor:
        axes = tuple(range(-self.dimension, 0))
        modes: Tensor = torch.fft.rfftn(x[:, 0], dim=axes, norm="ortho")
        return modes

    def _mean(self, modes: Tensor) -> Tensor:
        """Return the mean of each field over its cells, (n, 1)."""
        return modes.real.flatten(1)[:, :1] / float(self.grid ** (self.dimension / 2))

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the mean of a b* over shells, (n, shells)."""
        real = a.real * b.real + a.imag * b.imag
        return real.flatten(1) @ self.shells

    def _transfers(self, modes: tuple[Tensor, Tensor], latent: Tensor | None) -> list[Tensor]:
        """Return the transfer functions from the latent to field and contrast, (n, shells) each, and products of means, (n, 1).

        T(k) = P_cross / P_latent: what is in its place, in the right amount. Unlike a correlation
        coefficient it does not improve when the power of the rest is lowered. The mode of the whole box, which
        one field has once, takes no quotient: where much is expected there is to be as much. Where universes differ, so does
        the mean of y in each, whatever is in a field: there the product is that of contrasts alone.
        """
        found: list[Tensor] = []
        means: list[Tensor] = []
        if latent is None or not self.guides:
            return found
        for guide in torch.split(latent[:, : self.guides], 1, dim=1):
            contrast = self.scaling.inverse(guide, torch) - 1
            for a, known in zip(modes, (guide, contrast), strict=True):
                b = self._transform(known)
                power = repeat(self._product(b, b) + 1e-6, len(a))
                found.append(self._product(a, repeat(b, len(a))) / power)
                if known is contrast or not self.conditions:
                    means.append(self._mean(a) * repeat(self._mean(b), len(a)))
        return found + means

    def _filter(self, contrast: Tensor, kernels: Tensor) -> Tensor:
        """Return the contrast behind each kernel, (n, kernels, N, ...), from its modes."""
        axes = tuple(range(-self.dimension, 0))
        size = (self.grid,) * self.dimension
        behind: Tensor = torch.fft.irfftn(
            contrast[:, None] * kernels, s=size, dim=axes, norm="ortho"
        )
        return behind

    def _smooth(self, y: Tensor) -> Tensor:
        """Return the density in which extrema are counted, (n, N, ...)."""
        modes = self._transform(self.scaling.inverse(y, torch) - 1)
        return 1 + self._filter(modes, self.kernels[EXTREMA, None])[:, 0]

    def _distribution(self, flat: Tensor) -> Tensor:
        """Return log fractions of cells beyond each knot, counted softly up to the next."""
        beyond = ramps(flat, self.knots).mean(2)
        return torch.log(beyond + 0.25 / flat.shape[1])


def _filtered_moments(smooth: Tensor) -> Tensor:
    """Return log variance and skewness of (n, kernels, cells)."""
    variance = smooth.square().mean(2)
    skewness = smooth.pow(3).mean(2)
    return torch.cat([torch.log(variance + 1e-6), skewness / (variance + 1e-6) ** 1.5], 1)


def _power(modes: Tensor) -> Tensor:
    """Return |mode|^2 (n, modes)."""
    return (modes.real.square() + modes.imag.square()).flatten(1)


def _moments(y: Tensor, density: Tensor) -> Tensor:
    mean = y.mean(1, keepdim=True)
    variance = (y - mean).square().mean(1, keepdim=True)
    third = (y - mean).pow(3).mean(1, keepdim=True)
    return torch.cat([density.mean(1, keepdim=True), mean, torch.log(variance + 1e-6), third], 1)


def _kernels(squared: NDArray[np.int64], grid: int) -> Tensor:
    """Return low-pass kernels of the `SMOOTHING` radii and band-pass kernels of the `BANDS`.

    The skewness of a band is its equilateral bispectrum in units of its power.
    """
    frequency = (2 * math.pi / grid) ** 2 * squared
    low = [np.exp(-0.5 * frequency * radius**2) for radius in SMOOTHING]
    edges = (np.array(BANDS) * grid / 64) ** 2
    bands = [(squared >= a) & (squared < b) for a, b in itertools.pairwise(edges)]
    kernels = [*low, *(band.astype(float) for band in bands if band.any())]
    return torch.tensor(np.stack(kernels), dtype=torch.float32)
