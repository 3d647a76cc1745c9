"""Correlations between bins: known matrices come out, and what is decorrelated is told."""

import numpy as np
import pytest

from cosmogan.compare import correlations
from cosmogan.compare.correlations import CORRELATION, MEAN_SCATTER, OWN_CORRELATION
from cosmogan.compare.findings import CANNOT_TELL, FAIL, PASS, conclude
from cosmogan.compare.matrices import matrices_figure
from cosmogan.compare.verdict import judge
from tests.compare.conftest import K, changed, table

BINS = 5


def samples(rng, boxes, slices, common):
    """Return P of fields whose bins share a part `common` of their variance: R_ij = common."""
    shared = np.sqrt(common) * rng.standard_normal((boxes * slices, 1))
    own = np.sqrt(1 - common) * rng.standard_normal((boxes * slices, BINS))
    power = np.ones((boxes * slices, 31))
    power[:, :BINS] = np.exp(0.3 * (shared + own))
    return table({"power": power}, np.repeat(np.arange(boxes), slices))


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_it_is_the_correlation_matrix_of_all_fields(rng):
    of = samples(rng, 7, 6, 0.4)
    found = correlations.correlation(correlations.multiply(of, np.arange(BINS)))[0]
    expected = np.corrcoef(np.log(of["power"].samples[:, :BINS]).T)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_resample_is_the_matrix_of_the_simulations_drawn(rng):
    of = samples(rng, 5, 8, 0.4)
    counts = np.array([[2.0, 0.0, 1.0, 2.0, 0.0]])
    rows = np.concatenate([np.flatnonzero(of.simulation == i) for i in (0, 0, 2, 3, 3)])
    found = correlations.correlation(correlations.multiply(of, np.arange(BINS)), counts)[0]
    expected = np.corrcoef(np.log(of["power"].samples[rows, :BINS]).T)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("common", [0.2, 0.8])
def test_the_mean_off_the_diagonal_is_what_the_bins_share(rng, common):
    products = correlations.multiply(samples(rng, 400, 10, common), np.arange(BINS))
    found = correlations.off_diagonal(correlations.correlation(products))[0]
    # (1 - R^2) / sqrt(4000) is the error of one pair; ten pairs do no worse
    assert found == pytest.approx(common, abs=3 * (1 - common**2) / np.sqrt(4000))


def slices(rng, boxes, count, common, scatter, first=0):
    """Return slices whose mean density m scatters: P has a factor m^2, and of the rest bins share a part `common` of their variance."""
    number = boxes * count
    shared = np.sqrt(common) * rng.standard_normal((number, 1))
    own = np.sqrt(1 - common) * rng.standard_normal((number, K.size))
    mean = np.exp(scatter * rng.standard_normal((number, 1)))
    power = np.exp(0.3 * (shared + own)) * mean**2
    return table({"power": power, "mean_density": mean}, first + np.repeat(np.arange(boxes), count))


def read(products):
    covariance = correlations.covariance(products)
    return {name: float(correlations.NUMBERS[name](covariance)[0]) for name in products.numbers}


def test_the_mean_of_a_slice_moves_all_its_bins_and_not_those_over_it(rng):
    """ln P scatters by .3 in the bins and by 2 x .3 with the mean: of the variance .8 is shared by all, and of the rest .2."""
    found = read(correlations.multiply(slices(rng, 400, 10, 0.2, 0.3), np.arange(K.size)))
    assert found[CORRELATION] == pytest.approx(0.8 + 0.2 * 0.2, abs=0.02)
    assert found[OWN_CORRELATION] == pytest.approx(0.2, abs=0.05)
    assert found[MEAN_SCATTER] == pytest.approx(0.3, rel=0.05)


def test_fields_of_one_mean_density_have_no_other_numbers(rng):
    whole = correlations.multiply(samples(rng, 20, 10, 0.2), np.arange(BINS))
    assert whole.numbers == [CORRELATION]
    sides = [correlations.multiply(slices(rng, 20, 10, 0.2, s), np.arange(BINS)) for s in (0, 1e-6)]
    assert [side.numbers for side in sides] == [[CORRELATION]] * 2


@pytest.mark.parametrize(
    ("exponent", "wrong"),
    [(-2, ["correlation ratio", "scatter ratio"]), (0, ["correlation ratio over own means"])],
)
def test_slices_that_all_have_the_mean_of_their_box_fail(rng, exponent, wrong):
    """Also if their power is right, or right for that mean: what it would have moved is then elsewhere."""
    truth, training, made = (
        slices(rng, boxes, 12, 0.2, 0.3, first)
        for boxes, first in ((20, 100), (20, 200), (30, 300))
    )
    mean = made["mean_density"].samples
    power = made["power"].samples * mean**exponent
    flat = changed(made, mean_density=np.ones_like(mean), power=power)
    for candidate, failed in ((made, set()), (flat, {"scatter ratio of means", *wrong})):
        verdict = judge({"emulated": candidate}, truth, training=training)
        scores = {s.name: s.outcome for s in verdict.about.scorecard}
        assert {name for name in scores if scores[name] == FAIL} == failed
        assert (conclude(verdict.about, []) == FAIL) == bool(failed)
    for key in (CORRELATION, OWN_CORRELATION, MEAN_SCATTER):
        assert 0 < verdict.floors[key].median < verdict.floors[key].high


def test_the_interval_of_the_ratio_covers_it(rng):
    inside = 0
    for _ in range(100):
        sides = [samples(rng, n, 6, c) for n, c in ((20, 0.3), (12, 0.6))]
        one, two = (correlations.multiply(side, np.arange(BINS)) for side in sides)
        ratio = correlations.weigh(one, two, None, rng, 200).ratios[CORRELATION]
        inside += ratio.low <= 0.5 <= ratio.high
    # 95 +- 2.2, and some per cent less or more for the skewness of a ratio of few simulations
    assert 86 <= inside <= 100


def test_the_verdict_tells_an_emulator_whose_bins_vary_alone(run):
    power = run["emulated"]["power"].samples
    rng = np.random.default_rng(3)
    alone = np.stack([rng.permutation(column) for column in power.T], axis=1)
    for emulated, outcomes in (
        (run["emulated"], (PASS, CANNOT_TELL)),
        (changed(run["emulated"], power=alone), (FAIL,)),
    ):
        verdict = judge({"emulated": emulated}, run["test"], training=run["train"])
        score = next(s for s in verdict.about.scorecard if s.name == "correlation ratio")
        assert score.outcome in outcomes
        assert 0 < verdict.floors[CORRELATION].median < verdict.floors[CORRELATION].high
        assert matrices_figure(verdict).startswith("data:image/svg+xml")


def test_what_learned_owes_the_error_of_its_training_set(run):
    """Unless it makes fields from initial conditions: then it is as if there were none."""
    widths = []
    for training, known in ((run["train"], ()), (run["train"], ("emulated",)), (None, ())):
        verdict = judge(
            {"emulated": run["emulated"]}, run["test"], training=training, conditional=known
        )
        ratio = verdict.about.correlation.ratios[CORRELATION]
        bins = verdict.about.results["power"].bins
        widths.append([ratio.high - ratio.low, bins[0].high - bins[0].low])
        assert verdict.about.learned == (training is not None and not known)
    owing, conditional, alone = np.array(widths)
    assert (owing > conditional).all()
    np.testing.assert_array_equal(conditional, alone)


def test_simulations_that_do_not_vary_have_no_correlation_and_break_nothing(run):
    power = np.ones_like(run["test"]["power"].samples)
    verdict = judge({"A": run["emulated"]}, changed(run["test"], power=power))
    score = next(s for s in verdict.about.scorecard if s.name == "correlation ratio")
    assert np.isnan(score.value.value)
    assert score.outcome == CANNOT_TELL
