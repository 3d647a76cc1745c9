"""What the verdict consists of, and its file ``verdict.json``.

A bin passes if its whole interval lies inside the tolerance, fails if it lies wholly outside, and
otherwise cannot be told: too few simulations can never pass.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmogan.compare.contrast import LEVEL, STUDENT_BELOW
from cosmogan.compare.correlations import Correlated
from cosmogan.compare.floor import FALSE_ALARMS, RESAMPLES, Floor, Measured, Overall
from cosmogan.compare.rules import Rules
from cosmogan.compare.units import Array, Yardstick, columns
from cosmogan.fields.files import whole_file

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"
BEATS, DOES_NOT_BEAT = "beats", "does not beat"
FORMAT = "cosmogan-verdict"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of one statistic: its ratio to the truth, the 95 % interval, the outcome.

    `deviation` is studentised: in units of the standard error.
    """

    coordinate: float
    ratio: float
    low: float
    high: float
    deviation: float
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """One statistic of one candidate.

    Attributes
    ----------
    name, label, coordinate_label, coordinate_unit : str
        Which statistic, in words.
    tolerance : tuple of float
        Lowest and highest ratio that passes.
    amplitude : float
        If above 0: a ratio is 1 + (candidate - truth) over this, the largest value of the truth.
    bins : tuple of Bin
        The judged bins.
    error : Measured
        Mean over the bins of |ratio - 1|.
    outcome : str
        Of all bins together.
    """

    name: str
    label: str
    coordinate_label: str
    coordinate_unit: str
    tolerance: tuple[float, float]
    amplitude: float
    bins: tuple[Bin, ...]
    error: Measured
    outcome: str

    def count(self, outcome: str) -> int:
        """Return how many bins have this outcome."""
        return sum(b.outcome == outcome for b in self.bins)


@dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest studentised deviation of a candidate, where it is, and what chance makes of it.

    `threshold` is exceeded by one perfect emulator in twenty; `alarm` says that this one is told from
    simulations.
    """

    statistic: str
    coordinate: float
    deviation: float
    threshold: float
    p_value: float
    alarm: bool


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the scorecard: a number, its interval, what passes, the outcome."""

    name: str
    value: Measured
    lowest: float
    highest: float
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Everything found about one candidate.

    Attributes
    ----------
    name : str
        As the table was called.
    fields, simulations : int
        How many, and how many are independent.
    learned : bool
        Whether the error of the training simulations is in its intervals.
    results : mapping of str to Result
        By statistic, the scatter of ln P among them.
    overall : Largest
        All bins together.
    scorecard : tuple of Score
        Mean error of P, scatter ratio, mean density ratio; of slices the ratios of the correlations of P and of P over the square of their mean
        density, and of the scatter of that.
    correlation : Correlated or None
        How the bins of P vary together; None if P is not judged in two bins at least.
    """

    name: str
    fields: int
    simulations: int
    learned: bool
    results: Mapping[str, Result]
    overall: Largest
    scorecard: tuple[Score, ...]
    correlation: Correlated | None

    def count(self, outcome: str) -> int:
        """Return how many bins of all statistics have this outcome."""
        return sum(result.count(outcome) for result in self.results.values())

    @property
    def bins(self) -> int:
        """Judged bins of all statistics."""
        return sum(len(result.bins) for result in self.results.values())

    @property
    def outcome(self) -> str:
        """Outcome over all statistics."""
        return combine([result.outcome for result in self.results.values()])


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Whether `subject` is closer to the truth than `other` in one statistic.

    `difference` is the mean |ratio - 1| of the other minus that of the subject: above 0, the subject
    is closer.
    """

    statistic: str
    subject: str
    other: str
    difference: Measured
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement of all candidates against one set of held-out simulations.

    Attributes
    ----------
    subject : str
        The candidate the verdict is about: the first.
    truth : str
        Name of the held-out data set.
    simulations, fields : int
        Of the truth.
    training, pool : int
        Simulations learned from (0: unknown), and all at hand.
    candidates : mapping of str to Candidate
        By name.
    floors : mapping of str to Floor
        What draws of simulations show, with the numbers of the subject's comparison.
    correlation : tuple of tuple of float
        Correlation matrix of ln P of the truth in the judged bins; empty if it has none.
    contests : tuple of Contest
        The subject against the candidates that learned nothing.
    rules : Rules
        What was fixed before.
    """

    subject: str
    truth: str
    simulations: int
    fields: int
    training: int
    pool: int
    candidates: Mapping[str, Candidate]
    floors: Mapping[str, Floor]
    correlation: tuple[tuple[float, ...], ...]
    contests: tuple[Contest, ...]
    rules: Rules

    @property
    def learnt(self) -> bool | None:
        """Whether the subject won every contest; None if there was none."""
        return all(c.outcome == BEATS for c in self.contests) if self.contests else None

    @property
    def about(self) -> Candidate:
        """The candidate the verdict is about."""
        return self.candidates[self.subject]


def decide(low: float, high: float, tolerance: tuple[float, float]) -> str:
    """Return the outcome of an interval against a tolerance."""
    if tolerance[0] <= low and high <= tolerance[1]:
        return PASS
    return FAIL if high < tolerance[0] or low > tolerance[1] else CANNOT_TELL


def combine(outcomes: Sequence[str]) -> str:
    """Return fail if one fails, pass if all pass, else cannot tell."""
    if FAIL in outcomes:
        return FAIL
    return PASS if outcomes and all(outcome == PASS for outcome in outcomes) else CANNOT_TELL


def conclude(about: Candidate, alarms: Sequence[str]) -> str:
    """Return the outcome of everything.

    Forecasts stand or fall with how the bins of P vary together, which no bin shows; and what no statistic shows, as
    copies, leaves open what passes otherwise: an alarm accuses one perfect emulator in twenty.

    Parameters
    ----------
    about : Candidate
        Whose bins, and correlations of P, were judged.
    alarms : sequence of str
        What a look at its fields found wrong.
    """
    outcomes = [about.outcome, *(s.outcome for s in about.scorecard if s.outcome == FAIL)]
    found = combine(outcomes)
    return CANNOT_TELL if found == PASS and alarms else found


def judge_bins(
    yardstick: Yardstick,
    ratio: Array,
    interval: tuple[Array, Array],
    deviation: Array,
    error: Measured,
) -> Result:
    """Judge the bins of a statistic.

    Parameters
    ----------
    yardstick : Yardstick
        The judged quantity, of b bins.
    ratio, deviation : (b,) ndarray of float64
        Candidate over truth, and how many standard errors that is off.
    interval : pair of (b,) ndarrays of float64
        Lowest and highest ratio.
    error : Measured
        Mean over the bins of abs(ratio - 1).
    """
    rows = zip(yardstick.coordinate, ratio, *interval, deviation, strict=True)
    bins = tuple(
        Bin(
            coordinate=float(coordinate),
            ratio=float(value),
            low=float(low),
            high=float(high),
            deviation=float(away),
            outcome=decide(low, high, yardstick.tolerance),
        )
        for coordinate, value, low, high, away in rows
    )
    return Result(
        name=yardstick.name,
        label=yardstick.label,
        coordinate_label=yardstick.coordinate_label,
        coordinate_unit=yardstick.coordinate_unit,
        tolerance=yardstick.tolerance,
        amplitude=yardstick.amplitude,
        bins=bins,
        error=replace(error, low=max(error.low, 0.0)),
        outcome=combine([b.outcome for b in bins]),
    )


def locate(found: Overall, yardsticks: Sequence[Yardstick]) -> Largest:
    """Say in which statistic the largest deviation is, and where."""
    name = next(n for n, at in columns(yardsticks).items() if found.column < at.stop)
    coordinate = np.concatenate([y.coordinate for y in yardsticks])[found.column]
    return Largest(
        statistic=name,
        coordinate=float(coordinate),
        deviation=found.largest,
        threshold=found.threshold,
        p_value=found.p_value,
        alarm=found.alarm,
    )


def score(name: str, value: Measured, passes: tuple[float, float]) -> Score:
    """Judge a number."""
    outcome = decide(value.low, value.high, passes)
    return Score(name=name, value=value, lowest=passes[0], highest=passes[1], outcome=outcome)


def write_verdict(path: str | Path, verdict: Verdict, more: Mapping[str, Any]) -> None:
    """Write a verdict as JSON; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    verdict : Verdict
        What was found.
    more : mapping
        Written beside it: the sentence, what made it. Infinite or undefined numbers become null.
    """
    content = dict(  # which refuses a key twice
        student_below=STUDENT_BELOW, learnt=verdict.learnt, **dataclasses.asdict(verdict), **more
    )
    write_findings(path, content)


def write_findings(path: str | Path, found: Mapping[str, Any]) -> None:
    """Write what was found as JSON, with its format; the file appears whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "level": LEVEL,
        "false_alarms": FALSE_ALARMS,
        "resamples": RESAMPLES,
        **found,
    }
    text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False)
    with whole_file(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON may be anything)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
