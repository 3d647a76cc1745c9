"""What chance alone does: floors, the null of the overall verdict, and contests between candidates.

All of it resamples simulations, never fields. Three kinds of draws are made:

* *floor*: two draws of simulations, as large as the sides of the comparison, that share none where the
  pool is large enough, the first off by as much as a third, as large as the training set, if its error is owed;
  how far apart are they?
* *null*: truth and training are drawn anew, with replacement, from all simulations at hand, the
  candidate's fields from themselves, each about its own mean; how large does the largest studentised
  deviation get when nothing is wrong? Drawing from the pool keeps it calibrated at eight boxes; with
  no pool but the truth itself it is conservative.
* *bootstrap*: both sides are drawn from themselves; how uncertain is a number read off them?
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.special

from cosmogan.compare.contrast import LEVEL, Contrast, scaled
from cosmogan.compare.units import (
    Array,
    Units,
    draw_sides,
    draw_with_replacement,
    estimate,
)

FALSE_ALARMS = 0.05
"""Share of perfect emulators that the overall verdict accuses."""
RESAMPLES = 2000
"""Resamples behind the overall null and every bootstrap interval."""
_ONE_SIGMA = (float(scipy.special.ndtr(-1.0)), float(scipy.special.ndtr(1.0)))
_BLOCK = 4_000_000  # counts held in memory at a time

Generator = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Floor:
    """How far apart draws of simulations are: mean over judged bins of |ratio - 1|.

    Attributes
    ----------
    median, high : float
        Median and 95th percentile over the splits.
    sizes : tuple of int
        Simulations in the draws of a split: for the candidate, for what it learned from if it owes the error
        of that, and for the truth.
    splits : int
        Random splits.
    disjoint : bool
        Whether the draws share no simulation; if the pool is too small they are drawn with
        replacement.
    """

    median: float
    high: float
    sizes: tuple[int, ...]
    splits: int
    disjoint: bool


@dataclass(frozen=True, kw_only=True)
class Overall:
    """The largest studentised deviation over all bins and statistics, and what chance makes of it.

    Attributes
    ----------
    largest : float
        The deviation, with its sign [standard errors].
    column : int
        The judged bin where it is.
    threshold : float
        Exceeded by one perfect emulator in twenty.
    p_value : float
        Share of perfect emulators that deviate at least as much.
    """

    largest: float
    column: int
    threshold: float
    p_value: float

    @property
    def alarm(self) -> bool:
        """Whether the candidate can be told from simulations."""
        return self.p_value <= FALSE_ALARMS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def floors(
    contrast: Contrast, groups: Mapping[str, slice], splits: int, rng: Generator
) -> dict[str, Floor]:
    """Draw the floor of each statistic with the comparison's own numbers of simulations.

    Parameters
    ----------
    contrast : Contrast
        Gives the pool and the sizes: a candidate is as good as another draw of as many simulations as it has boxes, and
        if it learned, about the mean of as many as it learned from.
    groups : mapping of str to slice
        Columns of each statistic.
    splits : int
        Random splits.
    rng : Generator
        Where chance comes from.
    """
    learned = [] if contrast.training is None else [contrast.training]
    sizes = tuple(map(len, (contrast.candidate, *learned, contrast.truth)))
    number = len(contrast.pool)
    disjoint = sum(sizes) <= number
    one, *taught, other = (
        estimate(contrast.pool, counts).value for counts in draw_sides(rng, splits, number, sizes)
    )
    off = sum(taught) - len(taught) * estimate(contrast.pool).value
    distances = mean_errors(contrast.ratios(one + off, other), groups)
    return {
        name: Floor(
            median=float(np.median(distance)),
            high=float(np.quantile(distance, LEVEL)),
            sizes=sizes,
            splits=splits,
            disjoint=disjoint,
        )
        for name, distance in distances.items()
    }


def null_deviations(contrast: Contrast, rng: Generator, resamples: int = RESAMPLES) -> Array:
    """Draw the studentised deviations of all bins when nothing is wrong.

    Returns
    -------
    (resamples, Q) ndarray
        Row by row of one resample, so that the correlations of the bins are kept.
    """
    sources = [contrast.candidate, *(contrast.pool for _ in contrast.sides[1:])]
    signs = (1.0, -1.0, 1.0)
    blocks = []
    for size in _blocks(resamples, len(contrast.candidate)):
        error, variance = np.zeros(()), np.zeros(())
        for sign, source, side in zip(signs, sources, contrast.sides, strict=False):
            counts = draw_with_replacement(rng, size, len(source), len(side))
            off, spread = _off_centre(contrast, source, counts)
            error, variance = error + sign * off, variance + spread
        # A resample in which every side drew one simulation alone has no scatter: it accuses nobody.
        scale = np.sqrt(np.broadcast_to(variance, error.shape))
        blocks.append(np.divide(error, scale, out=np.full(error.shape, np.inf), where=scale > 0))
    return np.concatenate(blocks)


def overall(deviation: Array, null: Array) -> Overall:
    """Weigh the largest of the deviations (Q,) against their null (B, Q).

    Notes
    -----
    p = (1 + number of resamples at least as large) / (1 + B), never zero (Davison and Hinkley 1997).
    The threshold is infinite where more than one resample in twenty has no scatter in some bin.
    """
    largest = np.abs(null).max(axis=1)
    column = int(np.argmax(np.abs(deviation)))
    above = int((largest >= abs(deviation[column])).sum())
    return Overall(
        largest=float(deviation[column]),
        column=column,
        threshold=float(np.quantile(largest, 1 - FALSE_ALARMS, method="higher")),
        p_value=(1 + above) / (1 + len(null)),
    )


def bootstrap_ratios(contrast: Contrast, truth: Array, rng: Generator) -> Array:
    """Resample the ratios of all bins.

    Parameters
    ----------
    contrast : Contrast
        The two sides; training simulations, if there are any, shift the candidate as they scatter.
    truth : (B, n) ndarray
        Counts of the truth: give the same ones to candidates that are to be compared.
    rng : Generator
        Draws the candidate's own fields and the training simulations.

    Returns
    -------
    (B, Q) ndarray
        Ratios; for the scatter of standard deviations.
    """
    below = estimate(contrast.truth, truth).value
    above = _resampled(contrast.candidate, len(truth), rng)
    if contrast.training is not None:
        shift = _resampled(contrast.training, len(truth), rng)
        centre = contrast.estimates[2].value
        usable = ~contrast.signed & (centre > 0)
        factor = np.divide(shift, centre, out=np.ones_like(shift), where=usable)
        above = np.where(contrast.signed, above + shift - centre, above * factor)
    return contrast.ratios(above, below)


def measured(value: float, resampled: Array, simulations: int) -> Measured:
    """Give a number the 95 % interval of its resamples.

    Notes
    -----
    value -+ t s sqrt(n / (n - 1)), where s is half the central 68.3 % of the resamples, which a few
    wild ones do not move, and t is Student's for the n simulations of the sparsest side.
    """
    if simulations < 2:
        return Measured(value=value, low=-np.inf, high=np.inf)
    low, high = (float(np.quantile(resampled, p)) for p in _ONE_SIGMA)
    student = float(scipy.special.stdtrit(simulations - 1, (1 + LEVEL) / 2))
    half = student * (high - low) / 2 * (simulations / (simulations - 1)) ** 0.5
    return Measured(value=value, low=value - half, high=value + half)


def mean_errors(ratio: Array, groups: Mapping[str, slice]) -> dict[str, Array]:
    """Return the mean of |ratio - 1| over the bins of each statistic, for each row."""
    return {name: np.abs(ratio[:, at] - 1).mean(axis=1) for name, at in groups.items()}


def _off_centre(contrast: Contrast, source: Units, counts: Array) -> tuple[Array, Array]:
    value, variance = scaled(estimate(source, counts), contrast.logarithmic)
    centre, _ = scaled(estimate(source), contrast.logarithmic)
    return value - centre, variance


def _resampled(units: Units, resamples: int, rng: Generator) -> Array:
    number = len(units)
    draws = (draw_with_replacement(rng, size, number) for size in _blocks(resamples, number))
    return np.concatenate([estimate(units, counts).value for counts in draws])


def _blocks(resamples: int, columns: int) -> Iterator[int]:
    size = max(1, _BLOCK // max(columns, 1))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
