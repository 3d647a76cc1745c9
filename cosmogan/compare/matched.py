"""Matched pairs: intervals of ratios, and an exact test that asks for no model of the scatter.

With c_i and t_i the means of a bin over the emulated and the true fields of simulation i, the ratio R = mean
of c / mean of t has the interval of all R with

    (mean of (c_i - R t_i))^2 <= q^2 s^2(c_i - R t_i) / n

(Fieller 1954), q of Student's t with n - 1 degrees of freedom; what is counted in parts of its largest value
A has 1 + mean of (c_i - t_i) / A.

A perfect emulator draws from the distribution that the truth was drawn from, given what the two share, so that
exchanging them, simulation by simulation, changes nothing. The largest studentised deviation of all bins is
compared with those of all 2^(n-1) exchanges that differ, or of `EXCHANGES` random ones (Fisher 1935): exact at
any number of simulations, whatever the law of the scatter, for bins that were chosen before. Fewer than
`FEWEST` simulations can accuse nobody.
"""

from itertools import product

import numpy as np
import scipy.special

from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.floor import FALSE_ALARMS, Overall
from cosmogan.compare.units import RESOLUTION, Array

EXCHANGES = 4096
"""Most exchanges behind the null of all bins."""
FEWEST = 6
"""Simulations from which one exchange of all is rarer than one in twenty."""


def paired_interval(made: Array, true: Array, amplitude: float = 0.0) -> tuple[Array, Array]:
    """Return the 95 % interval of the ratio of the means of pairs, one row a simulation.

    Parameters
    ----------
    made, true : (n, b) ndarray of float64
        Row i of one belongs to row i of the other.
    amplitude : float
        If above 0, differences in parts of it are added to 1 in place of ratios.

    Returns
    -------
    low, high : (b,) ndarray
        Unbounded for a lone pair, and where the truth is compatible with zero.
    """
    number, (c, t) = len(made), (made.mean(axis=0), true.mean(axis=0))
    if number < 2:
        return np.full_like(c, -np.inf), np.full_like(c, np.inf)
    student = float(scipy.special.stdtrit(number - 1, (1 + LEVEL) / 2))
    if amplitude:
        error = np.sqrt((made - true).var(axis=0, ddof=1) / number)
        middle = 1 + (c - t) / amplitude
        return middle - student * error / amplitude, middle + student * error / amplitude
    shared = ((made - c) * (true - t)).sum(axis=0) / (number - 1) / number
    of_c, of_t = (
        x.var(axis=0, ddof=1) / number + (RESOLUTION * m) ** 2 for x, m in ((made, c), (true, t))
    )
    a, b = t**2 - student**2 * of_t, c * t - student**2 * shared
    root = np.sqrt(np.maximum(b**2 - a * (c**2 - student**2 * of_c), 0.0))
    bounded = a > 0
    a = np.where(bounded, a, 1.0)
    low, high = (b - root) / a, (b + root) / a
    return np.where(bounded, low, -np.inf), np.where(bounded, high, np.inf)


def weigh_exchanges(made: Array, true: Array, rng: np.random.Generator) -> Overall:
    """Compare the largest studentised deviation of pairs with those after exchanges of its sides.

    Parameters
    ----------
    made, true : (n, b) ndarray of float64
        Row i of one belongs to row i of the other.
    rng : Generator
        Chooses exchanges, if there are more than `EXCHANGES`.
    """
    number, size = len(made), (made.mean(axis=0) + true.mean(axis=0)) / 2
    signs = _signs(number, rng)
    difference = made - true
    exchanged = studentised(difference, size, signs)
    here, moved = exchanged[0], np.abs(exchanged).max(axis=1)
    column = int(np.argmax(np.abs(here)))
    above = int((moved >= abs(here[column]) * (1 - 1e-9)).sum())
    return Overall(
        largest=float(here[column]),
        column=column,
        threshold=float(np.quantile(moved, 1 - FALSE_ALARMS, method="higher")),
        p_value=above / len(moved),
    )


def _signs(number: int, rng: np.random.Generator) -> Array:
    """Return exchanges (B, n) of +-1, no exchange first; exchanging all changes nothing, so one stays."""
    if 2 ** (number - 1) <= EXCHANGES:
        return np.array([(1.0, *rest) for rest in product((1.0, -1.0), repeat=number - 1)])
    signs = rng.choice([-1.0, 1.0], (EXCHANGES, number))
    signs[0] = 1.0
    return signs


def studentised(difference: Array, size: Array, signs: Array | None = None) -> Array:
    """Return mean over error of differences (n, b), for each row of signs; 0 of a lone pair."""
    number = len(difference)
    total = difference.sum(axis=0) if signs is None else signs @ difference
    if number < 2:
        return np.zeros_like(total)
    squares = (difference**2).sum(axis=0) - total**2 / number
    variance = np.maximum(squares, 0.0) / (number - 1) * number
    error = np.sqrt(variance + (number * RESOLUTION * size) ** 2)
    deviation: Array = np.divide(total, error, out=np.zeros_like(total), where=error > 0)
    return deviation
