"""What a training works with: both sides of the split, their scales, and what theory knows of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmogan.fields.scaling import Scaling
from cosmogan.fields.store import open_fields
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import make_latent
from cosmogan.models.source import Source
from cosmogan.train.data import TrainingFields, check_training, spread
from cosmogan.train.plan import Training


class Material:
    """Both sides of the split, opened and checked.

    Parameters
    ----------
    plan : Training
        Names them.

    Attributes
    ----------
    training, validation : TrainingFields
        Both sides, in training space.
    sample : (n, N, ...) float32 ndarray
        Training fields that fix the scales but for the largest density, density over mean, in random order: one in so many of them is of all redshifts.

    Raises
    ------
    SplitError, LayoutError, RecipeError
        If they are incomplete, share a simulation, have fixed amplitudes or unknown parameters.
    """

    def __init__(self, plan: Training) -> None:
        sides = open_fields(plan.train), open_fields(plan.validation)
        check_training(*sides)
        self.layout, self.theory = sides[0].layout, plan.theory
        self.latent = make_latent(plan.latent, plan.theory, self.layout.grid, plan.boxes)
        self._some = np.random.default_rng(0).permutation(spread(sides[0]))
        self.sample: NDArray[np.float32] = sides[0].read_checked(self._some)
        self.scaling = Scaling.fit(self.sample, plan.density_scale, plan.density_max)
        self.training, self.validation = (
            TrainingFields(side, self.scaling, plan.theory, plan.seed) for side in sides
        )

    def source(self, shape: GeneratorShape, predictor: Generator | None = None) -> Source:
        """Return what feeds a network."""
        return Source(self.latent, self.theory, self.scaling, shape, predictor)

    def latents_of(self, source: Source, these: slice) -> Tensor:
        """Return the latents (n, c, N, ...) of so much of the sample, as the source's network gets them."""
        at = self._some[these]
        rows = self.training.rows[at].tolist()
        return source.guided(source.latents(self.training.origins[at], rows), rows)

    @property
    def conditions(self) -> Tensor:
        """Those of the parameters of the sample that vary (n, c), [-1, 1] in the trained range."""
        rows = self.training.rows[self._some]
        return torch.from_numpy(self.theory.conditions(self.theory.parameters[rows]))
