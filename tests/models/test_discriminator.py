"""The discriminator judges each field by itself, wherever it lies in the periodic box."""

import numpy as np
import pytest
import torch

from cosmogan.models.discriminator import Whitening
from cosmogan.models.losses import judge
from cosmogan.models.modes import squared_modes
from cosmogan.models.summaries import Summaries

CASES = [(2, 16), (3, 8)]
SINGLE = {"rtol": 1e-4, "atol": 1e-4}  # float32 through transforms and logarithms


def coloured(count, grid, dimension, seed=0):
    """Fields with a steep spectrum, around zero."""
    random = np.random.default_rng(seed)
    axes = tuple(range(1, dimension + 1))
    modes = np.fft.rfftn(random.standard_normal((count, *(grid,) * dimension)), axes=axes)
    colour = np.maximum(squared_modes(grid, dimension), 1.0) ** -0.5
    fields = np.fft.irfftn(modes * colour, s=(grid,) * dimension, axes=axes)
    return torch.from_numpy((fields / fields.std()).astype(np.float32))[:, None]


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_the_score_of_a_field_does_not_depend_on_its_company(make_discriminator, dimension, grid):
    network = make_discriminator(grid, dimension=dimension)
    fields = coloured(5, grid, dimension)
    together = network(fields)
    assert together.shape == (5,)
    torch.testing.assert_close(network(fields[3:4])[0], together[3], **SINGLE)
    torch.testing.assert_close(network(fields.flip(0)), together.flip(0), **SINGLE)
    assert together.std() > 1e-3, "it does judge"


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_roll_by_the_stride_leaves_the_score(make_discriminator, dimension, grid):
    network = make_discriminator(grid, (4, 6), dimension=dimension)
    fields = coloured(3, grid, dimension)
    axes = tuple(range(2, 2 + dimension))
    torch.testing.assert_close(
        network(fields.roll((4,) * dimension, axes)), network(fields), **SINGLE
    )


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_the_score_is_the_sum_of_both_branches(make_discriminator, dimension, grid):
    network = make_discriminator(grid, dimension=dimension, conditions=2)
    fields, conditions = coloured(4, grid, dimension), torch.randn(4, 2)
    parts = network.judge_field(fields, conditions) + network.judge_summaries(
        network.summaries(fields, None, conditions), conditions
    )
    torch.testing.assert_close(network(fields, conditions), parts)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_whitened_training_fields_have_the_same_power_at_every_scale(dimension, grid):
    fields = coloured(200, grid, dimension)
    whitening = Whitening(grid, dimension)
    axes = tuple(range(-dimension, 0))

    def shell_power(x):
        power = torch.fft.rfftn(x[:, 0], dim=axes, norm="ortho").abs().square().mean(0).numpy()
        shell = np.rint(np.sqrt(squared_modes(grid, dimension))).astype(int).ravel()
        return (np.bincount(shell, power.ravel()) / np.bincount(shell))[1:]

    assert shell_power(fields).max() > 10 * shell_power(fields).min()
    torch.testing.assert_close(whitening(fields), fields, rtol=0, atol=1e-5)
    whitening.fit(fields)
    np.testing.assert_allclose(shell_power(whitening(fields)), 1, rtol=1e-4)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_whitening_is_isotropic(dimension, grid):
    whitening = Whitening(grid, dimension)
    whitening.fit(coloured(20, grid, dimension))
    fields = coloured(2, grid, dimension, seed=9)
    turned = fields.transpose(-1, -2).flip(-1).roll(1, -2)
    expected = whitening(fields).transpose(-1, -2).flip(-1).roll(1, -2)
    torch.testing.assert_close(whitening(turned), expected, rtol=0, atol=1e-4)


def test_the_branch_of_summaries_begins_without_an_opinion(make_discriminator):
    network = make_discriminator(16, random=False)
    fields = coloured(6, 16, 2)
    network.fit(fields)
    scores = network.judge_summaries(network.summaries(fields))
    torch.testing.assert_close(scores, scores[:1].expand(6))


def test_a_fit_standardises_summaries_and_whitens(make_discriminator):
    network = make_discriminator(16, random=False)
    fields = coloured(40, 16, 2)
    network.fit(fields)
    assert network.summaries(fields).mean(0).abs().max() < 0.2, "zero, but for what is clipped"
    assert not torch.equal(network.whitening.factor, torch.ones_like(network.whitening.factor))


@pytest.mark.parametrize("latents", [0, 3])
@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_training_fields_have_standard_features(make_discriminator, dimension, grid, latents):
    """As the game shows them: beside their latents, which share the first layer."""
    network = make_discriminator(grid, dimension=dimension, latents=latents)
    fields = coloured(100, grid, dimension)
    beside = torch.randn(100, latents, *fields.shape[2:]) + fields if latents else None
    network.fit(fields, None if beside is None else beside.__getitem__)
    found = network.standard(network.features(fields, beside)).detach()
    spread = network.standard.spread
    told = spread > 1.01 * spread.min()
    assert told.sum() > 0.8 * len(told)
    torch.testing.assert_close(found.mean(0), torch.zeros(len(told)), rtol=0, atol=1e-3)
    scatter = found.std(0)[told]
    torch.testing.assert_close(scatter, torch.ones(told.sum()), rtol=0, atol=1e-3)


@pytest.mark.parametrize("levels", [1, 4])
def test_specks_are_soon_told_from_noise_of_the_same_power(make_discriminator, monkeypatch, levels):
    """By the first branch alone, on unseen fields, if the texture of cells has a short way to the score."""
    monkeypatch.setattr(Summaries, "forward", lambda self, y, *_: y.new_zeros(len(y), self.length))

    def sides(count, seed):
        fields = coloured(2 * count, 32, 2, seed)
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn(fields[:count].shape, generator=random)
        specks = (torch.rand(noise.shape, generator=random) < 0.02).float()
        return [
            half + 0.8 * (each - each.mean()) / each.std()
            for half, each in zip(fields.chunk(2), (noise, specks), strict=True)
        ]

    network = make_discriminator(32, (8, 16, 16))
    (real, generated), unseen = sides(512, 1), sides(256, 2)
    network.fit(real)
    seen = torch.ones(2, 8 + 3 * 16)
    if levels == 1:  # the coarsest
        seen[:, :-16] = 0
    every = network.features
    monkeypatch.setattr(network, "features", lambda *given: every(*given) * seen.flatten())
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.95))
    for step in range(50):
        rows = slice(step % 32 * 16, step % 32 * 16 + 16)
        game = judge(network, real[rows], generated[rows], None, gamma=1.0, gamma_summaries=1.0)
        adam.zero_grad()
        game.loss.backward()
        adam.step()
    with torch.no_grad():
        a, b = (network.judge_field(side) for side in unseen)
    told = (a[:, None] > b).float().mean()
    assert told > 0.95 if levels == 4 else told < 0.6


@pytest.mark.parametrize("branch", ["judge_field", "judge_summaries"])
def test_conditions_enter_both_branches_row_by_row(make_discriminator, branch):
    network = make_discriminator(16, conditions=2)
    fields, conditions = coloured(3, 16, 2), torch.randn(3, 2)
    given = fields if branch == "judge_field" else network.summaries(fields, None, conditions)
    before = getattr(network, branch)(given, conditions)
    conditions[1] += 1
    after = getattr(network, branch)(given, conditions)
    changed = (after - before).abs() > 1e-3
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_field_is_judged_beside_its_own_latent(make_discriminator, dimension, grid):
    """Row by row."""
    network = make_discriminator(grid, dimension=dimension, latents=1)
    torch.nn.init.normal_(network.score[-1].weight)  # loud
    fields, latents = coloured(4, grid, dimension), coloured(4, grid, dimension, seed=1)
    order = [0, 2, 1, 3]
    for judged in (network, network.judge_field):
        score = judged(fields, None, latents)
        changed = (judged(fields, None, latents[order]) - score).abs() > 1e-4
        assert changed.tolist() == [False, True, True, False]
        again = judged(fields[order], None, latents[order])
        torch.testing.assert_close(again, score[order], **SINGLE)


def test_who_does_not_see_the_latent_judges_without_it(make_discriminator):
    network = make_discriminator(16)
    fields, latents = coloured(3, 16, 2), coloured(3, 16, 2, seed=1)
    assert torch.equal(network(fields, None, latents), network(fields))


def test_a_field_and_its_latent_are_turned_together(make_discriminator):
    """A roll of both by the stride leaves the score, of one alone it does not."""
    network = make_discriminator(16, latents=1)
    fields, latents = coloured(3, 16, 2), coloured(3, 16, 2, seed=1)
    score = network(fields, None, latents)
    rolled = [x.roll((4, 8), (2, 3)) for x in (fields, latents)]
    torch.testing.assert_close(network(rolled[0], None, rolled[1]), score, **SINGLE)
    assert (network(rolled[0], None, latents) - score).abs().max() > 1e-3


def test_a_field_is_judged_beside_what_lies_beside_its_latent(make_discriminator):
    """The texture is; the summaries know the transfer from the guides alone."""
    network = make_discriminator(16, latents=3)
    fields = coloured(3, 16, 2)
    latents = torch.cat([coloured(3, 16, 2, seed=i) for i in (1, 2, 3)], 1)
    other = torch.cat([latents[:, :1], coloured(3, 16, 2, seed=4), latents[:, 2:]], 1)
    change = network.judge_field(fields, None, other) - network.judge_field(fields, None, latents)
    assert change.abs().min() > 1e-3
    assert torch.equal(network.summaries(fields, other), network.summaries(fields, latents))
    guided = make_discriminator(16, latents=3, guides=2)
    assert not torch.equal(guided.summaries(fields, other), guided.summaries(fields, latents))


@pytest.mark.parametrize("latents", [0, 1, 3])
@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_penalised_step_reaches_every_parameter(make_discriminator, dimension, grid, latents):
    network = make_discriminator(grid, dimension=dimension, conditions=1, latents=latents)
    real, generated = coloured(4, grid, dimension), coloured(4, grid, dimension, seed=1)
    if not latents:
        network.fit(coloured(40, grid, dimension, seed=9), None, 2 * torch.rand(40, 1) - 1)
    known = [coloured(4, grid, dimension, seed=2 + i) for i in range(max(latents, 1))]
    given = torch.randn(4, 1), torch.cat(known, 1)
    judge(network, real, generated, *given, gamma=1.0, gamma_summaries=1.0).loss.backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith(("score.2.bias", "opinion.4.bias"))
