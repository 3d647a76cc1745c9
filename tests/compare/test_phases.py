"""Coherence against samplers whose answers are known in closed form."""

import numpy as np
import pytest

from cosmogan.compare.phases import coherence, jackknife, left_open, phases, spectra

GRID, BOX, SLICES = 16, 100.0, 40


class Sampler:
    """White fields of which a share `known` of the power is fixed by the initial conditions."""

    def __init__(self, seed, known=0.6, simulations=12):
        self.rng = np.random.default_rng(seed)
        self.known = known
        self.simulation = np.repeat(np.arange(simulations), SLICES)
        self.shared = self._white(self.simulation.size)

    def _white(self, number):
        return self.rng.standard_normal((number, GRID, GRID))

    def draw(self, scatter=1.0, amplitude=1.0):
        rest = scatter * np.sqrt(1 - self.known) * self._white(len(self.shared))
        return 1 + amplitude * 0.1 * (np.sqrt(self.known) * self.shared + rest)

    def measure(self, draws, truth, **how):
        number = len(truth)
        partners = np.arange(number)[:, None] + number * np.arange(len(draws))
        made = np.concatenate(draws)
        return spectra(made, truth, np.arange(number), partners, self.simulation, BOX, **how)


def inside(curve, value):
    """Share of the shells whose interval holds the value."""
    return float(np.mean((curve.low <= value) & (value <= curve.high)))


@pytest.mark.parametrize("known", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("draws", [2, 5])
def test_a_correct_sampler_has_the_coherence_it_must_have(known, draws):
    world = Sampler(1, known)
    found = phases(world.measure([world.draw() for _ in range(draws)], world.draw()), draws)
    for curve, value in (
        (found.draw, known),
        (found.between, known),
        (found.mean, np.sqrt(known)),
        (found.transfer, 1.0),
        (found.spread, 1.0),
    ):
        assert np.median(np.abs(curve.value - value)) < 0.03
        assert inside(curve, value) >= 0.7


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = []
    for seed in range(40):
        world = Sampler(100 + seed, simulations=8)
        found = phases(world.measure([world.draw(), world.draw()], world.draw()), 2)
        held += [inside(found.draw, 0.6), inside(found.transfer, 1.0), inside(found.spread, 1.0)]
    assert 0.92 < np.mean(held) < 0.98


def test_a_network_that_always_answers_the_same_has_no_spread():
    world = Sampler(2)
    draw = world.draw()
    found = phases(world.measure([draw, draw, draw], world.draw()), 3)
    assert np.abs(found.spread.value).max() < 1e-12
    assert found.between.value == pytest.approx(1)


def test_too_bold_and_too_timid_samplers_show_in_spread_and_amplitude():
    world = Sampler(3)
    truth = world.draw()
    timid = phases(world.measure([world.draw(scatter=0.5) for _ in range(3)], truth), 3)
    bold = phases(world.measure([world.draw(scatter=1.5) for _ in range(3)], truth), 3)
    assert timid.spread.high.max() < 1 < bold.spread.low.min()
    assert timid.transfer.high.max() < 1 < bold.transfer.low.min()


def test_amplitude_changes_the_transfer_alone():
    world, other = Sampler(4), Sampler(4)
    plain = world.measure([world.draw(), world.draw()], world.draw())
    loud = other.measure(
        [other.draw(amplitude=1.2), other.draw(amplitude=1.2)], other.draw(amplitude=1.0)
    )
    plain, loud = phases(plain, 2), phases(loud, 2)
    np.testing.assert_allclose(loud.transfer.value, 1.2 * plain.transfer.value)
    for name in ("draw", "mean", "between", "spread"):
        np.testing.assert_allclose(getattr(loud, name).value, getattr(plain, name).value)


def test_one_draw_is_its_own_mean():
    world = Sampler(5)
    of = world.measure([world.draw()], world.draw())
    np.testing.assert_allclose(of["mean"], of["draw"])
    found = phases(of, 1)
    assert found.mean is found.between is found.spread is None


def test_what_a_right_sampler_knows_is_not_held_against_it():
    """Its mean of many draws is as near as theory that knows all of it, however few draws are at hand."""
    world = Sampler(6)
    truth = world.draw()
    theory = world.measure([world.draw(scatter=0.0)], truth)
    for draws in (2, 8):
        own = world.measure([world.draw() for _ in range(draws)], truth)
        assert np.median(left_open(own, draws, theory)) == pytest.approx(1, abs=0.02)


def test_a_perfect_prediction_leaves_nothing_open():
    world = Sampler(11)
    truth = world.draw()
    theory = world.measure([world.draw()], truth)
    perfect = world.measure([truth, truth], truth)
    assert np.abs(left_open(perfect, 2, theory)).max() < 1e-5


def test_a_lone_simulation_has_no_error():
    world = Sampler(7, simulations=1)
    found = phases(world.measure([world.draw(), world.draw()], world.draw()), 2)
    assert (found.draw.low == -1).all()
    assert (found.draw.high == 1).all()
    assert (found.transfer.low == 0).all()
    assert np.isinf(found.transfer.high).all()


def test_the_jackknife_of_a_mean_is_the_error_of_the_mean():
    x = np.exp(0.1 * np.random.default_rng(8).standard_normal((9, 3)))
    found = jackknife({"x": x}, lambda of: of["x"])
    error = x.std(axis=0, ddof=1) / 3 / x.mean(axis=0)
    np.testing.assert_allclose(np.log(found.high / found.value), 2.306 * error, rtol=0.02)


def test_fields_are_read_a_few_at_a_time_with_the_same_result():
    world, other = Sampler(9), Sampler(9)
    whole = world.measure([world.draw()], world.draw())
    parts = other.measure([other.draw()], other.draw(), at_a_time=7, workers=2)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-12)


def test_cubes_have_phases_too():
    rng = np.random.default_rng(10)
    cubes = 1 + 0.1 * rng.standard_normal((4, 8, 8, 8))
    rows = np.arange(4)
    found = spectra(cubes, cubes, rows, rows[:, None], rows, BOX)
    assert coherence(found) == pytest.approx(np.ones_like(found["truth"]))
