"""Independent units: one row a simulation, and the moments of any resampling of the rows.

The slices of one simulation share its large scales, so they count as one: they are averaged before
anything else is done. Everything after that is a mean over rows, which makes a thousand resamples
one matrix product: a resample is a row of counts, how often each simulation was drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosmogan.statistics.table import average

Array = NDArray[np.float64]

SCATTER = "scatter"
SCATTER_OF = "power"
TAILS = {"pdf_tail": "pdf", "peaks_tail": "peaks"}
"""The densest cells and the highest peaks together, and what counts them."""
RESOLUTION = 1e-6
"""Relative error below which two means of float32 fields are the same: the slabs of a box average
to its mean density, 1, but for rounding, and rounding is no deviation."""
_TINY = 1e-100


class Readable(Protocol):
    """Fields of which rows can be read: an array, or an opened data set."""

    def __len__(self) -> int:
        """Return the number of fields."""

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[np.float32]:
        """Return these fields."""


Fields_co = TypeVar("Fields_co", bound=Readable, covariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbered(Generic[Fields_co]):
    """Fields, and which simulation each of them is of.

    Attributes
    ----------
    fields : (n, N, N) or (n, N, N, N) array, or data set
        Density over mean, periodic.
    simulation : (n,) ndarray of int64
        Number of the simulation or emulated box. No two data sets share one: what bears the same number
        is not independent.
    """

    fields: Fields_co
    simulation: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """One judged quantity: the bins that count, and how far their ratio may be off.

    Attributes
    ----------
    name : str
        Name of the statistic, or `SCATTER`.
    label, coordinate_label, coordinate_unit : str
        Words for figures and tables.
    coordinate : (b,) ndarray of float64
        Where the judged bins are.
    columns : (b,) ndarray of int
        The judged bins among all bins of the statistic; of `TAILS` the first of those that count as one.
    tolerance : tuple of float
        Lowest and highest ratio that passes.
    signed : bool
        Whether the quantity may be zero or negative, so that its ratio has no logarithm.
    amplitude : float
        The largest value of the truth, if a deviation is counted in parts of that; 0 for a ratio bin
        by bin.
    """

    name: str
    label: str
    coordinate_label: str
    coordinate_unit: str
    coordinate: Array
    columns: NDArray[np.intp]
    tolerance: tuple[float, float]
    signed: bool
    amplitude: float = 0.0

    @property
    def source(self) -> str:
        """Statistic whose samples it is made of."""
        return SCATTER_OF if self.name == SCATTER else TAILS.get(self.name, self.name)

    def of(self, samples: Array) -> Array:
        """Return the judged bins (n, b) of all bins of its statistic."""
        tail = self.name in TAILS
        chosen: Array = samples[:, self.columns[0] :] if tail else samples[:, self.columns]
        return chosen.sum(axis=1, keepdims=True) if tail else chosen


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """One row a simulation.

    Attributes
    ----------
    means : (n, q) ndarray of float64
        Means over the fields of a simulation of the judged bins of every statistic.
    logs, squares : (n, p) ndarray of float64
        Means over its fields of ln P and of (ln P)^2, for the scatter.
    fields : int
        Fields in all simulations.
    """

    means: Array
    logs: Array
    squares: Array
    fields: int

    def __len__(self) -> int:
        return int(self.means.shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """Values of all judged bins and their variances, for each of B resamples.

    Attributes
    ----------
    value : (B, q + p) ndarray of float64
        Means of the statistics, then the variance of ln P over fields.
    variance : (B, q + p) ndarray of float64
        Square of the standard error of `value`; infinite for a single simulation.
    """

    value: Array
    variance: Array


def columns(yardsticks: Sequence[Yardstick]) -> dict[str, slice]:
    """Return where each yardstick stands among all judged bins; the scatter must come last."""
    stops = np.cumsum([y.columns.size for y in yardsticks]).tolist()
    return {y.name: slice(e - y.columns.size, e) for y, e in zip(yardsticks, stops, strict=True)}


def reduce_to_units(
    samples: Mapping[str, Array], simulation: NDArray[np.int64], yardsticks: Sequence[Yardstick]
) -> Units:
    """Average the fields of each simulation.

    Parameters
    ----------
    samples : mapping of str to (n, b) ndarray
        One row a field, by statistic.
    simulation : (n,) ndarray of int64
        The simulation each field was cut from.
    yardsticks : sequence of Yardstick
        The judged quantities, the scatter last if it is judged.
    """
    chosen = [(y.name == SCATTER, y.of(samples[y.source])) for y in yardsticks]
    empty = np.empty((simulation.size, 0))
    means = np.concatenate([empty, *(x for scatter, x in chosen if not scatter)], axis=1)
    power = np.concatenate([empty, *(x for scatter, x in chosen if scatter)], axis=1)
    logs = np.log(np.maximum(power, _TINY))
    return Units(
        means=average(means, simulation),
        logs=average(logs, simulation),
        squares=average(logs**2, simulation),
        fields=int(simulation.size),
    )


def join(parts: Sequence[Units]) -> Units:
    """Put the simulations of several data sets into one."""
    return Units(
        means=np.concatenate([p.means for p in parts]),
        logs=np.concatenate([p.logs for p in parts]),
        squares=np.concatenate([p.squares for p in parts]),
        fields=sum(p.fields for p in parts),
    )


def estimate(units: Units, counts: Array | None = None) -> Estimate:
    """Estimate all judged bins from resamples of the simulations.

    Parameters
    ----------
    units : Units
        n simulations.
    counts : (B, n) ndarray of float64, optional
        How often each simulation is drawn, the same sum m in every row; default each once.

    Notes
    -----
    With means over the m drawn simulations: a mean has the variance s^2 / m. The scatter is the mean
    of D_i, the mean over the fields of simulation i of (ln P - <ln P>)^2, and has the variance
    s^2(D) / m: the infinitesimal jackknife over simulations (Jaeckel 1972; Efron 1982, section 6.3),
    which the delete-one jackknife tends to. The scatter of <ln P> itself is added back, so that one
    field a simulation gives the unbiased variance.
    """
    weights = np.ones((1, len(units))) if counts is None else counts
    size = float(weights[0].sum())
    weights = weights / size
    spread = max(size - 1, 1.0)
    value, variance = _means(weights, units.means, spread)
    scatter, scatter_variance = _scatters(weights, units, spread)
    value = np.concatenate([value, scatter], axis=1)
    variance = np.concatenate([variance, scatter_variance], axis=1)
    variance += (RESOLUTION * value) ** 2 if size > 1 else np.inf
    return Estimate(value=value, variance=variance)


def draw_with_replacement(
    rng: np.random.Generator, resamples: int, simulations: int, size: int | None = None
) -> Array:
    """Return counts (resamples, simulations) of `size` draws; default as many as there are."""
    size = simulations if size is None else size
    chosen = rng.integers(0, simulations, (resamples, size))
    chosen += simulations * np.arange(resamples)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=resamples * simulations)
    return counts.reshape(resamples, simulations).astype(np.float64)


def draw_disjoint(
    rng: np.random.Generator, resamples: int, simulations: int, sizes: Sequence[int]
) -> list[Array]:
    """Return counts of draws that share no simulation, `sizes` large."""
    order = np.argsort(rng.random((resamples, simulations)), axis=1)
    drawn = np.split(order, np.cumsum(sizes), axis=1)[:-1]
    counts = [np.zeros((resamples, simulations)) for _ in sizes]
    for count, some in zip(counts, drawn, strict=True):
        np.put_along_axis(count, some, 1.0, axis=1)
    return counts


def draw_sides(
    rng: np.random.Generator, resamples: int, simulations: int, sizes: Sequence[int]
) -> list[Array]:
    """Return counts of draws, `sizes` large: disjoint if there are simulations enough, else with replacement."""
    if sum(sizes) <= simulations:
        return draw_disjoint(rng, resamples, simulations, sizes)
    return [draw_with_replacement(rng, resamples, simulations, size) for size in sizes]


def _means(weights: Array, rows: Array, spread: float) -> tuple[Array, Array]:
    centre = rows.mean(axis=0)
    offset = rows - centre
    mean = weights @ offset
    variance = np.maximum(weights @ offset**2 - mean**2, 0.0) / spread
    return centre + mean, variance


def _scatters(weights: Array, units: Units, spread: float) -> tuple[Array, Array]:
    centre = units.logs.mean(axis=0)
    a = units.logs - centre
    q = units.squares - 2 * centre * units.logs + centre**2
    mean_a, mean_q, mean_aa = weights @ a, weights @ q, weights @ a**2
    square = weights @ q**2 - 4 * mean_a * (weights @ (q * a)) + 4 * mean_a**2 * mean_aa
    variance = np.maximum(square - (mean_q - 2 * mean_a**2) ** 2, 0.0) / spread
    value = mean_q - mean_a**2 + (mean_aa - mean_a**2) / spread
    return np.maximum(value, RESOLUTION**2), variance
