"""Weights are found in a run, in a file, or by the name they are shipped under; each comes with its card."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from cosmogan import cli
from cosmogan.emulate import find
from cosmogan.emulate.find import find_weights, shipped
from cosmogan.emulate.sample import load
from cosmogan.errors import CheckpointError
from cosmogan.statistics import battery


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package with weights that are no weights."""
    monkeypatch.setattr(find, "SHIPPED", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/small.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_is_looked_up_in_the_package(shelf):
    assert shipped() == ["small"]
    assert find_weights("small") == shelf / "weights/small.safetensors"


def test_a_folder_of_that_name_comes_first(shelf):
    run = shelf / "small/run"
    run.mkdir(parents=True)
    shutil.copy(shelf / "weights/small.safetensors", run / "weights.safetensors")
    assert find_weights("small") == find.Path("small/run/weights.safetensors")


def test_a_run_that_is_not_finished_is_not_taken_for_a_name(shelf):
    (shelf / "small/run").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="train to the end"):
        find_weights("small")


def test_another_name_is_told_which_there_are(shelf):
    for name in ("large", "weights/large", "../small"):
        with pytest.raises(CheckpointError, match="give its folder, or one of: small"):
            find_weights(name)


def test_the_command_wants_one_of_both(capsys, tmp_path):
    for words in ([], ["runs/a", "--weights", "b"]):
        assert cli.main(["emulate", *words, "-o", str(tmp_path / "x.fields")]) == 2
        assert "give either RUN or --weights" in capsys.readouterr().err


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_is_small_and_what_its_card_says(name):
    path = find_weights(name)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert path.stat().st_size < 10_000_000
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {"data", "recipe", "scorecard", "limits", "sentences", "training"} <= set(card)
    emulator = load(name)
    low, high = emulator.theory.domain
    assert card["parameters"] == {
        n: [a, b] for n, a, b in zip(emulator.theory.names, low, high, strict=True)
    }


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_makes_universes_of_the_right_mean_and_power(name):
    """Of a box of its own, beside HMcode2020: a box scatters, and neither is exact."""
    emulator = load(name)
    layout, (low, high) = emulator.weights.layout, emulator.theory.domain
    middle = dict(zip(emulator.theory.names, (low + high) / 2, strict=True))
    sample = emulator.sample(48, 3, **middle)
    assert sample.fields.mean() == pytest.approx(1, abs=0.03)
    power = battery.measure(sample.fields, layout.box_size, ("power",))["power"]
    there, (row,) = emulator.over(emulator.fill(middle, 1))
    k = power.coordinate
    inside = (k > 0.3) & (k < 0.7 * np.pi / layout.cell_size)
    expected = there.theory.field_power(row, [k[inside], np.zeros(1)])
    ratio = power.samples.mean(axis=0)[inside] / expected
    assert np.abs(ratio - 1).mean() < 0.25
