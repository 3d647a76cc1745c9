"""From files to the page: reads statistics and fields, has them judged, writes the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from cosmogan.compare.everywhere import look_everywhere
from cosmogan.compare.findings import Verdict
from cosmogan.compare.page import TRUTH, Setting, write_atlas, write_report
from cosmogan.compare.pairs import Pairs, judge_pairs
from cosmogan.compare.rules import Rules, check_comparable
from cosmogan.compare.samples import Samples, Side, look
from cosmogan.compare.theory import expected_power
from cosmogan.compare.universes import Universes, judge_universes
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.array import is_plain
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.files import digest
from cosmogan.fields.store import check_split, open_fields, refuse_fixed
from cosmogan.statistics.table import StatisticsTable, read

Progress = Callable[[int, int], None]
_Data = tuple[StatisticsTable, FieldSet | None]
_SUBJECT = "subject"


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


def compare(  # noqa: PLR0913  (a keyword for each option of the command)
    candidates: Mapping[str, Source],
    truth: Source,
    out: str | Path,
    *,
    others: Mapping[str, Source] = MappingProxyType({}),
    counterparts: Source | None = None,
    lpt: Source | None = None,
    rules: Rules | None = None,
    setting: Setting | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Verdict | Universes:
    """Judge data sets against held-out simulations and write ``report.html`` and ``verdict.json``.

    Where the truth is of several cosmologies or redshifts, each is judged by itself, by fields that share
    its initial conditions: the counterparts, or else the first candidate.

    Parameters
    ----------
    candidates : mapping of str to Source
        By name, the one the verdict is about first.
    truth : Source
        Held-out simulations.
    out : path
        Folder of the two files.
    others : mapping of str to Source
        The other simulations: "training", "validation".
    counterparts : Source, optional
        Fields that the emulator of the first candidate made from the initial conditions of the truth.
    lpt : Source, optional
        What perturbation theory alone makes of these; its statistics are read for many universes only.
    rules : Rules, optional
        What is judged, and how strictly.
    setting : Setting, optional
        What else the page shows; its pictures are those of the sources that name their fields, its
        theory that of the truth.
    progress : callable
        Told how much is done, of how much.

    Returns
    -------
    Verdict or Universes
        What was found.

    Raises
    ------
    LayoutError, SplitError, RecipeError
        If a file is missing, damaged or out of date, or the data sets cannot be compared.
    """
    rules = rules or Rules()
    judge = _read(truth)
    if len(np.unique(judge[0].parameters, axis=0)) > 1:
        subject = counterparts or next(iter(candidates.values()), None)
        if subject is None:
            raise RecipeError("compare: nothing to judge; give counterparts of the simulations")
        if counterparts and candidates:
            raise RecipeError(
                "compare: many universes are judged by counterparts alone; leave the other out"
            )
        refuse_fixed(_side(judge).fields, "as a yardstick")
        theory = None if lpt is None else _side(_read(lpt))
        made = _side(_read(subject))
        sides = {n: open_fields(s.fields) for n, s in others.items() if s.fields}
        check_split(**sides, truth=_side(judge).fields)
        universes = judge_universes(made, _side(judge), theory, rules=rules)
        samples = None
        if rules.samples:
            training = sides.get("training")
            samples = look_everywhere(made, _side(judge), training, rules=rules, progress=progress)
        write_atlas(out, universes, judge[0], replace(setting or Setting(), samples=samples))
        return universes
    found = {name: _read(source) for name, source in candidates.items()}
    known = {name: _read(source) for name, source in others.items()}
    tables = [{name: table for name, (table, _) in of.items()} for of in (found, known)]
    check_comparable(tables[0], judge[0], tables[1])
    if lpt is not None and counterparts is None:
        raise RecipeError(
            f"{lpt.fields}: the rival of counterparts, and there are none; name those too"
        )
    pairs = None if counterparts is None else _pair(counterparts, judge, lpt, rules)
    pictures = {TRUTH: judge[1]} | {name: fields for name, (_, fields) in found.items()}
    return write_report(
        out,
        tables[0],
        judge[0],
        **tables[1],
        rules=rules,
        setting=replace(
            setting or Setting(),
            theory=expected_power(judge[0]),
            fields={name: fields for name, fields in pictures.items() if fields is not None},
            samples=_look(next(iter(found.values())), judge, known, rules, progress),
            pairs=pairs,
        ),
    )


def _look(
    subject: _Data, truth: _Data, others: Mapping[str, _Data], rules: Rules, progress: Progress
) -> Samples | None:
    """Look at the fields of the subject if the rules ask for it and all fields are at hand."""
    data = {_SUBJECT: subject, TRUTH: truth, **others}
    sides = {n: Side(table=t, fields=f) for n, (t, f) in data.items() if f is not None}
    if not rules.samples or len(sides) < len(data):
        progress(1, 1)
        return None
    of, against = sides.pop(_SUBJECT), sides.pop(TRUTH)
    return look(of, against, sides, rules=rules, progress=progress)


def _pair(counterparts: Source, truth: _Data, lpt: Source | None, rules: Rules) -> Pairs:
    """Judge the fields that share the initial conditions of the truth."""
    bare = None if lpt is None else open_fields(lpt.fields or lpt.table)
    return judge_pairs(_side(_read(counterparts)), _side(truth), bare, rules=rules)


def _side(data: _Data) -> Side:
    table, fields = data
    if fields is None:
        raise LayoutError(
            f"{table.source}: pairs are judged by their fields; give the .fields that was emulated"
        )
    return Side(table=table, fields=fields)


def _read(source: Source) -> _Data:
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
