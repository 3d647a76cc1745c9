"""Measure what the demo promises: emulation per slice, Ray Train's overhead, the start of the command.

    python benchmarks/first_light.py emulate runs/demo-64
    python benchmarks/first_light.py overhead runs/demo-64 --pairs 20
    python benchmarks/first_light.py memory runs/demo-64 --pairs 5
    python benchmarks/first_light.py verdicts runs/demo-64 runs/demo-64-2 runs/demo-64-3
    python benchmarks/first_light.py scatter runs/demo-64 runs/demo-64-2 runs/demo-64-3
    python benchmarks/first_light.py picture runs/demo-64 docs/assets/first-light.png
    python benchmarks/first_light.py help

Each prints a table in markdown. Run them on a machine that does nothing else.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

RNG = np.random.default_rng(0)


def interval_of_median(values, resamples=4000):
    """Return the 95 % bootstrap interval of the median."""
    drawn = RNG.choice(values, (resamples, len(values)))
    return np.quantile(np.median(drawn, axis=1), (0.025, 0.975))


def emulate(run, count):
    """CPU seconds of `count` slices after loading, in this process, and of the simulated slices."""
    import cosmogan
    from cosmogan.recipe import read

    rows = []
    for kind in ("trained", "lognormal"):
        emulator = cosmogan.load(run) if kind == "trained" else _lognormal(run)
        emulator.sample(16, seed=1)  # compile and allocate
        times = [_cpu(lambda e=emulator, s=s: e.sample(count, seed=s)) for s in (2, 3, 4)]
        independent = len(np.unique(emulator.latent.origins(2, range(count))["simulation"]))
        rows.append((kind, statistics.median(times), independent))
    recipe = read(Path(run) / "recipe.toml")
    slices = 3 * recipe.simulate.grid // recipe.simulate.thickness
    power = _linear_power(recipe)  # once for all boxes of a run, and so not part of a box
    _simulate(recipe, power)  # compile
    box = statistics.median(_cpu(lambda: _simulate(recipe, power)) for _ in range(3))
    print(f"| made by | CPU s per {count} slices | CPU s per slice | per independent realisation |")
    print("|---|---|---|---|")
    for kind, seconds, independent in rows:
        each = seconds / independent
        print(f"| {kind} | {seconds:.2f} | {seconds / count:.5f} | {each:.5f} ({independent}) |")
    print(f"| N-body, {slices} slices a box | - | {box / slices:.5f} | {box:.2f} |")


def _lognormal(run):
    from cosmogan.emulate.sample import load

    return load(run, "lognormal")


def _linear_power(recipe):
    from cosmogan.cosmology import Cosmology, linear_power

    return linear_power(Cosmology(**recipe.cosmology.model_dump()))


def _simulate(recipe, power):
    from cosmogan.cosmology import Cosmology
    from cosmogan.mesh import paint
    from cosmogan.simulate.evolution import Evolution, evolve

    table = recipe.simulate
    cosmology = Cosmology(**recipe.cosmology.model_dump())
    settings = Evolution(
        box_size=table.box_size,
        particles=table.particles,
        mesh=table.mesh,
        steps=table.steps,
        start_redshift=table.start_redshift,
    )
    (snapshot,) = evolve(cosmology, 1, settings, power)
    return paint(snapshot.positions, table.grid, table.box_size, table.window)


def _cpu(work):
    before = time.process_time()
    work()
    return time.process_time() - before


def overhead(run, pairs):
    """CPU time per step of the same loop under Ray Train and alone, interleaved."""
    from cosmogan.recipe import read
    from cosmogan.session import ray_cluster
    from cosmogan.train.plan import Training
    from cosmogan.train.run import train

    recipe = read(Path(run) / "recipe.toml")
    short = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"images": 320, "workers": 1})}
    )
    ratios = []
    with tempfile.TemporaryDirectory() as scratch, ray_cluster():
        folder = Path(scratch)
        for name in ("train", "validation"):
            (folder / f"{name}.fields").symlink_to(Path(run, f"{name}.fields").absolute())
        for number in range(pairs):
            shutil.rmtree(folder / "run", ignore_errors=True)
            train(short, folder)
            by_ray = _per_step(folder / "run")
            plan = Training.read(folder / "run" / "training.json")
            alone = replace(plan, folder=str(folder / "alone"))
            shutil.rmtree(folder / "alone", ignore_errors=True)
            worker = [sys.executable, "-m", "cosmogan.train.worker", str(alone.write())]
            subprocess.run(worker, check=True)
            ratios.append(by_ray / _per_step(folder / "alone"))
            print(f"pair {number}: {by_ray:.4f} s, ratio {ratios[-1]:.3f}", file=sys.stderr)
    low, high = interval_of_median(ratios)
    print("| CPU time per step, Ray Train over alone | 95 % interval of the median | pairs |")
    print(f"|---|---|---|\n| {np.median(ratios):.3f} | {low:.3f} to {high:.3f} | {pairs} |")


USUAL = "import cosmogan.train.worker as w; w.main([{!r}])"
BARE = "import cosmogan.train.worker as w; w.keep_memory = lambda: None; w.main([{!r}])"
"""A worker that leaves glibc's thresholds as they are."""


def memory(run, pairs):
    """CPU time per step with the thresholds of malloc as they are, over those of the worker."""
    from cosmogan.recipe import read
    from cosmogan.train.run import gather

    recipe = read(Path(run) / "recipe.toml")
    table = recipe.train.model_copy(update={"images": 640, "workers": 1})
    plan = gather(recipe.model_copy(update={"train": table}), Path(run))
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(pairs):
            cost = []
            for name, code in (("bare", BARE), ("kept", USUAL)):
                path = replace(plan, folder=str(Path(scratch, name))).write()
                subprocess.run([sys.executable, "-c", code.format(str(path))], check=True)
                cost.append(_per_step(path.parent))
                shutil.rmtree(path.parent)
            ratios.append(cost[0] / cost[1])
            print(f"{cost[0]:.4f} and {cost[1]:.4f} s, ratio {ratios[-1]:.3f}", file=sys.stderr)
    print("| CPU time per step, default thresholds over raised ones | lowest and highest | pairs |")
    print("|---|---|---|")
    print(f"| {np.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} | {pairs} |")


def _per_step(folder):
    """CPU seconds a step between the first and the last line of the log."""
    lines = [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    batch = json.loads((folder / "training.json").read_text())["batch"]
    shown = steps[-1]["images"] - steps[0]["images"]
    return (steps[-1]["cpu_seconds"] - steps[0]["cpu_seconds"]) / (shown / batch)


def start():
    """Median wall seconds of ``cosmogan --help``."""
    command = [sys.executable, "-m", "cosmogan", "--help"]
    times = []
    for _ in range(11):
        before = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - before)
    print(f"`cosmogan --help`: median of 11 starts {statistics.median(times):.2f} s wall")


def verdicts(runs):
    """Put the scorecards of several runs beside each other, with the floors and the worst."""
    found = [json.loads(Path(run, "verdict.json").read_text()) for run in runs]
    names = [Path(run).name for run in runs]
    print(f"| mean abs(ratio - 1) | {' | '.join(names)} | worst | floor, median (95 %) |")
    print("|---" * (len(names) + 3) + "|")
    for candidate in found[0]["candidates"]:
        for statistic in found[0]["candidates"][candidate]["results"]:
            values = [
                v["candidates"][candidate]["results"][statistic]["error"]["value"] for v in found
            ]
            floor = max((v["floors"][statistic] for v in found), key=lambda f: f["high"])
            cells = " | ".join(f"{100 * value:.1f} %" for value in values)
            print(
                f"| {candidate}: {statistic} | {cells} | {100 * max(values):.1f} % | "
                f"{100 * floor['median']:.1f} % ({100 * floor['high']:.1f} %) |"
            )
    print()
    for name, verdict in zip(names, found, strict=True):
        print(f"- {name}: {' '.join(verdict['sentences'])}")
        for contest in verdict["contests"]:
            d = contest["difference"]
            print(
                f"  - {contest['statistic']} against {contest['other']}: difference "
                f"{d['value']:.3f} ({d['low']:.3f} to {d['high']:.3f}), {contest['outcome']}"
            )
        wall = {stage: times["wall"] for stage, times in verdict["timings"].items()}
        print(f"  - wall seconds: {', '.join(f'{k} {v:.0f}' for k, v in wall.items())}")


def scatter(runs):
    """Print how far statistics scatter from simulation to simulation, all sides of all runs taken."""
    from cosmogan.statistics.table import average, read

    sides = ("train", "validation", "test")
    tables = [read(Path(run, "statistics", f"{side}.stats.h5")) for run in runs for side in sides]
    print("| statistic | scatter of the mean of a box, bin by bin | boxes |\n|---|---|---|")
    for name in ("bispectrum", "reduced_bispectrum"):
        boxes = np.concatenate([average(t[name].samples, t.simulation) for t in tables])
        relative = 100 * boxes.std(axis=0, ddof=1) / np.abs(boxes.mean(axis=0))
        print(f"| {name} | {', '.join(f'{r:.0f} %' for r in relative)} | {len(boxes)} |")


def picture(run, out):
    """Draw the picture of the README.

    Held-out slices, emulated ones from the same initial conditions, and the ratio of the spectra of
    the held-out slices and of those emulated from seeds of their own.
    """
    from matplotlib.figure import Figure

    import cosmogan

    verdict = json.loads(Path(run, "verdict.json").read_text())
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.55, 1))
    panels = left.subplots(2, 3)
    truth = cosmogan.open(Path(run, "test.fields"))
    _, first = np.unique(truth.origin["simulation"], return_index=True)
    chosen = np.sort(first)[:3]
    emulated = cosmogan.load(run).counterparts(truth.origin[chosen])
    shown = {"N-body, held out": truth[chosen], "emulated, same start": emulated.fields}
    for row, (label, fields) in enumerate(shown.items()):
        for panel, field in zip(panels[row], fields, strict=True):
            image = panel.imshow(
                np.log10(field + 2e-2), cmap="inferno", vmin=-1.5, vmax=1.6, origin="lower"
            )
            panel.set(xticks=[], yticks=[])
        panels[row, 0].set_ylabel(label, fontsize=12)
    left.colorbar(image, ax=panels, label="$\\log_{10}\\,\\rho/\\bar\\rho$", shrink=0.8)
    axis = right.subplots()
    axis.axhspan(0.85, 1.15, color="#2a9d5c", alpha=0.12, lw=0, label="tolerance")
    axis.axhline(1, color="0.3", lw=0.8)
    bins = verdict["candidates"]["emulated"]["results"]["power"]["bins"]
    k = [b["coordinate"] for b in bins]
    ratio = np.array([b["ratio"] for b in bins])
    bars = [ratio - [b["low"] for b in bins], [b["high"] for b in bins] - ratio]
    axis.errorbar(k, ratio, bars, fmt="o", ms=4, color="#d55e00", label="emulated, 95 % interval")
    axis.set(
        xscale="log",
        ylim=(0.6, 1.4),
        xlabel="$k$ [h/Mpc]",
        ylabel="$P(k)$, emulated / held-out simulations",
    )
    axis.set_xticks((0.05, 0.1, 0.2, 0.5), ("0.05", "0.1", "0.2", "0.5"))
    axis.tick_params(which="minor", labelbottom=False)
    axis.legend(frameon=False, loc="lower left")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def main():
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("emulate")
    one.add_argument("run")
    one.add_argument("--count", type=int, default=1000)
    two = commands.add_parser("overhead")
    two.add_argument("run")
    two.add_argument("--pairs", type=int, default=20)
    five = commands.add_parser("memory")
    five.add_argument("run")
    five.add_argument("--pairs", type=int, default=5)
    three = commands.add_parser("verdicts")
    three.add_argument("runs", nargs="+")
    six = commands.add_parser("scatter")
    six.add_argument("runs", nargs="+")
    four = commands.add_parser("picture")
    four.add_argument("run")
    four.add_argument("out")
    commands.add_parser("help")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    match given.command:
        case "emulate":
            emulate(given.run, given.count)
        case "overhead":
            overhead(given.run, given.pairs)
        case "memory":
            memory(given.run, given.pairs)
        case "verdicts":
            verdicts(given.runs)
        case "scatter":
            scatter(given.runs)
        case "picture":
            picture(given.run, given.out)
        case "help":
            start()


if __name__ == "__main__":
    main()
