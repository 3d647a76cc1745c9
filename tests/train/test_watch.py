"""Broken samplers raise their alarms, and a right one raises none."""

import numpy as np
import pytest

from cosmogan.statistics import battery
from cosmogan.train.reading import READ
from cosmogan.train.watch import RANGES, Watch, alarms, differ

BOX = 100.0
COUNT = 150


def lognormal(count, rng, *, modes=None):
    """Fields of a red spectrum, exp(g - <g^2> / 2)."""
    n = np.fft.fftfreq(16) * 16, np.fft.rfftfreq(16) * 16
    k = np.hypot(*np.meshgrid(*n, indexing="ij"))
    k[0, 0] = np.inf
    g = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((count, 16, 16))) * k**-0.8)
    return np.exp(g / 0.15 * 0.5 - 0.2).astype(np.float32)


def measure(fields):
    return battery.measure(fields, BOX, READ)


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
    numbers = {"coverage": 0.0, "progress": 2.0, "gap": 1.0}
    assert alarms(numbers, late=False) == ["gap"]
    assert alarms(numbers) == ["coverage", "progress", "gap"]


@pytest.mark.parametrize("name", RANGES)
def test_every_number_has_an_end_to_what_is_well(name):
    low, high = RANGES[name]
    healthy = 0.0 if name == "gap" else 0.9
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
