"""A look at many universes: halves that share nothing, and universes that differ hide no collapse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmogan.compare import classifier, everywhere, words
from cosmogan.compare.coverage import Features
from cosmogan.compare.diversity import Stratum, diversity
from cosmogan.compare.everywhere import halves, look_everywhere
from cosmogan.compare.rules import Rules
from cosmogan.compare.samples import Side
from cosmogan.errors import RecipeError
from cosmogan.fields.layout import ORIGIN_DTYPE
from tests.compare import damage
from tests.compare.test_floor import lognormal_fields, measured

RULES = Rules(seed=3, classifier_steps=12)
PAIR = ("coverage", "density")
COSMOLOGIES, BOXES, SLICES, REDSHIFTS = 3, 8, 8, (0.0, 1.0)


def side(fields, simulation, parameters):
    """Return fields whose parameters are Omega_m and redshift."""

    def origin(numbers):
        made = np.zeros(len(numbers), ORIGIN_DTYPE)
        made["simulation"] = numbers
        return made

    table = measured(fields, simulation, "emulated", origin)
    names = ("Omega_m", "redshift")
    return Side(table=replace(table, parameters=parameters, parameter_names=names), fields=fields)


def numbers(cosmologies, boxes):
    """Return simulation and parameters of every field: each box is seen at all redshifts."""
    box, redshift, _ = np.meshgrid(
        np.arange(cosmologies * boxes), REDSHIFTS, np.arange(SLICES), indexing="ij"
    )
    parameters = np.stack([0.2 + 0.05 * (box // boxes), redshift], axis=-1)
    return box.ravel(), parameters.reshape(-1, 2)


class Learned:
    """Training fields."""

    def __init__(self, fields, simulation):
        self.fields, self.origin = fields, np.zeros(len(fields), ORIGIN_DTYPE)
        self.origin["simulation"], self.simulations = simulation, np.unique(simulation)

    def __len__(self):
        return len(self.fields)

    def __getitem__(self, rows):
        return self.fields[rows]


class Universes:
    """Lognormal universes; how contrasted fields are depends on cosmology and redshift."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.simulation, self.parameters = numbers(COSMOLOGIES, BOXES)
        self.training = self._fields(np.full((160, 2), (0.25, 0.0)))

    def _fields(self, parameters):
        strength = 0.7 + parameters[:, 0] - 0.3 * parameters[:, 1]
        return lognormal_fields(self.rng, len(parameters)) ** strength[:, None, None]

    def draw(self):
        """Return fields at all parameters; the truth and its counterparts are two draws."""
        return self._fields(self.parameters).astype(np.float32)

    def side(self, fields):
        return side(fields, self.simulation, self.parameters)

    def sides(self):
        return self.side(self.draw()), Learned(self.training, 1000 + np.arange(160) // 8)


@pytest.fixture(scope="module")
def universes():
    return Universes(1)


@pytest.fixture(scope="module")
def sides(universes):
    return universes.sides()


def looked(made, sides):
    truth, training = sides
    return look_everywhere(made, truth, training, rules=RULES)


@given(
    cosmologies=st.integers(1, 5),
    boxes=st.integers(1, 6),
    order=st.randoms(use_true_random=False),
)
def test_a_half_has_every_other_box_of_each_cosmology(cosmologies, boxes, order):
    simulation, parameters = numbers(cosmologies, boxes)
    mixed = list(range(len(simulation)))
    order.shuffle(mixed)
    names = order.sample(range(10_000), cosmologies * boxes)
    simulation = np.array(names)[simulation]

    class Table:
        pass

    Table.simulation, Table.parameters = simulation[mixed], parameters[mixed]
    first, second = halves(Side(table=Table, fields=None))
    assert len(second) == cosmologies * boxes // 2
    assert sorted([*first, *second]) == sorted(names)
    for omega in np.unique(parameters[:, 0]):
        own = np.unique(simulation[parameters[:, 0] == omega])
        assert abs(2 * np.isin(own, second).sum() - len(own)) <= 1


def test_fields_that_are_right_are_new_and_diverse(universes, sides):
    found = looked(universes.side(universes.draw()), sides)
    assert not found.novelty.alarm
    assert found.diversity.p_value > 0.01  # how often it accuses is counted below
    assert (found.diversity.strata, found.diversity.simulations) == (6, (4, 4))
    assert found.diversity.splits == everywhere.SPLITS
    assert found.classified.fields == (192, 192)
    assert found.why == {"scores": "they are of fields of one universe"}
    assert len(words.on_samples(found)) == 3


def test_what_is_set_against_each_other_shares_no_simulation(universes, sides, monkeypatch):
    asked = {}

    def keep(name):
        def spy(*sides, **_):
            asked[name] = sides
            raise RecipeError("seen")

        return spy

    monkeypatch.setattr(classifier, "classify_counterparts", keep("classified"))
    monkeypatch.setattr(everywhere, "search", keep("novelty"))
    monkeypatch.setattr(everywhere, "diversity", keep("diversity"))
    looked(universes.side(universes.draw()), sides)

    def of(side):
        return set(side.simulation.tolist())

    made, _, unseen = asked["novelty"]
    assert not of(made) & of(unseen)
    assert len(of(made)) == len(of(unseen)) == COSMOLOGIES * BOXES // 2
    np.testing.assert_array_equal(made.fields[np.arange(3)].shape, (3, 32, 32))
    learning, judged = asked["classified"]
    for early in learning:
        assert not any(of(early) & of(late) for late in judged)
    (strata,) = asked["diversity"]
    assert all(not of(s.emulated) & of(s.truth) for s in strata)
    assert all(of(s.emulated) | of(s.truth) == of(s.pool) for s in strata)
    assert len({frozenset(of(s.pool)) for s in strata}) == COSMOLOGIES


def test_a_collapse_in_every_universe_is_seen_though_they_differ(universes, sides):
    fields, rng = universes.draw(), np.random.default_rng(5)
    for point in np.unique(universes.parameters, axis=0):
        here = (universes.parameters == point).all(axis=1)
        fields[here] = damage.collapsed(fields[here], rng, kept=2)
    found = looked(universes.side(fields), sides)
    assert found.diversity.alarm
    assert (
        found.diversity.measures["coverage"].value < 0.8 * found.diversity.measures["coverage"].low
    )
    assert found.novelty.others.suspects.size > 20


def test_copies_of_training_fields_are_seen(universes, sides):
    rng = np.random.default_rng(6)
    copied = damage.every_tenth_a_copy(universes.draw(), rng, universes.training)
    found = looked(universes.side(copied), sides)
    assert found.novelty.alarm
    assert found.novelty.training.suspects.size > 2


def test_a_texture_that_no_simulation_has_is_told_by_the_classifier(universes, sides):
    rules = replace(RULES, classifier_steps=150, k_max=1.0)
    shuffled = universes.side(damage.shuffled(universes.draw(), universes.rng))
    assert look_everywhere(shuffled, *sides, rules=rules).classified.auc > 0.95


def test_without_training_fields_what_needs_them_says_so(universes, sides):
    found = looked(universes.side(universes.draw()), (sides[0], None))
    assert found.novelty is None
    assert found.why["novelty"] == "no training fields are known; name them"
    assert found.classified is not None


def test_one_box_a_universe_is_too_few_to_say(universes, sides):
    def thin(whole):
        rows = np.flatnonzero(universes.simulation % BOXES == 0)
        return Side(table=whole.table.take(rows), fields=whole.fields[rows])

    made = thin(universes.side(universes.draw()))
    found = look_everywhere(made, thin(sides[0]), sides[1], rules=RULES)
    assert found.diversity is None
    assert "give 2, 6, 30 a side" in found.why["diversity"]


def test_truth_without_counterparts_has_no_part(universes, sides):
    def only(boxes):
        rows = np.flatnonzero(universes.simulation % BOXES < boxes)
        whole = universes.side(universes.draw())
        return Side(table=whole.table.take(rows), fields=whole.fields[rows])

    found = looked(only(4), sides)
    assert found.classified.simulations == (6, 6)  # of 12; 4 of one universe are too few to split
    assert "give 2, 6, 30 a side" in found.why["diversity"]
    one = only(BOXES)
    rows = np.flatnonzero(one.table.simulation == 0)
    lone = Side(table=one.table.take(rows), fields=one.fields[rows])
    why = looked(lone, sides).why
    for question in ("diversity", "classified", "novelty"):
        assert why[question] == "a single simulation has no halves; give counterparts of more"


def strata(seed, shrunk=1.0):
    """Features of three universes whose means and scatters differ; boxes share a part of them."""
    rng = np.random.default_rng(seed)

    def features(boxes, first, number, scatter):
        common = np.repeat(rng.standard_normal((boxes, 6)), 10, axis=0)
        values = 0.5 * common + rng.standard_normal((10 * boxes, 6))
        values = 10.0 * number + (1 + number) * scatter * values
        return Features(values=values, simulation=first + np.repeat(np.arange(boxes), 10))

    made = []
    for number in range(3):
        pool = features(8, 100 * number, number, 1.0)
        truth = pool[np.flatnonzero(pool.simulation % 100 >= 4)]
        emulated = features(4, 1000 + 100 * number, number, shrunk)
        made.append(Stratum(emulated=emulated, truth=truth, pool=pool))
    return made


def test_a_perfect_emulator_of_many_universes_is_accused_in_one_case_of_twenty():
    """Of 100 comparisons 5 +- 2.2 alarm; the limit is that of three sigma."""
    found = [diversity(strata(s), seed=s, splits=19, measures=PAIR) for s in range(100)]
    assert 1 <= sum(f.alarm for f in found) <= 12
    assert all(f.strata == 3 and f.fields == 120 for f in found)


def test_a_scatter_too_small_in_every_universe_adds_up():
    alone = together = 0
    for seed in range(10):
        whole = strata(seed, shrunk=0.75)
        alone += diversity(whole[:1], seed=seed, splits=59, measures=PAIR).alarm
        together += diversity(whole, seed=seed, splits=59, measures=PAIR).alarm
    assert together > alone
    assert together >= 8


def test_a_box_at_two_redshifts_falls_on_one_side(monkeypatch):
    from cosmogan.compare import diversity as module

    seen, plain = [], module._mean

    def spy(pairs, *rest):
        seen.append(pairs)
        return plain(pairs, *rest)

    monkeypatch.setattr(module, "_mean", spy)
    (first, *_), again = strata(1), strata(2)[0]
    diversity([first, again], seed=1, splits=20, measures=PAIR)
    for pairs in seen[1:]:
        one, two = ([set(side.simulation.tolist()) for side in pair] for pair in pairs)
        assert one == two
    assert len({frozenset(pairs[0][0].simulation.tolist()) for pairs in seen[1:]}) > 10
