"""The modes of a field in the layout of rfftn, and means of their power over shells."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def shell_edges(grid: int) -> NDArray[np.int64]:
    """Return shells of |n|: single up to 6, then a fifth wider each, up to the Nyquist mode; the last holds the corners."""
    edges = [*range(1, 7)]
    while edges[-1] < grid // 2:
        edges.append(min(max(edges[-1] + 1, round(edges[-1] * 1.2)), grid // 2))
    return np.array([*(e for e in edges if e <= grid // 2), grid])


def wavevectors(grid: int, dimension: int) -> NDArray[np.int64]:
    """Return the integer wavevectors (dimension, N, ..., N // 2 + 1)."""
    full = np.rint(np.fft.fftfreq(grid) * grid).astype(np.int64)
    half = np.arange(grid // 2 + 1)
    return np.stack(np.meshgrid(*[full] * (dimension - 1), half, indexing="ij"))


def squared_modes(grid: int, dimension: int) -> NDArray[np.int64]:
    """Return the squared integer wavevectors |n|^2 (N, ..., N // 2 + 1)."""
    squared: NDArray[np.int64] = np.square(wavevectors(grid, dimension)).sum(0)
    return squared


def shell_table(grid: int, dimension: int) -> Tensor:
    """Return (modes, shells) weights that average |mode|^2 over shells, Hermitian pairs twice."""
    edges, squared = shell_edges(grid), squared_modes(grid, dimension)
    shell = np.searchsorted(edges**2, squared.ravel(), side="right") - 1
    weight = np.full(squared.shape, 2.0)
    weight[..., 0] = weight[..., -1] = 1.0
    table = (shell[:, None] == np.arange(len(edges) - 1)) * weight.reshape(-1, 1)
    return torch.tensor(table / table.sum(0), dtype=torch.float32)
