"""The game is relativistic, its penalties are exact, and neither side moves the other."""

import math
from functools import partial

import pytest
import torch
from torch.nn import functional

from cosmogan.models.losses import judge, persuade


def play(network, real, generated, conditions=None, *, gamma=3.0, gamma_summaries=2.0):
    return judge(network, real, generated, conditions, gamma=gamma, gamma_summaries=gamma_summaries)


@pytest.fixture
def game(make_discriminator, make_fields):
    """A discriminator with something to say, and pairs of fields."""
    network = make_discriminator(8)
    real, generated = make_fields(3), make_fields(3, seed=1)
    network.fit(torch.cat([real, generated]))
    return network, real, generated


class InSingle(torch.nn.Module):
    """Summaries are taken in float32 whatever the rest of the network does."""

    def __init__(self, summaries):
        super().__init__()
        self.summaries = summaries

    def forward(self, *given):
        return self.summaries.float()(*(x.float() for x in given if x is not None)).double()


@pytest.fixture
def exact_game(game):
    """The same in float64, for finite differences."""
    network, real, generated = game
    network.double().summaries = InSingle(network.summaries)
    return network, real.double(), generated.double()


def squared_gradients(score, inputs):
    """|dD/dx|^2 of each sample, one at a time."""
    found = []
    for row in inputs:
        leaf = row[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(leaf).sum(), leaf)
        found.append(gradient.square().sum())
    return torch.stack(found)


def test_the_penalties_are_r1_plus_r2_sample_by_sample(game):
    network, real, generated = game
    verdict = play(network, real, generated)
    r1, r2 = (squared_gradients(network.judge_field, x).mean() for x in (real, generated))
    torch.testing.assert_close(verdict.penalty, r1 + r2, rtol=1e-4, atol=0)
    s1, s2 = (
        squared_gradients(network.judge_summaries, network.summaries(x)).mean()
        for x in (real, generated)
    )
    torch.testing.assert_close(verdict.penalty_summaries, s1 + s2, rtol=1e-4, atol=0)
    assert min(r1, r2, s1, s2) > 1e-4


def test_the_penalty_on_fields_is_that_of_finite_differences(exact_game):
    network, real, generated = exact_game
    step = 1e-6
    kicks = step * torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)
    total = 0.0
    with torch.no_grad():
        for field in (*real, *generated):
            slope = network.judge_field(field + kicks) - network.judge_field(field - kicks)
            total += float((slope / (2 * step)).square().sum()) / 3
    assert float(play(network, real, generated).penalty) == pytest.approx(total, rel=1e-6)


def test_the_loss_is_made_of_pairing_and_weighted_penalties(game):
    network, real, generated = game
    verdict = play(network, real, generated, gamma=3.0, gamma_summaries=2.0)
    scores = network(real), network(generated)
    pairing = functional.softplus(scores[1] - scores[0]).mean()
    torch.testing.assert_close(verdict.pairing, pairing.detach())
    torch.testing.assert_close(verdict.gap, (scores[0] - scores[1]).mean().detach())
    expected = pairing + 1.5 * verdict.penalty + 1.0 * verdict.penalty_summaries
    torch.testing.assert_close(verdict.loss, expected)


@pytest.mark.parametrize(("gamma", "gamma_summaries"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_gradient_of_each_penalty_alone_reaches_the_parameters(
    exact_game, gamma, gamma_summaries
):
    """And it is the right one: a small move along it changes the penalty as it says."""
    network, real, generated = exact_game

    def penalty():
        return play(network, real, generated, gamma=gamma, gamma_summaries=gamma_summaries)

    parameters = list(network.parameters())
    with_it, without = penalty(), play(network, real, generated, gamma=0.0, gamma_summaries=0.0)
    gradient = torch.autograd.grad(
        with_it.loss - without.loss, parameters, allow_unused=True, materialize_grads=True
    )
    norm = sum(float(g.square().sum()) for g in gradient)
    assert norm > 1e-6
    name = "penalty" if gamma else "penalty_summaries"
    step = 1e-5 / norm**0.5
    values = []
    for sign in (1, -2):  # forward, then back over the middle
        with torch.no_grad():
            for parameter, g in zip(parameters, gradient, strict=True):
                parameter += sign * step * g
        values.append(0.5 * float(getattr(penalty(), name)))
    assert values[0] - values[1] == pytest.approx(2 * step * norm, rel=1e-4)


def test_a_penalty_on_one_branch_leaves_the_other_alone(game):
    network, real, generated = game
    bare = play(network, real, generated, gamma=0.0, gamma_summaries=0.0).loss
    full = play(network, real, generated, gamma=1.0, gamma_summaries=0.0).loss
    gradients = torch.autograd.grad(
        full - bare, list(network.opinion.parameters()), allow_unused=True, materialize_grads=True
    )
    assert all(g.abs().max() < 1e-6 for g in gradients)


def test_equal_fields_are_a_draw(game):
    network, real, _ = game
    verdict = play(network, real, real.clone())
    assert float(verdict.pairing) == pytest.approx(math.log(2))
    assert float(verdict.gap) == pytest.approx(0, abs=1e-6)
    assert float(persuade(network, real, real.clone(), None).detach()) == pytest.approx(math.log(2))


def test_the_level_of_the_scores_means_nothing(game):
    network, real, generated = game
    before = play(network, real, generated)
    with torch.no_grad():
        network.score[-1].bias += 7
    after = play(network, real, generated)
    torch.testing.assert_close(after.loss, before.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.gap, before.gap, rtol=0, atol=1e-5)


def test_the_two_sides_pull_in_opposite_directions(game):
    network, real, generated = game
    scores = network(real) - network(generated)
    loss = persuade(network, real, generated, None)
    torch.testing.assert_close(loss, functional.softplus(scores).mean())
    swapped = play(network, generated, real)
    assert float(swapped.gap) == pytest.approx(-float(scores.mean().detach()), rel=1e-5)
    torch.testing.assert_close(swapped.pairing, loss.detach())


def test_judging_does_not_move_the_generator(game):
    network, real, generated = game
    generated.requires_grad_()
    real.requires_grad_()
    play(network, real, generated * 1.0).loss.backward()
    assert generated.grad is None
    assert real.grad is None
    assert all(p.grad is not None for p in network.parameters())


def test_persuading_does_not_move_a_frozen_discriminator(game):
    network, real, generated = game
    network.requires_grad_(False)
    generated.requires_grad_()
    persuade(network, real, generated, None).backward()
    assert generated.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("dimension", "grid"), [(2, 16), (3, 8)])
def test_a_whole_round_runs_forward_and_backward(
    make_generator, make_discriminator, make_fields, dimension, grid
):
    generator = make_generator((4, 4), dimension=dimension, random=False)
    network = make_discriminator(grid, dimension=dimension)
    real, latent = make_fields(2, grid, dimension), make_fields(2, grid, dimension, seed=1)
    network.fit(real)
    noise = [torch.randn(2, 1, *(n,) * dimension) for n in generator.shape.noise_grids(grid)]
    generated = generator(latent, noise)
    play(network, real, generated).loss.backward()
    assert all(p.grad is None for p in generator.parameters())
    persuade(network, real, generated, None).backward()
    head = generator.head.weight.grad
    assert torch.isfinite(head).all()
    assert head.abs().sum() > 0


def test_conditions_belong_to_both_members_of_a_pair(make_discriminator, make_fields):
    network = make_discriminator(8, conditions=2)
    real, generated, conditions = make_fields(3), make_fields(3, seed=1), torch.randn(3, 2)
    gap = network(real, conditions) - network(generated, conditions)
    verdict = play(network, real, generated, conditions)
    torch.testing.assert_close(verdict.gap, gap.mean().detach())
    torch.testing.assert_close(
        persuade(network, real, generated, conditions), functional.softplus(gap).mean()
    )


@pytest.fixture
def paired_game(make_discriminator, make_fields):
    """Pairs of fields and the latents they belong to, which are strong enough to tell."""
    network = make_discriminator(8, latents=1)
    real, generated, latent = (make_fields(3, seed=seed) for seed in range(3))
    return network, real, generated, 5 * latent


def test_a_latent_belongs_to_both_members_of_a_pair(paired_game):
    network, real, generated, latent = paired_game
    gap = network(real, None, latent) - network(generated, None, latent)
    verdict = judge(network, real, generated, None, latent, gamma=3.0, gamma_summaries=2.0)
    torch.testing.assert_close(verdict.gap, gap.mean().detach())
    loss = persuade(network, real, generated, None, latent)
    torch.testing.assert_close(loss, functional.softplus(gap).mean())
    swapped = persuade(network, real, generated, None, latent.flip(0))
    assert abs(float((swapped - loss).detach())) > 2e-4


def test_the_penalties_are_on_the_field_and_not_on_its_latent(paired_game):
    """R1 and R2 as ever, at the latent that belongs to each."""
    network, real, generated, latent = paired_game
    found = judge(network, real, generated, None, latent, gamma=3.0, gamma_summaries=2.0).penalty
    total = 0.0
    for fields in (real, generated):
        for field, beside in zip(fields, latent, strict=True):
            judged = partial(network.judge_field, latent=beside[None])
            total += float(squared_gradients(judged, field[None])) / 3
    assert float(found) == pytest.approx(total, rel=1e-4)
    watched = latent.clone().requires_grad_()
    score = network.judge_field(real, None, watched).sum()
    assert torch.autograd.grad(score, watched)[0].square().sum() > 1e-4, "it would count"
