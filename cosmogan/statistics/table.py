"""What `measure` hands to `compare`: statistics of many fields, one row a field, in one file.

The file is HDF5, version 1, written once and whole::

    /                    format = "cosmogan-statistics", version = 1
                         source, source_sha256   the data set, and the digest of its content
                         identity                digest of the data and of every choice of the measuring
                         ...                     the layout attributes of the fields, as they are
    /made_by             attributes code, version, command, recipe, commit, time
    /origin              (n,)   compound, as in the fields: simulation, seed, axis, slab, fixed
    /parameters          (n, p) float64, attribute names
    /statistics/<name>   attributes label, unit, coordinate_label, coordinate_unit
        coordinate       (b,)     float64   where the bins are
        edges            (b + 1,) float64   where they begin and end, if they touch
        samples          (n, b)   float64   one row a field
        weight           (b,)     float64   modes or triangles of a bin, or 1
    /field, /parameter   (n,) and (p,) int64, rows and columns by number

Coordinates, edges and the rows are dimension scales, as netCDF has them: ``xarray.open_dataset(path,
group="statistics/power", engine="h5netcdf")`` gives labelled arrays. `read` gives a `StatisticsTable`,
whose `to_dataframe` makes tables of pandas.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import LayoutError, ResourceError

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "cosmogan-statistics"
VERSION = 1

_OWN_ATTRIBUTES = ("format", "version", "source", "source_sha256", "identity")
_WORDS = ("label", "unit", "coordinate_label", "coordinate_unit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistic:
    """One statistic of n fields in b bins.

    Raises
    ------
    LayoutError
        If the shapes of the arrays contradict each other.
    """

    name: str
    """Name of its group in the file."""
    coordinate: NDArray[np.float64]
    """(b,) where the bins are [coordinate_unit]."""
    samples: NDArray[np.float64]
    """(n, b) one row a field [unit]."""
    weight: NDArray[np.float64]
    """(b,) modes or triangles of the bin, or 1."""
    label: str
    """What it is, for the axis of a figure."""
    unit: str
    """Unit of `samples`; empty for a pure number."""
    coordinate_label: str
    """What the bins are of."""
    coordinate_unit: str
    """Unit of `coordinate` and `edges`."""
    edges: NDArray[np.float64] | None = None
    """(b + 1,) edges of the bins, [edge, next edge) [coordinate_unit]; None if they have none."""

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes contradict each other."""
        bins = self.coordinate.shape[0] if self.coordinate.ndim == 1 else -1
        if self.samples.ndim != 2 or self.samples.shape[1] != bins:
            raise LayoutError(
                f"statistic {self.name}: samples of shape {self.samples.shape} do not fit "
                f"coordinate of shape {self.coordinate.shape}; give one row a field"
            )
        if self.weight.shape != (bins,):
            raise LayoutError(
                f"statistic {self.name}: weight has shape {self.weight.shape}; give {(bins,)}"
            )
        if self.edges is not None and self.edges.shape != (bins + 1,):
            raise LayoutError(
                f"statistic {self.name}: edges have shape {self.edges.shape}; give {(bins + 1,)}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class StatisticsTable:
    """All statistics of one data set, with where it came from.

    Raises
    ------
    LayoutError
        If the rows of origin, parameters and statistics are not as many.
    """

    source: str
    """Name of the data set."""
    source_sha256: str
    """Digest of its content."""
    attributes: Mapping[str, Any]
    """Layout attributes of the fields: dimension, grid, box_size [Mpc/h], ..."""
    origin: NDArray[np.void]
    """(n,) which simulation, axis and slab each field is."""
    parameters: NDArray[np.float64]
    """(n, p) cosmology and redshift of each field."""
    statistics: Mapping[str, Statistic]
    """By name, in alphabetical order when read from a file."""
    parameter_names: tuple[str, ...] = ()
    """p names of the columns of `parameters`."""
    made_by: Mapping[str, str] = field(default_factory=dict)
    """Code, version, command, recipe, commit and time of the measuring."""
    identity: str = ""
    """Digest of the data and of every choice of the measuring."""

    def __post_init__(self) -> None:
        """Refuse parts that speak of different numbers of fields."""
        rows = {name: s.samples.shape[0] for name, s in self.statistics.items()}
        rows["parameters"] = self.parameters.shape[0]
        for name, count in rows.items():
            if count != len(self):
                raise LayoutError(
                    f"statistics of {self.source}: {name} has {count} rows, "
                    f"origin has {len(self)}; measure the data set again"
                )

    def __len__(self) -> int:
        return int(self.origin.shape[0])

    def __getitem__(self, name: str) -> Statistic:
        return self.statistics[name]

    def take(self, rows: NDArray[np.intp]) -> "StatisticsTable":
        """Return the table of some fields; whose content it is stays as it was."""
        chosen = {n: replace(s, samples=s.samples[rows]) for n, s in self.statistics.items()}
        origin, parameters = self.origin[rows], self.parameters[rows]
        return replace(self, origin=origin, parameters=parameters, statistics=chosen)

    def to_dataframe(self, name: str | None = None) -> "DataFrame":
        """Return the statistics as a table of pandas.

        Parameters
        ----------
        name : str, optional
            A statistic: one row a field, indexed by its origin, one column a bin, named by its
            coordinate. Without it one row a bin of every statistic, over all fields, with the columns
            of `cosmogan.statistics.export.COLUMNS`.

        Raises
        ------
        KeyError
            If there is no such statistic.
        """
        import pandas as pd

        if name is None:
            from cosmogan.statistics.export import COLUMNS, rows

            return pd.DataFrame(list(rows(self)), columns=list(COLUMNS))
        statistic = self[name]
        labels = ("simulation", "axis", "slab")
        index = pd.MultiIndex.from_arrays([self.origin[label] for label in labels], names=labels)
        columns = pd.Index(statistic.coordinate, name=statistic.coordinate_label or None)
        return pd.DataFrame(statistic.samples, index=index, columns=columns)

    @property
    def simulation(self) -> NDArray[np.int64]:
        """(n,) the independent simulation each field was cut from."""
        return np.asarray(self.origin["simulation"], dtype=np.int64)


def average(rows: NDArray[np.float64], simulation: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average rows (n, b) of fields over each simulation, in the order of their ids."""
    _, member, number = np.unique(simulation, return_inverse=True, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(number)[:-1]])
    sums: NDArray[np.float64] = np.add.reduceat(
        rows[np.argsort(member, kind="stable")], starts, axis=0
    )
    return sums / number[:, None]


def write(path: str | Path, table: StatisticsTable) -> None:
    """Write a table; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    table : StatisticsTable
        What to write; same table, same bytes.

    Raises
    ------
    LayoutError
        If a statistic is not finite, or a layout attribute bears a name the file uses itself.
    ResourceError
        If the disk is full or may not be written to; a file of that name stays as it was.
    """
    _check_writable(path, table)
    try:
        with replacing(Path(path)) as temporary:
            _write_table(temporary, table)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another output"
        ) from error


def read(path: str | Path) -> StatisticsTable:
    """Read a table.

    Raises
    ------
    LayoutError
        If the file is missing, no HDF5, cut short, of another format or of a later version, or
        lacks a part.
    """
    path = Path(path)
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; measure the data set first")
    try:
        with h5py.File(path, "r") as file:
            _check_format(path, file)
            return _read_table(file)
    except (OSError, RuntimeError) as error:
        raise LayoutError(f"{path}: not HDF5, or cut short; measure the data set again") from error
    except KeyError as error:
        reason = str(error.args[0]).splitlines()[0]
        raise LayoutError(f"{path}: incomplete: {reason}; measure the data set again") from error
    except LayoutError as error:
        message = str(error)
        raise LayoutError(message if str(path) in message else f"{path}: {message}") from error


def _check_writable(path: str | Path, table: StatisticsTable) -> None:
    taken = sorted(set(_OWN_ATTRIBUTES) & set(table.attributes))
    if taken:
        raise LayoutError(f"{path}: layout attributes {taken} are the file's own; rename them")
    for name, statistic in table.statistics.items():
        bad = ~np.isfinite(statistic.samples).all(axis=1)
        if bad.any():
            raise LayoutError(
                f"{path}: {name} of field {int(np.argmax(bad))} of {table.source} is not finite; "
                f"check that field"
            )


def _write_table(path: Path, table: StatisticsTable) -> None:
    with h5py.File(path, "w") as file:
        # In the order in which they are read, so that same tables are same bytes.
        file.attrs.update(sorted((_own_attributes(table) | dict(table.attributes)).items()))
        file.create_group("made_by").attrs.update(sorted(table.made_by.items()))
        origin = file.create_dataset("origin", data=table.origin, track_times=False)
        parameters = file.create_dataset("parameters", data=table.parameters, track_times=False)
        parameters.attrs["names"] = list(table.parameter_names) or h5py.Empty("S1")
        rows = _write_numbers(file, "field", len(table))
        columns = _write_numbers(file, "parameter", table.parameters.shape[1])
        origin.dims[0].attach_scale(rows)
        parameters.dims[0].attach_scale(rows)
        parameters.dims[1].attach_scale(columns)
        group = file.create_group("statistics")
        for name, statistic in sorted(table.statistics.items()):
            _write_statistic(group.create_group(name), statistic, rows)


def _write_numbers(file: h5py.File, name: str, count: int) -> h5py.Dataset:
    numbers = file.create_dataset(name, data=np.arange(count), track_times=False)
    numbers.make_scale(name)
    return numbers


def _own_attributes(table: StatisticsTable) -> dict[str, Any]:
    values = (FORMAT, VERSION, table.source, table.source_sha256, table.identity)
    return dict(zip(_OWN_ATTRIBUTES, values, strict=True))


def _write_statistic(group: h5py.Group, statistic: Statistic, rows: h5py.Dataset) -> None:
    group.attrs.update({word: getattr(statistic, word) for word in _WORDS})
    for name in ("coordinate", "edges", "samples", "weight"):
        values = getattr(statistic, name)
        if values is not None:
            group.create_dataset(name, data=values, dtype="f8", track_times=False)
    for name in ("coordinate", "edges"):
        if name in group:
            group[name].make_scale(name)
    group["samples"].dims[0].attach_scale(rows)
    for dimension in (group["samples"].dims[1], group["weight"].dims[0]):
        dimension.attach_scale(group["coordinate"])
    for name in ("samples", "coordinate"):
        group[name].attrs["long_name"] = getattr(
            statistic, "label" if name == "samples" else "coordinate_label"
        )


def _check_format(path: Path, file: h5py.File) -> None:
    found = _plain(file.attrs.get("format", "none"))
    if found != FORMAT:
        raise LayoutError(f"{path}: format is {found!r}, not {FORMAT!r}; give a .stats.h5 file")
    version = int(file.attrs["version"])
    if version > VERSION:
        raise LayoutError(
            f"{path}: version {version} is later than {VERSION}, all this cosmogan can read; "
            f"upgrade cosmogan"
        )


def _read_table(file: h5py.File) -> StatisticsTable:
    attributes = {name: _plain(value) for name, value in file.attrs.items()}
    own = {name: attributes.pop(name) for name in _OWN_ATTRIBUTES}
    names = _plain(file["parameters"].attrs["names"])
    return StatisticsTable(
        source=own["source"],
        source_sha256=own["source_sha256"],
        identity=own["identity"],
        attributes=attributes,
        made_by={k: _plain(v) for k, v in file["made_by"].attrs.items()},
        origin=file["origin"][()],
        parameters=file["parameters"][()],
        parameter_names=names,
        statistics={n: _read_statistic(n, g) for n, g in file["statistics"].items()},
    )


def _read_statistic(name: str, group: h5py.Group) -> Statistic:
    return Statistic(
        name=name,
        coordinate=group["coordinate"][()],
        samples=group["samples"][()],
        weight=group["weight"][()],
        edges=group["edges"][()] if "edges" in group else None,
        **{word: _plain(group.attrs[word]) for word in _WORDS},
    )


def _plain(value: Any) -> Any:  # noqa: ANN401  (an HDF5 attribute may be anything)
    if isinstance(value, h5py.Empty):
        return ()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return tuple(_plain(v) for v in value)
    return value


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that takes its place, synced, if nothing was raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
