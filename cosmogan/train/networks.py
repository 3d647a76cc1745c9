"""What a training moves: both networks, the averaged generator, both optimisers and the clock."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.errors import TrainingError
from cosmogan.fields.layout import Layout
from cosmogan.fields.scaling import Scaling
from cosmogan.models.blocks import round_convolutions
from cosmogan.models.checkpoint import prefixed, restore, under
from cosmogan.models.discriminator import Discriminator, DiscriminatorShape
from cosmogan.models.generator import Generator, GeneratorShape, receptive_radius
from cosmogan.models.summaries import LatentsOf
from cosmogan.train.data import to_tensor
from cosmogan.train.place import Place
from cosmogan.train.plan import Training

PREDICTOR_BLOCKS = 2
"""Residual blocks of the network that predicts the mean, all at half the resolution."""


class Networks:
    """Both networks, the averaged generator, both optimisers and the clock.

    Parameters
    ----------
    generator, discriminator : Module
        On the device of the training.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.adam_generator = _adam(generator)
        self.adam_discriminator = _adam(discriminator)
        self.shown = 0

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a restart needs but the clock."""
        return {
            **prefixed("generator", self.generator.state_dict()),
            **prefixed("discriminator", self.discriminator.state_dict()),
            **prefixed("average", self.average.state_dict()),
            **prefixed("adam_generator", moments(self.adam_generator)),
            **prefixed("adam_discriminator", moments(self.adam_discriminator)),
        }

    def load(self, tensors: dict[str, Tensor], shown: int, where: str) -> None:
        """Take back what `tensors` gave."""
        restore(self.generator, under("generator", tensors), where)
        restore(self.discriminator, under("discriminator", tensors), where)
        restore(self.average, under("average", tensors), where)
        load_moments(self.adam_generator, under("adam_generator", tensors))
        load_moments(self.adam_discriminator, under("adam_discriminator", tensors))
        self.shown = shown


@dataclass(frozen=True, eq=False)
class Calibration:
    """Training fields by which the scales of a discriminator are fixed, in no order.

    Attributes
    ----------
    fields : (n, N, ...) float32 ndarray
        Density over mean.
    latents : callable, optional
        Their latents, as the generator gets them, if the discriminator is to see them.
    conditions : (n, c) tensor, optional
        Those of their parameters that vary, if any do.
    """

    fields: NDArray[np.float32]
    latents: LatentsOf | None = None
    conditions: Tensor | None = None


def predictor_shape(plan: Training, layout: Layout, channels: int) -> GeneratorShape:
    """Return the shape of the network that predicts two means from so many channels of a latent."""
    return GeneratorShape(
        dimension=layout.dimension,
        widths=(plan.predictor_width,),
        blocks=PREDICTOR_BLOCKS,
        conditions=plan.theory.num_conditions,
        latents=channels,
        outputs=2,
        folded=True,  # faster, and a mean hardly shows the grid
        noisy=False,
    )


def generator_shape(plan: Training, layout: Layout, channels: int) -> GeneratorShape:
    """Return the shape of the generator that starts from a latent of so many channels.

    Raises
    ------
    TrainingError
        If it, and the predictor before it, would look farther than half the box.
    """
    before = [predictor_shape(plan, layout, channels)] if plan.predictor_images else []
    shape = GeneratorShape(
        dimension=layout.dimension,
        widths=plan.generator_widths,
        conditions=plan.theory.num_conditions,
        latents=channels + sum(predictor.outputs for predictor in before),
    )
    radius = sum(map(receptive_radius, [shape, *before]))
    if 2 * radius >= layout.grid and layout.grid >= 64:
        raise TrainingError(
            f"generator_widths = {shape.widths}: the network would look {radius} cells far, "
            f"and less than half of {layout.grid} is allowed; drop a level"
        )
    return shape


def build_networks(
    plan: Training,
    shape: GeneratorShape,
    scaling: Scaling,
    calibration: Calibration,
    place: Place,
    guides: int = 0,
) -> Networks:
    """Make both networks as they are at the start of a training: the same for the same seed.

    Parameters
    ----------
    plan : Training
        Widths and seed.
    shape : GeneratorShape
        Of the generator.
    scaling : Scaling
        The training space.
    calibration : Calibration
        Training fields that fix the scales of the discriminator, and what belongs to them.
    place : Place
        Where the networks are to live. If it rounds, wide convolutions do while they learn; the averaged generator's never do.
    guides : int
        How many channels of a latent, from the first, say where structures are to be.
    """
    judge = DiscriminatorShape(
        dimension=shape.dimension,
        grid=calibration.fields.shape[-1],
        widths=plan.discriminator_widths,
        conditions=shape.conditions,
        latents=0 if calibration.latents is None else shape.latents,
        guides=0 if calibration.latents is None else guides,
    )
    torch.manual_seed(plan.seed)
    generator, discriminator = Generator(shape, scaling), Discriminator(judge, scaling)
    discriminator.fit(
        to_tensor(calibration.fields, scaling), calibration.latents, calibration.conditions
    )
    networks = Networks(generator.to(place.device), discriminator.to(place.device))
    if place.rounded:
        round_convolutions(networks.generator)
        round_convolutions(networks.discriminator)
    return networks


def _adam(module: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=0.0, betas=(0.0, 0.95), eps=1e-8)


def moments(adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Return the optimiser's state as tensors."""
    states = adam.state_dict()["state"]
    return {f"{i}.{name}": value for i, s in states.items() for name, value in s.items()}


def load_moments(adam: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    """Undo `moments`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
