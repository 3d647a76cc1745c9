"""Whether the verdict catches eight broken emulators, made of simulations, and spares an unbroken one.

    cosmogan simulate many.toml          # some hundreds of boxes, as its training set
    cosmogan measure runs/many/train.fields
    python -m benchmarks.broken_emulators runs/many

The fields of boxes that nothing else sees are damaged in the ways of `tests/compare/damage.py` and judged
against n held-out boxes, with 2 n training and n / 2 validation boxes at hand: by all statistics together,
by the scatter and the correlation of P, by a look for copies, and by coverage, density and PQMass.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import cosmogan
from cosmogan.compare.coverage import Features
from cosmogan.compare.diversity import Stratum, diversity
from cosmogan.compare.findings import FAIL
from cosmogan.compare.novelty import find_copies
from cosmogan.compare.rules import Rules
from cosmogan.compare.samples import features
from cosmogan.compare.units import Numbered
from cosmogan.compare.verdict import judge
from cosmogan.statistics import battery
from cosmogan.statistics.table import read
from tests.compare import damage

CANDIDATES, SLICES = 40, 24
"""Boxes of the emulator, and slices of each."""


def subset(table, simulations, slices=None):
    """Return the rows of some simulations, of each at most so many, evenly spaced."""
    rows = np.concatenate(
        [
            found[np.linspace(0, len(found) - 1, min(slices or len(found), len(found))).astype(int)]
            for found in (np.flatnonzero(table.simulation == s) for s in simulations)
        ]
    )
    statistics = {n: replace(s, samples=s.samples[rows]) for n, s in table.statistics.items()}
    chosen = replace(
        table,
        statistics=statistics,
        origin=table.origin[rows],
        parameters=table.parameters[rows],
    )
    return chosen, rows


def damaged(name, fields, training, rng):
    """Return the fields of one emulator."""
    if name == "unbroken":
        return fields
    work = getattr(damage, name)
    return work(fields, rng, training) if work in damage.OF_COPIES else work(fields, rng)


def verdict_on(made, like, sides, data, rules):
    """Return the columns of one row."""
    box_size = float(data.layout.box_size)
    table = replace(like, statistics=battery.measure(made, box_size))
    truth, training, validation = (side for side, _ in sides)
    found = judge({"emulated": table}, truth, training=training, validation=validation, rules=rules)
    scores = {s.name: s.outcome for s in found.about.scorecard}
    numbered = [
        Numbered(fields=data[rows], simulation=side.simulation)
        for side, rows in ((s, r) for s, r in sides[:2])
    ]
    copies = find_copies(
        Numbered(fields=made, simulation=table.simulation), numbered[1], numbered[0], most=160
    )
    pool = [truth, training, validation]
    stratum = Stratum(
        emulated=Features(values=features(table, truth, rules), simulation=table.simulation),
        truth=Features(values=features(truth, truth, rules), simulation=truth.simulation),
        pool=Features(
            values=np.concatenate([features(t, truth, rules) for t in pool]),
            simulation=np.concatenate([t.simulation for t in pool]),
        ),
    )
    variety = diversity([stratum], seed=0, fields=800)
    overall = found.about.overall
    told = f"{abs(overall.deviation):.1f} / {overall.threshold:.1f}{mark(overall.alarm)}"
    failed = [n.split()[0] for n in ("scatter ratio", "correlation ratio") if scores[n] == FAIL]
    return (
        f"{told} | {found.about.count(FAIL)} | {', '.join(failed) or '-'} | "
        f"{copies.training.suspects.size} + {copies.others.suspects.size}{mark(copies.alarm)} | "
        f"p = {variety.p_value:.3f}{mark(variety.alarm)}"
    )


def mark(alarm):
    return " **told**" if alarm else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder with train.fields and its statistics")
    parser.add_argument("--boxes", type=int, nargs="+", default=[8, 30, 100])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = cosmogan.open(arguments.run / "train.fields")
    table = read(arguments.run / "statistics" / "train.stats.h5")
    simulations, rules = np.unique(table.simulation), Rules()
    print(
        "| held-out boxes | emulator | largest deviation / one in twenty | bins that fail | "
        "scores that fail | copies: of training + of each other | diversity |\n"
        "|---|---|---|---|---|---|---|"
    )
    for number in arguments.boxes:
        rng = np.random.default_rng([arguments.seed, number])
        order = rng.permutation(simulations)
        stops = np.cumsum([CANDIDATES, number, 2 * number, number // 2])
        own, *others = np.split(order, stops)[:4]
        like, rows = subset(table, np.sort(own), SLICES)
        sides = [subset(table, np.sort(s), None if number < 50 else SLICES) for s in others]
        fields = data[rows]
        learned = sides[1][1]
        training = data[learned[:: max(1, len(learned) // (2 * len(rows)))]]
        names = [work.__name__ for work in (*damage.OF_STATISTICS, *damage.OF_COPIES)]
        for name in ("unbroken", *names):
            made = damaged(name, fields, training, rng)
            print(f"| {number} | {name.replace('_', ' ')} | ", end="", flush=True)
            print(f"{verdict_on(made, like, sides, data, rules)} |", flush=True)


if __name__ == "__main__":
    main()
