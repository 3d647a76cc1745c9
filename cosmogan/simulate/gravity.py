"""Forces of the particle-mesh code: deposit, Poisson, gather, and the kernels that move particles.

Lengths are cells; grid points of the mesh stand at whole numbers. Deposit and gather share their
window and the gradient is odd, so momentum is conserved. Chosen by measurement:

- On a mesh no finer than the particles, TSC, and the lattice starts on grid points. CIC is linear
  within a cell: it loses a third of the second-order displacements as long as particles stay
  within theirs, and a plane wave ends 4 % short instead of 0.7 %.
- On a finer mesh CIC, whose cells are soon crossed, and the lattice starts between grid points: on
  them the slope of CIC jumps.
- The gradient is a difference of fourth order on the potential. The spectral gradient jumps at the
  Nyquist wavenumber, which on a finer mesh spoils growth by 4 to 10 % on every scale.
"""

from concurrent.futures import Executor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmogan.mesh import compiled, wavenumbers, window_transform

Float32 = NDArray[np.float32]
_Value = TypeVar("_Value")


class Gravity:
    """Positions to accelerations on the mesh; keeps its arrays from step to step.

    Parameters
    ----------
    mesh, particles : int
        Cells and particles per side.
    threads : int
        Workers of the Fourier transforms; they change no bit.
    """

    def __init__(self, mesh: int, particles: int, threads: int = 1) -> None:
        self._mass = np.float32((mesh / particles) ** 3)
        self._order = window_order(mesh, particles)
        self._kernel = poisson_kernel(mesh, particles)
        self._density = np.empty((mesh,) * 3, dtype=np.float32)
        self._force = np.empty((mesh, mesh, mesh, 3), dtype=np.float32)
        self._threads = threads

    def __call__(self, positions: Float32) -> Float32:
        """Return -grad(phi), laplace(phi) = delta, as a (mesh, mesh, mesh, 3) view of a buffer."""
        self._density.fill(0)
        deposit(positions, self._mass, self._density, self._order)
        modes = scipy.fft.rfftn(self._density, workers=self._threads)
        modes *= self._kernel
        potential = scipy.fft.irfftn(
            modes, s=self._density.shape, workers=self._threads, overwrite_x=True
        )
        downhill(potential, self._force)
        return self._force


class Mover:
    """Kick and drift of all particles in one pass; each is alone, so threads change no bit.

    Parameters
    ----------
    positions, velocities : (n, 3) float32 array
        Changed in place [cells].
    order : {2, 3}
        CIC or TSC.
    pool : Executor
        Runs the pieces.
    threads : int
        Number of pieces.
    """

    def __init__(
        self, positions: Float32, velocities: Float32, order: int, pool: Executor, threads: int
    ) -> None:
        cuts = np.linspace(0, len(positions), threads + 1).astype(int).tolist()
        self._pieces = [(positions[i:j], velocities[i:j]) for i, j in pairwise(cuts)]
        self._order = order
        self._pool = pool

    def __call__(self, force: Float32, keep: float, push: float, drift: float) -> None:
        """Set ``v = keep v + push force(x)``, then ``x += drift v``."""
        k, p, d = np.float32(keep), np.float32(push), np.float32(drift)
        moves = [
            self._pool.submit(kick_and_drift, x, v, force, k, p, d, self._order)
            for x, v in self._pieces
        ]
        for move in moves:
            move.result()


def window_order(mesh: int, particles: int) -> int:
    """Return the order of the window: 3, TSC, on a mesh no finer than the particles, else 2, CIC."""
    return 3 if mesh <= particles else 2


def lattice_offset(mesh: int, particles: int) -> float:
    """Return where the corner of the box stands on the mesh, so that the lattice starts right.

    The first particle, half its spacing inside, is then at 0 for TSC and at 1/2 for CIC.
    """
    return -0.5 if mesh <= particles else 0.5 - 0.5 * mesh / particles


def poisson_kernel(mesh: int, particles: int) -> Float32:
    """Return the density-to-potential factors of the modes, (mesh, mesh, mesh // 2 + 1).

    -1/k^2 with two corrections, each of which brings P(k) closer to that of eight times the
    particles on a finer mesh. The windows of deposit and gather are divided out where they are TSC;
    on a finer mesh that would only sharpen the lattice. And a lattice pulls a small displacement of
    wavevector k by less than a fluid: by (1 - q4 / 24) for TSC, (1 - (k^2 - q4) / 12) on a finer
    mesh, with q4 = sum k_i^4 / k^2 and k in units of its spacing (about 1 % at 1/8 of its Nyquist
    wavenumber, by expansion of the sums over the lattice; compare Marcos et al. 2006, Phys. Rev. D
    73, 103507). The inverse is applied up to that wavenumber.
    """
    k = wavenumbers(mesh, float(mesh))
    square = np.asarray(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    square[0, 0, 0] = 1
    fourth = (k[0] ** 4 + k[1] ** 4 + k[2] ** 4) / square
    tsc = window_order(mesh, particles) == 3
    lag = fourth / 24 if tsc else (square - fourth) / 12
    spacing = (mesh / particles) ** 2
    kernel = -(1 + spacing * lag * np.exp(-square * spacing / np.pi**2)) / square
    if tsc:
        kernel /= window_transform(k, 1.0, "tsc") ** 2
    kernel[0, 0, 0] = 0
    return kernel.astype(np.float32)


@compiled
def wrap(positions: Float32, side: float) -> None:
    """Bring positions into [0, side), in place."""
    size = np.float32(side)
    flat = positions.ravel()
    for i in range(flat.size):
        x = flat[i] - size * np.floor(flat[i] / size)
        # A small negative x rounds to the far side.
        flat[i] = x if x < size else np.float32(0)


@compiled
def _reach(
    x: np.float32, n: int, order: int
) -> tuple[int, int, int, np.float32, np.float32, np.float32]:
    """Return three grid points and their weights; for CIC the third has none."""
    half = np.float32(0.5)
    if order == 3:
        i = int(x + half)
        d = x - np.float32(i)
        w0, w1, w2 = half * (half - d) ** 2, np.float32(0.75) - d * d, half * (half + d) ** 2
        i -= 1
    else:
        i = int(x)
        d = x - np.float32(i)
        w0, w1, w2 = np.float32(1) - d, d, np.float32(0)
    i0 = i if i >= 0 else i + n
    i1 = i + 1 if i + 1 < n else i + 1 - n
    i2 = i + 2 if i + 2 < n else i + 2 - n
    return i0, i1, i2, w0, w1, w2


@compiled
def _pick(which: int, first: _Value, second: _Value, third: _Value) -> _Value:
    return first if which == 0 else (second if which == 1 else third)


@compiled
def deposit(positions: Float32, mass: np.float32, density: Float32, order: int) -> None:
    """Add particles of equal mass to the mesh, by CIC (`order` 2) or TSC (3)."""
    n = density.shape[0]
    for p in range(positions.shape[0]):
        i0, i1, i2, x0, x1, x2 = _reach(positions[p, 0], n, order)
        j0, j1, j2, y0, y1, y2 = _reach(positions[p, 1], n, order)
        k0, k1, k2, z0, z1, z2 = _reach(positions[p, 2], n, order)
        for a in range(order):
            plane = density[_pick(a, i0, i1, i2)]
            wx = mass * _pick(a, x0, x1, x2)
            for b in range(order):
                row = plane[_pick(b, j0, j1, j2)]
                w = wx * _pick(b, y0, y1, y2)
                row[k0] += w * z0
                row[k1] += w * z1
                row[k2] += w * z2


@compiled
def _fall(
    ahead2: np.float32, ahead: np.float32, behind: np.float32, behind2: np.float32
) -> np.float32:
    return np.float32(2 / 3) * (behind - ahead) - np.float32(1 / 12) * (behind2 - ahead2)


@compiled
def downhill(potential: Float32, force: Float32) -> None:
    """Fill `force`, (n, n, n, 3), with -grad(potential), to fourth order."""
    n = potential.shape[0]
    for i in range(n):
        a, b, c, d = (i + 2) % n, (i + 1) % n, i - 1, i - 2  # negative indices wrap by themselves
        for j in range(n):
            e, f, g, h = (j + 2) % n, (j + 1) % n, j - 1, j - 2
            for k in range(n):
                force[i, j, k, 0] = _fall(
                    potential[a, j, k], potential[b, j, k], potential[c, j, k], potential[d, j, k]
                )
                force[i, j, k, 1] = _fall(
                    potential[i, e, k], potential[i, f, k], potential[i, g, k], potential[i, h, k]
                )
            row = potential[i, j]
            for k in range(2, n - 2):
                force[i, j, k, 2] = _fall(row[k + 2], row[k + 1], row[k - 1], row[k - 2])
            for k in (-2, -1, 0, 1):
                force[i, j, k, 2] = _fall(row[k + 2], row[k + 1], row[k - 1], row[k - 2])


@compiled
def kick_and_drift(
    positions: Float32,
    velocities: Float32,
    force: Float32,
    keep: np.float32,
    push: np.float32,
    drift: np.float32,
    order: int,
) -> None:
    """Set ``v = keep v + push force(x)``, then ``x += drift v``."""
    n = force.shape[0]
    size = np.float32(n)
    for p in range(positions.shape[0]):
        i0, i1, i2, x0, x1, x2 = _reach(positions[p, 0], n, order)
        j0, j1, j2, y0, y1, y2 = _reach(positions[p, 1], n, order)
        k0, k1, k2, z0, z1, z2 = _reach(positions[p, 2], n, order)
        fx = fy = fz = np.float32(0)
        for a in range(order):
            plane, wx = force[_pick(a, i0, i1, i2)], _pick(a, x0, x1, x2)
            for b in range(order):
                row, w = plane[_pick(b, j0, j1, j2)], wx * _pick(b, y0, y1, y2)
                w0, w1, w2 = w * z0, w * z1, w * z2
                fx += w0 * row[k0, 0] + w1 * row[k1, 0] + w2 * row[k2, 0]
                fy += w0 * row[k0, 1] + w1 * row[k1, 1] + w2 * row[k2, 1]
                fz += w0 * row[k0, 2] + w1 * row[k1, 2] + w2 * row[k2, 2]
        pull = (fx, fy, fz)
        for axis in range(3):
            velocity = keep * velocities[p, axis] + push * pull[axis]
            velocities[p, axis] = velocity
            moved = positions[p, axis] + drift * velocity
            moved -= size * np.floor(moved / size)
            positions[p, axis] = moved if moved < size else np.float32(0)
