r"""Whether the power of a field has directions, shell by shell, differentiable, for the discriminator.

Laws of nature have none, but the grid of a network has, and so have its kernels: fields that are turned at random
hide it from whatever averages over fields or over the modes of a shell, and still look brushed, each along a
line of its own. Three kinds of numbers tell, the first two for the shells from |n| = `FIRST` on:

* the power of a wedge, modes whose wavevectors lie about as near to an axis of the grid, over that of the shell;
* the quadrupole Q_ij = \sum_k P(k) (k_i k_j / k^2 - \delta_ij / d) / \sum_k P(k) of a field, as ln(\sum_ij Q_ij^2);
* the power of combs, modes that change sign from cell to cell along some axes and are even along the others, over that of
  the last shell: the grid of a network that has half the cells on some level.

All are blind to turns and mirrors of the field.
"""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.models.modes import shell_edges, shell_table, wavevectors

FIRST = 6
"""|n| of the first shell with modes enough to have directions."""
WEDGES = 3
"""Wedges of a shell, with about equally many modes."""
QUIET = 0.1
"""What is added to squared quadrupoles and combs, about a fifth of those of a Gaussian field, below which nothing is heard."""


class Directions(nn.Module):
    """Wedges, quadrupoles and combs of the power of a field.

    Parameters
    ----------
    grid, dimension : int
        Cells per side and spatial axes of the fields.
    """

    shells: Tensor
    combs: Tensor
    wedges: Tensor
    shares: Tensor
    quadrupoles: Tensor
    quiet: Tensor

    def __init__(self, grid: int, dimension: int) -> None:
        super().__init__()
        shells = shell_table(grid, dimension)[:, shell_edges(grid)[:-1] >= min(FIRST, grid // 2)]
        n = wavevectors(grid, dimension).reshape(dimension, -1)
        towards = n / np.sqrt(np.maximum(np.square(n).sum(0), 1))
        wedges = _wedges(towards, shells.numpy())
        tables = {
            "shells": shells,
            "combs": _combs(n, grid),
            "wedges": wedges,
            "shares": wedges @ shells,
            "quadrupoles": _quadrupoles(towards, np.abs(n) < grid // 2),
            "quiet": QUIET * shells.square().sum(0),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @property
    def length(self) -> int:
        """Number of summaries of a field."""
        return (WEDGES + 1) * int(self.shells.shape[1]) + 1

    def forward(self, power: Tensor) -> Tensor:
        """Return (n, length) summaries of the power (n, modes) of fields: wedges, quadrupoles, combs."""
        mean = (power @ self.shells + 1e-6)[:, None]
        wedges = self._sum(power, self.wedges) / self.shares / mean
        quadrupoles = self._sum(power, self.quadrupoles) / mean
        squared = quadrupoles.square().sum(1) + self.quiet
        combs = power @ self.combs / mean[:, :, -1] + QUIET
        return torch.log(torch.cat([wedges.flatten(1) + 1e-6, squared, combs], 1))

    def _sum(self, power: Tensor, weights: Tensor) -> Tensor:
        """Return the mean over shells of weighted power, (n, weights, shells)."""
        return (power[:, None] * weights) @ self.shells


def _combs(n: NDArray[np.int64], grid: int) -> Tensor:
    """Return (modes, 1) weights that average over the combs of wavevectors (d, modes)."""
    alternate = np.isin(np.abs(n), (0, grid // 2)).all(0)
    combs: NDArray[np.float64] = np.where(alternate & n.any(0), 1.0, 0.0)[:, None]
    return torch.tensor(combs / combs.sum(), dtype=torch.float32)


def _wedges(towards: NDArray[np.float64], shells: NDArray[np.float32]) -> Tensor:
    """Return (WEDGES, modes), 1 where a mode lies in a wedge, from those near an axis to the diagonals."""
    nearest = np.abs(towards).max(0)
    wedge = np.full(len(nearest), -1)
    for inside in shells.T > 0:
        cuts = np.quantile(nearest[inside], np.arange(WEDGES - 1, 0, -1) / WEDGES)
        wedge[inside] = (nearest[inside][:, None] < cuts).sum(1)
    return torch.tensor(wedge == np.arange(WEDGES)[:, None], dtype=torch.float32)


def _quadrupoles(towards: NDArray[np.float64], signed: NDArray[np.bool_]) -> Tensor:
    """Return the traceless tensors of wavevectors, (2 or 5, modes) orthonormal components; a Nyquist one has both signs."""
    d, clear = len(towards), towards * signed
    basis = np.eye(d) - 1 / d  # of diagonals without trace
    across = np.linalg.svd(basis)[2][: d - 1] @ towards**2
    mixed = [np.sqrt(2) * clear[i] * clear[j] for i, j in itertools.combinations(range(d), 2)]
    return torch.tensor(np.stack([*across, *mixed]), dtype=torch.float32)
