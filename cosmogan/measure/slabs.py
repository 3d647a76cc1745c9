"""One cube larger than memory: its mean density, power spectrum and distribution, slab by slab.

Every mode is made of the whole cube, so the transform takes the way over the disk, once::

    pass 1    a planes of the cube       FFT along y and z, one plane at a time    one file
    pass 2    b rows y of every file     FFT along x, one row at a time            |mode|^2 by shell

What is measured of a plane or a row depends on nothing else, and all are added in their order: the number
of workers, the order in which they work, and the memory they are given do not change a bit. A pass is a
list of calls of a picklable function; who makes the calls, and where, is the caller's affair. A call that
is made again replaces its file by an equal one.
"""

import bisect
import contextlib
import functools
import math
import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from zlib_ng.zlib_ng import crc32

from cosmogan.errors import LayoutError, RecipeError, ResourceError, Stopped
from cosmogan.fields.array import ArraySet
from cosmogan.fields.dataset import FieldSet, combine_crc32
from cosmogan.fields.files import make_folder, require_space
from cosmogan.statistics import battery, pdf, power
from cosmogan.statistics.shells import shells
from cosmogan.statistics.table import Statistic

Compute = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Sequence[Any]]
"""Calls a function once for each tuple of arguments and returns the results, in order."""

BASELINE = 300_000_000
"""A process with numpy, scipy, numba, h5py and Dask, the kernels being compiled [bytes]; measured."""
_SHELL_BYTES = 40  # of the table of shells, for each cell of a plane
_PLANE_BYTES = 40  # of what is held of one plane or row beside slab or block, for each of its cells
_KEPT_BYTES = 64 << 20  # larger arrays go back to the system, in a thread, when they are dropped
_MODE = np.dtype(np.complex64)
_TASKS_PER_WORKER = 4
_PREFIX = ".slabs@"


@dataclass(frozen=True)
class SlabPlan:
    """How a cube is cut."""

    grid: int
    """Cells per side N."""
    planes: int
    """Planes of a slab, a."""
    rows: int
    """Rows of a block, b."""
    workers: int
    """Calls at a time that share the memory of a process."""
    itemsize: int = 4
    """Bytes that reading a cell takes."""

    @property
    def slabs(self) -> int:
        """Calls of the first pass, and files."""
        return -(-self.grid // self.planes)

    @property
    def blocks(self) -> int:
        """Calls of the second pass."""
        return -(-self.grid // self.rows)

    @property
    def peak_bytes(self) -> int:
        """Largest resident set of a process [bytes].

        `BASELINE`, the table of shells, and for each worker a slab or a block, what is held of a plane, and
        what the allocator may keep of the other of the two.
        """
        slab = self.planes * self.grid**2 * self.itemsize
        block = self.rows * _row_bytes(self.grid) * self.grid
        kept = min(slab, block, _KEPT_BYTES)
        each = max(slab, block) + kept + _PLANE_BYTES * self.grid**2
        return BASELINE + _SHELL_BYTES * self.grid**2 + self.workers * each

    @property
    def scratch_bytes(self) -> int:
        """What lies on the disk between the passes: half of the modes [bytes]."""
        return self.grid**2 * _row_bytes(self.grid)


@dataclass(frozen=True, eq=False)
class Slab:
    """The cells of a slab: mean (a,) and counts by density (a, bins) of its planes, CRC-32 and bytes."""

    mean: NDArray[np.float64]
    counts: NDArray[np.int64]
    checksum: int
    size: int


def plan(
    grid: int, memory: float, *, workers: int = 1, processes: int = 1, itemsize: int = 4
) -> SlabPlan:
    """Choose the largest slabs and blocks that fit, but four for each worker.

    Parameters
    ----------
    grid : int
        Cells per side.
    memory : float
        What a process may take in all [bytes].
    workers : int
        Calls at a time that share it: threads of the process.
    processes : int
        How many there are of the kind.
    itemsize : int
        As `itemsize_of` says it of a data set.

    Raises
    ------
    ResourceError
        If even one plane at a time takes more.
    """
    smallest = SlabPlan(grid, 1, 1, workers, itemsize)
    if smallest.peak_bytes > memory:
        needed = math.ceil(smallest.peak_bytes / 1e7) / 100
        raise ResourceError(
            f"memory: a cube of {grid}^3 cells takes at least {needed:.2f} GB with {workers} workers in "
            f"a process, not {memory / 1e9:.2f} GB; give more, or fewer workers"
        )
    most = -(-grid // (_TASKS_PER_WORKER * workers * processes))

    def largest(make: Callable[[int], SlabPlan]) -> int:
        numbers = range(1, most + 1)
        return bisect.bisect_right(numbers, memory, key=lambda n: make(n).peak_bytes)

    both = largest(lambda n: replace(smallest, planes=n, rows=n))
    rows = largest(lambda n: replace(smallest, planes=both, rows=n))
    planes = largest(lambda n: replace(smallest, planes=n, rows=rows))
    return replace(smallest, planes=planes, rows=rows)


def itemsize_of(fields: FieldSet | ArraySet) -> int:
    """Return the bytes that reading a cell takes: a plain array is held as it is, and as float32."""
    return 4 + (fields.itemsize if isinstance(fields, ArraySet) else 0)


def power_of_cube(
    fields: FieldSet | ArraySet,
    row: int,
    *,
    plan: SlabPlan,
    scratch: str | Path,
    compute: Compute,
) -> dict[str, Statistic]:
    """Measure one cube of a data set that need not fit into memory.

    Parameters
    ----------
    fields : FieldSet or ArraySet
        The data set.
    row : int
        Which cube.
    plan : SlabPlan
        How it is cut.
    scratch : path
        Folder in which `plan.scratch_bytes` are written, and removed at the end, whatever happens; what
        a killed process left there goes too. All workers must see it by this name.
    compute : callable
        Makes ``plan.slabs``, then ``plan.blocks`` calls.

    Returns
    -------
    dict of Statistic
        ``mean_density``, ``power`` and ``pdf`` as `cosmogan.statistics.battery` has them, one row each. The
        transforms are float32, as they are in memory; all sums are float64.

    Raises
    ------
    RecipeError
        If the plan is of another cube.
    LayoutError
        If the cube is altered or not finite.
    ResourceError
        If the disk is too full, or workers do not see it.
    Stopped
        If SIGTERM came, and nobody else handles it.
    """
    if fields.layout.dimension != 3 or fields.layout.grid != plan.grid:
        sample = " x ".join(map(str, fields.layout.shape))
        raise RecipeError(f"{fields.path}: samples of {sample} cells, planned {plan.grid}^3")
    row = range(len(fields))[row]
    with _stoppable(), _scratch_folder(Path(scratch), plan.scratch_bytes) as folder:
        first = functools.partial(transform_slab, fields, row, plan, folder)
        slabs = compute(first, [(i,) for i in range(plan.slabs)])
        if isinstance(fields, FieldSet):
            fields.require_checksum(row, _checksum(slabs))
        second = functools.partial(sum_block, plan, folder)
        sums = compute(second, [(j,) for j in range(plan.blocks)])
    return {s.name: s for s in _statistics(fields.layout.box_size, plan.grid, slabs, sums)}


def transform_slab(
    fields: FieldSet | ArraySet, row: int, plan: SlabPlan, folder: Path, number: int
) -> Slab:
    """Read a slab, measure its planes one by one, and write their transforms; raises as `power_of_cube`."""
    start, stop = _part(plan.grid, plan.planes, number)
    slab = fields.read_planes(row, start, stop)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        mean = np.concatenate([pdf.mean_density(plane[None]) for plane in slab])
    if not np.isfinite(mean).all():
        plane = start + int(np.argmin(np.isfinite(mean)))
        raise LayoutError(
            f"{fields.path}: field {row}, plane {plane} holds a value that is not finite; make it again"
        )
    fraction = pdf.pdfs(slab)[2]
    _write_transforms(_slab_path(folder, number), slab, plan)
    counts = np.rint(fraction * plan.grid**2).astype(np.int64)
    return Slab(mean, counts, crc32(slab), slab.nbytes)


def sum_block(plan: SlabPlan, folder: Path, number: int) -> NDArray[np.float64]:
    """Finish the transforms of a block and sum |mode|^2 by shell: (b, shells); raises as `power_of_cube`."""
    first, last = _part(plan.grid, plan.rows, number)
    found = shells(plan.grid, 3, power.default_edges(plan.grid))
    sums = np.empty((last - first, len(found.modes)))
    block = _read_block(plan, folder, first, last)
    for place, y in enumerate(range(first, last)):
        # Row by row: the transforms of one must not depend on how many there are.
        modes = scipy.fft.fft(block[:, place], axis=0, workers=1)
        sums[place] = power.sums_of_planes(modes[None], [min(y, plan.grid - y)], found)[0]
    return sums


def _checksum(slabs: Sequence[Slab]) -> int:
    return functools.reduce(lambda crc, s: combine_crc32(crc, s.checksum, s.size), slabs, 0)


def _statistics(
    box_size: float, grid: int, slabs: Sequence[Slab], sums: Sequence[NDArray[np.float64]]
) -> Iterator[Statistic]:
    """Put the parts together as `cosmogan.statistics.battery` does the whole."""
    mean = np.concatenate([slab.mean for slab in slabs]).mean()
    yield battery.as_mean_density(np.array([mean]))
    found = shells(grid, 3, power.default_edges(grid))
    total = np.concatenate(sums).sum(axis=0)
    spectra = (
        found.length * (2 * np.pi / box_size),
        (total * (box_size / grid**2) ** 3 / found.modes)[None],
        found.modes,
    )
    yield battery.as_power(spectra, (grid, 3), box_size)
    counts = np.concatenate([slab.counts for slab in slabs]).sum(axis=0)
    yield battery.as_pdf((counts / grid**3)[None])


def _part(grid: int, step: int, number: int) -> tuple[int, int]:
    return number * step, min((number + 1) * step, grid)


def _row_bytes(grid: int) -> int:
    """Return the size of a row of modes [bytes]."""
    return _MODE.itemsize * (grid // 2 + 1)


def _slab_path(folder: Path, number: int) -> Path:
    return folder / f"slab-{number:05d}"


def _write_transforms(path: Path, slab: NDArray[np.float32], plan: SlabPlan) -> None:
    """Transform each plane, and write it in blocks of rows: block, plane, row, column."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    row = _row_bytes(plan.grid)
    try:
        with temporary.open("wb") as file:
            for place, plane in enumerate(slab):
                # The zero mode dwarfs the others, and its rounding would reach them: twenty times closer.
                modes = scipy.fft.rfft2(plane - np.float32(1), workers=1)
                for block in range(plan.blocks):
                    first, last = _part(plan.grid, plan.rows, block)
                    file.seek(row * (len(slab) * first + place * (last - first)))
                    file.write(modes[first:last])
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(
            f"{path.parent}: a slab cannot be written ({error.strerror or error}); give a scratch "
            f"folder with room that every worker sees"
        ) from error


def _read_block(plan: SlabPlan, folder: Path, first: int, last: int) -> NDArray[np.complex64]:
    """Read rows `first` to `last` of every plane, (N, rows, N // 2 + 1)."""
    block = np.empty((plan.grid, last - first, plan.grid // 2 + 1), _MODE)
    for number in range(plan.slabs):
        start, stop = _part(plan.grid, plan.planes, number)
        part, path = block[start:stop], _slab_path(folder, number)
        try:
            with path.open("rb") as file:
                file.seek((stop - start) * first * _row_bytes(plan.grid))
                whole = file.readinto(part.data) == part.nbytes
        except OSError as error:
            raise _lost(path, error.strerror or str(error)) from error
        if not whole:
            raise _lost(path, "cut short")
    return block


def _lost(path: Path, why: str) -> ResourceError:
    return ResourceError(
        f"{path}: what the first pass wrote cannot be read ({why}); give a scratch folder that every "
        f"worker sees, and leave it alone"
    )


@contextlib.contextmanager
def _scratch_folder(parent: Path, size: int) -> Iterator[Path]:
    """Make a folder with so much room; remove it, and those of our dead, at the end."""
    _remove_abandoned(parent)
    require_space(parent, size)
    name = f"{_PREFIX}{socket.gethostname()}@{os.getpid()}@{uuid.uuid4().hex[:8]}"
    folder = parent.absolute() / name
    make_folder(folder)
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    # Under another name first: a call that still runs must not find it while it is emptied.
    doomed = folder.with_name(f"{folder.name}-")
    with contextlib.suppress(OSError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove what processes of this machine left that were killed."""
    for folder in parent.glob(f"{_PREFIX}{socket.gethostname()}@*"):
        try:
            os.kill(int(folder.name.rsplit("@", 2)[1]), 0)
        except ProcessLookupError:
            _remove(folder)
        except (ValueError, OSError):
            continue


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turn a SIGTERM that would end the process at once into `Stopped`."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what cleans up must finish
        raise Stopped("stopped by SIGTERM; the same command begins this cube again")

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
