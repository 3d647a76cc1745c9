"""Plain arrays of anybody, ``.npy`` or a data set in HDF5, opened as a set of fields to be measured.

They know no box and no origin: the caller says what they are. A cube (N, N, N) is one field, unless it is
said to be N slices; (n, N, N) are n slices and (n, N, N, N) are n cubes.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.dataset import require_planes
from cosmogan.fields.files import digest
from cosmogan.fields.layout import FORMAT, ORIGIN_DTYPE, Layout, MadeBy

QUANTITIES = ("density over mean", "overdensity", "density")
"""What the numbers of an array may be; a density is divided by the mean of the whole array."""
_MEAN_CELLS = 1 << 22
_ODD_MEAN = 10.0  # a density over mean that is further off by this factor is something else

Index = tuple[slice, ...]


@dataclass(frozen=True)
class Source:
    """An array on disk: its shape, the bytes of a number, and what reads a part of it."""

    shape: tuple[int, ...]
    itemsize: int
    read: Callable[[Index], NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the caller knows of a plain array.

    Attributes
    ----------
    box_size : float
        Side of a field, which must be periodic [Mpc/h].
    quantity : {"density over mean", "overdensity", "density"}
        What the numbers are. A density, or counts, are divided by the mean of the whole array; an
        overdensity, or any map of mean zero, gets 1 added.
    dataset : str, optional
        Which data set of an HDF5 file; needed if there are several.
    dimension : {2, 3}, optional
        Of a field; needed for N slices of N^2 cells, which look like a cube.
    thickness : float, optional
        Depth of slices, default one cell [Mpc/h].
    per_simulation : int
        How many fields in a row are of one simulation: they are no independent samples.
    """

    box_size: float
    quantity: str = "density over mean"
    dataset: str | None = None
    dimension: int | None = None
    thickness: float | None = None
    per_simulation: int = 1


class ArraySet:
    """Fields of a plain array; `open_array` makes one.

    It may be pickled and shared between threads: the file is opened where it is read.

    Attributes
    ----------
    path : Path
        The file.
    layout : Layout
        What the caller said of them.
    told : Described
        The same, as it was said.
    origin : (n,) structured ndarray
        Simulations are numbered by the content of the file, and the name of the data set if one was said.
    parameters : (n, 0) ndarray
        None are known.
    made_by : MadeBy
        Nobody knows.
    itemsize : int
        Bytes of a number on disk.
    sha256 : str
        Digest of the file.
    """

    def __init__(
        self, path: Path, count: int, layout: Layout, told: Described, source: Source
    ) -> None:
        self.path, self.layout, self.told = path, layout, told
        self._source, self._count = source, count
        self.itemsize = source.itemsize
        self.made_by = MadeBy(code="unknown")
        self.parameters = np.empty((count, 0))
        self.sha256 = digest(path)
        self.origin = np.zeros(count, ORIGIN_DTYPE)
        self.origin["axis"] = self.origin["slab"] = -1
        # Small enough to add to, and equal for equal data alone.
        content = hashlib.sha256(f"{self.sha256} {told.dataset or ''}".encode()).hexdigest()
        first = int(content[:14], 16)
        self.origin["simulation"] = first + np.arange(count) // told.per_simulation
        self.origin["seed"] = self.origin["simulation"]
        self._scale, self._zero = self._conversion()

    def __len__(self) -> int:
        return self._count

    @property
    def name(self) -> str:
        """Name of the data set, which tells it from its neighbours."""
        inside = self.told.dataset
        return f"{self.path.name}-{inside.replace('/', '-')}" if inside else self.path.name

    def read_checked(self, index: slice) -> NDArray[np.float32]:
        """Return some fields, density over mean.

        Raises
        ------
        LayoutError
            Naming the field that holds a number that is not finite, or a negative density.
        """
        if self.layout.dimension == 3:  # plane by plane: a whole cube in float64 would not be small
            grid = self.layout.grid
            return np.stack([self.read_planes(i, 0, grid) for i in range(self._count)[index]])
        return self._density(self._raw(index), index.indices(self._count)[0])

    def read_planes(self, row: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return some planes of a cube, density over mean: what `read_checked` returns of them.

        Memory is needed for the numbers as they are on disk, for the result, and for one plane. A
        ``.npy`` in the order of Fortran has no planes that lie together, and is mapped whole.

        Parameters
        ----------
        row : int
            Which field.
        start, stop : int
            Planes [start, stop) of its first axis.

        Returns
        -------
        ndarray of float32, shape (stop - start, N, N)

        Raises
        ------
        IndexError
            If there is no such cube or plane.
        LayoutError
            As `read_checked` does.
        """
        require_planes(self.layout, start, stop)
        row = range(self._count)[row]
        raw = self._raw(slice(row, row + 1), slice(start, stop))[0]
        out = np.empty(raw.shape, np.float32)
        for place, plane in enumerate(raw):
            out[place] = self._density(plane[None], row)[0]
        return out

    def _raw(self, rows: slice, planes: slice = slice(None)) -> NDArray[np.generic]:
        """Read numbers as they are, (m, planes, N, ...)."""
        single = len(self._source.shape) == self.layout.dimension
        part = self._source.read((planes,) if single else (rows, planes))
        return part[None] if single else part

    def _density(self, raw: NDArray[np.generic], first: int) -> NDArray[np.float32]:
        """Convert numbers of the field `first`, and of those after it: (m, ...)."""
        rows = self._finite(raw, first)
        if self.told.quantity != "overdensity":
            problem = f"a negative {self.told.quantity}; say what it is by the quantity"
            self._refuse(rows < 0, first, problem)
        return (rows * self._scale + self._zero).astype(np.float32)

    def _finite(self, raw: NDArray[np.generic], first: int) -> NDArray[np.float64]:
        rows = np.asarray(raw, dtype=np.float64)
        problem = "a value that is not finite; fill or leave out what is masked"
        self._refuse(~np.isfinite(rows), first, problem)
        return rows

    def _refuse(self, bad: NDArray[np.bool_], first: int, problem: str) -> None:
        if bad.any():
            row = first + int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
            raise LayoutError(f"{self.path}: field {row} holds {problem}")

    def _conversion(self) -> tuple[float, float]:
        """Return scale and zero that make a density over mean of the numbers."""
        if self.told.quantity == "overdensity":
            return 1.0, 1.0
        mean = self._total() / self._count / self.layout.grid**self.layout.dimension
        if self.told.quantity == "density over mean":
            if not 1 / _ODD_MEAN < mean < _ODD_MEAN:
                raise LayoutError(
                    f"{self.path}: the mean is {mean:g}, not 1, as that of a density over mean; say "
                    f"what it is by the quantity"
                )
            return 1.0, 0.0
        if mean <= 0:
            raise LayoutError(
                f"{self.path}: the mean is {mean:g}, that of no density; say what it is by the "
                f"quantity"
            )
        return 1 / mean, 0.0

    def _total(self) -> float:
        """Sum everything, a few fields at a time, and of a large field a few planes."""
        grid = self.layout.grid
        plane = grid ** (self.layout.dimension - 1)
        step, depth = max(1, _MEAN_CELLS // (plane * grid)), max(1, _MEAN_CELLS // plane)
        parts = (
            self._finite(self._raw(slice(i, i + step), slice(j, j + depth)), i).sum()
            for i in range(0, self._count, step)
            for j in range(0, grid, depth)
        )
        return float(sum(parts))


def open_array(path: str | Path, told: Described) -> ArraySet:
    """Open the fields of a plain array.

    Parameters
    ----------
    path : path
        A ``.npy`` file, or an HDF5 file.
    told : Described
        What they are.

    Raises
    ------
    LayoutError
        If the file is missing or neither format, the array is no stack of squares or cubes, or not of
        real numbers, or its numbers are not of that quantity.
    RecipeError
        If the quantity is unknown, it is not clear which data set is meant, or cubes are given a
        thickness.
    """
    path = Path(path)
    if told.quantity not in QUANTITIES:
        raise RecipeError(f"quantity = {told.quantity!r}: give one of {', '.join(QUANTITIES)}")
    if told.per_simulation < 1 or told.dimension not in (None, 2, 3):
        raise RecipeError(
            f"dimension = {told.dimension}, per_simulation = {told.per_simulation}: give 2 or 3, and "
            f"at least 1"
        )
    source = _open(path, told.dataset)
    count, field = _fields(path, source.shape, told.dimension)
    layout = _layout(field, told)
    if count % told.per_simulation:
        raise RecipeError(
            f"{path}: {count} fields do not divide into simulations of {told.per_simulation}"
        )
    return ArraySet(path, count, layout, told, source)


def is_plain(path: Path) -> bool:
    """Whether a path is a plain array: a file, and no data set of the contract."""
    if path.suffix == ".npy":
        return True
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with _hdf5(path) as file:
        return bool(file.attrs.get("format", "") != FORMAT)


def _fields(
    path: Path, shape: tuple[int, ...], dimension: int | None
) -> tuple[int, tuple[int, ...]]:
    """Return how many fields an array holds, and their shape."""
    if dimension is None:
        dimension = 2 if len(shape) == 2 or (len(shape) == 3 and len(set(shape)) > 1) else 3
    field = shape[-dimension:]
    count = shape[0] if len(shape) == dimension + 1 else 1
    if len(shape) not in (dimension, dimension + 1) or len(set(field)) != 1 or 0 in shape:
        raise LayoutError(
            f"{path}: an array of shape {shape}; give (N, N), (N, N, N), or many of them, (n, ...)"
        )
    return count, field


def _layout(field: tuple[int, ...], told: Described) -> Layout:
    cubes = len(field) == 3
    if cubes and told.thickness is not None:
        raise RecipeError(
            f"thickness = {told.thickness:g}: cubes of {field[0]} cells have none; for slices say "
            f"dimension = 2"
        )
    cell = told.box_size / field[0]
    depth = told.box_size if cubes else cell if told.thickness is None else told.thickness
    return Layout(
        dimension=len(field),
        grid=field[0],
        box_size=told.box_size,
        thickness=depth,
        mass_assignment="none",
        particles=0,
    )


def _open(path: Path, name: str | None) -> Source:
    """Find an array on disk."""
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; give a .npy or an HDF5 file")
    if path.suffix == ".npy":
        return _open_npy(path)
    if not h5py.is_hdf5(path):
        raise LayoutError(f"{path}: neither .npy nor HDF5; convert it")
    with _hdf5(path) as file:
        chosen = name or _only_dataset(path, file)
        if not isinstance(file.get(chosen), h5py.Dataset):
            raise RecipeError(f"{path}: no data set {chosen}; it has {', '.join(_datasets(file))}")
        shape, dtype = file[chosen].shape or (), file[chosen].dtype
    _require_array(path, shape, dtype.kind)
    return Source(shape, dtype.itemsize, functools.partial(_read_hdf5, path, chosen))


def _read_hdf5(path: Path, name: str, index: Index) -> NDArray[np.generic]:
    with _hdf5(path) as file:
        part: NDArray[np.generic] = file[name][index]
        return part


def _open_npy(path: Path) -> Source:
    mapped = _map_npy(path)
    _require_array(path, mapped.shape, mapped.dtype.kind)
    return Source(mapped.shape, mapped.dtype.itemsize, functools.partial(_read_npy, path))


def _read_npy(path: Path, index: Index) -> NDArray[np.generic]:
    # Mapped afresh: the pages of a map that stays count as memory of this process.
    return np.asarray(_map_npy(path)[index])


def _map_npy(path: Path) -> NDArray[np.generic]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LayoutError(f"{path}: not a .npy array, or cut short ({error})") from error
    if not isinstance(mapped, np.ndarray):
        raise LayoutError(f"{path}: an archive of arrays, not a .npy array; save one alone")
    return mapped


@contextlib.contextmanager
def _hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file; one that is cut short or needs a missing filter is a `LayoutError`."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise LayoutError(f"{path}: cannot be read ({reason}); make it again") from error


def _require_array(path: Path, shape: tuple[int, ...], kind: str) -> None:
    if len(shape) < 2:
        raise LayoutError(f"{path}: an array of shape {shape} holds no field; give (N, N) at least")
    if kind not in "fiub":
        raise LayoutError(f"{path}: the numbers are not real; give their real part")


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _only_dataset(path: Path, file: h5py.File) -> str:
    found = [name for name in _datasets(file) if len(file[name].shape or ()) >= 2]
    if len(found) != 1:
        raise RecipeError(
            f"{path}: which data set? it has {', '.join(found) or 'none of two dimensions'}; "
            f"name one"
        )
    return found[0]
