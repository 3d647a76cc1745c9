"""What a reading on validation fields tells of held-out ones, if all fields count alike and if they do not.

    python -m benchmarks.fidelity.readings runs/fidelity/default-15min-1

Makes the counterparts of both sides with the weights of a finished run, and prints the errors of `READ` against the
simulations, as unpaired fields are read (ratios of means), the same without the `RICHEST` fields, and as pairs are
read (every field counts alike).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import cosmogan
from cosmogan.fields.store import open_fields
from cosmogan.recipe import read
from cosmogan.train.data import spread
from cosmogan.train.reading import FIELDS, Exam, Referee

SIDES = {"validation": FIELDS, "test": 4 * FIELDS}
RICHEST = 5


def main():
    """Parse, and work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of a finished run")
    folder = parser.parse_args().folder
    emulator, rules = cosmogan.load(folder / "run"), read(folder / "recipe.toml").compare
    for side, count in SIDES.items():
        fields = open_fields(folder / f"{side}.fields")
        chosen = spread(fields, count)
        truth, nowhere = fields[chosen], np.zeros(len(chosen), int)
        made = emulator.counterparts(fields.origin[chosen], seed=1).fields
        free = Exam(np.empty(0), [], truth, (nowhere, nowhere))
        kept = np.sort(np.argsort(truth.var(axis=(1, 2)))[:-RICHEST])
        poorer = replace(free, truth=truth[kept], corners=(nowhere[kept], nowhere[kept]))
        for name, exam, some in (
            ("means", free, made),
            (f"means without {RICHEST}", poorer, made[kept]),
            ("alike", replace(free, paired=True), made),
        ):
            referee = Referee(
                exam, fields.layout, tolerance=rules.tolerance.model_dump(), k_max=rules.k_max
            )
            found = referee.read(some, images=0)
            errors = ", ".join(f"{n} {100 * e:.1f} %" for n, e in found.errors.items())
            print(f"{side}, {len(some)} fields, {name}: score {found.score:.3f}; {errors}")


if __name__ == "__main__":
    main()
