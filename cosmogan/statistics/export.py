"""Statistics as a text table, for spreadsheets and plotting programs: one row a bin."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import RecipeError, ResourceError
from cosmogan.statistics.table import Statistic, StatisticsTable, average, replacing

COLUMNS = (
    "statistic",
    "coordinate",
    "low_edge",
    "high_edge",
    "weight",
    "mean",
    "standard_error",
    "scatter",
)
"""`standard_error` is that of the mean over independent simulations, `scatter` the standard deviation
over single fields; both are empty where there is but one."""


def require_replaceable(path: Path) -> None:
    """Raise `RecipeError` if a file is there that `write_csv` did not write."""
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(2) == b"# ":
                return
    raise RecipeError(f"{path}: exists and is no such table; choose another name")


def write_csv(path: str | Path, table: StatisticsTable) -> None:
    """Write the mean of every bin with its errors as CSV; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        The file; an older table of this kind is replaced.
    table : StatisticsTable
        What was measured. Where it comes from, and the units, stand in the first lines, after ``#``.

    Raises
    ------
    RecipeError
        If a file is there that is no such table.
    ResourceError
        If the disk is full or may not be written to.
    """
    require_replaceable(Path(path))
    try:
        with replacing(Path(path)) as temporary, temporary.open("w", newline="") as file:
            file.writelines(f"# {line}\n" for line in _head(table))
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(map(_as_text, rows(table)))
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another"
        ) from error


def _head(table: StatisticsTable) -> Iterator[str]:
    simulations = np.unique(table.simulation).size
    yield f"{table.source}; fields: {len(table)}; simulations: {simulations}"
    yield f"sha256 {table.source_sha256}"
    for name in ("dimension", "grid", "box_size", "cell_size", "thickness"):
        if name in table.attributes:
            yield f"{name} = {table.attributes[name]}"
    for statistic in table.statistics.values():
        unit = f" [{statistic.unit}]" if statistic.unit else ""
        at = f" at {statistic.coordinate_label}" if statistic.coordinate_label else ""
        of = f" [{statistic.coordinate_unit}]" if statistic.coordinate_unit else ""
        yield f"{statistic.name}: {statistic.label}{unit}{at}{of}"


def rows(table: StatisticsTable) -> Iterator[tuple[str | float, ...]]:
    """Yield one row a bin of every statistic, in the order of `COLUMNS`; NaN is what there is not."""
    for statistic in table.statistics.values():
        columns = _columns(statistic, table.simulation)
        for i in range(len(statistic.coordinate)):
            yield (statistic.name, *(math.nan if c is None else float(c[i]) for c in columns))


def _columns(
    statistic: Statistic, simulation: NDArray[np.int64]
) -> tuple[NDArray[np.float64] | None, ...]:
    samples = statistic.samples
    boxes = average(samples, simulation)
    edges = statistic.edges
    return (
        statistic.coordinate,
        None if edges is None else edges[:-1],
        None if edges is None else edges[1:],
        statistic.weight,
        boxes.mean(axis=0),
        boxes.std(axis=0, ddof=1) / np.sqrt(len(boxes)) if len(boxes) > 1 else None,
        samples.std(axis=0, ddof=1) if len(samples) > 1 else None,
    )


def _as_text(row: tuple[str | float, ...]) -> tuple[str, ...]:
    return tuple(v if isinstance(v, str) else "" if math.isnan(v) else repr(v) for v in row)
