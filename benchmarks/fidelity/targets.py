"""The targets of the project for two cores, and the worst of several seeds beside them.

    python -m benchmarks.fidelity.targets default --minutes 60

Reads the scorecards that `study.py` left of all seeds of an arm. A target is reached ("yes") if the worst seed is
within it with its whole 95 % interval, and the floor is too (the 95th percentile of what simulations differ among themselves): otherwise
simulations themselves might miss it ("floor"). "open": the interval reaches out.
"""

import argparse
import json
import math
from dataclasses import dataclass

from benchmarks.fidelity.serve import SCATTER
from benchmarks.fidelity.study import HALF, RESULTS

ERRORS = {
    "power": ("mean P(k), k < 0.7 k_Nyquist", 0.05),
    "bispectrum": ("equilateral bispectrum", 0.15),
    "squeezed_bispectrum": ("squeezed reduced bispectrum", 0.15),
    "pdf": ("PDF of rho", 0.1),
    "pdf_tail": ("cells above the 99.9th percentile of rho", 0.1),
    "peaks": ("peaks", 0.2),
    "peaks_tail": ("peaks above their 99.9th percentile", 0.2),
    "minima": ("minima", None),
    "quadrupole": ("quadrupole of single fields", None),
    "minkowski_1": ("length of contours, V1", None),
    "minkowski_2": ("Euler characteristic, V2", None),
}
"""Mean |ratio - 1| over judged bins, and what is asked, if anything."""
RATIOS = {
    "mean density ratio": ("ensemble mean density", (0.99, 1.01), "mean_density"),
    "scatter ratio": ("scatter of ln P", (0.85, 1.18), "scatter"),
    "correlation ratio": ("correlations of P, off the diagonal", (0.85, 1.15), "correlation"),
    "correlation ratio over own means": (
        "the same of slices over the square of their mean",
        (0.85, 1.15),
        "own_correlation",
    ),
}
"""Ratios to the held-out simulations, what passes, and whose floor is known."""
SIDES = (("emulated", ""), ("counterparts", ", box by box"))
"""Which data set promises something, and how it is set against simulations."""
WORSE = ("", "yes", "open", "floor", "no")
"""What may be said of a target, from good to bad."""
DRAWS = 16
"""Draws whose mean is asked how much it leaves open."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of a scorecard beside its target.

    Attributes
    ----------
    label : str
        What is measured.
    passes : tuple of float or None
        Lowest and highest that passes; None if nothing is asked.
    ideal : float
        What a perfect emulator has: 0 for errors, 1 for ratios.
    value : float
        What was found.
    interval : tuple of float or None
        Its 95 %.
    floor : tuple of float or None
        Median and 95th percentile of |value - ideal| between simulations.
    within_errors : bool
        Whether it passes if its interval holds the ideal.
    """

    label: str
    passes: tuple[float, float] | None
    ideal: float
    value: float
    interval: tuple[float, float] | None = None
    floor: tuple[float, float] | None = None
    within_errors: bool = False

    @property
    def distance(self):
        """How far from ideal, in parts of what passes on that side (if nothing is asked, of 1)."""
        if not math.isfinite(self.value):
            return math.inf
        lowest, highest = self.passes or (self.ideal - 1, self.ideal + 1)
        limit = highest if self.value >= self.ideal else lowest
        return (self.value - self.ideal) / (limit - self.ideal)

    @property
    def reached(self):
        """Whether the target is: "yes", "no", "floor" if simulations may miss it themselves, or "open" if the interval reaches out."""
        if self.within_errors:
            low, high = self.interval
            return "yes" if low <= self.ideal <= high else "no"
        if self.passes is None:
            return ""
        if self.distance > 1:
            return "no"
        limits = [limit for limit in self.passes if limit != self.ideal]
        if self.floor and self.floor[1] > min(abs(limit - self.ideal) for limit in limits):
            return "floor"
        low, high = self.interval or (self.value, self.value)
        return "open" if any(low < limit < high for limit in limits) else "yes"


def rows(card):
    """Return what a scorecard says of every target, in one order for all scorecards."""
    floor = {name: (f["median"], f["high"]) for name, f in card["floor"].items()}
    found = [
        Row(
            label=label, passes=passes, ideal=1, **_value(card["scores"][name]), floor=floor.get(of)
        )
        for name, (label, passes, of) in RATIOS.items()
    ]
    found += [
        Row(
            label=label,
            passes=None if most is None else (0, most),
            ideal=0,
            **_value(card["errors"][name]),
            floor=floor[name],
        )
        for name, (label, most) in ERRORS.items()
    ]
    return [*found, *_promises(card), *_phases(card["pairs"])]


def _value(measured):
    return {"value": measured["value"], "interval": (measured["low"], measured["high"])}


def _promises(card):
    """Return the rows of scatter and forecasts, those of boxes with the same initial conditions after the others.

    The floor are draws of simulations; box by box, where no other simulation will do, one draw over another, with the
    far end of its interval.
    """
    named = {"scatter of the mean density of slices": ((0.85, 1.18), card["mean_scatter"], SCATTER)}
    for name in ("Omega_m", "sigma_8"):
        what = f"{name}, both free"
        both = {of: errors[what] for of, errors in card["forecast"].items()}
        named[f"forecast error of {name}"] = ((0.9, 1.1), both, what)
    for made, how in SIDES:
        for label, (passes, of, what) in named.items():
            if made == "emulated":
                known = card["promise_floor"][what]
                floor = known["median"], known["high"]
            else:
                draws = [abs(of["between"][bound] - 1) for bound in ("value", "low", "high")]
                floor = draws[0], max(draws)
            yield Row(label=label + how, passes=passes, ideal=1, **_value(of[made]), floor=floor)


def _phases(pairs):
    """Return the rows of matched pairs: at the wavenumber where each is worst."""
    k, open_share = pairs["k"], _left_open(pairs)
    for label, most, limit in (
        (f"1 - r of the mean of {DRAWS} draws over that of 2LPT, k <= 0.5 h/Mpc", HALF, 0.5),
        ("the same, every k", max(k), 1.0),
    ):
        at = max((i for i, x in enumerate(k) if x <= most), key=lambda i: open_share["value"][i])
        there = {name: curve[at] for name, curve in open_share.items()}
        yield Row(label=label, passes=(0, limit), ideal=0, **_value(there))
    draw, mean, transfer = (pairs[name]["value"] for name in ("draw", "mean", "transfer"))
    for label, ratios in (
        ("r(draw, truth) over r(mean, truth)^2", _over(draw, [r**2 for r in mean])),
        ("power of single draws", [t**2 for t in transfer]),
    ):
        worst = max(ratios, key=lambda ratio: abs(ratio - 1))
        yield Row(label=label, passes=(0.95, 1.05), ideal=1, value=worst)
    yield Row(
        label="spread of draws about their mean, over what that misses",
        passes=None,
        ideal=1,
        **_value(pairs["spread"]),
        within_errors=True,
    )


def _left_open(pairs):
    """Return 1 - r over that of 2LPT of the mean of `DRAWS` draws, from that of infinitely many.

    With r(draw, draw) = g, the mean of M draws has the variance (1 + (M - 1) g) / M of one, and that of all of them g.
    """
    bare = pairs["against_2lpt"]["r"]["value"]
    fewer = [(g * DRAWS / (1 + (DRAWS - 1) * g)) ** 0.5 for g in pairs["between"]["value"]]
    return {
        bound: [
            (1 - (1 - x * (1 - r)) * f) / (1 - r)
            for x, r, f in zip(curve, bare, fewer, strict=True)
        ]
        for bound, curve in pairs["against_2lpt"]["left_open"].items()
    }


def _over(above, below):
    return [a / b for a, b in zip(above, below, strict=True)]


def worst(cards):
    """Return the row of the seed that is worst, target by target, each with that seed's scorecard.

    One that misses before one that does not, and then the farthest.
    """
    return [
        max(
            zip(same, cards, strict=True),
            key=lambda pair: (WORSE.index(pair[0].reached), pair[0].distance),
        )
        for same in zip(*map(rows, cards), strict=True)
    ]


def table(cards):
    """Return the targets and the worst of these scorecards as a table in markdown."""
    lines = [
        "| | target | worst seed (95 %) | of seed | floor, median (95 %) | reached |",
        "|---|---|---|---|---|---|",
    ]
    for row, card in worst(cards):
        asked = "1 within errors" if row.within_errors else _passes(row)
        cells = [row.label, asked, _found(row), str(card["seed"]), _floor(row), row.reached]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _passes(row):
    if row.passes is None:
        return ""
    lowest, highest = row.passes
    return f"{highest:g}" if row.ideal == 0 else f"{lowest:g} to {highest:g}"


def _found(row):
    if row.interval is None:
        return f"{row.value:.3f}"
    low, high = row.interval
    return f"{row.value:.3f} ({low:.3f} to {high:.3f})"


def _floor(row):
    return f"{row.floor[0]:.3f} ({row.floor[1]:.3f})" if row.floor else ""


def main():
    """Print the table, and what else the seeds say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arm")
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    paths = sorted(RESULTS.glob(f"{given.arm}-{given.minutes:g}min-*.json"))
    if not paths:
        parser.error(f"no scorecard of {given.arm} in {RESULTS}: run it with study.py")
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for path, card in zip(paths, cards, strict=True):
        if "promise_floor" not in card or ERRORS.keys() - card["errors"].keys():
            parser.error(
                f"{path}: judged by an earlier version; delete its verdict.json and run it again"
            )
    print(table(cards))


if __name__ == "__main__":
    main()
