"""How well scores tell two kinds of fields apart, with simulations as the unit of chance.

The area under the curve (AUC) is the share of pairs, one emulated and one simulated field, of which the
emulated one has the higher score. Slices of one simulation share its large scales, and DeLong's error
(1988) would count each for itself; permuting the labels of simulations is exact only if they are
exchangeable, which the mean over a box and a single slice are not. So the placements (which share of
the other side a field ranks above) are summed by simulation (Obuchowski 1997, Biometrics 53, 567), and
Student's t with Welch's degrees of freedom allows for the few.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.floor import FALSE_ALARMS
from cosmogan.compare.units import Array

HEARD = 0.55
"""What the interval of the control must lie above."""
OPEN = 0.7
"""An interval of the AUC that reaches higher leaves open whether fields are told apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """How emulated the judged fields look.

    Attributes
    ----------
    score : (n,) ndarray of float64
        Only their order counts.
    simulation : (n,) ndarray of int64
        Of each field, as in `cosmogan.compare.units.Numbered`.
    """

    score: Array
    simulation: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What the classifier made of fields it never saw.

    Attributes
    ----------
    auc : float
        Chance that of one emulated and one simulated field the emulated one looks the more so.
    low, high : float
        95 % interval of `auc`; from 0 to 1 if a side has a single simulation.
    p_value : float
        Chance of an AUC at least as large if nothing is wrong: one-sided, since a network that
        learned something wrong tells the two apart no better than one that learned nothing.
    fields, simulations : tuple of int
        How many were judged, emulated and simulated.
    steps : int
        Steps the classifier was trained for.
    control : Classified, optional
        What another, trained alike, made of blurred simulations, which it should tell.
    """

    auc: float
    low: float
    high: float
    p_value: float
    fields: tuple[int, int]
    simulations: tuple[int, int]
    steps: int
    control: "Classified | None" = None

    @property
    def alarm(self) -> bool:
        """Whether emulated fields can be told from simulated ones; so can 5 % of perfect ones."""
        return self.p_value <= FALSE_ALARMS

    @property
    def silent(self) -> bool:
        """Whether no alarm means nothing: few simulations leave much open, or the control tells nothing."""
        deaf = self.control is not None and self.control.low <= HEARD
        return not self.alarm and (deaf or self.high > OPEN)


def weigh(
    emulated: Scores,
    truth: Scores,
    *,
    owed: int = 0,
    steps: int = 0,
    control: Classified | None = None,
) -> Classified:
    """Weigh scores of judged fields, the simulations being the unit of chance.

    Parameters
    ----------
    emulated, truth : Scores
        Of fields that had no part in the training.
    owed : int
        How many simulations the emulator learned from; 0 for none.
    steps : int
        How long the classifier was trained.
    control : Classified, optional
        Of the classifier.

    Notes
    -----
    A = mean over emulated fields e of p_e, the share of the true fields with lower scores, equal ones
    counted half. With T_i the sum over the fields of simulation i of p_e - A, the emulated side
    adds n / (n - 1) sum T_i^2 / (fields)^2 to the variance of A, and so does the true side with
    its placements, times 1 + n / owed. Half a field on either side is the resolution, lest
    perfect separation claim to be known perfectly.
    """
    above = _share_below(emulated.score, truth.score)
    below = 1 - _share_below(truth.score, emulated.score)
    auc = float(above.mean())
    sizes = tuple(np.unique(side.simulation).size for side in (emulated, truth))
    low, high, p_value = 0.0, 1.0, 1.0
    if min(sizes) > 1:
        shared = 1 + sizes[1] / owed if owed else 1.0
        variances = np.array(
            [_variance(above, emulated.simulation), shared * _variance(below, truth.simulation)]
        )
        freedom = variances.sum() ** 2 / (variances**2 / (np.array(sizes) - 1)).sum()
        error = math.sqrt(variances.sum())
        half = error * float(scipy.special.stdtrit(freedom, (1 + LEVEL) / 2))
        low, high = max(auc - half, 0.0), min(auc + half, 1.0)
        p_value = float(scipy.special.stdtr(freedom, (0.5 - auc) / error))
    return Classified(
        auc=auc,
        low=low,
        high=high,
        p_value=p_value,
        fields=(emulated.score.size, truth.score.size),
        simulations=(sizes[0], sizes[1]),
        steps=steps,
        control=control,
    )


def _share_below(scores: Array, others: Array) -> Array:
    """Return which share of the others lies below each score, equal ones counted half."""
    ordered = np.sort(others)
    left, right = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    share: Array = (left + right) / (2 * others.size)
    return share


def _variance(placement: Array, simulation: NDArray[np.int64]) -> float:
    """Return the variance of the mean placement over whole simulations."""
    _, member = np.unique(simulation, return_inverse=True)
    sums = np.bincount(member, placement - placement.mean())
    scatter = sums.size / (sums.size - 1) * float((sums**2).sum())
    return (scatter + 0.25) / placement.size**2
