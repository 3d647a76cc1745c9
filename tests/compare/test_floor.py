"""The floor, the overall null and the contests: calibrated on what is right and on what is broken."""

import numpy as np
import pytest
import scipy.fft

from cosmogan.compare import floor
from cosmogan.compare.contrast import Contrast
from cosmogan.compare.rules import Rules, make_yardsticks
from cosmogan.compare.units import SCATTER, Units, columns, join, reduce_to_units
from cosmogan.compare.verdict import judge
from cosmogan.statistics import battery
from cosmogan.statistics.table import StatisticsTable
from tests.compare import damage

RESAMPLES = 300


def contrast(candidate, truth, training=None, others=()):
    yardsticks = make_yardsticks(truth, Rules())
    sides = [candidate, truth, *([] if training is None else [training])]
    units = [
        reduce_to_units(
            {y.source: t[y.source].samples for y in yardsticks}, t.simulation, yardsticks
        )
        for t in (*sides, *others)
    ]
    widths = [y.columns.size for y in yardsticks]
    pooled = units[1:2] + units[len(sides) :] + units[2 : len(sides)]
    return Contrast(
        candidate=units[0],
        truth=units[1],
        training=units[2] if training is not None else None,
        pool=join(pooled),
        signed=np.repeat([y.signed for y in yardsticks], widths),
        scatter=np.repeat([y.name == SCATTER for y in yardsticks], widths),
    )


def alarm(found, rng):
    return floor.overall(found.deviation, floor.null_deviations(found, rng, RESAMPLES)).alarm


def memoriser_alarms(universe):
    training, validation, truth = (universe.simulations(n) for n in (16, 4, 8))
    made = universe.memoriser(training, 60)
    return alarm(contrast(made, truth, training, [validation]), universe.rng)


def another_draw_alarms(universe):
    training, validation, truth = (universe.simulations(n) for n in (16, 4, 8))
    return alarm(contrast(training, truth, None, [training, validation]), universe.rng)


def conditional_alarms(universe):
    """Of who owes no training set: its boxes start from initial conditions that nobody has seen."""
    training, validation, truth = (universe.simulations(n) for n in (16, 4, 8))
    return alarm(
        contrast(universe.simulations(40), truth, None, [training, validation]), universe.rng
    )


def lone_pair_alarms(universe):
    return alarm(contrast(universe.simulations(20), universe.simulations(8)), universe.rng)


@pytest.mark.parametrize(
    ("comparison", "fewest"),
    [
        (memoriser_alarms, 4),
        (another_draw_alarms, 2),
        (conditional_alarms, 2),
        (lone_pair_alarms, 0),
    ],
)
def test_a_perfect_emulator_is_accused_in_one_case_of_twenty(universe, comparison, fewest):
    """Of 250 comparisons 12.5 +- 3.4 alarm; the limits are those of three sigma.

    What is drawn from the whole pool is exact, what is resampled from few rows of its own is
    conservative: it may accuse less often, never more.
    """
    alarms = sum(comparison(universe) for _ in range(250))
    assert fewest <= alarms <= 23


def lognormal_fields(rng, count, strength=1.0):
    """Return lognormal fields of a red spectrum, (count, 32, 32)."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(32) * 32, np.fft.rfftfreq(32) * 32, indexing="ij"))
    k[0, 0] = 1
    amplitude = k**-0.8
    amplitude[0, 0] = 0
    gauss = scipy.fft.irfft2(scipy.fft.rfft2(rng.standard_normal((count, 32, 32))) * amplitude)
    gauss *= 3.0 * strength
    return np.exp(gauss - gauss.var() / 2).astype(np.float32)


def measured(fields, simulation, name, like):
    return StatisticsTable(
        source=name,
        source_sha256="",
        attributes={"dimension": 2, "box_size": 100.0, "cell_size": 100 / 32, "thickness": 6.25},
        origin=like(simulation),
        parameters=np.zeros((len(fields), 0)),
        statistics=battery.measure(fields, 100.0),
    )


@pytest.fixture(scope="module")
def world():
    """Return training, validation and held-out tables of a lognormal universe, and its fields."""
    from cosmogan.fields.layout import ORIGIN_DTYPE

    def like(simulation):
        origin = np.zeros(len(simulation), dtype=ORIGIN_DTYPE)
        origin["simulation"] = simulation
        return origin

    rng = np.random.default_rng(12)
    sides = []
    for name, first, boxes in (("train", 0, 16), ("validation", 16, 4), ("test", 20, 8)):
        fields = lognormal_fields(rng, boxes * 48)
        simulation = np.repeat(np.arange(first, first + boxes), 48)
        sides.append(measured(fields, simulation, name, like))
    return sides, lognormal_fields(rng, 300), like


@pytest.mark.parametrize("damage", damage.OF_STATISTICS)
def test_a_broken_emulator_is_told_from_simulations(world, damage):
    (training, validation, truth), fields, like = world
    rng = np.random.default_rng(5)
    made = measured(damage(fields, rng), np.arange(1000, 1300), damage.__name__, like)
    verdict = judge({"emulated": made}, truth, training=training, validation=validation)
    assert verdict.about.overall.alarm


def test_an_emulator_that_is_not_broken_is_not_told_from_simulations(world):
    (training, validation, truth), fields, like = world
    made = measured(fields, np.arange(1000, 1300), "untouched", like)
    verdict = judge({"emulated": made}, truth, training=training, validation=validation)
    assert not verdict.about.overall.alarm
    assert not verdict.candidates["another draw"].overall.alarm


def gaussian_units(rng, simulations, bins=400, scatter=0.05):
    nothing = np.empty((simulations, 0))
    rows = 1 + scatter * rng.standard_normal((simulations, bins))
    return Units(means=rows, logs=nothing, squares=nothing, fields=simulations)


def plain_contrast(candidate, truth, pool, training=None):
    bins = np.zeros(truth.means.shape[1], dtype=bool)
    return Contrast(
        candidate=candidate, truth=truth, training=training, pool=pool, signed=bins, scatter=bins
    )


@pytest.mark.parametrize(
    ("sizes", "disjoint"),
    [((12, 4), True), ((60, 8), False), ((12, 6, 4), True), ((60, 16, 8), False)],
)
def test_the_floor_is_the_deviation_of_draws_of_these_sizes(sizes, disjoint):
    """Candidate, training if its error is owed, and truth: all three errors add up."""
    rng = np.random.default_rng(2)
    one, *training, other = (gaussian_units(rng, n) for n in sizes)
    pool = join([one, *training, other]) if disjoint else gaussian_units(rng, 40)
    contrast = plain_contrast(one, other, pool, *training)
    found = floor.floors(contrast, {"power": slice(0, 400)}, 500, rng)
    # the mean of all is known as well as the pool is large, and is no error of a part of it
    known = len(training) / len(pool) if disjoint else 0
    expected = np.sqrt(2 / np.pi) * 0.05 * np.sqrt(sum(1 / size for size in sizes) - known)
    # the pool's own scatter is known to some per cent, 400 bins being independent
    assert found["power"].median == pytest.approx(expected, rel=0.07)
    assert found["power"].median < found["power"].high < 1.3 * expected
    assert (found["power"].sizes, found["power"].disjoint) == (sizes, disjoint)


def test_no_resample_leaves_a_p_value_of_zero():
    null = np.random.default_rng(0).standard_normal((199, 5))
    found = floor.overall(np.array([0.0, -50.0, 1.0, 0.0, 0.0]), null)
    assert (found.largest, found.column, found.p_value) == (-50.0, 1, 1 / 200)
    assert found.alarm
    assert not floor.overall(np.zeros(5), null).alarm


def test_p_values_are_uniform_under_their_own_null():
    rng = np.random.default_rng(1)
    null = rng.standard_normal((400, 5))
    p = [floor.overall(row, null).p_value for row in rng.standard_normal((400, 5))]
    # Kolmogorov's 1 % limit for 400 values against 400 resamples
    assert np.abs(np.sort(p) - np.arange(1, 401) / 401).max() < 1.63 * np.sqrt(2 / 400)


def test_an_interval_of_resamples_covers_a_mean():
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(400):
        rows = rng.standard_normal(8)
        draws = rows[rng.integers(0, 8, (400, 8))].mean(axis=1)
        found = floor.measured(float(rows.mean()), draws, 8)
        inside += found.low <= 0 <= found.high
    # 380 +- 4.4, and up to 2 % for the discreteness of eight rows
    assert 364 <= inside <= 396


def test_blocks_of_resamples_do_not_change_their_law(universe, monkeypatch):
    found = contrast(universe.simulations(12), universe.simulations(8))
    whole = floor.null_deviations(found, np.random.default_rng(1), 400)
    monkeypatch.setattr(floor, "_BLOCK", 12 * 37)
    parts = floor.null_deviations(found, np.random.default_rng(1), 400)
    assert parts.shape == whole.shape
    quantiles = [np.quantile(np.abs(n).max(axis=1), 0.5) for n in (whole, parts)]
    # the median of 400 draws scatters by some 3 %
    assert quantiles[0] == pytest.approx(quantiles[1], rel=0.15)


def test_training_simulations_widen_the_resampled_ratios(universe):
    training, truth = universe.simulations(8), universe.simulations(8)
    made = universe.memoriser(training)
    counts = floor.draw_with_replacement(universe.rng, 400, 8)
    spreads = [
        floor.bootstrap_ratios(contrast(made, truth, t), counts, universe.rng).std(axis=0)
        for t in (training, None)
    ]
    at = columns(make_yardsticks(truth, Rules()))["power"]
    # both sides have eight boxes: the variance doubles
    ratio = np.median(spreads[0][at] / spreads[1][at])
    assert ratio == pytest.approx(np.sqrt(2), rel=0.2)
