"""What a training moves: both networks, the averaged generator, both optimisers and the clock."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.errors import TrainingError
from cosmogan.fields.layout import Layout
from cosmogan.fields.scaling import Scaling
from cosmogan.models.checkpoint import prefixed, restore, under
from cosmogan.models.discriminator import Discriminator, DiscriminatorShape
from cosmogan.models.generator import Generator, GeneratorShape, receptive_radius
from cosmogan.train.data import to_tensor
from cosmogan.train.plan import Training


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
            **prefixed("adam_generator", _moments(self.adam_generator)),
            **prefixed("adam_discriminator", _moments(self.adam_discriminator)),
        }

    def load(self, tensors: dict[str, Tensor], shown: int, where: str) -> None:
        """Take back what `tensors` gave."""
        restore(self.generator, under("generator", tensors), where)
        restore(self.discriminator, under("discriminator", tensors), where)
        restore(self.average, under("average", tensors), where)
        _load_moments(self.adam_generator, under("adam_generator", tensors))
        _load_moments(self.adam_discriminator, under("adam_discriminator", tensors))
        self.shown = shown


def build_networks(
    plan: Training,
    layout: Layout,
    fields: NDArray[np.float32],
    latents: NDArray[np.float32] | None = None,
    channels: int = 1,
    device: str = "cpu",
) -> Networks:
    """Make both networks as they are at the start of a training: the same for the same seed.

    Parameters
    ----------
    plan : Training
        Widths and seed.
    layout : Layout
        Of the training fields.
    fields : (n, N, ...) float32 ndarray
        Training fields that fix the scales, density over mean.
    latents : (n, N, ...) float32 ndarray, optional
        What they started from, density over mean, if the discriminator sees it.
    channels : int
        Of the latent.
    device : str
        Where the networks are to live.

    Raises
    ------
    TrainingError
        If the generator would look farther than a quarter of the box.
    LayoutError
        If the fields are constant or damaged.
    """
    conditions = plan.theory.num_conditions
    shape = GeneratorShape(
        dimension=layout.dimension,
        widths=plan.generator_widths,
        conditions=conditions,
        latents=channels,
    )
    radius = receptive_radius(shape)
    if radius > layout.grid // 4 and layout.grid >= 64:
        raise TrainingError(
            f"generator_widths = {shape.widths}: the network would look {radius} cells far, "
            f"a quarter of {layout.grid} is the limit; drop a level"
        )
    judge = DiscriminatorShape(
        dimension=layout.dimension,
        grid=layout.grid,
        widths=plan.discriminator_widths,
        conditions=conditions,
        latents=0 if latents is None else channels,
    )
    scaling = Scaling.fit(fields, plan.density_scale)
    torch.manual_seed(plan.seed)
    generator, discriminator = Generator(shape, scaling), Discriminator(judge, scaling)
    own = None if latents is None else to_tensor(latents, scaling)
    discriminator.fit(to_tensor(fields, scaling), own)
    return Networks(generator.to(device), discriminator.to(device))


def _adam(module: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=0.0, betas=(0.0, 0.95), eps=1e-8)


def _moments(adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Return the optimiser's state as tensors."""
    states = adam.state_dict()["state"]
    return {f"{i}.{name}": value for i, s in states.items() for name, value in s.items()}


def _load_moments(adam: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
