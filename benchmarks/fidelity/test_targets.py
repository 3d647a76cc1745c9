"""The worst seed is shown, and no target is claimed that simulations miss."""

import copy

import pytest

from benchmarks.fidelity.serve import PROMISED
from benchmarks.fidelity.targets import ERRORS, RATIOS, Row, _left_open, rows, table, worst

SETS = ("train", "emulated", "counterparts", "between")


def measured(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def curve(*values):
    return {"value": list(values), "low": list(values), "high": list(values)}


@pytest.fixture
def card():
    """Of a perfect emulator, but that the mean of its draws leaves something open."""
    floors = [*ERRORS, *(of for _, _, of in RATIOS.values())]
    forecast = {f"{name}, both free": measured(1.0) for name in ("Omega_m", "sigma_8")}
    return {
        "seed": 1,
        "errors": {name: measured(0.0) for name in ERRORS},
        "scores": {name: measured(1.0) for name in RATIOS},
        "floor": {name: {"median": 0.005, "high": 0.009} for name in floors},
        "mean_scatter": {name: measured(1.0) for name in SETS},
        "forecast": {name: copy.deepcopy(forecast) for name in SETS},
        "promise_floor": {name: {"median": 0.01, "high": 0.05} for name in PROMISED},
        "pairs": {
            "k": [0.1, 0.4, 0.8],
            "mean": curve(0.9, 0.8, 0.7),
            "draw": curve(0.81, 0.64, 0.49),
            "between": curve(0.81, 0.64, 0.49),
            "transfer": curve(1.0, 1.0, 1.0),
            "spread": measured(1.0),
            "against_2lpt": {"r": curve(0.5, 0.4, 0.3), "left_open": curve(0.19, 0.38, 0.57)},
        },
    }


def by_label(found):
    return {row.label: row for row in found}


def test_a_perfect_emulator_reaches_all_that_is_asked(card):
    found = rows(card)
    asked = [row for row in found if row.passes or row.within_errors]
    assert len(asked) == 22
    assert all(row.reached == "yes" for row in asked)


@pytest.mark.parametrize("known", [0.2, 0.5, 0.9])
def test_sixteen_draws_leave_more_open_than_all_of_them(known):
    """Draws and truth share so much of their variance: r(draw, truth) = g, and r(mean, truth) is known for any number of draws."""
    bare = 0.3
    pairs = {
        "between": curve(known),
        "against_2lpt": {"r": curve(bare), "left_open": curve((1 - known**0.5) / (1 - bare))},
    }
    expected = (1 - known / ((1 + 15 * known) / 16) ** 0.5) / (1 - bare)
    (found,) = _left_open(pairs)["value"]
    assert found == pytest.approx(expected)
    assert found > pairs["against_2lpt"]["left_open"]["value"][0]


@pytest.mark.parametrize(
    ("label", "spoil"),
    [
        ("mean P(k), k < 0.7 k_Nyquist", lambda c: c["errors"].update(power=measured(0.06))),
        ("scatter of ln P", lambda c: c["scores"].update({"scatter ratio": measured(0.84)})),
        (
            "scatter of the mean density of slices",
            lambda c: c["mean_scatter"].update(emulated=measured(1.2)),
        ),
        (
            "forecast error of sigma_8",
            lambda c: c["forecast"]["emulated"].update({"sigma_8, both free": measured(0.88)}),
        ),
        (
            "forecast error of Omega_m, box by box",
            lambda c: c["forecast"]["counterparts"].update({"Omega_m, both free": measured(1.11)}),
        ),
        (
            "1 - r of the mean of 16 draws over that of 2LPT, k <= 0.5 h/Mpc",
            lambda c: c["pairs"]["against_2lpt"].update(left_open=curve(0.2, 0.49, 0.57)),
        ),
        (
            "the same, every k",
            lambda c: c["pairs"]["against_2lpt"].update(left_open=curve(0.19, 0.38, 1.0)),
        ),
        (
            "r(draw, truth) over r(mean, truth)^2",
            lambda c: c["pairs"].update(mean=curve(0.9, 0.85, 0.7)),
        ),
        (
            "spread of draws about their mean, over what that misses",
            lambda c: c["pairs"].update(spread=measured(0.95)),
        ),
        ("power of single draws", lambda c: c["pairs"].update(transfer=curve(0.97, 1.0, 1.0))),
    ],
)
def test_what_one_seed_misses_is_not_reached(card, label, spoil):
    bad = copy.deepcopy(card) | {"seed": 2}
    spoil(bad)
    for cards in ([card, bad], [bad, card]):
        found = worst(cards)
        (row, of) = next((row, of) for row, of in found if row.label == label)
        assert (row.reached, of["seed"]) == ("no", 2)
        assert sum(row.reached == "no" for row, _ in found) == 1


def test_no_target_is_claimed_that_simulations_miss(card):
    card["floor"]["power"]["high"] = 0.051
    card["floor"]["mean_density"]["high"] = 0.011
    card["promise_floor"]["Omega_m, both free"]["high"] = 0.11
    card["forecast"]["between"]["sigma_8, both free"] = measured(0.88)
    floored = [row.label for row in rows(card) if row.reached == "floor"]
    assert floored == [
        "ensemble mean density",
        "mean P(k), k < 0.7 k_Nyquist",
        "forecast error of Omega_m",
        "forecast error of sigma_8, box by box",
    ]


def test_what_reaches_out_of_a_target_is_open(card):
    card["errors"]["power"] = {"value": 0.03, "low": -0.01, "high": 0.051}
    card["scores"]["scatter ratio"] = {"value": 0.9, "low": 0.84, "high": 0.96}
    card["errors"]["pdf"] = {"value": 0.03, "low": -0.02, "high": 0.08}  # no error is below 0
    opened = [row.label for row in rows(card) if row.reached == "open"]
    assert opened == ["scatter of ln P", "mean P(k), k < 0.7 k_Nyquist"]


def test_a_seed_that_misses_is_worse_than_one_that_is_farther_and_does_not(card):
    loose, tight = (copy.deepcopy(card) | {"seed": seed} for seed in (2, 3))
    loose["pairs"]["spread"] = {"value": 1.1, "low": 0.95, "high": 1.25}
    tight["pairs"]["spread"] = {"value": 1.05, "low": 1.02, "high": 1.08}
    loose["scores"]["scatter ratio"] = measured(1.1)
    tight["scores"]["scatter ratio"] = {"value": 1.05, "low": 0.9, "high": 1.2}
    for cards in ([loose, tight], [tight, loose]):
        found = {row.label: (row.reached, of["seed"]) for row, of in worst(cards)}
        assert found["spread of draws about their mean, over what that misses"] == ("no", 3)
        assert found["scatter of ln P"] == ("open", 3)


def test_no_number_is_the_worst_of_all(card):
    bad = copy.deepcopy(card) | {"seed": 2}
    bad["errors"]["power"] = measured(float("nan"))
    bad["scores"]["scatter ratio"] = measured(float("nan"))
    for cards in ([card, bad], [bad, card]):
        missed = [(row.label, of["seed"]) for row, of in worst(cards) if row.reached == "no"]
        assert missed == [("scatter of ln P", 2), ("mean P(k), k < 0.7 k_Nyquist", 2)]


@pytest.mark.parametrize(
    ("value", "distance"), [(1.18, 1), (1.09, 0.5), (1.0, 0), (0.85, 1), (0.7, 2)]
)
def test_distance_is_counted_on_its_own_side(value, distance):
    row = Row(label="scatter", passes=(0.85, 1.18), ideal=1, value=value)
    assert row.distance == pytest.approx(distance)


def test_the_table_says_of_which_seed(card):
    other = copy.deepcopy(card) | {"seed": 3}
    other["errors"]["pdf"] = measured(0.04)
    lines = [line for line in table([card, other]).splitlines() if line.startswith("| PDF")]
    assert lines == ["| PDF of rho | 0.1 | 0.040 (0.030 to 0.050) | 3 | 0.005 (0.009) | yes |"]
    assert by_label(rows(other))["PDF of rho"].value == 0.04
