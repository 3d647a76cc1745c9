"""The contract of a data set of density fields, format version 1.

A data set is one HDF5 file, or a folder ``name.fields/`` of such files (shards) and a
``manifest.json``. Each file::

    /              format = "cosmogan-fields", version = 1, quantity = "density over mean",
                   dimension = 2 | 3, box_size, cell_size, thickness [Mpc/h], periodic, fixed,
                   mass_assignment = "none" | "ngp" | "cic" | "tsc" | "pcs", particles (per side)
                   and extrapolated, if a network made them outside what it was trained at
    /made_by       code, version, command, recipe (TOML), commit, time
    /fields        (n, N, N) or (n, N, N, N) float32, 1 + delta, contiguous and uncompressed
    /parameters    (n, p) float64, attribute names = ["Omega_m", ..., "redshift"]
    /origin        (n,) compound: simulation, seed, axis, slab, fixed
    /checksum      (n,) uint32, CRC-32 of the bytes of each sample

Lengths are comoving. The mean is that of the simulation, not of the slice. ``simulation`` names one
independent N-body realisation: every sample of a realisation, at any redshift, axis and slab, and
both members of a fixed-and-paired pair carry the same number, and a split never divides it. A sample
that is no slice has axis = slab = -1. What remakes the initial conditions is the seed and the recipe.
Emulated and simulated data sets obey the same contract; `check` says which rule a file breaks.
"""

import math
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

import cosmogan
from cosmogan.errors import LayoutError

FORMAT = "cosmogan-fields"
VERSION = 1
QUANTITY = "density over mean"
WINDOWS = ("none", "ngp", "cic", "tsc", "pcs")
FIELD_DTYPE = np.dtype("<f4")
CHECKSUM_DTYPE = np.dtype("<u4")
ORIGIN_DTYPE = np.dtype(
    [("simulation", "<i8"), ("seed", "<i8"), ("axis", "i1"), ("slab", "<i4"), ("fixed", "?")]
)
"""Where a sample comes from: realisation, its seed, the axis a slice looks along, its number
along that axis (-1: no slice), and whether the initial amplitudes were fixed."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the samples of a data set have in common.

    Parameters
    ----------
    dimension : int
        2 for slices, 3 for cubes.
    grid : int
        Cells per side of a sample.
    box_size : float
        Side of a sample [Mpc/h].
    thickness : float
        Depth of a slice [Mpc/h]; for cubes the same as `box_size`.
    mass_assignment : {"none", "ngp", "cic", "tsc", "pcs"}
        Window the particles were painted with; of emulated fields, those of the fields they are like; "none" if
        nothing was painted.
    particles : int
        Particles per side of the parent box, likewise; 0 if there were none or nobody knows.
    periodic : bool
        Whether opposite faces of a sample touch.
    fixed : bool
        Whether the initial amplitudes were fixed: such fields lack cosmic variance.
    extrapolated : bool
        Whether a network made them at parameters outside those it was trained at.
    parameter_names : tuple of str
        Columns of the parameters.

    Raises
    ------
    LayoutError
        If the numbers contradict each other.
    """

    dimension: int
    grid: int
    box_size: float
    thickness: float
    mass_assignment: str
    particles: int
    periodic: bool = True
    fixed: bool = False
    extrapolated: bool = False
    parameter_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for broken, rule in (
            (self.dimension not in (2, 3), f"dimension = {self.dimension} must be 2 or 3"),
            (self.grid < 1, f"grid = {self.grid} must be at least 1"),
            (not 0 < self.box_size < np.inf, f"box_size = {self.box_size} must be positive"),
            (
                not 0 < self.thickness <= self.box_size * (1 + 1e-9),
                f"thickness = {self.thickness} must be positive and at most the box",
            ),
            (
                self.dimension == 3 and not np.isclose(self.thickness, self.box_size),
                f"thickness = {self.thickness} of a cube must be its box_size = {self.box_size}",
            ),
            (
                self.mass_assignment not in WINDOWS,
                f"mass_assignment = {self.mass_assignment!r} must be one of {', '.join(WINDOWS)}",
            ),
            (self.particles < 0, f"particles = {self.particles} must not be negative"),
            (
                len(set(self.parameter_names)) != len(self.parameter_names),
                f"parameter_names = {list(self.parameter_names)} repeats a name",
            ),
        ):
            if broken:
                raise LayoutError(f"layout: {rule}; correct it")

    @property
    def cell_size(self) -> float:
        """Side of a cell [Mpc/h]."""
        return self.box_size / self.grid

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.grid,) * self.dimension

    @property
    def sample_bytes(self) -> int:
        """Size of one sample on disk [bytes]."""
        return FIELD_DTYPE.itemsize * math.prod(self.shape)

    def to_attributes(self) -> dict[str, Any]:
        """Return the attributes of the root group, and nothing but plain values.

        `parameter_names` is not among them: it is written with the parameters.
        """
        marked = {"extrapolated": True} if self.extrapolated else {}
        return marked | {
            "format": FORMAT,
            "version": VERSION,
            "quantity": QUANTITY,
            "dimension": self.dimension,
            "box_size": float(self.box_size),
            "cell_size": float(self.cell_size),
            "thickness": float(self.thickness),
            "mass_assignment": self.mass_assignment,
            "particles": self.particles,
            "periodic": self.periodic,
            "fixed": self.fixed,
        }

    @classmethod
    def from_attributes(
        cls, attributes: Mapping[str, Any], parameter_names: Sequence[str] = ()
    ) -> "Layout":
        """Read the attributes that `to_attributes` wrote, in HDF5 or in JSON.

        Raises
        ------
        LayoutError
            If one is missing or of the wrong kind, or the format is foreign or of the future.
        """
        check_format(attributes)
        quantity = _attribute(attributes, "quantity", str)
        if quantity != QUANTITY:
            raise LayoutError(f"quantity = {quantity!r} must be {QUANTITY!r}; convert the fields")
        box_size = _attribute(attributes, "box_size", float)
        cell_size = _attribute(attributes, "cell_size", float)
        grid = round(box_size / cell_size) if 0 < cell_size <= box_size < np.inf else 0
        if grid < 1 or abs(grid * cell_size - box_size) > 1e-6 * box_size:
            raise LayoutError(f"cell_size = {cell_size} does not divide box_size = {box_size}")
        return cls(
            dimension=_attribute(attributes, "dimension", int),
            grid=grid,
            box_size=box_size,
            thickness=_attribute(attributes, "thickness", float),
            mass_assignment=_attribute(attributes, "mass_assignment", str),
            particles=_attribute(attributes, "particles", int),
            periodic=_attribute(attributes, "periodic", bool),
            fixed=_attribute(attributes, "fixed", bool),
            extrapolated=_attribute({"extrapolated": False, **attributes}, "extrapolated", bool),
            parameter_names=tuple(parameter_names),
        )


@dataclass(frozen=True, kw_only=True)
class MadeBy:
    """What made a data set; `provenance` fills it.

    Parameters
    ----------
    code, version, commit : str
        The program, its version, and its git commit if it ran from a checkout.
    command : str
        The command or function that was asked.
    recipe : str
        The recipe as TOML, every default filled in.
    time : str
        When, ISO 8601 in UTC.
    """

    code: str = "cosmogan"
    version: str = ""
    command: str = ""
    recipe: str = ""
    commit: str = ""
    time: str = ""

    def to_attributes(self) -> dict[str, str]:
        """Return name and value of each entry."""
        return asdict(self)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "MadeBy":
        """Read what `to_attributes` wrote; raise `LayoutError` if an entry is missing."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: _attribute(attributes, name, str) for name in names})

    def by_this_code(self) -> "MadeBy":
        """Return a copy that names the version and commit that run now."""
        return replace(self, version=cosmogan.__version__, commit=_commit())


def same_parameters(table: ArrayLike, parameters: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows of a table (n, p) are these parameters (p,), but for rounding: (n,)."""
    close = np.isclose(np.asarray(table), np.asarray(parameters), rtol=1e-5, atol=1e-8)
    same: NDArray[np.bool_] = close.all(axis=1)
    return same


def provenance(command: str, recipe_text: str = "") -> MadeBy:
    """Describe what is about to make a data set.

    Parameters
    ----------
    command : str
        The command or function that was asked.
    recipe_text : str
        The recipe as TOML.

    Returns
    -------
    MadeBy
        The time is now, or the ``SOURCE_DATE_EPOCH`` of the environment
        (https://reproducible-builds.org), so that a data set can be made twice to the last byte.
    """
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    return MadeBy(command=command, recipe=recipe_text, time=stamp).by_this_code()


def check_format(attributes: Mapping[str, Any], *, name: str = FORMAT) -> None:
    """Raise `LayoutError` unless the attributes are of this format and not of the future."""
    if "format" not in attributes or _text(attributes["format"]) != name:
        raise LayoutError(f"not a {name} file; convert it, or measure a plain array with --box")
    version = _attribute(attributes, "version", int)
    if not 1 <= version <= VERSION:
        raise LayoutError(
            f"format version {version}, but this cosmogan reads {VERSION}; use a newer cosmogan"
        )


def check(file: h5py.File) -> Layout:
    """Check an open file against the contract, its samples excepted.

    Parameters
    ----------
    file : h5py.File
        Open for reading.

    Returns
    -------
    Layout
        What the file says of itself.

    Raises
    ------
    LayoutError
        Naming the rule that is broken, without the name of the file.
    """
    check_format(file.attrs)
    for name in ("fields", "parameters", "origin", "checksum"):
        if not isinstance(file.get(name), h5py.Dataset):
            raise LayoutError(f"/{name} is missing; make the file again")
    if "made_by" not in file:
        raise LayoutError("/made_by is missing; make the file again")
    names = _attribute(file["parameters"].attrs, "names", list)
    layout = Layout.from_attributes(file.attrs, names)
    rows = len(file["fields"]) if file["fields"].ndim else 0
    if rows < 1:
        raise LayoutError("/fields holds no sample; make the file again")
    for name, dtype, shape in (
        ("fields", FIELD_DTYPE, (rows, *layout.shape)),
        ("parameters", np.dtype("<f8"), (rows, len(names))),
        ("origin", ORIGIN_DTYPE, (rows,)),
        ("checksum", CHECKSUM_DTYPE, (rows,)),
    ):
        _check_dataset(file[name], dtype, shape)
    _check_mappable(file)
    return layout


def _check_dataset(dataset: h5py.Dataset, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if dataset.dtype != dtype:
        raise LayoutError(f"{dataset.name} is {dataset.dtype}, must be {dtype}; convert it")
    if dataset.shape != shape:
        raise LayoutError(
            f"{dataset.name} has shape {dataset.shape}, must be {shape}; make the file again"
        )


def _check_mappable(file: h5py.File) -> None:
    dataset = file["fields"]
    if dataset.chunks is not None or dataset.external or file.userblock_size:
        raise LayoutError(
            "/fields must be contiguous and uncompressed, inside the file, to be memory-mapped; "
            "repack it (h5repack -l CONTI -f NONE)"
        )
    if dataset.id.get_offset() is None:
        raise LayoutError("/fields was never written; make the file again")


def _attribute(attributes: Mapping[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401
    """Return one attribute as a plain value of `kind`."""
    if name not in attributes:
        raise LayoutError(f"attribute {name} is missing; make the file again")
    value = attributes[name]
    if kind is str:
        return _text(value)
    if kind is list:
        return [_text(v) for v in np.atleast_1d(value)]
    plain = value.item() if isinstance(value, np.generic) else value
    allowed = {float: (float, int), int: (int,), bool: (bool,)}[kind]
    if not isinstance(plain, allowed) or (kind is not bool and isinstance(plain, bool)):
        raise LayoutError(f"attribute {name} = {plain!r} must be of type {kind.__name__}")
    return kind(plain)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@cache
def _commit() -> str:
    """Return the commit of the checkout the package lies in; empty for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
