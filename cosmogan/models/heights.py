"""How high the cells of a field are, and which lie beyond what, for summaries by height."""

import numpy as np
import torch
from torch import Tensor, nn

EMPTY = 0.05
"""Density below which heights are linear in it, and above which logarithmic: asinh(rho / EMPTY)."""
QUANTILES = (*(0.0005, 0.01, 0.05, 0.15, 0.3, 0.5), *(0.7, 0.85, 0.93, 0.97, 0.99, 0.999, 1.0))
"""Of the cells of training fields, at which heights are told apart."""


class Heights(nn.Module):
    """What summaries by height have in common: the heights.

    Of which height a cell is is taken as given: gradients change what it does there, and leave the distribution of
    heights to others, which takes half the time.
    """

    heights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heights", torch.linspace(-2.0, 4.0, len(QUANTILES)))

    @torch.no_grad()
    def fit(self, density: Tensor) -> None:
        """Take the heights from the cells of training fields (n, N, ...), density over mean."""
        found = np.quantile(height_of(density).numpy(), QUANTILES)
        self.heights.copy_(torch.from_numpy(np.maximum.accumulate(found)))

    @torch.no_grad()
    def beyond(self, height: Tensor) -> Tensor:
        """Return by how much each cell of (n, N, ...) lies beyond each height but the last, (n, heights - 1, cells)."""
        return ramps(height.flatten(1), self.heights)


def height_of(density: Tensor) -> Tensor:
    """Return asinh(density / `EMPTY`)."""
    return torch.asinh(density / EMPTY)


def ramps(values: Tensor, knots: Tensor) -> Tensor:
    """Return how far values (n, v) are from each of the knots (k + 1,) to the next, (n, k, v) from 0 to 1."""
    slope = 1 / knots.diff().clamp_min(1e-3)[:, None]
    start = knots[:-1, None] * slope
    return torch.addcmul(-start, values[:, None], slope).clamp(0, 1)
