"""One candidate against the truth: ratios, intervals and studentised deviations, bin by bin.

With means m_c and m_t of candidate and truth over n_c and n_t simulations, a learned candidate also
owes the error of the n_l simulations it learned from::

    positive quantities    d = ln m_c - ln m_t    v = sum over c, t, l of s^2 / (n m^2)
    signed quantities      d = m_c - m_t          v = sum over c, t, l of s^2 / n
    studentised deviation  t = d / sqrt(v), with (sum v_i)^2 / sum v_i^2 / (n_i - 1) degrees of freedom

(Welch 1947). The interval of a positive ratio is exp(d -+ q sqrt(v)); that of a signed one is
Fieller's (1954), which is unbounded where the truth itself is compatible with zero. What passes
through zero by nature, as an Euler characteristic does, has no ratio bin by bin: for it stands
1 + d / A, with A the largest of its values in the truth, taken as known.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare.units import Array, Estimate, Units, estimate

LEVEL = 0.95
"""Coverage of every interval."""
STUDENT_BELOW = 30
"""Fewest simulations on a side from which intervals come from resampling."""
CLEARLY_POSITIVE = 4.0
"""Standard errors above zero from which the candidate's mean has a logarithm worth taking."""
_TINY = 1e-100


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
    """The simulations on the sides of one comparison.

    Attributes
    ----------
    candidate, truth : Units
        What is judged, and by what.
    training : Units or None
        The simulations the candidate learned from; None if it learned from none.
    pool : Units
        All simulations at hand, the truth among them, that stand for the truth under the null.
    signed, scatter : (Q,) ndarray of bool
        Which bins may be negative, and which hold the variance of ln P.
    amplitude : (Q,) ndarray of float64, optional
        What differences are divided by; 0, the default, where ratios are taken bin by bin.
    """

    candidate: Units
    truth: Units
    training: Units | None
    pool: Units
    signed: NDArray[np.bool_]
    scatter: NDArray[np.bool_]
    amplitude: Array | None = None

    @property
    def fewest(self) -> int:
        """Simulations of the sparsest side."""
        return min(len(side) for side in self.sides)

    @property
    def sides(self) -> list[Units]:
        """Candidate, truth and, for a learned candidate, training."""
        learned = [] if self.training is None else [self.training]
        return [self.candidate, self.truth, *learned]

    @cached_property
    def estimates(self) -> list[Estimate]:
        """What each side says."""
        return [estimate(side) for side in self.sides]

    @cached_property
    def logarithmic(self) -> NDArray[np.bool_]:
        """(Q,) bins whose deviation is taken on the logarithm."""
        candidate = self.estimates[0]
        clear = candidate.value[0] > CLEARLY_POSITIVE * np.sqrt(candidate.variance[0])
        logarithmic: NDArray[np.bool_] = ~self.signed & (clear | self.scatter)
        return logarithmic

    @cached_property
    def ratio(self) -> Array:
        """(Q,) candidate over truth; for the scatter the ratio of standard deviations."""
        candidate, truth = self.estimates[:2]
        ratio: Array = self.ratios(candidate.value, truth.value)[0]
        return ratio

    @cached_property
    def deviation(self) -> Array:
        """(Q,) studentised deviation; 0 where a lone simulation gives no error, infinite where none is."""
        (candidate, _), (truth, _) = self._scaled()[:2]
        difference, error = candidate - truth, np.sqrt(self._variances().sum(axis=0))
        sure = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
        deviation: Array = np.divide(difference, error, out=sure, where=error > 0)
        return deviation

    def student(self) -> Array:
        """Return the (Q,) two-sided critical values of Student's t."""
        variances = self._variances()
        freedom = np.array([[len(side) - 1.0] for side in self.sides])
        with np.errstate(invalid="ignore", divide="ignore"):
            welch = variances.sum(axis=0) ** 2 / (variances**2 / freedom).sum(axis=0)
        critical: Array = scipy.special.stdtrit(np.nan_to_num(welch, nan=1.0), (1 + LEVEL) / 2)
        return critical

    def interval(self, critical: Array) -> tuple[Array, Array]:
        """Return lowest and highest ratios (Q,), given the critical values of `deviation`."""
        if self.fewest < 2:
            return np.full_like(critical, -np.inf), np.full_like(critical, np.inf)
        half = critical * np.sqrt(self._variances().sum(axis=0))
        half = np.where(self.scatter, half / 2, half)
        with np.errstate(over="ignore"):
            log_ratio = np.log(np.maximum(self.ratio, _TINY))
            low, high = np.exp(log_ratio - half), np.exp(log_ratio + half)
        fieller_low, fieller_high = self._fieller(critical)
        logs = self.logarithmic
        low, high = np.where(logs, low, fieller_low), np.where(logs, high, fieller_high)
        if self.amplitude is None:
            return low, high
        of_peak = self.amplitude > 0
        half = half / np.where(of_peak, self.amplitude, 1.0)
        return (
            np.where(of_peak, self.ratio - half, low),
            np.where(of_peak, self.ratio + half, high),
        )

    def ratios(self, candidate: Array, truth: Array) -> Array:
        """Return candidate over truth (B, Q), where the scatter is a standard deviation."""
        quotient = candidate / np.where(truth == 0, _TINY, truth)
        quotient = np.where(self.scatter, np.sqrt(np.abs(quotient)), quotient)
        if self.amplitude is None:
            return quotient
        of_peak = self.amplitude > 0
        parts = (candidate - truth) / np.where(of_peak, self.amplitude, 1.0)
        return np.where(of_peak, 1 + parts, quotient)

    def _scaled(self) -> list[tuple[Array, Array]]:
        return [(v[0], e[0]) for v, e in (scaled(e, self.logarithmic) for e in self.estimates)]

    def _variances(self) -> Array:
        return np.stack([variance for _, variance in self._scaled()])

    def _fieller(self, critical: Array) -> tuple[Array, Array]:
        candidate, truth = (e.value[0] for e in self.estimates[:2])
        variances = np.stack([e.variance[0] for e in self.estimates])
        own = critical**2 * (variances[0] + variances[2:].sum(axis=0))
        a = truth**2 - critical**2 * variances[1]
        root = np.sqrt(np.maximum((candidate * truth) ** 2 - a * (candidate**2 - own), 0.0))
        bounded = a > 0
        a = np.where(bounded, a, 1.0)
        low = np.where(bounded, (candidate * truth - root) / a, -np.inf)
        return low, np.where(bounded, (candidate * truth + root) / a, np.inf)


def scaled(of: Estimate, logarithmic: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return values and variances, on the logarithm where asked."""
    positive = np.maximum(of.value, _TINY)
    value = np.where(logarithmic, np.log(positive), of.value)
    return value, np.where(logarithmic, of.variance / positive**2, of.variance)
