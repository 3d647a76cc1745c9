"""Whether fields show the grid of a network, and how sharp their emptiest cells are, from cell to cell.

    python -m benchmarks.fidelity.texture runs/fidelity/default-15min-1

Of the height h = asinh(rho / 0.05) squared steps, squared curvatures, peaks and minima are averaged over every second cell, along both
axes, and over every fourth. Nature has no such cells: the four, or sixteen, means of a field differ by chance. A network that makes each cell of a
pair by weights of its own leaves a pattern that neither spectra nor any mean over cells tell, since each field is shifted at
random. Printed is the variance between these means over the square of their mean, averaged over fields, and the mean
curvature of the emptiest cells; of held-out simulations, of training simulations (the floor) and of emulated fields.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from cosmogan.fields.store import open_fields
from cosmogan.models.heights import EMPTY

LOWEST = 5e-4
"""Part of the cells of simulations that are the emptiest."""
FIELDS = 3072
STRIDES = (2, 4)
"""Cells after which the pattern of a network may repeat."""
SIDES = ("test", "train", "emulated")


def measures(height):
    """Return, by name, what is averaged over sublattices, for heights (n, N, N)."""
    beside = [np.roll(height, shift, axis) for axis in (1, 2) for shift in (1, -1)]
    rows = [np.stack([np.roll(h, s, 2) for s in (-1, 0, 1)]) for h in (*beside[:2], height)]
    around = np.concatenate([*rows[:2], rows[2][[0, 2]]])
    return {
        "squared steps": (height - beside[0]) ** 2,
        "squared curvature": curvature(height) ** 2,
        "peaks": height > around.max(0),
        "minima": height < around.min(0),
    }


def curvature(height):
    """Return how far cells lie above the mean of their four neighbours."""
    return height - sum(np.roll(height, s, axis) for axis in (1, 2) for s in (1, -1)) / 4


def unevenness(values, stride=2):
    """Return the variance between sublattices of (n, N, N), over the square of the mean, averaged over fields."""
    cells = itertools.product(range(stride), repeat=2)
    parts = np.stack([values[:, i::stride, j::stride].mean((1, 2)) for i, j in cells])
    return float(np.mean(parts.var(0, ddof=1) / np.maximum(parts.mean(0), 1e-12) ** 2))


def read(path):
    """Return the heights of some fields of a data set, from all of its boxes."""
    fields = open_fields(path)
    rows = np.unique(np.linspace(0, len(fields) - 1, FIELDS).astype(int))
    return np.arcsinh(fields[rows].astype(np.float64) / EMPTY)


def row(height, lowest):
    """Return the numbers of one data set."""
    found = {
        f"{name}, {stride} cells": unevenness(values, stride)
        for stride in STRIDES
        for name, values in measures(height).items()
    }
    return found | {"curvature of the emptiest": float(curvature(height)[height < lowest].mean())}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    for number, folder in enumerate(given.folders):
        truth = read(folder / "test.fields")
        lowest = np.quantile(truth, LOWEST)
        for name in SIDES:
            if number and name != "emulated":
                continue  # the same in every folder
            height = truth if name == "test" else read(folder / f"{name}.fields")
            found = row(height, lowest)
            if not number and name == "test":
                print(f"| | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
            cells = [f"{value:.2g}" for value in found.values()]
            print(f"| {folder.name}: {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
