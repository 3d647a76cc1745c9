"""Measure a whole data set with Dask: on the threads of one machine, or on a cluster.

Each task reads and measures a block of fields. The blocks depend on the data alone, each row of the
result on one field alone, and the blocks are joined in their order: any number of workers, wherever they
are, gives the same bits. A cube that does not fit into memory goes slab by slab through a folder beside
the output (`cosmogan.measure.slabs`), which has its own order of adding: its last bits may differ from
those of a cube that fits, and do not depend on workers or memory either.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.array import ArraySet
from cosmogan.fields.layout import Layout, provenance
from cosmogan.fields.store import FieldSet, open_fields
from cosmogan.measure import slabs
from cosmogan.measure.memory import cubes_at_a_time
from cosmogan.session.dask import Threads, Workers, dask_cluster
from cosmogan.session.private import available_memory
from cosmogan.statistics import battery, table
from cosmogan.statistics.table import Statistic, StatisticsTable

Progress = Callable[[int, int], None]

_log = logging.getLogger(__name__)

_BLOCK_FIELDS = 256
_BLOCK_BYTES = 16 << 20


def measure(
    path: str | Path | FieldSet | ArraySet,
    out: str | Path,
    *,
    statistics: Sequence[str] = ("default",),
    workers: int | None = None,
    dask: str | None = None,
    memory: float | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Path:
    """Measure every field of a data set.

    Parameters
    ----------
    path : path, FieldSet or ArraySet
        The data set, whose bytes are compared with their checksums as they are read, or a plain array
        that `cosmogan.fields.array.open_array` opened.
    out : path
        Statistics file to write, by custom ``name.stats.h5``; the layout stands in
        `cosmogan.statistics.table`. One that already holds the statistics of these very data is
        left alone; one of an earlier state of a data set of that name is replaced, whole.
    statistics : sequence of str
        What to measure, by the names of `cosmogan.statistics.battery`.
    workers : int, optional
        Threads, or workers of a cluster; default all that there are. The result does not depend on them.
    dask : str, optional
        Where Dask computes, as `cosmogan.session.dask.dask_cluster` takes it: by default in threads of this
        process, else "local", "ray", "slurm", or the address of a scheduler. All workers must see the
        data set, and the folder of `out`, by the same names.
    memory : float, optional
        What this process, or each worker of a cluster, may take [bytes]; default what is free here. Cubes
        are measured as many at a time as fit, or slab by slab.
    progress : callable
        Told how many fields are done, of how many.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    LayoutError
        If the data set breaks its contract, or a field is altered or not finite.
    RecipeError
        If `out` exists and is something else, a statistic is unknown, or `workers` is no count.
    ResourceError
        If the disk is full, a cube needs more memory, or there is no such cluster.
    """
    fields, out = open_fields(path) if isinstance(path, (str, Path)) else path, Path(out)
    if workers is not None and workers < 1:
        raise RecipeError(f"workers = {workers} must be at least 1")
    if not fields.layout.periodic:
        _log.warning("%s: not periodic; compare only with equal cut-outs", fields.path)
    source, sha256, told = _source(fields), fields.sha256, _told(fields)
    identity = hashlib.sha256(
        f"{sha256} {told}{battery.definition(statistics)}".encode()
    ).hexdigest()
    if _is_complete(out, source, identity):
        progress(len(fields), len(fields))
        return out
    with dask_cluster(dask, workers=workers, memory=int(memory) if dask and memory else None) as at:
        found = _measure(fields, statistics, _Place(at, memory or _share(at), out.parent, progress))
    table.write(
        out,
        StatisticsTable(
            source=source,
            source_sha256=sha256,
            identity=identity,
            attributes=_attributes(fields.layout),
            made_by=provenance(
                f"cosmogan measure {fields.path} {told}".rstrip(), fields.made_by.recipe
            ).to_attributes(),
            origin=fields.origin,
            parameters=fields.parameters,
            parameter_names=fields.layout.parameter_names,
            statistics=found,
        ),
    )
    return out


def _share(workers: Workers) -> float:
    """Return what is free on this machine for each of its processes [bytes]."""
    return available_memory() / (1 if isinstance(workers, Threads) else workers.count)


@dataclass(frozen=True)
class _Place:
    """Where it is measured: workers, memory of a process [bytes], scratch folder, who watches."""

    workers: Workers
    memory: float
    scratch: Path
    progress: Progress

    @property
    def threads(self) -> int:
        """Calls at a time that share the memory."""
        return self.workers.count if isinstance(self.workers, Threads) else 1


def _measure(
    fields: FieldSet | ArraySet, names: Sequence[str], place: _Place
) -> dict[str, Statistic]:
    if fields.layout.dimension == 2:
        return _measure_blocks(fields, names, place.workers, place.progress)
    fit = cubes_at_a_time(fields, battery.choose(names), place.memory, place.threads)
    if not fit:
        return _measure_slabs(fields, names, place)
    fewer = Threads(fit) if isinstance(place.workers, Threads) else place.workers
    return _measure_blocks(fields, names, fewer, place.progress)


def _measure_blocks(
    fields: FieldSet | ArraySet, names: Sequence[str], workers: Workers, progress: Progress
) -> dict[str, Statistic]:
    step = max(1, min(_BLOCK_FIELDS, _BLOCK_BYTES // fields.layout.sample_bytes))
    blocks = [(slice(i, min(i + step, len(fields))),) for i in range(0, len(fields), step)]
    work = functools.partial(_measure_block, fields, names)
    return battery.join(
        workers.compute(
            work, blocks, lambda done, total: progress(*_in_fields(done, total, len(fields)))
        )
    )


def _in_fields(done: int, total: int, fields: int) -> tuple[int, int]:
    """Turn blocks that are done into fields that are done."""
    return done * fields // max(total, 1), fields


def _measure_block(
    fields: FieldSet | ArraySet, names: Sequence[str], block: slice
) -> dict[str, Statistic]:
    return battery.measure(fields.read_checked(block), fields.layout.box_size, names)


def _measure_slabs(
    fields: FieldSet | ArraySet, names: Sequence[str], place: _Place
) -> dict[str, Statistic]:
    plan = slabs.plan(
        fields.layout.grid,
        place.memory,
        workers=place.threads,
        processes=place.workers.count // place.threads,
        itemsize=slabs.itemsize_of(fields),
    )
    chosen, calls, done = battery.choose(names), len(fields) * (plan.slabs + plan.blocks), [0]

    def compute(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        before = done[0]
        results = place.workers.compute(
            function, arguments, lambda now, _of: place.progress(before + now, calls)
        )
        done[0] += len(arguments)
        return results

    found = [
        slabs.power_of_cube(fields, row, plan=plan, scratch=place.scratch, compute=compute)
        for row in range(len(fields))
    ]
    return battery.join([{n: s for n, s in of.items() if n in chosen} for of in found])


def _is_complete(out: Path, source: str, identity: str) -> bool:
    if not out.exists():
        return False
    try:
        found = table.read(out)
    except LayoutError as error:
        raise RecipeError(
            f"{out} exists and cannot be read as statistics; choose another output or delete it"
        ) from error
    if found.source != source:
        raise RecipeError(
            f"{out} exists with the statistics of {found.source}, not of {source}; "
            f"choose another output or delete it"
        )
    return found.identity == identity


def _source(fields: FieldSet | ArraySet) -> str:
    if isinstance(fields, ArraySet):
        return fields.name
    return fields.path.name.removesuffix(".h5").removesuffix(".fields")


def _told(fields: FieldSet | ArraySet) -> str:
    """Return what the caller said of a plain array, as options."""
    if not isinstance(fields, ArraySet):
        return ""
    said = {k: v for k, v in vars(fields.told).items() if v is not None}
    return " ".join(f"--{key.replace('_', '-')}={value}" for key, value in said.items()) + " "


def _attributes(layout: Layout) -> dict[str, object]:
    own = {
        name: v for name, v in layout.to_attributes().items() if name not in ("format", "version")
    }
    return own | {"grid": layout.grid}
