"""A whole run: simulate, train, emulate, measure and compare, in this order, in one folder.

It looks so::

    recipe.toml                                            the recipe, every default filled in
    train.fields/ validation.fields/ test.fields/          simulate
    run/                                                   train
    emulated.fields/ untrained.fields/ lognormal.fields/   emulate, from seeds
    counterparts.fields/ lpt.fields/                       emulate, from the initial conditions of test
                                                           (these alone, of many universes)
    statistics/<name>.stats.h5                             measure
    report.html verdict.json                               compare
    timings.json                                           wall and CPU seconds of each stage

The stages know nothing of each other; this module knows their order and what each leaves behind.
What is complete is skipped, what was cut off continues.
"""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from cosmogan.budget import (
    EMULATED,
    FROM_TEST,
    SIMULATED,
    Cost,
    emulated_fields,
    estimate,
    measured_fields,
)
from cosmogan.errors import RecipeError, ResourceError, Stopped
from cosmogan.fields.files import free_space, make_folder, whole_file
from cosmogan.recipe import CompareTable, Recipe, read, require_levels, write
from cosmogan.screen import Progress, Screen, Silent, duration, size
from cosmogan.session import available_cpus, ray_cluster
from cosmogan.timings import Timings

if TYPE_CHECKING:
    from cosmogan.compare.rules import Rules
    from cosmogan.compare.run import Source

STAGES = ("simulate", "train", *EMULATED, *FROM_TEST, "measure", "compare")
"""All there may be: those from the initial conditions of "test" take a latent that has some."""
_LARGE = "*.h5", "boxes/*/*.safetensors"  # beside what a stage leaves
_ON_RAY = ("simulate", "train", *EMULATED, *FROM_TEST)
KINDS: dict[str, Literal["trained", "untrained", "lognormal", "lpt"]] = {
    "emulated": "trained",
    "untrained": "untrained",
    "lognormal": "lognormal",
    "counterparts": "trained",
    "lpt": "lpt",
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a run.

    Parameters
    ----------
    name : str
        Its key in ``timings.json``.
    leaves : tuple of Path
        The files that exist once it is complete, and not before.
    cost : Cost
        What it makes and takes.
    work : callable
        Does it, or goes on with it; takes a progress function.
    """

    name: str
    leaves: tuple[Path, ...]
    cost: Cost
    work: Callable[[Progress], object]

    @property
    def complete(self) -> bool:
        """Whether all it leaves is there."""
        return all(path.exists() for path in self.leaves)


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    only: Sequence[str] = STAGES,
    screen: Screen | None = None,
) -> Path:
    """Go through the stages of a run that are not complete.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    folder : path
        Where; made if it does not exist. The same call continues what was cut off.
    only : sequence of str
        The stages to go through, out of `STAGES`.
    screen : Screen, optional
        Sees the progress; default sees nothing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RecipeError
        If the folder belongs to another recipe, or many universes could not be judged.
    ResourceError
        If the disk has too little room for what is left.
    Stopped
        If a signal asked to stop.
    """
    folder = Path(folder)
    _require_counterparts(recipe, only)
    if "train" in only:
        require_levels(recipe)
    claim(recipe, folder)
    wanted = [stage for stage in stages(recipe, folder) if stage.name in only]
    # What follows a stage that works again may be out of date: it is asked, and knows by itself.
    todo = list(dropwhile(lambda stage: stage.complete, wanted))
    _require_space(folder, [stage for stage in todo if not stage.complete])
    if todo:
        _work(todo, Timings(folder / "timings.json"), screen or Silent())
    return folder


def stages(recipe: Recipe, folder: Path) -> list[Stage]:
    """Return all stages of a run, in order; nothing is made or changed."""
    emulated = emulated_fields(recipe)
    sets = {name: folder / f"{name}.fields" for name in (*SIMULATED, *emulated)}
    measured = [sets[name] for name in measured_fields(recipe)]
    statistics = [statistics_of(path) for path in measured]
    leaves_work: dict[str, tuple[list[Path], Callable[[Progress], object]]] = {
        "simulate": (
            [sets[name] / "manifest.json" for name in SIMULATED],
            partial(_simulate, recipe, folder),
        ),
        "train": ([folder / "run" / "weights.safetensors"], partial(_train, recipe, folder)),
        **{
            name: ([sets[name] / "manifest.json"], partial(_emulate, recipe, folder, name))
            for name in emulated
        },
        "measure": (
            statistics,
            partial(_measure, measured, statistics, recipe.measure.statistics),
        ),
        "compare": (
            [folder / "verdict.json", folder / "report.html"],
            partial(_compare, recipe, folder),
        ),
    }
    costs = estimate(recipe)
    return [
        Stage(name=name, leaves=tuple(leaves), cost=costs[name], work=work)
        for name, (leaves, work) in leaves_work.items()
    ]


def plan(recipe: Recipe, folder: str | Path) -> str:
    """Return what a run will do, as a table: stages, what is complete, disk and time."""
    found = stages(recipe, Path(folder))
    todo = [stage for stage in found if not stage.complete]
    lines = [
        f"{recipe.name} -> {folder} ({available_cpus()} cores, {size(free_space(Path(folder)))} free)",
        *(_row(stage) for stage in found),
    ]
    if todo:
        seconds, disk = (sum(getattr(s.cost, key) for s in todo) for key in ("seconds", "bytes"))
        return "\n".join([*lines, f"  to do: about {duration(seconds)}, {size(disk)}"])
    return "\n".join([*lines, "  nothing left to do"])


def rules(table: CompareTable) -> "Rules":
    """Return the rules of a verdict that a recipe asks for."""
    from cosmogan.compare.rules import Rules

    return Rules(
        tolerance=table.tolerance.model_dump(),
        k_max=table.k_max,
        samples=table.samples,
        classifier_steps=table.classifier_steps,
        splits=table.splits,
    )


def name_of(path: str | Path) -> str:
    """Return the name of a data set, or of the data set that statistics are of."""
    return Path(path).name.removesuffix(".h5").removesuffix(".fields").removesuffix(".stats")


def statistics_of(path: str | Path) -> Path:
    """Return where the statistics of a data set lie: ``statistics/<name>.stats.h5`` beside it."""
    from cosmogan.fields.array import is_plain

    path = Path(path)
    name = path.name if is_plain(path) else name_of(path)
    return path.parent / "statistics" / f"{name}.stats.h5"


def source_of(path: str | Path) -> "Source":
    """Return what `compare` reads of a data set, or of its statistics alone."""
    from cosmogan.compare.run import Source

    path = Path(path)
    return Source(path) if path.name.endswith(".stats.h5") else Source(statistics_of(path), path)


def closing(folder: str | Path) -> str:
    """Return how a run that is complete ended: the verdict in words, and where the report is."""
    folder = Path(folder)
    content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return "\n".join([*content["sentences"], str(folder / "report.html")])


def claim(recipe: Recipe, folder: Path) -> None:
    """Make a folder this recipe's own.

    Raises
    ------
    RecipeError
        If it is another recipe's, naming the first key that differs.
    """
    path = folder / "recipe.toml"
    if path.exists():
        there, here = _flat(read(path).model_dump()), _flat(recipe.model_dump())
        for key in here | there:
            if there.get(key) != here.get(key):
                raise RecipeError(
                    f"{folder}: made by another recipe ({key} = {there.get(key)} there, "
                    f"{here.get(key)} here); "
                    f"choose another output with -o, or delete it"
                )
        return
    make_folder(folder)
    with whole_file(path) as temporary:
        temporary.write_text(write(recipe), encoding="utf-8")


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGUSR1 into `Stopped`; enter it after Ray has started, which takes SIGTERM.

    Raises
    ------
    Stopped
        When one of them comes. A second one is ignored, so that what cleans up can finish.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    caught: list[str] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        caught.append(signal.Signals(number).name)
        if len(caught) == 1:
            raise KeyboardInterrupt  # the one exception that ends a wait inside Ray at once

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    except KeyboardInterrupt:
        if caught:
            raise Stopped(f"stopped by {caught[0]}; the same command continues") from None
        raise
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _require_counterparts(recipe: Recipe, only: Sequence[str]) -> None:
    """Raise `RecipeError` now, and not at the verdict hours later."""
    judged = not set(only) <= {"simulate", "train"}
    if recipe.many_universes and judged and "counterparts" not in emulated_fields(recipe):
        several = "points" if recipe.points else "simulate.redshifts"
        raise RecipeError(
            f"{several}: each universe is judged by fields that share initial conditions with its "
            "simulations; set train.latent = 'lpt' and emulate.draws >= 1"
        )


def _work(todo: Sequence[Stage], timings: Timings, screen: Screen) -> None:
    cluster = ray_cluster() if any(stage.name in _ON_RAY for stage in todo) else nullcontext()
    with cluster, stoppable():
        for stage in todo:
            with timings.stage(stage.name), screen.bar(stage.name) as progress:
                stage.work(progress)


def _simulate(recipe: Recipe, folder: Path, progress: Progress) -> None:
    from cosmogan.simulate.run import simulate

    simulate(recipe, folder, progress=progress)


def _train(recipe: Recipe, folder: Path, progress: Progress) -> None:
    from cosmogan.train.run import train

    train(recipe, folder, progress=progress)


def _emulate(recipe: Recipe, folder: Path, name: str, progress: Progress) -> None:
    from cosmogan.emulate.run import emulate

    emulate(
        folder / "run",
        folder / f"{name}.fields",
        count=emulated_fields(recipe)[name],
        seed=recipe.emulate.seed,
        like=folder / "test.fields" if name in FROM_TEST else None,
        kind=KINDS[name],
        force=recipe.many_universes,  # of few points, held-out ones may lie just outside; it is marked
        progress=progress,
    )


def _measure(
    sets: Sequence[Path], tables: Sequence[Path], names: Sequence[str], progress: Progress
) -> None:
    from cosmogan.fields.store import open_fields
    from cosmogan.measure.run import measure

    fields = [len(open_fields(path)) for path in sets]
    for number, (path, table) in enumerate(zip(sets, tables, strict=True)):
        before, here = sum(fields[:number]), fields[number]
        measure(
            path,
            table,
            statistics=names,
            progress=lambda done, total, before=before, here=here: progress(  # type: ignore[misc]
                before + here * done // total, sum(fields)
            ),
        )


def _compare(recipe: Recipe, folder: Path, progress: Progress) -> None:
    from cosmogan.compare.curves import read_log
    from cosmogan.compare.page import Setting
    from cosmogan.compare.run import compare

    names = (*SIMULATED, *emulated_fields(recipe))
    sources = {name: source_of(folder / f"{name}.fields") for name in names}
    compare(
        {name: sources[name] for name in EMULATED if name in sources},
        sources["test"],
        folder,
        others={"training": sources["train"], "validation": sources["validation"]},
        counterparts=sources.get("counterparts"),
        lpt=sources.get("lpt"),
        rules=rules(recipe.compare),
        progress=progress,
        setting=Setting(
            title=recipe.name,
            log=read_log(folder / "run" / "log.jsonl"),
            timings=Timings(folder / "timings.json").stages,
            made_by={"command": f"cosmogan run {recipe.name}", "recipe": write(recipe)},
        ),
    )


def _row(stage: Stage) -> str:
    state = "complete" if stage.complete else f"about {duration(stage.cost.seconds)}"
    return f"  {stage.name:<12} {state:<18} {size(stage.cost.bytes):>8}  {stage.cost.what}"


def _require_space(folder: Path, todo: Sequence[Stage]) -> None:
    needed, free = sum(_left(stage) for stage in todo), free_space(folder)
    if needed > free:
        raise ResourceError(
            f"{folder}: needs about {size(needed)}, the disk has {size(free)} free; "
            f"make room, or choose another output with -o"
        )


def _left(stage: Stage) -> float:
    """Return the bytes that a stage has still to write."""
    folders = {path.parent for path in stage.leaves}
    kept = (p for folder in folders for kind in _LARGE for p in folder.glob(kind))
    return max(stage.cost.bytes - sum(path.stat().st_size for path in kept), 0.0)


def _flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
