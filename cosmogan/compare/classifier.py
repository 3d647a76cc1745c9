"""Whether a fresh network, trained to tell emulated from simulated fields, can do so on unseen ones.

The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545). Its AUC is the chance
that of one emulated and one simulated field it picks the right one: 1/2 if they are alike. Who sees
what decides what the answer means::

    trained on   the emulator's own training simulations    v half of the emulated simulations
    judged on    all held-out simulations                   v the other half

* The judged fields are new to everyone: on fields it has seen even noise is told apart. Given the
  network, all simulations that judge it are then independent draws.
* The training simulations are the many, and the emulator shares their luck: what tells the two apart
  is wrong with the emulator. A few other simulations differ from it by cosmic variance too; that a
  network would learn, and none of it holds on held-out fields. A copy of a training field bears both
  labels: copying is no offence here, nearest neighbours are to find it.
* Cross-fitting, by halves of the held-out simulations, would train on those that then judge. Where
  the two networks look for the same, one half's luck is the other's, and no estimate of the error
  knows (Bengio and Grandvalet 2004, JMLR 5, 1089).

A network that has learnt nothing tells nothing apart either. So another one, made and trained alike, is given simulations
and simulations that were blurred a little: only if it tells these does its silence about the emulated ones mean something.

Chance is that of simulations (`cosmogan.compare.placements`). What learned from n simulations may be as
far off as n simulations are: that error is added, as it is in the verdict.
"""

import contextlib
import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cosmogan.compare.placements import Classified, Scores, weigh
from cosmogan.compare.units import Array, Numbered
from cosmogan.errors import LayoutError, RecipeError, SplitError, TrainingError
from cosmogan.fields.dataset import Progress
from cosmogan.fields.scaling import Scaling
from cosmogan.models.blocks import Convolution, activate, halve, space_to_depth
from cosmogan.models.discriminator import Whitening
from cosmogan.models.modes import squared_modes
from cosmogan.models.orientation import draw_orientation, orient
from cosmogan.models.seeds import derive_seed
from cosmogan.statistics.pdf import finite
from cosmogan.statistics.shells import stack

STEPS = 600
"""Steps of the classifier: fixed, since nothing may be tuned on what is judged."""
K_MAX = 0.7
"""Default for the largest wavenumber it sees [Nyquist wavenumber]: the texture of single cells would
betray nearly every emulator, and is not what is judged."""
BATCH = 32
"""Fields in a step, half of them emulated."""
WIDTHS = (16, 32, 64)
"""Channels at 1/2, 1/4 and 1/8 of the grid."""
DENSITY_SCALE = 0.5
"""Where the logarithm of the density takes over [mean density]."""
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 1e-2, 0.1
BLURRED = 0.05
"""By how much a blur lowers the power at the smallest scale that is judged: of 16 and 8 simulations of the demo 600 steps
tell it in 68 % of pairs, 60 steps in 52 %."""
_SPLIT, _WEIGHTS, _FIELDS, _TURNS = 1, 2, 3, 4  # purposes of random numbers
_SCORED = 64  # fields in memory at a time


Side = Numbered[NDArray[np.float32]]
"""Fields in memory, of an even number of cells a side."""


def classify(
    emulated: Side,
    training: Side,
    truth: Side,
    *,
    seed: int = 0,
    k_max: float = K_MAX,
    steps: int = STEPS,
    progress: Progress = lambda _done, _total: None,
) -> Classified:
    """Train a classifier, and let it judge fields that neither it nor the emulator has seen.

    Parameters
    ----------
    emulated : Side
        At least two simulations; one half is learned from, the other judged.
    training : Side
        The simulations the emulator learned from.
    truth : Side
        Held-out simulations that nothing was trained or chosen by.
    seed : int
        Same seed, same bits.
    k_max : float
        Largest wavenumber it sees, as what is judged [Nyquist wavenumber].
    steps : int
        How long to train. A step takes `BATCH` fields; its time goes with their cells.
    progress : callable
        Called with steps done and steps in all.

    Raises
    ------
    LayoutError
        If fields are not square or cubic, not of one and an even size, negative or not finite.
    SplitError
        If the truth shares a simulation with another side, or the emulated fields are of one
        simulation.
    RecipeError
        If there are no steps.
    TrainingError
        If the loss is not finite.

    Notes
    -----
    Torch's own random numbers stay as they were.
    """
    _check_sides({"emulated": emulated, "training": training, "truth": truth})
    learning, judged = split(emulated, seed)
    course = seed, steps
    scores = _judge((learning, training), (judged, truth), k_max, course, progress)
    control = _control(training, truth, k_max, course)
    owed = np.unique(training.simulation).size
    return weigh(*scores, owed=owed, steps=steps, control=control)


def classify_counterparts(
    learning: tuple[Side, Side],
    judged: tuple[Side, Side],
    *,
    owed: int = 0,
    seed: int = 0,
    k_max: float = K_MAX,
    steps: int = STEPS,
) -> Classified:
    """Train a classifier on emulated fields and the simulations they stand for, and let it judge others.

    Both sides of a pair of sides have the same parameters, so that these tell nothing. They have the same
    initial conditions too, and what luck these bring the one it brings the other: the error, which takes
    them for independent, is too large then and never too small.

    Parameters
    ----------
    learning, judged : tuple of Side
        Emulated and simulated fields; what is judged shares no simulation with what was learned from.
    owed : int
        How many simulations the emulator learned from; 0 if that is not known.
    seed, k_max, steps
        As of `classify`.

    Raises
    ------
    LayoutError, SplitError, RecipeError, TrainingError
        As `classify`.
    """
    for side in judged:
        _check_sides({"emulated": learning[0], "training": learning[1], "truth": side})
    scores = _judge(learning, judged, k_max, (seed, steps), _silent)
    control = _control(learning[1], judged[1], k_max, (seed, steps))
    return weigh(*scores, owed=owed, steps=steps, control=control)


def blur(fields: NDArray[np.float32], k_max: float) -> NDArray[np.float32]:
    """Return density fields (n, N, ...) behind a Gaussian that lowers their power by `BLURRED` at `k_max`.

    Parameters
    ----------
    fields : (n, N, ...) float32 ndarray
        Density over mean.
    k_max : float
        [Nyquist wavenumber].
    """
    axes, shape = tuple(range(1, fields.ndim)), fields.shape[1:]
    share = squared_modes(shape[-1], len(shape)) / (k_max * shape[-1] / 2) ** 2
    modes = np.fft.rfftn(fields, axes=axes) * (1 - BLURRED) ** (share / 2)
    smooth = np.fft.irfftn(modes, s=shape, axes=axes)
    return np.maximum(smooth, 0).astype(np.float32)


def _control(learning: Side, judged: Side, k_max: float, course: tuple[int, int]) -> Classified:
    """Have a network that was trained alike tell blurred simulations from simulations."""
    known, unseen = (
        (Side(fields=blur(side.fields, k_max), simulation=side.simulation), side)
        for side in (learning, judged)
    )
    return weigh(*_judge(known, unseen, k_max, course, _silent), steps=course[1])


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


def _judge(
    learning: tuple[Side, Side],
    judged: tuple[Side, Side],
    k_max: float,
    course: tuple[int, int],
    progress: Progress,
) -> list[Scores]:
    """Let a fresh network learn from emulated and simulated fields, and score others."""
    if course[1] < 1:
        raise RecipeError(f"steps = {course[1]}: the classifier must learn; give at least 1")
    simulated = learning[1].fields
    scaling = Scaling.fit(simulated, DENSITY_SCALE)
    with _one_thread():
        network = _fresh(simulated, scaling, course[0], k_max)
        _train(network, learning, scaling, course, progress)
        return [
            Scores(score=_score(network, side.fields, scaling), simulation=side.simulation)
            for side in judged
        ]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: sums then have one order, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def split(side: Side, seed: int = 0) -> tuple[Side, Side]:
    """Share the simulations of a side out by lot; the second half has one more if they are odd.

    Raises
    ------
    SplitError
        If there is but one.
    """
    simulations = np.unique(side.simulation)
    if simulations.size < 2:
        raise SplitError(
            f"{len(side.simulation)} emulated fields of {simulations.size} simulation: a classifier "
            "must be judged by others than it learns from; emulate at least two"
        )
    random = np.random.default_rng(derive_seed(seed, _SPLIT))
    first = np.isin(side.simulation, random.permutation(simulations)[: simulations.size // 2])
    one, other = (
        Side(fields=side.fields[at], simulation=side.simulation[at]) for at in (first, ~first)
    )
    return one, other


class Classifier(nn.Module):
    """A small convolutional network that sees a field and its whitened copy.

    In the copy small scales have as much power as large ones. Circular padding, blurred strides and
    a mean over the box make the score blind to shifts by 8 cells. Beside the mean over the box of
    each feature stands its scatter: how strong structure is, not only how much of it there is. Both
    are counted in their scatter from field to field: what all fields have in common would otherwise
    drown what differs, and whether a network sees anything in time would hang on its first weights. For the same
    reason every convolution is normalised over the batch: without, as in R3GAN, 600 steps on slices of the demo
    saw now nothing (AUC .52), now all (.97 after 1200), of fields that 300 steps now tell in every case.

    Parameters
    ----------
    grid, dimension : int
        Cells per side and spatial axes of the fields.
    """

    seen: Tensor

    def __init__(self, grid: int, dimension: int, *, k_max: float) -> None:
        super().__init__()
        self.axes = tuple(range(-dimension, 0))
        square = torch.from_numpy(squared_modes(grid, dimension))
        self.register_buffer("seen", (square <= (k_max * grid / 2) ** 2).float())
        widths = [w for level, w in enumerate(WIDTHS) if grid % 2 ** (level + 1) == 0]
        self.whitening = Whitening(grid, dimension)
        self.stem = Normalised(dimension, 2 * 2**dimension, widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(Normalised(dimension, fine, width), Normalised(dimension, width, width))
            for fine, width in pairwise([widths[0], *widths])
        )
        self.even = nn.BatchNorm1d(2 * widths[-1], affine=False)
        self.answer = nn.Linear(2 * widths[-1], 1)

    def forward(self, y: Tensor) -> Tensor:
        """Return the log odds (n,) that fields (n, 1, N, ...) in training space are emulated."""
        modes = torch.fft.rfftn(y, dim=self.axes) * self.seen
        both = torch.cat([modes, modes * self.whitening.factor], 1)
        x = self.stem(space_to_depth(torch.fft.irfftn(both, s=y.shape[2:], dim=self.axes)))
        for number, level in enumerate(self.levels):
            x = level(halve(x) if number else x)
        features = x.flatten(2)
        scatter = torch.sqrt(features.var(2, correction=0) + 1e-6)  # a root has no slope at zero
        odds: Tensor = self.answer(self.even(torch.cat([features.mean(2), scatter], 1)))[:, 0]
        return odds


class Normalised(nn.Module):
    """A 3^d convolution, normalised over the batch, and a rectifier."""

    def __init__(self, dimension: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = Convolution(dimension, channels_in, channels_out, bias=False)
        self.norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimension](channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, N, ...) to (n, c', N, ...)."""
        return activate(self.norm(self.convolution(x)))


def _fresh(fields: NDArray[np.float32], scaling: Scaling, seed: int, k_max: float) -> Classifier:
    """Return a classifier that has learned nothing; whitening is that of the training fields."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, _WEIGHTS))
        network = Classifier(fields.shape[-1], fields.ndim - 1, k_max=k_max)
    nn.init.zeros_(network.answer.weight)
    nn.init.zeros_(network.answer.bias)
    network.whitening.fit(_scaled(fields, scaling))
    return network


def _train(
    network: Classifier,
    sides: tuple[Side, Side],
    scaling: Scaling,
    course: tuple[int, int],
    progress: Progress,
) -> None:
    """Show the network as many emulated as simulated fields in each step, all turned at random."""
    seed, steps = course
    adam = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rise = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda s: min(1.0, (s + 1) / rise) * 0.5 * (1 + math.cos(math.pi * s / steps))
    )
    half = BATCH // 2
    label = torch.cat([torch.ones(half), torch.zeros(half)])
    for step in range(steps):
        random = np.random.default_rng(derive_seed(seed, _FIELDS, step))
        chosen = [side.fields[random.integers(0, len(side.fields), half)] for side in sides]
        y = _scaled(np.concatenate(chosen), scaling)
        turns = [
            draw_orientation(derive_seed(seed, _TURNS, step, i), y.ndim - 2, y.shape[-1])
            for i in range(BATCH)
        ]
        loss = functional.binary_cross_entropy_with_logits(network(orient(y, turns)), label)
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"classifier: the loss is {loss.item()} in step {step + 1} of {steps}; look for "
                "fields far outside the range of the training simulations"
            )
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        progress(step + 1, steps)


@torch.no_grad()
def _score(network: Classifier, fields: NDArray[np.float32], scaling: Scaling) -> Array:
    network.eval()  # a score must not hang on the fields beside it, all of one side
    blocks = (fields[i : i + _SCORED] for i in range(0, len(fields), _SCORED))
    odds = torch.cat([network(_scaled(block, scaling)) for block in blocks])
    if not bool(torch.isfinite(odds).all()):
        raise TrainingError("classifier: a score is not finite; the last step diverged, take fewer")
    return odds.double().numpy()


def _scaled(fields: NDArray[np.float32], scaling: Scaling) -> Tensor:
    """Return (n, 1, N, ...) in training space."""
    return torch.from_numpy(scaling.forward(fields).astype(np.float32, copy=False))[:, None]


def _check_sides(sides: dict[str, Side]) -> None:
    shape = sides["truth"].fields.shape[1:]
    for name, side in sides.items():
        fields = finite(stack(side.fields, 1.0))
        if len(fields) != len(side.simulation) or fields.shape[1:] != shape or shape[-1] % 2:
            raise LayoutError(
                f"{name}: {len(fields)} fields {fields.shape[1:]} of {len(side.simulation)} "
                f"simulation numbers, the truth's are {shape}; give one number a field, and fields of "
                "one even size"
            )
        if fields.min() < 0:
            raise LayoutError(f"{name}: a density of {fields.min():.3g}; give density over mean")
    for name in ("emulated", "training"):
        shared = np.intersect1d(sides[name].simulation, sides["truth"].simulation)
        if shared.size:
            raise SplitError(
                f"{name} and truth share simulation {shared[0]}; judge by simulations that nothing "
                "else has seen"
            )
