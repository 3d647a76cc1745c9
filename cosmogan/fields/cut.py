"""From a box to samples: slices along every axis, or the cube as it is."""

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
    slabs = len(density) // thickness
    samples = np.concatenate([_slabs(density, axis, slabs) for axis in range(3)])
    return samples, origins(np.repeat(np.arange(3), slabs), np.tile(np.arange(slabs), 3))


def origins(axis: NDArray[np.int64], slab: NDArray[np.int64]) -> NDArray[np.void]:
    """Return origins (n,) of samples cut at these axes and slabs, the rest zero."""
    made = np.zeros(len(axis), ORIGIN_DTYPE)
    made["axis"], made["slab"] = axis, slab
    return made


def _slabs(density: NDArray[np.float32], axis: int, count: int) -> NDArray[np.float32]:
    """Return the means over slabs across `axis`, (count, grid, grid), summed in float64."""
    turned = np.moveaxis(density, axis, 0)
    blocks = turned.reshape(count, -1, *turned.shape[1:])
    means: NDArray[np.float64] = blocks.mean(axis=1, dtype=np.float64)
    return means.astype(np.float32)
