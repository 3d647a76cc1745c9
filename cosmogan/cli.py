"""The command ``cosmogan``: parse, load the recipe, call one function.

Whatever a command needs is imported inside it, so that ``cosmogan --help`` answers at once. An error
is one line on stderr that says what, where and what to do:

====  =============================================================================================
0     done
1     a defect of cosmogan; ``COSMOGAN_DEBUG=1`` shows where
2     the command, a recipe, a file or the machine is not as it must be
85    stopped by SIGTERM or SIGUSR1; the same command continues
130   interrupted from the keyboard; the same command continues
====  =============================================================================================
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import click

from cosmogan import options
from cosmogan.errors import CosmoganError, Stopped

_Kind = Literal["trained", "untrained", "lognormal", "lpt", "2lpt"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_PATH = click.Path(path_type=Path)

_output_folder = click.option(
    "-o", "--output", type=_FOLDER, help="Folder of the run; default runs/<name of the recipe>."
)
_workers = click.option(
    "--workers", type=click.IntRange(min=1), help="Processes; default as many as there are cores."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; default those of this process.
    """
    debug = bool(os.environ.get("COSMOGAN_DEBUG"))
    logging.basicConfig(format="cosmogan: %(message)s", level=logging.WARNING)
    logging.getLogger("cosmogan").setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        result = commands.main(args=arguments, prog_name="cosmogan", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (the edge: every error ends as one line)
        if debug:
            traceback.print_exc()
        message, code = _explain(error)
        click.echo(f"cosmogan: {message}", err=True)
        return code
    return result if isinstance(result, int) else 0


def _explain(error: BaseException) -> tuple[str, int]:
    """Return one line and the exit code."""
    message = " ".join(str(error).split())
    match error:
        case Stopped():
            return message, 85
        case KeyboardInterrupt() | click.Abort():
            return "interrupted; the same command continues", 130
        case click.UsageError(ctx=click.Context() as context):
            return f"{error.format_message()} See `{context.command_path} --help`.", 2
        case click.ClickException():
            return error.format_message(), 2
        case CosmoganError():
            return message, 2
        case OSError(filename=name, strerror=str() as reason):  # a full disk has no name
            return f"{name or 'system'}: {reason}", 2
    kind = type(error).__name__
    return f"defect: {kind}: {message}; COSMOGAN_DEBUG=1 shows where, please report it", 1


@click.group(cls=options.InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=options.show_version,
    help="Show the version.",
)
def commands() -> None:
    """Learn density fields from N-body runs, emulate them, judge them.

    RECIPE is a TOML file, or the name of one that ships: demo-64, lcdm-z, tiny.
    Any command that was cut off continues when it is given again.
    """


@commands.command("run")
@click.argument("recipe")
@_output_folder
@click.option("--plan", "only_plan", is_flag=True, help="Show the plan and stop.")
def run(recipe: str, output: Path | None, *, only_plan: bool) -> None:
    """Go through all stages, with a plan first."""
    from cosmogan import pipeline, screen
    from cosmogan.recipe import read

    content = read(recipe)
    folder = output or Path("runs", content.name)
    view = screen.on(sys.stdout)
    view.say(pipeline.plan(content, folder))
    if not only_plan:
        pipeline.run(content, folder, screen=view)
        view.say(pipeline.closing(folder))


@commands.command("simulate")
@click.argument("recipe")
@_output_folder
def simulate(recipe: str, output: Path | None) -> None:
    """Make the N-body runs of a recipe."""
    _one_stage("simulate", recipe, output)


@commands.command("train")
@click.argument("recipe")
@_output_folder
def train(recipe: str, output: Path | None) -> None:
    """Train the networks of a recipe."""
    _one_stage("train", recipe, output)


@commands.command("emulate")
@click.argument("run", type=_PATH, required=False)
@click.option(
    "--weights", type=_PATH, help="In place of RUN: a file, or the name of shipped weights."
)
@click.option("-o", "--output", type=_PATH, required=True, help="Data set to write, NAME.fields.")
@click.option("--count", type=click.IntRange(min=1), help="Default 1000, or as many as --like.")
@click.option(
    "--like",
    type=_PATH,
    help="Simulations, made by cosmogan, whose initial conditions the fields get, in turn.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Fixes every field."
)
@click.option(
    "--kind",
    type=click.Choice(get_args(_Kind)),
    default="trained",
    show_default=True,
    help="The network, or one of the yardsticks it is judged against.",
)
@click.option(
    "--parameters",
    callback=options.values,
    metavar="NAME=VALUE,...",
    help="Cosmology and redshift, e.g. redshift=0.5; what did not vary in training may be left out.",
)
@click.option("--force", is_flag=True, help="Outside the trained range too; the output says so.")
@_workers
def emulate(
    run: Path | None,
    weights: Path | None,
    output: Path,
    count: int | None,
    like: Path | None,
    seed: int,
    kind: _Kind,
    parameters: dict[str, float],
    force: bool,
    workers: int | None,
) -> None:
    """Make fields with a trained network.

    RUN is the folder that training made, or its parent.
    """
    from cosmogan import screen
    from cosmogan.emulate.run import emulate as work
    from cosmogan.pipeline import stoppable
    from cosmogan.session import ray_cluster

    view = screen.on(sys.stdout)
    with ray_cluster(), stoppable(), view.bar("emulate") as progress:
        work(
            options.either("RUN", run, "--weights", weights),
            output,
            count=count if like else count or 1000,
            like=like,
            seed=seed,
            kind=kind,
            parameters=parameters,
            force=force,
            workers=workers,
            progress=progress,
        )
    view.say(str(output))


@commands.command("measure")
@click.argument("path", type=_PATH)
@click.option("-o", "--output", type=_FILE, help="Default statistics/NAME.stats.h5 beside PATH.")
@click.option("--box", "box_size", type=float, help="Side of the fields of a plain array [Mpc/h].")
@click.option(
    "--quantity",
    type=click.Choice(["density over mean", "overdensity", "density"]),
    help="What the numbers of a plain array are; default density over mean.",
)
@click.option("--dataset", help="Which data set of a plain HDF5 file.")
@click.option(
    "--dimension", type=int, help="2 for N slices of N x N cells, which look like a cube."
)
@click.option("--thickness", type=float, help="Depth of plain slices [Mpc/h], default a cell.")
@click.option(
    "--per-simulation",
    type=int,
    help="How many plain fields in a row are of one simulation; default 1: all are independent.",
)
@click.option("--csv", type=_FILE, help="Write the means and their errors here too, as text.")
@click.option(
    "--statistics",
    "names",
    callback=options.names,
    metavar="NAME,...",
    help="What to measure: default, all, or names, e.g. power,pdf,halos.",
)
@click.option(
    "--dask",
    metavar="local|ray|slurm|tls://...",
    help="Where Dask computes; default in threads of this process.",
)
@click.option(
    "--memory",
    callback=options.size,
    metavar="SIZE",
    help="What this process, or each worker, may take, e.g. 4GB; default what is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads, or workers of a cluster; default as many as there are.",
)
def measure(
    path: Path,
    output: Path | None,
    csv: Path | None,
    names: tuple[str, ...] | None,
    dask: str | None,
    memory: float | None,
    workers: int | None,
    **plain: Any,  # noqa: ANN401  (the options of a plain array)
) -> None:
    """Measure the statistics of a data set.

    PATH is a data set of cosmogan, or, with --box, any .npy or HDF5 array of periodic fields.
    """
    from cosmogan import screen
    from cosmogan.measure.run import measure as work
    from cosmogan.pipeline import statistics_of, stoppable
    from cosmogan.statistics.export import require_replaceable, write_csv
    from cosmogan.statistics.table import read as read_table

    view = screen.on(sys.stdout)
    fields = options.described(
        path, {key: value for key, value in plain.items() if value is not None}
    )
    target = output or statistics_of(path)
    if output is None and plain["dataset"]:
        target = target.parent / f"{fields.name}.stats.h5"
    if csv:
        require_replaceable(csv)
    with stoppable(), view.bar("measure") as progress:
        work(
            fields,
            target,
            statistics=names or ("default",),
            workers=workers,
            dask=dask,
            memory=memory,
            progress=progress,
        )
    view.say(str(target))
    if csv:
        write_csv(csv, read_table(target))
        view.say(str(csv))


@commands.command("compare")
@click.argument("candidate", type=_PATH)
@click.argument("truth", type=_PATH)
@click.option(
    "-o", "--output", type=_FOLDER, default="verdict", show_default=True, help="For the report."
)
@click.option(
    "--training",
    type=_PATH,
    help="What the candidate learned from: its error is owed, and copies of it are looked for.",
)
@click.option("--validation", type=_PATH, help="More simulations, for the floors and nulls.")
@click.option(
    "--counterparts",
    type=_PATH,
    help="What the same network made with emulate --like TRUTH: judged pair by pair.",
)
@click.option("--lpt", type=_PATH, help="What emulate --like TRUTH --kind lpt made, its rival.")
@click.option("--recipe", help="Whose tolerances hold; default those of a recipe that names none.")
@click.option(
    "--samples/--no-samples",
    default=True,
    show_default=True,
    help="Look at the fields themselves: copies, diversity, a classifier.",
)
def compare(
    candidate: Path,
    truth: Path,
    output: Path,
    training: Path | None,
    validation: Path | None,
    counterparts: Path | None,
    lpt: Path | None,
    recipe: str | None,
    *,
    samples: bool,
) -> None:
    """Judge a data set against simulations.

    All are data sets that were measured, or their .stats.h5 files, which are compared without a look.
    """
    from dataclasses import replace

    from cosmogan import pipeline, screen
    from cosmogan.compare.run import compare as work
    from cosmogan.recipe import CompareTable, read

    view = screen.on(sys.stdout)
    rules = pipeline.rules(read(recipe).compare if recipe else CompareTable())
    others = {"training": training, "validation": validation}
    with pipeline.stoppable(), view.bar("compare") as progress:
        work(
            {pipeline.name_of(candidate): pipeline.source_of(candidate)},
            pipeline.source_of(truth),
            output,
            others={name: pipeline.source_of(path) for name, path in others.items() if path},
            counterparts=pipeline.source_of(counterparts) if counterparts else None,
            lpt=pipeline.source_of(lpt) if lpt else None,
            rules=replace(rules, samples=rules.samples and samples),
            progress=progress,
        )
    view.say(pipeline.closing(output))


@commands.command("inspect")
@click.argument("path", type=_PATH)
@click.option("--plot", type=_FILE, help="Draw a field into this picture.")
@click.option("--index", type=int, default=0, show_default=True, help="Which field to draw.")
@click.option("--verify", is_flag=True, help="Read everything and compare it with its checksums.")
def inspect(path: Path, plot: Path | None, index: int, *, verify: bool) -> None:
    """Say what a data set is, and draw it."""
    from cosmogan import screen
    from cosmogan.fields.describe import describe, plot_sample
    from cosmogan.fields.store import open_fields

    view = screen.on(sys.stdout)
    view.say(describe(path))
    if verify:
        with view.bar("verify") as progress:
            open_fields(path).verify(progress)
    if plot:
        plot_sample(path, index, plot)
        view.say(str(plot))


@commands.command("version")
def version() -> None:
    """Say what runs here, for a report of a defect."""
    from importlib import metadata
    from platform import platform, python_version

    import cosmogan

    click.echo(f"cosmogan {cosmogan.__version__}, python {python_version()}, {platform()}")
    for name in ("numpy", "scipy", "numba", "h5py", "torch", "ray", "dask", "camb"):
        click.echo(f"  {name} {metadata.version(name)}")


def _one_stage(stage: str, recipe: str, output: Path | None) -> None:
    from cosmogan import pipeline, screen
    from cosmogan.recipe import read

    content = read(recipe)
    folder = output or Path("runs", content.name)
    view = screen.on(sys.stdout)
    pipeline.run(content, folder, only=[stage], screen=view)
    view.say(str(folder))
