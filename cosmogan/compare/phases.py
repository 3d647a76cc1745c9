"""What a field owes to its initial conditions: coherence of emulated and simulated pairs.

A simulation t, and M fields d that an emulator draws given its initial conditions, have in a shell of k

    P_t, P_d   power of the truth and of single draws      C    cross power of draw and truth
    P_m        power of the mean of the draws              P_m = (P_d + (M - 1) C_dd) / M

with C_dd the cross power of two draws. From their means over simulations follow

    r(draw, truth) = C / sqrt(P_d P_t)        r(mean, truth) = C / sqrt(P_m P_t)
    r(draw, draw)  = C_dd / P_d               T = sqrt(P_d / P_t)

A correct sampler draws d and t from one distribution, given what they share: then T = 1, r(draw, draw) =
r(draw, truth), and as M grows r(mean, truth) tends to the root of that, the best there is. How much the
draws differ, over how much they differ from the truth, is

    spread = (1 - r(draw, draw)) / (1 - r(draw, truth))

1 for a correct sampler, 0 for a network that always answers the same. Intervals are Student's from the
delete-one jackknife over simulations (Efron 1982), of atanh r and of the logarithm of the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.units import Array, Readable
from cosmogan.statistics.cross import cross_spectra
from cosmogan.statistics.power import power_spectra
from cosmogan.statistics.table import average

_READ_CELLS = 1 << 20
"""Cells of the truth that are read at a time."""
_BELOW_ONE = 1 - 1e-12
_TINY = 1e-100

Spectra = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A quantity in shells of k with its 95 % interval, each (b,) float64."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Phases:
    """How draws, their mean and the truth go together.

    Attributes
    ----------
    draw, mean : Curve
        r(draw, truth) and r(mean of the draws, truth).
    between : Curve or None
        r(draw, draw); None of a single draw.
    transfer : Curve
        T of single draws.
    spread : Curve or None
        Of the draws, over what the initial conditions leave open.
    """

    draw: Curve
    mean: Curve
    between: Curve | None
    transfer: Curve
    spread: Curve | None


def spectra(
    made: Readable,
    truth: Readable,
    rows: NDArray[np.intp],
    draws: NDArray[np.intp],
    simulation: NDArray[np.int64],
    box_size: float,
) -> dict[str, Array]:
    """Measure draws against the truth, simulation by simulation.

    Parameters
    ----------
    made, truth : data set or array
        Fields, density over mean.
    rows : (n,) ndarray of int
        Fields of the truth.
    draws : (n, M) ndarray of int
        Those of `made` that share their initial conditions.
    simulation : (n,) ndarray of int64
        Simulation of each of the rows.
    box_size : float
        Side of a field [Mpc/h].

    Returns
    -------
    dict of (s, b) ndarray
        "truth", "draw", "mean" and "cross": P_t, P_d, P_m and C of each of s simulations in the default
        shells [(Mpc/h)^d].
    """
    cells = int(np.prod(np.shape(truth[rows[:1]])))
    step = max(1, _READ_CELLS // cells)
    blocks: dict[str, list[Array]] = {name: [] for name in ("truth", "draw", "mean", "cross")}
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        members = [made[column].astype(np.float64) for column in draws[some].T]
        mean, real = np.mean(members, axis=0), truth[rows[some]].astype(np.float64)
        _, cross, own, true, _ = cross_spectra(mean, real, box_size)
        single = [power_spectra(member, box_size)[1] for member in members]
        found = {"truth": true, "draw": np.mean(single, axis=0), "mean": own, "cross": cross}
        for name, values in found.items():
            blocks[name].append(values)
    return {name: average(np.concatenate(parts), simulation) for name, parts in blocks.items()}


def phases(of: Spectra, draws: int) -> Phases:
    """Say how draws, their mean and the truth go together.

    Parameters
    ----------
    of : mapping of str to (s, b) ndarray
        As `spectra` returns them.
    draws : int
        M.
    """
    several = draws > 1
    return Phases(
        draw=jackknife(of, lambda x: coherence(x, "draw"), correlation=True),
        mean=jackknife(of, lambda x: coherence(x, "mean"), correlation=True),
        between=jackknife(of, lambda x: between(x, draws), correlation=True) if several else None,
        transfer=jackknife(of, lambda x: np.sqrt(_ratio(x["draw"], x["truth"]))),
        spread=jackknife(of, lambda x: spread(x, draws)) if several else None,
    )


def coherence(of: Spectra, which: str) -> Array:
    """Return r of "draw" or "mean" with the truth, from mean spectra."""
    return _ratio(of["cross"], np.sqrt(of[which] * of["truth"]))


def between(of: Spectra, draws: int) -> Array:
    """Return r(draw, draw), from mean spectra."""
    shared: Array = (draws * of["mean"] - of["draw"]) / (draws - 1)
    return _ratio(shared, of["draw"])


def spread(of: Spectra, draws: int) -> Array:
    """Return how much draws differ, over how much they differ from the truth, from mean spectra."""
    return _ratio(1 - between(of, draws), 1 - coherence(of, "draw"))


def gain(theory: Spectra, own: Spectra) -> Array:
    """Return 1 - r(theory, truth) over 1 - r(mean, truth), from mean spectra."""
    return _ratio(1 - coherence(theory, "mean"), 1 - coherence(own, "mean"))


def jackknife(
    of: Spectra, quantity: Callable[[Spectra], Array], *, correlation: bool = False
) -> Curve:
    """Return a function of mean spectra with its interval over simulations.

    Parameters
    ----------
    of : mapping of str to (s, b) ndarray
        Spectra of each simulation.
    quantity : callable
        Takes spectra of shape (..., b), averaged over simulations.
    correlation : bool
        Whether it lies between -1 and 1, and else is positive.
    """
    number = len(next(iter(of.values())))
    forth, back = (_atanh, np.tanh) if correlation else (_log, np.exp)
    value = quantity({name: x.mean(axis=0) for name, x in of.items()})
    if number < 2:
        nothing = np.full_like(value, np.inf)
        return Curve(value=value, low=back(-nothing), high=back(nothing))
    without = {name: (x.sum(axis=0) - x) / (number - 1) for name, x in of.items()}
    left = forth(quantity(without))
    error = np.sqrt((number - 1) * left.var(axis=0))
    half = float(scipy.special.stdtrit(number - 1, (1 + LEVEL) / 2)) * error
    centre = forth(value)
    return Curve(value=value, low=back(centre - half), high=back(centre + half))


def _atanh(r: Array) -> Array:
    found: Array = np.arctanh(np.clip(r, -_BELOW_ONE, _BELOW_ONE))
    return found


def _log(x: Array) -> Array:
    found: Array = np.log(np.maximum(x, _TINY))
    return found


def _ratio(above: Array, below: Array) -> Array:
    """Return above / below, 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
