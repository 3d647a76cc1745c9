"""The training loop, which knows no Ray.

It runs under Ray Train, under torchrun, and alone::

    python -m cosmogan.train.worker RUN/training.json
    torchrun --nproc-per-node 2 -m cosmogan.train.worker RUN/training.json

Everything random is drawn from counters (the number of fields shown), so a checkpoint holds no
random state: 20 + 20 steps equal 40 steps to the last bit, and any number of workers sees the same
global batches. What one worker decides or fails at, all do: none waits for another that is gone.
"""

import copy
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from cosmogan.errors import CosmoganError, ResourceError, TrainingError
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.weights import save_weights
from cosmogan.train.checkpoints import GAME, Checkpoints
from cosmogan.train.data import check_origins
from cosmogan.train.examine import Examiner
from cosmogan.train.feed import Feed
from cosmogan.train.material import Material
from cosmogan.train.networks import Calibration, build_networks, generator_shape
from cosmogan.train.place import Caller, LogFile, Observer, Place, device_of, keep_memory, rounds
from cosmogan.train.plan import Training
from cosmogan.train.predict import Lesson
from cosmogan.train.reading import Reading
from cosmogan.train.step import Pairs, schedule, step
from cosmogan.train.watch import EARLY, RANGES, Course, alarms

log = logging.getLogger(__name__)

LOST = 0.003
"""Smoothed relativistic loss below which the discriminator has won for good; level is ln 2."""
LOG_EVERY = 10
"""Steps between lines of the log."""
STOPPED = 85
"""Exit status of a training that was asked to stop; the same command continues it."""


def train(plan: Training, place: Place | None = None) -> bool:
    """Train, or go on training, and write checkpoints and at the end ``weights.safetensors``.

    Parameters
    ----------
    plan : Training
        What to do.
    place : Place, optional
        Where this process stands; alone by default.

    Returns
    -------
    bool
        Whether the training is complete; False if it was asked to stop.

    Raises
    ------
    TrainingError
        If it diverges, or another worker failed. The last good checkpoint stays.
    SplitError, LayoutError, CheckpointError
        If data or checkpoint do not fit.
    ResourceError
        If the workers cannot share the batch, or the disk is full.
    """
    here = place or Place()
    keep_memory()
    torch.backends.cudnn.allow_tf32 = False  # float32 is what the weights say they learnt in
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.deterministic = True
    torch.set_num_threads(plan.threads)
    loop = begin(plan, here)
    return loop is not None and loop.run()


def begin(plan: Training, place: Place) -> "Loop | None":
    """Open the data, let the predictor learn if there is to be one, and build the networks.

    Returns
    -------
    Loop or None
        None if it was asked to stop before.

    Raises
    ------
    TrainingError, SplitError, LayoutError, CheckpointError, ResourceError
        As `train`.
    """
    if plan.batch % place.world:
        raise ResourceError(
            f"batch = {plan.batch} is not divisible by {place.world} workers; change one"
        )
    place.rounded = rounds(plan.precision, place)
    material = place.together(lambda: Material(plan))
    shape = place.together(lambda: generator_shape(plan, material.layout, material.latent.channels))
    if plan.paired:
        place.together(lambda: check_origins(material.training, material.source(shape)))
    lesson = None
    if plan.predictor_images:
        lesson = place.together(lambda: Lesson(plan, place, material))
        if not lesson.learn():
            return None
    return place.together(lambda: Loop(plan, place, material, shape, lesson))


class Loop:
    """The state of a training run between its steps.

    Parameters
    ----------
    plan : Training
        What to do.
    place : Place
        Where this process stands.
    material : Material
        Fields and latents.
    shape : GeneratorShape
        Of the generator.
    lesson : Lesson, optional
        What came before: its predictor, and the time it took.
    """

    def __init__(
        self,
        plan: Training,
        place: Place,
        material: Material,
        shape: GeneratorShape,
        lesson: Lesson | None = None,
    ) -> None:
        self.plan, self.place = plan, place
        self.folder = Path(plan.folder)
        self.checkpoints = Checkpoints(self.folder / GAME, plan, place)
        self.layout = material.layout
        self.source = material.source(shape, lesson.predictor if lesson else None)
        calibration = Calibration(
            fields=material.sample,
            latents=partial(material.latents_of, self.source) if plan.paired else None,
            conditions=material.conditions if shape.conditions else None,
        )
        self.networks = build_networks(
            plan, shape, material.scaling, calibration, place, self.source.guides
        )
        self.feed = Feed(plan, material.training, self.source, place)
        self.examiner = Examiner(plan, material, self.source, place.device) if place.first else None
        self.course = Course()
        self.smoothed = math.log(2)
        self.before = lesson.seconds if lesson else 0.0
        self.seconds, self.cpu_seconds = self.before, lesson.cpu_seconds if lesson else 0.0

    def run(self) -> bool:
        """Go from the newest checkpoint to the end; return whether the end was reached."""
        self.place.together(self._resume)
        self._compare_workers()
        while self.networks.shown < self.plan.images:
            self._step()
            last = self.networks.shown >= self.plan.images
            due = last or self.plan.due(self.networks.shown, self.plan.validate_every)
            stop = self.place.should_stop()
            if due or stop:
                self._compare_workers()
                # A reading that is due is taken even now: nobody would come back for it.
                self.place.together(partial(self._checkpoint, read=due))
            if stop and not last:
                return False
        self.place.together(self._finish)
        return True

    def _resume(self) -> None:
        known = self.checkpoints.newest()
        if known is None:
            if self.examiner is not None:
                self._save_weights("untrained", None, _untaught(self.source.predictor))
                reading, _ = self.examiner.read(self.networks, balance=1.0)
                self.course.untrained = reading.score
            return
        path, tensors, content = known
        self.networks.load(tensors, int(content["shown"]), str(path))
        self.course = Course(**content["course"])
        self.smoothed = float(content["smoothed"])
        self.seconds, self.cpu_seconds = float(content["seconds"]), float(content["cpu_seconds"])

    def _step(self) -> None:
        before, cpu_before = time.monotonic(), time.process_time()
        judged, persuaded = self.place.together(self._pairs)
        judgement, pairing = step(
            self.networks,
            judged,
            persuaded,
            schedule(self.plan, self.networks.shown),
            batch=self.plan.batch,
            reduce=self.place.reduce,
        )
        self.smoothed += 0.02 * (pairing - self.smoothed)
        self._watch(pairing)
        self.seconds += time.monotonic() - before
        self.cpu_seconds += time.process_time() - cpu_before
        if self.place.first and self.plan.due(self.networks.shown, LOG_EVERY * self.plan.batch):
            self._tell(
                "step",
                d_loss=float(judgement.loss.detach()),
                pairing=pairing,
                gap=float(judgement.gap),
                penalty=float(judgement.penalty),
                penalty_summaries=float(judgement.penalty_summaries),
                cpu_seconds=self.cpu_seconds,
                images_per_second=self.networks.shown / max(self.seconds - self.before, 1e-9),
            )

    def _pairs(self) -> tuple[Pairs, Pairs]:
        """Return this worker's share of the two batches of a step."""
        judged, persuaded = (self.feed.share(role, self.networks.shown) for role in (0, 1))
        return judged, persuaded

    def _watch(self, pairing: float) -> None:
        if not math.isfinite(pairing):
            reason = "a loss or gradient is not finite"
        elif self.smoothed < LOST:
            reason = "the discriminator has won for good"
        else:
            return
        raise TrainingError(
            f"{self.folder}: {reason} after {self.networks.shown} fields; the last good checkpoint "
            "stays; lower learning_rate or raise gamma"
        )

    def _checkpoint(self, *, read: bool) -> None:
        """Take a reading, keep the best weights, write a checkpoint; rank 0 does it for all."""
        if not self.place.first:
            return
        if read:
            self._read()
        self.checkpoints.write(
            self.networks.shown,
            self.networks.tensors(),
            course=asdict(self.course),
            smoothed=self.smoothed,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
        )

    def _read(self) -> None:
        if self.examiner is None:
            return
        late = self.networks.shown >= EARLY * self.plan.images
        reading, fields = self.examiner.read(
            self.networks,
            balance=self.smoothed / math.log(2),
            course=self.course,
        )
        if self.course.count(reading.score, reading.images):
            self._save_weights("best", reading, self.source.predictor)
        self._tell("reading", **reading.as_dict())
        for name in alarms(reading.health, late=late):
            low, high = (edge if math.isfinite(edge) else None for edge in RANGES[name])
            self._tell("alarm", name=name, value=reading.health[name], low=low, high=high)
        for observer in self.place.observers:
            observer.reading(reading, fields, self.examiner.referee)

    def _compare_workers(self) -> None:
        networks = self.networks.generator, self.networks.discriminator, self.source.predictor
        self.place.require_equal(networks, self.networks.shown, self.folder)

    def _save_weights(
        self, name: str, reading: Reading | None, predictor: Generator | None
    ) -> None:
        save_weights(
            self.folder / f"{name}.safetensors",
            self.networks.average,
            self.source.theory,
            predictor=predictor,
            latent=self.plan.latent,
            layout=self.layout,
            made_by=self.plan.made_by,
            training={
                "identity": self.plan.identity,
                "shown": self.networks.shown,
                "precision": self.place.precision,
                "workers": self.place.world,
                "threads": self.plan.threads,
                "reading": reading.as_dict() if reading else None,
            },
        )

    def _tell(self, event: str, **values: object) -> None:
        line = {"event": event, "images": self.networks.shown, "seconds": self.seconds, **values}
        for observer in self.place.observers:
            observer.line(line)

    def _finish(self) -> None:
        best, weights = self.folder / "best.safetensors", self.folder / "weights.safetensors"
        if self.place.first and best.exists():
            best.replace(weights)
        elif self.place.first and not weights.exists():
            raise TrainingError(f"{self.folder}: no reading was finite; lower learning_rate")


def _untaught(predictor: Generator | None) -> Generator | None:
    """Return a predictor that returns its latent, as all do before they learn."""
    if predictor is None:
        return None
    forgotten = copy.deepcopy(predictor)
    for parameter in forgotten.head.parameters():
        torch.nn.init.zeros_(parameter)
    return forgotten


def main(arguments: Sequence[str]) -> int:
    """Train alone or as one of torchrun's workers.

    Parameters
    ----------
    arguments : sequence of str
        The path of ``training.json``.

    Returns
    -------
    int
        0 if the training is complete, `STOPPED` if SIGTERM or SIGUSR1 stopped it, 2 after an error.
    """
    if len(arguments) != 1:
        log.error("give one argument, the path of training.json")
        return 2
    try:
        complete = _train_here(Training.read(Path(arguments[0])))
    except CosmoganError as error:
        log.error("%s", error)
        return 2
    return 0 if complete else STOPPED


def _train_here(plan: Training) -> bool:
    """Train alone, or at the place that torchrun gave this process, until a signal."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: stop.set())
    rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    world, device = int(os.environ.get("WORLD_SIZE", "1")), device_of("auto", local_rank)
    observers: list[Observer] = [LogFile(Path(plan.folder)), Caller()]
    place = Place(rank, world, device, stopped=stop.is_set, observers=observers)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    if world > 1:  # objects travel over gloo
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    try:
        return train(plan, place)
    finally:
        if world > 1:
            dist.destroy_process_group()


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    # Threads of gloo may hold tensors still, and would abort the interpreter as it tears itself
    # down (pytorch#179291). All files are closed.
    os._exit(status)
