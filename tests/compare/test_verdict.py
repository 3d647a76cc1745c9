from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare.findings import BEATS, CANNOT_TELL, DOES_NOT_BEAT, FAIL, PASS
from cosmogan.compare.rules import Rules
from cosmogan.compare.verdict import ANOTHER_DRAW, judge


def judged(run, names=("emulated", "untrained", "lognormal"), **more):
    candidates = {name: run[name] for name in names}
    return judge(candidates, run["test"], training=run["train"], validation=run["valid"], **more)


@pytest.fixture(scope="module")
def verdict(run):
    return judged(run)


def changed(table, **samples):
    new = {n: replace(table[n], samples=s) for n, s in samples.items()}
    return replace(table, statistics={**table.statistics, **new})


def test_the_columns_are_those_asked_for_and_another_draw(verdict):
    assert list(verdict.candidates) == ["emulated", "untrained", "lognormal", ANOTHER_DRAW]
    assert (verdict.subject, verdict.simulations, verdict.training, verdict.pool) == (
        "emulated",
        8,
        16,
        28,
    )
    assert [c.learned for c in verdict.candidates.values()] == [True, False, False, False]


def test_a_right_emulator_fails_nowhere_and_learnt(verdict):
    assert verdict.about.count(FAIL) == 0
    assert not verdict.about.overall.alarm
    assert verdict.learnt is True
    assert {c.outcome for c in verdict.contests} == {BEATS}
    assert [(c.statistic, c.other) for c in verdict.contests] == [
        (s, o) for o in ("untrained", "lognormal") for s in ("reduced_bispectrum", "pdf_smoothed")
    ]


def test_broken_candidates_fail_where_they_are_broken(verdict):
    found = verdict.candidates["untrained"].results
    assert found["power"].outcome == FAIL
    assert found["bispectrum"].outcome == FAIL
    assert found["reduced_bispectrum"].outcome == FAIL
    assert found["pdf_smoothed"].outcome == FAIL
    assert found["pdf"].outcome != FAIL
    assert verdict.candidates["untrained"].overall.alarm


def test_what_is_no_better_than_a_lognormal_field_learnt_nothing(run):
    same = {**run, "emulated": replace(run["lognormal"], source="emulated")}
    verdict = judged(same, ("emulated", "lognormal"))
    assert verdict.learnt is False
    assert {c.outcome for c in verdict.contests} == {CANNOT_TELL}


def test_what_is_worse_than_an_untrained_network_does_not_beat_it(run):
    swapped = {**run, "emulated": run["untrained"], "untrained": run["emulated"]}
    verdict = judged(swapped, ("emulated", "untrained"))
    assert {c.outcome for c in verdict.contests} == {DOES_NOT_BEAT}
    assert verdict.learnt is False


def test_a_contest_is_about_this_network_not_about_its_training_set(run, verdict):
    names = ("emulated", "untrained", "lognormal")
    assert judge({n: run[n] for n in names}, run["test"]).contests == verdict.contests


def test_without_rivals_nothing_is_said_about_learning(run):
    assert judged(run, ("emulated",)).learnt is None
    assert judged(run, ("lognormal",)).learnt is None


def test_the_same_data_give_the_same_verdict_whatever_stands_beside(run, verdict):
    assert judged(run) == verdict
    alone = judged(run, ("emulated",))
    assert alone.about == verdict.about
    assert alone.floors == verdict.floors


def test_another_seed_changes_the_resamples_only(run, verdict):
    other = judged(run, rules=Rules(seed=1))
    for name, result in verdict.about.results.items():
        assert other.about.results[name].bins == result.bins
    assert other.about.overall.threshold != verdict.about.overall.threshold


def test_the_order_of_the_fields_does_not_matter(run, verdict):
    def mixed(table):
        order = np.random.default_rng(0).permutation(len(table))
        statistics = {n: replace(s, samples=s.samples[order]) for n, s in table.statistics.items()}
        return replace(
            table,
            origin=table.origin[order],
            parameters=table.parameters[order],
            statistics=statistics,
        )

    found = judged({name: mixed(table) for name, table in run.items()})
    for name, result in verdict.about.results.items():
        ratios = [b.ratio for b in found.about.results[name].bins]
        np.testing.assert_allclose(ratios, [b.ratio for b in result.bins])
        assert found.about.results[name].outcome == result.outcome


def test_a_bin_that_is_off_fails_and_its_neighbours_do_not(run):
    power = run["emulated"]["power"].samples.copy()
    power[:, 10] *= 2
    verdict = judged({**run, "emulated": changed(run["emulated"], power=power)}, ("emulated",))
    result = verdict.about.results["power"]
    assert [i for i, b in enumerate(result.bins) if b.outcome == FAIL] == [10]
    assert result.outcome == verdict.about.outcome == FAIL
    assert (verdict.about.overall.statistic, verdict.about.overall.coordinate) == (
        "power",
        pytest.approx(run["test"]["power"].coordinate[10]),
    )


def test_a_collapsed_scatter_fails_though_the_mean_is_right(run):
    power = run["emulated"]["power"].samples
    centre = np.exp(np.log(power).mean(axis=0))
    narrow = power.mean(axis=0) * (power / centre) ** 0.3
    narrow *= power.mean(axis=0) / narrow.mean(axis=0)
    verdict = judged({**run, "emulated": changed(run["emulated"], power=narrow)}, ("emulated",))
    assert verdict.about.results["scatter"].outcome == FAIL
    assert verdict.about.results["power"].count(FAIL) == 0
    assert verdict.about.overall.statistic == "scatter"
    assert verdict.about.overall.alarm
    ratio = next(s for s in verdict.about.scorecard if s.name == "scatter ratio")
    assert ratio.value.value == pytest.approx(0.3, abs=0.05)
    assert ratio.outcome == FAIL


def test_all_fields_alike_are_a_failure_not_a_crash(run):
    first = {
        n: np.repeat(s.samples[:1], 120, axis=0) for n, s in run["emulated"].statistics.items()
    }
    verdict = judged({**run, "emulated": changed(run["emulated"], **first)}, ("emulated",))
    assert verdict.about.results["scatter"].count(PASS) == 0
    assert verdict.about.overall.alarm


def test_one_held_out_simulation_can_never_pass(universe):
    training, truth = universe.simulations(16), universe.simulations(1)
    made = universe.memoriser(training)
    verdict = judge({"emulated": made}, truth, training=training)
    assert verdict.about.count(CANNOT_TELL) == verdict.about.bins
    assert not verdict.about.overall.alarm


def test_more_simulations_turn_cannot_tell_into_pass(universe):
    rules = Rules(tolerance={"power": 0.15})
    passed = []
    for boxes in (2, 8, 200):
        training = universe.simulations(200)
        made = universe.memoriser(training, 400)
        found = judge(
            {"emulated": made}, universe.simulations(boxes), training=training, rules=rules
        )
        passed.append(found.about.results["power"].count(PASS))
        bins = len(found.about.results["power"].bins)
    assert max(passed[:2]) < bins / 2
    assert passed[2] == bins


def test_two_tables_are_enough(run):
    verdict = judge({"A": run["train"]}, run["test"])
    assert (verdict.training, verdict.pool, list(verdict.candidates)) == (0, 8, ["A"])
    assert not verdict.about.learned
    assert not verdict.floors["power"].disjoint
    assert verdict.about.count(FAIL) == 0


def test_the_scorecard_repeats_what_the_bins_say(verdict):
    scores = {s.name: s for s in verdict.about.scorecard}
    power = verdict.about.results["power"]
    off = np.mean([abs(b.ratio - 1) for b in power.bins])
    assert scores["power error"].value.value == pytest.approx(off)
    density = verdict.about.results["mean_density"].bins[0]
    assert scores["mean density ratio"].value.value == density.ratio
    ratios = [b.ratio for b in verdict.about.results["scatter"].bins]
    assert scores["scatter ratio"].value.value == pytest.approx(np.exp(np.mean(np.log(ratios))))


def test_another_draw_stands_within_its_floor(verdict):
    draw = verdict.candidates[ANOTHER_DRAW]
    for name in ("power", "bispectrum", "pdf", "scatter"):
        # twice the 95th percentile: four statistics, one draw each
        assert draw.results[name].error.value < 2 * verdict.floors[name].high
