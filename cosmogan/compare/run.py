"""From files to the page: reads statistics and fields, has them judged, writes the report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cosmogan.compare.findings import Verdict
from cosmogan.compare.page import TRUTH, Setting, write_report
from cosmogan.compare.rules import Rules
from cosmogan.compare.theory import expected_power
from cosmogan.errors import LayoutError
from cosmogan.fields.array import is_plain
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.files import digest
from cosmogan.fields.store import open_fields
from cosmogan.statistics.table import StatisticsTable, read


@dataclass(frozen=True)
class Source:
    """Where to find what is known of one data set.

    Parameters
    ----------
    table : Path
        Its statistics, ``name.stats.h5``.
    fields : Path, optional
        The data set itself, for the pictures; a plain array has none, but must not have changed.
    """

    table: Path
    fields: Path | None = None


def compare(
    candidates: Mapping[str, Source],
    truth: Source,
    out: str | Path,
    *,
    training: Source | None = None,
    validation: Source | None = None,
    rules: Rules | None = None,
    setting: Setting | None = None,
) -> Verdict:
    """Judge data sets against held-out simulations and write ``report.html`` and ``verdict.json``.

    Parameters
    ----------
    candidates : mapping of str to Source
        By name, the one the verdict is about first.
    truth : Source
        Held-out simulations.
    out : path
        Folder of the two files.
    training, validation : Source, optional
        The other simulations.
    rules : Rules, optional
        What is judged, and how strictly.
    setting : Setting, optional
        What else the page shows; its pictures are those of the sources that name their fields, its
        theory that of the truth.

    Returns
    -------
    Verdict
        What was found.

    Raises
    ------
    LayoutError, SplitError, RecipeError
        If a file is missing, damaged or out of date, or the data sets cannot be compared.
    """
    table, fields = _read(truth)
    found = {name: _read(source) for name, source in candidates.items()}
    pictures = {TRUTH: fields} | {name: fields for name, (_, fields) in found.items()}
    return write_report(
        out,
        {name: table for name, (table, _) in found.items()},
        table,
        training=read(training.table) if training else None,
        validation=read(validation.table) if validation else None,
        rules=rules,
        setting=replace(
            setting or Setting(),
            theory=expected_power(table),
            fields={name: fields for name, fields in pictures.items() if fields is not None},
        ),
    )


def _read(source: Source) -> tuple[StatisticsTable, FieldSet | None]:
    table = read(source.table)
    if source.fields is None:
        return table, None
    plain = is_plain(source.fields)
    fields = None if plain else open_fields(source.fields)
    sha256 = digest(source.fields) if fields is None else fields.sha256
    if sha256 != table.source_sha256:
        raise LayoutError(
            f"{source.table}: statistics of other data than {source.fields} holds now; "
            "measure it again"
        )
    return table, fields
