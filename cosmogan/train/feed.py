"""What a worker is fed: real fields, and what generated ones start from, each at its number.

Real fields are learnt beside their own latents if these know initial conditions: the generator then
starts from the very latents that its judge sees beside the real fields.
"""

import torch
from torch import Tensor

from cosmogan.models.discriminator import Discriminator
from cosmogan.models.orientation import orient
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source
from cosmogan.train.data import Batch, TrainingFields
from cosmogan.train.place import Place
from cosmogan.train.plan import Training
from cosmogan.train.step import Pairs


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
        plan, source, device = self.plan, self.source, self.place.device
        world, rank = self.place.world, self.place.rank
        numbers = range(rank * plan.batch // world, (rank + 1) * plan.batch // world)
        real = self.data.at([2 * shown + role * plan.batch + i for i in numbers])
        places = [shown + i for i in numbers]
        if plan.paired:
            latents = self._own_latents(real)
        else:
            origins = source.latent.origins(derive_seed(plan.seed, role), places)
            latents = source.latents(origins, real.rows)
        seeds = [derive_seed(plan.seed, role, place) for place in places]
        return Pairs(
            real=real.fields.to(device),
            draw=source.draw(latents, seeds, real.rows, device),
            latent=source.guided(latents, real.rows).to(device) if plan.paired else None,
        )

    @torch.no_grad()
    def mean_score(self, judge: Discriminator, count: int) -> float:
        """Return the mean score of the first fields of this side, `count` of them."""
        real, device = self.data.at(range(count)), self.place.device
        latents = None
        if self.plan.paired:
            latents = self.source.guided(self._own_latents(real), real.rows).to(device)
        given = self.source.conditions(real.rows, device)
        return float(judge(real.fields.to(device), given, latents).mean())

    def _own_latents(self, real: Batch) -> Tensor:
        """Return what theory knows of the very simulations, turned as the fields are."""
        return orient(self.source.latents(real.origins, real.rows), real.orientations)
