"""How many peaks and minima a field has, by height, softly, for the discriminator.

Spectra and one-point distributions say little about what voids look like inside: fields that are right in both, but
too smooth between their filaments, lack a quarter of the shallow minima. A cell counts as a peak by
sigmoid(margin / `SOFT`), the margin being how far it stands above the highest of its 3^d - 1 neighbours, so that
gradients tell cells that nearly are one how to become it, and cells that barely are how to stay.
"""

import torch
from torch import Tensor

from cosmogan.models.heights import Heights, height_of

SOFT = 0.02
"""Margin at which a cell is counted by .73, about half of the median of simulated extrema."""
QUIET = 0.25
"""Added to the number of extrema of a field, below which nothing is heard."""


class Extrema(Heights):
    """Peaks beyond, and minima below, some heights."""

    @property
    def length(self) -> int:
        """Number of summaries of a field."""
        return 2 * (len(self.heights) - 1)

    def forward(self, density: Tensor) -> Tensor:
        """Return (n, length) log numbers of peaks beyond each height, and of minima below it.

        `density` (n, N, ...) is over the mean, and smooth enough to have extrema of more than one cell.
        """
        height = height_of(density)
        above = self.beyond(height)
        peaks, minima = (_peaked(h).flatten(1)[:, :, None] for h in (height, -height))
        numbers = torch.cat([above @ peaks, (1 - above) @ minima], 1)
        return torch.log(numbers[:, :, 0] + QUIET)


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
