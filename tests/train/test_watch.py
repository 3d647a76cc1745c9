"""Broken samplers raise their alarms, and a right one raises none."""

import numpy as np
import pytest

from cosmogan.statistics import battery
from cosmogan.train.reading import READ
from cosmogan.train.watch import FAR, LATE, RANGES, Course, Seen, Watch, alarms, differ

BOX = 100.0
COUNT = 150


def lognormal(count, rng, *, modes=None):
    """Fields of a red spectrum, exp(g - <g^2> / 2)."""
    n = np.fft.fftfreq(16) * 16, np.fft.rfftfreq(16) * 16
    k = np.hypot(*np.meshgrid(*n, indexing="ij"))
    k[0, 0] = np.inf
    g = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((count, 16, 16))) * k**-0.8)
    return np.exp(g / 0.15 * 0.5 - 0.2).astype(np.float32)


def measure(fields, conditions=None):
    given = np.empty((len(fields), 0)) if conditions is None else conditions
    return Seen(battery.measure(fields, BOX, READ), given.astype(np.float32))


@pytest.fixture(scope="module")
def sides():
    rng = np.random.default_rng(1)
    return lognormal(COUNT, rng), lognormal(COUNT, rng)


@pytest.fixture(scope="module")
def watch(sides):
    return Watch(*map(measure, sides))


@pytest.mark.parametrize("seed", range(5))
def test_a_right_sampler_raises_no_alarm(watch, seed):
    numbers = watch.look(measure(lognormal(COUNT, np.random.default_rng(seed + 10))))
    assert alarms(numbers) == []
    for value in numbers.values():
        assert 0.85 < value < 1.2


def test_the_simulations_themselves_raise_none(watch, sides):
    """A paired exam asks for the validation fields: a perfect answer is near them, not near the others."""
    rng = np.random.default_rng(2)
    near = sides[1] * np.exp(0.02 * rng.standard_normal(sides[1].shape)).astype(np.float32)
    assert alarms(watch.look(measure(near))) == []


def test_few_fields_again_and_again_are_a_collapse(watch):
    few = lognormal(10, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    shaken = np.tile(few, (15, 1, 1)) * np.exp(0.01 * rng.standard_normal((150, 16, 16)))
    assert {"coverage", "pair_distance"} <= set(
        alarms(watch.look(measure(shaken.astype(np.float32))))
    )


def test_half_the_modes_are_a_collapse(watch):
    """Only fields of little power."""
    many = lognormal(8 * COUNT, np.random.default_rng(5))
    poor = many[np.argsort(many.std(axis=(1, 2)))[: COUNT // 2]]
    assert "coverage" in alarms(watch.look(measure(poor)))


def test_turned_and_shifted_training_fields_are_copies(watch, sides):
    copies = np.roll(sides[0][:, ::-1], (3, 5), (1, 2)).swapaxes(1, 2)
    numbers = watch.look(measure(np.ascontiguousarray(copies)))
    assert numbers["nearest"] < 0.05
    assert "nearest" in alarms(numbers)


def test_a_few_copies_among_others_are_seen(watch, sides):
    few = np.concatenate([sides[0][:30], lognormal(120, np.random.default_rng(8))])
    assert alarms(watch.look(measure(few))) == ["nearest"]


def test_draws_that_ignore_their_noise_are_told():
    rng = np.random.default_rng(6)
    mean = rng.standard_normal((20, 16, 16))
    truth, one, other = (
        (mean + rng.standard_normal(mean.shape)).astype(np.float32) for _ in range(3)
    )
    assert differ(one, other, truth) == pytest.approx(1, abs=0.1)
    assert alarms({"spread": differ(one, other, truth)}) == []
    assert differ(one, one, truth) == 0
    assert alarms({"spread": differ(one, one, truth)}) == ["spread"]
    wild = (mean + 5 * rng.standard_normal(mean.shape)).astype(np.float32)
    assert alarms({"spread": differ(wild, -wild, truth)}) == ["spread"]


@pytest.mark.parametrize("few", [1, 3, 5])
def test_beside_too_few_fields_nothing_is_said(sides, few):
    watch = Watch(*(measure(side[:few]) for side in sides))
    assert watch.look(measure(sides[0])) == {}


def test_what_takes_time_rings_late():
    numbers = dict.fromkeys(LATE, 3.0) | {"coverage": 0.0, "gap": 1.0}
    assert alarms(numbers, late=False) == ["gap"]
    assert set(alarms(numbers)) == {*LATE, "gap"}


@pytest.mark.parametrize("name", RANGES)
def test_every_number_has_an_end_to_what_is_well(name):
    low, high = RANGES[name]
    healthy = 0.0 if name in ("gap", "standstill") else 0.9
    assert alarms({name: healthy}) == []
    assert alarms({name: np.nan}) == [name]
    for edge, out in ((low, low - 1e-6), (high, high + 1e-6)):
        if np.isfinite(edge):
            assert alarms({name: out}) == [name]


def test_a_cell_that_no_simulated_field_has_hides_no_collapse(watch):
    """Where the distribution of the simulations is empty, one cell is no distance."""
    few = lognormal(10, np.random.default_rng(3))
    rng = np.random.default_rng(5)
    shaken = np.tile(few, (15, 1, 1)) * np.exp(0.01 * rng.standard_normal((150, 16, 16)))
    shaken[::2, 0, 0] = 300.0 * rng.uniform(0.5, 1, 75)  # far beyond the densest cell
    assert "pair_distance" in alarms(watch.look(measure(shaken.astype(np.float32))))


# Universes


def universes(count, rng):
    """Fields of many amplitudes, and the amplitude of each, [-1, 1]: from one to the next, ln P differs by what fields of one scatter, or more."""
    amplitude = rng.uniform(-1, 1, (count, 1))
    return lognormal(count, rng) ** (1.5 ** amplitude[..., None]), amplitude


@pytest.fixture(scope="module")
def varied():
    rng = np.random.default_rng(21)
    return Watch(*(measure(*universes(300, rng)) for _ in range(2)))


def test_a_right_sampler_of_many_universes_raises_no_alarm(varied):
    for seed in range(3):
        numbers = varied.look(measure(*universes(300, np.random.default_rng(seed + 30))))
        assert alarms(numbers) == []
        for value in numbers.values():
            assert 0.85 < value < 1.2


def test_half_the_modes_of_every_universe_are_a_collapse():
    """Fields of little power alone, in each; those of the next universe may not stand in for the others.

    Without conditions they do: the control.
    """
    rng = np.random.default_rng(22)
    amplitude = np.sort(rng.uniform(-1, 1, (1200, 1)), axis=0)
    base = lognormal(1200, rng)
    calm = base.std(axis=(1, 2)) < np.quantile(base.std(axis=(1, 2)), 0.2)
    fields = base ** (1.5 ** amplitude[..., None])
    sides = [universes(300, np.random.default_rng(seed)) for seed in (23, 24)]
    knowing = Watch(*(measure(*side) for side in sides))
    blind = Watch(*(measure(side[0]) for side in sides))
    assert alarms(knowing.look(measure(fields[calm], amplitude[calm]))) == ["coverage"]
    assert alarms(blind.look(measure(fields[calm]))) == []


# The course of the scores


def course_of(*scores):
    """Return what the last of these readings, evenly spaced to the end, says."""
    course = Course(untrained=2.0)
    for n, score in enumerate(scores, 1):
        found = course.look(score, n, len(scores))
        course.count(score, n)
    return found


@pytest.mark.parametrize(
    ("scores", "rings"),
    [
        ((1.0, 0.4, 0.43, 0.35, 0.3, 0.3, 0.26, 0.22, 0.21, 0.2), []),
        ((1.3, 0.66, 0.45, 0.52, 0.56, 0.53, 0.48, 0.56, 0.50, 0.65), []),
        ((0.88, 0.96, 0.97, 0.99, 0.97, 0.96, 0.97, 0.92, 0.93, 0.95), ["standstill"]),
        ((0.4, 0.3, 0.2, 0.7), ["relapse"]),
        ((1.8, 1.7, 1.6, 1.5), ["score"]),
        ((2.5, 2.4, 2.3, 2.2), ["progress", "score"]),
        ((5.3, 2.7, 3.4, 14.0, 2.9, 2.5, 5.3, 1.5, 6.3, 42.0), ["progress", "score", "relapse"]),
    ],
)
def test_a_training_that_goes_nowhere_is_told(scores, rings):
    assert alarms(course_of(*scores)) == rings


def test_the_best_reading_is_remembered_with_its_place():
    course = Course()
    assert [course.count(score, n) for n, score in enumerate((0.9, np.nan, 0.7, 0.7, 0.8))] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert (course.best, course.best_at) == (0.7, 2)
    assert course.look(FAR / 2, 10, 10)["standstill"] == 0, "near, it may stay where it is"
    assert course.look(0.7, 10, 10)["standstill"] == 0.8
