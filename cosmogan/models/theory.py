"""What theory knows of the fields: spectra and growth at the trained parameters.

Everything is a table, so that a generator makes its latents on a machine without CAMB.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.cosmology import Cosmology, PowerTable, growth_factor, second_order_growth
from cosmogan.errors import RecipeError
from cosmogan.mesh import window_transform

LINE_OF_SIGHT = 512
"""Wavenumbers of the projection integral."""


@dataclass(frozen=True, kw_only=True)
class Theory:
    """Nonlinear power spectra of the trained parameters, and the windows of the fields.

    Attributes
    ----------
    dimension : {2, 3}
        Slices or cubes.
    cell_size : float
        [Mpc/h].
    thickness : int
        Thickness of a slice [cells]; ignored for cubes.
    window : str
        Mass assignment.
    names : tuple of str
        Names of the parameters.
    parameters : (m, p) ndarray
        Parameters for which there is a spectrum.
    k : (b,) ndarray
        [h/Mpc].
    power : (m, b) ndarray
        Three-dimensional nonlinear power [(Mpc/h)^3].
    linear : (m, b) ndarray
        Three-dimensional linear power at redshift 0 [(Mpc/h)^3].
    """

    dimension: int
    cell_size: float
    thickness: int
    window: str
    names: tuple[str, ...]
    parameters: NDArray[np.float64]
    k: NDArray[np.float64]
    power: NDArray[np.float64]
    linear: NDArray[np.float64]

    def row(self, parameters: ArrayLike) -> int:
        """Return which spectrum belongs to `parameters` (p,).

        Raises
        ------
        RecipeError
            If the network was not trained there.
        """
        asked = np.asarray(parameters, dtype=np.float64)
        same = np.all(np.isclose(self.parameters, asked, rtol=1e-9, atol=1e-12), axis=1)
        if not same.any():
            values = ", ".join(f"{n} = {v:g}" for n, v in zip(self.names, asked, strict=True))
            raise RecipeError(f"{values}: the network was not trained there; ask for its own")
        return int(np.flatnonzero(same)[0])

    def conditions(self, parameters: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return those of the parameters (n, p) that vary, scaled to [-1, 1]: (n, conditions)."""
        low, high = self.parameters.min(0), self.parameters.max(0)
        varied = high > low
        middle, half = (low + high)[varied] / 2, (high - low)[varied] / 2
        scaled: NDArray[np.float32] = ((parameters[:, varied] - middle) / half).astype(np.float32)
        return scaled

    @property
    def num_conditions(self) -> int:
        """Number of parameters that vary."""
        return int(np.ptp(self.parameters, axis=0).astype(bool).sum())

    def linear_power(self, row: int) -> PowerTable:
        """Return the linear spectrum at redshift 0."""
        return PowerTable(self.k, self.linear[row])

    def growth(self, row: int) -> tuple[float, float]:
        """Return the growth factors D and D2 of first and second order, with D(z = 0) = 1."""
        values = dict(zip(self.names, self.parameters[row].tolist(), strict=True))
        scale = 1 / (1 + values.pop("redshift"))
        cosmology = Cosmology(**values)
        return float(growth_factor(cosmology, scale)), float(second_order_growth(cosmology, scale))

    def field_power(self, row: int, k: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the spectrum of the fields at wavevectors of their own dimension.

        Parameters
        ----------
        row : int
            Which spectrum.
        k : sequence of ndarray
            Components of the wavevectors, broadcastable [h/Mpc].

        Returns
        -------
        ndarray
            [(Mpc/h)^dimension], windows applied, first aliases of the mesh included.

        Notes
        -----
        Slices: P_2D(k) = int dk_z / 2 pi P(k, k_z) W(k)^2 W(k_z)^2 S(k_z)^2 with the window W of
        the mass assignment and S the mean over the planes of the slab.
        """
        sampling = 2 * np.pi / self.cell_size
        nothing: NDArray[np.float64] = np.zeros(np.broadcast_shapes(*(x.shape for x in k)))
        total = nothing
        for shift in itertools.product((-1, 0, 1), repeat=len(k)):
            shifted = [x + s * sampling for x, s in zip(k, shift, strict=True)]
            squared = sum((x**2 for x in shifted), start=nothing)
            window = window_transform(shifted, self.cell_size, self.window) ** 2
            total = total + window * self._unwindowed(row, squared)
        return total

    def _unwindowed(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.dimension == 3:
            return self._interpolate(row, squared)
        depth, weight = self._line_of_sight()
        projected: NDArray[np.float64] = np.zeros_like(squared)
        for z, w in zip(depth, weight, strict=True):
            projected += w * self._interpolate(row, squared + z**2)
        return projected

    def _line_of_sight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        edges = np.linspace(0, 6 * np.pi / self.cell_size, LINE_OF_SIGHT + 1)
        z = (edges[1:] + edges[:-1]) / 2
        half = z * self.cell_size / 2
        slab = np.sin(self.thickness * half) / (self.thickness * np.sin(half))
        window = window_transform([z], self.cell_size, self.window) ** 2
        return z, np.diff(edges) / np.pi * window * slab**2

    def _interpolate(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = 0.5 * np.log(np.maximum(squared, self.k[0] ** 2))
        power = np.exp(np.interp(logarithm, np.log(self.k), np.log(self.power[row])))
        return np.where(squared > 0, power, 0.0)
