"""A look at the fields themselves: whether they are new, diverse, and like those of simulations.

Mean and scatter of every statistic can be right though each tenth field is a copy, or half of what
simulations show is missing. Three questions, each with a null of its own that takes simulations, not
fields, for independent:

* *new*: nearest neighbours over all shifts and symmetries, among the training fields and among the
  emulated ones (`cosmogan.compare.novelty`);
* *diverse*: coverage, density and PQMass of the statistics of single fields
  (`cosmogan.compare.diversity`);
* *told apart*: a classifier trained for nothing else, on fields that nobody has seen
  (`cosmogan.compare.classifier`).

Each accuses one perfect emulator in twenty. Beside them stand the scores of Perraudin et al. 2019, where
there are simulations enough to say what a perfect one would score (`cosmogan.compare.perraudin`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cosmogan.compare.coverage import Features
from cosmogan.compare.diversity import Diversity, Stratum, diversity
from cosmogan.compare.novelty import MOST, TARGETS, Novelty, find_copies
from cosmogan.compare.perraudin import PUBLISHED_N, Scores, ceiling, perraudin_scores
from cosmogan.compare.placements import Classified
from cosmogan.compare.rules import Rules
from cosmogan.compare.units import Array, Numbered
from cosmogan.errors import CosmoganError, RecipeError
from cosmogan.fields.dataset import FieldSet
from cosmogan.session import available_cpus
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.table import StatisticsTable

Progress = Callable[[int, int], None]

FEATURES = (
    "power",
    "pdf_smoothed",
    "peaks",
    "reduced_bispectrum",
    "minkowski_1",
    "minkowski_2",
    "minkowski_3",
)
"""Statistics of a field that are its features, those that were measured; of the power the logarithm."""
PARTS = ("novelty", "diversity", "classified", "scores")
"""Of `Samples`, in the order of a report."""
CLASSIFIED = 2048
"""Most fields of a side that the classifier sees."""
BYTES = 2**30
"""Most bytes of a side that are looked at: of large cubes so many fewer."""
SCORED = 60
"""Most simulations of a side that Perraudin's scores see, a field of each."""
_TINY = 1e-100


@dataclass(frozen=True, kw_only=True)
class Side:
    """A data set and its statistics.

    Attributes
    ----------
    table : StatisticsTable
        Statistics, one row a field.
    fields : FieldSet
        The fields.
    """

    table: StatisticsTable
    fields: FieldSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What a look at the fields of one candidate found.

    Attributes
    ----------
    why : mapping of str to str
        For each part that is missing, why.
    novelty : Novelty or None
        Copies.
    diversity : Diversity or None
        Features.
    classified : Classified or None
        Whether a fresh network tells the fields from simulations.
    scores : tuple of Scores or None
        Perraudin's, and the medians of real against real.
    """

    why: Mapping[str, str]
    novelty: Novelty | None = None
    diversity: Diversity | None = None
    classified: Classified | None = None
    scores: tuple[Scores, Scores] | None = None

    @property
    def alarms(self) -> list[str]:
        """What is wrong though all statistics may be right: "novelty", "diversity"."""
        parts = {"novelty": self.novelty, "diversity": self.diversity}
        return [name for name, part in parts.items() if part is not None and part.alarm]

    def summary(self) -> dict[str, Any]:
        """Return the numbers, without the values behind them."""
        parts: dict[str, Any] = {"why": dict(self.why)}
        if self.novelty is not None:
            parts["novelty"] = _summary_of_copies(self.novelty)
        for name in ("diversity", "classified"):
            part = getattr(self, name)
            if part is not None:
                parts[name] = asdict(part) | {"alarm": part.alarm}
        if self.scores is not None:
            both = zip(("emulated", "simulated"), self.scores, strict=True)
            parts["perraudin"] = {name: asdict(scores) for name, scores in both}
        return parts


def look(
    emulated: Side,
    truth: Side,
    others: Mapping[str, Side],
    *,
    rules: Rules,
    progress: Progress = lambda _done, _total: None,
) -> Samples:
    """Look at the fields of a candidate.

    Parameters
    ----------
    emulated : Side
        The candidate.
    truth : Side
        Held-out simulations.
    others : mapping of str to Side
        The other simulations, "training" and "validation". Without the former nothing can be said of
        copies, and a classifier has nothing to learn from.
    rules : Rules
        Gives the judged bins and the seed.
    progress : callable
        Told how many questions are answered, of how many.
    """
    questions: dict[str, Callable[[], Any]] = {  # the longest first
        "classified": lambda: _classify(emulated, truth, _training(others), rules),
        "novelty": lambda: _look_for_copies(emulated, truth, _training(others), rules),
        "diversity": lambda: _compare_features(emulated, truth, others, rules),
        "scores": lambda: _score(emulated, [truth, *others.values()], rules),
    }
    return answer(questions, progress)


def answer(questions: Mapping[str, Callable[[], Any]], progress: Progress) -> Samples:
    """Answer questions side by side; what cannot be answered says why.

    Parameters
    ----------
    questions : mapping of str to callable
        By the name of the part of `Samples`, the longest first.
    progress : callable
        Told how many are answered, of how many.
    """
    answers: dict[str, Any] = {}
    progress(0, len(questions))
    # Its threads are daemons: an interrupt need not wait for an answer that nobody will read.
    cpus = min(available_cpus(), len(questions))
    with threadpool_limits(1, "blas"), ThreadPool(cpus) as threads:
        for name, answer in threads.imap_unordered(_ask, questions.items()):
            answers[name] = answer
            progress(len(answers), len(questions))
    return Samples(
        why={
            name: str(answers[name]) for name in PARTS if isinstance(answers[name], CosmoganError)
        },
        **{n: answer for n, answer in answers.items() if not isinstance(answer, CosmoganError)},
    )


def in_memory(fields: FieldSet) -> int:
    """Return how many fields of a data set are looked at, at most: two at least."""
    return max(2, BYTES // int(np.asarray(fields[0]).nbytes))


def search(
    made: Numbered[Any], learned: Numbered[Any], unseen: Numbered[Any], *, seed: int, room: int
) -> Novelty:
    """Look for copies among as many fields as there is room for."""
    most, targets = min(MOST, room), min(TARGETS, room)
    return find_copies(made, learned, unseen, most=most, targets=targets, seed=seed)


def features(table: StatisticsTable, truth: StatisticsTable, rules: Rules) -> Array:
    """Return the features of each field, (n, f): the bins of `FEATURES` that are judged.

    Parameters
    ----------
    table : StatisticsTable
        Any data set.
    truth : StatisticsTable
        Chooses the bins.
    rules : Rules
        Which are judged.
    """
    limits = rules.limits(truth)
    columns = []
    for name in FEATURES:
        if name in truth.statistics:
            samples = table[name].samples[:, judged_bins(truth[name], **limits)]
            columns.append(np.log(np.maximum(samples, _TINY)) if name == "power" else samples)
    if not columns:
        raise RecipeError(f"{truth.source}: no features; measure {', '.join(FEATURES)}")
    return np.concatenate(columns, axis=1)


def _ask(question: tuple[str, Callable[[], Any]]) -> tuple[str, Any]:
    """Return the name of a question with its answer, or with why there is none."""
    name, answer = question
    try:
        return name, answer()
    except CosmoganError as error:
        return name, error


def _summary_of_copies(novelty: Novelty) -> dict[str, Any]:
    near = {
        name: {
            "fields": part.rows.size,
            "largest": float(part.nearest.max()),
            "threshold": part.threshold,
            "medians": part.medians,
            "p_value": part.p_value,
            "suspects": part.suspects.tolist(),
        }
        for name, part in (("training", novelty.training), ("others", novelty.others))
    }
    return {
        **near,
        "searched": novelty.searched,
        "known": novelty.known,
        "pull": asdict(novelty.pull),
        "p_value": novelty.p_value,
        "alarm": novelty.alarm,
    }


def _training(others: Mapping[str, Side]) -> Side:
    if "training" not in others:
        raise RecipeError("no training fields are known; name them")
    return others["training"]


def _look_for_copies(emulated: Side, truth: Side, training: Side, rules: Rules) -> Novelty:
    made, learned, unseen = (
        Numbered(fields=side.fields, simulation=side.table.simulation)
        for side in (emulated, training, truth)
    )
    return search(made, learned, unseen, seed=rules.seed, room=in_memory(training.fields))


def _compare_features(
    emulated: Side, truth: Side, others: Mapping[str, Side], rules: Rules
) -> Diversity:
    def of(*sides: Side) -> Features:
        return Features(
            values=np.concatenate([features(s.table, truth.table, rules) for s in sides]),
            simulation=np.concatenate([s.table.simulation for s in sides]),
        )

    whole = Stratum(emulated=of(emulated), truth=of(truth), pool=of(truth, *others.values()))
    return diversity([whole], seed=rules.seed)


def _classify(emulated: Side, truth: Side, training: Side, rules: Rules) -> Classified:
    from cosmogan.compare import classifier

    sides = (
        Numbered(fields=side.fields[rows], simulation=side.table.simulation[rows])
        for side, rows in ((s, _spread(s)) for s in (emulated, training, truth))
    )
    return classifier.classify(
        *sides, seed=rules.seed, k_max=rules.k_max, steps=rules.classifier_steps
    )


def _spread(side: Side) -> NDArray[np.int64]:
    number = min(CLASSIFIED, len(side.fields), in_memory(side.fields))
    return np.linspace(0, len(side.fields) - 1, number).astype(np.int64)


def _score(emulated: Side, pool: Sequence[Side], rules: Rules) -> tuple[Scores, Scores]:
    box_size = float(pool[0].table.attributes["box_size"])
    number = sum(map(_simulations, pool))
    if number < 2 * PUBLISHED_N or min(map(_simulations, (pool[0], emulated))) < PUBLISHED_N:
        raise RecipeError(
            f"they are of {PUBLISHED_N} against {PUBLISHED_N} simulations, {2 * PUBLISHED_N} for real against "
            f"real: {_simulations(pool[0])} are held out, and {number} at hand"
        )
    real = [field for side in pool for field in _first_of_each(side)]
    highest = ceiling(real, box_size=box_size, seed=rules.seed)
    truth, made = (_first_of_each(side)[:PUBLISHED_N] for side in (pool[0], emulated))
    return perraudin_scores(truth, made, box_size=box_size), highest


def _simulations(side: Side) -> int:
    return int(np.unique(side.table.simulation).size)


def _first_of_each(side: Side) -> list[NDArray[np.float32]]:
    """Return the first field of each simulation, of `SCORED` at most."""
    rows = np.unique(side.table.simulation, return_index=True)[1][:SCORED]
    return [side.fields[row] for row in np.sort(rows).tolist()]
