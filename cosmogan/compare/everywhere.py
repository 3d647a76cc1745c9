"""A look at fields of many universes: whether they are new, diverse, and like those of simulations.

The questions are those of `cosmogan.compare.samples`. Emulated fields that have the initial conditions of the
simulations they are set against know these, and no null holds between the two. So the simulations are dealt
into two halves, universe by universe: what is emulated from the first is set against the second, and differs
from it in everything but the parameters.

* *new*: fields emulated from the first half, against training fields and the second half;
* *diverse*: the same against the second half, in each universe by itself;
* *told apart*: a classifier learns from what was emulated from the first half and this half itself, and
  judges the second likewise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.coverage import Features, Rows
from cosmogan.compare.diversity import Diversity, Stratum, diversity
from cosmogan.compare.novelty import Novelty
from cosmogan.compare.placements import Classified
from cosmogan.compare.rules import Rules
from cosmogan.compare.samples import CLASSIFIED, Samples, Side, answer, features, in_memory, search
from cosmogan.compare.units import Numbered
from cosmogan.errors import RecipeError
from cosmogan.fields.dataset import FieldSet, Progress
from cosmogan.statistics.table import StatisticsTable

Simulations = NDArray[np.int64]
SPLITS = 100
"""Splits of the simulations of every universe."""


@dataclass(frozen=True)
class Part:
    """Some fields of a data set, read when asked for."""

    fields: FieldSet
    rows: Rows

    def __len__(self) -> int:
        return int(self.rows.size)

    def __getitem__(self, rows: Rows) -> NDArray[np.float32]:
        return self.fields[self.rows[rows]]


def look_everywhere(
    made: Side,
    truth: Side,
    training: FieldSet | None,
    *,
    rules: Rules,
    progress: Progress = lambda _done, _total: None,
) -> Samples:
    """Look at the fields of an emulator in all universes.

    Parameters
    ----------
    made : Side
        Emulated fields with the origins and parameters of simulated ones.
    truth : Side
        Held-out simulations of several cosmologies or redshifts, two of each at least, better eight.
    training : FieldSet, optional
        What the emulator has learned from; without it nothing can be said of copies.
    rules : Rules
        Gives the judged bins and the seed.
    progress : callable
        Told how many questions are answered, of how many.
    """
    half = halves(made)
    questions: dict[str, Callable[[], Any]] = {  # the longest first
        "diversity": lambda: _compare_features(made, truth, half, rules),
        "classified": lambda: _classify(made, truth, half, training, rules),
        "novelty": lambda: _look_for_copies(made, truth, half, training, rules),
        "scores": _no_scores,
    }
    return answer(questions, progress)


def halves(made: Side) -> tuple[Simulations, Simulations]:
    """Deal the simulations whose initial conditions these fields have into two halves, in each universe in turn."""
    table = made.table
    universe = np.unique(table.parameters, axis=0, return_inverse=True)[1].reshape(-1)
    simulations, member = np.unique(table.simulation, return_inverse=True)
    first = np.full(simulations.size, universe.max(initial=0))
    np.minimum.at(first, member, universe)
    order = np.lexsort((simulations, first))
    one, other = (np.sort(simulations[order[i::2]]) for i in (0, 1))
    return one, other


def _of(side: Side, half: Simulations) -> Rows:
    """Return the rows of a half."""
    rows: Rows = np.flatnonzero(np.isin(side.table.simulation, half))
    if not rows.size:
        raise RecipeError("a single simulation has no halves; give counterparts of more")
    return rows


def _look_for_copies(
    made: Side,
    truth: Side,
    half: tuple[Simulations, Simulations],
    training: FieldSet | None,
    rules: Rules,
) -> Novelty:
    if training is None:
        raise RecipeError("no training fields are known; name them")
    emulated, unseen = (
        Numbered(fields=Part(side.fields, at), simulation=side.table.simulation[at])
        for side, at in ((made, _of(made, half[0])), (truth, _of(truth, half[1])))
    )
    learned = Numbered(fields=training, simulation=training.origin["simulation"])
    return search(emulated, learned, unseen, seed=rules.seed, room=in_memory(training))


def _compare_features(
    made: Side, truth: Side, half: tuple[Simulations, Simulations], rules: Rules
) -> Diversity:
    early, late = _of(made, half[0]), _of(truth, half[1])
    either, strata = _of(truth, np.concatenate(half)), []
    for point in np.unique(truth.table.parameters[either], axis=0):
        own = truth.table.take(_at(truth, either, point))

        def of(side: Side, rows: Rows, own: StatisticsTable = own) -> Features:
            table = side.table.take(rows)
            return Features(values=features(table, own, rules), simulation=table.simulation)

        emulated, held_out = of(made, _at(made, early, point)), of(truth, _at(truth, late, point))
        pool = of(truth, _at(truth, either, point))
        strata.append(Stratum(emulated=emulated, truth=held_out, pool=pool))
    return diversity(strata, seed=rules.seed, splits=SPLITS)


def _at(side: Side, rows: Rows, point: NDArray[np.float64]) -> Rows:
    """Return those of the rows that are of one universe."""
    here: Rows = rows[(side.table.parameters[rows] == point).all(axis=1)]
    return here


def _classify(
    made: Side,
    truth: Side,
    half: tuple[Simulations, Simulations],
    training: FieldSet | None,
    rules: Rules,
) -> Classified:
    from cosmogan.compare import classifier

    def some(side: Side, of: Simulations) -> classifier.Side:
        rows = _of(side, of)
        number = min(CLASSIFIED, rows.size, in_memory(side.fields))
        rows = rows[np.linspace(0, rows.size - 1, number).astype(np.intp)]
        return Numbered(fields=side.fields[rows], simulation=side.table.simulation[rows])

    learning, judged = ((some(made, of), some(truth, of)) for of in half)
    return classifier.classify_counterparts(
        learning,
        judged,
        owed=0 if training is None else training.simulations.size,
        seed=rules.seed,
        k_max=rules.k_max,
        steps=rules.classifier_steps,
    )


def _no_scores() -> None:
    raise RecipeError("they are of fields of one universe")
