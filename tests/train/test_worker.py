"""A training gives the same weights to the last bit, however often and wherever it is cut off."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosmogan.errors import (
    CheckpointError,
    LayoutError,
    ResourceError,
    SplitError,
    TrainingError,
)
from cosmogan.models import blocks, checkpoint
from cosmogan.models.weights import load_weights
from cosmogan.train import material, place, reading, worker
from cosmogan.train.data import TrainingFields
from cosmogan.train.place import LogFile, Place
from cosmogan.train.worker import STOPPED, begin, train

CLOCK = {"seconds", "cpu_seconds", "images_per_second"}


class Spy:
    """An observer that remembers."""

    def __init__(self):
        self.lines, self.readings = [], []

    def line(self, line):
        self.lines.append(line)

    def reading(self, reading, fields, referee):
        self.readings.append((reading, fields.shape, referee))


def asked_to_stop_after(steps):
    """Say yes when asked for the n-th time; the worker asks once a step."""
    asked = iter(range(1, 10**9))
    return lambda: next(asked) == steps


def contents(folder):
    """Everything that a training leaves, but for the clock, in a form that can be compared."""
    found = {}
    for path in sorted(Path(folder).rglob("*.safetensors")):
        tensors, content = checkpoint.load(path)
        plain = {k: v for k, v in content.items() if k not in CLOCK}
        raw = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
        found[str(path.relative_to(folder))] = (plain, raw)
    log = Path(folder) / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    found["log"] = [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]
    return found


def checkpoints(folder):
    return sorted(p.name for p in (Path(folder) / "checkpoints").iterdir())


def here(plan, **others):
    return Place(observers=[LogFile(Path(plan.folder))], **others)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory, base_plans):
    """What 40 steps without a break leave, for each latent."""
    threads, left = torch.get_num_threads(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "FIELDS", 32)
        for kind, base in base_plans.items():
            plan = replace(base, folder=str(tmp_path_factory.mktemp("forty") / "run"))
            assert train(plan, here(plan))
            left[kind] = contents(plan.folder)
    torch.set_num_threads(threads)
    return left


@pytest.fixture(scope="module")
def forty(wholes):
    return wholes["gaussian"]


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
def test_a_training_leaves_weights_checkpoints_and_a_log(wholes, kind):
    forty = wholes[kind]
    lessons = {f"predictor/checkpoint-{shown:012d}.safetensors" for shown in (40, 48)}
    assert set(forty) == (lessons if kind == "lpt" else set()) | {
        "checkpoints/checkpoint-000000000120.safetensors",
        "checkpoints/checkpoint-000000000160.safetensors",
        "log",
        "untrained.safetensors",
        "weights.safetensors",
    }
    readings = [line for line in forty["log"] if line["event"] == "reading"]
    assert [r["images"] for r in readings] == [40, 80, 120, 160]
    best = min(readings, key=lambda r: r["score"])
    assert forty["weights.safetensors"][0]["training"]["shown"] == best["images"]
    assert forty["weights.safetensors"][0]["training"]["reading"]["score"] == best["score"]
    assert (
        forty["checkpoints/checkpoint-000000000160.safetensors"][0]["course"]["best"]
        == best["score"]
    )
    untrained, trained = forty["untrained.safetensors"], forty["weights.safetensors"]
    assert untrained[0]["latent"] == trained[0]["latent"]
    assert trained[0]["latent"]["kind"] == kind
    assert untrained[0]["training"]["shown"] == 0
    assert untrained[1]["generator.head.weight"] != trained[1]["generator.head.weight"]
    assert np.isfinite([r["score"] for r in readings]).all()


@pytest.mark.parametrize(("kind", "steps"), [("gaussian", 7), ("gaussian", 20), ("lpt", 20)])
def test_two_halves_equal_the_whole_to_the_last_bit(plans, wholes, kind, steps):
    """Also where a reading is due at the very step after which the run is stopped (20)."""
    plan, forty = plans[kind], wholes[kind]
    before = plan.predictor_images // plan.batch
    assert not train(plan, here(plan, stopped=asked_to_stop_after(before + steps)))
    assert checkpoints(plan.folder)[-1] == f"checkpoint-{4 * steps:012d}.safetensors"
    assert not (Path(plan.folder) / "weights.safetensors").exists()
    assert train(plan, here(plan))
    assert contents(plan.folder) == forty
    text = (Path(plan.folder) / "log.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for clock in ("seconds", "cpu_seconds"):
        times = [line[clock] for line in lines if clock in line]
        assert np.all(np.diff([0, *times]) >= 0), "the clock goes on where it stood"


@pytest.fixture
def rounded(plans, monkeypatch):
    """A short plan in which every convolution rounds."""
    monkeypatch.setattr(blocks, "FINE", 1)
    monkeypatch.setattr(blocks, "WIDE", 1)
    monkeypatch.setattr(place, "has_bfloat16", lambda _: True)
    return replace(plans["lpt"], precision="auto", images=80, predictor_images=24)


@pytest.mark.parametrize("steps", [4, 12])
def test_rounded_halves_equal_the_rounded_whole(rounded, tmp_path, steps):
    apart = replace(rounded, folder=str(tmp_path / "apart"))
    assert train(rounded, here(rounded))
    whole = contents(rounded.folder)
    made = whole["weights.safetensors"][0]["training"]
    assert (made["precision"], made["workers"], made["threads"]) == ("bfloat16", 1, 1)
    assert not train(apart, here(apart, stopped=asked_to_stop_after(steps)))
    assert train(apart, here(apart))
    old = {f"predictor/checkpoint-{4 * steps:012d}.safetensors"} - set(whole)
    assert {
        name: found for name, found in contents(apart.folder).items() if name not in old
    } == whole


@pytest.mark.parametrize("steps", [4, 12])
def test_a_training_goes_on_in_its_own_precision_or_not_at_all(rounded, monkeypatch, steps):
    """Before the game and in it."""
    assert not train(rounded, here(rounded, stopped=asked_to_stop_after(steps)))
    monkeypatch.setattr(place, "has_bfloat16", lambda _: False)
    with pytest.raises(
        CheckpointError, match="learnt in bfloat16, and here it would go on in float32"
    ):
        train(rounded, here(rounded))


def test_the_generators_of_the_whole_process_play_no_part(plan, forty):
    """Nothing is drawn from the global random states once the networks are made."""

    def disturb():
        torch.rand(3)
        np.random.seed(None)  # noqa: NPY002
        return False

    assert train(plan, here(plan, stopped=disturb))
    assert contents(plan.folder) == forty


@pytest.mark.parametrize("steps", [5, 10])
def test_a_predictor_that_was_cut_off_goes_on_where_it_stood(plans, wholes, steps):
    plan = plans["lpt"]
    assert not train(plan, here(plan, stopped=asked_to_stop_after(steps)))
    assert not (Path(plan.folder) / "untrained.safetensors").exists(), "the game has not begun"
    assert train(plan, here(plan))
    left, whole = contents(plan.folder), wholes["lpt"]
    old = {f"predictor/checkpoint-{4 * steps:012d}.safetensors"} - set(whole)
    assert {name: left[name] for name in left.keys() - old} == whole


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_crash_costs_the_work_since_the_last_checkpoint_and_nothing_else(
    plan, forty, monkeypatch, nth
):
    """Killed in place of the n-th file written: untrained, best, checkpoint, ..."""
    calls = iter(range(1, 10**9))
    intact = checkpoint.save

    def fail(*arguments):
        if next(calls) == nth:
            raise KeyboardInterrupt
        intact(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", fail)
        patch.setattr("cosmogan.models.weights.save", fail)
        with pytest.raises(KeyboardInterrupt):
            train(plan, here(plan))
    assert train(plan, here(plan))
    assert contents(plan.folder) == forty


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(plan, forty, caplog):
    assert not train(plan, here(plan, stopped=asked_to_stop_after(25)))
    newest = Path(plan.folder) / "checkpoints" / checkpoints(plan.folder)[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert train(plan, here(plan))
    assert newest.name in caplog.text
    assert contents(plan.folder) == forty


def test_a_complete_training_is_complete(plan, forty):
    assert train(plan, here(plan))
    spy = Spy()
    assert train(plan, Place(observers=[spy]))
    assert spy.lines == []
    assert contents(plan.folder) == forty


class Poisoned(TrainingFields):
    """Fields that turn bad after a while, as a broken disk or memory would make them."""

    def at(self, cursors):
        batch = super().at(cursors)
        if cursors[0] >= 2 * 60:
            batch.fields[0, 0, 2, 2] = float("nan")
        return batch


def test_a_nan_ends_the_training_and_leaves_the_last_good_checkpoint(plan, forty, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(material, "TrainingFields", Poisoned)
        with pytest.raises(TrainingError, match="not finite after 60 fields") as error:
            train(plan, here(plan))
    assert "the last good checkpoint stays; lower learning_rate or raise gamma" in str(error.value)
    assert "\n" not in str(error.value)
    assert checkpoints(plan.folder) == ["checkpoint-000000000040.safetensors"]
    assert train(plan, here(plan))
    assert contents(plan.folder) == forty


def test_a_discriminator_that_has_won_ends_the_training(plan, monkeypatch):
    """Without a penalty, and against a generator that may not learn, the judge wins soon."""
    monkeypatch.setattr(worker, "LOST", 0.5)  # the memory of the level start fades in 50 steps
    easy = replace(plan, gamma=1e-9, gamma_statistics=1e-9, images=4000, learning_rate=1e-2)
    loop = begin(easy, here(easy))
    loop.networks.adam_generator.step = lambda: None
    with pytest.raises(TrainingError, match="the discriminator has won for good after"):
        loop.run()


def test_readings_go_to_the_observers_of_the_first_worker(plan):
    spy = Spy()
    short = replace(plan, images=80)
    assert train(short, Place(observers=[spy]))
    events = [line["event"] for line in spy.lines if line["event"] != "alarm"]
    assert events == ["step", "reading", "step", "reading"]
    assert [reading.images for reading, _, _ in spy.readings] == [40, 80]
    assert spy.readings[0][1] == (32, 16, 16)
    step = spy.lines[0]
    assert np.isfinite([v for v in step.values() if isinstance(v, float)]).all()
    assert {"pairing", "gap", "penalty", "penalty_summaries", "d_loss"} <= set(step)
    json.dumps(spy.lines)


def shaken(truth, again):
    """Fields near the simulated ones, others when they are asked for again."""
    rng = np.random.default_rng(again)
    return truth * np.exp(0.3 * rng.standard_normal(truth.shape))


def one_and_the_same(truth, again):
    return shaken(np.tile(truth[:1], (len(truth), 1, 1)), again) * 0.03 + truth[:1]


class KnowsByHeart(torch.nn.Module):
    """A judge that scores the fields it has seen, in whichever orientation, and no others."""

    def __init__(self, seen):
        super().__init__()
        self.known = self.sizes(seen)

    @staticmethod
    def sizes(fields):
        return fields.double().square().flatten(1).mean(1)

    def forward(self, fields, _given, _latent):
        apart = (self.sizes(fields)[:, None] - self.known).abs().amin(1)
        return (apart < 1e-6).float()


@pytest.mark.parametrize(
    ("broken", "rings"),
    [
        ("nothing", set()),
        ("draws ignore their noise", {"spread"}),
        ("draws are all alike", {"pair_distance", "spread"}),
        ("draws are training fields", {"nearest"}),
        ("the judge knows training fields by heart", {"gap"}),
        ("the judge has won", {"balance"}),
        ("the score is worse than before", {"relapse"}),
    ],
)
def test_a_broken_training_rings_its_alarm(plans, broken, rings, monkeypatch):
    """Asked of the loop: what it tells its observers is what users see."""
    plan, spy = plans["lpt"], Spy()
    loop = begin(replace(plan, predictor_images=0), Place(observers=[spy]))
    examiner, seen = loop.examiner, loop.feed.data
    truth, training = examiner.exam.truth, seen.fields[:]
    mean = shaken(truth, 999)  # from which the truth is as far as any draw
    answers = {
        "draws ignore their noise": lambda _: shaken(mean, 1),
        "draws are all alike": lambda again: one_and_the_same(mean, again),
        "draws are training fields": lambda again: np.resize(
            np.roll(training, again, 0), truth.shape
        ),
    }
    answer = answers.get(broken, lambda again: shaken(mean, again))

    def answered(_average, numbers, again=0):
        return examiner.scaling.forward(answer(again)[list(numbers)].astype(np.float32))

    monkeypatch.setattr(examiner, "_answer", answered)
    if "by heart" in broken:
        known = examiner.scaling.forward(training)
        loop.networks.discriminator = KnowsByHeart(torch.from_numpy(known))
    if "won" in broken:
        loop.smoothed = 0.01
    if "worse" in broken:
        loop.course.best = 1e-3
    loop.course.untrained, loop.networks.shown = 1e3, plan.images
    loop._read()
    told = {line["name"]: line for line in spy.lines if line["event"] == "alarm"}
    other = {"scatter", "coverage", "score"}  # of a few fields that are far from right
    assert set(told) - other == rings
    for line in told.values():
        low, high = line["low"], line["high"]
        value = line["value"]
        assert (low is not None and value < low) or (high is not None and value > high)


def test_a_young_training_is_not_asked_what_takes_time(plans):
    loop = begin(replace(plans["lpt"], predictor_images=0), Place(observers=[spy := Spy()]))
    loop.course.untrained, loop.course.best = 1e-3, 1e-3
    loop.networks.shown = 4
    loop._read()
    named = {line["name"] for line in spy.lines if line["event"] == "alarm"}
    assert not named & {"coverage", "progress", "score", "relapse"}
    loop.networks.shown = loop.plan.images
    loop.course.best = 1e-3
    loop._read()
    assert {"progress", "relapse"} <= {
        line["name"] for line in spy.lines if line["event"] == "alarm"
    }


def test_parameters_that_vary_become_conditions(tmp_path, plan, write_fields, two_epochs):
    sides = [
        write_fields(tmp_path / f"{name}.fields", two_epochs, boxes=2, first=first)
        for name, first in (("train", 0), ("validation", 9))
    ]
    varied = replace(
        plan,
        train=str(sides[0].path),
        validation=str(sides[1].path),
        theory=two_epochs,
        images=40,
    )
    assert train(varied, here(varied))
    assert load_weights(Path(varied.folder) / "weights.safetensors").generator.shape.conditions == 1


def test_a_shared_simulation_is_refused(plan):
    with pytest.raises(SplitError, match="simulation"):
        train(replace(plan, validation=plan.train))


def test_a_folder_of_another_recipe_is_refused(plan):
    assert not train(plan, here(plan, stopped=asked_to_stop_after(10)))
    before = contents(plan.folder)
    with pytest.raises(
        CheckpointError, match="made from another recipe, or by another version; choose"
    ):
        train(replace(plan, identity="other"))
    assert contents(plan.folder) == before


def test_a_checkpoint_of_another_architecture_is_refused(plan):
    assert not train(plan, here(plan, stopped=asked_to_stop_after(10)))
    with pytest.raises(CheckpointError, match="of another network"):
        train(replace(plan, generator_widths=(4, 8)))


def test_missing_data_are_named(plan, tmp_path):
    with pytest.raises(LayoutError, match=r"nowhere.fields"):
        train(replace(plan, train=str(tmp_path / "nowhere.fields")))


def test_a_batch_that_cannot_be_shared_is_refused(plan):
    with pytest.raises(ResourceError, match="batch = 4 is not divisible by 3 workers"):
        begin(plan, Place(world=3))


def test_networks_that_drift_apart_end_the_training(plan):
    class Apart(Place):
        def reduce(self, vector):
            return vector + (1e-6 if vector.dtype == torch.float64 else 0)

    with pytest.raises(TrainingError, match="the workers' networks differ"):
        train(plan, Apart())


@pytest.mark.parametrize("name", ["generator", "discriminator", "predictor"])
def test_workers_compare_all_that_moves(plans, name):
    loop = begin(plans["lpt"], Place())
    ours = []
    loop.place.reduce = lambda vector: ours.append(vector) or vector
    loop._compare_workers()
    theirs = loop.source.predictor if name == "predictor" else getattr(loop.networks, name)
    next(theirs.parameters()).data.add_(1e-5)
    loop.place.reduce = lambda vector: (vector + ours[0]) / 2
    with pytest.raises(TrainingError, match="the workers' networks differ"):
        loop._compare_workers()


def test_readings_that_are_never_finite_leave_no_weights(plan, monkeypatch):
    monkeypatch.setattr(worker.Loop, "_read", lambda self: None)
    with pytest.raises(TrainingError, match="no reading was finite"):
        train(replace(plan, images=8))


@pytest.mark.parametrize("stops", [(), (15,), (20,), (25, 7)])
def test_users_get_the_best_reading_wherever_the_training_was_cut_off(plan, monkeypatch, stops):
    scores = {0: 5.0, 40: 3.0, 80: 1.0, 120: 2.0, 160: 4.0}
    read = reading.Referee.read

    def scored(self, fields, *, images, **others):
        return replace(read(self, fields, images=images, **others), score=scores[images])

    monkeypatch.setattr(reading.Referee, "read", scored)
    for steps in stops:
        assert not train(plan, Place(stopped=asked_to_stop_after(steps)))
    assert train(plan)
    training = load_weights(Path(plan.folder) / "weights.safetensors").content["training"]
    assert (training["shown"], training["reading"]["score"]) == (80, 1.0)


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["nowhere/training.json"]])
def test_the_module_refuses_what_is_no_plan_in_one_line(arguments, caplog):
    assert worker.main(arguments) == 2
    (record,) = caplog.records
    assert "training.json" in record.getMessage()
    assert "\n" not in record.getMessage()


def start(plan, **environment):
    path = plan.write()
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    command = [sys.executable, "-m", "cosmogan.train.worker", str(path)]
    root = Path(worker.__file__).parents[2]
    return subprocess.Popen(command, env=variables, cwd=root, stderr=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
def test_two_processes_train_as_one(plans, tmp_path, kind):
    """As torchrun starts them: the averaged gradients of a penalised step agree to 1e-6.

    At a vanishing learning rate, since Adam's first moves are signs and magnify rounding.
    """
    pair, alone = (
        replace(
            plans[kind],
            folder=str(tmp_path / name),
            images=8,
            learning_rate=1e-15,
            predictor_images=4 if kind == "lpt" else 0,
        )
        for name in ("pair", "alone")
    )
    rendezvous = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(start(pair, RANK=rank, LOCAL_RANK=rank, **rendezvous))
            for rank in "01"
        ]
        assert train(alone, here(alone))
        errors = [each.communicate(timeout=120)[1] for each in workers]
    assert [each.returncode for each in workers] == [0, 0], errors
    first = ["predictor/checkpoint-000000000004.safetensors"] if kind == "lpt" else []
    for name in (*first, "checkpoints/checkpoint-000000000008.safetensors"):
        (one, _), (two, _) = (checkpoint.load(Path(p.folder) / name) for p in (alone, pair))
        assert one.keys() == two.keys()
        gradients = [key for key in one if key.endswith("exp_avg")]  # in proportion, after a step
        assert max(float(one[key].abs().max()) for key in gradients) > 1e-3
        for key in gradients:
            size = float(one[key].abs().max())
            torch.testing.assert_close(two[key], one[key], rtol=0, atol=1e-6 * max(size, 1))


def test_a_signal_stops_a_training_at_a_checkpoint(plan):
    long = replace(plan, images=10**6, validate_every=10**6)
    log = Path(long.folder) / "log.jsonl"
    with start(long) as process:
        deadline = time.monotonic() + 90
        while not log.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=60)
    assert process.returncode == STOPPED, text
    (name,) = checkpoints(long.folder)
    shown = int(name.removeprefix("checkpoint-").removesuffix(".safetensors"))
    assert shown >= json.loads(log.read_text().splitlines()[-1])["images"] > 0
