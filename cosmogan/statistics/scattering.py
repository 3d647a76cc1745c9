"""The wavelet scattering transform of periodic slices: how strong each scale is, and how lumpy.

Wavelets psi of J scales and L directions pick out waves; the modulus forgets their phases and keeps
their envelope; then once more for the envelope (Mallat 2012, Comm. Pure Appl. Math. 65, 1331)::

    S1(j, l)           = < |I * psi(j, l)| >
    S2(j1, l1, j2, l2) = < ||I * psi(j1, l1)| * psi(j2, l2)| >        j2 > j1

< > is the mean over the cells. Averaged over directions, they are s1(j) and s2(j1, j2) of Cheng et
al. 2020 (arXiv:2006.08561): s1 follows the root of the power, s2 says how far the structure of scale
j1 comes in lumps of scale j2, which P(k) cannot see. Both are linear in the amplitude, their ratio,
the sparsity (Cheng & Ménard 2021, arXiv:2112.01288), is free of it.

A wavelet is a Morlet, a wave under a Gaussian, with the parameters of Kymatio (Andreux et al. 2020,
JMLR 21, 60). At scale j its wavenumber is xi = 3 pi / 4 / 2^j radians a cell, a wave of 8/3 2^j cells;
the Gaussian is sigma = 0.8 2^j cells wide along the wave and sigma L / 4 across; the directions are
l pi / L, half a turn, for the field is real. Its transform is, with k split likewise::

    psi(k) = G(k_along - xi, k_across) - b G(k_along, k_across)
    G(a, c) = exp(-sigma^2 (a^2 + (c L / 4)^2) / 2)

summed over all aliases k + 2 pi m, so that psi is the Morlet sampled on the cells and wrapped around
the box; b makes the zero mode vanish. A wave of amplitude A at the peak of psi has S1 = A / 2, nearly.

For j > 2 a convolution is made on N / 2^(j - 2) points a side, which hold all of psi but 1e-12, and
its modulus is averaged over these: s1 and s2 of simulated slices of 64^2 change by 2e-4 at most, at
random, and by 5e-6 in the mean (measured; an octave beyond the default, white noise by 5e-4).
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.shells import Fields, Modes, stack

Floats = NDArray[np.float64]
Coefficients = tuple[Floats, Floats, Floats]

_WAVENUMBER = 0.75 * np.pi  # of the finest wavelet, which reaches beyond Nyquist [radians a cell]
_WIDTH = 0.8  # of its Gaussian along the wave [cells]
_ANGLES = range(3, 65)  # fewer leave directions out, more see them twice


@dataclass(frozen=True, eq=False)
class Scattering:
    """Reduced scattering coefficients of first and second order."""

    k: NDArray[np.float64]
    """(J,) wavenumbers of the wavelets, the finest first [h/Mpc]."""
    first: NDArray[np.float64]
    """(J,) s1(j) [unit of the field]."""
    second: NDArray[np.float64]
    """(J, J) s2(j1, j2) [unit of the field]; 0 where j2 <= j1."""

    @property
    def sparsity(self) -> NDArray[np.float64]:
        """(J, J) s2(j1, j2) / s1(j1) [1], larger for rarer structures; 0 where j2 <= j1 or s1 is 0."""
        first = np.broadcast_to(self.first[:, None], self.second.shape)
        return np.divide(self.second, first, out=np.zeros_like(self.second), where=first > 0)


def scattering(
    field: ArrayLike, box_size: float, *, scales: int | None = None, angles: int = 4
) -> Scattering:
    """Measure the scattering coefficients of one periodic slice.

    Parameters
    ----------
    field : (N, N) array_like
        Any real field, such as the overdensity or its logarithm; its mean does not enter.
    box_size : float
        Side L of the box [Mpc/h].
    scales : int, optional
        J, as many octaves; the longest wave must fit the box. Default: floor(log2 N) - 2.
    angles : int
        Directions, 3 to 64. If even, turning a slice by 90 degrees changes nothing.

    Returns
    -------
    Scattering
        Averaged over directions.

    Raises
    ------
    LayoutError
        If the field is not finite, not square (a cube would need a thousand transforms), or below
        8 cells a side.
    RecipeError
        If the box size, `scales` or `angles` make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> wave = 0.1 * np.cos(2 * np.pi * 12 * np.arange(32) / 32)  # 3/4 pi radians a cell
    >>> found = scattering(np.tile(wave, (32, 1)), box_size=100.0)
    >>> found.first.round(4)  # nearly 0.1 / 2 in one direction of four
    array([0.0208, 0.0026, 0.    ])
    """
    k, first, second = scatterings(np.asarray(field)[None], box_size, scales=scales, angles=angles)
    return Scattering(k, first[0], second[0])


def scatterings(
    fields: ArrayLike, box_size: float, *, scales: int | None = None, angles: int = 4
) -> Coefficients:
    """Measure the scattering coefficients of many periodic slices.

    Parameters
    ----------
    fields : (n, N, N) array_like
        One field on each row of the first axis.
    box_size, scales, angles
        As in `scattering`.

    Returns
    -------
    k : (J,) ndarray
        Wavenumbers of the wavelets, the finest first [h/Mpc].
    first : (n, J) ndarray
        s1(j), one row a field [unit of the field].
    second : (n, J, J) ndarray
        s2(j1, j2) [unit of the field]; 0 where j2 <= j1.

    Raises
    ------
    LayoutError, RecipeError
        As in `scattering`.
    """
    stacked = _slices(fields, box_size)
    grid = stacked.shape[-1]
    number = default_scales(grid) if scales is None else scales
    bank: Sequence[Fields] = morlets(grid, number, angles)
    if stacked.dtype == np.float32:
        bank = [wavelets.astype(np.float32) for wavelets in bank]
    first = np.empty((len(stacked), len(bank)))
    second = np.zeros((len(stacked), len(bank), len(bank)))
    for field, one, two in zip(stacked, first, second, strict=True):
        _scatter(field, bank, one, two)
    k = _WAVENUMBER / 2.0 ** np.arange(len(bank)) * (grid / box_size)
    return k, first, second


def default_scales(grid: int) -> int:
    """Return floor(log2 grid) - 2, so that the longest wave repeats at least three times."""
    return grid.bit_length() - 3


@functools.lru_cache(maxsize=8)
def morlets(grid: int, scales: int, angles: int) -> tuple[NDArray[np.float64], ...]:
    """Return the Fourier transforms of the wavelets, which are real.

    Parameters
    ----------
    grid : int
        Cells per side.
    scales, angles : int
        As in `scattering`.

    Returns
    -------
    tuple of (angles, m, m) ndarray
        One a scale, in the order of `scipy.fft.fftfreq`, read only; m = grid for j <= 2, then about
        halved. Their squares, averaged over k and -k, add up to 0.55 to 1.15 between the waves of
        the first scale and the last.

    Raises
    ------
    RecipeError
        As in `scattering`.
    """
    most = (3 * grid // 8).bit_length()
    if scales not in range(1, most + 1):
        raise RecipeError(
            f"scales = {scales}: give 1 to {most}, whose waves fit a grid of {grid} cells a side"
        )
    if angles not in _ANGLES:
        raise RecipeError(f"angles = {angles}: give {_ANGLES[0]} to {_ANGLES[-1]}, such as 4")
    bank = tuple(_morlets_of_scale(grid, scale, int(angles)) for scale in range(int(scales)))
    for wavelets in bank:
        wavelets.flags.writeable = False
    return bank


def _slices(fields: ArrayLike, box_size: float) -> Fields:
    """Return what `stack` does if these are finite slices."""
    stacked = stack(fields, box_size)
    shape, finite = stacked.shape[1:], np.isfinite(stacked)
    if len(shape) != 2:
        raise LayoutError(f"a field of shape {shape} is a cube; cut it into slices")
    if default_scales(shape[0]) < 1:
        raise LayoutError(f"a field of shape {shape} holds no scale; give 8 x 8 or more")
    if not finite.all():
        bad = int(np.argmin(finite.all(axis=(1, 2))))
        raise LayoutError(f"field {bad} holds a value that is not finite; make it again")
    return stacked


def _scatter(field: Fields, bank: Sequence[Fields], first: Floats, second: Floats) -> None:
    """Fill in s1 (J,) and s2 (J, J) of one field."""
    delta = (field - field.mean(dtype=np.float64)).astype(field.dtype, copy=False)
    modes: Modes = scipy.fft.fft2(delta, norm="forward")
    for j, wavelets in enumerate(bank):
        envelopes = _envelopes(modes, wavelets)
        first[j] = envelopes.mean(dtype=np.float64)
        inner: Modes = scipy.fft.fft2(envelopes, norm="forward")[:, None]
        for coarser in range(j + 1, len(bank)):
            second[j, coarser] = _envelopes(inner, bank[coarser]).mean(dtype=np.float64)


def _envelopes(modes: Modes, wavelets: Fields) -> Fields:
    """Return |field * psi| for each wavelet of one scale, on the grid of that scale."""
    size = wavelets.shape[-1]
    if modes.shape[-1] > size:
        modes = modes.take(_low(size), axis=-2).take(_low(size), axis=-1)
    waves: Modes = scipy.fft.ifft2(modes * wavelets, norm="forward", overwrite_x=True)
    return np.abs(waves)


def _low(size: int) -> NDArray[np.int64]:
    """Return the wavenumbers of a grid in the order of its modes, and their places on a larger one."""
    return np.concatenate([np.arange((size + 1) // 2), np.arange(-(size // 2), 0)])


def _morlets_of_scale(grid: int, scale: int, angles: int) -> NDArray[np.float64]:
    """Return the wavelets of one scale: (angles, m, m)."""
    size = min(grid, scipy.fft.next_fast_len(-(-grid * 4 // 2**scale)))
    reach = max(2 - scale, 0)  # all other aliases are below 1e-12
    aliases = 2 * np.pi * np.arange(-reach, reach + 1)
    k = 2 * np.pi / grid * _low(size)
    sigma, xi, across = _WIDTH * 2**scale, _WAVENUMBER / 2**scale, angles / 4
    turn = np.pi / angles * np.arange(angles)[:, None, None]
    wave, still = np.zeros((angles, size, size)), np.zeros((angles, size, size))
    for shift_x, shift_y in itertools.product(aliases, aliases):
        k_x, k_y = k[:, None] + shift_x, k + shift_y
        k_along = k_x * np.cos(turn) + k_y * np.sin(turn)
        square = ((k_y * np.cos(turn) - k_x * np.sin(turn)) * across) ** 2
        wave += np.exp(-(sigma**2) / 2 * ((k_along - xi) ** 2 + square))
        still += np.exp(-(sigma**2) / 2 * (k_along**2 + square))
    wave -= wave[:, :1, :1] / still[:, :1, :1] * still
    wave[:, 0, 0] = 0.0
    return wave
