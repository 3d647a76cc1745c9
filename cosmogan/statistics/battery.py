"""What can be measured of every data set, and in which bins: one `Statistic` each, one row a field.

By default (`DEFAULT`):

=====================  ===============================================  ============================
`mean_density`         mean of a field over the mean of the simulation  one bin
`power`                power spectrum                                   whole shells up to Nyquist
`bispectrum`           equilateral bispectrum                           shells of 3, up to 2/3 Nyquist
`reduced_bispectrum`   the same over 3 P^2, field by field              the same
`squeezed_bispectrum`  reduced bispectrum, one side in the first shell  the longer sides
`quadrupole`           squared quadrupole of the power of a field       shells of 3, up to Nyquist
`pdf`                  fractions of the cells by density                rho = 0.03 to 100, and beyond
`pdf_smoothed`         the same, smoothed over `SMOOTHING` cells        rho = 0.2 to 8, and beyond
`peaks` `minima`       their numbers by height, smoothed over 1 cell    as `pdf`
`minkowski_1` to `_d`  boundary, (curvature,) Euler characteristic of   rho = 0.2 to 8
                       smoothed excursion sets, per volume
=====================  ===============================================  ============================

and when asked for by name, or with `ALL`:

=====================  ===============================================  ============================
`correlation`          two-point correlation function                   shells of 1 cell, to L / 2
`variance` `skewness`  k2, S3 and S4                                    smoothing of 0, 1, 2, 4 cells
`kurtosis`
`halos` `voids`        connected regions above, below a density         7 densities each
`scattering`           coefficients of first order, of slices           wavelets, an octave each
`scattering_2`         of second order over first                       their pairs, in order
=====================  ===============================================  ============================
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import RecipeError
from cosmogan.statistics import (
    bispectrum,
    correlation,
    minkowski,
    moments,
    pdf,
    peaks,
    power,
    quadrupole,
    regions,
    scattering,
)
from cosmogan.statistics.shells import Fields
from cosmogan.statistics.table import Statistic

SMOOTHING = 2.0
"""Standard deviation of the Gaussian before `pdf_smoothed` and the Minkowski functionals [cells]."""
PEAK_SMOOTHING = 1.0
"""Standard deviation of the Gaussian before peaks and minima are sought [cells]."""
HALO_DENSITIES: tuple[float, ...] = (2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 32.0)
VOID_DENSITIES: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)

_REVISION = 2  # of what the names stand for, bins apart

Measured = Iterable[Statistic]
Measurement = Callable[[Fields, float], Measured]


def measure(
    fields: Fields, box_size: float, names: Sequence[str] = ("default",)
) -> dict[str, Statistic]:
    """Measure statistics of many fields.

    Parameters
    ----------
    fields : (n, N, N) or (n, N, N, N) ndarray
        Density over mean, periodic.
    box_size : float
        Side L of the box [Mpc/h].
    names : sequence of str
        Which, in any order; "default" and "all" stand for `DEFAULT` and `ALL`. Those that fields of this
        dimension do not have are left out.

    Returns
    -------
    dict of Statistic
        By name, in the order of `ALL`, each of n rows; row i depends on field i alone.

    Raises
    ------
    LayoutError
        If a field is not square or cubic, or not finite.
    RecipeError
        If a name is unknown, or the grid has too few cells for the shells.
    """
    wanted = choose(names)
    found: dict[str, Statistic] = {}
    for made, work in _MEASUREMENTS.items():
        if not wanted.isdisjoint(made):
            found |= {s.name: s for s in work(fields, box_size) if s.name in wanted}
    return found


def choose(names: Sequence[str]) -> frozenset[str]:
    """Return the names that are meant, "default" and "all" spelled out.

    Raises
    ------
    RecipeError
        If one is unknown, or there is none.
    """
    known = {name: (name,) for name in ALL} | {"default": DEFAULT, "all": ALL}
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise RecipeError(
            f"statistics: {', '.join(unknown) or 'none'} asked for; give default, all, or some of "
            f"{', '.join(ALL)}"
        )
    return frozenset(name for asked in names for name in known[asked])


def definition(names: Sequence[str] = ("default",)) -> str:
    """Return, as JSON, every choice that decides the numbers: equal definitions, equal bins."""
    choices = {
        "revision": _REVISION,
        "names": sorted(choose(names)),
        "bispectrum_width": bispectrum.DEFAULT_WIDTH,
        "quadrupole_width": quadrupole.DEFAULT_WIDTH,
        "pdf": pdf.DEFAULT_EDGES,
        "pdf_smoothed": pdf.SMOOTHED_EDGES,
        "smoothing": [SMOOTHING, PEAK_SMOOTHING, *moments.DEFAULT_SCALES],
        "regions": [*HALO_DENSITIES, *VOID_DENSITIES],
    }
    return json.dumps(choices, sort_keys=True)


def join(blocks: Sequence[dict[str, Statistic]]) -> dict[str, Statistic]:
    """Put the rows of blocks of fields, measured one by one, under each other, in order."""
    return {
        name: replace(first, samples=np.concatenate([block[name].samples for block in blocks]))
        for name, first in blocks[0].items()
    }


def judged_bins(
    statistic: Statistic, *, k_limit: float = np.inf, share: float = 0.0
) -> NDArray[np.intp]:
    """Return the numbers of the bins that are worth judging, by simulations alone.

    Parameters
    ----------
    statistic : Statistic
        Of simulations.
    k_limit : float
        Largest wavenumber [h/Mpc].
    share : float
        Of a statistic by density, from the first to the last bin that holds this share of all counted.
    """
    allowed = statistic.weight > 0
    if statistic.coordinate_unit == "h/Mpc":
        allowed &= statistic.coordinate <= k_limit
    elif statistic.coordinate_label == DENSITY:
        size = np.abs(statistic.samples.mean(axis=0))
        common = np.flatnonzero(size >= share * size.sum())
        allowed[: common[0]], allowed[common[-1] + 1 :] = False, False
    return np.flatnonzero(allowed)


def as_mean_density(mean: NDArray[np.float64]) -> Statistic:
    """Label means (n,) of fields."""
    return Statistic(
        name="mean_density",
        coordinate=np.zeros(1),
        samples=mean[:, None],
        weight=np.ones(1),
        label="mean density",
        unit="",
        coordinate_label="",
        coordinate_unit="",
    )


def as_power(spectra: power.Spectra, layout: tuple[int, int], box_size: float) -> Statistic:
    """Label spectra of fields of (grid, dimension) in the default shells."""
    edges, unit = power.default_edges(layout[0]) * (2 * np.pi / box_size), f"(Mpc/h)^{layout[1]}"
    return _by_wavenumber("power", "P(k)", *spectra, edges=edges, unit=unit)


def as_pdf(fraction: NDArray[np.float64]) -> Statistic:
    """Label fractions (n, b) of the cells of fields in the default bins."""
    whole, rho = pdf.bins(pdf.DEFAULT_EDGES)
    return _by_density("pdf", "fraction of cells", rho, fraction, edges=whole)


def _mean_density(fields: Fields, _box_size: float) -> Measured:
    yield as_mean_density(pdf.mean_density(fields))


def _power(fields: Fields, box_size: float) -> Measured:
    spectra = power.power_spectra(fields, box_size)
    yield as_power(spectra, (fields.shape[-1], fields.ndim - 1), box_size)


def _bispectra(fields: Fields, box_size: float) -> Measured:
    edges = bispectrum.default_edges(fields.shape[-1])
    shells = len(edges) - 1
    triangles = [*bispectrum.equilateral(shells), *bispectrum.squeezed(shells)]
    sides, value, reduced, number = bispectrum.bispectra(fields, box_size, edges, triangles)
    equal, squeezed = slice(shells), slice(shells, None)
    plain = _by_wavenumber(
        "bispectrum",
        "B(k, k, k)",
        sides[equal, 0],
        value[:, equal],
        number[equal],
        edges=edges * (2 * np.pi / box_size),
        unit=f"(Mpc/h)^{2 * (fields.ndim - 1)}",
    )
    yield plain
    yield replace(
        plain, name="reduced_bispectrum", samples=reduced[:, equal], label="Q(k, k, k)", unit=""
    )
    if shells > 1:
        yield replace(
            plain,
            name="squeezed_bispectrum",
            coordinate=sides[squeezed, 1],
            edges=edges[1:] * (2 * np.pi / box_size),
            samples=reduced[:, squeezed],
            weight=number[squeezed].astype(np.float64),
            label="Q(k_min, k, k)",
            unit="",
        )


def _quadrupole(fields: Fields, box_size: float) -> Measured:
    edges = quadrupole.default_edges(fields.shape[-1]) * (2 * np.pi / box_size)
    found = quadrupole.quadrupoles(fields, box_size)
    yield _by_wavenumber("quadrupole", "squared quadrupole of P", *found, edges=edges)


def _correlation(fields: Fields, box_size: float) -> Measured:
    r, xi, pairs = correlation.correlation_functions(fields, box_size)
    grid = fields.shape[-1]
    yield Statistic(
        name="correlation",
        coordinate=r,
        edges=power.default_edges(grid) * (box_size / grid),
        samples=xi,
        weight=pairs.astype(np.float64),
        label="xi(r)",
        unit="",
        coordinate_label="r",
        coordinate_unit="Mpc/h",
    )


def _pdf(fields: Fields, _box_size: float) -> Measured:
    yield as_pdf(pdf.pdfs(fields)[2])


def _pdf_smoothed(fields: Fields, _box_size: float) -> Measured:
    smoothed = pdf.smooth(fields, SMOOTHING, axes=range(1, fields.ndim))
    whole, rho, fraction = pdf.pdfs(smoothed, pdf.SMOOTHED_EDGES)
    label = f"fraction of cells, smoothed over {SMOOTHING:g}"
    yield _by_density("pdf_smoothed", label, rho, fraction, edges=whole)


def _extrema(fields: Fields, _box_size: float) -> Measured:
    _, high, low = peaks.extrema(fields, smoothing=PEAK_SMOOTHING)
    whole, centre = pdf.bins(pdf.DEFAULT_EDGES)
    for name, label, counts in (("peaks", "peaks", high), ("minima", "minima", low)):
        yield _by_density(name, f"{label} of a field", centre, counts, edges=whole)


def _minkowski(fields: Fields, box_size: float) -> Measured:
    rho, values = minkowski.minkowski(
        fields, box_size, pdf.SMOOTHED_EDGES, smoothing=SMOOTHING, standardise=False
    )
    for order in range(1, fields.ndim):
        label = f"V{order} of rho >= threshold, smoothed over {SMOOTHING:g}"
        unit = f"(Mpc/h)^-{order}"
        yield _by_density(f"minkowski_{order}", label, rho, values[:, order], unit=unit)


def _cumulants(fields: Fields, box_size: float) -> Measured:
    found = moments.cumulants(fields)
    amplitudes = moments.hierarchical_amplitudes(found)
    scales = np.array(moments.DEFAULT_SCALES) * (box_size / fields.shape[-1])
    for name, label, samples in (
        ("variance", "variance", found[..., 1]),
        ("skewness", "S3", amplitudes[..., 0]),
        ("kurtosis", "S4", amplitudes[..., 1]),
    ):
        yield Statistic(
            name=name,
            coordinate=scales,
            samples=np.ascontiguousarray(samples),
            weight=np.ones(len(scales)),
            label=label,
            unit="",
            coordinate_label="smoothing",
            coordinate_unit="Mpc/h",
        )


def _regions(fields: Fields, _box_size: float) -> Measured:
    for name, densities, below in (
        ("halos", HALO_DENSITIES, False),
        ("voids", VOID_DENSITIES, True),
    ):
        counts = regions.regions(fields, densities, below=below).sum(axis=-1)
        label = f"regions {'below' if below else 'above'} rho, of a field"
        yield _by_density(name, label, np.array(densities), counts)


def _scattering(fields: Fields, box_size: float) -> Measured:
    if fields.ndim != 3:
        return
    k, first, second = scattering.scatterings(fields, box_size)
    one, two = np.triu_indices(len(k), 1)
    plain = _by_wavenumber("scattering", "s1 of wavelets", k, first, np.ones(len(k)))
    yield plain
    finer = np.where(first > 0, first, 1.0)[:, one]
    yield replace(
        plain,
        name="scattering_2",
        coordinate=np.arange(len(one), dtype=np.float64),
        samples=second[:, one, two] / finer,
        weight=np.ones(len(one)),
        label="s2 / s1 of pairs of wavelets",
        coordinate_label="pair",
        coordinate_unit="",
    )


def _by_wavenumber(
    name: str,
    label: str,
    k: NDArray[np.float64],
    samples: NDArray[np.float64],
    weight: NDArray[np.float64] | NDArray[np.int64],
    *,
    edges: NDArray[np.float64] | None = None,
    unit: str = "",
) -> Statistic:
    return Statistic(
        name=name,
        coordinate=k,
        edges=edges,
        samples=samples,
        weight=weight.astype(np.float64),
        label=label,
        unit=unit,
        coordinate_label="k",
        coordinate_unit="h/Mpc",
    )


def _by_density(
    name: str,
    label: str,
    rho: NDArray[np.float64],
    samples: NDArray[np.float64],
    *,
    edges: NDArray[np.float64] | None = None,
    unit: str = "",
) -> Statistic:
    return Statistic(
        name=name,
        coordinate=rho,
        edges=edges,
        samples=np.ascontiguousarray(samples),
        weight=np.ones(len(rho)),
        label=label,
        unit=unit,
        coordinate_label=DENSITY,
        coordinate_unit="",
    )


DENSITY = "rho / mean"
"""Coordinate of the statistics by density."""

_MEASUREMENTS: dict[tuple[str, ...], Measurement] = {
    ("mean_density",): _mean_density,
    ("power",): _power,
    ("bispectrum", "reduced_bispectrum", "squeezed_bispectrum"): _bispectra,
    ("quadrupole",): _quadrupole,
    ("pdf",): _pdf,
    ("pdf_smoothed",): _pdf_smoothed,
    ("peaks", "minima"): _extrema,
    ("minkowski_1", "minkowski_2", "minkowski_3"): _minkowski,
    ("correlation",): _correlation,
    ("variance", "skewness", "kurtosis"): _cumulants,
    ("halos", "voids"): _regions,
    ("scattering", "scattering_2"): _scattering,
}
ALL = tuple(name for names in _MEASUREMENTS for name in names)
"""Everything that can be measured."""
DEFAULT = ALL[: ALL.index("correlation")]
"""What is measured unless something else is asked for."""
