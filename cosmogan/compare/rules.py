"""What is judged and how strictly, settled before a candidate is looked at.

Judged are wavenumbers up to `Rules.k_max` of Nyquist, and those densities at which the held-out
simulations have at least `Rules.pdf_share` of their cells. Tables that cannot be compared, share a
simulation, or hold fixed-amplitude runs, which lack cosmic variance, are refused.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.units import SCATTER, SCATTER_OF, Yardstick
from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.statistics.table import Statistic, StatisticsTable

SIGNED = ("bispectrum", "reduced_bispectrum")
"""Statistics that may be zero or negative."""
_SAME = ("dimension", "box_size", "cell_size", "thickness")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a verdict.

    Attributes
    ----------
    tolerance : mapping of str to float
        Largest |ratio - 1| that passes, by statistic; a statistic without one is not judged.
    scatter : tuple of float
        Lowest and highest passing ratio of the scatter of ln P over fields.
    k_max : float
        Largest wavenumber judged [Nyquist wavenumber].
    pdf_share : float
        Smallest share of the cells of the truth in a judged bin of a PDF.
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
            "pdf": 0.15,
            "pdf_smoothed": 0.15,
        }
    )
    scatter: tuple[float, float] = (0.7, 1.4)
    k_max: float = 0.7
    pdf_share: float = 0.01
    splits: int = 500
    seed: int = 0


def make_yardsticks(truth: StatisticsTable, rules: Rules) -> list[Yardstick]:
    """Choose the judged bins from the truth alone, the scatter of ln P last.

    Raises
    ------
    LayoutError
        If the truth lacks a statistic that has a tolerance.
    """
    nyquist = math.pi / truth.attributes["cell_size"]
    chosen = []
    for name, off in rules.tolerance.items():
        statistic = _find(truth, name)
        at = judged_bins(statistic, nyquist, rules)
        chosen.append(_yardstick(statistic, name, at, (1 - off, 1 + off)))
    if SCATTER_OF in rules.tolerance and len(truth) > 1:
        statistic = truth[SCATTER_OF]
        at = judged_bins(statistic, nyquist, rules)
        chosen.append(_yardstick(statistic, SCATTER, at, rules.scatter))
    return [yardstick for yardstick in chosen if yardstick.columns.size]


def judged_bins(statistic: Statistic, nyquist: float, rules: Rules) -> NDArray[np.intp]:
    """Return the numbers of the bins that are judged.

    Parameters
    ----------
    statistic : Statistic
        Of the truth.
    nyquist : float
        Nyquist wavenumber of the fields [h/Mpc].
    rules : Rules
        Gives `k_max` and `pdf_share`.
    """
    if statistic.coordinate_unit == "h/Mpc":
        allowed = statistic.coordinate <= rules.k_max * nyquist
    elif statistic.name.startswith("pdf"):
        allowed = statistic.samples.mean(axis=0) >= rules.pdf_share
    else:
        allowed = np.ones(statistic.coordinate.shape, dtype=bool)
    return np.flatnonzero(allowed & (statistic.weight > 0))


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
    if truth.origin["fixed"].any():
        raise RecipeError(
            f"{truth.source}: fixed-amplitude simulations have no cosmic variance and cannot be the "
            f"yardstick; judge by Gaussian ones"
        )
    for table in (*candidates.values(), *simulated.values()):
        _check_layout(table, truth)
        _check_parameters(table, truth)
        for statistic in truth.statistics.values():
            _check_bins(table, statistic)
        shared = np.intersect1d(table.simulation, truth.simulation)
        if shared.size:
            raise SplitError(
                f"{table.source} and {truth.source} share simulation {shared[0]}; "
                f"judge by simulations that nothing else has seen"
            )


def _find(table: StatisticsTable, name: str) -> Statistic:
    if name not in table.statistics:
        raise LayoutError(f"{table.source}: no statistic {name}; measure the data set again")
    return table[name]


def _yardstick(
    statistic: Statistic, name: str, at: NDArray[np.intp], tolerance: tuple[float, float]
) -> Yardstick:
    return Yardstick(
        name=name,
        label=f"scatter of ln {statistic.label}" if name == SCATTER else statistic.label,
        coordinate_label=statistic.coordinate_label,
        coordinate_unit=statistic.coordinate_unit,
        coordinate=statistic.coordinate[at],
        columns=at,
        tolerance=tolerance,
        signed=name in SIGNED,
    )


def _check_layout(table: StatisticsTable, truth: StatisticsTable) -> None:
    for key in _SAME:
        here, there = table.attributes.get(key), truth.attributes.get(key)
        if here is None or there is None or not math.isclose(here, there, rel_tol=1e-6):
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
    here = _find(table, statistic.name).coordinate
    there = statistic.coordinate
    if here.shape != there.shape or not np.allclose(here, there, rtol=1e-6):
        raise LayoutError(
            f"{table.source}: {statistic.name} has other bins than the held-out simulations; "
            f"measure both with the same version"
        )
