"""Training through Ray Train: gathers the plan, starts the workers, follows them, stops them.

The workers' loop is `cosmogan.train.worker`; its checkpoints, not Ray's, are what a run resumes
from, so a lost worker costs at most the work since the last one.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from cosmogan import errors
from cosmogan.errors import CheckpointError, CosmoganError, ResourceError, Stopped
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.files import read_json, write_json
from cosmogan.fields.layout import provenance
from cosmogan.fields.store import open_fields
from cosmogan.models.displaced import LptLatent
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.theory import Theory, tabulate
from cosmogan.models.weights import load_weights
from cosmogan.recipe import Recipe, TrainTable, fingerprint, require_levels, write
from cosmogan.session import available_cpus, ray_cluster, scatter
from cosmogan.train.checkpoints import refuse_others
from cosmogan.train.data import check_training, rows_of
from cosmogan.train.follow import Progress, following, touching, work_done
from cosmogan.train.place import LogFile, Place, device_of
from cosmogan.train.plan import Training
from cosmogan.train.reading import READ
from cosmogan.train.worker import train as work

log = logging.getLogger(__name__)

AT_A_TIME = 8
"""Most boxes that a worker displaces for one reading of the plan."""
LOOKED = 2**26
"""Bytes of fields whose largest density one task looks for."""
FEW = 8
"""Spectra that are not worth the way to other processes."""
FAILURES = 3
"""Lost workers after which the run gives up."""
_HOPELESS = (
    errors.TrainingError,
    errors.SplitError,
    errors.CheckpointError,
    errors.LayoutError,
    errors.RecipeError,
    errors.ResourceError,
)
OUTCOME = "outcome.json"
"""How the workers ended; rank 0 writes it."""


def train(
    recipe: Recipe, folder: str | Path, *, progress: Progress = lambda _done, _total: None
) -> Path:
    """Train the networks of a recipe on ``train.fields`` and ``validation.fields`` of a folder.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    folder : path
        Holds the data sets; gets ``run/``.
    progress : callable
        Told the fields shown, and of all; `AHEAD` of those before the game count as one.

    Returns
    -------
    Path
        ``run/weights.safetensors``.

    Raises
    ------
    TrainingError
        If the training diverges.
    Stopped
        If a signal asked it to stop; a checkpoint was written first.
    ResourceError
        If there is no such GPU, or workers died again and again.
    CheckpointError
        If another training was begun in that folder.
    """
    run, images = Path(folder) / "run", recipe.train.images
    before = recipe.train.predictor_images
    weights, flag = run / "weights.safetensors", run / "stop"
    wanted = identity(recipe, *_sides(Path(folder)))
    if weights.exists() and _identity_of(weights) == wanted:
        shutil.rmtree(run / "boxes", ignore_errors=True)  # killed before it could
        return weights
    refuse_others(run, wanted)
    for stale in (flag, run / OUTCOME):
        stale.unlink(missing_ok=True)
    with ray_cluster():
        plan = gather(recipe, Path(folder))
        path = plan.write()
        with touching(flag), following(run / "log.jsonl", before, images, progress):
            if plan.paired:
                displace(path, stopped=flag.exists)
            outcome = _fit(recipe, path, flag)
    flag.unlink(missing_ok=True)
    if outcome.get("complete") or outcome.get("error") == "TrainingError":  # nobody will go on
        shutil.rmtree(plan.boxes, ignore_errors=True)
    _raise(outcome, run)
    progress(*work_done(images, before, images))
    return weights


def _identity_of(weights: Path) -> str:
    """Return whose finished weights these are."""
    try:
        return str(load_weights(weights).content["training"]["identity"])
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; or delete {weights.parent}, and the same command trains anew"
        ) from error


def gather(recipe: Recipe, folder: Path) -> Training:
    """Return the plan of a training: the recipe's numbers, the data's paths, the theory's spectra.

    Raises
    ------
    SplitError, LayoutError
        If the data are incomplete, share a simulation or have fixed amplitudes.
    RecipeError
        If the networks do not fit the grid.
    """
    require_levels(recipe)
    training, validation = _sides(folder)
    table, run, wanted = recipe.train, folder / "run", identity(recipe, training, validation)
    known = _known_plan(run, wanted)
    return Training(
        folder=str(run.absolute()),
        train=str(training.path.absolute()),
        validation=str(validation.path.absolute()),
        latent=LatentShape(
            kind=table.latent,
            neighbours=table.neighbours,
            carried=table.carried,
            displacement=table.displacement,
        ),
        images=table.images,
        batch=table.batch,
        validate_every=table.validate_every,
        generator_widths=table.generator_widths,
        discriminator_widths=table.discriminator_widths,
        predictor_width=table.predictor_width,
        predictor_images=table.predictor_images,
        learning_rate=table.learning_rate,
        gamma=table.gamma,
        gamma_statistics=table.gamma_statistics,
        density_scale=table.density_scale,
        density_max=known.density_max if known else largest_density(training),
        average_half_life=table.average_half_life,
        seed=table.seed,
        threads=table.threads,
        precision=table.precision,
        tolerance=recipe.compare.tolerance.model_dump(include=set(READ)),
        k_max=recipe.compare.k_max,
        theory=known.theory if known else theory_of(training, validation),
        identity=wanted,
        made_by=asdict(provenance("cosmogan train", write(recipe))),
    )


NETWORKS = 9
"""Counts changes of the networks and of what they are shown, which no recipe tells."""


def identity(recipe: Recipe, *sets: FieldSet) -> str:
    """Return the fingerprint of all that decides the weights; not where and on how many workers."""
    where = {"workers": 1, "threads": 1, "device": "auto"}
    table = recipe.train.model_copy(update=where)
    score = recipe.compare.model_dump(include={"k_max": True, "tolerance": set(READ)})
    known = json.dumps({"networks": NETWORKS, "score": score})
    return fingerprint(table, known, *(fields.sha256 for fields in sets))


def theory_of(training: FieldSet, *others: FieldSet) -> Theory:
    """Return the spectra of every cosmology and redshift of the data sets.

    The trained range is that of the first; many cosmologies are computed on the whole cluster.
    """
    layout = training.layout
    trained, *more = (np.unique(side.parameters, axis=0) for side in (training, *others))
    known = set(map(tuple, trained.tolist()))
    new = dict.fromkeys(row for rows in more for row in map(tuple, rows.tolist()))
    parameters = np.array(
        [*map(tuple, trained.tolist()), *(row for row in new if row not in known)]
    )
    few = len(parameters) < FEW
    k, power, linear = tabulate(layout.parameter_names, parameters, starmap if few else scatter)
    return Theory(
        dimension=layout.dimension,
        cell_size=layout.cell_size,
        thickness=round(layout.thickness / layout.cell_size),
        window=layout.mass_assignment,
        names=layout.parameter_names,
        parameters=parameters,
        k=k,
        power=power,
        linear=linear,
        trained=len(trained),
    )


def _sides(folder: Path) -> tuple[FieldSet, FieldSet]:
    """Return the training and the validation side."""
    training, validation = (open_fields(folder / f"{n}.fields") for n in ("train", "validation"))
    check_training(training, validation)
    return training, validation


def largest_density(fields: FieldSet) -> float:
    """Return the largest density of all fields [mean density], looked for on the whole cluster.

    No sample will do: of the 30,720 training slices of the fidelity report, one in fifteen had a maximum of 631, and all of them one of 894.

    Raises
    ------
    LayoutError
        If a field is damaged.
    """
    path, size = str(fields.path.absolute()), max(1, LOOKED // fields.layout.sample_bytes)
    starts = range(0, len(fields), size)
    calls = [(path, start, min(start + size, len(fields))) for start in starts]
    return max(starmap(_largest, calls) if len(calls) == 1 else scatter(_largest, calls))


def _largest(path: str, start: int, stop: int) -> float:
    return float(open_fields(path).read_checked(np.arange(start, stop)).max())


def _known_plan(run: Path, wanted: str) -> Training | None:
    """Return the plan of a training that was begun before, if it is this one."""
    try:
        before = Training.read(run / "training.json")
    except CheckpointError:
        return None
    return before if before.identity == wanted else None


def displace(path: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Make, on the whole cluster, the boxes that theory displaces from the seeds of both sides.

    Parameters
    ----------
    path : Path
        Of ``training.json``; the boxes are kept beside it until the training is complete.
    stopped : callable
        Whether to stop; boxes that are made stay.

    Raises
    ------
    ResourceError
        If the disk is full or may not be written.
    Stopped
        If it was to stop.
    """
    plan = Training.read(path)
    theory, wanted = plan.theory, set()
    for side in map(open_fields, (plan.train, plan.validation)):
        wanted |= set(
            zip(side.origin["seed"].tolist(), rows_of(side, theory).tolist(), strict=True)
        )
    boxes = sorted(wanted)
    grid = open_fields(plan.train).layout.grid
    size = max(1, min(AT_A_TIME, len(boxes) // (2 * available_cpus())))
    parts = [(path, grid, boxes[i : i + size]) for i in range(0, len(boxes), size)]
    for _ in scatter(_displace, parts):
        if stopped():
            raise Stopped(
                f"{plan.folder}: stopped before the first step; the same command continues"
            )


def _displace(path: Path, grid: int, boxes: Sequence[tuple[int, int]]) -> None:
    """Make and keep the boxes of these seeds and rows of the theory; twice does no harm."""
    plan = Training.read(path)
    latent = make_latent(plan.latent, plan.theory, grid, plan.boxes)
    if isinstance(latent, LptLatent):
        for seed, row in boxes:
            latent.keep(seed, row)


def _fit(recipe: Recipe, plan: Path, flag: Path) -> dict[str, Any]:
    """Run the workers to their end and return how they ended."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    found = ray.cluster_resources()
    gpu = _uses_gpu(recipe.train.device, found.get("GPU", 0))
    workers, threads = crew(
        recipe.train, int(found["CPU"]), int(found.get("GPU", 0)) if gpu else None
    )
    trainer = TorchTrainer(
        _loop,
        train_loop_config={"plan": str(plan), "flag": str(flag), "gpu": gpu},
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": threads} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(plan.parent),
            failure_config=FailureConfig(max_failures=FAILURES),
        ),
    )
    try:
        # in the main thread Ray takes SIGINT, and no checkpoint is written
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(trainer.fit).result()
    except ray.train.TrainingFailedError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1]
        raise ResourceError(
            f"{plan.parent}: workers failed {FAILURES + 1} times ({reason}); "
            "look there for the cause, or for too little memory, then give the same command again"
        ) from error
    return read_json(plan.parent / OUTCOME)


def crew(table: TrainTable, cpus: int, gpus: int | None) -> tuple[int, int]:
    """Return how many workers of how many threads there are, at most those of the recipe.

    What a training is shown does not depend on them (the last bits of its weights do), so a smaller machine
    trains with fewer, where Ray would wait for CPUs that never come.

    Parameters
    ----------
    table : TrainTable
        What the recipe asks for.
    cpus : int
        CPUs of the cluster.
    gpus : int or None
        GPUs of the cluster, if each worker is to have one.
    """
    threads = min(table.threads, cpus)
    room = min(cpus // threads, cpus if gpus is None else gpus)
    fitting = [n for n in range(1, min(table.workers, room) + 1) if table.batch % n == 0]
    return max(fitting), threads


def _uses_gpu(wish: str, found: float) -> bool:
    if wish == "cuda" and not found:
        raise ResourceError("train.device = 'cuda': no GPU in this cluster; use 'auto' or 'cpu'")
    return wish != "cpu" and found > 0


def _loop(config: dict[str, Any]) -> None:
    """Be one of Ray Train's workers."""
    import ray.train

    from cosmogan.train.album import Album, Board

    plan = Training.read(Path(config["plan"]))
    context = ray.train.get_context()
    rank, folder = context.get_world_rank(), Path(plan.folder)
    observers = (LogFile(folder), Board(folder), Album(folder)) if rank == 0 else ()
    place = Place(
        rank=rank,
        world=context.get_world_size(),
        device=device_of("cuda" if config["gpu"] else "cpu", context.get_local_rank()),
        stopped=Path(config["flag"]).exists if rank == 0 else lambda: False,
        observers=observers,
    )
    try:
        outcome: dict[str, Any] = {"complete": work(plan, place)}
    except _HOPELESS as error:
        # every worker comes to the same conclusion: a restart would not help
        outcome = {"error": type(error).__name__, "message": str(error)}
    if rank == 0:
        write_json(folder / OUTCOME, outcome)


def _raise(outcome: dict[str, Any], run: Path) -> None:
    if "error" in outcome:
        kind: type[CosmoganError] = getattr(errors, outcome["error"])
        raise kind(outcome["message"])
    if not outcome.get("complete"):
        raise Stopped(f"{run}: stopped, a checkpoint is written; the same command continues")
