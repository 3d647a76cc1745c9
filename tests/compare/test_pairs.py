"""The paired comparison: samplers that are right, that are not, and data sets that are no pairs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from cosmogan.compare import words
from cosmogan.compare.findings import BEATS, CANNOT_TELL, DOES_NOT_BEAT, FAIL
from cosmogan.compare.page import REPORT, VERDICT, Setting, write_report
from cosmogan.compare.pairs import judge_pairs, match
from cosmogan.compare.rules import Rules, make_yardsticks
from cosmogan.compare.samples import Side
from cosmogan.compare.units import SCATTER
from cosmogan.compare.verdict import judge
from cosmogan.errors import LayoutError
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.fields.store import create_folder, finish_folder, write_shard
from tests.compare.test_floor import measured

GRID, BOX, SLICES = 32, 100.0, 6
RULES = Rules(splits=100)
LAYOUT = Layout(
    dimension=2,
    grid=GRID,
    box_size=BOX,
    thickness=6.25,
    mass_assignment="cic",
    particles=0,
    parameter_names=("Omega_m", "redshift"),
)


def _red(count, rng):
    """Gaussian fields of a red spectrum and variance 1."""
    n = np.fft.fftfreq(GRID) * GRID, np.fft.rfftfreq(GRID) * GRID
    k = np.hypot(*np.meshgrid(*n, indexing="ij"))
    k[0, 0] = np.inf
    g = scipy.fft.irfft2(scipy.fft.rfft2(rng.standard_normal((count, GRID, GRID))) * k**-0.8)
    return g / g.std()


def _shaken(fields, rng):
    """Return fields with their structures moved by a few cells, each its own way."""
    return np.stack([np.roll(f, rng.integers(1, 4, 2), (0, 1)) for f in fields])


class World:
    """Lognormal universes whose initial conditions fix a share `known` of the Gaussian field."""

    def __init__(self, folder, simulations=8, known=0.8, seed=1):
        self.folder, self.known, self.rng = folder, known, np.random.default_rng(seed)
        number = np.arange(simulations * SLICES)
        self.origin = np.zeros(number.size, ORIGIN_DTYPE)
        self.origin["simulation"] = self.origin["seed"] = 100 + number // SLICES
        self.origin["axis"], self.origin["slab"] = 0, number % SLICES
        self.start = _red(number.size, self.rng)

    def draw(self, scatter=1.0):
        rest = _red(len(self.start), self.rng)
        g = np.sqrt(self.known) * self.start + scatter * np.sqrt(1 - self.known) * rest
        return np.exp(0.8 * g - 0.32).astype(np.float32)

    def write(self, name, *draws, rows=None, parameters=(0.3, 0.0)):
        """Write draws one after the other as a data set, and measure it."""
        fields = np.concatenate(draws)
        origin = np.tile(self.origin, len(draws))
        if rows is not None:
            fields, origin = fields[rows], origin[rows]
        path = self.folder / f"{name}.fields"
        create_folder(path, LAYOUT, provenance("test"), 1, name, expected_bytes=1)
        table = np.tile(np.array(parameters), (len(fields), 1))
        made = finish_folder(path, [write_shard(path, 0, fields, table, origin)])
        statistics = measured(fields, origin["simulation"], name, lambda _: origin)
        return Side(table=statistics, fields=made)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """A right sampler with three draws, its truth, and the initial conditions alone."""
    made = World(tmp_path_factory.mktemp("right"))
    truth = made.write("truth", made.draw())
    emulated = made.write("emulated", made.draw(), made.draw(), made.draw())
    bare = made.write("lpt", made.draw(scatter=2.0))
    return emulated, truth, bare


@pytest.fixture(scope="module")
def found(right):
    emulated, truth, bare = right
    return judge_pairs(emulated, truth, bare.fields, rules=RULES)


def test_a_right_sampler_is_told_by_nothing(found):
    assert (found.simulations, found.fields, found.draws) == (8, 48, 3)
    assert not found.overall.alarm
    # a bin whose interval misses 1, as one in twenty does, may miss the tolerance with it
    assert found.count(FAIL) < 0.025 * found.bins
    assert found.spread.value.low < 1 < found.spread.value.high
    assert ((found.phases.transfer.low < 1) & (found.phases.transfer.high > 1)).mean() > 0.8


def test_pairs_are_told_more_sharply_than_strangers(tmp_path):
    world, other = (World(tmp_path, known=0.97, seed=seed) for seed in (1, 9))
    truth = world.write("truth", world.draw())
    paired = judge_pairs(world.write("made", world.draw()), truth, rules=RULES)
    other.origin["simulation"] += 1000
    apart = other.write("apart", other.draw())
    strangers = judge({"apart": apart.table}, truth.table, rules=RULES).about
    for name in ("power", "pdf_smoothed", "minkowski_1"):
        widths = [
            np.median([b.high - b.low for b in of.results[name].bins]) for of in (paired, strangers)
        ]
        assert widths[0] < 0.5 * widths[1]


def test_every_judged_statistic_has_its_paired_ratio(found, right):
    expected = [y.name for y in make_yardsticks(right[1].table, RULES)]
    assert list(found.results) == expected
    assert SCATTER in expected
    ratio = found.results["power"].bins[0].ratio
    rows, draws = match(right[0].fields, right[1].fields)
    samples = [side.table["power"].samples[:, 0] for side in right[:2]]
    assert ratio == pytest.approx(samples[0][draws].mean() / samples[1][rows].mean())


def test_an_emulator_with_an_offset_is_told_from_eight_pairs(world):
    truth, draw = world.write("truth", world.draw()), world.draw()
    off = draw**1.06
    made = world.write("made", off / off.mean() * draw.mean())
    found = judge_pairs(made, truth, rules=RULES)
    assert found.overall.alarm
    assert found.overall.p_value == 2**-7
    assert found.left_open is None
    assert found.spread is None


def test_intervals_hold_their_ratios(world):
    truth = world.write("truth", world.draw())
    found = judge_pairs(world.write("made", world.draw() ** 1.3), truth, rules=RULES)
    for result in found.results.values():
        for b in result.bins:
            assert b.low <= b.ratio <= b.high or not np.isfinite(b.low)
    assert found.results["power"].bins[0].high < np.inf


def test_exchanging_a_simulation_with_its_draw_changes_nothing_of_the_null(world):
    """Of the scatter too, though it is about a mean that all fields share."""
    rules = Rules(splits=100, tolerance={"power": 0.2})
    truth, made = world.draw(), world.draw() ** 1.1
    first = (world.origin["simulation"] == world.origin["simulation"][0])[:, None, None]
    other = np.where(first, made, truth), np.where(first, truth, made)
    nulls = [
        judge_pairs(world.write(f"made {i}", m), world.write(f"truth {i}", t), rules=rules)
        for i, (t, m) in enumerate(((truth, made), other))
    ]
    assert nulls[0].overall.threshold == pytest.approx(nulls[1].overall.threshold, rel=1e-9)
    assert nulls[0].overall.deviation != pytest.approx(nulls[1].overall.deviation, rel=1e-3)


def test_a_network_without_noise_fails_by_its_spread(world):
    truth, draw = world.write("truth", world.draw()), world.draw(scatter=0.7)
    found = judge_pairs(world.write("made", draw, draw), truth, rules=RULES)
    assert found.spread.outcome == FAIL
    assert found.spread.value.value < 1e-6


def test_fields_of_other_initial_conditions_than_they_say_have_no_coherence(world):
    truth = world.write("truth", world.draw())
    stranger = World(world.folder, seed=5)
    found = judge_pairs(stranger.write("made", stranger.draw()), truth, rules=RULES)
    assert np.abs(found.phases.draw.value[2:]).max() < 0.2


def test_what_knows_more_than_theory_is_said_to(right):
    emulated, truth, bare = right
    better = judge_pairs(emulated, truth, bare.fields, rules=RULES)
    assert better.contest == BEATS
    assert "knows more" in words.on_pairs(better)[2][1]
    single = judge_pairs(bare, truth, emulated.fields, rules=RULES)
    assert (single.contest, single.left_open) == (CANNOT_TELL, None)


def test_what_knows_less_than_theory_is_said_to(world):
    truth = world.write("truth", world.draw())
    bare = world.write("lpt", world.draw(scatter=0.2))
    noisy = np.concatenate([_shaken(world.draw(), world.rng) for _ in range(2)])
    found = judge_pairs(world.write("made", *np.split(noisy, 2)), truth, bare.fields, rules=RULES)
    assert found.contest == DOES_NOT_BEAT
    assert "knows less" in words.on_pairs(found)[2][1]


def test_the_truth_itself_knows_all(world):
    draw = world.draw()
    truth, bare = world.write("truth", draw), world.write("lpt", world.draw())
    found = judge_pairs(world.write("made", draw, draw), truth, bare.fields, rules=RULES)
    assert found.contest == BEATS
    assert not found.overall.alarm
    assert words.on_pairs(found)[1][0] == "pass"


def test_without_a_power_spectrum_there_are_no_phases_but_pairs(world):
    rules = Rules(splits=100, tolerance={"pdf": 0.2})
    sides = world.write("truth", world.draw()), world.write("made", world.draw(), world.draw())
    truth, made = (
        Side(table=replace(of.table, statistics={"pdf": of.table["pdf"]}), fields=of.fields)
        for of in sides
    )
    found = judge_pairs(made, truth, rules=rules)
    assert found.phases is found.spread is None
    assert list(found.results) == ["pdf", "pdf_tail"]
    assert len(words.on_pairs(found)) == 2


def test_the_order_of_the_fields_does_not_matter(world):
    truth = world.write("truth", world.draw())
    draw = world.draw()
    order = world.rng.permutation(len(draw))
    plain, mixed = world.write("plain", draw), world.write("mixed", draw, rows=order)
    one, other = (judge_pairs(made, truth, rules=RULES) for made in (plain, mixed))
    np.testing.assert_allclose(one.phases.draw.value, other.phases.draw.value, rtol=1e-12)
    assert one.overall.deviation == pytest.approx(other.overall.deviation)
    assert one.results["pdf"].error.value == pytest.approx(other.results["pdf"].error.value)


def test_a_part_of_the_held_out_fields_is_enough(world):
    truth, draw = world.write("truth", world.draw()), world.draw()
    rows = np.flatnonzero(world.origin["slab"] % 2 == 0)
    found = judge_pairs(world.write("made", draw, draw, rows=rows), truth, rules=RULES)
    assert (found.fields, found.draws) == (rows.size, 1)


def test_what_is_no_pair_is_refused(world):
    truth = world.write("truth", world.draw())
    world.origin["seed"][5] += 1
    made = world.write("made", world.draw())
    with pytest.raises(LayoutError, match=r"field 5 has the initial conditions of no field"):
        judge_pairs(made, truth, rules=RULES)
    later = world.write("later", world.draw(), parameters=(0.3, 1.0))
    with pytest.raises(LayoutError, match="field 0 has the initial conditions of no field"):
        match(later.fields, truth.fields)


def test_a_theory_without_the_fields_is_refused(world):
    truth, made = world.write("truth", world.draw()), world.write("made", world.draw())
    part = world.write("part", world.draw(), rows=np.arange(7))
    with pytest.raises(LayoutError, match="has no partner of field 7"):
        judge_pairs(made, truth, part.fields, rules=RULES)


def test_few_simulations_accuse_nobody_and_say_so(tmp_path):
    world = World(tmp_path, simulations=5)
    truth, draw = world.write("truth", world.draw()), world.draw()
    found = judge_pairs(world.write("made", draw**1.2), truth, rules=RULES)
    assert found.undecided
    assert not found.overall.alarm
    assert words.on_pairs(found)[1] == ("unsure", "5 pairs of simulations can accuse no draw.")


def test_the_page_shows_the_pairs_and_the_file_repeats_them(right, found, tmp_path):
    emulated, truth, _ = right
    apart = replace(emulated.table, origin=emulated.table.origin.copy())
    apart.origin["simulation"] += 1000
    write_report(
        tmp_path,
        {"emulated": apart},
        truth.table,
        rules=RULES,
        setting=Setting(pairs=found),
    )
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    for piece in ("From the same initial conditions", "spread of draws", "The latent: what"):
        assert piece in page
    content = json.loads((tmp_path / VERDICT).read_text(encoding="utf-8"))
    assert content["pairs"]["contest"] == BEATS
    assert content["pairs"]["results"]["power"]["bins"][0]["ratio"] > 0
    for _, sentence in words.on_pairs(found):
        assert sentence in content["sentences"]
