"""Periodic grids: mass assignment, wavenumbers, windows, nested counter-based white noise.

The value of cell ``i`` belongs to its centre ``(i + 1/2) cell``, and a cell covers ``[i, i + 1)
cell``: a particle at a centre gives all its CIC mass to that cell. Modes are in the layout of
``scipy.fft.rfftn``, unnormalised forward. All randomness is Philox4x32-10 (Salmon et al. 2011,
SC'11) keyed by the seed and counted by wavevector or cell, so that a number depends on where it
stands and on nothing else: neither on the grid, nor on the block asked for, nor on threads.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import RecipeError

ORDERS = {"ngp": 1, "cic": 2, "tsc": 3, "pcs": 4}
"""Mass-assignment windows and the cells they reach along an axis."""

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Complex = TypeVar("_Complex", bound=np.complexfloating[Any, Any])


def compiled(function: _Function) -> _Function:
    """Compile `function` with numba: cached on disk, outside the interpreter lock, exact floats."""
    result: _Function = njit(cache=True, nogil=True)(function)
    return result


def paint(
    positions: ArrayLike,
    grid: int | tuple[int, ...],
    box_size: float | tuple[float, ...],
    window: str = "cic",
    weights: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Assign particles to a periodic grid.

    Parameters
    ----------
    positions : (n, d) float array
        Comoving positions, wrapped into the box [Mpc/h]; d is 1, 2 or 3.
    grid : int or tuple of d int
        Cells along each axis.
    box_size : float or tuple of d float
        Sides of the box [Mpc/h].
    window : {"ngp", "cic", "tsc", "pcs"}
        Mass assignment, of order 1 to 4 (Hockney & Eastwood 1981; Jing 2005).
    weights : (n,) float array, optional
        Masses; equal by default.

    Returns
    -------
    (grid,) * d float32 array
        Density over its mean, 1 + delta; summed in float64.

    Raises
    ------
    RecipeError
        If the window is unknown, shapes do not fit, or there is nothing to paint.
    """
    points = _points(positions)
    cells, scale = _geometry(grid, box_size, points.shape[1])
    given = np.ones(()) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights is not None and given.shape != points.shape[:1]:
        raise RecipeError(f"weights: {given.shape} for {len(points)} positions; give one for each")
    mass = np.broadcast_to(given, len(points))
    if not mass.sum() > 0:
        raise RecipeError("positions: no mass to paint; give particles of positive total weight")
    mesh = np.zeros(_lift(cells, 1), dtype=np.float64)
    _DEPOSIT[order_of(window)](points, mass, scale, mesh)
    return np.asarray(mesh * (mesh.size / mass.sum()), dtype=np.float32).reshape(cells)


def interpolate(
    field: NDArray[Any],
    positions: ArrayLike,
    box_size: float | tuple[float, ...],
    window: str = "cic",
) -> Float64:
    """Read a periodic field at positions: the adjoint of `paint`.

    For every field ``f``, positions and weights ``w``, ``sum(w * interpolate(f))`` equals
    ``sum(f * paint)`` times the total weight over the number of cells.

    Parameters
    ----------
    field : (grid,) * d array
        Values at the centres of cells; sides may differ.
    positions, box_size, window
        As for `paint`.

    Returns
    -------
    (n,) float64 array
    """
    points = _points(positions)
    cells, scale = _geometry(field.shape, box_size, points.shape[1])
    mesh = np.ascontiguousarray(field, dtype=np.float64).reshape(_lift(cells, 1))
    values = np.empty(len(points), dtype=np.float64)
    _GATHER[order_of(window)](points, mesh, scale, values)
    return values


def frequencies(grid: int | Sequence[int], dimension: int = 3) -> tuple[Float64, ...]:
    """Return the integer wavevectors of an rfftn of `grid` cells, one broadcastable array an axis."""
    cells = (grid,) * dimension if isinstance(grid, int) else tuple(grid)
    last = len(cells) - 1
    axes = []
    for axis, n in enumerate(cells):
        values = np.arange(n // 2 + 1) if axis == last else np.fft.fftfreq(n, 1 / n)
        axes.append(
            values.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(len(cells))])
        )
    return tuple(axes)


def wavenumbers(
    grid: int | Sequence[int], box_size: float | Sequence[float], dimension: int = 3
) -> tuple[Float64, ...]:
    """Return the components of k [h/Mpc] of an rfftn, one broadcastable array an axis."""
    axes = frequencies(grid, dimension)
    sides = np.broadcast_to(np.asarray(box_size, dtype=np.float64), len(axes))
    return tuple(n * (2 * np.pi / side) for n, side in zip(axes, sides, strict=True))


def window_transform(
    k: Sequence[Float64], cell_size: float | Sequence[float], window: str = "cic"
) -> Float64:
    """Return the Fourier transform of a mass-assignment window, prod sinc^p (Jing 2005, eq. 18).

    `k` holds the broadcastable components of the wavevector [h/Mpc], `cell_size` is one number or
    one an axis [Mpc/h], and p = 1, 2, 3, 4 for ngp, cic, tsc, pcs.
    """
    sizes = np.broadcast_to(np.asarray(cell_size, dtype=np.float64), len(k))
    product = np.ones(())
    for component, size in zip(k, sizes, strict=True):
        product = product * np.sinc(component * size / (2 * np.pi))
    return np.asarray(product ** order_of(window))


def at_cell_centres(modes: NDArray[_Complex], grid: int) -> NDArray[_Complex]:
    """Return `modes` with the phases that make irfftn give the field at the centres of cells.

    Without them it gives the field at the lower corners. Needed where fields of the same modes are
    compared between grids, or with particles.
    """
    result = modes.copy()
    for n in frequencies(grid, modes.ndim):
        result *= np.exp(1j * np.pi / grid * n).astype(modes.dtype)
    return result


def white_noise_modes(seed: int, grid: int, dimension: int = 3) -> NDArray[np.complex64]:
    """Return the Fourier modes of Gaussian white noise, nested in the grid.

    The mode of integer wavevector ``n`` over ``grid^(d/2)`` depends on ``(seed, n)`` alone: a finer
    grid adds modes and changes none. Nyquist planes are zero, since they cannot be nested.

    Parameters
    ----------
    seed : int
        In [0, 2^63).
    grid : int
        Cells per side.
    dimension : {1, 2, 3}
        Number of axes.

    Returns
    -------
    (grid, ..., grid // 2 + 1) complex64 array
        Modes in the layout of rfftn; irfftn gives cells of unit variance but for the missing
        Nyquist planes.
    """
    shape = (grid,) * (dimension - 1) + (grid // 2 + 1,)
    modes = np.empty(_lift(shape, 1), dtype=np.complex64)
    _fill_modes(*_key(seed), grid, dimension, float(grid) ** (dimension / 2), modes)
    return modes.reshape(shape)


def white_noise_cells(
    seed: int, shape: Sequence[int], origin: Sequence[int] | None = None, stream: int = 0
) -> NDArray[np.float32]:
    """Return standard normal numbers that depend on (seed, stream, global cell) alone.

    Parameters
    ----------
    seed : int
        In [0, 2^63).
    shape : sequence of d int
        Cells of the block, d = 1, 2 or 3.
    origin : sequence of d int, optional
        Global index of its first cell, in [0, 2^32); periodicity is the caller's.
    stream : int
        Independent fields of the same seed, in [0, 2^29).

    Returns
    -------
    float32 array
        Of the shape `shape`.
    """
    cells = np.empty(_lift(tuple(shape), 1), dtype=np.float32)
    first = np.array(_lift(tuple(origin or (0,) * len(shape)), 0), dtype=np.int64)
    _fill_cells(*_key(seed), first, 2**31 + 4 * stream + len(shape), cells)
    return cells.reshape(tuple(shape))


def order_of(window: str) -> int:
    """Return how many cells a mass-assignment window reaches along an axis; refuse unknown ones."""
    try:
        return ORDERS[window]
    except KeyError:
        raise RecipeError(
            f"window = {window!r}: unknown mass assignment; use one of {', '.join(ORDERS)}"
        ) from None


def _points(positions: ArrayLike) -> NDArray[Any]:
    points = np.ascontiguousarray(positions)
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3):
        raise RecipeError(f"positions of shape {points.shape}: must be (n, 1), (n, 2) or (n, 3)")
    if not np.isfinite(points).all():
        raise RecipeError("positions: some are NaN or infinite; leave those particles out")
    return points if points.dtype in (np.float32, np.float64) else points.astype(np.float64)


def _geometry(
    grid: int | tuple[int, ...], box_size: float | tuple[float, ...], dimension: int
) -> tuple[tuple[int, ...], Float64]:
    cells = (grid,) * dimension if isinstance(grid, (int, np.integer)) else tuple(grid)
    sides = np.broadcast_to(np.asarray(box_size, dtype=np.float64), dimension)
    if len(cells) != dimension:
        raise RecipeError(
            f"grid {cells} for positions in {dimension} dimensions; give one number an axis"
        )
    return cells, np.asarray(cells) / sides


def _lift(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
    return (fill,) * (3 - len(values)) + values


def _key(seed: int) -> tuple[int, int]:
    if not 0 <= seed < 2**63:
        raise RecipeError(f"seed = {seed}: must lie in [0, 2^63); choose another")
    return seed & 0xFFFFFFFF, seed >> 32


@compiled
def _weigh(order: int, u: float, n: int, cells: Int64, weights: Float64) -> None:
    """Write the cells that a particle at u cells reaches along an axis of n, and their weights."""
    first = int(np.floor(u + 0.5 * (order % 2)))
    d = u - first
    first -= (order - 1) // 2
    if order == 1:
        weights[0] = 1.0
    elif order == 2:
        weights[0], weights[1] = 1.0 - d, d
    elif order == 3:
        weights[0] = 0.5 * (0.5 - d) ** 2
        weights[1] = 0.75 - d * d
        weights[2] = 0.5 * (0.5 + d) ** 2
    else:
        e = 1.0 - d
        weights[0] = e * e * e / 6
        weights[1] = (4 - 6 * d * d + 3 * d * d * d) / 6
        weights[2] = (4 - 6 * e * e + 3 * e * e * e) / 6
        weights[3] = d * d * d / 6
    for j in range(order):
        cell = first + j
        while cell < 0:
            cell += n
        while cell >= n:
            cell -= n
        cells[j] = cell


@compiled
def _locate(
    order: int,
    point: NDArray[Any],
    scale: Float64,
    shape: tuple[int, ...],
    cell: Int64,
    weight: Float64,
) -> None:
    """Find the cells and weights of one particle; missing axes have one."""
    dimension = point.size
    for axis in range(dimension):
        row = 3 - dimension + axis
        n = shape[row]
        u = np.float64(point[axis]) * scale[axis]
        u -= np.floor(u / n) * n + 0.5
        _weigh(order, u, n, cell[row], weight[row])


def _deposit_kernel(order: int) -> Callable[..., None]:
    def deposit(positions: NDArray[Any], masses: Float64, scale: Float64, mesh: Float64) -> None:
        cell = np.zeros((3, 4), dtype=np.int64)
        weight = np.zeros((3, 4), dtype=np.float64)
        weight[:, 0] = 1.0
        for p in range(positions.shape[0]):
            _locate(order, positions[p], scale, mesh.shape, cell, weight)
            for i in range(order):
                wx = masses[p] * weight[0, i]
                for j in range(order):
                    wxy = wx * weight[1, j]
                    for k in range(order):
                        mesh[cell[0, i], cell[1, j], cell[2, k]] += wxy * weight[2, k]

    return compiled(deposit)


def _gather_kernel(order: int) -> Callable[..., None]:
    def gather(positions: NDArray[Any], mesh: Float64, scale: Float64, values: Float64) -> None:
        cell = np.zeros((3, 4), dtype=np.int64)
        weight = np.zeros((3, 4), dtype=np.float64)
        weight[:, 0] = 1.0
        for p in range(positions.shape[0]):
            _locate(order, positions[p], scale, mesh.shape, cell, weight)
            total = 0.0
            for i in range(order):
                for j in range(order):
                    wxy = weight[0, i] * weight[1, j]
                    for k in range(order):
                        total += wxy * weight[2, k] * mesh[cell[0, i], cell[1, j], cell[2, k]]
            values[p] = total

    return compiled(gather)


# They close over a number and nothing else: numba finds no kernel on disk again that closes over another.
_DEPOSIT = {order: _deposit_kernel(order) for order in ORDERS.values()}
_GATHER = {order: _gather_kernel(order) for order in ORDERS.values()}


@compiled
def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[np.uint64, ...]:
    """Return the four 32-bit words of Philox4x32-10 at a counter, under a key."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    w, x = np.uint64(c0) & mask, np.uint64(c1) & mask
    y, z = np.uint64(c2) & mask, np.uint64(c3) & mask
    a, b = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        low, high = np.uint64(0xD2511F53) * w, np.uint64(0xCD9E8D57) * y
        w, x, y, z = (high >> half) ^ x ^ a, high & mask, (low >> half) ^ z ^ b, low & mask
        a, b = (a + np.uint64(0x9E3779B9)) & mask, (b + np.uint64(0xBB67AE85)) & mask
    return w, x, y, z


@compiled
def _normals(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[float, float]:
    """Return two standard normals (Box & Muller 1958) from 53 bits each."""
    a, b, c, d = philox(c0, c1, c2, c3, k0, k1)
    u = ((a >> np.uint64(5)) * 67108864.0 + (b >> np.uint64(6)) + 0.5) / 9007199254740992.0
    v = ((c >> np.uint64(5)) * 67108864.0 + (d >> np.uint64(6)) + 0.5) / 9007199254740992.0
    radius = np.sqrt(-2.0 * np.log(u))
    return radius * np.cos(2.0 * np.pi * v), radius * np.sin(2.0 * np.pi * v)


@compiled
def _fill_modes(
    k0: int, k1: int, grid: int, dimension: int, norm: float, modes: NDArray[np.complex64]
) -> None:
    nyquist = grid // 2 if grid % 2 == 0 else grid
    for i in range(modes.shape[0]):
        x = i - grid if 2 * i > grid else i
        for j in range(modes.shape[1]):
            y = j - grid if 2 * j > grid else j
            for z in range(modes.shape[2]):
                # Of +n and -n, which both stand in the plane z = 0, one decides for both.
                sign = -1 if z == 0 and (x < 0 or (x == 0 and y < 0)) else 1
                a, b = _normals(sign * x, sign * y, z, dimension, k0, k1)
                if max(abs(x), abs(y), z) == nyquist:
                    modes[i, j, z] = 0.0
                elif x == 0 and y == 0 and z == 0:
                    modes[i, j, z] = norm * a
                else:
                    modes[i, j, z] = norm * np.sqrt(0.5) * (a + 1j * sign * b)


@compiled
def _fill_cells(k0: int, k1: int, first: Int64, tag: int, cells: NDArray[np.float32]) -> None:
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            for k in range(cells.shape[2]):
                z = first[2] + k
                if k == 0 or z % 2 == 0:
                    a, b = _normals(first[0] + i, first[1] + j, z // 2, tag, k0, k1)
                cells[i, j, k] = b if z % 2 else a
