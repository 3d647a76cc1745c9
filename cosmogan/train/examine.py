"""Takes the readings of a training: the averaged generator answers its exam, and is judged and watched."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cosmogan.fields.dataset import FieldSet
from cosmogan.models.generator import Generator
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate
from cosmogan.models.theory import Theory
from cosmogan.models.weights import MICRO_BATCH
from cosmogan.statistics import battery
from cosmogan.train import reading
from cosmogan.train.data import rows_of, spread
from cosmogan.train.feed import Feed
from cosmogan.train.material import Material
from cosmogan.train.networks import Networks
from cosmogan.train.place import Place
from cosmogan.train.plan import Training
from cosmogan.train.reading import Reading, Referee, free_exam, paired_exam
from cosmogan.train.watch import KNOWN, SEEN, Course, Seen, Watch, differ

GAP_FIELDS = 128
"""Fields of either side whose scores are compared in a reading."""
TWICE = 64
"""Fields of an exam that are drawn twice, if they are simulated ones."""
_AT_A_TIME = 256


class Examiner:
    """Knows the exam and who judges it.

    Parameters
    ----------
    plan : Training
        Tolerances and seed.
    material : Material
        Both sides.
    source : Source
        Of latents and noise.
    device : str
        Where the networks are.
    """

    def __init__(self, plan: Training, material: Material, source: Source, device: str) -> None:
        self.plan, self.source, self.device = plan, source, device
        self.scaling = material.scaling
        sides = material.training, material.validation
        known, unseen = (side.fields for side in sides)
        if plan.paired:
            self.exam = paired_exam(unseen, plan.theory)
        else:
            seed = derive_seed(plan.seed, 2)
            self.exam = free_exam(known, unseen, material.latent, plan.theory, seed)
        self.referee = Referee(
            self.exam, material.layout, tolerance=plan.tolerance, k_max=plan.k_max
        )
        self.watch = Watch(
            _seen(known, plan.theory, KNOWN), _seen(unseen, plan.theory, reading.FIELDS)
        )
        alone = Place(device=device)
        self.feeds = [Feed(plan, side, source, alone) for side in sides]

    def read(
        self, networks: Networks, *, balance: float, course: Course | None = None
    ) -> tuple[Reading, NDArray[np.float32]]:
        """Take a reading; return it and the fields it was made from, density over mean.

        Parameters
        ----------
        networks : Networks
            As they are now: the averaged generator is asked.
        balance : float
            Relativistic loss of the discriminator, over its value when the networks are level.
        course : Course, optional
            Of the readings before.
        """
        y = self._answer(networks.average, range(len(self.exam.rows)))
        fields = self.scaling.inverse(y).astype(np.float32)
        gap, asked = self._gap(networks), _conditions(self.plan.theory, self.exam.rows)
        found = self.referee.read(
            fields,
            images=networks.shown,
            touched=self.scaling.touched(y),
            gap_validation=gap,
            look=lambda statistics: self.watch.look(Seen(statistics, asked)),
        )
        health = found.health | {"gap": gap, "balance": balance}
        if self.plan.paired:
            health["spread"] = self._spread(networks.average, y)
        if course is not None:
            health |= course.look(found.score, networks.shown, self.plan.images)
        return replace(found, health=health), fields

    @torch.no_grad()
    def _answer(
        self, average: Generator, numbers: Sequence[int], again: int = 0
    ) -> NDArray[np.float32]:
        """Make fields of the exam (n, N, ...) in training space; `again`, with other noise."""
        exam, parts = self.exam, []
        for start in range(0, len(numbers), MICRO_BATCH):
            some = list(numbers[start : start + MICRO_BATCH])
            rows = [exam.rows[i] for i in some]
            seeds = [derive_seed(self.plan.seed, 2, again + i) for i in some]
            latents = self.source.latents(exam.origins[some], rows)
            draw = self.source.draw(latents, seeds, rows, self.device)
            parts.append(generate(average, draw).cpu())
        y: NDArray[np.float32] = torch.cat(parts)[:, 0].numpy()
        return y

    def _spread(self, average: Generator, first: NDArray[np.float32]) -> float:
        some = np.unique(np.linspace(0, len(first) - 1, TWICE).astype(int))
        second = self._answer(average, some.tolist(), again=len(first))
        return differ(first[some], second, self.scaling.forward(self.exam.truth[some]))

    @torch.no_grad()
    def _gap(self, networks: Networks) -> float:
        """Return by how much training fields outscore their partners, minus that of validation fields."""
        count = min(GAP_FIELDS, len(self.feeds[1].data.rows))
        known, unknown = (
            feed.mean_margin(networks.discriminator, networks.average, count) for feed in self.feeds
        )
        return known - unknown


def _seen(fields: FieldSet, theory: Theory, most: int) -> Seen:
    """Measure what fields are compared by, of up to so many, a block at a time."""
    rows = spread(fields, most)
    blocks = np.array_split(rows, -(-len(rows) // _AT_A_TIME))
    statistics = battery.join(
        [
            battery.measure(fields.read_checked(block), fields.layout.box_size, SEEN)
            for block in blocks
        ]
    )
    return Seen(statistics, _conditions(theory, rows_of(fields, theory)[rows]))


def _conditions(theory: Theory, rows: ArrayLike) -> NDArray[np.float32]:
    return theory.conditions(theory.parameters[np.asarray(rows)])
