"""The discriminator: judges a field by its texture and by its summary statistics.

Two branches add up to one score. The first sees the field and a whitened copy, in which small
scales have as much power as large ones, and the latent if it knows initial conditions; mean and scatter over the box
of what it finds at each level, from fine to coarse, are weighed together, so that the texture of cells has a short way to the score, and what is alike all
over a field and another elsewhere is noticed. They are standardised (`cosmogan.models.standard`) by what the network finds in training fields, beside their latents, before its first step: from
field to field they differ by little. The second sees the `Summaries` of the field. Each has its own penalty on gradients (`cosmogan.models.losses`). Whitening, standards and summaries belong to the grid of the
training fields, and so does the network.
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
from cosmogan.models.standard import Standard
from cosmogan.models.summaries import LatentsOf, Summaries, in_blocks, repeat

HIDDEN = 64
"""Width of what weighs features, or summary statistics."""
LEAST = 1e-2
"""Smallest scatter of a feature over a box: below it a root is too steep."""
STANDARD = 256
"""Training fields by whose features, beside their latents, these are standardised."""
FAINT = 1e-4
"""Smallest scatter of a feature from field to field, lest rounding be standardised."""


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
        features = 2 * (sum(widths) + widths[-1])
        self.standard = Standard(features, shape.conditions)
        self.score = nn.Sequential(
            nn.Linear(features + shape.conditions, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, 1),
        )
        self.summaries = Summaries(
            shape.grid, d, scaling, guides=shape.guides, conditions=shape.conditions
        )
        self.opinion = nn.Sequential(
            nn.Linear(self.summaries.length + shape.conditions, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, 1),
        )
        nn.init.zeros_(self.opinion[-1].get_parameter("weight"))

    @torch.no_grad()
    def fit(
        self, fields: Tensor, latents: LatentsOf | None = None, conditions: Tensor | None = None
    ) -> None:
        """Fix whitening and standardisation from training fields (n, 1, N, ...), their latents and conditions (n, c).

        The fields are to be in no order: some are every so many of them. A discriminator that sees latents is to be given them:
        without, its features are others than in the game.
        """
        self.whitening.fit(fields)
        self.summaries.standardise(fields, latents, conditions)
        some = in_blocks(len(fields), max(len(fields) // STANDARD, 1))
        found = torch.cat([self.features(fields[rows], latents and latents(rows)) for rows in some])
        known = None if conditions is None else torch.cat([conditions[rows] for rows in some])
        self.standard.fit(found, known, least=FAINT)

    def forward(
        self, y: Tensor, conditions: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """Return the score (n,) of fields (n, 1, N, ...) in training space.

        `conditions` (n, c) and `latent` (n, latents, N, ...) are what the fields belong to; of m | n latents
        field i belongs to number i mod m.
        """
        by_field = self.judge_field(y, conditions, latent)
        return by_field + self.judge_summaries(self.summaries(y, latent, conditions), conditions)

    def judge_field(
        self, y: Tensor, conditions: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """Return the first branch's score (n,)."""
        found = self.standard(self.features(y, latent), conditions)
        return self._weigh(self.score, found, conditions)

    def features(self, y: Tensor, latent: Tensor | None = None) -> Tensor:
        """Return mean and scatter over the box of what the first branch finds, level by level, (n, features)."""
        x = self.stem(space_to_depth(torch.cat([y, self.whitening(y)], 1)))
        if self.beside is not None and latent is not None:
            x = x + repeat(self.beside(space_to_depth(latent)), len(y))
        seen = []
        for level, block in enumerate(self.blocks):
            if level:
                x = self.narrow[level - 1](halve(x))
            x = block(x)
            seen.append(activate(x))
        seen.append(activate(self.last(seen[-1])))
        moments = [_moments(each.flatten(2)) for each in seen]
        means, scatters = zip(*moments, strict=True)
        return torch.cat([*means, *scatters], 1)

    def judge_summaries(self, summaries: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the second branch's score (n,) of standardised summaries (n, length)."""
        return self._weigh(self.opinion, summaries, conditions)

    def _weigh(self, judge: nn.Module, found: Tensor, conditions: Tensor | None) -> Tensor:
        if self.shape.conditions and conditions is not None:
            found = torch.cat([found, conditions], 1)
        score: Tensor = judge(found)[:, 0]
        return score


def _moments(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and scatter of (n, c, cells), from sums, whose gradients of gradients are cheaper than those of a variance."""
    mean = cells.mean(2)
    variance = torch.linalg.vecdot(cells, cells) / cells.shape[2] - mean.square()
    return mean, torch.sqrt(variance.clamp_min(0) + LEAST**2)
