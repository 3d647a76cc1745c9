"""What is shipped answers as the run does, and is small."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.fidelity import ship
from benchmarks.fidelity.study import RESULTS
from cosmogan.emulate.sample import load
from cosmogan.fields.layout import Layout
from cosmogan.fields.scaling import Scaling
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import LatentShape
from cosmogan.models.theory import Theory
from cosmogan.models.weights import save_weights
from cosmogan.recipe import read, write

GRID, CELL = 16, 4.0


@pytest.fixture
def run(tmp_path):
    """A finished run of six universes, of which the last was held out."""
    k = np.geomspace(1e-4, 50, 200)
    linear = np.tile(1e4 * k / 0.02 / (1 + (k / 0.02) ** 2) ** 1.3, (6, 1))
    theory = Theory(
        dimension=2,
        cell_size=CELL,
        thickness=2,
        window="cic",
        names=("Omega_m", "redshift"),
        parameters=np.array(
            [(0.3, 0.0), (0.2, 0.0), (0.25, 1.0), (0.4, 1.0), (0.35, 0.5), (0.9, 9.0)]
        ),
        k=k,
        power=linear * np.arange(1, 7)[:, None],
        linear=linear,
        trained=5,
    )
    layout = Layout(
        dimension=2,
        grid=GRID,
        box_size=GRID * CELL,
        thickness=2 * CELL,
        mass_assignment="cic",
        particles=32,
        parameter_names=theory.names,
    )
    torch.manual_seed(1)
    shape = GeneratorShape(dimension=2, widths=(4, 4), conditions=2)
    generator = Generator(shape, Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=50.0))
    torch.nn.init.normal_(generator.head.weight, std=0.2)
    (tmp_path / "run").mkdir()
    save_weights(
        tmp_path / "run/weights.safetensors",
        generator,
        theory,
        latent=LatentShape(kind="gaussian"),
        layout=layout,
        made_by={"recipe": ""},
        training={"shown": 640, "identity": "x", "reading": None},
    )
    (tmp_path / "recipe.toml").write_text(write(read("tiny")), encoding="utf-8")
    verdict = {
        "counts": {"power": {"pass": 1}},
        "sentences": ["It is right."],
        "made_by": {"commit": "abc", "versions": "x"},
    }
    (tmp_path / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    return tmp_path


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path / "shelf")
    return tmp_path / "shelf"


def test_shipped_weights_make_the_same_fields_in_the_same_range(run, shelf):
    card = json.loads(ship.ship(run, "six", "none").read_text(encoding="utf-8"))
    whole, shipped = load(run), load(shelf / "six.safetensors")
    np.testing.assert_array_equal(whole.theory.domain, shipped.theory.domain)
    assert card["parameters"] == {"Omega_m": [0.2, 0.4], "redshift": [0.0, 1.0]}
    kept = shipped.theory.parameters
    assert len(kept) == 4, "at most the lowest and the highest of each"
    for parameters in kept:
        asked = dict(zip(shipped.theory.names, parameters, strict=True))
        made, expected = (emulator.sample(2, 5, **asked).fields for emulator in (shipped, whole))
        np.testing.assert_array_equal(made, expected)
    assert (shelf / "six.safetensors").stat().st_size < (
        run / "run/weights.safetensors"
    ).stat().st_size


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("name", "boxes"),
    [
        ("demo-64", "train 16, validation 4, test 8; redshifts 0"),
        (
            "lcdm-z",
            (
                "train 1 at each of 256 cosmologies, validation 1 at each of 32 cosmologies, "
                "test 8 at each of 16 cosmologies; redshifts 2, 1.5, 1, 0.5, 0; "
                "held-out boxes at 2, 1.25, 0.75, 0.25, 0"
            ),
        ),
    ],
)
def test_a_card_says_what_the_weights_learned_from(run, name, boxes):
    (run / "recipe.toml").write_text(write(read(name)), encoding="utf-8")
    card = json.loads(ship.ship(run, "six", "none").read_text(encoding="utf-8"))
    assert card["data"] == f"cosmogan's own N-body runs of {name}; boxes: {boxes}"


def test_what_is_too_large_is_not_shipped(run, shelf, monkeypatch):
    monkeypatch.setattr(ship, "LARGEST", 1000)
    with pytest.raises(SystemExit, match="at most 1000 are shipped"):
        ship.ship(run, "six", "none")
    assert not list(shelf.iterdir())


def test_without_a_verdict_nothing_is_replaced(run, shelf):
    ship.ship(run, "six", "none")
    before = {path.name: path.read_bytes() for path in shelf.iterdir()}
    (run / "verdict.json").unlink()
    with pytest.raises(FileNotFoundError):
        ship.ship(run, "six", "other")
    assert {path.name: path.read_bytes() for path in shelf.iterdir()} == before


def test_the_card_that_ships_says_what_its_scorecard_says():
    """Of the run that the fidelity report tells to be shipped."""
    card = json.loads((Path(ship.cosmogan.__file__).parent / "weights/demo-64.json").read_text())
    known = json.loads((RESULTS / "default-60min-1.json").read_text())
    assert card["commit"] == known["commit"]
    assert card["scorecard"] == {
        name: {bound: error[bound] for bound in ("value", "low", "high")}
        for name, error in known["errors"].items()
    }
