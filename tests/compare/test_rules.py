from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare.findings import FAIL
from cosmogan.compare.rules import Rules, check_comparable, make_yardsticks
from cosmogan.compare.units import SCATTER, TAILS, columns
from cosmogan.compare.verdict import judge
from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.statistics import battery
from tests.compare.conftest import changed, table
from tests.compare.damage import wavenumbers


def by_name(truth, rules=None):
    return {y.name: y for y in make_yardsticks(truth, rules or Rules())}


def test_only_wavenumbers_below_the_limit_are_judged(run):
    found = by_name(run["test"], Rules(k_max=0.5))
    limit = 0.5 * np.pi * 64 / 200
    for name in ("power", "bispectrum", SCATTER):
        assert found[name].coordinate.max() <= limit
    rest = np.setdiff1d(run["test"]["power"].coordinate, found["power"].coordinate)
    assert rest.min() > limit


def test_only_densities_that_the_truth_has_are_judged(run):
    truth = run["test"]
    found = by_name(truth)["pdf"]
    share = truth["pdf"].samples.mean(axis=0)
    np.testing.assert_array_equal(found.columns, np.flatnonzero(share >= 0.01))
    assert 0 < found.columns.size < share.size


def test_bins_without_modes_are_not_judged(run):
    truth = run["test"]
    weight = np.ones_like(truth["power"].weight)
    weight[3] = 0
    power = replace(truth["power"], weight=weight)
    emptied = replace(truth, statistics={**truth.statistics, "power": power})
    assert 3 not in by_name(emptied)["power"].columns


def test_what_has_no_tolerance_is_not_judged(run):
    assert set(by_name(run["test"], Rules(tolerance={"power": 0.1}))) == {"power", SCATTER}


def test_the_columns_of_the_yardsticks_touch_and_end_with_the_scatter(run):
    found = columns(make_yardsticks(run["test"], Rules()))
    assert list(found)[-1] == SCATTER
    stops = [s.stop for s in found.values()]
    assert [s.start for s in found.values()] == [0, *stops[:-1]]


def test_what_was_not_measured_is_not_judged(run):
    yardsticks = make_yardsticks(run["test"], Rules(tolerance={"minima": 0.1, "pdf": 0.2}))
    assert [y.name for y in yardsticks] == ["pdf", "pdf_tail"]


def test_a_table_without_anything_to_judge_is_an_error(run):
    with pytest.raises(LayoutError, match=r"test: none of halos, minima was measured; measure"):
        make_yardsticks(run["test"], Rules(tolerance={"halos": 0.1, "minima": 0.1}))


def test_a_statistic_that_only_the_truth_has_is_named(run):
    some = {n: s for n, s in run["emulated"].statistics.items() if n != "pdf"}
    with pytest.raises(LayoutError, match=r"emulated: no statistic pdf; measure both"):
        refused(replace(run["emulated"], statistics=some), run["test"])


def refused(candidate, truth, simulated=None):
    check_comparable({"emulated": candidate}, truth, simulated or {})


@pytest.mark.parametrize("key", ["dimension", "box_size", "cell_size", "thickness"])
def test_fields_of_another_kind_are_refused(run, key):
    other = {**run["emulated"].attributes, key: 3}
    with pytest.raises(LayoutError, match=f"emulated: {key} = 3, but .* in test"):
        refused(replace(run["emulated"], attributes=other), run["test"])


def test_another_window_is_refused_where_both_are_known(run):
    def painted(name, window):
        return replace(run[name], attributes={**run[name].attributes, "mass_assignment": window})

    refused(painted("emulated", "none"), painted("test", "cic"))
    with pytest.raises(LayoutError, match="emulated: mass_assignment = tsc, but cic in test"):
        refused(painted("emulated", "tsc"), painted("test", "cic"))


def test_other_bins_are_refused(run):
    power = replace(run["emulated"]["power"], coordinate=run["emulated"]["power"].coordinate * 1.01)
    shifted = replace(run["emulated"], statistics={**run["emulated"].statistics, "power": power})
    with pytest.raises(LayoutError, match="power has other bins"):
        refused(shifted, run["test"])


def test_another_cosmology_is_refused(run):
    def at(table, sigma_8):
        return replace(
            table, parameters=np.full((len(table), 1), sigma_8), parameter_names=("sigma_8",)
        )

    refused(at(run["emulated"], 0.8), at(run["test"], 0.8))
    with pytest.raises(LayoutError, match=r"sigma_8 is 0\.9 to 0\.9, but 0\.8 to 0\.8"):
        refused(at(run["emulated"], 0.9), at(run["test"], 0.8))


def test_a_shared_simulation_is_refused(run):
    origin = run["emulated"].origin.copy()
    origin["simulation"][5] = run["test"].simulation[0]
    with pytest.raises(SplitError, match=f"share simulation {run['test'].simulation[0]};"):
        refused(replace(run["emulated"], origin=origin), run["test"])
    with pytest.raises(SplitError, match="test and test share"):
        refused(run["emulated"], run["test"], {"training": run["test"]})


def test_fixed_amplitudes_are_no_yardstick(run):
    origin = run["test"].origin.copy()
    origin["fixed"] = True
    with pytest.raises(RecipeError, match="no cosmic variance"):
        refused(run["emulated"], replace(run["test"], origin=origin))
    origin = run["train"].origin.copy()
    origin["fixed"] = True
    with pytest.raises(RecipeError, match="train: fixed-amplitude"):
        refused(run["emulated"], run["test"], {"training": replace(run["train"], origin=origin)})


def test_nothing_to_judge_is_an_error(run):
    with pytest.raises(RecipeError, match="nothing to judge"):
        check_comparable({}, run["test"], {})


# Tails


@pytest.fixture(scope="module")
def skewed():
    """Tables of two sets of boxes, and the fields of the first."""
    rng = np.random.default_rng(5)

    def draw(boxes):
        white = rng.standard_normal((6 * boxes, 32, 32))
        red = np.fft.irfft2(np.fft.rfft2(white) * 4 / (1 + wavenumbers(32)), s=(32, 32))
        return np.exp(2 * red / red.std() - 2).astype(np.float32)

    def measured(fields, first):
        simulation = np.repeat(np.arange(first, first + len(fields) // 6), 6)
        found = battery.measure(fields, 100.0, ("pdf", "peaks"))
        return replace(
            table({}, simulation),
            attributes={
                "dimension": 2,
                "box_size": 100.0,
                "cell_size": 100 / 32,
                "thickness": 6.25,
            },
            statistics=found,
        )

    true = draw(300)
    return {"fields": true, "test": measured(true, 1), "emulated": measured(draw(300), 1001)}


def test_a_tail_counts_what_lies_beyond_its_edge(skewed):
    """The numbers of the bins added, against the cells themselves."""
    found, fields = by_name(skewed["test"]), skewed["fields"]
    for name, of in TAILS.items():
        tail, whole = found[name], skewed["test"][of].samples
        assert tail.columns.size == 1
        assert tail.columns[0] > found[of].columns[-1]
        assert tail.of(whole).sum() / whole.sum() < 0.02
    edge = found["pdf_tail"].coordinate[0]
    share = (fields >= edge).mean(axis=(1, 2))
    assert 3e-4 < share.mean() < 3e-3
    np.testing.assert_allclose(
        found["pdf_tail"].of(skewed["test"]["pdf"].samples)[:, 0], share, atol=1e-9
    )


def test_rare_ones_that_are_missing_fail_although_all_common_ones_are_there(skewed):
    """What no bin says where those of less than one per cent are left out."""
    made, yardsticks = skewed["emulated"], by_name(skewed["test"])
    poor = {of: made[of].samples.copy() for of in TAILS.values()}
    for name, of in TAILS.items():
        poor[of][:, yardsticks[name].columns[0] :] *= 0.6
    right, wrong = (
        judge({"emulated": candidate}, skewed["test"]).about.results
        for candidate in (made, changed(made, **poor))
    )
    for name, of in TAILS.items():
        assert FAIL not in (right[of].outcome, right[name].outcome)
        assert (wrong[of].outcome, wrong[name].outcome) == (right[of].outcome, FAIL)


def test_a_tail_of_a_few_cells_is_not_judged(skewed):
    few = skewed["test"].take(np.arange(6))
    assert not set(by_name(few)) & set(TAILS)
