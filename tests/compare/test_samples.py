"""A look at the fields: every question gets its own fields, and says why it was not answered."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare import samples, words
from cosmogan.compare.findings import write_verdict
from cosmogan.compare.page import REPORT, VERDICT, Setting, write_report
from cosmogan.compare.perraudin import PUBLISHED_N
from cosmogan.compare.rules import Rules
from cosmogan.compare.samples import Side, features, look
from cosmogan.errors import RecipeError
from cosmogan.fields.layout import ORIGIN_DTYPE
from cosmogan.statistics import battery
from tests.compare import damage
from tests.compare.test_floor import lognormal_fields, measured

RULES = Rules(seed=3, classifier_steps=12)


def origin(simulation):
    made = np.zeros(len(simulation), ORIGIN_DTYPE)
    made["simulation"] = simulation
    return made


def side(rng, first, boxes, slices=8, fields=None):
    fields = lognormal_fields(rng, boxes * slices) if fields is None else fields
    simulation = np.repeat(np.arange(first, first + boxes), slices)
    return Side(table=measured(fields, simulation, f"from {first}", origin), fields=fields)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(4)
    sizes = {"training": 12, "validation": 4, "truth": 8, "emulated": 16}
    return {name: side(rng, 100 * i, n) for i, (name, n) in enumerate(sizes.items())}


def looked(world, **changes):
    parts = world | changes
    others = {name: parts[name] for name in ("training", "validation") if parts.get(name)}
    return look(parts["emulated"], parts["truth"], others, rules=RULES)


@pytest.fixture(scope="module")
def found(world):
    return looked(world)


def test_fields_that_are_right_are_new_and_diverse(found):
    assert found.alarms == []
    assert found.novelty.searched == found.novelty.known == 96
    assert found.classified.fields[1] == 64
    assert list(found.why) == ["scores"]
    assert "8 are held out, and 24 at hand" in found.why["scores"]


def test_copies_and_a_collapse_are_told_by_the_questions_that_ask_for_them(world):
    rng = np.random.default_rng(7)
    right, training = world["emulated"].fields, world["training"].fields
    made = damage.every_tenth_a_copy(right, rng, training)
    copies = looked(world, emulated=side(rng, 300, 16, fields=made))
    np.testing.assert_array_equal(np.sort(copies.novelty.training.suspects) % 10, 0)
    assert copies.novelty.alarm
    assert "resemble training fields" in dict(map(reversed, words.on_samples(copies))).__str__()
    few = looked(world, emulated=side(rng, 300, 16, fields=damage.collapsed(right, rng)))
    assert few.diversity.alarm
    assert few.novelty.others.suspects.size > 100
    assert few.diversity.measures["coverage"].value < 0.6


def test_without_training_fields_what_needs_them_says_so(world):
    alone = looked(world, training=None)
    assert alone.novelty is None
    assert alone.classified is None
    assert alone.diversity is not None
    assert alone.why["novelty"] == "no training fields are known; name them"
    assert [kind for kind, _ in words.on_samples(alone)] == ["pass"]


def test_the_features_are_the_judged_bins_of_every_field(world):
    truth = world["truth"].table
    values = features(world["emulated"].table, truth, RULES)
    limits = RULES.limits(truth)
    names = [name for name in samples.FEATURES if name in truth.statistics]
    widths = [battery.judged_bins(truth[name], **limits).size for name in names]
    assert values.shape == (128, sum(widths))
    np.testing.assert_allclose(
        values[:, : widths[0]], np.log(world["emulated"].table["power"].samples[:, : widths[0]])
    )
    bare = replace(truth, statistics={"mean_density": truth["mean_density"]})
    with pytest.raises(RecipeError, match="no features; measure power"):
        features(bare, bare, RULES)


def test_with_simulations_enough_perraudins_scores_stand_beside_real_ones():
    rng = np.random.default_rng(2)
    parts = {
        name: side(rng, 1000 * i, PUBLISHED_N, 1)
        for i, name in enumerate(("training", "truth", "emulated"))
    }
    found = looked(parts)
    made, real = found.scores
    assert made.n == real.n == PUBLISHED_N
    # a perfect emulator scores what simulations do, but for the scatter of 30 against 30
    assert 0.4 < made.psd / real.psd < 2.5
    assert found.summary()["perraudin"]["emulated"]["psd"] == made.psd


def test_the_page_shows_what_was_found_and_the_file_repeats_it(world, found, tmp_path):
    verdict = write_report(
        tmp_path,
        {"emulated": world["emulated"].table},
        world["truth"].table,
        training=world["training"].table,
        rules=Rules(splits=100, tolerance={"power": 0.2, "pdf": 0.2}),
        setting=Setting(samples=found),
    )
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    for piece in ("The fields themselves", "largest resemblance to a training field", "coverage"):
        assert piece in page
    content = json.loads((tmp_path / VERDICT).read_text(encoding="utf-8"))
    assert content["samples"]["novelty"]["alarm"] is False
    assert content["samples"]["diversity"]["measures"]["coverage"]["value"] > 0.9
    for _, sentence in words.on_samples(found):
        assert sentence in content["sentences"]
        assert sentence.split(":")[0] in page
    write_verdict(tmp_path / "again.json", verdict, {"samples": found.summary()})


def test_of_large_fields_fewer_are_looked_at(world, monkeypatch):
    monkeypatch.setattr(samples, "BYTES", 20 * world["truth"].fields[0].nbytes)
    found = looked(world)
    assert found.novelty.searched <= 20
    assert max(found.classified.fields) <= 20
