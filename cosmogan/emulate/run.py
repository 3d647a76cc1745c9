"""Thousands of fields on a cluster: actors that hold the network write shards of a data set."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmogan.emulate.find import find_weights
from cosmogan.emulate.sample import Emulator, Kind, load
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.layout import Layout, provenance, same_parameters
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
from cosmogan.models.theory import Theory
from cosmogan.session import pool, scatter

ROWS = 128
"""Fields in a shard."""

Progress = Callable[[int, int], None]


def emulate(  # noqa: PLR0913  (a keyword for each option of the command)
    run: str | Path,
    out: str | Path,
    *,
    seed: int,
    count: int | None = None,
    like: str | Path | None = None,
    kind: Kind = "trained",
    parameters: dict[str, float] | None = None,
    force: bool = False,
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> FieldSet:
    """Write fields 0 to `count` of a seed as a data set; what is there already is kept.

    With `like`, field k has the initial conditions of field k mod n of that data set, its origin, and its
    cosmology and redshift.

    Parameters
    ----------
    run : path
        A trained run, or a file of weights.
    out : path
        ``NAME.fields``.
    seed : int
        Fixes every field.
    count : int, optional
        How many; by default as many as `like` has.
    like : path, optional
        Data set of `cosmogan.simulate`, n fields in boxes of the trained layout.
        A `count` of several n makes several draws of what the initial conditions leave open.
    kind : {"trained", "untrained", "lognormal", "lpt", "2lpt"}
        What makes them.
    parameters : dict of str to float, optional
        Cosmology and redshift, as for `cosmogan.emulate.sample.Emulator.sample`; with `like`, only its
        fields that have these.
    force : bool
        Answer outside the trained range too; the data set is then marked as extrapolated.
    workers : int, optional
        Actors; by default one for each CPU of the cluster. The bytes do not depend on it.
    progress : callable
        Told the number of fields made, and of all.

    Raises
    ------
    CheckpointError, LayoutError, RecipeError, ResourceError
        If weights are missing or damaged, the parameters lie outside the trained range, `like` is of
        another kind, `out` exists from anything else, the disk is full.
    """
    weights = find_weights(Path(run), kind)
    emulator, asked = load(weights, kind), parameters or {}
    if like is None:
        origin, table = None, emulator.fill(asked, 1)
    else:
        origin, table = _partners(emulator, open_fields(like), asked)
    count = _count(count, origin)
    emulator, at = emulator.over(table, force=force, call=scatter)
    theory = emulator.theory
    far = any(theory.outside(theory.parameters[row]) for row in np.unique(at))
    layout = replace(emulated_layout(emulator), extrapolated=far)
    shards = -(-count // ROWS)
    out = Path(out).absolute()  # workers of a cluster stand elsewhere
    weights = weights.absolute()
    command = _command(weights, count, seed, kind, like, asked)
    create_folder(
        out,
        layout,
        provenance(command, str(emulator.weights.content["made_by"].get("recipe", ""))),
        shards,
        _identity(weights, count, seed, kind, table, origin),
        expected_bytes=expected_bytes(layout, count, shards),
    )
    missing = missing_shards(out)
    done = count - sum(len(_rows(number, count)) for number in missing)
    progress(done, count)
    written = []
    calls = [
        (str(out), number, rows, seed, table[in_turn % len(table)], origin_of)
        for number in missing
        for rows in [_rows(number, count)]
        for in_turn in [np.arange(rows.start, rows.stop)]
        for origin_of in [None if origin is None else origin[in_turn % len(origin)]]
    ]
    given = (str(weights), kind, theory)
    for shard in pool(Maker, given, calls, actors=workers) if missing else ():
        written.append(shard)
        done += shard.rows
        progress(done, count)
    return finish_folder(out, written)


class Maker:
    """An actor that holds a network and writes shards.

    Parameters
    ----------
    weights : str
        Path of the weights.
    kind : str
        What makes the fields.
    theory : Theory
        Spectra at all parameters that are asked for.
    """

    def __init__(self, weights: str, kind: Kind, theory: Theory) -> None:
        self.emulator = Emulator(replace(load(weights, kind).weights, theory=theory), kind)

    def call(
        self,
        out: str,
        number: int,
        rows: range,
        seed: int,
        table: NDArray[np.float64],
        origin: NDArray[np.void] | None,
    ) -> Shard:
        """Make and write one shard; twice does no harm."""
        parameters = dict(zip(self.emulator.theory.names, table.T, strict=True))
        start = rows.start  # what lies outside was refused before, if at all
        if origin is None:
            sample = self.emulator.sample(len(rows), seed, start=start, force=True, **parameters)
        else:
            sample = self.emulator.counterparts(origin, seed, start=start, force=True, **parameters)
        return write_shard(out, number, sample.fields, table, sample.origin)


def emulated_layout(emulator: Emulator) -> Layout:
    """Return the layout of emulated fields: that of the training fields."""
    return emulator.weights.layout


def _count(count: int | None, origin: NDArray[np.void] | None) -> int:
    if count is not None:
        return count
    if origin is None:
        raise RecipeError("count: give how many fields, or a data set they are to be like")
    return len(origin)


def _partners(
    emulator: Emulator, like: FieldSet, asked: dict[str, float]
) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return where the fields of `like` come from, and their parameters; those that are as asked.

    Raises
    ------
    LayoutError
        If they are of another layout, were not simulated by this code, or none is as asked.
    RecipeError
        If the emulator starts from no initial conditions.
    """
    emulator.require_initial_conditions()
    emulator.require_names(asked)
    here, there = emulated_layout(emulator), like.layout
    for name in ("dimension", "grid", "box_size", "thickness"):
        if not np.isclose(getattr(here, name), getattr(there, name), rtol=1e-6):
            raise LayoutError(
                f"{like.path}: {name} = {getattr(there, name)}, but the network was trained at "
                f"{getattr(here, name)}; give simulations of the same kind"
            )
    if like.made_by.code != "cosmogan":
        raise LayoutError(
            f"{like.path}: made by {like.made_by.code}; only the seeds of cosmogan's own simulations "
            "stand for initial conditions"
        )
    theory = emulator.theory
    missing = [name for name in theory.names if name not in there.parameter_names]
    if missing:
        raise LayoutError(
            f"{like.path}: lacks the parameters {', '.join(missing)}; simulate it again"
        )
    columns = [there.parameter_names.index(name) for name in theory.names]
    table = like.parameters[:, columns]
    wanted = np.array([asked.get(name, np.nan) for name in theory.names])
    named = ~np.isnan(wanted)
    same = same_parameters(table[:, named], wanted[named])
    if not same.any():
        values = ", ".join(f"{name} = {value:g}" for name, value in asked.items())
        raise LayoutError(f"{like.path}: no field at {values}; give --parameters it holds")
    chosen: NDArray[np.void] = like.origin[same]
    return chosen, table[same]


def _identity(
    weights: Path,
    count: int,
    seed: int,
    kind: Kind,
    table: NDArray[np.float64],
    origin: NDArray[np.void] | None,
) -> str:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    like = "" if origin is None else f" {hashlib.sha256(origin.tobytes()).hexdigest()}"
    asked = hashlib.sha256(table.tobytes()).hexdigest()
    return hashlib.sha256(f"{digest} {count} {seed} {kind} {asked}{like}".encode()).hexdigest()[:16]


def _command(
    weights: Path,
    count: int,
    seed: int,
    kind: Kind,
    like: str | Path | None,
    asked: dict[str, float],
) -> str:
    """Return the command that makes the same again, with the digest of the weights."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    values = ",".join(f"{name}={value!r}" for name, value in sorted(asked.items()))
    options = {"like": like, "parameters": values}
    rest = "".join(f" --{name} {value}" for name, value in options.items() if value)
    made = f"cosmogan emulate --weights {weights.name} --kind {kind} --seed {seed} --count {count}"
    return f"{made}{rest} (weights {digest[:16]})"


def _rows(number: int, count: int) -> range:
    return range(number * ROWS, min((number + 1) * ROWS, count))
