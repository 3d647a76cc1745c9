"""What a worker is fed: real fields, and what generated ones start from, each at its number.

Real fields are learnt beside their own latents if these know initial conditions: the generator then
starts from the very latents that its judge sees beside the real fields.
"""

import operator
from collections.abc import Sequence

import torch

from cosmogan.models.discriminator import Discriminator
from cosmogan.models.generator import Generator
from cosmogan.models.orientation import orient, restore_orientation
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate
from cosmogan.train.data import TrainingFields
from cosmogan.train.place import Place
from cosmogan.train.plan import Training
from cosmogan.train.step import Pairs

_READING = 8  # a role of its own, after those of the game


class Feed:
    """One side of the split, in this worker's shares.

    Parameters
    ----------
    plan : Training
        Batch, seed, and whether the latents know initial conditions.
    data : TrainingFields
        Real fields.
    source : Source
        Of latents and noise.
    place : Place
        Which share.
    """

    def __init__(self, plan: Training, data: TrainingFields, source: Source, place: Place) -> None:
        self.plan, self.data, self.source, self.place = plan, data, source, place

    def share(self, role: int, shown: int) -> Pairs:
        """Return this worker's part of the batch after so many fields (role 0 judges, 1 persuades)."""
        plan, world, rank = self.plan, self.place.world, self.place.rank
        numbers = range(rank * plan.batch // world, (rank + 1) * plan.batch // world)
        cursors = [2 * shown + role * plan.batch + i for i in numbers]
        return self._pairs(role, cursors, [shown + i for i in numbers])

    @torch.no_grad()
    def mean_margin(self, judge: Discriminator, generator: Generator, count: int) -> float:
        """Return by how much the first fields of this side, `count` of them, outscore generated ones on average."""
        margins = []
        for start in range(0, count, self.plan.batch):
            numbers = range(start, min(start + self.plan.batch, count))
            pairs = self._pairs(_READING, numbers, numbers)
            given, made = pairs.draw.conditions, generate(generator, pairs.draw)
            scores = (judge(side, given, pairs.latent) for side in (pairs.real, made))
            margins.append(operator.sub(*scores))
        return float(torch.cat(margins).mean())

    def _pairs(self, role: int, cursors: Sequence[int], places: Sequence[int]) -> Pairs:
        """Return real fields at cursors, and what generated ones start from at places of the role's seed."""
        plan, source, device = self.plan, self.source, self.place.device
        real = self.data.at(cursors)
        if plan.paired:
            latents = orient(source.latents(real.origins, real.rows), real.orientations)
        else:
            origins = source.latent.origins(derive_seed(plan.seed, role), places)
            latents = source.latents(origins, real.rows)
        seeds = [derive_seed(plan.seed, role, place) for place in places]
        draw = source.draw(latents, seeds, real.rows, device)
        started = restore_orientation(draw.latent, draw.orientations) if plan.paired else None
        return Pairs(real=real.fields.to(device), draw=draw, latent=started)
