"""The verdict on copies: silent about what is new, however wrong; loud about what is not."""

import dataclasses
import doctest

import numpy as np
import pytest
import scipy.stats

from cosmogan.compare import novelty as module
from cosmogan.compare.novelty import FALSE_ALARMS, LEVEL, find_copies
from cosmogan.compare.units import Numbered
from cosmogan.errors import LayoutError, SplitError
from cosmogan.statistics.resemblance import resemblance, signatures

CELLS = 24
DRAWS = 100


def gaussian(rng, *shape, low=0.0, high=np.inf):
    """Return fields of a red spectrum between two wavenumbers."""
    n = np.fft.fftfreq(CELLS) * CELLS
    k = np.hypot(n[:, None], np.arange(CELLS // 2 + 1))
    amplitude = np.where((k > low) & (k <= high), np.maximum(k, 1) ** -0.8, 0.0)
    noise = np.fft.rfft2(rng.standard_normal((*shape, CELLS, CELLS)))
    return 2.5 * np.fft.irfft2(noise * amplitude, s=(CELLS, CELLS))


class Universe:
    """Makes simulations whose slices share their largest scales."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.next_simulation = 7

    def logarithms(self, boxes, slices):
        """Return ln rho, (boxes * slices, N, N), and the numbers of the simulations."""
        shared = gaussian(self.rng, boxes, 1, high=2) * np.sqrt(0.5)
        own = gaussian(self.rng, boxes, slices, high=2) * np.sqrt(0.5)
        y = shared + own + gaussian(self.rng, boxes, slices, low=2)
        first, self.next_simulation = self.next_simulation, self.next_simulation + boxes
        return y.reshape(-1, CELLS, CELLS), np.repeat(np.arange(first, first + boxes), slices)

    def sides(self, slices=4):
        """Return ln rho and numbers of 12 emulated, 8 training and 8 held-out boxes."""
        return [self.logarithms(boxes, slices) for boxes in (12, 8, 8)]

    def moved(self, fields):
        """Return each field turned, mirrored and shifted at random."""
        out = []
        for field in fields:
            turned = np.rot90(field, self.rng.integers(4))[:: self.rng.choice([-1, 1])]
            out.append(np.roll(turned, self.rng.integers(0, CELLS, 2), (0, 1)))
        return np.array(out)


def judged(*sides, **options):
    """Return the verdict on emulated, training and held-out ln rho with their numbers."""
    numbered = (Numbered(fields=np.exp(y).astype(np.float32), simulation=s) for y, s in sides)
    return find_copies(*numbered, **options)


def right(y):
    return y


def too_smooth(y):
    """Another spectrum, and another one-point distribution: a third of the contrast."""
    n = np.fft.fftfreq(CELLS) * CELLS
    k = np.hypot(n[:, None], np.arange(CELLS // 2 + 1))
    return np.fft.irfft2(np.fft.rfft2(y) * np.exp(-0.5 * (k / 6) ** 2), s=y.shape[1:]) / 3


def too_clumpy(y):
    """Rare peaks that are far too high."""
    return y + 0.3 * (np.exp(y) - 1)


@pytest.mark.parametrize(("texture", "slices"), [(right, 3), (too_smooth, 2), (too_clumpy, 2)])
def test_who_copies_nothing_is_accused_in_one_case_of_twenty_at_most(texture, slices):
    """Of 100 emulators 5 +- 2.2 may be accused; more than 13 are in one such test of two thousand.

    The pull is exact: its p-values are uniform. Each largest may accuse 1.7 +- 1.3, but errs towards
    the emulator: it accuses none in most runs.
    """
    universe = Universe(11)
    found = []
    for _ in range(DRAWS):
        (y, boxes), training, held_out = universe.sides(slices)
        found.append(judged((texture(y), boxes), training, held_out))
    assert sum(one.alarm for one in found) <= scipy.stats.binom.isf(1e-3, DRAWS, FALSE_ALARMS)
    pulls = [one.pull.p_value for one in found]
    assert scipy.stats.kstest(pulls, "uniform").pvalue > 1e-3
    for name in ("training", "others"):
        accused = sum(getattr(one, name).p_value <= LEVEL for one in found)
        assert accused <= scipy.stats.binom.isf(1e-3, DRAWS, LEVEL)


def test_every_tenth_a_moved_and_noisy_copy_is_found_and_nothing_else():
    universe = Universe(1)
    (y, boxes), training, held_out = universe.sides(5)
    tenth, source = np.arange(0, 60, 10), np.array([3, 9, 10, 22, 31, 39])
    noise = gaussian(universe.rng, 6)
    noise *= 0.2 * training[0].std() / noise.std()
    y[tenth] = universe.moved(training[0][source]) + noise
    found = judged((y, boxes), training, held_out)
    assert found.alarm
    assert found.training.p_value == pytest.approx(1 / 20_001)
    np.testing.assert_array_equal(found.training.suspects, tenth)
    np.testing.assert_array_equal(found.training.rows, np.arange(60))
    np.testing.assert_array_equal(found.training.partner[tenth], source)
    assert found.training.nearest[tenth].min() > 0.85
    assert found.others.suspects.size == 0


def test_a_generator_of_twenty_fields_is_found_though_it_moves_them():
    universe = Universe(2)
    (few, _), training, held_out = universe.sides(2)
    picked = np.r_[np.arange(20), universe.rng.integers(0, 20, 28)]
    made = universe.moved(few[picked]), np.arange(1000, 1048)
    found = judged(made, training, held_out)
    assert found.alarm
    assert found.others.p_value <= LEVEL < min(found.training.p_value, found.pull.p_value)
    repeated = np.isin(picked, picked[20:])
    np.testing.assert_array_equal(found.others.suspects, np.flatnonzero(repeated))
    partner = found.others.partner[repeated]
    np.testing.assert_array_equal(picked[partner], picked[repeated])


def test_half_a_training_field_in_each_field_is_found():
    universe = Universe(3)
    (y, boxes), training, held_out = universe.sides(4)
    parents = universe.rng.permutation(len(training[0]))[np.arange(len(y)) % len(training[0])]
    mixed = (y + universe.moved(training[0][parents])) * np.sqrt(0.5)
    found = judged((mixed, boxes), training, held_out)
    assert found.alarm
    assert found.training.p_value <= LEVEL
    assert found.pull.p_value <= LEVEL
    # a share of half the variance is a correlation of 0.7
    assert np.median(found.training.nearest) == pytest.approx(np.sqrt(0.5), abs=0.07)


def test_a_pull_too_weak_for_the_largest_is_seen_in_the_mean():
    """A fifth of the variance of each field is of a training field: most stay below the threshold."""
    found = []
    for seed in range(6):
        universe = Universe(100 + seed)
        (y, boxes), training, held_out = universe.sides()
        parents = universe.rng.integers(0, len(training[0]), len(y))
        mixed = np.sqrt(0.8) * y + np.sqrt(0.2) * universe.moved(training[0][parents])
        found.append(judged((mixed, boxes), training, held_out))
    assert sum(one.training.suspects.size for one in found) < 0.03 * 6 * len(found[0].training.rows)
    assert sum(one.training.p_value <= LEVEL for one in found) <= 3
    assert sum(one.pull.p_value <= LEVEL for one in found) >= 5


def test_the_pull_accuses_as_often_as_it_says_though_means_be_skewed():
    """Exponential means: of 2000 draws of 16 + 8 some 33 +- 6 are accused, whatever their law."""
    rng = np.random.default_rng(14)
    found = [module._weigh_mean(*np.split(rng.exponential(size=24), [16])) for _ in range(2000)]
    p = np.array([one.p_value for one in found])
    assert 15 < (p <= LEVEL).sum() < 51
    excess, error = np.transpose([(one.excess, one.error) for one in found])
    # the variance is that of the sum of two means; 2000 of a skew law know it to some per cent
    assert np.mean(excess**2) == pytest.approx(np.mean(error**2), rel=0.15)
    assert np.mean(excess**2) == pytest.approx(1 / 16 + 1 / 8, rel=0.15)


def test_four_and_four_simulations_are_just_enough_to_see_a_pull():
    low, high = np.arange(10.0), np.arange(10.0, 20.0)
    for learned, unseen, enough in ((4, 4, 1), (4, 3, 0), (2, 10, 1), (2, 9, 0)):
        assert (module._weigh_mean(high[:learned], low[:unseen]).p_value <= LEVEL) == enough
    assert module._weigh_mean(low, high).p_value > 0.99
    assert module._weigh_mean(np.zeros(8), np.zeros(8)).p_value > LEVEL


def test_fields_of_one_simulation_may_be_alike():
    universe = Universe(4)
    (y, boxes), training, held_out = universe.sides(4)
    y = universe.moved(np.repeat(y[::4], 4, axis=0))  # four times the same field in each box
    assert not judged((y, boxes), training, held_out).alarm
    apart = judged((y, np.arange(1000, 1048)), training, held_out)
    assert apart.alarm
    assert apart.others.suspects.size == 48


def test_the_values_are_those_of_each_pair():
    universe = Universe(6)
    made, training, held_out = universe.sides(3)
    found = judged(made, training, held_out)
    simulated = np.exp(np.concatenate([training[0], held_out[0]]))
    one, other = (signatures(rho.astype(np.float32)) for rho in (np.exp(made[0]), simulated))
    near_rows = resemblance(one, other)
    near = near_rows.reshape(36, 16, 3).max(axis=2)
    np.testing.assert_allclose(found.training.found, near[:, :8], atol=1e-5)
    np.testing.assert_allclose(found.training.chance, near[:, 8:], atol=1e-5)
    assert found.pull.excess == pytest.approx(near[:, :8].mean() - near[:, 8:].mean(), abs=1e-6)
    for marks, boxes, values in ((one, 12, found.others.found), (other, 16, found.others.chance)):
        whole = resemblance(marks, marks).reshape(-1, boxes, 3).max(axis=2)
        others = ~np.repeat(np.eye(boxes, dtype=bool), 3, axis=0)
        np.testing.assert_allclose(values, whole[others].reshape(-1, boxes - 1), atol=1e-5)
    learned = near_rows[:, :24].argmax(axis=1)
    np.testing.assert_array_equal(found.training.partner, learned)
    assert (near_rows.argmax(axis=1) >= 24).any()  # a held-out field is nearer, and no partner
    assert found.training.medians == (np.median(near[:, :8]), np.median(near[:, 8:]))


def few_against_gumbel(rng, count=5):
    """Weigh numbers of Gumbel's law, one a field, against as many others."""
    made = module._Chosen(rows=np.arange(count), marks=signatures(np.ones((count, 4, 4))))
    found, chance = rng.gumbel(0.3, 0.02, (2, count, 1))
    return made, found, chance


def test_the_largest_is_weighed_by_the_law_of_a_fit_to_few_values():
    """Five values know their law badly, and still the p-values are uniform."""
    rng = np.random.default_rng(9)
    found = []
    for _ in range(1500):
        made, values, chance = few_against_gumbel(rng)
        found.append(module._nearness(made, made.rows, values, chance, trials=5))
    p = np.array([one.p_value for one in found])
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(p <= LEVEL, [one.suspects.size > 0 for one in found])
    assert 9 < (p <= LEVEL).sum() < 43  # 25 +- 5, three sigma


def test_there_is_a_suspect_just_when_the_largest_is_an_alarm():
    made, values, chance = few_against_gumbel(np.random.default_rng(2))
    threshold = module._nearness(made, made.rows, values, chance, trials=5).threshold
    for nudge, accused in ((1e-9, 1), (-1e-9, 0)):
        values[3] = threshold + nudge
        found = module._nearness(made, made.rows, values, chance, trials=5)
        assert (found.p_value <= LEVEL) == accused == found.suspects.size
        assert found.threshold == threshold
        assert found.p_value == pytest.approx(LEVEL, abs=1e-4)


def test_three_tests_share_the_false_alarms():
    universe = Universe(15)
    found = judged(*universe.sides(2))
    for p, alarm in ((0.99 * LEVEL, True), (1.01 * LEVEL, False), (0.9, False)):
        for name in ("training", "pull", "others"):
            parts = {n: getattr(found, n) for n in ("training", "pull", "others")}
            changed = {
                n: dataclasses.replace(part, p_value=p if n == name else 0.95)
                for n, part in parts.items()
            }
            one = module.Novelty(**changed, searched=1, known=1)
            assert one.p_value == pytest.approx(min(1, 3 * p))
            assert one.alarm == alarm


def test_the_same_seed_gives_the_same_bits_whatever_the_workers():
    universe = Universe(8)
    sides = universe.sides(6)
    options = {"most": 24, "targets": 32}
    first, again, other = (
        judged(*sides, **options, **more) for more in ({}, {"workers": 2}, {"seed": 1})
    )
    for name in ("training", "others"):
        one, same, new = (getattr(f, name) for f in (first, again, other))
        for field in dataclasses.fields(one):
            value = getattr(one, field.name)
            np.testing.assert_array_equal(value, getattr(same, field.name))
        assert not np.array_equal(one.found, new.found)
    assert first.pull == again.pull


def test_what_is_compared_is_spread_evenly_over_simulations_and_slabs():
    universe = Universe(10)
    sides = [universe.logarithms(*shape) for shape in ((40, 6), (4, 30), (10, 30))]
    found = judged(*sides, most=80, targets=60)
    rows = found.training.rows.reshape(40, 2)
    np.testing.assert_array_equal(rows // 6, np.arange(40)[:, None].repeat(2, axis=1))
    assert (np.diff(rows, axis=1) == 3).all()  # half a box apart
    # 60 / 8 held-out boxes: 7 fields of each, so that 60 // 7 boxes fit
    assert found.training.found.shape == (80, 4)
    assert found.training.chance.shape == (80, 8)
    assert found.others.found.shape == (80, 39)


def test_more_seeds_than_fields_and_a_poor_simulation_are_no_trouble():
    universe = Universe(12)
    made = universe.logarithms(60, 1)
    training, held_out = universe.logarithms(11, 3), universe.logarithms(4, 3)
    training = training[0][:-2], training[1][:-2]  # the last simulation has one field left
    found = judged(made, training, held_out, most=20)
    assert np.unique(found.training.rows).size == 20
    assert found.training.found.shape == (20, 10)
    assert found.others.found.shape == (20, 19)


def test_a_copy_is_found_among_cubes_turned_out_of_their_plane():
    rng = np.random.default_rng(3)
    rho = rng.lognormal(size=(24, 12, 12, 12)).astype(np.float32)

    def judge_cubes():
        parts = (slice(8), slice(8, 16), slice(16, 24))
        numbers = np.arange(24)
        return find_copies(*(Numbered(fields=rho[p], simulation=numbers[p]) for p in parts))

    assert not judge_cubes().alarm
    rho[2] = np.roll(rho[9].transpose(2, 0, 1)[::-1], (1, 2, 3), (0, 1, 2))
    found = judge_cubes()
    assert found.training.p_value <= LEVEL
    np.testing.assert_array_equal(found.training.suspects, [2])
    assert found.training.partner[2] == 1
    # either side is whitened by the power of some eight or sixteen cubes
    assert found.training.nearest[2] == pytest.approx(1, abs=0.02)


def test_fields_without_structure_copy_nobody():
    universe = Universe(13)
    (y, boxes), training, held_out = universe.sides(2)
    found = judged((np.zeros_like(y), boxes), training, held_out)
    assert not found.alarm
    assert found.training.nearest.max() == found.others.nearest.max() == 0


@pytest.mark.parametrize(
    ("firsts", "numbers", "error", "message"),
    [
        ((0, 3, 8), (8, 8, 8), SplitError, "emulated and training .* simulation 3"),
        ((0, 4, 7), (8, 8, 8), SplitError, "training and held-out .* simulation 7"),
        ((0, 4, 0), (8, 8, 8), SplitError, "emulated and held-out .* simulation 0"),
        ((0, 4, 8), (8, 8, 2), LayoutError, "held-out: fields of 1 .* takes 2"),
        ((0, 4, 8), (2, 8, 8), LayoutError, "emulated: fields of 1 .* takes 2"),
        ((0, 4, 8), (8, 0, 8), LayoutError, "training: fields of 0 .* takes 1"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(firsts, numbers, error, message):
    rho = np.random.default_rng(0).lognormal(size=(8, 8, 8))
    sides = [
        Numbered(fields=rho[:number], simulation=first + np.arange(number) // 2)
        for first, number in zip(firsts, numbers, strict=True)
    ]
    with pytest.raises(error, match=message) as caught:
        find_copies(*sides)
    assert "\n" not in str(caught.value)


def test_fields_of_other_shapes_or_without_numbers_are_refused_in_one_line():
    rho = np.random.default_rng(0).lognormal(size=(8, 8, 8))
    sides = [Numbered(fields=rho, simulation=first + np.arange(8)) for first in (0, 10, 20)]
    small = Numbered(fields=rho[:, :6, :6], simulation=sides[2].simulation)
    few = Numbered(fields=rho, simulation=np.arange(5))
    for broken, message in (
        ((*sides[:2], small), "8, 8.*6, 6.*one shape"),
        ((small, *sides[:2]), "signatures: .*one kind"),
        ((few, *sides[1:]), "emulated: 8 fields and simulations of shape .5,."),
    ):
        with pytest.raises(LayoutError, match=message) as caught:
            find_copies(*broken)
        assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
