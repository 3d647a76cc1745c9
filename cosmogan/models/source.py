"""From seeds to fields: latents, noise and orientation of each seed, and the network's answer.

Field k depends on its seed and parameters alone, whatever batch or worker it is made in. The
network is equivariant only to shifts by its stride, so each seed also draws the orientation in
which the network sees its latent; the output is turned back and stays aligned with the latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmogan.fields.scaling import Scaling
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import Latent, white_noise
from cosmogan.models.orientation import (
    Orientation,
    draw_orientation,
    orient,
    restore_orientation,
)
from cosmogan.models.theory import Theory


@dataclass(frozen=True)
class Draw:
    """What the generator needs for a batch.

    Attributes
    ----------
    latent : (n, c, N, ...) tensor
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
    latent : Latent
        What it starts from.
    theory : Theory
        Trained parameters.
    scaling : Scaling
        Training space.
    shape : GeneratorShape
        Of the network that is fed.
    predictor : Generator, optional
        Predicts the means of what a latent leaves open, which then come before its channels.
    """

    def __init__(
        self,
        latent: Latent,
        theory: Theory,
        scaling: Scaling,
        shape: GeneratorShape,
        predictor: Generator | None = None,
    ) -> None:
        self.latent, self.theory, self.scaling, self.shape = latent, theory, scaling, shape
        self.predictor = predictor

    def latents(self, origins: NDArray[np.void], rows: Sequence[int]) -> Tensor:
        """Return latents (n, c, N, ...) for origins and rows of the theory, densities in training space."""
        views = self.latent.views(origins, rows)
        known = views[:, : self.latent.densities]
        views[:, : self.latent.densities] = self.scaling.forward(known)
        return torch.from_numpy(views)

    def guided(self, latents: Tensor, rows: Sequence[int]) -> Tensor:
        """Return latents behind the means that are predicted from them as they are turned, if any."""
        if self.predictor is None:
            return latents
        return torch.cat([self._predict(self.predictor, latents, rows), latents], 1)

    @property
    def guides(self) -> int:
        """How many channels of the latents, from the first, say where structures are to be."""
        return 1 if self.predictor is None else self.predictor.shape.outputs

    def conditions(self, rows: Sequence[int], device: str = "cpu") -> Tensor | None:
        """Return the scaled parameters (n, c) of rows of the theory, None if none varies."""
        scaled = self.theory.conditions(self.theory.parameters[list(rows)])
        return torch.from_numpy(scaled).to(device) if scaled.size else None

    @torch.no_grad()
    def _predict(self, predictor: Generator, latents: Tensor, rows: Sequence[int]) -> Tensor:
        device = next(predictor.parameters()).device
        given = latents.to(device)
        predicted: Tensor = predictor(given, (), self.conditions(rows, str(device)))
        return predicted.to(latents.device)

    def draw(
        self, latents: Tensor, seeds: Sequence[int], rows: Sequence[int], device: str = "cpu"
    ) -> Draw:
        """Make the network's inputs from latents, and noise and orientation from each seed."""
        d = self.shape.dimension
        orientations = [draw_orientation(s, d, self.shape.stride) for s in seeds]
        grids = self.shape.noise_grids(latents.shape[-1])
        noise = [white_noise(s, grids, d) for s in seeds]
        return Draw(
            latent=self.guided(orient(latents, orientations), rows).to(device),
            noise=[
                torch.from_numpy(np.stack(level))[:, None].to(device)
                for level in zip(*noise, strict=True)
            ],
            conditions=self.conditions(rows, device),
            orientations=orientations,
        )


def generate(generator: Generator, draw: Draw) -> Tensor:
    """Return fields (n, 1, N, ...) in training space, aligned with their latents."""
    fields = generator(draw.latent, draw.noise, draw.conditions)
    return restore_orientation(fields, draw.orientations)
