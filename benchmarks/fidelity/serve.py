"""Does it serve? What the covariance of emulated fields promises, against that of simulated ones.

    python -m benchmarks.fidelity.serve runs/fidelity/default-15min-1 runs/fidelity/plain-15min-1

The power spectrum of a slice is to measure Omega_m and sigma_8: the Fisher matrix takes the slopes from
HMcode2020, and the covariance of P between slices once from the emulated and once from the held-out simulated
ones. Printed is the ratio of the errors on each parameter, both free and each alone, after that of the scatter of
the mean density of slices; each with its 95 % interval over boxes, and the same ratios for the training simulations in
place of the emulated ones. The floor are two draws of simulations, as many as of either side, that share none.

Boxes of other initial conditions differ by more than an emulator that is worth anything. `counterparts` have those of the
held-out boxes, and are resampled together with them; `between` is their first draw over their second, the floor of that.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosmogan.compare.pairs import match
from cosmogan.compare.rules import Rules
from cosmogan.compare.theory import expected_power
from cosmogan.fields.store import open_fields
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.covariance import precision_matrix
from cosmogan.statistics.table import read

STEPS = {"Omega_m": 0.005, "sigma_8": 0.01}
"""Parameters, and half the difference that gives the slopes."""
SCATTER = "scatter of slice means"
PROMISED = (SCATTER, *(f"{name}, {how}" for how in ("both free", "alone") for name in STEPS))
"""In the order of `promise`."""
MADE = ("train", "lognormal", "emulated")
"""Data sets of a run that are set against its held-out simulations."""
SIMULATED = ("train", "validation", "test")
RESAMPLES = 400
SPLITS = 400
"""Of all simulations, for the floor."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Two data sets, box by box.

    Attributes
    ----------
    made, true : list of (n, 1 + b) ndarray
        Mean density and judged powers of the fields of each box.
    paired : bool
        Whether box i of one has the initial conditions of box i of the other.
    """

    made: list[np.ndarray]
    true: list[np.ndarray]
    paired: bool = False

    def ratio(self, slope, seed=0):
        """Return the `promise` of one side over that of the other, and its 95 % interval over boxes."""
        rng = np.random.default_rng(seed)

        def at(chosen, others):
            made, true = [self.made[i] for i in chosen], [self.true[i] for i in others]
            return promise(made, slope) / promise(true, slope)

        value = at(range(len(self.made)), range(len(self.true)))
        drawn = []
        for _ in range(RESAMPLES):
            chosen = rng.integers(len(self.made), size=len(self.made))
            others = rng.integers(len(self.true), size=len(self.true))
            drawn.append(at(chosen, chosen if self.paired else others))
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        return value, low, high


def promise(boxes, slope):
    """Return the scatter of mean densities, and the errors on the parameters."""
    known = np.concatenate(boxes)
    return np.concatenate([[known[:, 0].std()], forecast(known[:, 1:], slope)])


def forecast(samples, slope):
    """Return the errors on the parameters from spectra (n, b): both free, then each alone."""
    fisher = slope @ precision_matrix(samples) @ slope.T
    return np.concatenate([np.sqrt(np.diag(np.linalg.inv(fisher))), np.diag(fisher) ** -0.5])


def slopes(table, judged):
    """Return dP/d(parameter), one row a parameter."""
    found = []
    for name, step in STEPS.items():
        column = table.parameter_names.index(name)
        sides = []
        for sign in (-1, 1):
            parameters = table.parameters.copy()
            parameters[:, column] += sign * step
            at = replace(table, parameters=parameters)
            sides.append(expected_power(at)["HMcode2020"][1][judged])
        found.append((sides[1] - sides[0]) / (2 * step))
    return np.array(found)


def ratios(folder, names=MADE):
    """Return the `Contest.ratio` of data sets of a finished run, and of its counterparts, to its held-out simulations."""
    tables = {
        path.name.removesuffix(".stats.h5"): read(path)
        for path in sorted((folder / "statistics").glob("*.stats.h5"))
    }
    truth = tables["test"]
    judged = judged_bins(truth["power"], **Rules().limits(truth))
    slope, true = slopes(truth, judged), boxes_of(truth, judged)
    found = {n: Contest(boxes_of(tables[n], judged), true) for n in names if n in tables}
    if "counterparts" in tables:
        found |= _matched(folder, tables["counterparts"], truth, judged)
    return {name: contest.ratio(slope) for name, contest in found.items()}


def floor(folder):
    """Return how far simulations promise something else than others: median and 95th percentile of |ratio - 1|, by `PROMISED`.

    Two draws of as many as the emulated and the held-out boxes, without one in common.
    """
    tables = {name: read(folder / f"statistics/{name}.stats.h5") for name in SIMULATED}
    truth = tables["test"]
    judged = judged_bins(truth["power"], **Rules().limits(truth))
    slope = slopes(truth, judged)
    pool = [box for table in tables.values() for box in boxes_of(table, judged)]
    emulated = read(folder / "statistics/emulated.stats.h5")
    sizes = [np.unique(table.simulation).size for table in (emulated, truth)]
    return apart(pool, min(sizes[0], len(pool) - sizes[1]), sizes[1], slope)


def apart(pool, one, other, slope, seed=0):
    """Return median and 95th percentile of |ratio - 1| of the promises of so many and so many boxes of a pool."""
    rng, distances = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        order = rng.permutation(len(pool))[: one + other]
        sides = ([pool[i] for i in some] for some in (order[:one], order[one:]))
        made, true = (promise(side, slope) for side in sides)
        distances.append(np.abs(made / true - 1))
    median, high = np.quantile(distances, [0.5, 0.95], axis=0)
    return {
        name: {"median": float(m), "high": float(h)}
        for name, m, h in zip(PROMISED, median, high, strict=True)
    }


def _matched(folder, made, truth, judged):
    """Return the contests of fields that share initial conditions."""
    fields = (open_fields(folder / f"{name}.fields") for name in ("counterparts", "test"))
    rows, draws = match(*fields)
    each = [boxes_of(made, judged, column) for column in draws.T]
    all_draws = [np.concatenate(of) for of in zip(*each, strict=True)]
    found = {"counterparts": Contest(all_draws, boxes_of(truth, judged, rows), paired=True)}
    if len(each) > 1:
        found["between"] = Contest(*each[:2], paired=True)
    return found


def boxes_of(table, judged, rows=slice(None)):
    """Return mean density and judged powers of the fields of each box, or of those among these rows."""
    known = np.column_stack([table["mean_density"].samples, table["power"].samples[:, judged]])
    known, number = known[rows], table.simulation[rows]
    return [known[number == n] for n in np.unique(number)]


def promised(folder):
    """Return what a scorecard says of this: by data set, value and 95 % interval of every ratio; and the floor."""
    bounds = {
        name: {
            what: dict(zip(("value", "low", "high"), map(float, each), strict=True))
            for what, *each in zip(PROMISED, *found, strict=True)
        }
        for name, found in ratios(folder, ("train", "emulated")).items()
    }
    scatter = {name: of.pop(SCATTER) for name, of in bounds.items()}
    return {"mean_scatter": scatter, "forecast": bounds, "promise_floor": floor(folder)}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    print(f"| over those of held-out simulations | {' | '.join(PROMISED)} |")
    print(f"|---|{'---|' * len(PROMISED)}")
    for number, folder in enumerate(given.folders):
        names = MADE[-1:] if number else MADE  # the rest is the same in every folder
        if not number:
            cells = [f"{f['median']:.2f} ({f['high']:.2f})" for f in floor(folder).values()]
            print(f"| floor of \\|ratio - 1\\|, median (95 %) | {' | '.join(cells)} |", flush=True)
        for name, found in ratios(folder, names).items():
            cells = [f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in zip(*found, strict=True)]
            print(f"| {folder.name}: {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
