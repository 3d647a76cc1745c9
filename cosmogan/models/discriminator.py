"""The discriminator: judges a field by its texture and by its summary statistics.

Two branches add up to one score. The first sees the field and a whitened copy, in which small
scales have as much power as large ones, and the latent if it knows initial conditions; mean and scatter
of its coarse features over the box are weighed together, so that it notices what is alike all over a field and another elsewhere. The second sees the `Summaries` of the field. Each has its own
penalty on gradients (`cosmogan.models.losses`). Parameters enter by projection (Miyato & Koyama
2018, arXiv:1802.05637). Whitening and summaries belong to the grid of the training fields, and so
does the network.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.fields.scaling import Scaling
from cosmogan.models.blocks import (
    SLOPE,
    Convolution,
    ResidualBlock,
    activate,
    halve,
    space_to_depth,
)
from cosmogan.models.modes import squared_modes
from cosmogan.models.summaries import Summaries, repeat

HIDDEN = 64
"""Width of what weighs features, or summary statistics."""
LEAST = 1e-2
"""Smallest scatter of a feature: below it a root is too steep."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorShape:
    """What fixes the discriminator's weights in number and meaning.

    Attributes
    ----------
    dimension : {2, 3}
        Spatial axes.
    grid : int
        Cells per side of the training fields.
    widths : tuple of int
        Channels per level, from fine (half the grid) to coarse.
    conditions : int
        Number of parameters that vary in the training set.
    latents : int
        Channels of the latent beside which each field is judged; 0 if it is judged alone.
    guides : int
        How many of them, from the first, say where structures are to be.
    """

    dimension: int
    grid: int
    widths: tuple[int, ...]
    conditions: int = 0
    latents: int = 0
    guides: int = 0


class Whitening(nn.Module):
    """Divides each mode by the root of the training fields' mean power at its |n|."""

    factor: Tensor

    def __init__(self, grid: int, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.register_buffer("factor", torch.ones((grid,) * (dimension - 1) + (grid // 2 + 1,)))

    @torch.no_grad()
    def fit(self, fields: Tensor) -> None:
        """Measure the mean power of training fields (n, 1, N, ...)."""
        axes = tuple(range(-self.dimension, 0))
        power = torch.zeros_like(self.factor, dtype=torch.float64)
        for i in range(0, len(fields), 64):
            modes = torch.fft.rfftn(fields[i : i + 64, 0], dim=axes, norm="ortho")
            power += modes.abs().square().sum(0)
        mean = _isotropic((power / len(fields)).numpy(), fields.shape[-1])
        self.factor.copy_(torch.tensor(mean**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Whiten (n, 1, N, ...)."""
        axes = tuple(range(-self.dimension, 0))
        size = x.shape[2:]
        modes = torch.fft.rfftn(x, dim=axes) * self.factor
        white: Tensor = torch.fft.irfftn(modes, s=size, dim=axes)
        return white


def _isotropic(power: NDArray[np.float64], grid: int) -> NDArray[np.float64]:
    """Average over |n|, rounded, and give the mean of the field the power of the first shell."""
    shell: NDArray[np.int64] = np.rint(np.sqrt(squared_modes(grid, power.ndim))).astype(int)
    total = np.bincount(shell.ravel(), power.ravel())
    count = np.maximum(np.bincount(shell.ravel()), 1)
    mean: NDArray[np.float64] = np.maximum(total / count, 1e-6)
    mean[0] = mean[1]
    spread: NDArray[np.float64] = mean[shell]
    return spread


class Discriminator(nn.Module):
    """The network described at the head of this module.

    Parameters
    ----------
    shape : DiscriminatorShape
        Dimension, grid, widths, number of conditions.
    scaling : Scaling
        The training space.
    """

    def __init__(self, shape: DiscriminatorShape, scaling: Scaling) -> None:
        super().__init__()
        self.shape = shape
        d, widths = shape.dimension, shape.widths
        self.whitening = Whitening(shape.grid, d)
        # what lies beside a field has a stem of its own: real and generated ones share it
        share = 2 / (2 + shape.latents)
        self.stem = Convolution(d, 2 * 2**d, widths[0], gain=math.sqrt(share))
        self.beside = (
            Convolution(d, shape.latents * 2**d, widths[0], gain=math.sqrt(1 - share), bias=False)
            if shape.latents
            else None
        )
        self.blocks = nn.ModuleList(ResidualBlock(d, w, depth=len(widths)) for w in widths)
        self.narrow = nn.ModuleList(
            Convolution(d, fine, coarse, width=1, bias=False) for fine, coarse in pairwise(widths)
        )
        self.last = Convolution(d, widths[-1], widths[-1])
        self.score = nn.Sequential(
            nn.Linear(2 * widths[-1], HIDDEN), nn.LeakyReLU(SLOPE), nn.Linear(HIDDEN, 1)
        )
        self.summaries = Summaries(shape.grid, d, scaling, guides=shape.guides)
        self.opinion = nn.Sequential(
            nn.Linear(self.summaries.length + shape.conditions, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, 1),
        )
        nn.init.zeros_(self.opinion[-1].get_parameter("weight"))
        self.projection = (
            nn.Linear(shape.conditions, widths[-1], bias=False) if shape.conditions else None
        )

    @torch.no_grad()
    def fit(self, fields: Tensor, latents: Tensor | None = None) -> None:
        """Fix whitening and standardisation from training fields (n, 1, N, ...) and their latents."""
        self.whitening.fit(fields)
        self.summaries.standardise(fields, latents)

    def forward(
        self, y: Tensor, conditions: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """Return the score (n,) of fields (n, 1, N, ...) in training space.

        `conditions` (n, c) and `latent` (n, latents, N, ...) are what the fields belong to; of m | n latents
        field i belongs to number i mod m.
        """
        by_field = self.judge_field(y, conditions, latent)
        return by_field + self.judge_summaries(self.summaries(y, latent), conditions)

    def judge_field(
        self, y: Tensor, conditions: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """Return the first branch's score (n,)."""
        x = self.stem(space_to_depth(torch.cat([y, self.whitening(y)], 1)))
        if self.beside is not None and latent is not None:
            x = x + repeat(self.beside(space_to_depth(latent)), len(y))
        for level, block in enumerate(self.blocks):
            if level:
                x = self.narrow[level - 1](halve(x))
            x = block(x)
        features = activate(self.last(activate(x))).flatten(2)
        mean = features.mean(2)
        scatter = torch.sqrt(features.var(2, correction=0) + LEAST**2)
        score: Tensor = self.score(torch.cat([mean, scatter], 1))[:, 0]
        if self.projection is not None and conditions is not None:
            score = score + (mean * self.projection(conditions)).sum(1)
        return score

    def judge_summaries(self, summaries: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the second branch's score (n,) of standardised summaries (n, length)."""
        if self.shape.conditions and conditions is not None:
            summaries = torch.cat([summaries, conditions], 1)
        score: Tensor = self.opinion(summaries)[:, 0]
        return score
