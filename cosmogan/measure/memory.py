"""What measuring takes, and how it is arranged to fit: how many cubes at a time, or slab by slab.

Measuring a cube in memory takes a stated number of bytes for each of its cells (`CELL_BYTES`), beside
`cosmogan.measure.slabs.BASELINE` of the process. Slices take next to nothing.
"""

from collections.abc import Collection

from cosmogan.errors import ResourceError
from cosmogan.fields.array import ArraySet
from cosmogan.fields.dataset import FieldSet
from cosmogan.measure import slabs

CELL_BYTES = {
    "mean_density": 4,
    "power": 9,
    "bispectrum": 56,
    "reduced_bispectrum": 56,
    "squeezed_bispectrum": 56,
    "quadrupole": 9,
    "pdf": 5,
    "pdf_smoothed": 17,
    "peaks": 17,
    "minima": 17,
    "minkowski_1": 25,
    "minkowski_2": 25,
    "minkowski_3": 25,
    "correlation": 17,
    "variance": 21,
    "skewness": 21,
    "kurtosis": 21,
    "halos": 9,
    "voids": 9,
}
"""Largest memory while each is measured, the cube in float32 included [bytes a cell]; measured at 256^3."""
BY_SLABS = frozenset({"mean_density", "power", "pdf"})
"""What can be measured of a cube that does not fit into memory."""


def cubes_at_a_time(
    fields: FieldSet | ArraySet, names: Collection[str], memory: float, workers: int
) -> int:
    """Return how many cubes fit into the memory of a process; 0 if it must go slab by slab.

    Parameters
    ----------
    fields : FieldSet or ArraySet
        Cubes.
    names : collection of str
        What is measured, no "default" or "all".
    memory : float
        What a process may take in all [bytes].
    workers : int
        Threads of it.

    Raises
    ------
    ResourceError
        If a single cube does not fit, and one of the statistics needs all of it.
    """
    grid = fields.layout.grid
    dearest = max(sorted(names), key=lambda name: CELL_BYTES.get(name, 0))
    reading = slabs.itemsize_of(fields)
    each = max(CELL_BYTES.get(dearest, 0), reading) * grid**3
    fit = int((memory - slabs.BASELINE) // each)
    if fit < 1 and not set(names) <= BY_SLABS:
        needed = (slabs.BASELINE + each) / 1e9
        raise ResourceError(
            f"{fields.path}: {dearest} of a cube of {grid}^3 cells takes {needed:.1f} GB, not "
            f"{memory / 1e9:.1f} GB; give more memory, or measure only {', '.join(sorted(BY_SLABS))}"
        )
    return min(max(fit, 0), workers)
