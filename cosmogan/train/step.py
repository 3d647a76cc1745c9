"""One step of the game.

`step` depends on the state and on the number of fields shown, never on the number of workers: each
works on its rows of the global batch, and gradients are averaged over all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmogan.models.average import update_average
from cosmogan.models.losses import Judgement, judge, persuade
from cosmogan.models.source import Draw, generate
from cosmogan.train.networks import Networks
from cosmogan.train.plan import Training

Reduce = Callable[[Tensor], Tensor]
"""Averages a vector over all workers."""


@dataclass(frozen=True)
class Pairs:
    """Real fields (n, 1, N, ...) and the draw from which their partners are made.

    `latent` (n, c, N, ...) is what both members of a pair started from, or None if they have
    nothing in common.
    """

    real: Tensor
    draw: Draw
    latent: Tensor | None = None


@dataclass(frozen=True)
class Schedule:
    """The weights and rates of one step.

    Attributes
    ----------
    learning_rate, gamma, gamma_statistics, half_life : float
        At the present number of fields shown.
    """

    learning_rate: float
    gamma: float
    gamma_statistics: float
    half_life: float


def cosine(start: float, end: float, fraction: float) -> float:
    """Go from `start` to `end` along half a cosine as `fraction` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))


def schedule(plan: Training, shown: int) -> Schedule:
    """Return the values after `shown` fields: the learning rate falls to a twentieth."""
    end = plan.learning_rate / 20
    return Schedule(
        learning_rate=cosine(plan.learning_rate, end, shown / plan.images),
        gamma=plan.gamma,
        gamma_statistics=plan.gamma_statistics,
        half_life=plan.average_half_life,
    )


def step(
    networks: Networks,
    judged: Pairs,
    persuaded: Pairs,
    schedule: Schedule,
    *,
    batch: int,
    reduce: Reduce = lambda vector: vector,
) -> tuple[Judgement, float]:
    """Move the discriminator once, the generator once, and the averaged weights.

    Parameters
    ----------
    networks : Networks
        Changed in place.
    judged, persuaded : Pairs
        This worker's share of two fresh global batches.
    schedule : Schedule
        Learning rate and weights now.
    batch : int
        Fields in a global batch.
    reduce : callable
        Averages a vector over all workers.

    Returns
    -------
    judgement : Judgement
        Of this worker's share.
    pairing : float
        The relativistic loss averaged over all workers. It is not finite if any loss or gradient
        is not; then neither that network nor the clock has moved, on any worker.
    """
    networks.discriminator.requires_grad_(True)
    with torch.no_grad():
        generated = generate(networks.generator, judged.draw)
    judgement = judge(
        networks.discriminator,
        judged.real,
        generated,
        judged.draw.conditions,
        judged.latent,
        gamma=schedule.gamma,
        gamma_summaries=schedule.gamma_statistics,
    )
    torch.autograd.backward(judgement.loss)
    pairing = move(networks.adam_discriminator, schedule.learning_rate, reduce, judgement.pairing)
    if not math.isfinite(pairing):
        return judgement, pairing

    networks.discriminator.requires_grad_(False)
    generated = generate(networks.generator, persuaded.draw)
    loss = persuade(
        networks.discriminator,
        persuaded.real,
        generated,
        persuaded.draw.conditions,
        persuaded.latent,
    )
    torch.autograd.backward(loss)
    moved = move(networks.adam_generator, schedule.learning_rate, reduce, loss.detach())
    if not math.isfinite(moved):
        return judgement, moved
    networks.shown += batch
    update_average(
        networks.average,
        networks.generator,
        batch=batch,
        shown=networks.shown,
        half_life=schedule.half_life,
    )
    return judgement, pairing


def move(adam: torch.optim.Adam, learning_rate: float, reduce: Reduce, loss: Tensor) -> float:
    """Average the gradients and the loss over workers and step, unless anything is not finite."""
    parameters = [p for group in adam.param_groups for p in group["params"]]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = reduce(torch.cat([*(g.flatten() for g in gradients), loss.reshape(1)]))
    finite = bool(torch.isfinite(flat).all())
    if finite:
        pieces = flat[:-1].split_with_sizes([p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        adam.param_groups[0]["lr"] = learning_rate
        adam.step()
    adam.zero_grad(set_to_none=True)
    return float(flat[-1]) if finite else math.nan
