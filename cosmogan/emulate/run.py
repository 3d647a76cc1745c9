"""Thousands of fields on a cluster: actors that hold the network write shards of a data set."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmogan.emulate.sample import Emulator, Kind, find_weights, load
from cosmogan.fields.layout import Layout, provenance
from cosmogan.fields.store import (
    FieldSet,
    Shard,
    create_folder,
    expected_bytes,
    finish_folder,
    missing_shards,
    write_shard,
)
from cosmogan.session import available_cpus, pool

ROWS = 128
"""Fields in a shard."""

Progress = Callable[[int, int], None]


def emulate(  # noqa: PLR0913  (a keyword for each option of the command)
    run: str | Path,
    out: str | Path,
    *,
    count: int,
    seed: int,
    kind: Kind = "trained",
    parameters: dict[str, float] | None = None,
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> FieldSet:
    """Write fields 0 to `count` of a seed as a data set; what is there already is kept.

    Parameters
    ----------
    run : path
        A trained run, or a file of weights.
    out : path
        ``NAME.fields``.
    count, seed : int
        How many, and from which seed.
    kind : {"trained", "untrained", "lognormal"}
        What makes them.
    parameters : dict of str to float, optional
        Cosmology and redshift; the trained ones by default.
    workers : int, optional
        Actors; by default one for each CPU. The bytes do not depend on it.
    progress : callable
        Told the number of fields made, and of all.

    Raises
    ------
    CheckpointError, RecipeError, ResourceError
        If weights are missing or damaged, `out` exists from anything else, the disk is full.
    """
    weights = find_weights(Path(run), kind)
    emulator = load(weights, kind)
    row = emulator.row(parameters or {})
    layout = emulated_layout(emulator)
    shards = -(-count // ROWS)
    create_folder(
        out,
        layout,
        provenance("cosmogan emulate", str(emulator.weights.content["made_by"].get("recipe", ""))),
        shards,
        _identity(weights, count, seed, kind, row),
        expected_bytes=expected_bytes(layout, count, shards),
    )
    missing = missing_shards(out)
    done = count - sum(len(_rows(number, count)) for number in missing)
    progress(done, count)
    written = []
    calls = [(str(out), number, count, seed, row) for number in missing]
    actors = min(workers or available_cpus(), max(len(missing), 1))
    for shard in pool(Maker, (str(weights), kind), calls, actors=actors) if missing else ():
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
    """

    def __init__(self, weights: str, kind: Kind) -> None:
        self.emulator = load(weights, kind)

    def call(self, out: str, number: int, count: int, seed: int, row: int) -> Shard:
        """Make and write one shard; twice does no harm."""
        rows = _rows(number, count)
        theory = self.emulator.theory
        parameters = dict(zip(theory.names, theory.parameters[row], strict=True))
        sample = self.emulator.sample(len(rows), seed, start=rows.start, **parameters)
        table: NDArray[np.float64] = np.tile(theory.parameters[row], (len(rows), 1))
        return write_shard(out, number, sample.fields, table, sample.origin)


def emulated_layout(emulator: Emulator) -> Layout:
    """Return the layout of emulated fields: that of the training fields."""
    return emulator.weights.layout


def _rows(number: int, count: int) -> range:
    return range(number * ROWS, min((number + 1) * ROWS, count))


def _identity(weights: Path, count: int, seed: int, kind: Kind, row: int) -> str:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return hashlib.sha256(f"{digest} {count} {seed} {kind} {row}".encode()).hexdigest()[:16]
