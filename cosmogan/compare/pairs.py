"""The paired comparison: emulated fields beside the simulations whose initial conditions they have.

Most of what makes two simulations differ is in their initial conditions. Given the same ones it cancels.
Every judged bin gets its ratio and interval as matched pairs
(`cosmogan.compare.matched`), the slices of a simulation averaged before, and all bins together are judged by
exchanging draws and truth. This speaks of this network: what another training set would have given stays out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare import floor
from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.findings import (
    BEATS,
    CANNOT_TELL,
    DOES_NOT_BEAT,
    Largest,
    Result,
    Score,
    judge_bins,
    locate,
    score,
)
from cosmogan.compare.matched import FEWEST, paired_interval, studentised, weigh_exchanges
from cosmogan.compare.phases import (
    Curve,
    Phases,
    Spectra,
    jackknife,
    left_open,
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
    draw_with_replacement,
)
from cosmogan.errors import LayoutError
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.layout import same_parameters
from cosmogan.session import available_cpus
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.table import StatisticsTable, average

AGAIN = "make it with emulate --like"
_READ_BYTES = 4 << 20  # of the truth at a time
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
    phases : Phases or None
        Of the emulated fields; None if P is judged nowhere.
    theory : Phases or None
        Of what perturbation theory makes of the initial conditions.
    left_open : Curve or None
        1 - r of the mean of many draws over that of theory: below 1, the network knows more.
    contest : str
        Whether it is below 1 in every shell, above in some outside all errors, or cannot be told.
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
    phases: Phases | None
    theory: Phases | None
    left_open: Curve | None
    contest: str
    spread: Score | None
    results: Mapping[str, Result]
    overall: Largest

    @property
    def undecided(self) -> bool:
        """Whether there are too few simulations to accuse anybody."""
        return self.simulations < FEWEST

    @property
    def bins(self) -> int:
        """Judged bins of all statistics."""
        return sum(len(result.bins) for result in self.results.values())

    def count(self, outcome: str) -> int:
        """Return how many bins of all statistics have this outcome."""
        return sum(result.count(outcome) for result in self.results.values())

    def summary(self) -> dict[str, Any]:
        """Return the numbers."""
        return asdict(self)


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
    matched = match(made.fields, truth.fields)
    tables = made.table, truth.table
    yardsticks = make_yardsticks(truth.table, rules)
    return Pairs(
        simulations=np.unique(truth.table.simulation[matched[0]]).size,
        fields=len(matched[0]),
        draws=matched[1].shape[1],
        **_compare_phases((made, truth), theory, matched, rules),
        results=paired_results(tables, matched, yardsticks, rules),
        overall=_exchange(tables, matched, yardsticks, rules),
    )


def _compare_phases(
    sides: tuple[Side, Side], theory: FieldSet | None, matched: _Match, rules: Rules
) -> dict[str, Any]:
    """Return the parts of `Pairs` that speak of phases, where P is judged."""
    made, truth = sides
    rows, draws = matched
    number, layout = draws.shape[1], truth.fields.layout
    power = truth.table.statistics.get("power")
    at = np.empty(0, np.intp) if power is None else judged_bins(power, **rules.limits(truth.table))
    nothing = dict.fromkeys(("phases", "theory", "left_open", "spread"))
    if power is None or not at.size:
        return {**nothing, "k": np.empty(0), "contest": CANNOT_TELL}

    def measure(of: FieldSet, partners: NDArray[np.intp]) -> Spectra:
        found = spectra(
            of,
            truth.fields,
            rows,
            partners,
            truth.table.simulation[rows],
            layout.box_size,
            at_a_time=max(1, _READ_BYTES // layout.sample_bytes),
            workers=available_cpus(),
        )
        return {name: values[:, at] for name, values in found.items()}

    own = measure(made.fields, draws)
    parts = {**nothing, "k": power.coordinate[at], "contest": CANNOT_TELL}
    parts["phases"] = phases(own, number)
    if number > 1:
        parts["spread"] = _spread(own, number, rules)
    if theory is not None:
        bare = measure(theory, partners(theory, truth.fields, rows))
        parts["theory"] = phases(bare, 1)
        if number > 1:
            parts["left_open"], parts["contest"] = _contest(own, number, bare)
    return parts


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
        If the fields are of another size, or a field of `made` has no partner.
    """
    for name in ("dimension", "grid", "box_size", "thickness"):
        here, there = getattr(made.layout, name), getattr(truth.layout, name)
        if not np.isclose(here, there, rtol=1e-6):
            raise LayoutError(f"{made.path}: {name} = {here}, but {there} in {truth.path}; {AGAIN}")
    place = {key: row for row, key in enumerate(_keys(truth, truth))}
    found: dict[int, list[int]] = {}
    for number, key in enumerate(_keys(made, truth)):
        if key not in place:
            raise LayoutError(
                f"{made.path}: field {number} has the initial conditions of no field of {truth.path}; "
                f"{AGAIN}"
            )
        found.setdefault(place[key], []).append(number)
    rows, draws = sorted(found), min(map(len, found.values()))
    return np.array(rows, np.intp), np.array([found[row][:draws] for row in rows], np.intp)


def _keys(of: FieldSet, truth: FieldSet) -> list[tuple[bytes, int]]:
    """Return the origin of each field, and which of the truth's parameters are its own, -1 for none."""
    names = [n for n in truth.layout.parameter_names if n in of.layout.parameter_names]
    here, there = (
        fields.parameters[:, [fields.layout.parameter_names.index(name) for name in names]]
        for fields in (of, truth)
    )
    which = np.full(len(here), -1)
    for number, parameters in enumerate(np.unique(there, axis=0)):
        which[same_parameters(here, parameters)] = number
    return [(o.tobytes(), w) for o, w in zip(of.origin, which.tolist(), strict=True)]


def partners(theory: FieldSet, truth: FieldSet, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Find the first partner (n, 1) of each of these fields of the truth.

    Raises
    ------
    LayoutError
        If one has none.
    """
    known, draws = match(theory, truth)
    missing = np.setdiff1d(rows, known)
    if missing.size:
        raise LayoutError(
            f"{theory.path}: has no partner of field {missing[0]} of {truth.path}; {AGAIN}"
        )
    return draws[np.searchsorted(known, rows), :1]


def _contest(own: Spectra, draws: int, bare: Spectra) -> tuple[Curve, str]:
    """Set the mean of many draws against theory; to lose in one shell of many takes more than 95 %."""
    both = {f"theory {name}": x for name, x in bare.items()} | dict(own)

    def ratio(x: Spectra) -> Array:
        return left_open(x, draws, {name: x[f"theory {name}"] for name in bare})

    found = jackknife(both, ratio)
    sure = jackknife(both, ratio, level=1 - (1 - LEVEL) / found.value.size)
    if (found.high < 1).all():
        return found, BEATS
    return found, DOES_NOT_BEAT if (sure.low > 1).any() else CANNOT_TELL


def _spread(own: Spectra, draws: int, rules: Rules) -> Score:
    found = jackknife(own, lambda x: _geometric_mean(spread(x, draws)))
    value, low, high = (float(x[0]) for x in (found.value, found.low, found.high))
    return score("spread of draws", floor.Measured(value=value, low=low, high=high), rules.scatter)


def _geometric_mean(x: Array) -> Array:
    mean: Array = np.exp(np.log(np.maximum(x, _TINY)).mean(axis=-1, keepdims=True))
    return mean


def paired_results(
    tables: tuple[StatisticsTable, StatisticsTable],
    matched: _Match,
    yardsticks: Sequence[Yardstick],
    rules: Rules,
) -> dict[str, Result]:
    """Judge the bins of two tables pair by pair.

    Parameters
    ----------
    tables : tuple of StatisticsTable
        Of the emulated fields, and of the truth.
    matched : (n,) and (n, M) ndarray of int
        Fields of the truth, and their partners, as `match` gives them.
    yardsticks : sequence of Yardstick
        What is judged.
    rules : Rules
        How strictly.
    """
    rng = np.random.default_rng([rules.seed, 7])
    number = np.unique(tables[1].simulation[matched[0]]).size
    counts = draw_with_replacement(rng, floor.RESAMPLES, number) / number
    return {y.name: _result(y, *_both(tables, matched, y), counts) for y in yardsticks}


def _result(yardstick: Yardstick, made: Array, true: Array, counts: Array) -> Result:
    """Judge the bins of a statistic, from one row a simulation of either side."""
    found = _set_against(yardstick, made.mean(axis=0), true.mean(axis=0))
    low, high = paired_interval(made, true, yardstick.amplitude)
    if yardstick.name == SCATTER:
        low, high = np.sqrt(np.maximum(low, 0.0)), np.sqrt(np.maximum(high, 0.0))
    away = studentised(made - true, (made.mean(axis=0) + true.mean(axis=0)) / 2)
    resampled = np.abs(_set_against(yardstick, counts @ made, counts @ true) - 1).mean(axis=1)
    error = floor.measured(float(np.abs(found - 1).mean()), resampled, len(made))
    return judge_bins(yardstick, found, (low, high), away, error)


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
    return locate(found, yardsticks)


def _both(
    tables: tuple[StatisticsTable, StatisticsTable],
    matched: _Match,
    yardstick: Yardstick,
    *,
    exchangeable: bool = False,
) -> tuple[Array, Array]:
    """Return one row a simulation of either side, in the same order.

    Of the scatter: the mean of (ln P - <ln P>)^2 about the mean of all simulations, or, to be exchangeable,
    of its own, which is nothing where a simulation has one field.
    """
    rows, draws = matched
    simulation = tables[1].simulation[rows]
    made, true = (
        yardstick.of(table[yardstick.source].samples)[at]
        for table, at in zip(tables, (draws, rows[:, None]), strict=True)
    )
    if yardstick.name != SCATTER:
        return average(made.mean(axis=1), simulation), average(true.mean(axis=1), simulation)
    sides = []
    for power in (made, true):
        logs = np.log(np.maximum(power, _TINY))
        logs = logs - logs.mean(axis=0)  # each draw about its own mean, as the truth is
        value = average((logs**2).mean(axis=1), simulation)
        if exchangeable:
            value = value - average(logs.mean(axis=1), simulation) ** 2
        sides.append(value)
    return sides[0], sides[1]


def _set_against(yardstick: Yardstick, made: Array, true: Array) -> Array:
    if yardstick.amplitude:
        parts: Array = 1 + (made - true) / yardstick.amplitude
        return parts
    found: Array = made / np.where(true == 0, _TINY, true)
    return np.sqrt(np.abs(found)) if yardstick.name == SCATTER else found
