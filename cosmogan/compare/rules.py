"""What is judged and how strictly, settled before a candidate is looked at.

Judged are wavenumbers up to `Rules.k_max` of Nyquist, and densities from the first to the last at which
the held-out simulations have at least `Rules.pdf_share` of all cells, peaks, or whatever is counted. The densest cells and the
highest peaks, one in a thousand, or as rare as `FEWEST` of them allow, count as one bin more each.
Tables that cannot be compared, share a simulation, or hold fixed-amplitude runs, which lack cosmic
variance, are refused.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.units import SCATTER, SCATTER_OF, TAILS, Yardstick
from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.statistics import battery
from cosmogan.statistics.table import Statistic, StatisticsTable

SIGNED = ("bispectrum", "reduced_bispectrum", "squeezed_bispectrum")
"""Statistics that may be zero or negative."""
OF_PEAK = ("minkowski_1", "minkowski_2", "minkowski_3")
"""Statistics that pass through zero or fade: a deviation is counted in parts of their largest value."""
TAIL = 1e-3
"""Share of all cells, or peaks, in a tail."""
FEWEST = 400
"""Cells, or peaks, that a tail of the truth must hold: their number scatters by a twentieth."""
_SAME = ("dimension", "box_size", "cell_size", "thickness")
_ALIKE = ("mass_assignment", "periodic")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a verdict.

    Attributes
    ----------
    tolerance : mapping of str to float
        Largest |ratio - 1| that passes, by statistic; one without a tolerance, or not measured, is not
        judged.
    scatter : tuple of float
        Lowest and highest passing ratio of the scatter of ln P over fields, and of the spread of draws
        from the same initial conditions.
    correlation : tuple of float
        Lowest and highest passing ratio of the mean off-diagonal correlation of ln P, and of ln (P / m^2) with the mean
        density m of a slice.
    means : tuple of float
        Lowest and highest passing ratio of the scatter of ln m.
    tails : tuple of float
        Lowest and highest passing ratio of the numbers of the densest cells and of the highest peaks.
    k_max : float
        Largest wavenumber judged [Nyquist wavenumber].
    pdf_share : float
        Smallest share of the cells, or peaks, of the truth in a judged bin by density.
    samples : bool
        Whether to look at the fields themselves, where they are at hand: for copies, for diversity, and
        with a classifier; about a minute.
    classifier_steps : int
        How long the classifier learns; settled beforehand, as all else.
    splits : int
        Random splits behind a floor.
    seed : int
        Fixes every resample.
    """

    tolerance: Mapping[str, float] = field(
        default_factory=lambda: {
            "mean_density": 0.03,
            "power": 0.15,
            "bispectrum": 0.30,
            "reduced_bispectrum": 0.15,
            "squeezed_bispectrum": 0.15,
            "quadrupole": 0.20,
            "pdf": 0.15,
            "pdf_smoothed": 0.15,
            "peaks": 0.20,
            "minima": 0.20,
            "minkowski_1": 0.10,
            "minkowski_2": 0.10,
            "minkowski_3": 0.10,
        }
    )
    scatter: tuple[float, float] = (0.7, 1.4)
    correlation: tuple[float, float] = (0.85, 1.15)
    means: tuple[float, float] = (0.85, 1.18)
    tails: tuple[float, float] = (0.8, 1.2)
    k_max: float = 0.7
    pdf_share: float = 0.01
    samples: bool = True
    classifier_steps: int = 600
    splits: int = 500
    seed: int = 0

    def limits(self, truth: StatisticsTable) -> dict[str, float]:
        """Return what `cosmogan.statistics.battery.judged_bins` chooses the bins of a truth by."""
        nyquist = math.pi / truth.attributes["cell_size"]
        return {"k_limit": self.k_max * nyquist, "share": self.pdf_share}


def make_yardsticks(truth: StatisticsTable, rules: Rules) -> list[Yardstick]:
    """Choose the judged bins from the truth alone, the tails after the others and the scatter of ln P last.

    Raises
    ------
    LayoutError
        If no statistic of the truth has a tolerance.
    """
    limits = rules.limits(truth)
    chosen = [
        _yardstick(statistic, name, battery.judged_bins(statistic, **limits), (1 - off, 1 + off))
        for name, off in rules.tolerance.items()
        if (statistic := truth.statistics.get(name)) is not None
    ]
    if not chosen:
        raise LayoutError(
            f"{truth.source}: none of {', '.join(rules.tolerance)} was measured; measure it again"
        )
    for name, of in TAILS.items():
        if of in rules.tolerance and of in truth.statistics:
            tail = _tail(truth, of, rules.pdf_share)
            chosen.append(_yardstick(truth[of], name, tail, rules.tails))
    if SCATTER_OF in rules.tolerance and SCATTER_OF in truth.statistics and len(truth) > 1:
        at = battery.judged_bins(truth[SCATTER_OF], **limits)
        chosen.append(_yardstick(truth[SCATTER_OF], SCATTER, at, rules.scatter))
    return [yardstick for yardstick in chosen if yardstick.columns.size]


def check_comparable(
    candidates: Mapping[str, StatisticsTable],
    truth: StatisticsTable,
    simulated: Mapping[str, StatisticsTable],
) -> None:
    """Refuse tables that cannot be compared.

    Parameters
    ----------
    candidates : mapping of str to StatisticsTable
        What is judged.
    truth : StatisticsTable
        Held-out simulations.
    simulated : mapping of str to StatisticsTable
        Training and validation simulations.

    Raises
    ------
    LayoutError
        If the fields differ in size, cells, thickness, cosmology or bins.
    SplitError
        If another table shares a simulation with the truth.
    RecipeError
        If there is no candidate, or the truth has fixed amplitudes.
    """
    if not candidates:
        raise RecipeError("compare: nothing to judge; give at least one candidate")
    for table in (truth, *simulated.values()):
        if table.origin["fixed"].any():
            raise RecipeError(
                f"{table.source}: fixed-amplitude simulations have no cosmic variance and cannot be the "
                f"yardstick; judge by Gaussian ones"
            )
    for table in (*candidates.values(), *simulated.values()):
        check_same_kind(table, truth)
        shared = np.intersect1d(table.simulation, truth.simulation)
        if shared.size:
            raise SplitError(
                f"{table.source} and {truth.source} share simulation {shared[0]}; "
                f"judge by simulations that nothing else has seen"
            )


def check_same_kind(table: StatisticsTable, truth: StatisticsTable) -> None:
    """Raise `LayoutError` if fields or bins are not of the kind of the truth."""
    _check_layout(table, truth)
    _check_parameters(table, truth)
    for statistic in truth.statistics.values():
        _check_bins(table, statistic)


def _tail(truth: StatisticsTable, name: str, share: float) -> NDArray[np.intp]:
    """Return the first bin of the tail of a statistic by density; none if hardly anything lies beyond the judged ones."""
    statistic, about = truth[name], truth.attributes
    counted = statistic.samples.sum(axis=0)
    if name == "pdf":
        counted = counted * round(about["box_size"] / about["cell_size"]) ** about["dimension"]
    beyond = np.cumsum(counted[::-1])[::-1]
    there = np.flatnonzero(beyond >= FEWEST)
    there = there[there > battery.judged_bins(statistic, share=share)[-1]]
    rarity = np.abs(np.log(beyond[there] / (TAIL * counted.sum())))
    tail: NDArray[np.intp] = there[np.argsort(rarity)[:1]]
    return tail


def _yardstick(
    statistic: Statistic, name: str, at: NDArray[np.intp], tolerance: tuple[float, float]
) -> Yardstick:
    edges = statistic.edges if name in TAILS else None
    return Yardstick(
        name=name,
        label=f"scatter of ln {statistic.label}" if name == SCATTER else statistic.label,
        coordinate_label=statistic.coordinate_label,
        coordinate_unit=statistic.coordinate_unit,
        coordinate=(statistic.coordinate if edges is None else edges)[at],
        columns=at,
        tolerance=tolerance,
        signed=name in SIGNED or name in OF_PEAK,
        amplitude=float(np.abs(statistic.samples.mean(axis=0)).max()) if name in OF_PEAK else 0.0,
    )


def _check_layout(table: StatisticsTable, truth: StatisticsTable) -> None:
    for key in _SAME:
        here, there = table.attributes.get(key), truth.attributes.get(key)
        if here is None or there is None or not math.isclose(here, there, rel_tol=1e-6):
            raise LayoutError(
                f"{table.source}: {key} = {here}, but {there} in {truth.source}; "
                f"only fields of the same kind can be compared"
            )
    for key in _ALIKE:
        here, there = table.attributes.get(key), truth.attributes.get(key)
        if here != there and "none" not in (here, there):  # of plain arrays nobody knows
            raise LayoutError(
                f"{table.source}: {key} = {here}, but {there} in {truth.source}; "
                f"only fields of the same kind can be compared"
            )


def _check_parameters(table: StatisticsTable, truth: StatisticsTable) -> None:
    shared = [name for name in table.parameter_names if name in truth.parameter_names]
    for name in shared:
        here, there = (
            np.unique(np.round(t.parameters[:, t.parameter_names.index(name)], 6))
            for t in (table, truth)
        )
        if here.shape != there.shape or not np.allclose(here, there, rtol=1e-5):
            raise LayoutError(
                f"{table.source}: {name} is {here.min():g} to {here.max():g}, but {there.min():g} to "
                f"{there.max():g} in {truth.source}; compare fields of the same cosmology"
            )


def _check_bins(table: StatisticsTable, statistic: Statistic) -> None:
    if statistic.name not in table.statistics:
        raise LayoutError(
            f"{table.source}: no statistic {statistic.name}; measure both data sets alike"
        )
    here, there = table[statistic.name].coordinate, statistic.coordinate
    if here.shape != there.shape or not np.allclose(here, there, rtol=1e-6):
        raise LayoutError(
            f"{table.source}: {statistic.name} has other bins than the held-out simulations; "
            f"measure both with the same version"
        )
