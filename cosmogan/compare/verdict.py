"""The verdict: emulated fields against held-out simulations, bin by bin and all together.

The simulations are the unit of everything (`cosmogan.compare.units`). Each bin gets the ratio to the
truth with a 95 % interval (`cosmogan.compare.contrast`): Student's t below `STUDENT_BELOW`
simulations on the sparsest side, the bootstrap over simulations above, with symmetric quantiles of
the studentised deviation (Hall 1988). All bins together are judged by the largest studentised
deviation against its own null, and each statistic stands beside its floor (`cosmogan.compare.floor`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare import correlations, floor
from cosmogan.compare.contrast import LEVEL, STUDENT_BELOW, Contrast
from cosmogan.compare.correlations import Correlated, Products
from cosmogan.compare.findings import (
    BEATS,
    CANNOT_TELL,
    DOES_NOT_BEAT,
    Candidate,
    Contest,
    Result,
    Score,
    Verdict,
    judge_bins,
    locate,
    score,
)
from cosmogan.compare.rules import Rules, check_comparable, make_yardsticks
from cosmogan.compare.units import (
    SCATTER,
    SCATTER_OF,
    Array,
    Units,
    Yardstick,
    columns,
    draw_with_replacement,
    join,
    reduce_to_units,
)
from cosmogan.statistics.table import StatisticsTable

ANOTHER_DRAW = "another draw"
"""The training simulations, judged as if they were an emulator."""
IGNORANT = ("untrained", "lognormal")
"""Candidates that learned nothing and that a network must beat."""
UNLEARNED = (*IGNORANT, ANOTHER_DRAW)
"""Candidates that owe no error of a training set."""
CONTESTS = ("reduced_bispectrum", "pdf_smoothed")
"""Statistics on which a network must beat what knows nothing, or it learnt nothing: the bispectrum
field by field, since a few simulations cannot tell its mean (`cosmogan.statistics.bispectrum`)."""
_TRUTH, _TRAINING = "held-out simulations", "training simulations"
_VALIDATION = "validation simulations"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Court:
    """What all candidates are judged by."""

    truth: Units
    training: Units | None
    pool: Units
    yardsticks: Sequence[Yardstick]
    counts: Array
    """(B, n) how often each resample draws each held-out simulation: the same for everyone."""
    rules: Rules
    unowed: Collection[str]
    """Candidates that owe no error of a training set."""

    def contrast(self, name: str, units: Units) -> Contrast:
        """Set a candidate against the truth; what learned owes the error of its training set."""
        return Contrast(
            candidate=units,
            truth=self.truth,
            training=None if name in self.unowed else self.training,
            pool=self.pool,
            signed=self._mark([y.signed for y in self.yardsticks]),
            scatter=self._mark([y.name == SCATTER for y in self.yardsticks]),
            amplitude=np.repeat(
                [y.amplitude for y in self.yardsticks], [y.columns.size for y in self.yardsticks]
            ),
        )

    def chance(self, *purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose."""
        return np.random.default_rng([self.rules.seed, *purpose])

    def _mark(self, flags: Sequence[bool]) -> NDArray[np.bool_]:
        return np.repeat(np.array(flags), [y.columns.size for y in self.yardsticks])


def judge(
    candidates: Mapping[str, StatisticsTable],
    truth: StatisticsTable,
    *,
    training: StatisticsTable | None = None,
    validation: StatisticsTable | None = None,
    rules: Rules | None = None,
    conditional: Collection[str] = (),
) -> Verdict:
    """Judge candidates against held-out simulations.

    Parameters
    ----------
    candidates : mapping of str to StatisticsTable
        By name, the one the verdict is about first. All but those in `UNLEARNED`, and the conditional ones, owe the error
        of the training simulations, and are set against those.
    truth : StatisticsTable
        The held-out simulations.
    training, validation : StatisticsTable, optional
        The other simulations. The training set is judged too, as `ANOTHER_DRAW` of simulations.
    rules : Rules, optional
        What is judged and how strictly.
    conditional : collection of str
        Candidates that make fields from initial conditions: they learned what belongs to those, and not how these scatter, so
        that the cosmic variance of the training simulations is none of theirs.

    Raises
    ------
    LayoutError
        If the tables are not of the same kind of field, or lack a statistic.
    SplitError
        If another table shares a simulation with the truth.
    RecipeError
        If there is no candidate, or the truth has fixed amplitudes.
    """
    rules = rules or Rules()
    optional = {_TRAINING: training, _VALIDATION: validation}
    simulated = {name: table for name, table in optional.items() if table is not None}
    check_comparable(candidates, truth, simulated)
    yardsticks = make_yardsticks(truth, rules)
    court = _convene(truth, simulated, yardsticks, rules, (*UNLEARNED, *conditional))
    judged = {name: _units(table, yardsticks) for name, table in candidates.items()}
    if court.training is not None:
        judged[ANOTHER_DRAW] = court.training
    contrasts = {name: court.contrast(name, units) for name, units in judged.items()}
    subject = next(iter(candidates))
    products = _products(court, {**candidates, **simulated, _TRUTH: truth})
    drawn = floor.floors(contrasts[subject], columns(yardsticks), rules.splits, court.chance(0))
    if products:
        pool = [products[_TRUTH], *(products[name] for name in simulated)]
        like = next(iter(drawn.values()))
        drawn |= correlations.floors(pool, like, court.chance(5))
    return Verdict(
        subject=subject,
        truth=truth.source,
        simulations=len(court.truth),
        fields=court.truth.fields,
        training=0 if court.training is None else len(court.training),
        pool=len(court.pool),
        candidates={
            name: _judge_one(
                court, number, name, contrast, _correlated(court, number, name, products)
            )
            for number, (name, contrast) in enumerate(contrasts.items())
        },
        floors=drawn,
        correlation=_matrix(products),
        contests=tuple(_contests(court, subject, contrasts)),
        rules=rules,
    )


def _convene(
    truth: StatisticsTable,
    simulated: Mapping[str, StatisticsTable],
    yardsticks: Sequence[Yardstick],
    rules: Rules,
    unowed: Collection[str],
) -> _Court:
    held_out = _units(truth, yardsticks)
    others = {name: _units(table, yardsticks) for name, table in simulated.items()}
    rng = np.random.default_rng([rules.seed, 1])
    return _Court(
        truth=held_out,
        training=others.get(_TRAINING),
        pool=join([held_out, *others.values()]),
        yardsticks=yardsticks,
        counts=draw_with_replacement(rng, floor.RESAMPLES, len(held_out)),
        rules=rules,
        unowed=unowed,
    )


def _units(table: StatisticsTable, yardsticks: Sequence[Yardstick]) -> Units:
    samples = {y.source: table[y.source].samples for y in yardsticks}
    return reduce_to_units(samples, table.simulation, yardsticks)


def _products(court: _Court, tables: Mapping[str, StatisticsTable]) -> dict[str, Products]:
    """Return what correlation matrices are made of; nothing unless P is judged in two bins."""
    at = next((y.columns for y in court.yardsticks if y.name == SCATTER), np.empty(0, np.intp))
    if at.size < 2:
        return {}
    return {name: correlations.multiply(table, at) for name, table in tables.items()}


def _matrix(products: Mapping[str, Products]) -> tuple[tuple[float, ...], ...]:
    if not products:
        return ()
    return correlations.as_rows(correlations.correlation(products[_TRUTH])[0])


def _correlated(
    court: _Court, number: int, name: str, products: Mapping[str, Products]
) -> Correlated | None:
    if not products:
        return None
    return correlations.weigh(
        products[_TRAINING if name == ANOTHER_DRAW else name],
        products[_TRUTH],
        None if name in court.unowed else products.get(_TRAINING),
        court.chance(6, number),
        floor.RESAMPLES,
    )


def _judge_one(
    court: _Court, number: int, name: str, contrast: Contrast, correlated: Correlated | None
) -> Candidate:
    null = floor.null_deviations(contrast, court.chance(2, number))
    few = contrast.fewest < STUDENT_BELOW
    critical = contrast.student() if few else np.quantile(np.abs(null), LEVEL, axis=0)
    low, high = contrast.interval(critical)
    resampled = floor.bootstrap_ratios(contrast, court.counts, court.chance(3, number))
    at = columns(court.yardsticks)
    results = {
        y.name: _result(y, contrast, (low[at[y.name]], high[at[y.name]]), resampled, at[y.name])
        for y in court.yardsticks
    }
    return Candidate(
        name=name,
        fields=contrast.candidate.fields,
        simulations=len(contrast.candidate),
        learned=contrast.training is not None,
        results=results,
        overall=locate(floor.overall(contrast.deviation, null), court.yardsticks),
        scorecard=(
            *_scorecard(results, contrast, resampled, at),
            *([] if correlated is None else _correlationscores(correlated, court.rules)),
        ),
        correlation=correlated,
    )


def _result(
    yardstick: Yardstick,
    contrast: Contrast,
    interval: tuple[Array, Array],
    resampled: Array,
    at: slice,
) -> Result:
    ratio = contrast.ratio[at]
    errors = np.abs(resampled[:, at] - 1).mean(axis=1)
    error = floor.measured(float(np.abs(ratio - 1).mean()), errors, contrast.fewest)
    return judge_bins(yardstick, ratio, interval, contrast.deviation[at], error)


def _scorecard(
    results: Mapping[str, Result], contrast: Contrast, resampled: Array, at: Mapping[str, slice]
) -> list[Score]:
    scores = []
    if SCATTER_OF in results:
        power = results[SCATTER_OF]
        scores.append(score("power error", power.error, (-np.inf, power.tolerance[1] - 1)))
    if SCATTER in results:
        value = float(_geometric_mean(contrast.ratio[None, at[SCATTER]])[0])
        draws = _geometric_mean(resampled[:, at[SCATTER]])
        ratio = floor.measured(value, draws, contrast.fewest)
        scores.append(score("scatter ratio", ratio, results[SCATTER].tolerance))
    if "mean_density" in results:
        only = results["mean_density"].bins[0]
        ratio = floor.Measured(value=only.ratio, low=only.low, high=only.high)
        scores.append(score("mean density ratio", ratio, results["mean_density"].tolerance))
    return scores


def _correlationscores(correlated: Correlated, rules: Rules) -> list[Score]:
    passes = {
        correlations.CORRELATION: ("correlation ratio", rules.correlation),
        correlations.OWN_CORRELATION: ("correlation ratio over own means", rules.correlation),
        correlations.MEAN_SCATTER: ("scatter ratio of means", rules.means),
    }
    return [score(passes[n][0], ratio, passes[n][1]) for n, ratio in correlated.ratios.items()]


def _geometric_mean(ratio: Array) -> Array:
    mean: Array = np.exp(np.log(np.maximum(ratio, 1e-100)).mean(axis=1))
    return mean


def _contests(court: _Court, subject: str, contrasts: Mapping[str, Contrast]) -> list[Contest]:
    """Set the subject against what learned nothing, by the same resamples of the truth.

    The question is about this network, not about all that such a training set could have given: the
    error of the training simulations stays out.
    """
    at = {name: s for name, s in columns(court.yardsticks).items() if name in CONTESTS}
    others = [name for name in contrasts if name in IGNORANT]
    if subject in others:
        return []
    errors = {}
    for number, name in enumerate([subject, *others]):
        bare = replace(contrasts[name], training=None)
        draws = floor.bootstrap_ratios(bare, court.counts, court.chance(4, number))
        errors[name] = floor.mean_errors(np.concatenate([bare.ratio[None], draws]), at)
    fewest = min(contrasts[name].fewest for name in errors)
    return [
        _contest(statistic, (subject, other), errors[other][statistic] - mine, fewest)
        for other in others
        for statistic, mine in errors[subject].items()
    ]


def _contest(statistic: str, names: tuple[str, str], difference: Array, fewest: int) -> Contest:
    found = floor.measured(float(difference[0]), difference[1:], fewest)
    outcome = BEATS if found.low > 0 else DOES_NOT_BEAT if found.high < 0 else CANNOT_TELL
    return Contest(
        statistic=statistic,
        subject=names[0],
        other=names[1],
        difference=found,
        outcome=outcome,
    )
