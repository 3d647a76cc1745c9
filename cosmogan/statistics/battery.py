"""What is measured of every data set, and in which bins: one `Statistic` each, one row a field.

====================  ===============================================  ==============================
`mean_density`        mean of a field over the mean of the simulation  one bin
`power`               power spectrum                                   whole shells up to Nyquist
`bispectrum`          equilateral bispectrum                           shells of 3, up to 2/3 Nyquist
`reduced_bispectrum`  the same over 3 P^2, field by field              the same
`pdf`                 fractions of the cells by density                rho = 0.03 to 100, and beyond
`pdf_smoothed`        the same, smoothed over `SMOOTHING` cells        rho = 0.2 to 8, and beyond
====================  ===============================================  ==============================
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.statistics import bispectrum, pdf, power
from cosmogan.statistics.shells import Edges, Fields
from cosmogan.statistics.table import Statistic

SMOOTHING = 2.0
"""Standard deviation of the Gaussian before `pdf_smoothed` [cells]."""

NAMES = ("mean_density", "power", "bispectrum", "reduced_bispectrum", "pdf", "pdf_smoothed")
"""What is measured, in order."""

_REVISION = 1  # of what the names below stand for, bins apart


def measure(fields: Fields, box_size: float) -> dict[str, Statistic]:
    """Measure everything.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) ndarray
        Density over mean, periodic.
    box_size : float
        Side L of the box [Mpc/h].

    Returns
    -------
    dict of Statistic
        By name, each of n rows; row i depends on field i alone.

    Raises
    ------
    LayoutError
        If a field is not square or cubic, or not finite.
    RecipeError
        If the grid has too few cells for the shells.
    """
    found = (
        _mean_density(fields),
        _power(fields, box_size),
        *_bispectra(fields, box_size),
        _pdf(fields),
        _pdf_smoothed(fields),
    )
    return {statistic.name: statistic for statistic in found}


def definition() -> str:
    """Return, as JSON, every choice that decides the numbers: equal definitions, equal bins."""
    choices = {
        "revision": _REVISION,
        "names": NAMES,
        "bispectrum_width": bispectrum.DEFAULT_WIDTH,
        "pdf": pdf.DEFAULT_EDGES,
        "pdf_smoothed": pdf.SMOOTHED_EDGES,
        "smoothing": SMOOTHING,
    }
    return json.dumps(choices, sort_keys=True)


def join(blocks: Sequence[dict[str, Statistic]]) -> dict[str, Statistic]:
    """Put the rows of blocks of fields, measured one by one, under each other, in order."""
    return {
        name: replace(first, samples=np.concatenate([block[name].samples for block in blocks]))
        for name, first in blocks[0].items()
    }


def _mean_density(fields: Fields) -> Statistic:
    return Statistic(
        name="mean_density",
        coordinate=np.zeros(1),
        samples=pdf.mean_density(fields)[:, None],
        weight=np.ones(1),
        label="mean density",
        unit="",
        coordinate_label="",
        coordinate_unit="",
    )


def _power(fields: Fields, box_size: float) -> Statistic:
    k, values, modes = power.power_spectra(fields, box_size)
    return Statistic(
        name="power",
        coordinate=k,
        edges=power.default_edges(fields.shape[-1]) * (2 * np.pi / box_size),
        samples=values,
        weight=modes.astype(np.float64),
        label="P(k)",
        unit=f"(Mpc/h)^{fields.ndim - 1}",
        coordinate_label="k",
        coordinate_unit="h/Mpc",
    )


def _bispectra(fields: Fields, box_size: float) -> tuple[Statistic, Statistic]:
    sides, value, reduced, triangles = bispectrum.bispectra(fields, box_size)
    plain = Statistic(
        name="bispectrum",
        coordinate=sides[:, 0],
        edges=bispectrum.default_edges(fields.shape[-1]) * (2 * np.pi / box_size),
        samples=value,
        weight=triangles.astype(np.float64),
        label="B(k, k, k)",
        unit=f"(Mpc/h)^{2 * (fields.ndim - 1)}",
        coordinate_label="k",
        coordinate_unit="h/Mpc",
    )
    return plain, replace(
        plain, name="reduced_bispectrum", samples=reduced, label="Q(k, k, k)", unit=""
    )


def _pdf(fields: Fields) -> Statistic:
    return _distribution("pdf", "fraction of cells", fields, pdf.DEFAULT_EDGES)


def _pdf_smoothed(fields: Fields) -> Statistic:
    smoothed = pdf.smooth(fields, SMOOTHING, axes=range(1, fields.ndim))
    label = f"fraction of cells, smoothed over {SMOOTHING:g}"
    return _distribution("pdf_smoothed", label, smoothed, pdf.SMOOTHED_EDGES)


def _distribution(name: str, label: str, fields: Fields, edges: Edges) -> Statistic:
    whole, rho, fraction = pdf.pdfs(fields, edges)
    ones: NDArray[np.float64] = np.ones(len(rho))
    return Statistic(
        name=name,
        coordinate=rho,
        edges=whole,
        samples=fraction,
        weight=ones,
        label=label,
        unit="",
        coordinate_label="rho / mean",
        coordinate_unit="",
    )
