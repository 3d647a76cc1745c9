"""From a box to samples: slices along every axis, or the cube as it is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosmogan.fields.layout import ORIGIN_DTYPE


def cut_box(
    density: NDArray[np.float32], dimension: int, thickness: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.void]]:
    """Cut a box into samples.

    Parameters
    ----------
    density : (grid, grid, grid) float32 array
        Density over the mean of the box.
    dimension : {2, 3}
        Slices or the cube.
    thickness : int
        Of a slice [cells]; divides the grid.

    Returns
    -------
    samples : (3 slabs, grid, grid) or (1, grid, grid, grid) float32 array
        Slices are means over `thickness` cells, by axis, then slab.
    origin : (n,) structured array
        ``axis`` and ``slab`` filled in, -1 for a cube.
    """
    if dimension == 3:
        return density[None], origins(np.array([-1]), np.array([-1]))
    slabs = np.arange(len(density) // thickness)
    samples = [cut_slabs(density, axis, thickness, slabs.tolist()) for axis in range(3)]
    return np.concatenate(samples), origins(np.repeat(np.arange(3), len(slabs)), np.tile(slabs, 3))


def cut_slabs(
    field: NDArray[np.float32], axis: int, thickness: int, slabs: Sequence[int]
) -> NDArray[np.float32]:
    """Return the means of a box over slabs across an axis, (len(slabs), grid, grid), summed in float64."""
    turned = np.moveaxis(field, axis, 0)
    blocks = turned.reshape(-1, thickness, *turned.shape[1:])[list(slabs)]
    means: NDArray[np.float64] = blocks.mean(axis=1, dtype=np.float64)
    return means.astype(np.float32)


def origins(axis: NDArray[np.int64], slab: NDArray[np.int64]) -> NDArray[np.void]:
    """Return origins (n,) of samples cut at these axes and slabs, the rest zero."""
    made = np.zeros(len(axis), ORIGIN_DTYPE)
    made["axis"], made["slab"] = axis, slab
    return made
