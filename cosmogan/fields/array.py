"""Plain arrays of anybody, ``.npy`` or a data set in HDF5, opened as a set of fields to be measured.

They know no box and no origin: the caller says what they are, and each field counts as a simulation of
its own. A cube (N, N, N) is one field, (n, N, N) are n slices and (n, N, N, N) are n cubes.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.files import digest
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, MadeBy

QUANTITIES = ("density over mean", "overdensity", "density")
"""What the numbers of an array may be; a density is divided by the mean of the whole array."""
_MEAN_CELLS = 1 << 24

Reader = Callable[[slice], NDArray[np.float32]]


class ArraySet:
    """Fields of a plain array; `open_array` makes one.

    Attributes
    ----------
    path : Path
        The file.
    layout : Layout
        What the caller said of them.
    origin : (n,) structured ndarray
        A number for each field, made from the content of the file.
    parameters : (n, 0) ndarray
        None are known.
    made_by : MadeBy
        Nobody knows.
    sha256 : str
        Digest of the file and of what the caller said.
    """

    def __init__(self, path: Path, count: int, layout: Layout, read: Reader, told: str) -> None:
        self.path, self.layout, self._read, self._count = path, layout, read, count
        self.made_by = MadeBy(code="unknown")
        self.parameters = np.empty((count, 0))
        self.sha256 = hashlib.sha256(f"{digest(path)} {told}".encode()).hexdigest()
        self.origin = np.zeros(count, ORIGIN_DTYPE)
        self.origin["axis"] = self.origin["slab"] = -1
        # Small enough to add to, and equal for equal files alone.
        first = int(self.sha256[:14], 16)
        self.origin["simulation"] = self.origin["seed"] = first + np.arange(count)

    def __len__(self) -> int:
        return self._count

    def read_checked(self, index: slice) -> NDArray[np.float32]:
        """Return some fields, density over mean."""
        return self._read(index)


def open_array(
    path: str | Path,
    *,
    box_size: float,
    quantity: str = "density over mean",
    dataset: str | None = None,
    thickness: float | None = None,
) -> ArraySet:
    """Open the fields of a plain array.

    Parameters
    ----------
    path : path
        A ``.npy`` file, or an HDF5 file.
    box_size : float
        Side of a field, which must be periodic [Mpc/h].
    quantity : {"density over mean", "overdensity", "density"}
        What the numbers are. A density, or counts, are divided by the mean of the whole array.
    dataset : str, optional
        Which data set of an HDF5 file; needed if there are several.
    thickness : float, optional
        Depth of slices, default one cell [Mpc/h].

    Raises
    ------
    LayoutError
        If the file is missing or neither format, the array is no stack of squares or cubes, or not of
        real numbers.
    RecipeError
        If the quantity is unknown, or it is not clear which data set is meant.
    """
    path = Path(path)
    if quantity not in QUANTITIES:
        raise RecipeError(f"quantity = {quantity!r}: give one of {', '.join(QUANTITIES)}")
    shape, raw = _open(path, dataset)
    single = len(shape) == 2 or (len(shape) == 3 and len(set(shape)) == 1)
    count, field = (1, shape) if single else (shape[0], shape[1:])
    if len(field) not in (2, 3) or len(set(field)) != 1 or 0 in shape:
        raise LayoutError(
            f"{path}: an array of shape {shape}; give (N, N), (N, N, N), or many of them, (n, ...)"
        )
    layout = Layout(
        dimension=len(field),
        grid=field[0],
        box_size=box_size,
        thickness=box_size if len(field) == 3 else thickness or box_size / field[0],
        mass_assignment="none",
        particles=0,
    )

    def rows(index: slice) -> NDArray[np.float32]:
        part = raw(slice(None)) if single else raw(index)
        return np.ascontiguousarray(part, dtype=np.float32).reshape(-1, *field)

    scale, zero = _conversion(path, quantity, count, layout, rows)

    def density(index: slice) -> NDArray[np.float32]:
        return rows(index) * np.float32(scale) + np.float32(zero)

    return ArraySet(path, count, layout, density, f"{box_size} {quantity} {dataset} {thickness}")


def _conversion(
    path: Path, quantity: str, count: int, layout: Layout, rows: Reader
) -> tuple[float, float]:
    """Return scale and zero that make a density over mean of the numbers."""
    if quantity != "density":
        return 1.0, float(quantity == "overdensity")
    step = max(1, _MEAN_CELLS // layout.grid**layout.dimension)
    starts = range(0, count, step)
    total = sum(float(rows(slice(i, i + step)).sum(dtype=np.float64)) for i in starts)
    mean = total / count / layout.grid**layout.dimension
    if not 0 < mean < np.inf:
        raise LayoutError(
            f"{path}: the mean is {mean:g}, no density; say what it is by the quantity"
        )
    return 1 / mean, 0.0


def _open(
    path: Path, name: str | None
) -> tuple[tuple[int, ...], Callable[[slice], NDArray[np.generic]]]:
    """Return the shape of an array on disk and a function that reads some of its rows."""
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; give a .npy or an HDF5 file")
    if path.suffix == ".npy":
        return _open_npy(path)
    if not h5py.is_hdf5(path):
        raise LayoutError(f"{path}: neither .npy nor HDF5; convert it")
    with h5py.File(path, "r", locking=False) as file:
        chosen = name or _only_dataset(path, file)
        if not isinstance(file.get(chosen), h5py.Dataset):
            raise RecipeError(f"{path}: no data set {chosen}; it has {', '.join(_datasets(file))}")
        shape, kind = file[chosen].shape, file[chosen].dtype.kind
    _require_real(path, kind)

    def read(index: slice) -> NDArray[np.generic]:
        with h5py.File(path, "r", locking=False) as file:
            rows: NDArray[np.generic] = file[chosen][index]
            return rows

    return shape, read


def _open_npy(path: Path) -> tuple[tuple[int, ...], Callable[[slice], NDArray[np.generic]]]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LayoutError(f"{path}: not a .npy array, or cut short ({error})") from error
    _require_real(path, mapped.dtype.kind)
    return mapped.shape, lambda index: np.asarray(mapped[index])


def _require_real(path: Path, kind: str) -> None:
    if kind not in "fiub":
        raise LayoutError(f"{path}: the numbers are not real; give their real part")


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _only_dataset(path: Path, file: h5py.File) -> str:
    found = [name for name in _datasets(file) if file[name].ndim >= 2]
    if len(found) != 1:
        raise RecipeError(
            f"{path}: which data set? it has {', '.join(found) or 'none of two dimensions'}; "
            f"name one"
        )
    return found[0]
