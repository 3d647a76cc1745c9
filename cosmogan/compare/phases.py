"""What a field owes to its latent: coherence of emulated and simulated pairs.

A simulation t, and M fields d that an emulator draws from the latent of that very simulation, have in a shell
of k

    P_t, P_d   power of the truth and of single draws      C    cross power of draw and truth
    P_m        power of the mean of the draws              C_dd = (M P_m - P_d) / (M - 1)

C_dd is the cross power of two draws, and the power of the mean of ever more of them. From their means over
simulations follow

    r(draw, truth) = C / sqrt(P_d P_t)        r(mean, truth) = C / sqrt(C_dd P_t)
    r(draw, draw)  = C_dd / P_d               T = sqrt(P_d / P_t)

where "mean" is that of infinitely many draws: of M it would keep a share 1/M of what scatters, and stand
behind anything that does not scatter. A correct sampler draws d and t from one distribution, given what they
share: then T = 1, r(draw, draw) = r(draw, truth), and r(mean, truth) is the root of that, the best there is.
How much the draws differ, over how much they differ from the truth, is

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
from cosmogan.statistics.cross import cross_spectra, quotient
from cosmogan.statistics.power import power_spectra
from cosmogan.statistics.table import average

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
    draw : Curve
        r(draw, truth).
    transfer : Curve
        T of single draws.
    mean, between, spread : Curve or None
        r(mean, truth), r(draw, draw) and the spread; None of a single draw.
    """

    draw: Curve
    transfer: Curve
    mean: Curve | None
    between: Curve | None
    spread: Curve | None


def spectra(  # noqa: PLR0913  (two data sets, and which fields of them belong together)
    made: Readable,
    truth: Readable,
    rows: NDArray[np.intp],
    draws: NDArray[np.intp],
    simulation: NDArray[np.int64],
    box_size: float,
    *,
    at_a_time: int = 64,
    workers: int = 1,
) -> dict[str, Array]:
    """Measure draws against the truth, simulation by simulation.

    Parameters
    ----------
    made, truth : data set or array
        Fields, density over mean.
    rows : (n,) ndarray of int
        Fields of the truth.
    draws : (n, M) ndarray of int
        Those of `made` that share their latents.
    simulation : (n,) ndarray of int64
        Simulation of each of the rows.
    box_size : float
        Side of a field [Mpc/h].
    at_a_time : int
        Fields of the truth in memory, beside as many of one draw and of the mean.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    dict of (s, b) ndarray
        "truth", "draw", "mean" and "cross": P_t, P_d, P_m and C of each of s simulations in the default
        shells [(Mpc/h)^d].
    """
    blocks: dict[str, list[Array]] = {name: [] for name in ("truth", "draw", "mean", "cross")}
    for start in range(0, len(rows), at_a_time):
        some = slice(start, start + at_a_time)
        total, power = np.zeros(()), np.zeros(())
        for column in draws[some].T:
            member = _contrast(made[column])
            total = total + member.astype(np.float64)
            power = power + power_spectra(member, box_size, workers=workers)[1]
        mean = (total / draws.shape[1]).astype(np.float32)
        real = _contrast(truth[rows[some]])
        _, cross, own, true, _ = cross_spectra(mean, real, box_size, workers=workers)
        found = {"truth": true, "draw": power / draws.shape[1], "mean": own, "cross": cross}
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
        draw=jackknife(of, coherence, correlation=True),
        transfer=jackknife(of, lambda x: np.sqrt(quotient(x["draw"], x["truth"]))),
        mean=jackknife(of, lambda x: best(x, draws), correlation=True) if several else None,
        between=jackknife(of, lambda x: between(x, draws), correlation=True) if several else None,
        spread=jackknife(of, lambda x: spread(x, draws)) if several else None,
    )


def coherence(of: Spectra) -> Array:
    """Return r(draw, truth), from mean spectra."""
    return quotient(of["cross"], np.sqrt(of["draw"] * of["truth"]))


def best(of: Spectra, draws: int) -> Array:
    """Return r(mean of infinitely many draws, truth), from mean spectra."""
    return quotient(of["cross"], np.sqrt(np.maximum(_shared(of, draws), 0.0) * of["truth"]))


def between(of: Spectra, draws: int) -> Array:
    """Return r(draw, draw), from mean spectra."""
    return quotient(_shared(of, draws), of["draw"])


def spread(of: Spectra, draws: int) -> Array:
    """Return how much draws differ, over how much they differ from the truth, from mean spectra."""
    return quotient(1 - between(of, draws), 1 - coherence(of))


def left_open(of: Spectra, draws: int, theory: Spectra) -> Array:
    """Return 1 - r(mean, truth) over 1 - r(theory, truth): below 1, the network knows more."""
    return quotient(1 - best(of, draws), 1 - coherence(theory))


def jackknife(
    of: Spectra,
    quantity: Callable[[Spectra], Array],
    *,
    correlation: bool = False,
    level: float = LEVEL,
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
    level : float
        Coverage of the interval.
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
    half = float(scipy.special.stdtrit(number - 1, (1 + level) / 2)) * error
    centre = forth(value)
    return Curve(value=value, low=back(centre - half), high=back(centre + half))


def _atanh(r: Array) -> Array:
    found: Array = np.arctanh(np.clip(r, -_BELOW_ONE, _BELOW_ONE))
    return found


def _log(x: Array) -> Array:
    found: Array = np.log(np.maximum(x, _TINY))
    return found


def _shared(of: Spectra, draws: int) -> Array:
    """Return C_dd."""
    shared: Array = (draws * of["mean"] - of["draw"]) / (draws - 1)
    return shared


def _contrast(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the overdensity: transforms of density over mean in float32 lose to the mean of 1."""
    return np.asarray(fields, dtype=np.float32) - np.float32(1)
