"""The paired comparison: emulated fields beside the simulations whose initial conditions they have.

Most of what makes two simulations differ is in their initial conditions. Given the same ones it cancels, and
eight boxes tell what else takes hundreds. Every judged bin gets its ratio and interval as matched pairs
(`cosmogan.compare.matched`), the slices of a simulation averaged before, and all bins together are judged by
exchanging draws and truth. This speaks of this network: what another training set would have given stays out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare import floor
from cosmogan.compare.findings import (
    BEATS,
    CANNOT_TELL,
    DOES_NOT_BEAT,
    Bin,
    Largest,
    Result,
    Score,
    combine,
    decide,
)
from cosmogan.compare.matched import FEWEST, paired_interval, studentised, weigh_exchanges
from cosmogan.compare.phases import (
    Curve,
    Phases,
    Spectra,
    gain,
    jackknife,
    phases,
    spectra,
    spread,
)
from cosmogan.compare.rules import Rules, check_same_kind, make_yardsticks
from cosmogan.compare.samples import Side
from cosmogan.compare.units import (
    SCATTER,
    Array,
    Yardstick,
    columns,
    draw_with_replacement,
)
from cosmogan.errors import LayoutError
from cosmogan.fields.dataset import FieldSet
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.table import StatisticsTable, average

_TINY = 1e-100
_Match = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """What pairs of fields from the same initial conditions show.

    Attributes
    ----------
    simulations, fields, draws : int
        Of the truth that has partners, and how many partners each field has.
    k : (b,) ndarray
        Shells of the phases, those that are judged [h/Mpc].
    phases : Phases
        Of the emulated fields.
    theory : Phases or None
        Of what perturbation theory makes of the initial conditions.
    gain : Curve or None
        (1 - r) of theory over that of the mean of the draws: above 1, the network knows more.
    spread : Score or None
        Geometric mean of `Phases.spread`; None of a single draw.
    results : mapping of str to Result
        Ratios of all judged bins, pair by pair.
    overall : Largest
        The largest deviation of all bins of the first draw, among exchanges of draw and truth.
    """

    simulations: int
    fields: int
    draws: int
    k: Array
    phases: Phases
    theory: Phases | None
    gain: Curve | None
    spread: Score | None
    results: Mapping[str, Result]
    overall: Largest

    @property
    def undecided(self) -> bool:
        """Whether there are too few simulations to accuse anybody."""
        return self.simulations < FEWEST

    @property
    def contest(self) -> str:
        """Whether the mean of the draws is nearer to the truth than theory, in every shell."""
        if self.gain is None or self.simulations < 2:
            return CANNOT_TELL
        if (self.gain.low > 1).all():
            return BEATS
        return DOES_NOT_BEAT if (self.gain.high < 1).any() else CANNOT_TELL

    @property
    def bins(self) -> int:
        """Judged bins of all statistics."""
        return sum(len(result.bins) for result in self.results.values())

    def count(self, outcome: str) -> int:
        """Return how many bins of all statistics have this outcome."""
        return sum(result.count(outcome) for result in self.results.values())

    def summary(self) -> dict[str, Any]:
        """Return the numbers."""
        return asdict(self) | {"contest": self.contest}


def judge_pairs(made: Side, truth: Side, theory: FieldSet | None = None, *, rules: Rules) -> Pairs:
    """Judge fields against the very simulations whose initial conditions they have.

    Parameters
    ----------
    made : Side
        Emulated fields with the origins of simulated ones, one or more for each.
    truth : Side
        Held-out simulations.
    theory : FieldSet, optional
        What perturbation theory makes of the same initial conditions.
    rules : Rules
        What is judged and how strictly.

    Raises
    ------
    LayoutError
        If the data sets are not of the same kind, or a field has no partner.
    """
    check_same_kind(made.table, truth.table)
    matched = rows, draws = match(made.fields, truth.fields)
    simulation, box_size = truth.table.simulation[rows], truth.fields.layout.box_size
    at = judged_bins(truth.table["power"], **rules.limits(truth.table))

    def measure(of: FieldSet, partners: NDArray[np.intp]) -> Spectra:
        found = spectra(of, truth.fields, rows, partners, simulation, box_size)
        return {name: values[:, at] for name, values in found.items()}

    own = measure(made.fields, draws)
    bare = None if theory is None else measure(theory, _partners(theory, truth.fields, rows))
    yardsticks = make_yardsticks(truth.table, rules)
    return Pairs(
        simulations=np.unique(simulation).size,
        fields=len(rows),
        draws=draws.shape[1],
        k=truth.table["power"].coordinate[at],
        phases=phases(own, draws.shape[1]),
        theory=None if bare is None else phases(bare, 1),
        gain=None if bare is None else _gain(bare, own),
        spread=_spread(own, draws.shape[1], rules),
        results=_results((made.table, truth.table), matched, yardsticks, rules),
        overall=_exchange((made.table, truth.table), matched, yardsticks, rules),
    )


def match(made: FieldSet, truth: FieldSet) -> _Match:
    """Find the partners of simulated fields, by origin and parameters.

    Returns
    -------
    rows : (n,) ndarray of int
        Fields of the truth that have partners, in order.
    draws : (n, M) ndarray of int
        Their partners in the order of `made`; what has more than the others loses the rest.

    Raises
    ------
    LayoutError
        If a field of `made` has no partner.
    """
    place = {key: row for row, key in enumerate(_keys(truth, made))}
    found: dict[int, list[int]] = {}
    for number, key in enumerate(_keys(made, truth)):
        if key not in place:
            raise LayoutError(
                f"{made.path}: field {number} has the initial conditions of no field of {truth.path}; "
                "make it with emulate --like"
            )
        found.setdefault(place[key], []).append(number)
    rows, draws = sorted(found), min(map(len, found.values()))
    return np.array(rows, np.intp), np.array([found[row][:draws] for row in rows], np.intp)


def _keys(of: FieldSet, other: FieldSet) -> list[tuple[bytes, bytes]]:
    names = sorted(set(of.layout.parameter_names) & set(other.layout.parameter_names))
    at = [of.layout.parameter_names.index(name) for name in names]
    parameters = np.round(of.parameters[:, at], 6) + 0.0  # no negative zero
    return [(o.tobytes(), p.tobytes()) for o, p in zip(of.origin, parameters, strict=True)]


def _partners(theory: FieldSet, truth: FieldSet, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    known, draws = match(theory, truth)
    missing = np.setdiff1d(rows, known)
    if missing.size:
        raise LayoutError(
            f"{theory.path}: has no partner of field {missing[0]} of {truth.path}; make it with "
            "emulate --kind lpt --like"
        )
    return draws[np.searchsorted(known, rows), :1]


def _gain(theory: Spectra, own: Spectra) -> Curve:
    both = {f"theory {name}": x for name, x in theory.items()} | dict(own)
    return jackknife(both, lambda x: gain({n: x[f"theory {n}"] for n in theory}, x))


def _spread(own: Spectra, draws: int, rules: Rules) -> Score | None:
    if draws < 2:
        return None
    found = jackknife(own, lambda x: _geometric_mean(spread(x, draws)))
    value, low, high = (float(x[0]) for x in (found.value, found.low, found.high))
    return Score(
        name="spread of draws",
        value=floor.Measured(value=value, low=low, high=high),
        lowest=rules.scatter[0],
        highest=rules.scatter[1],
        outcome=decide(low, high, rules.scatter),
    )


def _geometric_mean(x: Array) -> Array:
    mean: Array = np.exp(np.log(np.maximum(x, _TINY)).mean(axis=-1, keepdims=True))
    return mean


def _results(
    tables: tuple[StatisticsTable, StatisticsTable],
    matched: _Match,
    yardsticks: Sequence[Yardstick],
    rules: Rules,
) -> dict[str, Result]:
    rng = np.random.default_rng([rules.seed, 7])
    number = np.unique(tables[1].simulation[matched[0]]).size
    counts = draw_with_replacement(rng, floor.RESAMPLES, number) / number
    return {y.name: _result(y, *_both(tables, matched, y), counts) for y in yardsticks}


def _result(yardstick: Yardstick, made: Array, true: Array, counts: Array) -> Result:
    """Judge the bins of a statistic, from one row a simulation of either side."""
    found = _ratio(yardstick, made.mean(axis=0), true.mean(axis=0))
    low, high = paired_interval(made, true, yardstick.amplitude)
    if yardstick.name == SCATTER:
        low, high = np.sqrt(np.maximum(low, 0.0)), np.sqrt(np.maximum(high, 0.0))
    away = studentised(made - true, (made.mean(axis=0) + true.mean(axis=0)) / 2)
    bins = tuple(
        Bin(
            coordinate=float(yardstick.coordinate[b]),
            ratio=float(found[b]),
            low=float(low[b]),
            high=float(high[b]),
            deviation=float(away[b]),
            outcome=decide(float(low[b]), float(high[b]), yardstick.tolerance),
        )
        for b in range(found.size)
    )
    resampled = np.abs(_ratio(yardstick, counts @ made, counts @ true) - 1).mean(axis=1)
    error = floor.measured(float(np.abs(found - 1).mean()), resampled, len(made))
    return Result(
        name=yardstick.name,
        label=yardstick.label,
        coordinate_label=yardstick.coordinate_label,
        coordinate_unit=yardstick.coordinate_unit,
        tolerance=yardstick.tolerance,
        amplitude=yardstick.amplitude,
        bins=bins,
        error=error,
        outcome=combine([b.outcome for b in bins]),
    )


def _exchange(
    tables: tuple[StatisticsTable, StatisticsTable],
    matched: _Match,
    yardsticks: Sequence[Yardstick],
    rules: Rules,
) -> Largest:
    rows, draws = matched
    sides = [_both(tables, (rows, draws[:, :1]), y, exchangeable=True) for y in yardsticks]
    made, true = (np.concatenate(side, axis=1) for side in zip(*sides, strict=True))
    found = weigh_exchanges(made, true, np.random.default_rng([rules.seed, 8]))
    at = columns(yardsticks)
    name = next(n for n, where in at.items() if found.column < where.stop)
    return Largest(
        statistic=name,
        coordinate=float(np.concatenate([y.coordinate for y in yardsticks])[found.column]),
        deviation=found.largest,
        threshold=found.threshold,
        p_value=found.p_value,
        alarm=found.alarm,
    )


def _both(
    tables: tuple[StatisticsTable, StatisticsTable],
    matched: _Match,
    yardstick: Yardstick,
    *,
    exchangeable: bool = False,
) -> tuple[Array, Array]:
    """Return one row a simulation of either side, in the same order.

    Of the scatter: the mean of (ln P - <ln P>)^2 about the mean of all simulations, or, to be exchangeable,
    of its own.
    """
    rows, draws = matched
    simulation = tables[1].simulation[rows]
    made, true = (
        table[yardstick.source].samples[:, yardstick.columns][at]
        for table, at in zip(tables, (draws, rows[:, None]), strict=True)
    )
    if yardstick.name != SCATTER:
        return average(made.mean(axis=1), simulation), average(true.mean(axis=1), simulation)
    sides = []
    for power in (made, true):
        logs = np.log(np.maximum(power, _TINY))
        logs = logs - logs.mean(axis=(0, 1))
        value = average((logs**2).mean(axis=1), simulation)
        if exchangeable:
            value = value - average(logs.mean(axis=1), simulation) ** 2
        sides.append(value)
    return sides[0], sides[1]


def _ratio(yardstick: Yardstick, made: Array, true: Array) -> Array:
    if yardstick.amplitude:
        parts: Array = 1 + (made - true) / yardstick.amplitude
        return parts
    found: Array = made / np.where(true == 0, _TINY, true)
    return np.sqrt(np.abs(found)) if yardstick.name == SCATTER else found
