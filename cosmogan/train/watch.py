"""Whether a training goes wrong, asked at every reading: collapse, copies, learning by heart.

Fields are compared by what no shift or turn changes, their power spectrum and distribution, about what is expected at
their parameters and in units of their scatter, both of training fields: universes differ by more than the fields of one, and would stand in
for what is missing in each other. Every number is 1 for a right sampler, but for the gap, which is 0, and has
a range outside which an alarm is told in the log, long before the verdict:

* *coverage* (Naeem et al. 2020, arXiv:2002.09797): share of validation fields with a generated one as near as their
  k-th neighbour, over 1 - 2^-k. It falls when modes are missing, and where nothing is right yet: it is asked once a
  third of the training is over.
* *pair distance*: median distance of a generated field to the nearest other one, over that of validation fields. It
  falls when all fields look alike.
* *nearest*: distance of a generated field to the nearest training field that a tenth of them fall below, over that of
  validation fields. It falls when a tenth copies training fields.
* *scatter* of log P over fields, generated over simulated.
* *spread*: mean square difference of two draws from the same initial conditions, over that of a draw and its
  simulation. It falls when noise is ignored.
* *gap*: by how much training fields outscore generated ones in their place, minus the same of validation fields: a
  score alone means nothing across universes and initial conditions. It grows when training fields are learnt by heart.
* *balance*: the relativistic loss of the discriminator, over its value when the networks are level. It falls when
  the discriminator wins.
* *prediction*, once, before the game: squared error of the predicted mean on validation fields, over that on training
  fields. It grows when the predictor learns these by heart.
* *progress*: score of the reading over that of the generator before its first step, asked as late.
* *score* of the reading itself, in tolerances, as late: a training that is that far off by then arrived nowhere in the study.
* *relapse*: score of the reading over the best before, as late. It jumps when the networks lose each other.
* *standstill*: share of the training since the best reading, asked where this is still `FAR` off.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cosmogan.models.standard import Standard
from cosmogan.statistics.table import Statistic

NEIGHBOURS = 5
"""k of the coverage."""
EARLY = 1 / 3
"""Share of a training in which nothing can be told yet of some numbers."""
FAR = 0.5
"""Score, in tolerances, at which a training may not stand still."""
RANGES: Mapping[str, tuple[float, float]] = {
    "coverage": (0.6, np.inf),
    "pair_distance": (0.6, np.inf),
    "nearest": (0.6, np.inf),
    "scatter": (0.7, 1.4),
    "spread": (0.5, 2.0),
    "gap": (-np.inf, 0.5),
    "balance": (0.15, np.inf),
    "prediction": (-np.inf, 1.3),
    "progress": (-np.inf, 1.0),
    "score": (-np.inf, 1.0),
    "relapse": (-np.inf, 2.0),
    "standstill": (-np.inf, 1 / 3),
}
"""Where each number raises no alarm."""
LATE = ("coverage", "progress", "score", "relapse")
"""What every training fails at first: it is asked once a share `EARLY` of it is over."""

SEEN = ("power", "pdf")
"""Statistics by which fields are compared."""
KNOWN = 8192
"""At most so many training fields are compared."""
FILLED = 0.1
"""Share of the validation fields that must fill a bin of the distribution for it to count: where hardly any has a
cell, one cell would be a distance without bounds, and hide that fields are alike."""
COPIED = 0.1
"""Share of fields whose distance to the nearest training field is asked."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Fields, as they are compared.

    Attributes
    ----------
    statistics : mapping of str to Statistic
        `SEEN` at least.
    conditions : (n, c) float32 ndarray
        Their parameters that vary, [-1, 1] in the trained range; c = 0 in one universe.
    """

    statistics: Mapping[str, Statistic]
    conditions: NDArray[np.float32]


class Watch:
    """Knows how far simulated fields are from each other.

    Parameters
    ----------
    training, validation : Seen
        Fields of both sides.
    """

    def __init__(self, training: Seen, validation: Seen) -> None:
        self._filled = (validation.statistics["pdf"].samples > 0).mean(axis=0) >= FILLED
        known = self._features(training.statistics)
        self._expected = Standard(known.shape[1], training.conditions.shape[1]).double()
        self._expected.fit(known, torch.from_numpy(training.conditions), least=1e-9)
        self.training, self.validation = self._standard(training), self._standard(validation)
        among = _others(self.validation)
        self.few = len(among) <= NEIGHBOURS
        self.radius = np.sort(among, axis=1)[:, min(NEIGHBOURS, len(among)) - 1]
        self.apart = float(np.median(among.min(axis=1)))
        self.strange = self._nearest(self.validation)

    def look(self, made: Seen) -> dict[str, float]:
        """Return coverage, pair distance and nearest of generated fields; nothing beside too few fields."""
        if self.few:
            return {}
        fields = self._standard(made)
        covered = cdist(self.validation, fields).min(axis=1) <= self.radius
        return {
            "coverage": float(covered.mean()) / (1 - 0.5**NEIGHBOURS),
            "pair_distance": float(np.median(_others(fields).min(axis=1))) / self.apart,
            "nearest": self._nearest(fields) / self.strange,
        }

    def _nearest(self, fields: _Array) -> float:
        return float(np.quantile(cdist(fields, self.training).min(axis=1), COPIED))

    def _standard(self, seen: Seen) -> _Array:
        features, conditions = self._features(seen.statistics), torch.from_numpy(seen.conditions)
        standard: _Array = self._expected(features, conditions).numpy()
        return standard

    def _features(self, of: Mapping[str, Statistic]) -> torch.Tensor:
        power, cells = of["power"].samples, of["pdf"].samples[:, self._filled]
        rooted = np.sqrt(np.maximum(cells, 0))
        features = np.concatenate([np.log(np.maximum(power, 1e-30)), rooted], axis=1)
        return torch.from_numpy(features.astype(np.float64))


@dataclass
class Course:
    """How the score of a training goes.

    Parameters
    ----------
    untrained : float
        Score of the generator before its first step.
    best : float
        Smallest score of the readings so far.
    best_at : int
        Fields shown when it was read.
    """

    untrained: float = math.inf
    best: float = math.inf
    best_at: int = 0

    def look(self, score: float, shown: int, images: int) -> dict[str, float]:
        """Return what the next reading says of it, after so many fields of so many."""
        best, since = min((score, shown), (self.best, self.best_at))
        waited = (shown - since) / images
        return {
            "progress": score / self.untrained,
            "score": score,
            "relapse": score / self.best if math.isfinite(self.best) else 1.0,
            "standstill": waited if best > FAR else 0.0,
        }

    def count(self, score: float, shown: int) -> bool:
        """Take the reading in; return whether it is the best."""
        if not score < self.best:
            return False
        self.best, self.best_at = score, shown
        return True


def differ(
    first: NDArray[np.float32], second: NDArray[np.float32], truth: NDArray[np.float32]
) -> float:
    """Return how far two draws (n, N, ...) are from each other, over how far they are from the truth.

    Mean squares of differences; in training space, where no peak dictates them.
    """
    apart = np.mean((first - second) ** 2, dtype=np.float64)
    missed = np.mean((first - truth) ** 2 + (second - truth) ** 2, dtype=np.float64) / 2
    return float(apart / max(missed, 1e-30))


def alarms(numbers: Mapping[str, float], *, late: bool = True) -> list[str]:
    """Return the numbers that lie outside their range, or are not finite; `LATE` ones only late."""
    asked = {name: value for name, value in numbers.items() if late or name not in LATE}
    return [
        name for name, value in asked.items() if not RANGES[name][0] <= value <= RANGES[name][1]
    ]


def in_words(alarm: Mapping[str, Any]) -> str:
    """Return what a line of the log about an alarm says."""
    value, low, high = (alarm[key] for key in ("value", "low", "high"))
    lies = f"above {high:g}" if high is not None and value > high else f"below {low}"
    where = "not a number" if math.isnan(value) else lies
    name = alarm["name"].replace("_", " ")
    return f"alarm: {name} is {value:.3g} after {alarm['images']:,} fields, {where}"


def _others(fields: _Array) -> _Array:
    """Return the distances of fields from each other, infinite from themselves."""
    apart: _Array = cdist(fields, fields)
    np.fill_diagonal(apart, np.inf)
    return apart
