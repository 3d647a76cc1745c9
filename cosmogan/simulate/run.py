"""Many simulations on Ray: one task makes one box, and one box is one shard of a data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmogan.cosmology import Cosmology, PowerTable, linear_power
from cosmogan.fields.cut import cut_box
from cosmogan.fields.layout import Layout, provenance
from cosmogan.fields.store import (
    FieldSet,
    Shard,
    create_folder,
    expected_bytes,
    finish_folder,
    missing_shards,
    open_fields,
    write_shard,
)
from cosmogan.mesh import paint
from cosmogan.recipe import Recipe, fingerprint, write
from cosmogan.session import ray_cluster, scatter
from cosmogan.simulate.evolution import Evolution, Snapshot, evolve
from cosmogan.simulate.points import draw_points

SPLITS = ("train", "validation", "test")
"""The sides of the split; the seeds of each start `SEEDS_PER_SPLIT` after those of the one before."""
SEEDS_PER_SPLIT = 10_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Box:
    """One simulation to run, and where its fields go.

    Parameters
    ----------
    folder : str
        Data set.
    shard : int
        Number in it.
    cosmology : Cosmology
        Its universe.
    seed : int
        Of the initial conditions; also the number of the simulation.
    redshifts : tuple of float
        Of its fields; its time steps land on those of other sides too.
    fixed, paired : bool
        Amplitudes without scatter; phases turned.
    """

    folder: str
    shard: int
    cosmology: Cosmology
    seed: int
    redshifts: tuple[float, ...]
    fixed: bool = False
    paired: bool = False


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How the fields are made from the particles.

    Parameters
    ----------
    dimension, grid : int
        2 for slices, 3 for cubes; cells per side.
    thickness : int
        Of a slice [cells].
    window : str
        Mass assignment.
    """

    dimension: int
    grid: int
    thickness: int
    window: str


def simulate(
    recipe: Recipe,
    folder: str | Path,
    *,
    splits: Sequence[str] = SPLITS,
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, FieldSet]:
    """Run the simulations of a recipe that are not there yet.

    Parameters
    ----------
    recipe : Recipe
        What to simulate.
    folder : path
        Gets ``train.fields``, ``validation.fields`` and ``test.fields``.
    splits : sequence of str
        Which of these.
    workers : int, optional
        Boxes at a time; by default one for each CPU. The bits do not depend on it.
    progress : callable
        Told the number of boxes done, and of all.

    Returns
    -------
    dict of FieldSet
        By split.

    Raises
    ------
    RecipeError
        If a folder exists from another recipe.
    ResourceError
        If the disk is too full.
    """
    here = Path(folder).absolute()  # workers of a cluster stand elsewhere
    paths = {split: here / f"{split}.fields" for split in splits}
    missing = {split: _begin(recipe, split, path) for split, path in paths.items()}
    written: dict[str, list[Shard]] = {str(path): [] for path in paths.values()}
    total = sum(len(boxes(recipe, split, path)) for split, path in paths.items())
    there = total - sum(map(len, missing.values()))
    todo = [box for split in splits for box in missing[split]]
    for path, shard in _run(recipe, todo, workers, lambda done, _: progress(there + done, total)):
        written[path].append(shard)
    progress(total, total)
    return {split: _end(path, written[str(path)]) for split, path in paths.items()}


def boxes(recipe: Recipe, split: str, folder: str | Path) -> list[Box]:
    """Return all simulations of one side of the split.

    The seed of simulation i is ``recipe.seed * 2**32 + offset + i``; those of one cosmology follow one
    another. Boxes 2j and 2j + 1 of paired initial conditions share seed and number: together they are
    one simulation.
    """
    kind, each = recipe.simulate.initial_conditions, getattr(recipe.simulate.boxes, split)
    first = recipe.seed * 2**32 + SPLITS.index(split) * SEEDS_PER_SPLIT
    universes = [c for c in cosmologies(recipe, split) for _ in range(each)]
    return [
        Box(
            folder=str(folder),
            shard=i,
            cosmology=cosmology,
            seed=first + (i // 2 if kind == "paired" else i),
            redshifts=recipe.simulate.redshifts_of(split),
            fixed=kind != "gaussian",
            paired=kind == "paired" and i % 2 == 1,
        )
        for i, cosmology in enumerate(universes)
    ]


def cosmologies(recipe: Recipe, split: str) -> list[Cosmology]:
    """Return the universes of one side of the split."""
    centre, points = Cosmology(**recipe.cosmology.model_dump()), recipe.points
    if points is None:
        return [centre]
    seed = recipe.seed * len(SPLITS) + SPLITS.index(split)
    return draw_points(centre, points.ranges.given(), getattr(points, split), seed)


def layout(recipe: Recipe) -> Layout:
    """Return the layout of the fields that a recipe asks for."""
    s = recipe.simulate
    thickness = s.thickness / s.grid if s.dimension == 2 else 1.0
    return Layout(
        dimension=s.dimension,
        grid=s.grid,
        box_size=s.box_size,
        thickness=thickness * s.box_size,
        mass_assignment=s.window,
        particles=s.particles,
        fixed=s.initial_conditions != "gaussian",
        parameter_names=(*Cosmology().parameters(), "redshift"),
    )


def make_box(box: Box, settings: Evolution, cut: Cut, power: PowerTable) -> tuple[str, Shard]:
    """Simulate one box with one thread and write the shard of its redshifts.

    Returns
    -------
    folder : str
        Of the box.
    shard : Shard
        What was written.
    """
    fields, parameters, origin = [], [], []
    cosmology = box.cosmology
    snapshots = evolve(cosmology, box.seed, settings, power, fixed=box.fixed, paired=box.paired)
    for snapshot in snapshots:
        if snapshot.redshift not in box.redshifts:
            continue
        samples, where = cut_fields(snapshot, settings.box_size, cut)
        where["simulation"], where["seed"], where["fixed"] = box.seed, box.seed, box.fixed
        values = [*cosmology.parameters().values(), snapshot.redshift]
        fields.append(samples)
        parameters.append(np.tile(values, (len(samples), 1)))
        origin.append(where)
    content = (np.concatenate(part) for part in (fields, parameters, origin))
    return box.folder, write_shard(box.folder, box.shard, *content)


def cut_fields(
    snapshot: Snapshot, box_size: float, cut: Cut
) -> tuple[NDArray[np.float32], NDArray[np.void]]:
    """Paint the particles and cut the box into samples.

    Parameters
    ----------
    snapshot : Snapshot
        Particles at one redshift.
    box_size : float
        [Mpc/h].
    cut : Cut
        How.

    Returns
    -------
    fields : (n, grid, grid) or (1, grid, grid, grid) float32 array
        Density over the mean of the box; slices are means over `thickness` cells, by axis and slab.
    origin : (n,) structured array
        `axis` and `slab` filled in.
    """
    density = paint(snapshot.positions, (cut.grid,) * 3, box_size, cut.window)
    return cut_box(density, cut.dimension, cut.thickness)


def _cut(recipe: Recipe) -> Cut:
    s = recipe.simulate
    return Cut(dimension=s.dimension, grid=s.grid, thickness=s.thickness, window=s.window)


def _evolution(recipe: Recipe) -> Evolution:
    """Return the time steps of all sides: with other ones, P would differ by a per cent."""
    names = ("box_size", "particles", "mesh", "steps", "start_redshift")
    return Evolution(
        **{name: getattr(recipe.simulate, name) for name in names},
        redshifts=recipe.simulate.all_redshifts,
    )


def _begin(recipe: Recipe, split: str, path: Path) -> list[Box]:
    """Make the folder of one side, or find it begun; return the boxes it lacks."""
    wanted, shape = boxes(recipe, split, path), layout(recipe)
    count = 1 if shape.dimension == 3 else 3 * (shape.grid // recipe.simulate.thickness)
    samples = count * len(recipe.simulate.redshifts_of(split)) * len(wanted)
    create_folder(
        path,
        shape,
        provenance(f"simulate {recipe.name} {split}", write(recipe)),
        len(wanted),
        _identity(recipe, split),
        expected_bytes=expected_bytes(shape, samples, len(wanted)),
    )
    missing = set(missing_shards(path))
    return [box for box in wanted if box.shard in missing]


def _identity(recipe: Recipe, split: str) -> str:
    """Fingerprint all that decides the fields of one side; the size of the others does not."""
    alike = recipe.simulate.model_copy(update={"boxes": type(recipe.simulate.boxes)()})
    count = getattr(recipe.simulate.boxes, split)
    points = recipe.points
    where = () if points is None else (points.ranges, getattr(points, split))
    return fingerprint(recipe.cosmology, alike, recipe.seed, split, count, *where)


def _run(
    recipe: Recipe, todo: Sequence[Box], workers: int | None, progress: Progress
) -> Iterator[tuple[str, Shard]]:
    if not todo:
        return
    settings, cut = _evolution(recipe), _cut(recipe)
    universes = list(dict.fromkeys(box.cosmology for box in todo))
    first = linear_power(universes[0])
    _compile(universes[0], settings, cut, first)
    with ray_cluster(cpus=workers):
        power = {universes[0]: first}
        power |= dict(scatter(_linear_power, [(cosmology,) for cosmology in universes[1:]]))
        calls = [(box, settings, cut, power[box.cosmology]) for box in todo]
        yield from scatter(make_box, calls, in_flight=workers, progress=progress)


def _linear_power(cosmology: Cosmology) -> tuple[Cosmology, PowerTable]:
    return cosmology, linear_power(cosmology)


def _compile(cosmology: Cosmology, settings: Evolution, cut: Cut, power: PowerTable) -> None:
    """Run a tiny box here, so that the workers find its compiled code on disk."""
    tiny = Evolution(
        box_size=settings.box_size,
        particles=8,
        mesh=8,
        steps=1 + len(set(settings.redshifts)),
        start_redshift=settings.start_redshift,
        redshifts=settings.redshifts,
    )
    for snapshot in evolve(cosmology, 0, tiny, power):
        paint(snapshot.positions, (8, 8, 8), settings.box_size, cut.window)


def _end(path: Path, written: Sequence[Shard]) -> FieldSet:
    if written or not (path / "manifest.json").exists():
        return finish_folder(path, written)
    return open_fields(path)
