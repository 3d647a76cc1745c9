"""Laws of coverage, density and PQMass, and of the chance that simulations give them."""

import importlib.util
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cosmogan.compare import coverage, diversity
from cosmogan.compare.coverage import Features, coverage_and_density, pqmass, whiten
from cosmogan.compare.diversity import Stratum
from cosmogan.errors import LayoutError, RecipeError, ResourceError, SplitError

PAIR = ("coverage", "density")
needs_pqm = pytest.mark.skipif(importlib.util.find_spec("pqm") is None, reason="needs pqm")


def features(values, simulation=None):
    number = np.arange(len(values)) if simulation is None else np.asarray(simulation)
    return Features(values=np.asarray(values, np.float64), simulation=number.astype(np.int64))


def compared(emulated, truth, pool, **how):
    return diversity.diversity([Stratum(emulated=emulated, truth=truth, pool=pool)], **how)


class World:
    """Makes features of fields, a part of whose variance the fields of a simulation share."""

    def __init__(self, seed, number=10, shared=0.3):
        self.rng = np.random.default_rng(seed)
        self.number, self.shared = number, shared
        self.mixing = self.rng.standard_normal((number, number)) / np.sqrt(number)

    def fields(self, simulations, each, *, first=0, scatter=1.0):
        boxes, own = (
            self.rng.standard_normal((n, self.number)) for n in (simulations, simulations * each)
        )
        normal = (
            np.sqrt(self.shared) * np.repeat(boxes, each, axis=0) + np.sqrt(1 - self.shared) * own
        )
        values = np.exp(0.3 * scatter * normal @ self.mixing)
        return features(values, first + np.repeat(np.arange(simulations), each))

    def truth_and_pool(self, true, others, each):
        pool = self.fields(true + others, each)
        return pool[np.flatnonzero(pool.simulation < true)], pool


def by_definition(made, true, simulation, neighbours):
    apart = np.where(simulation[:, None] == simulation, np.inf, cdist(true, true))
    radius = np.sort(apart, axis=1)[:, neighbours - 1]
    inside = cdist(true, made) <= radius[:, None]
    fair = np.array([(simulation != s).sum() for s in simulation]) / (len(true) - 1)
    return inside.any(axis=1).mean(), (inside.sum(axis=1) * fair).sum() / (neighbours * len(made))


@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(12, 40)),
    number=st.integers(1, 6),
    simulations=st.integers(3, 12),
    neighbours=st.integers(1, 4),
    seed=st.integers(0, 999),
    block=st.sampled_from([1, 100, 500_000]),
)
@settings(max_examples=60, deadline=None)
def test_coverage_and_density_are_what_their_definition_says(
    sizes, number, simulations, neighbours, seed, block
):
    rng = np.random.default_rng(seed)
    made, true = (rng.standard_normal((n, number)) for n in sizes)
    simulation = rng.permutation(np.arange(len(true)) % simulations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "_BLOCK", block)
        found = coverage_and_density(made, true, simulation, neighbours=neighbours)
    assert found == pytest.approx(by_definition(made, true, simulation, neighbours), rel=1e-12)


def test_identical_sets_cover_each_other():
    true = np.random.default_rng(1).standard_normal((200, 5))
    # Each sphere holds its own centre and the k fields it is made of.
    assert coverage_and_density(true, true, np.arange(200)) == pytest.approx((1.0, 6 / 5))


def test_large_equal_sets_cover_each_other_to_one_minus_a_power_of_two():
    made, true = np.random.default_rng(2).standard_normal((2, 4000, 3))
    for neighbours in (1, 3, 5):
        found = coverage_and_density(made, true, np.arange(4000), neighbours=neighbours)
        # Every neighbour is true or emulated with even odds, and k true ones in a row have 2^-k. The
        # tolerance is twice the scatter of 4000 fields whose spheres overlap, found by repetition.
        assert found[0] == pytest.approx(1 - 0.5**neighbours, abs=0.02)
        assert found[1] == pytest.approx(1, abs=0.05)


def test_far_apart_sets_do_not_cover_each_other():
    made, true = np.random.default_rng(3).standard_normal((2, 100, 4))
    assert coverage_and_density(made + 100, true, np.arange(100)) == (0, 0)


def test_half_the_modes_cover_half():
    rng = np.random.default_rng(4)
    true = rng.standard_normal((1000, 3)) + 50 * (np.arange(1000) % 2)[:, None]
    made = rng.standard_normal((1000, 3))
    found = coverage_and_density(made, true, np.arange(1000))
    assert found[0] == pytest.approx(0.5, abs=0.02)  # the covered half misses 2^-5 or less
    # With twice as many emulated fields in each sphere.
    assert found[1] == pytest.approx(1, abs=0.1)


def test_neither_rotation_nor_order_nor_names_change_them():
    rng = np.random.default_rng(5)
    made, true = rng.standard_normal((2, 150, 6))
    simulation = np.arange(150) % 7
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    before = coverage_and_density(made, true, simulation)
    assert before == coverage_and_density(made @ turn, true @ turn, simulation)
    order = rng.permutation(150)
    assert before == pytest.approx(
        coverage_and_density(made[order[::-1]], true[order], 900 - simulation[order]), rel=1e-12
    )


def test_more_slices_of_a_box_do_not_lower_the_coverage():
    """Their spheres end in other boxes; those that ended at their siblings would cover next to none."""
    rng = np.random.default_rng(6)
    boxes = rng.standard_normal((100, 4))
    slices = np.repeat(boxes, 10, axis=0) + 0.02 * rng.standard_normal((1000, 4))
    made = rng.standard_normal((1000, 4))
    found = coverage_and_density(made, slices, np.repeat(np.arange(100), 10))[0]
    assert found > 0.9
    assert coverage_and_density(made, slices, np.arange(1000))[0] < 0.1


def test_whitened_features_have_unit_covariance_and_the_largest_first():
    reference = World(7, number=8).fields(40, 12)
    whitening = whiten(reference)
    found = whitening.apply(reference.values)
    np.testing.assert_allclose(np.cov(found, rowvar=False), np.eye(8), atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    explained = 1 / (whitening.axes**2 * reference.values.std(axis=0)[:, None] ** 2).sum(axis=0)
    assert (np.diff(explained) < 0).all()


def test_constant_and_repeated_features_add_nothing():
    reference = World(8, number=6).fields(30, 10)
    plain = whiten(reference).apply(reference.values)
    constants = np.full((300, 3), [0.0, 7.0, 1e9])
    rounding = 1 + 1e-8 * np.random.default_rng(1).standard_normal(
        (300, 1)
    )  # means of float32 fields
    for more in (constants, rounding):
        wider = features(np.hstack([more, reference.values]), reference.simulation)
        np.testing.assert_allclose(whiten(wider).apply(wider.values), plain, atol=1e-8)
    twice = features(np.hstack([reference.values, reference.values]), reference.simulation)
    found = whiten(twice).apply(twice.values)
    assert found.shape == plain.shape
    np.testing.assert_allclose(cdist(found, found), cdist(plain, plain), atol=1e-6)


def test_units_and_mixtures_of_features_change_no_distance_if_all_components_stay():
    rng = np.random.default_rng(9)
    reference = World(9, number=5).fields(30, 10)
    mixed = features(
        10 + reference.values @ rng.standard_normal((5, 5)) * 1e3, reference.simulation
    )
    one, other = (whiten(f).apply(f.values) for f in (reference, mixed))
    np.testing.assert_allclose(cdist(one, one), cdist(other, other), atol=1e-6)


@pytest.mark.parametrize(
    ("simulations", "each", "number", "asked", "kept"),
    [
        (40, 12, 6, 30, 6),  # as many as there are features
        (40, 12, 60, 30, 30),  # as many as asked for
        (2, 100, 60, 30, 6),  # three for a simulation
        (100, 1, 60, 30, 10),  # one for ten fields
        (50, 1, 400, 30, 5),  # far more features than fields
        (4, 2, 50, 30, 1),
    ],
)
def test_no_more_components_are_kept_than_simulations_and_fields_support(
    simulations, each, number, asked, kept
):
    reference = World(10, number=number).fields(simulations, each)
    found = whiten(reference, components=asked).apply(reference.values)
    assert found.shape == (simulations * each, kept)
    np.testing.assert_allclose(np.cov(found, rowvar=False), np.eye(kept), atol=1e-8)


def test_the_signs_of_the_components_do_not_depend_on_the_order_of_fields():
    reference = World(11, number=6).fields(20, 20)
    order = np.random.default_rng(1).permutation(400)
    axes = whiten(reference).axes
    np.testing.assert_allclose(whiten(reference[order]).axes, axes, rtol=1e-6, atol=1e-8)
    largest = axes * reference.values.std(axis=0)[:, None]
    assert (largest[np.abs(largest).argmax(axis=0), np.arange(6)] > 0).all()


@needs_pqm
def test_pqmass_is_one_for_equal_sets_and_large_and_finite_for_others():
    made, true = np.random.default_rng(12).standard_normal((2, 600, 6))
    found = np.mean([pqmass(made, true, seed=s) for s in range(12)])
    # Tessellations of one pair of sets, 59 degrees of freedom: about sqrt(2 / 59) = 0.18 at most.
    assert found == pytest.approx(1, abs=0.4)
    assert pqmass(1.5 * made, true, seed=1) > 2
    for other in (np.zeros_like(true), true[:1] + 0 * true, true + 100):
        assert 2 < pqmass(other, true, seed=1) < np.inf


@needs_pqm
def test_pqmass_is_a_number_where_its_probability_vanishes_and_where_all_fields_are_one():
    made, true = np.random.default_rng(12).standard_normal((2, 1500, 2))
    assert 10 < pqmass(made + 100, true, seed=1) < np.inf  # p below 1e-308
    assert pqmass(np.zeros((50, 2)), np.zeros((50, 2)), seed=1) == 0


@needs_pqm
def test_pqmass_leaves_chance_and_the_screen_as_they_were(capfd):
    made, true = np.random.default_rng(13).standard_normal((2, 100, 3))
    np.random.seed(5)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first, again, other = (pqmass(made, true, seed=s) for s in (1, 1, 2))
    assert np.random.random() == wanted  # noqa: NPY002
    assert first == again != other
    assert capfd.readouterr() == ("", "")


def test_without_pqm_an_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pqm", None)
    world = World(14)
    truth, pool = world.truth_and_pool(4, 8, 10)
    emulated = world.fields(8, 10, first=1000)
    with pytest.raises(ResourceError, match="pip install pqm"):
        compared(emulated, truth, pool, seed=1)
    assert set(compared(emulated, truth, pool, seed=1, splits=5, measures=PAIR).measures) == set(
        PAIR
    )


def perfect(world, each=10):
    truth, pool = world.truth_and_pool(4, 8, each)
    return world.fields(8, each, first=1000), truth, pool


def many_seeds(world):
    truth, pool = world.truth_and_pool(4, 8, 10)
    return world.fields(200, 1, first=1000), truth, pool


def truth_alone(world):
    truth, pool = world.truth_and_pool(8, 0, 10)
    return world.fields(20, 10, first=1000), truth, pool


def cubes(world):
    truth, pool = world.truth_and_pool(40, 60, 1)
    return world.fields(60, 1, first=1000), truth, pool


@pytest.mark.parametrize(
    ("sides", "shared", "measures", "fewest"),
    [
        (perfect, 0.3, PAIR, 1),
        (perfect, 0.7, PAIR, 1),
        (cubes, 0.0, PAIR, 1),
        (truth_alone, 0.3, PAIR, 0),
        (many_seeds, 0.3, PAIR, 0),
        pytest.param(perfect, 0.3, diversity.MEASURES, 1, marks=needs_pqm),
    ],
)
def test_a_perfect_emulator_is_accused_in_one_case_of_twenty(
    monkeypatch, sides, shared, measures, fewest
):
    """Of 100 comparisons 5 +- 2.2 alarm; the limits are those of three sigma and over.

    More seeds than simulations scatter less than the splits do: they may be accused less often.
    """
    monkeypatch.setattr(coverage, "_TESSELLATIONS", 1)  # for speed
    found = [
        compared(*sides(World(s, shared=shared)), seed=s, splits=19, measures=measures)
        for s in range(100)
    ]
    assert fewest <= sum(f.alarm for f in found) <= 12
    if sides is perfect:
        for name in measures:  # each p is uniform, or above: its mean is 1/2 +- 0.03
            assert np.mean([f.measures[name].p_value for f in found]) > 0.41


def test_a_few_fields_again_and_again_are_caught_by_their_coverage():
    for seed in range(5):
        emulated, truth, pool = perfect(World(seed), each=20)
        few = emulated[np.random.default_rng(seed).integers(0, 8, 160)]
        few = features(few.values, 1000 + np.arange(160))
        found = compared(few, truth, pool, seed=seed, splits=99, measures=PAIR)
        assert found.alarm
        assert found.measures["coverage"].value < 0.75 * found.measures["coverage"].low
        assert found.measures["coverage"].p_value == 0.01


@pytest.mark.parametrize("scatter", [0.85, 1.15])
def test_a_scatter_15_per_cent_off_is_caught_by_the_density(scatter):
    alarms = []
    for seed in range(6):
        world = World(seed, number=30, shared=0.1)
        truth, pool = world.truth_and_pool(8, 20, 32)
        emulated = world.fields(256, 1, first=1000, scatter=scatter)
        found = compared(emulated, truth, pool, seed=seed, splits=59, measures=PAIR)
        density = found.measures["density"]
        assert (density.value > density.median) == (scatter < 1)
        assert density.p_value <= 0.05
        alarms.append(found.alarm)
    assert sum(alarms) >= 5


@needs_pqm
def test_lost_modes_are_caught_by_all_three_measures():
    """Simulations have two kinds of fields, the emulator one."""
    world = World(3, number=3, shared=0.1)
    truth, pool = world.truth_and_pool(8, 20, 24)
    kinds = np.arange(len(pool.values)) % 2 * 3.0
    pool = features(pool.values + kinds[:, None], pool.simulation)
    truth = pool[np.flatnonzero(pool.simulation < 8)]
    found = compared(world.fields(192, 1, first=1000), truth, pool, seed=1, splits=99)
    assert found.alarm
    assert found.measures["coverage"].value == pytest.approx(0.5, abs=0.05)
    assert found.measures["coverage"].p_value == found.measures["pqmass"].p_value == 0.01


def test_emulated_fields_have_no_part_in_what_is_expected():
    world = World(20)
    emulated, truth, pool = perfect(world)
    wild = features(1e6 * emulated.values**3, emulated.simulation)
    one, other = (
        compared(e, truth, pool, seed=1, splits=30, measures=PAIR) for e in (emulated, wild)
    )
    for name in PAIR:
        chance = [(m.median, m.low, m.high) for m in (one.measures[name], other.measures[name])]
        assert chance[0] == chance[1]
    assert other.measures["coverage"].value == 0
    assert other.alarm


def test_the_true_side_alone_sets_the_scale(monkeypatch):
    scales = []

    def spy(reference):
        scales.append(reference)
        return whiten(reference)

    monkeypatch.setattr(diversity, "whiten", spy)
    emulated, truth, pool = perfect(World(19))
    compared(emulated, truth, pool, seed=1, splits=9, measures=PAIR)
    assert set(scales[0].simulation) == set(truth.simulation)
    for reference in scales:
        assert np.unique(reference.simulation).size == 4
        assert set(reference.simulation) <= set(pool.simulation)


def test_both_sides_have_as_many_simulations_and_fields_in_every_comparison(monkeypatch):
    seen = []
    plain = diversity._measure

    def spy(one, other, *rest):
        seen.append((one, other))
        return plain(one, other, *rest)

    monkeypatch.setattr(diversity, "_measure", spy)
    world = World(21)
    truth, pool = world.truth_and_pool(4, 7, 10)
    emulated = world.fields(12, 9, first=1000)
    found = compared(emulated, truth, pool, seed=1, splits=20, fields=36, measures=PAIR)
    assert (found.fields, found.simulations) == (36, (7, 4))
    for sides in seen:
        for side, simulations in zip(sides, (7, 4), strict=True):
            number = np.unique(side.simulation, return_counts=True)[1]
            assert number.size == simulations
            assert number.sum() == 36
            assert np.ptp(number) <= 1
            assert len(np.unique(side.values, axis=0)) == 36
        assert not np.intersect1d(*(side.simulation for side in sides)).size
    assert set(seen[0][0].simulation) <= set(emulated.simulation)
    assert set(seen[0][1].simulation) == set(truth.simulation)
    assert len({tuple(np.unique(other.simulation)) for _, other in seen}) > 10


def test_seeds_of_one_field_each_stand_for_as_many_simulations_as_are_left():
    found = compared(*many_seeds(World(22)), seed=1, splits=5, measures=PAIR)
    assert (found.fields, found.simulations) == (40, (8, 4))
    world = World(22)
    truth, pool = world.truth_and_pool(4, 8, 10)
    found = compared(world.fields(3, 15, first=99), truth, pool, seed=1, splits=5, measures=PAIR)
    assert (found.fields, found.simulations) == (30, (3, 4))
    found = compared(*truth_alone(World(22)), seed=1, splits=5, measures=PAIR)
    assert (found.fields, found.simulations) == (40, (4, 4))


@pytest.mark.parametrize("measures", [PAIR, pytest.param(diversity.MEASURES, marks=needs_pqm)])
def test_the_same_seed_gives_the_same_bits_and_they_survive_json(measures):
    sides = perfect(World(23))
    first, again, other = (
        asdict(compared(*sides, seed=s, splits=9, measures=measures)) for s in (1, 1, 2)
    )
    assert first == again != other
    text = json.dumps(first, allow_nan=False)
    assert json.loads(text) == first | {"simulations": list(first["simulations"])}


def test_constant_features_and_more_features_than_fields_are_no_trouble():
    world = World(24, number=200)
    emulated, truth, pool = (
        features(np.hstack([np.ones((len(f.values), 2)), f.values]), f.simulation)
        for f in perfect(world)
    )
    found = compared(emulated, truth, pool, seed=1, splits=19, measures=PAIR)
    assert found.components == 4  # of 40 fields
    assert 0 < found.p_value <= 1


EMULATED, TRUTH, POOL = perfect(World(25))
NONE = features(np.ones((120, 10)), POOL.simulation)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: features(np.full((3, 2), np.nan)), LayoutError, "field 0 is not finite"),
        (lambda: features(np.ones((3, 2)), [1, 2]), LayoutError, "a row of both"),
        (
            lambda: whiten(POOL).apply(np.full((1, 10), np.inf)),
            LayoutError,
            "field 0 is not finite",
        ),
        (lambda: whiten(NONE), LayoutError, "none varies"),
        (
            lambda: compared(EMULATED, TRUTH, TRUTH, seed=1, measures=("?",)),
            RecipeError,
            "give some",
        ),
        (lambda: compared(EMULATED, TRUTH, TRUTH, seed=1, measures=()), RecipeError, "give some"),
        (
            lambda: compared(EMULATED, TRUTH, POOL, seed=1, splits=0, measures=PAIR),
            RecipeError,
            "0 splits",
        ),
        (
            lambda: compared(EMULATED, TRUTH, POOL, seed=1, fields=20, measures=PAIR),
            RecipeError,
            "20 fields",
        ),
        (
            lambda: compared(EMULATED, TRUTH[:10], POOL, seed=1, measures=PAIR),
            RecipeError,
            "1 true",
        ),
        (
            lambda: compared(TRUTH, TRUTH, POOL, seed=1, measures=PAIR),
            SplitError,
            "simulation 0 is both",
        ),
        (
            lambda: compared(EMULATED, features(np.ones((30, 3))), POOL, seed=1, measures=PAIR),
            LayoutError,
            r"\[3, 10\] features",
        ),
        (
            lambda: coverage_and_density(np.ones((9, 2)), np.ones((9, 2)), np.arange(9) // 5),
            RecipeError,
            "give 1 to 4",
        ),
        (
            lambda: coverage_and_density(
                np.ones((9, 2)), np.ones((9, 2)), np.arange(9), neighbours=0
            ),
            RecipeError,
            "neighbours = 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
