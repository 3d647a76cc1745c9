r"""The generator: a Gaussian universe in, a nonlinear one out.

The latent is a physical field on the output grid (see `cosmogan.models.latent`) in the training
space of `cosmogan.fields.scaling`, and the network learns what gravity adds to it::

    latent, noise_0 -> [1^d] -> block ----------------- + -> block -> 3^d -> + latent
                                   \-> halve, noise_1 -> block -> double -/

Each further width adds a level at half the resolution of the one before, low-passed on the way down and interpolated on the
way up. A finest level of 2^d cells folded into channels would be faster, but each of these cells is then made by weights of its
own: draws show that grid plainly, means hardly. Everything is convolutional and periodic, so the same weights make boxes of any
size, and no operation sees the whole box. `receptive_radius` says how far a cell looks.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.fields.scaling import Scaling
from cosmogan.models.blocks import (
    Convolution,
    ResidualBlock,
    activate,
    depth_to_space,
    double,
    halve,
    space_to_depth,
)

UNFOLDED = 8
"""Channels of the last layer of a folded generator, on the full grid."""


@dataclass(frozen=True, kw_only=True)
class GeneratorShape:
    """What fixes the generator's weights in number and meaning.

    Attributes
    ----------
    dimension : {2, 3}
        Spatial axes.
    widths : tuple of int
        Channels per level, from fine to coarse.
    conditions : int
        Number of parameters (cosmology, redshift) that vary in the training set.
    latents : int
        Channels of the latent.
    blocks : int
        Residual blocks in a row, at each level.
    outputs : int
        Fields it makes of a latent, each a change of the latent's first channel.
    folded : bool
        Whether the finest level has half the cells per side of the output, not as many: 2^d cells are folded into channels, as in
        predictors of means, and in generators of before 2026-11-28.
    noisy : bool
        Whether it is given white noise; without it makes one field of a latent, no draws.
    """

    dimension: int
    widths: tuple[int, ...]
    conditions: int = 0
    latents: int = 1
    blocks: int = 1
    outputs: int = 1
    folded: bool = False
    noisy: bool = True

    @property
    def stride(self) -> int:
        """Cells by which a roll of the input rolls the output exactly."""
        return int(2 ** (len(self.widths) - 1 + self.folded))

    def noise_grids(self, grid: int) -> tuple[int, ...]:
        """Return the cells per side of each white-noise channel."""
        if not self.noisy:
            return ()
        return (grid, *(grid // 2 ** (level + self.folded) for level in range(1, len(self.widths))))

    def as_dict(self) -> dict[str, object]:
        """Return the attributes, for a file."""
        return asdict(self)


class Generator(nn.Module):
    """The network described at the head of this module.

    Parameters
    ----------
    shape : GeneratorShape
        Dimension, widths, number of conditions.
    scaling : Scaling
        The training space, whose soft ceiling ends the network.
    """

    def __init__(self, shape: GeneratorShape, scaling: Scaling) -> None:
        super().__init__()
        self.shape, self.scaling = shape, scaling
        d, widths = shape.dimension, shape.widths
        depth = shape.blocks * (2 * len(widths) - 1)
        given, cells = shape.latents + shape.noisy, 2 ** (d * shape.folded)

        def blocks(width: int) -> nn.ModuleList:
            each = (
                ResidualBlock(d, width, depth=depth, conditions=shape.conditions)
                for _ in range(shape.blocks)
            )
            return nn.ModuleList(each)

        self.stem = Convolution(d, given * cells, widths[0], width=1)
        self.down = nn.ModuleList(blocks(w) for w in widths)
        self.narrow = nn.ModuleList(
            Convolution(d, fine + shape.noisy, coarse, width=1) for fine, coarse in pairwise(widths)
        )
        self.widen = nn.ModuleList(
            Convolution(d, coarse, fine, width=1, bias=False) for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(blocks(w) for w in widths[:-1])
        self.unfold = Convolution(d, widths[0], UNFOLDED * cells, width=1) if shape.folded else None
        self.head = Convolution(d, UNFOLDED if shape.folded else widths[0], shape.outputs, gain=0.0)

    def forward(
        self, latent: Tensor, noise: Sequence[Tensor], conditions: Tensor | None = None
    ) -> Tensor:
        """Make fields.

        Parameters
        ----------
        latent : (n, latents, N, ...) tensor
            The physical latent in training space; its first channel is what the network changes.
        noise : sequence of (n, 1, M, ...) tensors
            White noise at each resolution of `GeneratorShape.noise_grids`, none if it takes none.
        conditions : (n, conditions) tensor, optional
            Parameters, scaled to about [-1, 1].

        Returns
        -------
        (n, outputs, N, ...) tensor
            Fields in training space, inside its range.
        """
        given = torch.cat([latent, *noise[:1]], 1)
        y: Tensor = latent[:, :1] + self._change(given, noise, conditions)
        return self.scaling.saturate(y, torch)

    def _change(self, given: Tensor, noise: Sequence[Tensor], conditions: Tensor | None) -> Tensor:
        x, skips = self.stem(space_to_depth(given) if self.shape.folded else given), []
        for level, blocks in enumerate(self.down):
            if level:
                x = self.narrow[level - 1](torch.cat([halve(x), *noise[level : level + 1]], 1))
            x = _through(blocks, x, conditions)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = skips[level] + double(self.widen[level](x))
            x = _through(self.up[level], x, conditions)
        if self.unfold is not None:
            x = depth_to_space(self.unfold(x))
        change: Tensor = self.head(activate(x))
        return change


def _through(blocks: nn.Module, x: Tensor, conditions: Tensor | None) -> Tensor:
    for block in blocks.children():
        x = block(x, conditions)
    return x


def receptive_radius(shape: GeneratorShape) -> int:
    """Return the largest distance [cells, along an axis] at which an input cell can matter.

    Follows single cells of a line through the layers; a test compares it with gradients.
    """
    size = 64 * shape.stride
    starts = size // 2 + np.arange(shape.stride)
    reached = [_follow(np.arange(size) == start, shape) for start in starts]
    return max(
        int(np.abs(np.flatnonzero(cells) - start).max())
        for cells, start in zip(reached, starts, strict=True)
    )


def _follow(cells: NDArray[np.bool_], shape: GeneratorShape) -> NDArray[np.bool_]:
    levels = len(shape.widths), shape.blocks
    if shape.folded:
        return _grow(np.repeat(_follow_level(_halve(cells), *levels), 2))
    return _grow(_follow_level(cells, *levels))


def _follow_level(cells: NDArray[np.bool_], levels: int, blocks: int) -> NDArray[np.bool_]:
    cells = _grow(cells, blocks)
    if levels == 1:
        return cells
    coarse = _follow_level(_halve(_grow(cells)), levels - 1, blocks)
    return _grow(cells | _grow(np.repeat(coarse, 2)), blocks)


def _halve(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    halved: NDArray[np.bool_] = np.logical_or.reduce(cells.reshape(-1, 2), axis=1)
    return halved


def _grow(cells: NDArray[np.bool_], times: int = 1) -> NDArray[np.bool_]:
    for _ in range(times):
        cells = cells | np.roll(cells, 1) | np.roll(cells, -1)
    return cells
