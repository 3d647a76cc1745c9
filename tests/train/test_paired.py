"""A latent that knows the simulations is learnt, read and judged beside its own fields."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.errors import TrainingError
from cosmogan.fields.scaling import Scaling
from cosmogan.models import discriminator
from cosmogan.models.generator import GeneratorShape
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.orientation import orient, restore_orientation
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate
from cosmogan.models.summaries import Summaries
from cosmogan.models.weights import load_weights
from cosmogan.train import examine, reading
from cosmogan.train.data import TrainingFields, check_origins, to_tensor
from cosmogan.train.material import Material
from cosmogan.train.networks import generator_shape
from cosmogan.train.place import Place
from cosmogan.train.predict import Lesson
from cosmogan.train.worker import Loop, begin, train

KINDS = ["gaussian", "lpt"]


def alikeness(one, other):
    """Correlation of each field with its partner (n,)."""
    pairs = zip(np.asarray(one), np.asarray(other), strict=True)
    return np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])


# Fields must follow their seeds


@pytest.fixture
def make_pair(one_thread):
    """Return a function that gives the stream of a data set and the source of its latents."""

    def make(fields, theory):
        scaling = Scaling.fit(fields[:], 0.5)
        shape = GeneratorShape(dimension=2, widths=(4, 4), conditions=theory.num_conditions)
        source = Source(make_latent(LatentShape(kind="lpt"), theory, 16), theory, scaling, shape)
        return TrainingFields(fields, scaling, theory, seed=5), source

    return make


def test_simulated_fields_follow_their_seeds(make_pair, simulated, theory):
    for side in simulated:
        check_origins(*make_pair(side, theory))


@pytest.mark.parametrize("wrong", ["seed", "axis", "slab"])
def test_fields_that_do_not_follow_their_origins_are_refused(make_pair, simulated, theory, wrong):
    data, source = make_pair(simulated[0], theory)
    origins = data.origins.copy()
    origins["seed"] += 50 * (wrong == "seed")
    origins["axis"] = (origins["axis"] + (wrong == "axis")) % 3
    origins["slab"] = (origins["slab"] + 4 * (wrong == "slab")) % 8
    data.origins = origins
    with pytest.raises(TrainingError) as error:
        check_origins(data, source)
    message = str(error.value)
    assert message.startswith(str(simulated[0].path))
    assert "do not follow the initial conditions of their seeds" in message
    assert "latent = 'gaussian'" in message
    assert "\n" not in message


def test_seeds_of_other_boxes_are_refused_at_several_redshifts_too(
    make_pair, tmp_path, write_simulated, two_epochs
):
    """Fields of an epoch have their contrast in common, which must not pass for more."""
    fields = write_simulated(tmp_path / "a.fields", two_epochs, boxes=2)
    data, source = make_pair(fields, two_epochs)
    check_origins(data, source)
    data.origins = data.origins.copy()
    data.origins["seed"] = 1 - data.origins["seed"]
    with pytest.raises(TrainingError, match="do not follow"):
        check_origins(data, source)


def test_a_training_on_made_up_seeds_does_not_begin(plans, monkeypatch):
    monkeypatch.setattr(Lesson, "learn", lambda _: pytest.fail("it learns already"))
    made_up = replace(plans["gaussian"], latent=LatentShape(kind="lpt"), predictor_images=96)
    with pytest.raises(TrainingError, match="do not follow the initial conditions"):
        train(made_up)


def test_orientations_and_origins_are_those_of_the_fields(make_pair, simulated, theory):
    data, _ = make_pair(simulated[0], theory)
    batch = data.at(range(30))
    plain = restore_orientation(batch.fields, batch.orientations)[:, 0].numpy()
    known = data.scaling.forward(simulated[0][:]).astype(np.float32)
    place = {field.tobytes(): number for number, field in enumerate(known)}
    rows = [place[field.tobytes()] for field in plain]
    np.testing.assert_array_equal(batch.origins, simulated[0].origin[rows])
    np.testing.assert_array_equal(batch.rows, data.rows[rows])


# What a step is given


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", [0, 1])
def test_the_shares_of_two_workers_are_that_of_one(plans, kind, role):
    plan = replace(plans[kind], predictor_images=0)
    material = Material(plan)
    shape = generator_shape(plan, material.layout, material.latent.channels)
    alone, *pair = (
        Loop(plan, Place(rank=rank, world=world), material, shape).feed.share(role, 0)
        for rank, world in ((0, 1), (0, 2), (1, 2))
    )

    def together(*path):
        found = []
        for share in pair:
            for name in path:
                share = getattr(share, name)
            found.append(share)
        return found

    assert torch.equal(torch.cat(together("real")), alone.real)
    assert torch.equal(torch.cat(together("draw", "latent")), alone.draw.latent)
    for level, noise in enumerate(alone.draw.noise):
        assert torch.equal(torch.cat([each[level] for each in together("draw", "noise")]), noise)
    if kind == "lpt":
        assert torch.equal(torch.cat(together("latent")), alone.latent)
    else:
        assert together("latent") == [None, None]


def test_real_fields_are_paired_with_their_own_latents(plans):
    """Turned alike, and the generator starts from the very latents its judge sees."""
    loop = begin(plans["lpt"], Place())
    judged, persuaded = (loop.feed.share(role, 0) for role in (0, 1))
    for pairs in (judged, persuaded):
        itself, before, behind = (pairs.latent[:, n : n + 1] for n in (2, 3, 4))  # after two means
        own = alikeness(pairs.real, itself)
        assert own.min() > 0.6
        assert np.abs(alikeness(pairs.real, itself.flip(0))).max() < own.min()
        for beside in (before, behind):
            assert (alikeness(pairs.real, beside) < own).all()
        started = restore_orientation(pairs.draw.latent, pairs.draw.orientations)
        assert torch.equal(started, pairs.latent)
    assert not torch.equal(judged.latent, persuaded.latent)


def test_a_lognormal_latent_has_nothing_to_do_with_the_field(plans):
    loop = begin(plans["gaussian"], Place())
    pairs = loop.feed.share(0, 0)
    assert not loop.networks.discriminator.shape.latents
    assert np.abs(alikeness(pairs.real, pairs.draw.latent)).max() < 0.6
    straight = [
        restore_orientation(draw.latent, draw.orientations)
        for draw in (pairs.draw, loop.feed.share(1, 0).draw)
    ]
    assert not torch.equal(*straight), "each side of the game has its own"


# What a reading asks for


class Spy:
    """An observer that keeps the fields of the readings."""

    def __init__(self):
        self.lines, self.fields = [], []

    def line(self, line):
        self.lines.append(line)

    def reading(self, reading, fields, referee):
        self.fields.append(fields)


def test_a_reading_remakes_the_validation_fields(plans):
    spy, plan = Spy(), replace(plans["lpt"], images=40)
    assert train(plan, Place(observers=[spy]))
    loop = begin(plan, Place())
    exam = loop.examiner.exam
    truth = exam.truth
    assert set(exam.origins["simulation"].tolist()) == {10, 11}, "none was trained on"
    assert spy.fields[0].shape == truth.shape == (reading.FIELDS, 16, 16)
    assert alikeness(spy.fields[0], truth).min() > 0.6
    assert np.isfinite(next(line["score"] for line in spy.lines[::-1] if "score" in line))
    weights = load_weights(loop.folder / "weights.safetensors")
    assert weights.latent.kind == "lpt"


def test_the_gap_is_of_margins_over_partners_beside_their_latents(plans):
    loop = begin(plans["lpt"], Place())
    network, scores, margins, strangers = loop.networks.discriminator, [], [], []
    examiner = loop.examiner
    count = len(examiner.feeds[1].data.rows)
    for feed in examiner.feeds:
        batch = feed.data.at(range(count))
        turned = orient(loop.source.latents(batch.origins, batch.rows), batch.orientations)
        seeds = [derive_seed(loop.plan.seed, 8, i) for i in range(count)]
        draw = loop.source.draw(turned, seeds, batch.rows)
        latents = restore_orientation(draw.latent, draw.orientations)
        with torch.no_grad():
            made = generate(loop.networks.average, draw)
            known = network(batch.fields, None, latents)
            scores.append(float(known.mean()))
            margins.append(float((known - network(made, None, latents)).mean()))
            other = latents.flip(0)
            beside = network(batch.fields, None, other) - network(made, None, other)
            strangers.append(float(beside.mean()))
    gap = examiner._gap(loop.networks)
    assert gap == pytest.approx(margins[0] - margins[1], abs=1e-5)
    assert gap != pytest.approx(scores[0] - scores[1], abs=1e-4), "scores alone are another thing"
    assert gap != pytest.approx(strangers[0] - strangers[1], abs=1e-5), "latents count"


def test_copies_are_sought_among_all_training_fields_up_to_many(plans, monkeypatch):
    loop = begin(plans["lpt"], Place())
    assert len(loop.examiner.watch.training) == len(loop.examiner.feeds[0].data.rows)
    assert len(loop.examiner.watch.training) > reading.FIELDS
    monkeypatch.setattr(examine, "KNOWN", 7)
    assert len(begin(plans["lpt"], Place()).examiner.watch.training) == 7


def test_what_judges_see_is_standard_in_every_universe(
    plans, tmp_path, write_simulated, two_epochs, monkeypatch
):
    """And not only in all together, where those of either redshift lie on one side."""
    monkeypatch.setattr(discriminator, "STANDARD", 24)  # one in so many
    sides = [
        write_simulated(tmp_path / f"{name}.fields", two_epochs, boxes=boxes, first=first)
        for name, boxes, first in (("train", 3, 0), ("validation", 1, 9))
    ]
    paths = {"train": str(sides[0].path), "validation": str(sides[1].path)}
    plan = replace(plans["lpt"], **paths, theory=two_epochs, images=8, batch=8)
    loop, material = begin(plan, Place()), Material(plan)
    judge, fields = loop.networks.discriminator, to_tensor(material.sample, material.scaling)
    beside, asked = material.latents_of(loop.source, slice(None)), material.conditions
    assert alikeness(fields, beside[:, :1]).mean() > 0.3, "each beside its own latent"
    assert alikeness(fields, beside[:, :1].roll(1, 0)).mean() < 0.1
    every = judge.summaries(fields, beside, asked)
    pooled = Summaries(16, 2, material.scaling, guides=loop.source.guides)
    pooled.standardise(fields, lambda some: beside[some])
    for redshift in (-1, 1):
        here = asked[:, 0] == redshift
        features = judge.standard(judge.features(fields, beside), asked)[here]
        assert features.mean(0).abs().median() < 0.3
        own, apart = (x[here].mean(0).abs() for x in (every, pooled(fields, beside)))
        assert own.median() < 0.02
        assert own.mean() < apart.mean() / 5


def test_parameters_that_vary_have_latents_of_their_own(
    plans, tmp_path, write_simulated, two_epochs
):
    sides = [
        write_simulated(tmp_path / f"{name}.fields", two_epochs, boxes=1, first=first)
        for name, first in (("train", 0), ("validation", 9))
    ]
    train_path, validation = (str(side.path) for side in sides)
    plan = replace(
        plans["lpt"], train=train_path, validation=validation, theory=two_epochs, images=8, batch=8
    )
    loop = begin(plan, Place())
    pairs, cursors = loop.feed.share(0, 0), range(8)
    rows = np.array(loop.feed.data.at(cursors).rows)
    contrast = pairs.latent.std(dim=(1, 2, 3)).numpy()
    assert set(rows.tolist()) == {0, 1}
    assert contrast[rows == 0].min() > contrast[rows == 1].max(), "less structure at redshift 1"
    assert train(plan)
    weights = load_weights(loop.folder / "weights.safetensors")
    assert (weights.latent.kind, weights.generator.shape.conditions) == ("lpt", 1)
