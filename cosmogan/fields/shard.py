"""Writing one HDF5 file of density fields: checked, whole or absent, the same bytes each time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray
from zlib_ng.zlib_ng import crc32

from cosmogan.errors import LayoutError
from cosmogan.fields.dataset import Shard, unphysical
from cosmogan.fields.files import digest, whole_file
from cosmogan.fields.layout import CHECKSUM_DTYPE, FIELD_DTYPE, ORIGIN_DTYPE, Layout, MadeBy

_PAGE = 4096  # samples start on one


@dataclass(frozen=True, eq=False)
class Samples:
    """The content of a file.

    Parameters
    ----------
    fields : array_like, shape (n, N, ..., N)
        Density over the mean of the simulation; float32 on the disk.
    parameters : array_like, shape (n, p)
        In the order of the layout's `parameter_names`.
    origin : array_like, shape (n,)
        Structured as `cosmogan.fields.layout.ORIGIN_DTYPE`.
    """

    fields: ArrayLike
    parameters: ArrayLike
    origin: ArrayLike


def write_file(path: str | Path, layout: Layout, made_by: MadeBy, samples: Samples) -> Shard:
    """Write a data set of one file, or one shard.

    Parameters
    ----------
    path : path
        Of the file; an existing one is replaced once the new one is whole.
    layout, made_by : Layout, MadeBy
        What the samples have in common, and what made them.
    samples : Samples
        The content.

    Returns
    -------
    Shard
        Name, samples, size and digest.

    Raises
    ------
    LayoutError
        If shapes disagree with the layout, or a density is not a number, infinite or negative.
    ResourceError
        If the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    try:
        arrays = _arrays(layout, samples)
    except LayoutError as error:
        raise LayoutError(f"{path}: {error}") from None
    with whole_file(path, arrays["fields"].nbytes) as temporary:
        _write(temporary, layout, made_by, arrays)
        size, sha256 = temporary.stat().st_size, digest(temporary)
    return Shard(path.name, len(arrays["fields"]), size, sha256)


def _arrays(layout: Layout, samples: Samples) -> dict[str, NDArray[Any]]:
    """Return the arrays as they go to the disk, checked."""
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        fields = np.ascontiguousarray(samples.fields, FIELD_DTYPE)
    rows = len(fields)
    parameters = np.ascontiguousarray(samples.parameters, np.dtype("<f8"))
    origin = np.ascontiguousarray(samples.origin, ORIGIN_DTYPE)
    for name, array, shape in (
        ("fields", fields, (rows, *layout.shape)),
        ("parameters", parameters, (rows, len(layout.parameter_names))),
        ("origin", origin, (rows,)),
    ):
        if array.shape != shape:
            raise LayoutError(f"{name} have shape {array.shape}, must be {shape}; correct them")
    if not rows:
        raise LayoutError("no sample; give at least one")
    if not np.isfinite(parameters).all():
        raise LayoutError("a parameter is not a finite number; correct it")
    if (origin["fixed"] != layout.fixed).any():
        raise LayoutError(f"origin: fixed must be {layout.fixed} as in the layout; correct it")
    _refuse_unphysical(fields)
    checksum = np.array([crc32(sample) for sample in fields], CHECKSUM_DTYPE)
    return {"fields": fields, "parameters": parameters, "origin": origin, "checksum": checksum}


def _refuse_unphysical(fields: NDArray[np.float32]) -> None:
    for row, sample in enumerate(fields):
        problem = unphysical(sample)
        if problem:
            raise LayoutError(f"sample {row}: {problem}; nothing is written, look at what made it")


def _write(path: Path, layout: Layout, made_by: MadeBy, arrays: dict[str, NDArray[Any]]) -> None:
    alignment = {"alignment_threshold": _PAGE, "alignment_interval": _PAGE}
    try:
        with h5py.File(path, "w", locking=False, **alignment) as file:
            file.attrs.update(layout.to_attributes())
            file.create_group("made_by").attrs.update(made_by.to_attributes())
            for name, array in arrays.items():
                file.create_dataset(name, data=array, track_times=False)
            file["parameters"].attrs["names"] = list(layout.parameter_names)
    except RuntimeError as error:  # how HDF5 says at closing that the disk is full
        raise OSError(str(error)) from error
