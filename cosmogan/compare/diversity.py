"""Diversity: whether emulated fields fill the space of features that simulations fill.

The measures are those of `cosmogan.compare.coverage`. Textbook values hold for independent fields alone. What
is expected comes from splits of a pool of simulations into two sides that share none, with as many
simulations and fields as the emulated and the true ones; one side plays the emulator. An emulator of more
seeds than simulations are left over is judged as another draw of these, which scatters more: the alarm is
then conservative. The pool is of the emulator's parameters: another choice of cosmologies or redshifts is
told apart as well.

Where universes differ, each is a stratum: its fields are whitened, measured and split by themselves, for
another sigma_8 is no lack of diversity. What is judged is the mean over strata; a simulation that appears in
several, at several redshifts, falls on the same side in all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cosmogan.compare.coverage import (
    NEIGHBOURS,
    Array,
    Features,
    Members,
    Rows,
    coverage_and_density,
    pqmass,
    whiten,
)
from cosmogan.compare.floor import FALSE_ALARMS
from cosmogan.errors import LayoutError, RecipeError, SplitError

Generator = np.random.Generator

TAILS = {"coverage": "low", "density": "both", "pqmass": "high"}
"""The measures, and where each is bad."""
MEASURES = tuple(TAILS)
FIELDS, FEWEST_FIELDS = 1500, 30
"""Most and fewest fields on a side; the time goes with their square."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stratum:
    """What is compared in one universe.

    Attributes
    ----------
    emulated, truth : Features
        They share no simulation.
    pool : Features
        All simulations at hand, the truth among them.
    """

    emulated: Features
    truth: Features
    pool: Features


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of emulated fields, and what simulations against simulations give."""

    value: float
    """Of the emulated fields."""
    median: float
    low: float
    high: float
    """Median, 5th and 95th percentile over the splits of the pool."""
    p_value: float
    """Share of splits as bad: as low for coverage, as high for pqmass, doubled for density."""


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Whether emulated fields are as diverse as simulations."""

    measures: Mapping[str, Measure]
    """By name; the mean over strata."""
    p_value: float
    """Share of splits whose worst measure is at least as bad."""
    fields: int
    """Fields on either side, of all strata."""
    simulations: tuple[int, int]
    """Simulations on the side of the emulator and that of the truth, in each split, of a stratum at most."""
    splits: int
    components: int
    """Principal components of the features, of a stratum at most."""
    strata: int = 1
    neighbours: int = NEIGHBOURS

    @property
    def alarm(self) -> bool:
        """Whether the fields can be told from simulations, as one perfect emulator in twenty can."""
        return self.p_value <= FALSE_ALARMS


def diversity(
    strata: Sequence[Stratum],
    *,
    seed: int,
    splits: int = 200,
    fields: int = FIELDS,
    measures: Sequence[str] = MEASURES,
) -> Diversity:
    """Compare the diversity of emulated fields with that of simulations.

    Parameters
    ----------
    strata : sequence of Stratum
        One a universe.
    seed : int
        Where chance comes from.
    splits : int
        Random splits of the pools; below 100 the p-values are coarse.
    fields : int
        Most fields on a side; more are thinned at random, evenly over simulations. Of n strata each gets
        1 / sqrt(n) of them, which takes the time of one.
    measures : sequence of str
        Any of `MEASURES`; "pqmass" needs the package pqm.

    Raises
    ------
    LayoutError, RecipeError, ResourceError, SplitError
        If features differ in number or do not vary; simulations or fields are too few, a measure is
        unknown; pqm is not installed; emulated and true fields share a simulation.

    Notes
    -----
    All measures together are judged by the largest deviation: of each, its distance from the median
    towards its bad side, over that of the 5th or 95th percentile. Value and splits are ranked among
    themselves, so that every p is (1 + count) / (1 + splits).
    """
    _check(strata, measures)
    most = max(min(fields, FEWEST_FIELDS), int(fields / math.sqrt(len(strata))))
    plans = [_plan(stratum, most, splits) for stratum in strata]
    rng = np.random.default_rng(seed)
    drawn = [plan.draw(rng) for plan in plans]
    rows = [_mean(drawn, measures, rng)]
    simulations = np.unique(np.concatenate([s.pool.simulation for s in strata]))
    for _ in range(splits):
        lots = rng.random(simulations.size)
        dealt = [p.deal(lots[np.searchsorted(simulations, p.simulations)], rng) for p in plans]
        rows.append(_mean(dealt, measures, rng))
    values, number = np.array(rows), sum(plan.fields for plan in plans)
    return Diversity(
        measures={name: _summary(values[:, i], TAILS[name]) for i, name in enumerate(measures)},
        p_value=_share(_deviations(values, measures, 1 / number).max(axis=1)),
        fields=number,
        simulations=max(plan.sides for plan in plans),
        splits=splits,
        components=max(whiten(truth).axes.shape[1] for _, truth in drawn),
        strata=len(strata),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """How a stratum is split: so many fields, and simulations, on either side of every comparison."""

    stratum: Stratum
    fields: int
    sides: tuple[int, int]
    simulations: Members
    """Of the pool, in order."""
    members: Members
    """Of each field of the pool, its place among them."""

    def draw(self, rng: Generator) -> tuple[Features, Features]:
        """Draw emulated and true fields."""
        one, other = self.stratum.emulated, self.stratum.truth
        return (
            one[_draw(_members(one), self.sides[0], self.fields, rng)],
            other[_draw(_members(other), self.sides[1], self.fields, rng)],
        )

    def deal(self, lots: Array, rng: Generator) -> tuple[Features, Features]:
        """Deal the simulations of the pool by their lots, and draw as many fields of both sides."""
        order, (first, second), pool = np.argsort(lots), self.sides, self.stratum.pool
        one, other = order[:first], order[first : first + second]
        return (
            pool[_deal(self.members, one, self.fields, rng)],
            pool[_deal(self.members, other, self.fields, rng)],
        )


def _plan(stratum: Stratum, fields: int, splits: int) -> _Plan:
    sides = stratum.emulated, stratum.truth, stratum.pool
    made, true, whole = (np.sort(np.bincount(_members(side))) for side in sides)
    second = min(true.size, whole.size // 2)
    first = min(made.size, whole.size - second)
    poorest = made, true[:second], whole[:second], whole[:first]
    number = min(fields, *(int(counts.sum()) for counts in poorest))
    ways = math.comb(whole.size, first) * math.comb(whole.size - first, second)
    if splits < 1 or second < 2 or number < FEWEST_FIELDS or ways * FALSE_ALARMS < 1:
        have = f"{true.size} true simulations, {whole.size} in the pool, {number} fields, {splits} splits"
        raise RecipeError(f"{have}: give 2, 6, {FEWEST_FIELDS} a side, and 100 or more")
    simulations, members = np.unique(stratum.pool.simulation, return_inverse=True)
    return _Plan(
        stratum=stratum,
        fields=number,
        sides=(first, second),
        simulations=simulations,
        members=members.astype(np.int64),
    )


def _check(strata: Sequence[Stratum], measures: Sequence[str]) -> None:
    if not strata:
        raise RecipeError("no universe to compare fields in; give one")
    if not measures or not set(measures) <= set(MEASURES):
        raise RecipeError(f"measures = {list(measures)}: give some of {list(MEASURES)}")
    for stratum in strata:
        sides = stratum.emulated, stratum.truth, stratum.pool
        widths = {side.values.shape[1] for side in sides}
        if len(widths) > 1:
            raise LayoutError(
                f"fields have {sorted(widths)} features; give all of them the same ones"
            )
        shared = np.intersect1d(stratum.emulated.simulation, stratum.truth.simulation)
        if shared.size:
            raise SplitError(
                f"simulation {shared[0]} is both emulated and true; take it out of one"
            )


def _members(features: Features) -> Members:
    """Return the number of the simulation of each field, counted from 0."""
    return np.unique(features.simulation, return_inverse=True)[1].astype(np.int64)


def _draw(members: Members, simulations: int, fields: int, rng: Generator) -> Rows:
    """Deal fields of so many random simulations, or of more if these hold too few."""
    counts = np.bincount(members)
    order = rng.permutation(counts.size)
    enough = int(np.searchsorted(np.cumsum(counts[order]), fields)) + 1
    return _deal(members, order[: max(simulations, enough)], fields, rng)


def _deal(members: Members, chosen: Rows, fields: int, rng: Generator) -> Rows:
    """Return rows of so many random fields of the chosen simulations, in turn from each."""
    rows = np.flatnonzero(np.isin(members, chosen))
    rows = rows[np.lexsort((rng.random(rows.size), members[rows]))]
    turn = np.arange(rows.size) - np.searchsorted(members[rows], members[rows])
    return rows[np.lexsort((rng.random(rows.size), turn))[:fields]]


def _mean(
    pairs: Sequence[tuple[Features, Features]], names: Sequence[str], rng: Generator
) -> Array:
    """Return the mean over strata of each measure."""
    mean: Array = np.mean([_measure(*pair, names, rng) for pair in pairs], axis=0)
    return mean


def _measure(one: Features, other: Features, names: Sequence[str], rng: Generator) -> list[float]:
    whitening = whiten(other)
    emulated, truth = (whitening.apply(side.values) for side in (one, other))
    found = dict(
        zip(MEASURES, coverage_and_density(emulated, truth, other.simulation), strict=False)
    )
    if "pqmass" in names:
        found["pqmass"] = pqmass(emulated, truth, seed=int(rng.integers(2**32)))
    return [found[name] for name in names]


def _summary(values: Array, tail: str) -> Measure:
    """Sum up the value of the emulated fields, which comes first, and those of the splits."""
    low, median, high = np.quantile(values[1:], [0.05, 0.5, 0.95]).tolist()
    below, above = _share(-values), _share(values)
    p_value = {"low": below, "high": above, "both": min(1.0, 2 * min(below, above))}[tail]
    return Measure(value=float(values[0]), median=median, low=low, high=high, p_value=p_value)


def _share(values: Array) -> float:
    """Return the share of all values, the first included, that are at least as high as the first."""
    return float((values >= values[0]).mean())


def _deviations(values: Array, measures: Sequence[str], resolution: float) -> Array:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    below = (median - values) / np.maximum(median - low, resolution)
    above = (values - median) / np.maximum(high - median, resolution)
    bad = {"low": below, "high": above, "both": np.maximum(below, above)}
    return np.stack([bad[TAILS[name]][:, i] for i, name in enumerate(measures)], axis=1)
