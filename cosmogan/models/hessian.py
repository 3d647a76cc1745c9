r"""How sharp and how long structures are, from cell to cell and by height, differentiable, for the discriminator.

Spectra average over the bright and the empty. Fields that are right in them, and in the numbers of their peaks and minima, may still
have single cells far emptier than their neighbours, voids with too little inside, and haloes that are too long. The numbers of Bardeen et
al. (1986, ApJ 304, 15) that describe a peak tell: of the height h = asinh(rho / `EMPTY`) with the second
differences h_ij from cell to cell

* the curvature -\sum_i h_ii / d, and the logarithm of its square,
* the shear e^2 = \sum_ij t_ij^2 / 2, where t_ij is h_ij without its trace, as a logarithm,

averaged over the cells about each height.
"""

import itertools

import torch
from torch import Tensor

from cosmogan.models.heights import Heights, height_of

QUIET = 0.01
"""Added to squared curvatures and shears, below which nothing is heard."""
LOUD = 1 / 3
"""How loud each of these numbers is beside other summaries. As loud as they, these are all that the discriminator hears for the
first third of a short training."""
FEW = 0.25
"""Cells beside which a mean is of worth."""


class Hessian(Heights):
    """Mean curvature and shear of cells by height."""

    @property
    def length(self) -> int:
        """Number of summaries of a field."""
        return 3 * len(self.heights)

    def forward(self, density: Tensor) -> Tensor:
        """Return (n, length) means over cells of fields (n, N, ...) of density over mean."""
        height = height_of(density)
        curvature, shear = _second_differences(height)
        numbers = curvature, torch.log(curvature.square() + QUIET), torch.log(shear + QUIET)
        cells = torch.stack([torch.ones_like(height), *numbers], -1).flatten(1, -2)
        sums = sums_about(cells, self.beyond(height))
        return (sums[:, :, 1:] / (sums[:, :, :1] + FEW)).flatten(1)


def sums_about(values: Tensor, beyond: Tensor) -> Tensor:
    """Return sums (n, h + 1, v) of values (n, cells, v) about each height: a cell counts 1 there, 0 at the next, 1 in all.

    `beyond` (n, h, cells) says how far beyond each height, on its way to the next, a cell is.
    """
    first, last = torch.ones_like(beyond[:, :1]), torch.zeros_like(beyond[:, :1])
    return -torch.diff(beyond, dim=1, prepend=first, append=last) @ values


def _second_differences(height: Tensor) -> tuple[Tensor, Tensor]:
    """Return curvature and squared shear of each cell of (n, N, ...)."""
    axes = range(1, height.ndim)
    straight = [
        torch.roll(height, 1, axis) + torch.roll(height, -1, axis) - 2 * height for axis in axes
    ]
    mean = torch.stack(straight).mean(0)
    shear = torch.stack([(each - mean).square() for each in straight]).sum(0) / 2
    for pair in itertools.combinations(axes, 2):
        along, across = (
            torch.roll(height, (1, s), pair) + torch.roll(height, (-1, -s), pair) for s in (1, -1)
        )
        shear = shear + ((along - across) / 4).square()
    return -mean, shear
