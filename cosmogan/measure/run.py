"""Measure a whole data set with Dask, on the threads of one machine.

Each task reads and measures a block of fields. The blocks depend on the data alone, each row of the
result on one field alone, and the blocks are joined in their order: any number of workers gives the
same bits.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import dask
from dask.callbacks import Callback

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.array import ArraySet
from cosmogan.fields.layout import Layout, provenance
from cosmogan.fields.store import FieldSet, open_fields
from cosmogan.session import dask_threads
from cosmogan.statistics import battery, table
from cosmogan.statistics.table import Statistic, StatisticsTable

Progress = Callable[[int, int], None]

_log = logging.getLogger(__name__)

_BLOCK_FIELDS = 64
_BLOCK_BYTES = 16 << 20


def measure(
    path: str | Path | FieldSet | ArraySet,
    out: str | Path,
    *,
    statistics: Sequence[str] = ("default",),
    workers: int | None = None,
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
        Threads, default all that this process may use; the result does not depend on them.
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
        If the disk is full.
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
    found = _measure_blocks(fields, statistics, workers, progress)
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


def _measure_blocks(
    fields: FieldSet | ArraySet, names: Sequence[str], workers: int | None, progress: Progress
) -> dict[str, Statistic]:
    step = max(1, min(_BLOCK_FIELDS, _BLOCK_BYTES // fields.layout.sample_bytes))
    blocks = [slice(i, min(i + step, len(fields))) for i in range(0, len(fields), step)]
    # The data set is shared by reference: it is safe in threads, and to open it costs a shard each.
    one = dask.delayed(functools.partial(_measure_block, fields, names), pure=False)
    rows = {f"measure-{block.start}": block.stop - block.start for block in blocks}
    tasks = [one(block, dask_key_name=key) for key, block in zip(rows, blocks, strict=True)]
    with dask_threads(workers), _counting(rows, progress):
        return battery.join(dask.compute(*tasks))


def _measure_block(
    fields: FieldSet | ArraySet, names: Sequence[str], block: slice
) -> dict[str, Statistic]:
    return battery.measure(fields.read_checked(block), fields.layout.box_size, names)


def _counting(rows: dict[str, int], progress: Progress) -> Callback:
    """Return what tells, each time that Dask finishes a block, how many fields are done."""
    done: list[int] = []

    def finished(key: str, *_state: object) -> None:
        done.append(rows.get(key, 0))
        progress(sum(done), sum(rows.values()))

    return Callback(posttask=finished)


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
