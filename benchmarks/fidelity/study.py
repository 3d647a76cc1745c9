"""The generator study: arms that differ in one choice, at equal training time and data, judged alike.

    python -m benchmarks.fidelity.study run default neighbours-2 --seed 1 --minutes 15
    python -m benchmarks.fidelity.study run dcgan r3gan flow
    python -m benchmarks.fidelity.study table

`run` makes the simulations of ``fidelity.toml`` once, and then each arm in a folder of its own,
``runs/fidelity/<arm>-<minutes>min-<seed>``: how many fields its training may show in the time is measured first, once for all seeds
and all arms that cost as much, and stands in its recipe from then on; then everything `cosmogan run` does. What is complete is skipped, what was cut off
continues. Rivals (`rivals.py`) learn from the same simulations for the same time. Every arm leaves its scorecard in
``benchmarks/fidelity/results/<arm>-<minutes>min-<seed>.json``, which `table` prints as markdown. Run it on a machine that
does nothing else.
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.fidelity.ablations import without
from benchmarks.fidelity.arms import ARMS
from benchmarks.fidelity.rivals import RIVALS, begin, learn, weights, write_samples
from benchmarks.fidelity.serve import promised
from cosmogan import pipeline
from cosmogan.budget import SIMULATED
from cosmogan.compare.pairs import judge_pairs
from cosmogan.compare.run import compare
from cosmogan.compare.samples import Side
from cosmogan.compare.verdict import IGNORANT
from cosmogan.emulate.run import emulate
from cosmogan.errors import RecipeError
from cosmogan.fields.store import open_fields
from cosmogan.measure.run import measure
from cosmogan.models.weights import load_weights
from cosmogan.recipe import read
from cosmogan.screen import on as screen_on
from cosmogan.simulate.run import simulate
from cosmogan.statistics.table import read as read_table
from cosmogan.train.data import spread
from cosmogan.train.reading import FIELDS, Exam, Referee
from cosmogan.train.run import train

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TRIAL = 1600
"""Fields shown to measure the speed of an arm."""
DRAWS = 2
"""Fewest draws from the same initial conditions that tell what their mean leaves open."""
HALF = 0.5
"""Wavenumber up to which 1 - r is to be half of that of second order [h/Mpc]."""
COSTS = (
    *("batch", "neighbours", "carried", "latent"),
    *("generator_widths", "discriminator_widths", "predictor_width"),
)
"""Keys of [train] that decide how long a field takes."""
OPEN = ("1 - r over the latent's: to 0.5 h/Mpc, all", "over 2LPT's")
ROWS = (
    "mean_density",
    "power",
    "scatter",
    "bispectrum",
    "reduced_bispectrum",
    "squeezed_bispectrum",
    "quadrupole",
    "pdf",
    "pdf_tail",
    "pdf_smoothed",
    "peaks",
    "peaks_tail",
    "minima",
    "minkowski_1",
    "minkowski_2",
)


def run(name, seed, minutes, runs, recipe_path):
    """Make one arm, or go on with it, and write its scorecard."""
    base, screen = read(recipe_path), screen_on(sys.stdout)
    if base.emulate.draws < DRAWS:
        message = f"{recipe_path}: emulate.draws = {base.emulate.draws}: their mean takes {DRAWS}"
        raise RecipeError(f"{message}; raise it")
    folder = _folder(_label(name, seed, minutes), runs, base, screen)
    if name in RIVALS:
        return _keep(run_rival(name, seed, 60 * minutes, folder, base, screen), name, seed, minutes)
    with without(ARMS[name].without):
        images, before = _images(name, base, folder, minutes)
        recipe = ARMS[name].recipe(base, seed=seed, images=images, before=before)
        pipeline.run(recipe, folder, screen=screen)
        card = scorecard(folder, readings_of(folder))
        if "pairs" in card:
            card["pairs"]["against_2lpt"] = against_2lpt(recipe, folder)
        card |= promised(folder) | {"weights": _weights(folder)}
    if name == "default" and seed == 1:  # they know no seed of the training
        for other in IGNORANT:
            _keep(scorecard(folder, [{"images": 0, "seconds": 0.0}], other), other, seed, 0)
    return _keep(card, name, seed, minutes)


def run_rival(name, seed, seconds, folder, base, screen):
    """Let a rival learn for so long, or go on with it, and return its scorecard."""
    fields = {split: open_fields(folder / f"{split}.fields") for split in SIMULATED}
    referee = _referee(fields, pipeline.rules(base.compare))
    readings = learn(
        name,
        fields["train"],
        folder / "rival.pt",
        seconds,
        seed,
        lambda made: referee.read(made, images=0).score,
    )
    made = write_samples(name, fields["train"], folder, base.emulate.count, base.emulate.seed)
    sources = {}
    for path in (made, *(folder / f"{split}.fields" for split in SIMULATED)):
        with screen.bar(f"measure {path.stem}") as progress:
            measure(path, pipeline.statistics_of(path), progress=progress)
        sources[path.stem] = pipeline.source_of(path)
    compare(
        {"emulated": sources["emulated"]},
        sources["test"],
        folder,
        others={"training": sources["train"], "validation": sources["validation"]},
        rules=pipeline.rules(base.compare),
    )
    return scorecard(folder, readings) | {"weights": weights(begin(name, fields["train"]).maker)}


def _referee(fields, rules):
    """Return who reads fields that know no initial conditions: against the boxes of both sides, as in training."""
    truth = np.concatenate([fields[s][spread(fields[s])] for s in ("train", "validation")])
    same = np.zeros(FIELDS, int), np.zeros(len(truth), int)
    exam = Exam(np.empty(0), [], truth, same)
    layout = fields["train"].layout
    return Referee(exam, layout, tolerance=rules.tolerance, k_max=rules.k_max)


def readings_of(folder):
    """Return the readings of a training."""
    lines = (folder / "run/log.jsonl").read_text(encoding="utf-8").splitlines()
    found = [line for line in map(json.loads, lines) if line["event"] == "reading"]
    return [{k: r[k] for k in ("images", "seconds", "score", "gap_validation")} for r in found]


def _weights(folder):
    """Return how many numbers the networks learnt that make the fields of an arm."""
    known = load_weights(folder / "run/weights.safetensors")
    return sum(weights(part) for part in (known.generator, known.predictor) if part is not None)


def _label(name, seed, minutes):
    return f"{name}-{minutes:g}min-{seed}"


def _folder(label, runs, base, screen):
    """Return the folder of an arm, with links to the simulations, which are made if they are not there."""
    data, folder = runs / "data", runs / label
    with screen.bar("simulate") as progress:  # whatever the defaults of the networks are by now
        simulate(base, data, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    for split in SIMULATED:
        link = folder / f"{split}.fields"
        if not link.exists():
            link.symlink_to((data / f"{split}.fields").absolute())
    return folder


def _keep(card, name, seed, minutes):
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{_label(name, seed, minutes)}.json"
    content = card | {"arm": name, "seed": seed, "minutes": minutes}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def against_2lpt(recipe, folder):
    """Return r of plain second order, and what the mean of draws leaves open beside it."""
    path = folder / "2lpt.fields"
    like, seed = folder / "test.fields", recipe.emulate.seed
    emulate(folder / "run", path, seed=seed, like=like, kind="2lpt")
    made, truth = (
        Side(table=read_table(source.table), fields=open_fields(source.fields))
        for source in (
            pipeline.source_of(folder / f"{name}.fields") for name in ("counterparts", "test")
        )
    )
    found = judge_pairs(made, truth, open_fields(path), rules=pipeline.rules(recipe.compare))
    curves = {"r": found.theory.draw, "left_open": found.left_open}
    plain = {n: {k: v.tolist() for k, v in asdict(c).items()} for n, c in curves.items()}
    return plain | {"contest": found.contest}


def _images(name, base, folder, minutes):
    """Return how many fields the training may show, in the game and before it.

    It is measured once for all seeds of an arm, and all arms of its pace, and then what their folders say, unless the network was
    another then.
    """
    arm = ARMS[name]
    alike = [folder.name, *(_label(n, "*", minutes) for n in (name, arm.pace) if n)]
    trial = arm.recipe(base, seed=1, images=TRIAL, before=TRIAL if arm.predictor else 0)
    plans = [p for label in alike for p in sorted(folder.parent.glob(f"{label}/recipe.toml"))]
    for table in (read(path).train for path in plans):
        if all(getattr(table, name) == getattr(trial.train, name) for name in COSTS):
            return table.images, table.predictor_images
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for split in SIMULATED:
            Path(scratch, f"{split}.fields").symlink_to((folder / f"{split}.fields").absolute())
        train(trial, scratch)
        lines = Path(scratch, "run/log.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
    batch = trial.train.batch
    shares = {"step": 1 - arm.predictor, "predict": arm.predictor}
    game, before = (
        math.ceil(60 * minutes * share * _speed(found, event) / batch) * batch if share else 0
        for event, share in shares.items()
    )
    return game, before


def _speed(lines, event):
    """Return fields a second, from the second third of a trial on."""
    steps = [line for line in lines if line["event"] == event]
    first, last = steps[len(steps) // 3], steps[-1]
    return (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])


def scorecard(folder, readings, other=None):
    """Return what the study compares, from ``verdict.json`` and the readings of a finished run.

    Of another candidate than the subject of the verdict only the statistics are known.
    """
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    about = verdict["candidates"][other or verdict["subject"]]
    pairs, samples = (None, {}) if other else (verdict["pairs"], verdict["samples"])
    card = {
        "images": readings[-1]["images"],
        "seconds": readings[-1]["seconds"],
        "errors": {n: r["error"] for n, r in about["results"].items()},
        "outcomes": {n: r["outcome"] for n, r in about["results"].items()},
        "bins": _bins(about["results"]),
        "scores": {s["name"]: s["value"] for s in about["scorecard"]},
        "largest": about["overall"],
        "floor": verdict["floors"],
        "samples": samples,
        "readings": readings,
        "commit": verdict["made_by"]["commit"],
        "versions": verdict["made_by"]["versions"],
        "time": verdict["made_by"]["time"],
    }
    if pairs is None:
        return card
    return card | {
        "pairs": {
            "errors": {n: r["error"] for n, r in pairs["results"].items()},
            "bins": _bins(pairs["results"]),
            "k": pairs["k"],
            "draw": pairs["phases"]["draw"],
            "mean": pairs["phases"]["mean"],
            "between": pairs["phases"]["between"],
            "transfer": pairs["phases"]["transfer"],
            "left_open": pairs["left_open"],
            "contest": pairs["contest"],
            "spread": pairs["spread"]["value"] if pairs["spread"] else None,
        }
    }


def _bins(results):
    """Return how many bins pass, fail, and cannot be told."""
    outcomes = [b["outcome"] for r in results.values() for b in r["bins"]]
    return {name: outcomes.count(name) for name in ("pass", "fail", "cannot tell")}


def table():
    """Return the scorecards as a table in markdown, one row an arm and seed."""
    cards = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RESULTS.glob("*.json"))]
    if not cards:
        return "no scorecards yet"
    names = [name for name in ROWS if any(name in card["errors"] for card in cards)]
    head = [
        "arm, seed",
        "weights",
        "fields, minutes",
        *names,
        "bins",
        "pairs",
        "spread",
        *OPEN,
        "AUC",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    floor = {}
    for card in cards:  # statistics came later than some
        floor = card["floor"] | floor
    known = [_percent(floor[n]["median"]) + f" ({_percent(floor[n]['high'])})" for n in names]
    lines.append(f"| floor, median (95 %) | | | {' | '.join(known)} | | | | | | |")
    lines += [f"| {' | '.join(_row(card, names))} |" for card in cards]
    return "\n".join(lines)


def _row(card, names):
    pairs, classified = card.get("pairs"), (card["samples"] or {}).get("classified")
    row = [f"{card['arm']}, {card['seed']}", f"{card['weights']:,}" if "weights" in card else "-"]
    row.append(f"{card['images']:,}, {card['seconds'] / 60:.1f}")
    row += [_percent(card["errors"][n]["value"]) if n in card["errors"] else "-" for n in names]
    row.append("/".join(str(card["bins"][o]) for o in ("pass", "cannot tell", "fail")))
    if pairs is None:
        row += ["-"] * 4
    else:
        row.append("/".join(str(pairs["bins"][o]) for o in ("pass", "cannot tell", "fail")))
        row.append(f"{pairs['spread']['value']:.2f}" if pairs["spread"] else "-")
        row += [
            _most(found["left_open"]["value"], pairs["k"])
            for found in (pairs, pairs["against_2lpt"])
        ]
    row.append(f"{classified['auc']:.3f}" if classified else "-")
    return row


def _most(ratios, k):
    """Return the largest ratio up to k = 0.5 h/Mpc, and that of all shells."""
    return f"{max(r for r, at in zip(ratios, k, strict=True) if at <= HALF):.2f}, {max(ratios):.2f}"


def _percent(value):
    return f"{100 * value:.1f} %"


def main():
    """Parse, and work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="make arms")
    runner.add_argument("arms", nargs="+", choices=[*ARMS, *RIVALS])
    runner.add_argument("--seed", type=int, default=1, help="of the training")
    runner.add_argument("--minutes", type=float, default=15, help="of training, readings apart")
    runner.add_argument("--runs", type=Path, default=Path("runs/fidelity"))
    runner.add_argument("--recipe", default=str(HERE / "fidelity.toml"), help="of the simulations")
    commands.add_parser("table", help="print what was found")
    given = parser.parse_args()
    if given.command == "table":
        print(table())
        return
    for name in given.arms:
        print(run(name, given.seed, given.minutes, given.runs, given.recipe))


if __name__ == "__main__":
    main()
