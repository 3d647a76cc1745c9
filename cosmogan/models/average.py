"""Averaged weights: what users get."""

import torch
from torch import nn

RAMP = 0.1
"""The half-life is at most this fraction of the fields shown, so that the start is forgotten."""


@torch.no_grad()
def update_average(
    average: nn.Module, model: nn.Module, *, batch: int, shown: int, half_life: float
) -> None:
    """Move the averaged weights towards the model's.

    Parameters
    ----------
    average, model : Module
        Networks of the same shape; `average` is changed in place.
    batch, shown : int
        Fields in this step and since the start.
    half_life : float
        Fields after which a weight counts half [fields].
    """
    effective = max(min(half_life, RAMP * shown), 1e-8)
    keep = 0.5 ** (batch / effective)
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)
    for fixed, now in zip(average.buffers(), model.buffers(), strict=True):
        fixed.copy_(now)
