"""The predictor learns the mean of what initial conditions leave open, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.emulate.sample import load
from cosmogan.errors import CheckpointError, TrainingError
from cosmogan.models.blocks import Convolution
from cosmogan.models.weights import load_weights
from cosmogan.train import predict
from cosmogan.train.data import to_tensor
from cosmogan.train.material import Material
from cosmogan.train.place import Place
from cosmogan.train.predict import Lesson, Spectra, _squared
from cosmogan.train.worker import begin, train

GRID, CELL = 16, 4.0
pytestmark = pytest.mark.usefixtures("one_thread")


class Spy:
    """An observer that keeps the lines."""

    def __init__(self):
        self.lines = []

    def line(self, line):
        self.lines.append(line)

    def reading(self, reading, fields, referee):
        pass


@pytest.mark.parametrize("row", [0, 1])
def test_who_predicts_the_mean_density_everywhere_misses_all_there_is(two_epochs, row):
    """Whatever the universe: fields that scatter as theory expects are one unit away from it."""
    lines = np.fft.fftfreq(GRID, CELL), np.fft.rfftfreq(GRID, CELL)
    k = [2 * np.pi * line for line in np.meshgrid(*lines, indexing="ij", sparse=True)]
    power = torch.from_numpy(two_epochs.field_power(row, k) / CELL**2)
    noise = torch.fft.rfftn(
        torch.randn(400, 1, GRID, GRID, generator=torch.Generator().manual_seed(1)),
        dim=(2, 3),
        norm="ortho",
    )
    fields = torch.fft.irfftn(noise * power.sqrt(), s=(GRID, GRID), dim=(2, 3), norm="ortho")
    expected = Spectra(two_epochs, GRID).at([row])
    assert _squared(fields, expected) == pytest.approx(1, abs=0.1)
    assert _squared(0.5 * fields, expected) == pytest.approx(0.25, abs=0.025)


def test_every_shell_has_the_same_say(two_epochs):
    spectra = Spectra(two_epochs, GRID)
    expected = spectra.at([0])[0, 0]
    assert expected.shape == (GRID, GRID // 2 + 1)
    assert expected[0, 1] > 3 * expected[0, GRID // 2], "large scales have more power"
    noise = torch.randn(2000, 1, GRID, GRID)
    modes = torch.fft.rfftn(noise, dim=(2, 3), norm="ortho") * expected.sqrt()
    coloured = torch.fft.irfftn(modes, s=(GRID, GRID), dim=(2, 3), norm="ortho")
    line = np.fft.fftfreq(GRID) * GRID
    whole = np.rint(np.hypot(*np.meshgrid(line, line)))  # of the whole plane, not of its half
    for shell in range(1, GRID // 2):
        inside = torch.fft.rfftn(coloured, dim=(2, 3), norm="ortho") * (spectra.shell == shell)
        only = torch.fft.irfftn(inside, s=(GRID, GRID), dim=(2, 3), norm="ortho")
        share = float((whole == shell).mean())
        assert _squared(only, expected[None, None]) == pytest.approx(share, rel=0.1)


def test_what_is_wrong_with_a_latent_is_learnt_and_told(plans, monkeypatch):
    """On validation fields too, which it has not seen."""
    monkeypatch.setattr(predict, "LEARNING_RATE", 1e-2)
    spy, plan = Spy(), replace(plans["lpt"], predictor_images=1600, predictor_width=8)
    lesson = Lesson(plan, Place(observers=[spy]), Material(plan))
    right = lesson.source.latents
    lesson.source.latents = lambda origins, rows: 0.6 * right(origins, rows) + 0.4
    assert lesson.learn()
    assert not any(p.requires_grad for p in lesson.predictor.parameters())
    (last,) = (line for line in spy.lines if line["event"] == "prediction")
    for side in ("training", "validation", "logarithm_training", "logarithm_validation"):
        assert 0 < last[f"error_{side}"] < 0.75 * last[f"latent_{side}"]
    steps = [line for line in spy.lines if line["event"] == "predict"]
    assert [line["images"] for line in steps] == list(range(80 - 1600, 1, 80)), "counts down"
    assert np.mean([s["error"] for s in steps[-5:]]) < 0.75 * steps[0]["error"]


def test_each_output_has_an_error_of_its_own(plans):
    """Who has the right density misses nothing of it, whatever is started from, and the other way round."""
    lesson = Lesson(plans["lpt"], Place(), Material(plans["lpt"]))
    side, cursors = lesson.material.training, range(8)
    right = side.at(cursors).fields
    for good in (0, 1):
        answer = [right + 0.3, right + 0.3]
        answer[good] = right
        lesson.predictor.forward = lambda *_, both=tuple(answer): torch.cat(both, 1)
        made, bare = (e.tolist() for e in lesson.error(side, cursors))
        assert made[good] == pytest.approx(0, abs=1e-10)
        assert made[1 - good] > 1e-3
        assert min(bare) > 0


def test_scales_are_those_of_fields_beside_what_was_predicted(plans):
    """As the game shows them to the discriminator, which has not learnt yet."""
    plan = plans["lpt"]
    loop, material = begin(plan, Place()), Material(plan)
    fields = to_tensor(material.sample, material.scaling)
    beside = material.latents_of(loop.source, slice(None))
    assert beside.shape[1] == loop.networks.generator.shape.latents
    judge = loop.networks.discriminator
    found = judge.standard(judge.features(fields, beside)).detach()
    torch.testing.assert_close(found.mean(0), torch.zeros(found.shape[1]), rtol=0, atol=1e-3)
    known = judge.summaries.measure(fields, beside)
    torch.testing.assert_close(known.mean(0), judge.summaries.standard.trend[0], rtol=0, atol=1e-4)


def test_what_was_predicted_guides_the_generator(plans):
    """In training, and in the hands of users, who get the very same latents."""
    plan = replace(plans["lpt"], images=40)
    assert train(plan)
    loop = begin(plan, Place())
    exam = loop.examiner.exam
    origins, rows = exam.origins[:16], exam.rows[:16]
    latents = loop.source.latents(origins, rows)
    guided = loop.source.guided(latents, rows)
    assert guided.shape[1] == latents.shape[1] + 2 == loop.networks.generator.shape.latents
    torch.testing.assert_close(guided[:, :2], loop.source.predictor(latents, ()))
    assert torch.equal(guided[:, 2:], latents)
    assert loop.networks.discriminator.shape.guides == loop.source.guides == 2
    emulator = load(loop.folder)
    assert torch.equal(emulator.source.guided(latents, rows), guided)
    draw, turned = (
        source.draw(latents, [5] * len(rows), rows) for source in (emulator.source, loop.source)
    )
    assert torch.equal(draw.latent, turned.latent)
    own = loop.source.predictor(draw.latent[:, 2:], ())
    torch.testing.assert_close(draw.latent[:, :2], own, msg="it is turned before it is predicted")
    untrained = load(loop.folder, "untrained").counterparts(origins).fields
    bare = loop.examiner.scaling.saturate(latents[:, 0].numpy())
    expected = loop.examiner.scaling.inverse(loop.examiner.scaling.saturate(bare))
    np.testing.assert_allclose(untrained, expected, rtol=1e-3, atol=1e-3)
    assert load_weights(loop.folder / "weights.safetensors").predictor is not None


def test_a_predictor_of_another_training_is_refused(plans):
    plan = plans["lpt"]
    material = Material(plan)
    assert Lesson(plan, Place(), material).learn()
    with pytest.raises(CheckpointError, match="made from another recipe"):
        Lesson(replace(plan, identity="other"), Place(), material).learn()


def test_an_error_that_is_not_finite_ends_the_training(plans):
    plan = plans["lpt"]
    lesson = Lesson(plan, Place(), Material(plan))
    with torch.no_grad():
        lesson.predictor.head.bias.fill_(np.nan)
    with pytest.raises(TrainingError, match="the error is not finite after 0 fields"):
        lesson.learn()


def test_who_has_learnt_predicts_without_rounding(plans):
    plan = replace(plans["lpt"], predictor_width=32)
    lesson = Lesson(plan, Place(rounded=True), Material(plan))
    parts = [part for part in lesson.predictor.modules() if isinstance(part, Convolution)]
    assert any(part.rounded for part in parts)
    assert lesson.learn()
    assert not any(part.rounded for part in parts)


@pytest.mark.parametrize("heart", [True, False])
def test_who_learns_by_heart_raises_an_alarm(plans, monkeypatch, heart):
    spy, plan = Spy(), plans["lpt"]
    lesson = Lesson(plan, Place(observers=[spy]), Material(plan))
    known, share = lesson.material.training, 0.5 if heart else 0.9
    errors = {True: torch.full((2,), share), False: torch.ones(2)}
    monkeypatch.setattr(lesson, "error", lambda side, _: (errors[side is known], torch.ones(2)))
    lesson._read()
    rang = [line["name"] for line in spy.lines if line["event"] == "alarm"]
    assert rang == (["prediction"] if heart else [])
