"""Before the game: a network learns the mean of what initial conditions leave open.

Adversaries teach a generator what fields look like, and only slowly where things are; the squared error
teaches that in a few minutes, and nothing else: the mean of all fields with the same initial conditions, which is
smooth where these do not tell. So this network learns first, alone, and what it predicts guides the game (two stages
as in CorrDiff: Mardani et al. 2023, arXiv:2309.15214).

It predicts two means. That of the field in training space, in which voids weigh as much as clumps, is where the generator
starts; that of the density is the best there is for large scales, but empty in voids, whose squared error is small.
Every mode counts in units of the power there, so that all scales count alike.
"""

import math
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cosmogan.errors import TrainingError
from cosmogan.models import checkpoint
from cosmogan.models.blocks import round_convolutions
from cosmogan.models.discriminator import Whitening
from cosmogan.models.generator import Generator
from cosmogan.models.modes import squared_modes
from cosmogan.models.orientation import orient
from cosmogan.models.seeds import derive_seed
from cosmogan.models.theory import Theory
from cosmogan.train.checkpoints import PREDICTOR, Checkpoints
from cosmogan.train.data import Batch, TrainingFields, to_tensor
from cosmogan.train.material import Material
from cosmogan.train.networks import load_moments, moments, predictor_shape
from cosmogan.train.place import Place
from cosmogan.train.plan import Training
from cosmogan.train.step import cosine, move
from cosmogan.train.watch import RANGES, alarms

LEARNING_RATE = 1e-3
"""Start of the cosine schedule; it ends at a twentieth."""
LOG_EVERY = 20
"""Steps between lines of the log."""
READ = 256
"""Fields of either side on which the error is read at the end."""
_AT_A_TIME = 32


class Lesson:
    """A network that is to predict the mean, and how far it is.

    Parameters
    ----------
    plan : Training
        How many fields it is shown, how many in a step.
    place : Place
        Where this process stands.
    material : Material
        Fields and latents.
    """

    def __init__(self, plan: Training, place: Place, material: Material) -> None:
        self.plan, self.place, self.material = plan, place, material
        shape = predictor_shape(plan, material.layout, material.latent.channels)
        torch.manual_seed(derive_seed(plan.seed, 6))
        self.predictor = Generator(shape, material.scaling).to(place.device)
        round_convolutions(self.predictor, rounded=place.rounded)
        self.source = material.source(shape)
        self.adam = torch.optim.Adam(self.predictor.parameters(), lr=0.0, betas=(0.9, 0.95))
        self.spectra = Spectra(plan.theory, material.layout.grid)
        self.whitening = Whitening(material.layout.grid, material.layout.dimension)
        self.whitening.fit(to_tensor(material.sample, material.scaling))
        self.whitening.to(place.device)
        self.folder = Path(plan.folder) / PREDICTOR
        self.checkpoints = Checkpoints(self.folder, plan, place)
        self.shown = 0
        self.seconds = self.cpu_seconds = 0.0

    def learn(self) -> bool:
        """Go from the newest checkpoint to the end; return whether the end was reached.

        The predictor then has no gradients. If it was asked to stop, a checkpoint is written.

        Raises
        ------
        TrainingError
            If the error is no longer finite.
        CheckpointError
            If what is there belongs to another training.
        """
        self.place.together(self._resume)
        self.place.require_equal([self.predictor], self.shown, self.folder)
        while self.shown < self.plan.predictor_images:
            self._step()
            last = self.shown >= self.plan.predictor_images
            stop = self.place.should_stop()
            if last:
                round_convolutions(self.predictor, rounded=False)  # nobody rounds who only predicts
            if last or stop or self.plan.due(self.shown, self.plan.validate_every):
                self.place.together(self._checkpoint)
            if stop and not last:
                return False
        self.predictor.requires_grad_(False).eval()
        round_convolutions(self.predictor, rounded=False)
        return True

    def error(self, side: TrainingFields, cursors: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the errors of the predictions, and of the latent itself, for fields at cursors, (2,) each.

        Notes
        -----
        E = < |d(k) - r(k)|^2 / P(k) > over fields and modes: first of the field in training space, P that of the
        training fields; then of the density over its mean, P what theory expects at its parameters. 1 is who
        predicts the mean everywhere.
        """
        real, latents = self._given(side, cursors)
        start = latents[:, :1].to(self.place.device)
        return self._errors(real, *self._predict(real, latents)), self._errors(real, start, start)

    def _given(self, side: TrainingFields, cursors: Sequence[int]) -> tuple[Batch, Tensor]:
        """Read fields at cursors and what they are predicted from, as they are turned."""
        real = side.at(cursors)
        return real, orient(self.source.latents(real.origins, real.rows), real.orientations)

    def _predict(self, real: Batch, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of the field and of its density, (n, 1, N, ...) each, in training space."""
        device = self.place.device
        conditions = self.source.conditions(real.rows, device)
        means = self.predictor(latents.to(device), (), conditions)
        return means[:, :1], means[:, 1:]

    def _errors(self, real: Batch, y: Tensor, of_density: Tensor) -> Tensor:
        device, density = self.place.device, self.material.scaling.inverse
        truth, expected = real.fields.to(device), self.spectra.at(real.rows).to(device)
        rough = self.whitening(y - truth).square().mean()
        away = density(of_density, torch) - density(truth, torch)
        return torch.stack([rough, _squared(away, expected)])

    def _step(self) -> None:
        before, cpu_before = time.monotonic(), time.process_time()
        batch = self.plan.batch
        world, rank = self.place.world, self.place.rank
        numbers = range(rank * batch // world, (rank + 1) * batch // world)
        cursors = [self.shown + i for i in numbers]
        given = self.place.together(lambda: self._given(self.material.training, cursors))
        loss = self._errors(given[0], *self._predict(*given))
        torch.autograd.backward(loss.sum())
        rate = cosine(LEARNING_RATE, LEARNING_RATE / 20, self.shown / self.plan.predictor_images)
        found = move(self.adam, rate, self.place.reduce, loss.detach().sum())
        if not math.isfinite(found):
            raise TrainingError(
                f"{self.folder}: the error is not finite after {self.shown} fields; the last checkpoint "
                "stays; look for damaged fields"
            )
        self.shown += batch
        self.seconds += time.monotonic() - before
        self.cpu_seconds += time.process_time() - cpu_before
        if self.place.first and self.plan.due(self.shown, LOG_EVERY * batch):
            self._tell(
                "predict",
                error=found,
                cpu_seconds=self.cpu_seconds,
                images_per_second=self.shown / max(self.seconds, 1e-9),
            )

    @torch.no_grad()
    def _read(self) -> None:
        """Tell the errors of the prediction on both sides, and that of the latent itself."""
        found: dict[str, float] = {}
        for name, side in (
            ("training", self.material.training),
            ("validation", self.material.validation),
        ):
            cursors = range(min(READ, len(side.rows)))
            parts = [
                self.error(side, cursors[i : i + _AT_A_TIME])
                for i in range(0, len(cursors), _AT_A_TIME)
            ]
            made, bare = (torch.stack(each).mean(0).tolist() for each in zip(*parts, strict=True))
            found |= {f"error_{name}": made[1], f"latent_{name}": bare[1]}
            found |= {f"error_logarithm_{name}": made[0], f"latent_logarithm_{name}": bare[0]}
        self._tell("prediction", **found)
        ratio = found["error_logarithm_validation"] / found["error_logarithm_training"]
        if alarms({"prediction": ratio}):
            self._tell(
                "alarm", name="prediction", value=ratio, low=None, high=RANGES["prediction"][1]
            )

    def _resume(self) -> None:
        known = self.checkpoints.newest()
        if known is None:
            return
        path, tensors, content = known
        checkpoint.restore(self.predictor, checkpoint.under("predictor", tensors), str(path))
        load_moments(self.adam, checkpoint.under("adam", tensors))
        self.shown = int(content["shown"])
        self.seconds, self.cpu_seconds = float(content["seconds"]), float(content["cpu_seconds"])

    def _checkpoint(self) -> None:
        if not self.place.first:
            return
        if self.shown >= self.plan.predictor_images:
            self._read()
        tensors = {
            **checkpoint.prefixed("predictor", self.predictor.state_dict()),
            **checkpoint.prefixed("adam", moments(self.adam)),
        }
        self.checkpoints.write(
            self.shown, tensors, seconds=self.seconds, cpu_seconds=self.cpu_seconds
        )

    def _tell(self, event: str, **values: float | str | None) -> None:
        """Count down to the game, whose clock starts at 0."""
        images = self.shown - self.plan.predictor_images
        line = {"event": event, "images": images, "seconds": self.seconds, **values}
        for observer in self.place.observers:
            observer.line(line)


class Spectra:
    """What theory expects the power of the modes of a field to be.

    Parameters
    ----------
    theory : Theory
        Spectra of the fields.
    grid : int
        Cells per side.
    """

    def __init__(self, theory: Theory, grid: int) -> None:
        self.theory, self.grid = theory, grid
        modes = np.sqrt(squared_modes(grid, theory.dimension))
        self.shell = torch.from_numpy(np.rint(modes).astype(np.int64))
        self._table = lru_cache(maxsize=None)(self._make_table)

    def at(self, rows: Sequence[int]) -> Tensor:
        """Return the mean of |mode|^2 at rows of the theory, (n, 1, N, ..., N / 2 + 1).

        Of the Fourier transform that keeps sums of squares; the mean density gets what the first shell has.
        """
        return torch.stack([self._table(row)[self.shell] for row in rows])[:, None]

    def _make_table(self, row: int) -> Tensor:
        theory, d = self.theory, self.theory.dimension
        fundamental = 2 * np.pi / (self.grid * theory.cell_size)
        size = fundamental * np.arange(int(self.shell.max()) + 1, dtype=np.float64)
        between = np.arange(d, 0, -1) / np.linalg.norm(np.arange(d, 0, -1))  # axis and diagonal
        power = theory.field_power(row, [size * part for part in between]) / theory.cell_size**d
        power[0] = power[1]
        return torch.from_numpy(power.astype(np.float32))


def _squared(error: Tensor, expected: Tensor) -> Tensor:
    axes = tuple(range(2, error.ndim))
    modes = torch.fft.rfftn(error, dim=axes, norm="ortho")
    share = (modes.real.square() + modes.imag.square()) / expected
    weight = torch.full((share.shape[-1],), 2.0, device=share.device)  # for the other half plane
    weight[0] = weight[-1] = 1.0
    mean: Tensor = (share * weight).mean() / weight.mean()
    return mean
