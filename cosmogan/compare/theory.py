"""What theory expects of the power spectrum of a data set, windows and projection included.

Linear theory and HMcode2020 (Mead et al. 2021, arXiv:2009.01858), both from CAMB, at the cosmology and
redshift that the fields name. Slices see the projection over their thickness, and all see the window of
their mass assignment with its first images (`cosmogan.models.theory`), so the lines and the measured
spectra are of one kind. Shot noise is in the fields alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare.units import Array
from cosmogan.cosmology import Cosmology, PowerTable, linear_power, nonlinear_power
from cosmogan.models.theory import Theory
from cosmogan.statistics.table import StatisticsTable

COSMOLOGY = ("Omega_m", "Omega_b", "h", "n_s", "sigma_8")
_DIRECTIONS = 12
_PAINTED = ("ngp", "cic", "tsc", "pcs")


def expected_power(table: StatisticsTable) -> dict[str, tuple[Array, Array]]:
    """Return the spectra that theory expects in the bins of a table.

    Parameters
    ----------
    table : StatisticsTable
        Measured fields.

    Returns
    -------
    dict of str to (k, P)
        "linear" and "HMcode2020" [h/Mpc, (Mpc/h)^dimension], means over directions. Empty if the power
        was not measured, or the fields name no cosmology, several, or no mass assignment.
    """
    values = _parameters(table)
    if not values or "power" not in table.statistics:
        return {}
    redshift = values.pop("redshift")
    cosmology = Cosmology(**values)
    k = table["power"].coordinate
    found = {}
    for name, make in (("linear", linear_power), ("HMcode2020", nonlinear_power)):
        of = _theory(table.attributes, make(cosmology, redshift))
        rays = [of.field_power(0, [k * x for x in ray]) for ray in directions(of.dimension)]
        mean: Array = np.mean(rays, axis=0)
        found[name] = (k, mean)
    return found


def directions(dimension: int) -> list[tuple[float, ...]]:
    """Return unit vectors spread over the directions that the symmetries of a grid leave different."""
    steps = (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    if dimension == 2:
        return [(float(np.cos(t)), float(np.sin(t))) for t in steps * np.pi / 4]
    golden = (1 + 5**0.5) / 2
    turns = 0.5 * np.pi * ((np.arange(_DIRECTIONS) * golden) % 1)
    flat = np.sqrt(1 - steps**2)
    return list(zip(flat * np.cos(turns), flat * np.sin(turns), steps, strict=True))


def _parameters(table: StatisticsTable) -> dict[str, float]:
    """Return the one cosmology and redshift of a table; nothing if it does not name them."""
    asked = (*COSMOLOGY, "redshift")
    names: Sequence[str] = table.parameter_names
    painted = table.attributes.get("mass_assignment") in _PAINTED
    if not painted or not set(asked) <= set(names) or len(np.unique(table.parameters, axis=0)) > 1:
        return {}
    row: NDArray[np.float64] = table.parameters[0]
    return {name: float(row[names.index(name)]) for name in asked}


def _theory(attributes: Mapping[str, Any], spectrum: PowerTable) -> Theory:
    return Theory(
        dimension=attributes["dimension"],
        cell_size=attributes["cell_size"],
        thickness=round(attributes["thickness"] / attributes["cell_size"]),
        window=attributes["mass_assignment"],
        names=(),
        parameters=np.empty((1, 0)),
        k=spectrum.k,
        power=spectrum.power[None],
        linear=spectrum.power[None],
    )
