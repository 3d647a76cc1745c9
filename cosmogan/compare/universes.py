"""Many universes at once: an emulator judged at each held-out cosmology and redshift by itself.

Its fields share the initial conditions of the simulations they are set against, so that a few simulations
a universe are enough (`cosmogan.compare.pairs`). What a universe gets is the mean of |ratio - 1| over the
judged bins of each statistic, with an interval over its simulations; errors of opposite sign in two
universes never cancel.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.findings import CANNOT_TELL, FAIL, PASS, Result, Score, score
from cosmogan.compare.pairs import match, paired_results, partners
from cosmogan.compare.rules import Rules, check_same_kind, make_yardsticks
from cosmogan.compare.samples import Side
from cosmogan.compare.units import Array

EMULATED = "emulated"
"""What the fields are called in words and figures, whatever the name of their data set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Universe:
    """One cosmology at one redshift.

    Attributes
    ----------
    parameters : mapping of str to float
        Those that differ between the universes.
    simulations, fields : int
        Of the truth that has partners.
    results : mapping of str to Result
        Of the emulated fields, pair by pair.
    theory : mapping of str to Result
        Of what perturbation theory makes of the same initial conditions; empty without.
    """

    parameters: Mapping[str, float]
    simulations: int
    fields: int
    results: Mapping[str, Result]
    theory: Mapping[str, Result]

    def score(self, statistic: str) -> Score:
        """Set the error of a statistic against what passes.

        It passes if its whole interval does. The scatter of ln P may be too small by what passes bin by bin, and no
        more too large.
        """
        found = self.results[statistic]
        most = min(abs(edge - 1) for edge in found.tolerance)
        return score(statistic, found.error, (-np.inf, most))


@dataclass(frozen=True, kw_only=True, eq=False)
class Universes:
    """What was found in all of them.

    Attributes
    ----------
    subject, truth : str
        Names of the data sets.
    names : tuple of str
        Parameters that differ.
    draws : int
        Emulated fields for each simulated one.
    simulations : int
        Of the truth, whatever the redshift.
    each : tuple of Universe
        In the order of their parameters.
    rules : Rules
        What was judged, and how strictly.
    extrapolated : bool
        Whether some of the emulated fields lie outside what the network was trained at.
    """

    subject: str
    truth: str
    names: tuple[str, ...]
    draws: int
    simulations: int
    each: tuple[Universe, ...]
    rules: Rules
    extrapolated: bool = False

    @property
    def statistics(self) -> tuple[str, ...]:
        """What was judged in any universe; tails, where there are enough of them."""
        return tuple(dict.fromkeys(name for universe in self.each for name in universe.results))

    def having(self, statistic: str) -> list[Universe]:
        """Return the universes in which a statistic was judged."""
        return [universe for universe in self.each if statistic in universe.results]

    def errors(self, statistic: str) -> Array:
        """Return the error of a statistic in each universe that has it."""
        return np.array([u.results[statistic].error.value for u in self.having(statistic)])

    def theory_errors(self, statistic: str) -> Array:
        """Return the error of perturbation theory alone in each universe; empty without."""
        found = [universe.theory for universe in self.each if statistic in universe.theory]
        return np.array([results[statistic].error.value for results in found])

    def count(self, statistic: str, outcome: str) -> int:
        """Return in how many universes a statistic has this outcome."""
        return sum(u.score(statistic).outcome == outcome for u in self.having(statistic))

    def count_bins(self, statistic: str) -> int:
        """Return in how many universes every judged bin of a statistic passes."""
        return sum(u.results[statistic].outcome == PASS for u in self.having(statistic))

    def worst(self, statistic: str) -> Universe:
        """Return the universe in which a statistic is worst."""
        return self.having(statistic)[int(np.argmax(self.errors(statistic)))]

    def summary(self) -> dict[str, Any]:
        """Return the numbers."""
        counts = {
            name: {outcome: self.count(name, outcome) for outcome in (PASS, CANNOT_TELL, FAIL)}
            for name in self.statistics
        }
        bins = {name: self.count_bins(name) for name in self.statistics}
        return asdict(self) | {"counts": counts, "all_bins_pass": bins}


def judge_universes(
    made: Side, truth: Side, theory: Side | None = None, *, rules: Rules
) -> Universes:
    """Judge fields universe by universe against the simulations whose initial conditions they have.

    Parameters
    ----------
    made : Side
        Emulated fields with the origins and parameters of simulated ones, one or more for each.
    truth : Side
        Held-out simulations of several cosmologies or redshifts.
    theory : Side, optional
        What perturbation theory makes of the same initial conditions.
    rules : Rules
        What is judged and how strictly.

    Raises
    ------
    LayoutError
        If the data sets are not of the same kind, or a field has no partner.
    """
    check_same_kind(made.table, truth.table)
    rows, draws = match(made.fields, truth.fields)
    rival = None
    if theory is not None:
        check_same_kind(theory.table, truth.table)
        rival = partners(theory.fields, truth.fields, rows)
    names = truth.table.parameter_names
    points, which = np.unique(truth.table.parameters[rows], axis=0, return_inverse=True)
    varied = np.ptp(points, axis=0) > 0

    def judge_one(at: NDArray[np.intp], point: Array) -> Universe:
        own = truth.table.take(rows[at])
        yardsticks = make_yardsticks(own, rules)
        results = paired_results(
            (made.table, truth.table), (rows[at], draws[at]), yardsticks, rules
        )
        bare: Mapping[str, Result] = {}
        if theory is not None and rival is not None:
            matched = rows[at], rival[at]
            bare = paired_results((theory.table, truth.table), matched, yardsticks, rules)
        return Universe(
            parameters={n: float(v) for n, v, on in zip(names, point, varied, strict=True) if on},
            simulations=len(set(own.simulation.tolist())),
            fields=len(own),
            results=results,
            theory=bare,
        )

    members = (np.flatnonzero(which.reshape(-1) == number) for number in range(len(points)))
    return Universes(
        subject=made.table.source,
        truth=truth.table.source,
        names=tuple(name for name, on in zip(names, varied, strict=True) if on),
        draws=draws.shape[1],
        simulations=int(np.unique(truth.table.simulation[rows]).size),
        each=tuple(judge_one(at, point) for at, point in zip(members, points, strict=True)),
        rules=rules,
        extrapolated=made.fields.layout.extrapolated,
    )
