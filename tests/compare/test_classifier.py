"""The classifier: blind where nothing differs, keen where something does, and honest about how sure."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.compare.classifier import BLURRED, Classifier, Side, blur, classify, split
from cosmogan.compare.placements import HEARD, Scores, weigh
from cosmogan.errors import LayoutError, RecipeError, SplitError, TrainingError
from tests.compare import damage
from tests.compare.test_floor import lognormal_fields

STEPS = 40


def sides(seed=0, work=lambda fields, _rng: fields, boxes=(16, 12, 8), slices=8):
    """Emulated, training and true fields: drawn at once, since a draw is scaled by its own variance.

    Drawn one by one the sides differ by a factor of 1.001, and the classifier finds it.
    """
    rng = np.random.default_rng(seed)
    parts = np.split(lognormal_fields(rng, sum(boxes) * slices), np.cumsum(boxes)[:-1] * slices)
    parts[0] = work(parts[0], rng)
    numbers = [
        np.repeat(first + np.arange(n), slices)
        for first, n in zip((0, 100, 200), boxes, strict=True)
    ]
    return [Side(fields=f, simulation=n) for f, n in zip(parts, numbers, strict=True)]


def scores(rng, boxes, slices, shift=0.0, box=0.5):
    effect = np.repeat(box * rng.standard_normal(boxes), slices)
    return Scores(
        score=shift + effect + rng.standard_normal(boxes * slices),
        simulation=np.repeat(np.arange(boxes), slices),
    )


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_the_area_is_the_share_of_pairs_in_the_right_order_ties_counted_half(rng):
    one, other = (np.round(3 * rng.standard_normal(n)) for n in (40, 60))
    pairs = (one[:, None] > other) + 0.5 * (one[:, None] == other)
    found = weigh(
        Scores(score=one, simulation=np.arange(40) // 4),
        Scores(score=other, simulation=np.arange(60) // 6),
    )
    assert found.auc == pytest.approx(pairs.mean(), rel=1e-12)
    assert (found.fields, found.simulations) == ((40, 60), (10, 10))


def test_only_the_order_of_scores_counts(rng):
    one, other = scores(rng, 10, 6), scores(rng, 8, 6, -0.4)
    plain = weigh(one, other)
    bent = weigh(
        *(Scores(score=np.exp(2 * s.score) + 1, simulation=s.simulation) for s in (one, other))
    )
    assert bent == plain
    mirrored = weigh(other, one)
    assert mirrored.auc == pytest.approx(1 - plain.auc)


@pytest.mark.parametrize(("sizes", "owed"), [((20, 8), 0), ((30, 30), 0), ((20, 8), 4)])
def test_noise_with_box_effects_is_accused_in_one_case_of_twenty(rng, sizes, owed):
    """Of 400, 20 +- 4.4; three sigma are 7 and 33. Who owes shares the luck of so many simulations."""
    luck = np.sqrt((0.5**2 + 1 / 12) / owed) if owed else 0.0  # of the mean of their scores
    found = [
        weigh(
            scores(rng, sizes[0], 12, luck * rng.standard_normal()),
            scores(rng, sizes[1], 12),
            owed=owed,
        )
        for _ in range(400)
    ]
    assert 7 <= sum(f.alarm for f in found) <= 33
    if not owed:  # the interval has two sides, so as many miss
        assert 7 <= sum(not f.low <= 0.5 <= f.high for f in found) <= 33


def test_fields_counted_for_simulations_would_accuse_too_often(rng):
    """The guard of the test above: with each field a simulation of its own the rate is many times 5 %."""
    alone = 0
    for _ in range(100):
        pair = [scores(rng, n, 12) for n in (20, 8)]
        free = (Scores(score=s.score, simulation=np.arange(s.score.size)) for s in pair)
        alone += weigh(*free).alarm
    assert alone > 12


def test_a_lone_simulation_can_never_accuse(rng):
    found = weigh(scores(rng, 10, 6, 5.0), scores(rng, 1, 6))
    assert found.auc > 0.9
    assert (found.low, found.high, found.p_value, found.alarm) == (0, 1, 1, False)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_no_simulation_is_on_both_sides_and_no_field_is_lost(numbers, seed):
    simulation = np.array(numbers, dtype=np.int64)
    fields = np.zeros((len(numbers), 2, 2), np.float32)
    fields[:, 0, 0] = np.arange(len(numbers))
    whole = Side(fields=fields, simulation=simulation)
    if np.unique(simulation).size < 2:
        with pytest.raises(SplitError, match="emulate at least two"):
            split(whole, seed)
        return
    one, other = split(whole, seed)
    assert not np.intersect1d(one.simulation, other.simulation).size
    rows = np.concatenate([part.fields[:, 0, 0] for part in (one, other)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(numbers)))
    assert abs(np.unique(one.simulation).size - np.unique(other.simulation).size) <= 1


def test_fields_of_one_kind_are_not_told_apart():
    """Of 8, 0.4 alarms; three or more come once in 170."""
    found = [classify(*sides(seed), seed=seed, steps=STEPS) for seed in range(8)]
    assert sum(f.alarm for f in found) <= 2
    assert sum(f.low <= 0.5 <= f.high for f in found) >= 6


def test_fields_without_structure_are_told_at_once():
    found = classify(*sides(work=damage.shuffled), steps=STEPS)
    assert found.auc > 0.9
    assert found.alarm


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_smooth_fields_are_told_whatever_the_first_weights(seed):
    """A network that sees what all fields share louder than what differs is at 0.7 to 0.86 here."""
    found = classify(*sides(seed, damage.smoothed), seed=seed, steps=60)
    assert found.auc > 0.9
    assert found.alarm


def test_a_score_does_not_depend_on_the_fields_beside_it(monkeypatch):
    """But for rounding, which may swap a pair in a thousand."""
    whole = classify(*sides(), steps=STEPS)
    monkeypatch.setattr("cosmogan.compare.classifier._SCORED", 5)
    assert classify(*sides(), steps=STEPS).auc == pytest.approx(whole.auc, abs=1e-3)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_same_seed_gives_the_same_bits_and_the_caller_notices_nothing(threads):
    torch.manual_seed(3)
    before, found = torch.get_rng_state(), []
    for seed, number in ((1, 2), (1, 1), (2, 2)):
        threads(number)
        found.append(classify(*sides(), seed=seed, steps=5))
        assert torch.get_num_threads() == number
    assert found[0] == found[1] != found[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_it_computes_on_one_thread_since_rounding_depends_on_their_number(threads):
    threads(2)
    seen = []
    classify(*sides(), steps=2, progress=lambda *_: seen.append(torch.get_num_threads()))
    assert seen == [1, 1]


def test_progress_counts_steps():
    told = []
    classify(*sides(), steps=3, progress=lambda *state: told.append(state))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_cannot_be_judged_is_one_line():
    emulated, training, truth = sides()
    small = Side(fields=truth.fields[:, :16, :16], simulation=truth.simulation)
    odd = [Side(fields=s.fields[:, :31, :31], simulation=s.simulation) for s in sides()]
    shared = Side(fields=training.fields, simulation=training.simulation + 100)
    negative = Side(fields=-emulated.fields, simulation=emulated.simulation)
    for given_, error, message in (
        ((emulated, training, small), LayoutError, "fields of one even size"),
        (odd, LayoutError, "fields of one even size"),
        ((emulated, shared, truth), SplitError, "training and truth share simulation"),
        ((negative, training, truth), LayoutError, "give density over mean"),
    ):
        with pytest.raises(error, match=message) as caught:
            classify(*given_, steps=2)
        assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError, match="steps = 0"):
        classify(emulated, training, truth, steps=0)


@pytest.mark.parametrize(("steps", "what"), [(20, "the loss is"), (1, "a score is not finite")])
def test_what_is_not_finite_stops_it(monkeypatch, steps, what):
    monkeypatch.setattr("cosmogan.compare.classifier.LEARNING_RATE", 1e30)
    with pytest.raises(TrainingError, match=f"classifier: {what}"):
        classify(*sides(), steps=steps)


def test_scales_that_are_not_judged_are_not_seen():
    """A wave of wavenumber 13 of 16 changes no score below 0.7, and does below 1."""
    y = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    wave = torch.cos(2 * torch.pi * 13 * torch.arange(32) / 32)
    for k_max, same in ((0.7, True), (1.0, False)):
        network = Classifier(32, 2, k_max=k_max).eval()
        scores = [network(field).detach() for field in (y, y + wave)]
        assert torch.allclose(*scores, atol=1e-4) == same


@pytest.mark.parametrize("k_max", [0.5, 1.0])
def test_a_blur_lowers_the_power_as_it_says_and_keeps_the_mean(rng, k_max):
    fields = lognormal_fields(rng, 40)
    soft = blur(fields, k_max)
    grid = fields.shape[-1]
    power = [(np.abs(np.fft.rfft2(f)) ** 2).mean(axis=0) for f in (fields, soft)]
    ratio = power[1] / power[0]
    assert ratio[0, round(k_max * grid / 2)] == pytest.approx(1 - BLURRED, rel=0.02)
    assert ratio[0, 1] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(soft.mean(), fields.mean(), rtol=1e-3)
    assert soft.min() >= 0


def test_a_network_that_learns_nothing_is_found_deaf():
    """Its silence says nothing, whatever it was to tell apart."""
    found = classify(*sides(), steps=1)
    assert found.control.low < HEARD
    assert not found.alarm
    assert found.silent


def test_silence_of_few_simulations_means_nothing(rng):
    one, other = scores(rng, 60, 6), scores(rng, 60, 6)
    heard = weigh(scores(rng, 60, 6, 5.0), other)
    assert heard.alarm
    assert not weigh(one, other, control=heard).silent
    assert weigh(one, other, control=weigh(one, other)).silent
    assert weigh(scores(rng, 2, 6), scores(rng, 2, 6), control=heard).silent
