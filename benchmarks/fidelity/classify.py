"""Whether a fresh network tells the fields of weights from simulations, and what it hears at all.

    python -m benchmarks.fidelity.classify demo-64 runs/fidelity/data

The question of the verdict (`cosmogan.compare.classifier`), asked again of weights whose training, or whose verdict, lies
behind: by `train.fields` and `test.fields` of a folder of simulations of one universe.
"""

import argparse
from pathlib import Path

import numpy as np

import cosmogan
from cosmogan.compare.classifier import STEPS, classify
from cosmogan.compare.samples import CLASSIFIED
from cosmogan.compare.units import Numbered

BOXES = 24
"""Emulated ones; half are learned from, half judged."""
SLICES = 96
"""Of an emulated box, 32 along each of three axes: field k of a seed comes box by box."""


def emulated(weights, seed):
    """Return emulated fields, spread over boxes."""
    emulator = cosmogan.load(weights)
    each = -(-CLASSIFIED // BOXES)
    samples = [emulator.sample(each, seed, start=SLICES * box) for box in range(BOXES)]
    return Numbered(
        fields=np.concatenate([sample.fields for sample in samples]),
        simulation=np.concatenate([sample.origin["simulation"] for sample in samples]),
    )


def simulated(path):
    """Return simulated fields, spread over the data set."""
    fields = cosmogan.open(path)
    rows = np.linspace(0, len(fields) - 1, min(CLASSIFIED, len(fields))).astype(int)
    return Numbered(fields=fields[rows], simulation=fields.origin["simulation"][rows])


def main():
    """Print what it finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="a name, a file or a run")
    parser.add_argument("simulations", type=Path, help="folder of train.fields and test.fields")
    parser.add_argument("--seed", type=int, default=7, help="of the emulated fields")
    parser.add_argument("--steps", type=int, nargs="+", default=[STEPS])
    given = parser.parse_args()
    made = emulated(given.weights, given.seed)
    sides = [simulated(given.simulations / f"{name}.fields") for name in ("train", "test")]
    for steps in given.steps:
        found = classify(made, *sides, steps=steps)
        for what, part in (("emulated", found), ("blurred", found.control)):
            print(f"{steps} steps, {what}: {part.auc:.3f} ({part.low:.3f} to {part.high:.3f})")


if __name__ == "__main__":
    main()
