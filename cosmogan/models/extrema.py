"""How many peaks and minima a field has, by height, softly, for the discriminator.

Spectra and one-point distributions say little about what voids look like inside: fields that are right in both, but
too smooth between their filaments, lack a quarter of the shallow minima. A cell counts as a peak by
sigmoid(margin / `SOFT`), the margin being how far it stands above the highest of its 3^d - 1 neighbours, so that
gradients tell cells that nearly are one how to become it, and cells that barely are how to stay. At which height an
extremum lies is taken as given: gradients make and unmake them, and leave the distribution of heights to others,
which takes half the time.
"""

import numpy as np
import torch
from torch import Tensor, nn

EMPTY = 0.05
"""Density below which heights are linear in it, and above which logarithmic: asinh(rho / EMPTY)."""
SOFT = 0.02
"""Margin at which a cell is counted by .73, about half of the median of simulated extrema."""
HEIGHTS = (*(0.0005, 0.01, 0.05, 0.15, 0.3, 0.5), *(0.7, 0.85, 0.93, 0.97, 0.99, 0.999, 1.0))
"""Quantiles of the cells between which heights are told apart."""
QUIET = 0.25
"""Added to the number of extrema of a field, below which nothing is heard."""


class Extrema(nn.Module):
    """Peaks beyond, and minima below, some heights."""

    heights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heights", torch.linspace(-2.0, 4.0, len(HEIGHTS)))

    @property
    def length(self) -> int:
        """Number of summaries of a field."""
        return 2 * (len(HEIGHTS) - 1)

    @torch.no_grad()
    def fit(self, density: Tensor) -> None:
        """Take the heights from the cells of training fields (n, N, ...), density over mean."""
        self.heights.copy_(quantiles(density))

    def forward(self, density: Tensor) -> Tensor:
        """Return (n, length) log numbers of peaks beyond each height, and of minima below it.

        `density` (n, N, ...) is over the mean, and smooth enough to have extrema of more than one cell.
        """
        height = height_of(density)
        above = beyond(height, self.heights)
        peaks, minima = (_peaked(h).flatten(1)[:, :, None] for h in (height, -height))
        numbers = torch.cat([above @ peaks, (1 - above) @ minima], 1)
        return torch.log(numbers[:, :, 0] + QUIET)


def height_of(density: Tensor) -> Tensor:
    """Return asinh(density / `EMPTY`)."""
    return torch.asinh(density / EMPTY)


def quantiles(density: Tensor) -> Tensor:
    """Return the heights (h + 1,) between which those of the cells of fields (n, N, ...) are told apart."""
    found = np.quantile(height_of(density).numpy(), HEIGHTS)
    return torch.from_numpy(np.maximum.accumulate(found)).float()


@torch.no_grad()
def beyond(height: Tensor, heights: Tensor) -> Tensor:
    """Return by how much each cell lies beyond each of the steps between heights, (n, h, cells) from 0 to 1."""
    per_width = 1 / heights.diff().clamp_min(1e-3)[:, None]
    low = heights[:-1, None] * per_width
    return torch.addcmul(-low, height.flatten(1)[:, None], per_width).clamp_(0, 1)


def _peaked(height: Tensor) -> Tensor:
    """Return by how much each cell of (n, N, ...) is a peak, from 0 to 1."""
    return torch.sigmoid((height - _around(height)) / SOFT)


def _around(height: Tensor) -> Tensor:
    """Return the highest of the 3^d - 1 neighbours of each cell, axis by axis."""
    block, around = height, torch.full_like(height, -torch.inf)
    for axis in range(1, height.ndim):
        beside = torch.maximum(torch.roll(block, 1, axis), torch.roll(block, -1, axis))
        block, around = torch.maximum(block, beside), torch.maximum(around, beside)
    return around
