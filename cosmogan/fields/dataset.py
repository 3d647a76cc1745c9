"""A data set of density fields, opened for reading."""

import functools
import hashlib
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray
from zlib_ng.zlib_ng import crc32

from cosmogan.errors import LayoutError
from cosmogan.fields.files import digest
from cosmogan.fields.layout import FIELD_DTYPE, Layout, MadeBy, check

AGAIN = "delete it and give the command that made it again"
_OPEN_MAPS = 128

Fields = NDArray[np.float32]
Parameters = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shard:
    """One file of a data set: its name, samples, size and, if it is in a manifest, its SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class Head:
    """Everything in a file but its samples, and where those start [bytes]."""

    layout: Layout
    made_by: MadeBy
    parameters: Parameters
    origin: NDArray[np.void]
    checksum: NDArray[np.uint32]
    offset: int


class FieldSet:
    """A data set of density fields, read through memory maps; `open_fields` makes one.

    It may be pickled, forked and shared between threads: maps are opened where they are used.

    Parameters
    ----------
    path : Path
        The file or folder.
    shards : sequence of Shard
        The files, in order.
    heads : sequence of Head
        What stands in each, beside the samples.

    Attributes
    ----------
    layout : Layout
        What the samples have in common.
    made_by : MadeBy
        What made them.
    parameters : ndarray of float64, shape (n, p)
        Columns as in `layout.parameter_names`.
    origin : ndarray, shape (n,)
        Structured as `cosmogan.fields.layout.ORIGIN_DTYPE`.

    Examples
    --------
    >>> fields = cosmogan.open("runs/demo-64/train.fields")  # doctest: +SKIP
    >>> fields[0].mean(), fields[:100].shape, fields.layout.box_size  # doctest: +SKIP
    """

    def __init__(self, path: Path, shards: Sequence[Shard], heads: Sequence[Head]) -> None:
        self.path = path
        self.shards = tuple(shards)
        self.layout = heads[0].layout
        self.made_by = heads[0].made_by
        self.parameters = np.concatenate([head.parameters for head in heads])
        self.origin = np.concatenate([head.origin for head in heads])
        self._checksum = np.concatenate([head.checksum for head in heads])
        self._offsets = [head.offset for head in heads]
        self._starts = np.cumsum([0, *(shard.rows for shard in shards)])
        self._rows = np.arange(self._starts[-1])
        self._maps: dict[int, Fields] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, (len(self), *self.layout.shape)))
        return f"<FieldSet {self.path}: {shape}, {self.layout.box_size:g} Mpc/h>"

    def __iter__(self) -> Iterator[Fields]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: int | slice | ArrayLike) -> Fields:
        """Copy samples into memory.

        Parameters
        ----------
        index : int, slice, or array of int or bool
            Which; negative numbers count from the end.

        Returns
        -------
        ndarray of float32, shape (N, ..., N) or (m, N, ..., N)
            Density over the mean of the simulation.

        Raises
        ------
        IndexError
            If there is no such sample.
        LayoutError
            If a file was cut short since the data set was opened.
        """
        rows = self._select(index)
        flat = np.atleast_1d(rows)
        out = np.empty((len(flat), *self.layout.shape), np.float32)
        for place, (number, row) in enumerate(zip(*self._locate(flat), strict=True)):
            out[place] = self._map(int(number))[row]
        return out if rows.ndim else out[0]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_maps": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock = threading.Lock()

    @property
    def simulations(self) -> NDArray[np.int64]:
        """Numbers of the independent simulations, sorted, each once."""
        return np.unique(self.origin["simulation"])

    @property
    def sha256(self) -> str:
        """Digest of all files, in order; a single file is read for it, a manifest knows it."""
        known = [s.sha256 or digest(self.shard_path(i)) for i, s in enumerate(self.shards)]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()

    def axes(self) -> dict[str, NDArray[np.float64]]:
        """Return the comoving coordinate of the cell centres along each side of a sample [Mpc/h].

        Cell i reaches from i to i + 1 cells. The sides of a slice are the two axes of the parent
        box, in order, that ``origin["axis"]`` does not name.
        """
        edges = self.layout.cell_size * np.arange(self.layout.grid, dtype=np.float64)
        centres: Parameters = edges + 0.5 * self.layout.cell_size
        return {name: centres.copy() for name in "xyz"[: self.layout.dimension]}

    def shard_path(self, number: int) -> Path:
        """Return the file of shard `number`."""
        return self.path / self.shards[number].file if self.path.is_dir() else self.path

    def read_checked(self, index: int | slice | ArrayLike) -> Fields:
        """Return samples as ``[index]`` does, after a comparison of each with its checksum.

        Neighbours in one file are not copied, and must not be written to.

        Raises
        ------
        LayoutError
            If the bytes on the disk are no longer those that were written.
        """
        rows = np.atleast_1d(self._select(index))
        samples = self._mapped(rows) if isinstance(index, slice) else self[index]
        for row, sample in zip(rows, samples.reshape(-1, *self.layout.shape), strict=True):
            self.require_checksum(int(row), crc32(sample))
        return samples

    def read_planes(self, row: int, start: int, stop: int) -> Fields:
        """Copy some planes of a cube into memory, with no map, whose pages would count as memory too.

        Parameters
        ----------
        row : int
            Which sample; negative numbers count from the end.
        start, stop : int
            Planes [start, stop) of its first axis.

        Returns
        -------
        ndarray of float32, shape (stop - start, N, N)
            Not compared with the checksum, which is of the whole sample: see `require_checksum`.

        Raises
        ------
        IndexError
            If there is no such cube or plane.
        LayoutError
            If the file was cut short since the data set was opened.
        """
        require_planes(self.layout, start, stop)
        number, within = (int(part[0]) for part in self._locate(self._select([row])))
        path, grid = self.shard_path(number), self.layout.grid
        require_size(path, self.shards[number].bytes)
        before = FIELD_DTYPE.itemsize * grid**2 * (within * grid + start)
        offset, count = self._offsets[number] + before, (stop - start) * grid**2
        cells: Fields = np.fromfile(path, FIELD_DTYPE, count, offset=offset)
        return cells.reshape(stop - start, grid, grid)

    def require_checksum(self, row: int, found: int) -> None:
        """Raise `LayoutError` unless this is the CRC-32 of the bytes of a sample that was written."""
        if found != self._checksum[row]:
            raise LayoutError(f"{self.locate(row)}: checksum differs; {AGAIN}")

    def verify(self, progress: Progress = lambda _done, _total: None) -> None:
        """Read everything and compare it with what was written.

        Parameters
        ----------
        progress : callable
            Told the number of shards done, and of all.

        Raises
        ------
        LayoutError
            Naming the first file and sample that is altered, not a number, infinite or negative.
        """
        for number, shard in enumerate(self.shards):
            progress(number, len(self.shards))
            start = int(self._starts[number])
            for row in range(start, start + shard.rows):
                problem = unphysical(self.read_checked(row))
                if problem:
                    raise LayoutError(f"{self.locate(row)}: {problem}; {AGAIN}")
            path = self.shard_path(number)
            if shard.sha256 and digest(path) != shard.sha256:
                raise LayoutError(f"{path}: SHA-256 differs from the manifest's; {AGAIN}")
        progress(len(self.shards), len(self.shards))

    def locate(self, row: int) -> str:
        """Return file and sample number of a row, for messages."""
        number, within = (int(part[0]) for part in self._locate(np.array([row])))
        return f"{self.shard_path(number)}: sample {within}"

    def _mapped(self, rows: NDArray[np.int64]) -> Fields:
        """Return consecutive samples of one file as they lie there, others as a copy."""
        numbers, within = self._locate(rows)
        if not len(rows) or numbers[0] != numbers[-1] or rows[-1] - rows[0] != len(rows) - 1:
            return self[rows]
        return self._map(int(numbers[0]))[within[0] : within[-1] + 1]

    def _select(self, index: int | slice | ArrayLike) -> NDArray[np.int64]:
        rows = np.asarray(self._rows[index])  # type: ignore[index]
        if rows.ndim > 1:
            raise IndexError("a data set is indexed by one number, one slice or one flat array")
        return rows

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        return numbers, rows - self._starts[numbers]

    def _map(self, number: int) -> Fields:
        # Each map holds a file descriptor: a thousand shards would exceed the usual limit.
        with self._lock:
            found = self._maps.pop(number, None)
            if found is None:
                found = self._open_map(number)
            self._maps[number] = found
            if len(self._maps) > _OPEN_MAPS:
                del self._maps[next(iter(self._maps))]
        return found

    def _open_map(self, number: int) -> Fields:
        path, shard = self.shard_path(number), self.shards[number]
        require_size(path, shard.bytes)
        shape = (shard.rows, *self.layout.shape)
        mapped = np.memmap(path, FIELD_DTYPE, "r", offset=self._offsets[number], shape=shape)
        return np.asarray(mapped)


def read_head(path: Path) -> Head:
    """Read everything in a file but its samples.

    Raises
    ------
    LayoutError
        If the file is absent, truncated or foreign, or breaks the contract.
    """
    if not path.is_file():
        raise LayoutError(f"{path}: no such data set; give a name.fields folder or an HDF5 file")
    try:
        # Write-once files need no lock, and parallel file systems often offer none.
        with h5py.File(path, "r", locking=False) as file:
            layout = check(file)
            return Head(
                layout=layout,
                made_by=MadeBy.from_attributes(file["made_by"].attrs),
                parameters=file["parameters"][...],
                origin=file["origin"][...],
                checksum=file["checksum"][...],
                offset=file["fields"].id.get_offset(),
            )
    except LayoutError as error:
        raise LayoutError(f"{path}: {error}") from None
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"{path}: {_explain(path, error)}") from error


def require_planes(layout: Layout, start: int, stop: int) -> None:
    """Raise `IndexError` unless the samples are cubes, with planes start to stop, one at least."""
    if layout.dimension != 3 or not 0 <= start < stop <= layout.grid:
        sample = " x ".join(map(str, layout.shape))
        raise IndexError(f"planes {start} to {stop} of a sample of {sample} cells; there are none")


def require_size(path: Path, size: int) -> None:
    """Raise `LayoutError` unless the file is there and has this size [bytes]."""
    if not path.is_file():
        raise LayoutError(f"{path}: missing; give the command that made it again")
    found = path.stat().st_size
    if found != size:
        raise LayoutError(f"{path}: {found} bytes, must be {size}; {AGAIN}")


def unphysical(sample: Fields) -> str:
    """Say what no density can be: not a number, infinite or negative; empty if all is well."""
    low, high = float(sample.min()), float(sample.max())
    if not high < np.inf:  # nan fails every comparison
        return "a density is infinite or not a number"
    return "a density is negative" if low < 0 else ""


def combine_crc32(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two byte strings in a row.

    Parameters
    ----------
    first, second : int
        CRC-32 of each.
    length : int
        Bytes of the second.

    Notes
    -----
    The remainder is linear over GF(2): zeros that are appended multiply `first` by a matrix, that of one
    bit squared again and again, and `second` is added. Its columns are kept as integers.
    """
    matrix = [0xEDB88320, *(1 << bit for bit in range(31))]
    for _ in range(3):
        matrix = [_multiply(matrix, column) for column in matrix]
    while length:
        if length & 1:
            first = _multiply(matrix, first)
        matrix = [_multiply(matrix, column) for column in matrix]
        length >>= 1
    return first ^ second


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read; ask its owner"
    if not h5py.is_hdf5(path):
        return "not an HDF5 file; give a name.fields folder, or measure a plain array with --box"
    what = "truncated" if "truncated" in str(error) else f"damaged ({error})"
    return f"{what}; {AGAIN}"


def _multiply(matrix: Sequence[int], vector: int) -> int:
    columns = (column for bit, column in enumerate(matrix) if vector >> bit & 1)
    return functools.reduce(operator.xor, columns, 0)
