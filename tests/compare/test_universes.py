"""Many universes: each is judged by itself, and what is wrong in one is seen there and nowhere else."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare import words
from cosmogan.compare.atlas import atlas_figure
from cosmogan.compare.findings import CANNOT_TELL, FAIL, PASS
from cosmogan.compare.page import REPORT, VERDICT, Setting, write_atlas
from cosmogan.compare.pairs import judge_pairs
from cosmogan.compare.rules import Rules
from cosmogan.compare.run import Source, compare
from cosmogan.compare.samples import Side
from cosmogan.compare.universes import judge_universes
from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.fields.layout import provenance
from cosmogan.fields.store import create_folder, finish_folder, write_shard
from cosmogan.statistics.table import write
from tests.compare.test_floor import measured
from tests.compare.test_pairs import LAYOUT, World

POINTS = ((0.25, 0.0), (0.25, 1.0), (0.35, 0.0), (0.35, 1.0))
RULES = Rules(splits=100, classifier_steps=12)


class Worlds:
    """The same initial conditions in several universes, whose contrast differs."""

    def __init__(self, folder, simulations=8):
        self.world, self.folder = World(folder, simulations=simulations, known=0.9), folder

    def other(self, name):
        """Write fields of other initial conditions."""
        world, self.world = self.world, World(self.folder, simulations=8, known=0.9, seed=9)
        self.world.origin["simulation"] += 500
        self.world.origin["seed"] += 500
        try:
            return self.write(name)
        finally:
            self.world = world

    def write(self, name, draws=1, wrong=None, points=POINTS):
        """Write fields of all universes, mixed; those of universe `wrong` are half as contrasted again."""
        parts, origins, table = [], [], []
        for _ in range(draws):
            for number, point in enumerate(points):
                power = (1.0 - 0.2 * point[1]) * (1.5 if number == wrong else 1.0)
                parts.append(self.world.draw() ** power)
                origins.append(self.world.origin)
                table.append(np.tile(point, (len(parts[-1]), 1)))
        mixed = np.random.default_rng(3).permutation(sum(map(len, parts)))
        fields, origin, parameters = (np.concatenate(p)[mixed] for p in (parts, origins, table))
        fields = fields.astype(np.float32)
        path = self.folder / f"{name}.fields"
        create_folder(path, LAYOUT, provenance("test"), 1, name, expected_bytes=1)
        made = finish_folder(path, [write_shard(path, 0, fields, parameters, origin)])
        statistics = measured(fields, origin["simulation"], name, lambda _: origin)
        names = LAYOUT.parameter_names
        table = replace(statistics, parameters=parameters, parameter_names=names)
        return Side(table=table, fields=made)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return Worlds(tmp_path_factory.mktemp("worlds"))


@pytest.fixture(scope="module")
def truth(worlds):
    return worlds.write("truth")


@pytest.fixture(scope="module")
def right(worlds, truth):
    made, theory = worlds.write("emulated", draws=2), worlds.write("lpt", wrong=1)
    return judge_universes(made, truth, theory, rules=RULES)


@pytest.fixture(scope="module")
def wrong(worlds, truth):
    return judge_universes(worlds.write("wrong", wrong=2), truth, rules=RULES)


def test_every_universe_is_found_by_its_parameters(right):
    assert right.names == ("Omega_m", "redshift")
    found = [tuple(universe.parameters.values()) for universe in right.each]
    assert found == sorted(POINTS)
    assert [(u.simulations, u.fields) for u in right.each] == [(8, 48)] * 4
    assert right.draws == 2


def test_a_right_emulator_fails_nowhere(right):
    for name in ("power", "mean_density", "pdf"):
        assert right.count(name, FAIL) == 0
    assert right.errors("power").max() < 0.2


def test_what_is_wrong_in_one_universe_is_seen_there_alone(wrong):
    assert [u.score("power").outcome == FAIL for u in wrong.each] == [False, False, True, False]
    assert wrong.worst("power") is wrong.each[2]
    assert wrong.errors("power")[2] > 3 * np.delete(wrong.errors("power"), 2).max()
    counted = [wrong.count("power", outcome) for outcome in (PASS, CANNOT_TELL, FAIL)]
    assert sum(counted) == 4
    assert counted[2] == 1


def test_a_mean_that_passes_hides_no_bin(right):
    """A quarter of the bins are far off, and the mean is inside."""
    first, *rest = right.each
    power = first.results["power"]
    bins = tuple(replace(b, outcome=FAIL) if i == 0 else b for i, b in enumerate(power.bins))
    off = replace(power, bins=bins, outcome=FAIL)
    results = {**first.results, "power": off}
    changed = replace(right, each=(replace(first, results=results), *rest))
    assert changed.count("power", PASS) == right.count("power", PASS)
    assert changed.count_bins("power") <= 3
    assert f"passes in {changed.count_bins('power')}." in words.on_universes(changed)[0]


def test_the_scatter_may_be_as_much_too_small_as_in_one_universe(right):
    assert right.each[0].score("scatter").highest == pytest.approx(1 - RULES.scatter[0])


def test_a_universe_is_judged_as_if_there_were_no_others(worlds, truth):
    """The same numbers as those of the pairs of this universe alone."""

    def alone(side):
        at = np.flatnonzero((side.table.parameters == POINTS[3]).all(axis=1))
        path = worlds.folder / f"{side.table.source}-alone.fields"
        create_folder(path, LAYOUT, provenance("test"), 1, "alone", expected_bytes=1)
        shard = write_shard(
            path, 0, side.fields[at], side.table.parameters[at], side.fields.origin[at]
        )
        return Side(table=side.table.take(at), fields=finish_folder(path, [shard]))

    made = worlds.write("twice", draws=2)
    together = judge_universes(made, truth, rules=RULES).each[3]
    pairs = judge_pairs(alone(made), alone(truth), rules=RULES)
    assert pairs.results.keys() == together.results.keys()
    for name, result in pairs.results.items():
        assert result == together.results[name]


def test_theory_is_judged_beside_it(right):
    assert [u.theory.keys() == u.results.keys() for u in right.each] == [True] * 4
    assert int(np.argmax(right.theory_errors("power"))) == 1
    assert right.theory_errors("power")[1] > 3 * right.errors("power")[1]


def test_a_universe_without_partners_is_named(worlds, truth):
    few = worlds.write("few", points=POINTS[:3])
    with pytest.raises(LayoutError, match=r"few.fields: has no partner of field"):
        judge_universes(worlds.write("whole"), truth, few, rules=RULES)


def test_the_page_says_how_many_universes_are_well(right, wrong, truth, log_lines, tmp_path):
    first = words.on_universes(right)[0]
    passed, unsure = (right.count("power", outcome) for outcome in (PASS, CANNOT_TELL))
    assert f"in {passed} of 4 held-out universes" in first
    assert (f"{unsure} stay{'s' * (unsure == 1)} open" in first) == bool(unsure)
    sentences = words.on_universes(wrong)
    assert "Omega_m = 0.35, redshift = 0." in sentences[0]
    assert "power spectrum (1)" in sentences[-1]
    alarm = {
        "event": "alarm",
        "name": "gap",
        "images": 6400,
        "value": 0.6,
        "low": None,
        "high": 0.5,
    }
    write_atlas(tmp_path, right, truth.table, Setting(title="worlds", log=[*log_lines, alarm]))
    page = (tmp_path / REPORT).read_text()
    assert first in page
    assert page.count("data:image/svg") == 2
    assert "Alarm: gap 0.6 after 6,400 fields, outside −∞ to 0.5; raised in 1 reading." in page
    found = json.loads((tmp_path / VERDICT).read_text())
    assert found["sentences"][0] == first
    assert len(found["each"]) == 4
    assert found["counts"]["power"][PASS] == passed
    assert found["each"][0]["results"]["power"]["bins"]


def test_universes_outside_the_trained_range_are_told(right):
    far = "Some of these universes lie outside what the network was trained at."
    assert far not in words.on_universes(right)
    assert far in words.on_universes(replace(right, extrapolated=True))


def test_many_universes_are_found_and_guarded(tmp_path):
    """From the files; who learned from the truth is refused, and so is what would be left out."""
    worlds = Worlds(tmp_path, simulations=12)

    def source(side):
        path = tmp_path / f"{side.table.source}.stats.h5"
        write(path, replace(side.table, source_sha256=side.fields.sha256))
        return Source(path, side.fields.path)

    made, held_out = source(worlds.write("made")), source(worlds.write("truth"))
    training = source(worlds.other("training"))
    found = compare(
        {"made": made}, held_out, tmp_path / "verdict", others={"training": training}, rules=RULES
    )
    assert len(found.each) == 4
    content = json.loads((tmp_path / "verdict" / VERDICT).read_text())
    assert content["samples"]["diversity"]["strata"] == 4
    assert content["samples"]["novelty"]["alarm"] is False
    page = (tmp_path / "verdict" / REPORT).read_text()
    for piece in ("The fields themselves", "mean of 4 universes", "largest resemblance to a train"):
        assert piece in page
    blind = replace(RULES, samples=False)
    compare({"made": made}, held_out, tmp_path / "blind", rules=blind)
    assert json.loads((tmp_path / "blind" / VERDICT).read_text())["samples"] is None
    with pytest.raises(SplitError, match="share simulation"):
        compare({"made": made}, held_out, tmp_path / "x", others={"training": held_out})
    with pytest.raises(RecipeError, match="judged by counterparts alone"):
        compare({"made": made}, held_out, tmp_path / "x", counterparts=made)
    with pytest.raises(RecipeError, match="nothing to judge"):
        compare({}, held_out, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_atlas_has_a_panel_for_each_parameter(right):
    assert atlas_figure(right).startswith("data:image/svg")
    assert atlas_figure(replace(right, rules=RULES, each=right.each[:2]))
