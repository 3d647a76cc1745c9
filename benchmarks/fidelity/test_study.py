"""The study's arms are recipes, and its table says what the scorecards say."""

import json

import numpy as np
import pytest

from benchmarks.fidelity import rivals, study
from benchmarks.fidelity.arms import ARMS
from cosmogan.errors import RecipeError
from cosmogan.fields.cut import origins
from cosmogan.fields.layout import Layout, provenance
from cosmogan.fields.store import create_folder, finish_folder, write_shard
from cosmogan.recipe import read, write

BASE = read(study.HERE / "fidelity.toml")


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_differs_from_the_default_by_its_choice_alone(name):
    made, plain = (ARMS[n].recipe(BASE, seed=3, images=4800) for n in (name, "default"))
    changed = {k for k, v in made.train if v != getattr(plain.train, k)}
    assert changed == set(ARMS[name].train)
    assert made.simulate == BASE.simulate
    assert made.train.images / made.train.validate_every == 10
    assert made.train.seed == 3


@pytest.fixture
def tiny_sides(tmp_path):
    """Data sets of 32 x 32 cells for each side of the split."""
    layout = Layout(
        dimension=2,
        grid=32,
        box_size=64.0,
        thickness=2.0,
        mass_assignment="cic",
        particles=0,
        parameter_names=("Omega_m", "redshift"),
    )
    paths, rng = {}, np.random.default_rng(1)
    for number, split in enumerate(("train", "validation", "test")):
        path = tmp_path / f"{split}.fields"
        create_folder(path, layout, provenance("test"), 1, split, expected_bytes=1)
        density = np.exp(rng.standard_normal((36, 32, 32))).astype(np.float32)
        origin = origins(np.zeros(36, int), np.arange(36) % 6)
        origin["simulation"] = origin["seed"] = 100 * number + np.arange(36) // 6
        table = np.tile((0.3, 0.0), (36, 1))
        finish_folder(path, [write_shard(path, 0, density, table, origin)])
        paths[split] = path
    return paths


def curve(*values):
    return {"value": list(values), "low": list(values), "high": list(values)}


def finished(folder, *, pairs=True):
    """Write what a finished run leaves, as far as the study reads it."""
    result = {
        "error": {"value": 0.05, "low": 0.01, "high": 0.09},
        "outcome": "cannot tell",
        "bins": [{"outcome": "pass"}, {"outcome": "cannot tell"}],
    }
    found = {
        "results": {"power": result},
        "k": [0.1, 0.6],
        "phases": {name: curve(0.9, 0.8) for name in ("draw", "mean", "between", "transfer")},
        "left_open": curve(0.5, 0.25),
        "contest": "beats",
        "spread": {"value": {"value": 1.02, "low": 0.9, "high": 1.1}},
    }
    candidate = {"results": {"power": result}, "scorecard": [], "overall": {"deviation": 3.0}}
    bare = {"error": {"value": 0.4, "low": 0.3, "high": 0.5}, "outcome": "fail", "bins": []}
    verdict = {
        "subject": "emulated",
        "candidates": {
            "emulated": candidate,
            "untrained": candidate | {"results": {"power": bare}},
            "lognormal": candidate,
        },
        "floors": {"power": {"median": 0.02, "high": 0.04}},
        "samples": {"classified": {"auc": 0.75}},
        "pairs": found if pairs else None,
        "made_by": {"commit": "abc", "versions": "x", "time": "now"},
    }
    (folder / "run").mkdir(parents=True)
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    lines = [
        {"event": "step", "images": 16, "seconds": 1.0},
        {"event": "reading", "images": 4800, "seconds": 90.0, "score": 0.3, "gap_validation": 0.0},
    ]
    log = "\n".join(map(json.dumps, lines))
    (folder / "run/log.jsonl").write_text(log, encoding="utf-8")
    return folder


def test_the_table_says_what_the_scorecards_say(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    assert study.table() == "no scorecards yet"
    (tmp_path / "results").mkdir()
    for name, pairs in (("default", True), ("gaussian", False)):
        folder = finished(tmp_path / name, pairs=pairs)
        card = study.scorecard(folder, study.readings_of(folder))
        if pairs:
            card["pairs"]["against_2lpt"] = {"left_open": curve(0.3, 0.35)}
        path = tmp_path / "results" / f"{name}-1.json"
        path.write_text(json.dumps(card | {"arm": name, "seed": 1}), encoding="utf-8")
    head, _, floor, default, gaussian = study.table().splitlines()
    assert "power" in head
    assert "2.0 % (4.0 %)" in floor
    assert default == (
        "| default, 1 | - | 4,800, 1.5 | 5.0 % | 1/1/0 | 1/1/0 | 1.02 | 0.50, 0.50 | 0.30, 0.35 | 0.750 |"
    )
    assert gaussian == "| gaussian, 1 | - | 4,800, 1.5 | 5.0 % | 1/1/0 | - | - | - | - | 0.750 |"


def test_an_arm_runs_on_simulations_that_all_share_and_leaves_its_scorecard(tmp_path, monkeypatch):
    asked = []

    def work(recipe, folder, *, screen=None):
        screen.say("at work")
        asked.append((folder.name, recipe.train.images))
        finished(folder)

    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(study, "simulate", lambda _recipe, folder, **_: asked.append(folder.name))
    monkeypatch.setattr(study.pipeline, "run", work)
    monkeypatch.setattr(study, "_images", lambda *_: (4800, 0))
    monkeypatch.setattr(study, "against_2lpt", lambda *_: {"left_open": curve(0.3, 0.35)})
    monkeypatch.setattr(study, "promised", lambda folder: {"forecast": folder.name})
    monkeypatch.setattr(study, "_weights", lambda _: 1234)
    path = study.run("neighbours-2", 2, 15, tmp_path / "runs", study.HERE / "fidelity.toml")
    assert asked == ["data", ("neighbours-2-15min-2", 4800)]
    link = tmp_path / "runs/neighbours-2-15min-2/train.fields"
    assert link.readlink() == (tmp_path / "runs/data/train.fields").absolute()
    card = json.loads(path.read_text(encoding="utf-8"))
    assert (card["arm"], card["seed"], card["minutes"]) == ("neighbours-2", 2, 15)
    assert (card["forecast"], card["weights"]) == ("neighbours-2-15min-2", 1234)
    for seed in (2, 1):
        study.run("default", seed, 15, tmp_path / "runs", study.HERE / "fidelity.toml")
    made = sorted(path.stem for path in (tmp_path / "results").iterdir())
    assert made == [
        "default-15min-1",
        "default-15min-2",
        "lognormal-0min-1",
        "neighbours-2-15min-2",
        "untrained-0min-1",
    ]
    (row,) = [line for line in study.table().splitlines() if line.startswith("| untrained")]
    assert row == "| untrained, 1 | - | 0, 0.0 | 40.0 % | 0/0/0 | - | - | - | - | - |"


@pytest.mark.parametrize(
    ("name", "seed", "known"),
    [("default", 2, True), ("gamma-10", 1, True), ("batch-8", 1, False), ("white", 1, False)],
)
def test_what_costs_as_much_shows_as_many_fields(tmp_path, monkeypatch, name, seed, known):
    measured = tmp_path / "default-15min-1"
    measured.mkdir()
    plan = ARMS["default"].recipe(BASE, seed=1, images=4800, before=1600)
    (measured / "recipe.toml").write_text(write(plan), encoding="utf-8")
    folder = tmp_path / f"{name}-15min-{seed}"
    folder.mkdir()

    def measure_speed(*_):
        raise TimeoutError

    monkeypatch.setattr(study, "train", measure_speed)
    if known:
        assert study._images(name, BASE, folder, 15) == (4800, 1600)
    for minutes in (15, 60)[known:]:
        with pytest.raises(TimeoutError):
            study._images(name, BASE, folder, minutes)


@pytest.mark.parametrize(
    "other",
    [{"discriminator_widths": (16, 32)}, {"neighbours": 2}, {"carried": (1.0,)}, {"batch": 8}],
)
def test_the_pace_of_another_network_is_not_taken(tmp_path, monkeypatch, other):
    measured = tmp_path / "default-15min-1"
    measured.mkdir()
    plan = ARMS["default"].recipe(BASE, seed=1, images=4800, before=1600)
    changed = plan.model_copy(update={"train": plan.train.model_copy(update=other)})
    (measured / "recipe.toml").write_text(write(changed), encoding="utf-8")

    def measure_speed(*_):
        raise TimeoutError

    monkeypatch.setattr(study, "train", measure_speed)
    with pytest.raises(TimeoutError):
        study._images("default", BASE, measured, 15)


def test_arms_of_one_pace_differ_in_what_costs_no_time():
    for name, arm in ARMS.items():
        if arm.pace:
            assert (arm.predictor > 0) == (ARMS[arm.pace].predictor > 0), name
            assert not {"batch", "neighbours", "generator_widths"} & (
                arm.train.keys() - ARMS[arm.pace].train.keys()
            ), name


def test_one_draw_has_no_mean(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "few"\n[emulate]\ndraws = 1\n')
    with pytest.raises(RecipeError, match=r"emulate.draws = 1: their mean takes 2; raise it"):
        study.run("default", 1, 15, tmp_path / "runs", str(recipe))
    assert not (tmp_path / "runs").exists()


def test_a_rival_learns_for_its_time_and_is_judged(tmp_path, monkeypatch, tiny_sides):
    """On real files, but for a minute that lasts a second."""
    runs = tmp_path / "runs"
    (runs / "data").mkdir(parents=True)
    for split, path in tiny_sides.items():
        (runs / "data" / f"{split}.fields").symlink_to(path)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(study, "simulate", lambda *_, **__: None)
    monkeypatch.setattr(rivals, "FIELDS", 16)  # made for a reading
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "few"\n[emulate]\ncount = 40\n[compare]\nsamples = false\nsplits = 100\n'
    )
    card = json.loads(study.run("flow", 1, 1 / 60, runs, str(recipe)).read_text(encoding="utf-8"))
    assert card["seconds"] >= 1
    assert card["images"] > 0
    assert card["weights"] == 281_825
    assert 1 <= len(card["readings"]) <= 10
    assert all(reading["score"] > 0 for reading in card["readings"])
    assert "pairs" not in card
    assert card["errors"]["power"]["value"] > 0.1, "it learnt next to nothing"
    again = study.run("flow", 1, 1 / 60, runs, str(recipe))
    assert json.loads(again.read_text(encoding="utf-8"))["images"] == card["images"]
