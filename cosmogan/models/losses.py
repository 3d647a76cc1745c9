"""The adversarial game: relativistic pairing with exact penalties on gradients at every step.

RpGAN + R1 + R2 as in R3GAN (Huang et al. 2025, arXiv:2501.05441), with one addition: the branch of
summary statistics is penalised in the space of its own standardised inputs, not of the cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cosmogan.models.discriminator import Discriminator


@dataclass(frozen=True)
class Judgement:
    """The discriminator's loss and what it is made of.

    Attributes
    ----------
    loss : scalar tensor
        To be minimised.
    gap : scalar tensor
        Mean score of real minus generated fields; the level alone means nothing.
    penalty, penalty_summaries : scalar tensor
        R1 + R2 of the two branches, before their weights.
    pairing : scalar tensor
        The relativistic part; ln 2 when the networks are level.
    """

    loss: Tensor
    gap: Tensor
    penalty: Tensor
    penalty_summaries: Tensor
    pairing: Tensor


def judge(
    discriminator: Discriminator,
    real: Tensor,
    generated: Tensor,
    conditions: Tensor | None,
    latent: Tensor | None = None,
    *,
    gamma: float,
    gamma_summaries: float,
) -> Judgement:
    """Return the discriminator's loss on pairs of fields.

    Parameters
    ----------
    discriminator : Discriminator
        Its parameters get the gradients.
    real, generated : (n, 1, N, ...) tensor
        Fields in training space; gradients do not flow through them.
    conditions : (n, conditions) tensor or None
        Parameters of both members of each pair.
    latent : (n, latents, N, ...) tensor or None
        What both members of each pair started from, if the discriminator sees it.
    gamma, gamma_summaries : float
        Weights of R1 + R2 in cells and in standardised summaries.

    Notes
    -----
    L = < softplus(D(g) - D(r)) > + gamma/2 < |dD_field/dr|^2 + |dD_field/dg|^2 >
    + gamma_s/2 < |dD_summaries/ds(r)|^2 + |dD_summaries/ds(g)|^2 >.
    """
    fields = torch.cat([real, generated]).detach()
    both = None if conditions is None else torch.cat([conditions, conditions])
    summaries = discriminator.summaries(fields, latent, both).requires_grad_()
    by_field = discriminator.judge_field(fields.requires_grad_(), both, latent)
    by_summaries = discriminator.judge_summaries(summaries, both)
    penalty = _squared_gradient(by_field, fields)
    penalty_summaries = _squared_gradient(by_summaries, summaries)
    score_real, score_generated = (by_field + by_summaries).chunk(2)
    pairing = functional.softplus(score_generated - score_real).mean()
    return Judgement(
        loss=pairing + 0.5 * gamma * penalty + 0.5 * gamma_summaries * penalty_summaries,
        gap=(score_real - score_generated).mean().detach(),
        penalty=penalty.detach(),
        penalty_summaries=penalty_summaries.detach(),
        pairing=pairing.detach(),
    )


def persuade(
    discriminator: Discriminator,
    real: Tensor,
    generated: Tensor,
    conditions: Tensor | None,
    latent: Tensor | None = None,
) -> Tensor:
    """Return the generator's loss on pairs of fields: < softplus(D(r) - D(g)) >."""
    with torch.no_grad():
        score_real = discriminator(real, conditions, latent)
    score_generated = discriminator(generated, conditions, latent)
    return functional.softplus(score_real - score_generated).mean()


def _squared_gradient(score: Tensor, inputs: Tensor) -> Tensor:
    """Return R1 + R2: the squared gradient, summed over the input, averaged over each half."""
    (gradient,) = torch.autograd.grad(score.sum(), inputs, create_graph=True)
    return 2 * gradient.square().flatten(1).sum(1).mean()
