r"""The quadrupole of the power of single fields: whether they look brushed along a line.

Matter has no preferred direction, but the modes of a field are finite in number, so the power of a field always has some
quadrupole,

    Q_ij = \sum_k P(k) (k_i k_j / k^2 - \delta_ij / d) / \sum_k P(k),

in each shell. Its square, in units of what M modes of equal power scatter by in a Gaussian field if they are many, (1 - 1/d) 2 / M, is
M / (M + 2) for such fields (0.96 in the first default shell of a slice), more where structures couple modes, and much more where whoever made the field prefers a direction: also one that is
drawn anew for every field, which no spectrum knows and no average over fields.
"""

import numba
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.power import Spectra
from cosmogan.statistics.shells import Edges, Modes, shells, stack, wide_edges

DEFAULT_WIDTH = 3
"""Width of the default shells [fundamental]."""
_CHUNK_CELLS = 1 << 19


def quadrupoles(fields: ArrayLike, box_size: float, edges: Edges | None = None) -> Spectra:
    """Measure the squared quadrupole of the power of many periodic fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) array_like
        Overdensity or density over mean, one field on each row of the first axis.
    box_size : float
        Side L of the box [Mpc/h].
    edges : (b + 1,) array_like, optional
        Edges of the shells, edges[i] <= |n| < edges[i + 1] [fundamental 2 pi / L], up to the Nyquist mode N / 2.
        Default: 1, 4, 7, ...

    Returns
    -------
    k : (b,) ndarray
        Mean |k| of the modes of a shell [h/Mpc].
    squared : (n, b) ndarray
        sum_ij Q_ij^2 over its mean for a Gaussian field of many modes; zero where a field has no power.
    modes : (b,) ndarray of int
        How many, Hermitian partners included.

    Raises
    ------
    LayoutError
        If a field is not square or cubic, or not finite.
    RecipeError
        If the box size or the edges make no sense, or reach beyond the Nyquist mode, whose direction has no sign.
    """
    stacked = stack(fields, box_size)
    grid, dimension = stacked.shape[-1], stacked.ndim - 1
    found = shells(grid, dimension, default_edges(grid) if edges is None else edges)
    if found.edges[-1] > grid / 2:
        raise RecipeError(
            f"edges reach to {found.edges[-1]:g}, beyond the Nyquist mode {grid / 2:g}; end there"
        )
    tensor = _tensors(stacked, found.of_square, len(found.modes))
    if not np.isfinite(tensor).all():
        bad = int(np.argmin(np.isfinite(tensor).all(axis=(1, 2, 3))))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    power = np.trace(tensor, axis1=2, axis2=3)[..., None, None]
    power[power <= _rounding(stacked) * found.modes[:, None, None]] = 0
    isotropic = np.diag([0.0, 1.0, 1.0] if dimension == 2 else [1.0, 1.0, 1.0]) / dimension
    away = np.divide(tensor, power, out=np.zeros_like(tensor), where=power > 0)
    squared = np.where(power > 0, (away - isotropic) ** 2, 0.0).sum(axis=(2, 3))
    gaussian = (1 - 1 / dimension) * 2 / found.modes
    return found.length * (2 * np.pi / box_size), squared / gaussian, found.modes.copy()


def default_edges(grid: int) -> NDArray[np.float64]:
    """Return 1, 4, 7, ... up to grid / 2, or one shell from 1 on a grid below 8 [fundamental]."""
    return wide_edges(grid // 2, DEFAULT_WIDTH)


def _tensors(
    fields: NDArray[np.float32] | NDArray[np.float64], of_square: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Sum |FFT|^2 n n / n^2 over the modes of each shell of each field: (n, b, 3, 3)."""
    grid = fields.shape[-1]
    out = np.zeros((len(fields), count + 1, 3, 3))
    if fields.ndim == 4:
        across = np.rint(np.fft.fftfreq(grid) * grid).astype(np.int64)
        for number, cube in enumerate(fields):
            _sweep(scipy.fft.rfftn(cube), across, of_square, out[number])
        return _whole(out)
    step = max(1, _CHUNK_CELLS // fields[0].size)
    for start in range(0, len(fields), step):
        modes = scipy.fft.rfft2(fields[start : start + step])
        for number, plane in enumerate(modes, start):
            _sweep(plane[None], np.zeros(1, np.int64), of_square, out[number])
    return _whole(out)


def _whole(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill symmetric tensors in from their upper halves, and drop the last shell, of the modes in none."""
    lower = np.triu(upper, 1).swapaxes(-1, -2)
    whole: NDArray[np.float64] = (upper + lower)[:, :-1]
    return whole


def _rounding(fields: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the power of a mode that is nothing but rounding, (n, 1, 1, 1)."""
    flat = fields.reshape(len(fields), -1)
    squares = np.einsum("nc,nc->n", flat, flat, dtype=np.float64)  # without a copy in float64
    limit: NDArray[np.float64] = (4 * np.finfo(fields.dtype).eps) ** 2 * squares
    return limit[:, None, None, None]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sweep(
    modes: Modes,
    across: NDArray[np.int64],
    of_square: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Add to the sums of each shell, plane by plane (rows, half of the columns), plane p at n_x = across[p]."""
    planes, rows, columns = modes.shape
    n = np.empty(3)
    for p in range(planes):
        n[0] = across[p]
        for y in range(rows):
            n[1] = y if 2 * y <= rows else y - rows
            for z in range(columns):
                n[2] = z
                square = int(n[0] ** 2 + n[1] ** 2 + n[2] ** 2)
                partners = 1.0 if z == 0 or 2 * z == rows else 2.0
                real = np.float64(modes[p, y, z].real)
                imaginary = np.float64(modes[p, y, z].imag)
                power = partners * (real * real + imaginary * imaginary) / max(square, 1)
                shell = of_square[square]
                if shell + 1 == len(out):
                    continue
                for i in range(3):
                    for j in range(i, 3):
                        out[shell, i, j] += power * n[i] * n[j]
