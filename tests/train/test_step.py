"""One step moves what it should, by gradients that do not depend on the number of workers."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.errors import CheckpointError
from cosmogan.fields.scaling import Scaling
from cosmogan.models.discriminator import Discriminator, DiscriminatorShape
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.losses import judge, persuade
from cosmogan.models.source import Source, generate
from cosmogan.train.data import TrainingFields
from cosmogan.train.networks import Networks
from cosmogan.train.step import Pairs, Schedule, cosine, step

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH = 4
SCHEDULE = Schedule(learning_rate=1e-3, gamma=2.0, gamma_statistics=1.0, half_life=8.0)


@pytest.fixture(scope="module")
def stream(sides, theory):
    scaling = Scaling.fit(sides[0][:], 0.5)
    return TrainingFields(sides[0], scaling, theory, seed=1)


@pytest.fixture(scope="module")
def source(stream, theory):
    shape = GeneratorShape(dimension=2, widths=(4, 4))
    return Source(
        make_latent(LatentShape(kind="gaussian"), theory, 16), theory, stream.scaling, shape
    )


@pytest.fixture
def sees_latent():
    """Whether pairs are judged beside their latents; a test may ask for both."""
    return False


@pytest.fixture
def networks(stream, source, sees_latent):
    torch.manual_seed(8)
    generator = Generator(source.shape, stream.scaling)
    torch.nn.init.normal_(generator.head.weight, std=0.1)
    shape = DiscriminatorShape(
        dimension=2, grid=16, widths=(4, 6), latents=int(sees_latent), guides=int(sees_latent)
    )
    discriminator = Discriminator(shape, stream.scaling)
    torch.nn.init.normal_(discriminator.opinion[-1].weight, std=0.1)
    if not sees_latent:
        discriminator.fit(stream.at(range(24)).fields)
    return Networks(generator, discriminator)


@pytest.fixture
def pairs(stream, source, sees_latent):
    """Return a function that gives rows of the batch at a cursor."""

    def make(cursor, rows=range(BATCH)):
        seeds = [cursor + i for i in rows]
        real = stream.at(seeds)
        latents = source.latents(source.latent.origins(1, seeds), real.rows)
        draw = source.draw(latents, seeds, real.rows)
        return Pairs(real.fields, draw, latents if sees_latent else None)

    return make


@pytest.fixture
def exact(networks, pairs):
    """Networks and pairs in float64, where what is left of a difference is no rounding."""
    for network in (networks.generator, networks.discriminator):
        network.double()

    def make(*which):
        found = pairs(*which)
        noise = [level.double() for level in found.draw.noise]
        draw = replace(found.draw, latent=found.draw.latent.double(), noise=noise)
        seen = None if found.latent is None else found.latent.double()
        return Pairs(found.real.double(), draw, seen)

    return Networks(networks.generator, networks.discriminator), make


def bits(tensors):
    return {name: t.numpy().tobytes() for name, t in tensors.items()}


def changed(before, after, prefix):
    names = [n for n in after if n.startswith(prefix + ".")]
    assert names
    return [before[n] != after[n] for n in names]


def test_a_step_moves_both_networks_the_average_and_the_clock(networks, pairs):
    before = bits(networks.tensors())
    judgement, pairing = step(networks, pairs(0), pairs(50), SCHEDULE, batch=BATCH)
    after = bits(networks.tensors())
    assert networks.shown == BATCH
    assert pairing == pytest.approx(float(judgement.pairing))
    for prefix in ("generator", "average"):
        # the deepest layers see no gradient while the branches after them stand at zero
        assert sum(changed(before, after, prefix)) >= 4
    assert sum(changed(before, after, "discriminator")) >= 8
    assert all(p.grad is None for p in networks.discriminator.parameters())
    assert all(p.grad is None for p in networks.generator.parameters())


@pytest.mark.parametrize("sees_latent", [False, True])
def test_each_side_is_moved_by_its_own_loss_alone(networks, pairs):
    """The same as by hand: first the judge against a frozen generator, then the other way."""
    judged, persuaded = pairs(0), pairs(50)
    hand = copy.deepcopy(networks)
    step(networks, judged, persuaded, SCHEDULE, batch=BATCH)
    for adam in (hand.adam_discriminator, hand.adam_generator):
        adam.param_groups[0]["lr"] = SCHEDULE.learning_rate
    with torch.no_grad():
        generated = generate(hand.generator, judged.draw)
    fields = judged.real, generated
    verdict = judge(
        hand.discriminator, *fields, None, judged.latent, gamma=2.0, gamma_summaries=1.0
    )
    verdict.loss.backward()
    hand.adam_discriminator.step()
    hand.adam_discriminator.zero_grad()
    generated = generate(hand.generator, persuaded.draw)
    fields = persuaded.real, generated
    persuade(hand.discriminator, *fields, None, persuaded.latent).backward()
    hand.adam_generator.step()
    for name in ("generator", "discriminator"):
        mine, by_hand = getattr(networks, name), getattr(hand, name)
        for a, b in zip(mine.parameters(), by_hand.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


def test_the_gradients_of_two_halves_average_to_those_of_the_whole(exact):
    networks, pairs = exact

    def both(judged, persuaded):
        d, g = networks.discriminator, networks.generator
        with torch.no_grad():
            generated = generate(g, judged.draw)
        first = judge(d, judged.real, generated, None, gamma=2.0, gamma_summaries=1.0).loss
        second = persuade(d, persuaded.real, generate(g, persuaded.draw), None)
        return [
            *torch.autograd.grad(first, list(d.parameters())),
            *torch.autograd.grad(second, list(g.parameters())),
        ]

    whole = both(pairs(0), pairs(50))
    halves = [both(pairs(0, rows), pairs(50, rows)) for rows in (range(2), range(2, 4))]
    for total, one, other in zip(whole, *halves, strict=True):
        size = float(total.abs().max())
        torch.testing.assert_close((one + other) / 2, total, rtol=0, atol=1e-12 * max(size, 1))


@pytest.mark.parametrize(("world", "sees_latent"), [(2, False), (4, False), (2, True)])
def test_a_penalised_step_is_the_same_on_any_number_of_workers(exact, team, world):
    """At rest, since Adam's first moves are signs: they magnify what is nothing but rounding."""
    networks, pairs = exact
    share = BATCH // world
    at_rest = replace(SCHEDULE, learning_rate=0.0)
    alone = copy.deepcopy(networks)
    copies = [copy.deepcopy(networks) for _ in range(world)]

    def act(rank, reduce):
        rows = range(rank * share, (rank + 1) * share)
        mine = pairs(0, rows), pairs(50, rows)
        return step(copies[rank], *mine, at_rest, batch=BATCH, reduce=reduce)[1]

    _, pairing = step(alone, pairs(0), pairs(50), at_rest, batch=BATCH)
    found = team(world).run(act)
    assert found == pytest.approx([pairing] * world, rel=1e-12)
    expected = gradients(alone)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-2
    for worker in copies:
        assert worker.shown == alone.shown == BATCH, "the clock counts fields of all workers"
        for name, gradient in gradients(worker).items():
            size = float(expected[name].abs().max())
            torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12 * max(size, 1))


def gradients(networks):
    """The averaged gradients of the last step: Adam's first moments, for beta_1 = 0."""
    return {n: t for n, t in networks.tensors().items() if n.endswith("exp_avg")}


def test_workers_stay_equal_to_the_last_bit(networks, pairs, team):
    copies = [copy.deepcopy(networks) for _ in range(2)]

    def act(rank, reduce):
        losses = []
        for cursor in range(0, 3 * BATCH, BATCH):
            rows = range(2 * rank, 2 * rank + 2)
            mine = pairs(cursor, rows), pairs(50 + cursor, rows)
            losses.append(step(copies[rank], *mine, SCHEDULE, batch=BATCH, reduce=reduce)[1])
        return losses

    losses = team(2).run(act)
    assert losses[0] == losses[1], "so that all decide alike"
    assert bits(copies[0].tensors()) == bits(copies[1].tensors())
    assert bits(copies[0].tensors()) != bits(networks.tensors())


def spoiled(pairs):
    real = pairs.real.clone()
    real[0, 0, 3, 3] = math.nan
    return Pairs(real, pairs.draw)


def test_what_is_not_finite_for_the_judge_moves_nothing(networks, pairs):
    before = bits(networks.tensors())
    _, pairing = step(networks, spoiled(pairs(0)), pairs(50), SCHEDULE, batch=BATCH)
    assert math.isnan(pairing)
    assert bits(networks.tensors()) == before
    assert networks.shown == 0


def test_what_is_not_finite_for_the_generator_moves_neither_it_nor_the_clock(networks, pairs):
    before = bits(networks.tensors())
    _, pairing = step(networks, pairs(0), spoiled(pairs(50)), SCHEDULE, batch=BATCH)
    after = bits(networks.tensors())
    assert math.isnan(pairing)
    assert not any(changed(before, after, "generator"))
    assert not any(changed(before, after, "average"))
    assert networks.shown == 0


@pytest.mark.parametrize("who", [0, 1])
def test_one_worker_with_a_nan_holds_all_of_them(networks, pairs, team, who):
    copies = [copy.deepcopy(networks) for _ in range(2)]

    def act(rank, reduce):
        mine = pairs(0, range(2 * rank, 2 * rank + 2))
        judged = spoiled(mine) if rank == who else mine
        return step(copies[rank], judged, mine, SCHEDULE, batch=BATCH, reduce=reduce)[1]

    assert np.isnan(team(2).run(act)).all()
    assert all(bits(c.tensors()) == bits(networks.tensors()) for c in copies)


def test_what_is_stored_is_all_that_the_next_step_needs(networks, pairs, stream, source):
    networks.shown = 400  # the average has a memory of its own by then
    step(networks, pairs(0), pairs(50), SCHEDULE, batch=BATCH)
    stored = {name: t.clone() for name, t in networks.tensors().items()}
    torch.manual_seed(99)
    fresh = Networks(
        Generator(source.shape, stream.scaling),
        Discriminator(networks.discriminator.shape, stream.scaling),
    )
    fresh.load(stored, networks.shown, "here")
    for mine, stored_one in zip(
        fresh.average.parameters(), networks.average.parameters(), strict=True
    ):
        assert torch.equal(mine, stored_one)
    for each in (networks, fresh):
        step(each, pairs(4), pairs(54), SCHEDULE, batch=BATCH)
    assert bits(fresh.tensors()) == bits(networks.tensors())
    assert fresh.shown == networks.shown == 400 + 2 * BATCH


def test_tensors_of_other_networks_are_refused(networks, stream):
    other = Networks(
        Generator(GeneratorShape(dimension=2, widths=(4, 5)), stream.scaling),
        networks.discriminator,
    )
    with pytest.raises(CheckpointError, match="run/x: of another network"):
        other.load(networks.tensors(), 4, "run/x")


def test_the_learning_rate_is_that_of_the_schedule(networks, pairs):
    moves = []
    for rate in (0.0, 1e-3, 2e-3):
        moved = copy.deepcopy(networks)
        schedule = replace(SCHEDULE, learning_rate=rate)
        step(moved, pairs(0), pairs(50), schedule, batch=BATCH)
        pair = (each.discriminator.parameters() for each in (moved, networks))
        with torch.no_grad():
            moves.append(max(float((a - b).abs().max()) for a, b in zip(*pair, strict=True)))
    assert moves == pytest.approx([0.0, 1e-3, 2e-3], rel=1e-3), "Adam's first move is the rate"


@pytest.mark.parametrize(
    ("fraction", "expected"), [(-1, 8), (0, 8), (0.5, 5), (1, 2), (2, 2), (1 / 3, 6.5)]
)
def test_a_cosine_goes_from_start_to_end(fraction, expected):
    assert cosine(8.0, 2.0, fraction) == pytest.approx(expected)
