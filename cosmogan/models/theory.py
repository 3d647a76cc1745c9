"""What theory knows of the fields: spectra and growth at the trained parameters.

Everything is a table, so that a generator makes its latents on a machine without CAMB. Parameters between
the trained ones get rows of their own (`Theory.with_rows`).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmogan.cosmology import (
    Cosmology,
    PowerTable,
    growth_factor,
    matter_power,
    second_order_growth,
)
from cosmogan.errors import RecipeError
from cosmogan.mesh import window_transform

LINE_OF_SIGHT = 512
"""Wavenumbers of the projection integral, at least; those that lie evenly."""
CLOSE, FINEST = 0.1, 1e-3
"""Near zero they lie closer, by so much of themselves at most, down to so much of the even step: a large box has modes within one of those."""
AT_A_TIME = 2**18
"""Wavevectors whose power is interpolated together."""
K = np.geomspace(1e-4, 20, 600)
"""Wavenumbers of the spectra [h/Mpc]; wiggles of baryons are straight between them to 0.1 %."""
MARGIN = 0.01
"""So far outside the trained range counts as inside, of its width."""


Caller = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterable[Any]]


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
    power : (m, b) float32 or float64 ndarray
        Three-dimensional nonlinear power [(Mpc/h)^3].
    linear : (m, b) float32 or float64 ndarray
        Three-dimensional linear power at redshift 0 [(Mpc/h)^3].
    trained : int, optional
        How many rows, from the first, are those of the training; all by default.
    """

    dimension: int
    cell_size: float
    thickness: int
    window: str
    names: tuple[str, ...]
    parameters: NDArray[np.float64]
    k: NDArray[np.float64]
    power: NDArray[np.floating]
    linear: NDArray[np.floating]
    trained: int | None = None

    @property
    def domain(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest parameters of the training, (p,) each."""
        rows = self.parameters[: self.trained]
        return rows.min(axis=0), rows.max(axis=0)

    def outside(self, parameters: ArrayLike) -> list[str]:
        """Return the names of the parameters (p,) that lie outside the trained range."""
        low, high = self.domain
        room = MARGIN * (high - low) + 1e-9 * np.abs(high)
        asked = np.asarray(parameters, dtype=np.float64)
        inside = (asked >= low - room) & (asked <= high + room)
        return [name for name, well in zip(self.names, inside, strict=True) if not well]

    def with_rows(
        self,
        parameters: NDArray[np.float64],
        power: NDArray[np.floating],
        linear: NDArray[np.floating],
    ) -> "Theory":
        """Return a theory that has spectra at further parameters too; the trained range stays.

        Parameters
        ----------
        parameters : (n, p) ndarray
            Further parameters.
        power, linear : (n, b) ndarray
            Their spectra at `k`, as the attributes.
        """
        return replace(
            self,
            parameters=np.concatenate([self.parameters, parameters]),
            power=np.concatenate([self.power, power.astype(self.power.dtype)]),
            linear=np.concatenate([self.linear, linear.astype(self.linear.dtype)]),
            trained=self.trained or len(self.parameters),
        )

    def find(self, parameters: ArrayLike) -> int | None:
        """Return which spectrum belongs to `parameters` (p,), None if there is none."""
        asked = np.asarray(parameters, dtype=np.float64)
        same = np.all(np.isclose(self.parameters, asked, rtol=1e-9, atol=1e-12), axis=1)
        return int(np.flatnonzero(same)[0]) if same.any() else None

    def row(self, parameters: ArrayLike) -> int:
        """Return which spectrum belongs to `parameters` (p,).

        Raises
        ------
        RecipeError
            If there is none.
        """
        found = self.find(parameters)
        if found is None:
            asked = np.asarray(parameters, dtype=np.float64)
            values = ", ".join(f"{n} = {v:g}" for n, v in zip(self.names, asked, strict=True))
            raise RecipeError(f"{values}: no spectrum of theory there; simulate and train anew")
        return found

    def conditions(self, parameters: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return those of the parameters (n, p) that vary in the training, [-1, 1] in its range."""
        low, high = self.domain
        varied = high > low
        middle, half = (low + high)[varied] / 2, (high - low)[varied] / 2
        scaled: NDArray[np.float32] = ((parameters[:, varied] - middle) / half).astype(np.float32)
        return scaled

    @property
    def num_conditions(self) -> int:
        """Number of parameters that vary in the training."""
        low, high = self.domain
        return int((high > low).sum())

    def linear_power(self, row: int) -> PowerTable:
        """Return the linear spectrum at redshift 0."""
        return PowerTable(self.k, self.linear[row].astype(np.float64))

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

    def mean_power(self, row: int, box_size: float) -> float:
        """Return the power of the mean density of the slices of a periodic box; 0 for cubes, which have the mean of theirs.

        Parameters
        ----------
        row : int
            Which spectrum.
        box_size : float
            Side L of the box [Mpc/h]: only its own modes along the line of sight, n 2 pi / L with n > 0, move a slice.

        Returns
        -------
        float
            L^2 <(m - 1)^2> for mean densities m over that of the box [(Mpc/h)^2], where `field_power` has the other modes.
        """
        if self.dimension == 3:
            return 0.0
        fundamental = 2 * np.pi / box_size
        count = math.ceil(self._farthest / fundamental)
        z: NDArray[np.float64] = fundamental * np.arange(1, count, dtype=np.float64)
        power = self._interpolate(row, z**2) * self._seen(z)
        return float(power.sum() * 2 / box_size)

    @property
    def _farthest(self) -> float:
        """Largest wavenumber along the line of sight [h/Mpc]."""
        return 6 * np.pi / self.cell_size

    def _seen(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return which share of the power at wavenumbers along the line of sight a slice has."""
        half = z * self.cell_size / 2
        slab = np.sin(self.thickness * half) / (self.thickness * np.sin(half))
        window = window_transform([z], self.cell_size, self.window) ** 2
        share: NDArray[np.float64] = window * slab**2
        return share

    def _unwindowed(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.dimension == 3:
            return self._interpolate(row, squared)
        depth, weight = self._line_of_sight()
        projected: NDArray[np.float64] = np.zeros_like(squared)
        some = max(AT_A_TIME // max(squared.size, 1), 1)
        for start in range(0, len(depth), some):
            behind = slice(start, start + some)
            cut = self._interpolate(row, squared[..., None] + depth[behind] ** 2)
            projected += cut @ weight[behind]
        return projected

    def _line_of_sight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        points = max(LINE_OF_SIGHT, 8 * self.thickness)  # two between zeros of the window of a slab
        even = np.linspace(0, self._farthest, points + 1)
        few = math.ceil(math.log(1 / (CLOSE * FINEST)) / math.log1p(CLOSE))
        close = even[1] * np.geomspace(FINEST, 1 / CLOSE, few + 1)
        edges = np.concatenate([[0.0], close, even[even > (1 + CLOSE / 2) * close[-1]]])
        z = (edges[1:] + edges[:-1]) / 2
        return z, np.diff(edges) / np.pi * self._seen(z)

    def _interpolate(self, row: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = 0.5 * np.log(np.maximum(squared, self.k[0] ** 2))
        power = np.exp(
            np.interp(logarithm, np.log(self.k), np.log(self.power[row].astype(np.float64)))
        )
        return np.where(squared > 0, power, 0.0)


def tabulate(
    names: Sequence[str], parameters: NDArray[np.float64], call: Caller = itertools.starmap
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Return the spectra at cosmologies and redshifts.

    Parameters
    ----------
    names : sequence of str
        Names of the parameters: those of `Cosmology`, or some of them, and "redshift".
    parameters : (m, p) ndarray
        One row a spectrum.
    call : callable
        Calls a function with each tuple of arguments, in any order; one for each cosmology.

    Returns
    -------
    k : (b,) ndarray
        [h/Mpc].
    power, linear : (m, b) float32 ndarray
        As the attributes of `Theory`.
    """
    wanted: dict[Cosmology, list[tuple[int, float]]] = {}
    for row, values in enumerate(parameters.tolist()):
        named = dict(zip(names, values, strict=True))
        redshift = named.pop("redshift")
        wanted.setdefault(Cosmology(**named), []).append((row, redshift))
    calls = [(cosmology, tuple(z for _, z in at)) for cosmology, at in wanted.items()]
    power, linear = (np.empty((len(parameters), K.size), np.float32) for _ in range(2))
    for cosmology, today, evolved in call(_spectra, calls):
        for (row, _), table in zip(wanted[cosmology], evolved, strict=True):
            power[row], linear[row] = table, today
    return K, power, linear


def _spectra(
    cosmology: Cosmology, redshifts: Sequence[float]
) -> tuple[Cosmology, NDArray[np.float64], list[NDArray[np.float64]]]:
    today, evolved = matter_power(cosmology, redshifts)
    return cosmology, today(K), [table(K) for table in evolved]
