"""From seeds to fields: latents, noise and orientation of each seed, and the network's answer.

Field k depends on its seed and parameters alone, whatever batch or worker it is made in. The
network is equivariant only to shifts by its stride, so each seed also draws the orientation in
which the network sees its latent; the output is turned back and stays aligned with the latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmogan.fields.scaling import Scaling
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import Colour, Theory, gaussian_colour, lognormal_field, white_noise
from cosmogan.models.orientation import (
    Orientation,
    draw_orientation,
    orient,
    restore_orientation,
)


def derive_seed(*path: int) -> int:
    """Return a seed in [0, 2^63) that depends on all of `path` but zeros at its end."""
    state = np.random.SeedSequence(path).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@dataclass(frozen=True)
class Draw:
    """What the generator needs for a batch.

    Attributes
    ----------
    latent : (n, 1, N, ...) tensor
        In training space, oriented.
    noise : list of (n, 1, M, ...) tensors
        One a resolution.
    conditions : (n, c) tensor or None
        Scaled parameters.
    orientations : list of Orientation
        How each latent was turned.
    """

    latent: Tensor
    noise: list[Tensor]
    conditions: Tensor | None
    orientations: list[Orientation]


class Source:
    """Makes draws for a generator.

    Parameters
    ----------
    theory : Theory
        Spectra of the latent.
    scaling : Scaling
        Training space.
    shape : GeneratorShape
        Of the network that is fed.
    grid : int
        Cells per side.
    """

    def __init__(self, theory: Theory, scaling: Scaling, shape: GeneratorShape, grid: int) -> None:
        self.theory, self.scaling, self.shape, self.grid = theory, scaling, shape, grid
        self._colour = lru_cache(maxsize=64)(self._make_colour)

    def lognormal(self, seed: int, row: int = 0) -> NDArray[np.float32]:
        """Return the latent of a seed as a density over mean (N, ...) float32."""
        return lognormal_field(seed, self._colour(row), self.grid, self.shape.dimension)

    def draw(self, seeds: Sequence[int], rows: Sequence[int], device: str = "cpu") -> Draw:
        """Make the network's inputs for each seed and row of parameters."""
        d = self.shape.dimension
        orientations = [draw_orientation(s, d, self.shape.stride) for s in seeds]
        latent = np.stack([self.lognormal(s, r) for s, r in zip(seeds, rows, strict=True)])
        y = torch.from_numpy(self.scaling.forward(latent))[:, None]
        grids = self.shape.noise_grids(self.grid)
        noise = [white_noise(s, grids, d) for s in seeds]
        conditions = self.theory.conditions(self.theory.parameters[list(rows)])
        return Draw(
            latent=orient(y, orientations).to(device),
            noise=[
                torch.from_numpy(np.stack(level))[:, None].to(device)
                for level in zip(*noise, strict=True)
            ],
            conditions=torch.from_numpy(conditions).to(device) if conditions.size else None,
            orientations=orientations,
        )

    def _make_colour(self, row: int) -> Colour:
        return gaussian_colour(self.theory, row, self.grid)


def generate(generator: Generator, draw: Draw) -> Tensor:
    """Return fields (n, 1, N, ...) in training space, aligned with their latents."""
    fields = generator(draw.latent, draw.noise, draw.conditions)
    return restore_orientation(fields, draw.orientations)
