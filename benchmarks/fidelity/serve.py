"""Does it serve? What the covariance of emulated fields promises, against that of simulated ones.

    python -m benchmarks.fidelity.serve runs/fidelity/default-15min-1 runs/fidelity/plain-15min-1

The power spectrum of a slice is to measure Omega_m and sigma_8: the Fisher matrix takes the slopes from
HMcode2020, and the covariance of P between slices once from the emulated and once from the held-out simulated
ones. Printed is the ratio of the errors on each parameter, both free and each alone, with its 95 % interval over boxes, and
the same ratio for the training simulations in place of the emulated ones, which is the floor.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosmogan.compare.rules import Rules
from cosmogan.compare.theory import expected_power
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.covariance import precision_matrix
from cosmogan.statistics.table import read

STEPS = {"Omega_m": 0.005, "sigma_8": 0.01}
"""Parameters, and half the difference that gives the slopes."""
PROMISED = tuple(f"{name}, {how}" for how in ("both free", "alone") for name in STEPS)
"""Errors in the order of `forecast`."""
MADE = ("train", "lognormal", "emulated")
"""Data sets of a run that are set against its held-out simulations."""
RESAMPLES = 400


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


def forecast(samples, slope):
    """Return the errors on the parameters from spectra (n, b): both free, then each alone."""
    fisher = slope @ precision_matrix(samples) @ slope.T
    return np.concatenate([np.sqrt(np.diag(np.linalg.inv(fisher))), np.diag(fisher) ** -0.5])


def ratio(made, true, slope, seed=0):
    """Return the errors that one set of spectra promises over those of another, and their 95 % interval.

    Parameters
    ----------
    made, true : list of (n, b) ndarray
        Spectra of the fields of each box.
    slope : (p, b) ndarray
        Of the mean spectrum.
    seed : int
        Of the resampled boxes.
    """
    rng = np.random.default_rng(seed)

    def promised(boxes, chosen):
        return forecast(np.concatenate([boxes[i] for i in chosen]), slope)

    value = promised(made, range(len(made))) / promised(true, range(len(true)))
    drawn = [
        promised(made, rng.integers(len(made), size=len(made)))
        / promised(true, rng.integers(len(true), size=len(true)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return value, low, high


def boxes_of(table, judged):
    """Return the spectra of the fields of each box."""
    samples, number = table["power"].samples[:, judged], table.simulation
    return [samples[number == n] for n in np.unique(number)]


def forecasts(folder, names=MADE):
    """Return, by data set of a finished run, its `ratio` to the held-out simulations of the run."""
    paths = {n: folder / "statistics" / f"{n}.stats.h5" for n in ("test", *names)}
    tables = {name: read(path) for name, path in paths.items() if path.exists()}
    truth = tables.pop("test")
    judged = judged_bins(truth["power"], **Rules().limits(truth))
    slope, true = slopes(truth, judged), boxes_of(truth, judged)
    return {name: ratio(boxes_of(table, judged), true, slope) for name, table in tables.items()}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    print(f"| errors over those of held-out simulations | {' | '.join(PROMISED)} |")
    print(f"|---|{'---|' * len(PROMISED)}")
    for number, folder in enumerate(given.folders):
        names = MADE[-1:] if number else MADE  # the rest is the same in every folder
        for name, found in forecasts(folder, names).items():
            cells = [f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in zip(*found, strict=True)]
            print(f"| {folder.name}: {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
