"""How often the verdict accuses a perfect emulator, by many draws from many simulations.

    cosmogan simulate many.toml          # some hundreds of boxes, as its training set
    cosmogan measure runs/many/train.fields
    python benchmarks/false_alarms.py runs/many/statistics/train.stats.h5 --fields runs/many/train.fields

Two perfect emulators are judged: other simulations, as `cosmogan compare A B` does, n boxes against n; and
one that learned from 2 n boxes all that they know, and gives their fields again and again, judged with
its training and n / 2 validation boxes at hand. Each draw takes other boxes. With `--fields` the look for
copies is tried too, on emulators that are made of other boxes.
"""

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np

import cosmogan
from cosmogan.compare import floor
from cosmogan.compare.contrast import LEVEL, STUDENT_BELOW, Contrast
from cosmogan.compare.findings import CANNOT_TELL, FAIL, PASS, decide
from cosmogan.compare.novelty import find_copies
from cosmogan.compare.rules import Rules, make_yardsticks
from cosmogan.compare.units import SCATTER, Numbered, Units, join
from cosmogan.statistics.table import StatisticsTable, average, read

FIELDS = 400
"""Fields that the emulator gives, each from a seed of its own."""


@dataclass(frozen=True)
class Boxes:
    """Averages over the fields of each simulation, of every statistic, and single fields."""

    table: StatisticsTable
    means: dict[str, np.ndarray]
    logs: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, table):
        numbers = table.simulation
        logs = np.log(table["power"].samples)
        return cls(
            table,
            {name: average(s.samples, numbers) for name, s in table.statistics.items()},
            average(logs, numbers),
            average(logs**2, numbers),
        )

    def yardsticks(self, chosen, rules):
        """Return what is judged when these boxes are the truth."""
        numbers = self.table.simulation
        rows = np.flatnonzero(np.isin(numbers, np.unique(numbers)[chosen]))
        return make_yardsticks(self.table.take(rows), rules)

    def units(self, chosen, yardsticks):
        """Return these boxes as the verdict sees them."""
        plain = [y.of(self.means[y.source][chosen]) for y in yardsticks if y.name != SCATTER]
        (scatter,) = (y.columns for y in yardsticks if y.name == SCATTER)
        return Units(
            means=np.concatenate(plain, axis=1),
            logs=self.logs[chosen][:, scatter],
            squares=self.squares[chosen][:, scatter],
            fields=len(chosen),
        )

    def fields(self, rows, yardsticks):
        """Return single fields, each as a simulation of its own."""
        samples = {y.source: self.table[y.source].samples[rows] for y in yardsticks}
        plain = [y.of(samples[y.source]) for y in yardsticks if y.name != SCATTER]
        (scatter,) = (y.columns for y in yardsticks if y.name == SCATTER)
        logs = np.log(samples["power"][:, scatter])
        return Units(
            means=np.concatenate(plain, axis=1), logs=logs, squares=logs**2, fields=len(rows)
        )


def contrast(yardsticks, candidate, truth, training, pool):
    widths = [y.columns.size for y in yardsticks]
    return Contrast(
        candidate=candidate,
        truth=truth,
        training=training,
        pool=pool,
        signed=np.repeat([y.signed for y in yardsticks], widths),
        scatter=np.repeat([y.name == SCATTER for y in yardsticks], widths),
        amplitude=np.repeat([y.amplitude for y in yardsticks], widths),
    )


def draw(boxes, kind, number, rng):
    """Return the contrast of one draw, and its yardsticks."""
    simulations = np.unique(boxes.table.simulation)
    order = rng.permutation(len(simulations))
    truth, rest = order[:number], order[number:]
    yardsticks = boxes.yardsticks(truth, Rules())
    held_out = boxes.units(truth, yardsticks)
    if kind == "other simulations":
        candidate = boxes.units(rest[:number], yardsticks)
        return contrast(yardsticks, candidate, held_out, None, held_out), yardsticks
    training, validation = rest[: 2 * number], rest[2 * number : 2 * number + number // 2]
    rows = np.flatnonzero(np.isin(boxes.table.simulation, simulations[training]))
    candidate = boxes.fields(rng.choice(rows, FIELDS), yardsticks)
    learned = boxes.units(training, yardsticks)
    pool = join([held_out, learned, boxes.units(validation, yardsticks)])
    return contrast(yardsticks, candidate, held_out, learned, pool), yardsticks


def judge(found, yardsticks, rng):
    """Return whether all bins together accuse, and how many bins end how."""
    null = floor.null_deviations(found, rng)
    few = found.fewest < STUDENT_BELOW
    critical = found.student() if few else np.quantile(np.abs(null), LEVEL, axis=0)
    low, high = found.interval(critical)
    tolerances = [y.tolerance for y in yardsticks for _ in range(y.columns.size)]
    outcomes = Counter(map(decide, low, high, tolerances))
    return floor.overall(found.deviation, null).alarm, outcomes


def copies(path, draws):
    """Print how often the look for copies accuses what has copied nothing."""
    data = cosmogan.open(path)
    numbers = data.origin["simulation"]
    rows_of = {s: np.flatnonzero(numbers == s) for s in data.simulations}

    def chosen(simulations, slices):
        rows = np.concatenate(
            [
                rows_of[s][np.linspace(0, len(rows_of[s]) - 1, slices).astype(int)]
                for s in np.sort(simulations)
            ]
        )
        return Numbered(fields=data[rows], simulation=numbers[rows])

    alarms = 0
    for number in range(draws):
        order = np.random.default_rng(number).permutation(data.simulations)
        sides = chosen(order[:40], 12), chosen(order[40:56], 24), chosen(order[56:64], 24)
        alarms += find_copies(*sides, most=96, targets=192, seed=number).alarm
    print(f"\nlook for copies, 40 boxes against 16 and 8: {alarms} of {draws} accused")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="statistics of some hundreds of simulations")
    parser.add_argument("--boxes", type=int, nargs="+", default=[8, 30, 100])
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--fields", help="the fields of these simulations, to look for copies")
    parser.add_argument("--copy-draws", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    boxes = Boxes.of(read(arguments.table))
    print(
        "| perfect emulator | held-out boxes | draws | accused | bins: pass | cannot tell | fail |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in ("other simulations", "gives its training set again"):
        for number in arguments.boxes:
            rng = np.random.default_rng([arguments.seed, number])
            alarms, outcomes = 0, Counter()
            for _ in range(arguments.draws):
                alarm, ends = judge(*draw(boxes, kind, number, rng), rng)
                alarms, outcomes = alarms + alarm, outcomes + ends
            share = alarms / arguments.draws
            error = np.sqrt(share * (1 - share) / arguments.draws)
            ends = " | ".join(
                f"{100 * outcomes[o] / outcomes.total():.1f} %" for o in (PASS, CANNOT_TELL, FAIL)
            )
            accused = f"{100 * share:.1f} +- {100 * error:.1f} %"
            print(f"| {kind} | {number} | {arguments.draws} | {accused} | {ends} |", flush=True)
    if arguments.fields:
        copies(arguments.fields, arguments.copy_draws)


if __name__ == "__main__":
    main()
