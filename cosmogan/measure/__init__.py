"""Statistics of density fields: the estimators on arrays, and `run.measure` over whole data sets.

One module a statistic; most have two functions, one for a field and one for many. Nothing is imported
before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmogan.statistics.bispectrum import (
        Bispectrum,
        bispectra,
        bispectrum,
        equilateral,
        isosceles,
        squeezed,
    )
    from cosmogan.statistics.correlation import (
        CorrelationFunction,
        correlation_function,
        correlation_functions,
    )
    from cosmogan.statistics.covariance import (
        chi_squared,
        correlation_matrix,
        covariance_matrix,
        precision_matrix,
    )
    from cosmogan.statistics.cross import CrossSpectrum, cross_spectra, cross_spectrum
    from cosmogan.statistics.minkowski import (
        MinkowskiFunctionals,
        gaussian_expectation,
        minkowski,
        minkowski_functionals,
    )
    from cosmogan.statistics.moments import (
        Hierarchy,
        cumulants,
        hierarchical_amplitudes,
        hierarchy,
        moments,
    )
    from cosmogan.statistics.particles import particle_spectrum
    from cosmogan.statistics.pdf import Distribution, mean_density, pdf, pdfs, smooth
    from cosmogan.statistics.peaks import Extrema, extrema, peaks_and_minima
    from cosmogan.statistics.power import PowerSpectrum, log_edges, power_spectra, power_spectrum
    from cosmogan.statistics.quadrupole import quadrupoles
    from cosmogan.statistics.regions import Regions, count_regions, regions
    from cosmogan.statistics.scattering import Scattering, scattering, scatterings
    from cosmogan.statistics.table import read as read_statistics

_HOMES = {
    "Bispectrum": "bispectrum",
    "CorrelationFunction": "correlation",
    "CrossSpectrum": "cross",
    "Distribution": "pdf",
    "Extrema": "peaks",
    "Hierarchy": "moments",
    "MinkowskiFunctionals": "minkowski",
    "PowerSpectrum": "power",
    "Regions": "regions",
    "Scattering": "scattering",
    "bispectra": "bispectrum",
    "bispectrum": "bispectrum",
    "chi_squared": "covariance",
    "correlation_function": "correlation",
    "correlation_functions": "correlation",
    "correlation_matrix": "covariance",
    "count_regions": "regions",
    "covariance_matrix": "covariance",
    "cross_spectra": "cross",
    "cross_spectrum": "cross",
    "cumulants": "moments",
    "equilateral": "bispectrum",
    "extrema": "peaks",
    "gaussian_expectation": "minkowski",
    "hierarchical_amplitudes": "moments",
    "hierarchy": "moments",
    "isosceles": "bispectrum",
    "log_edges": "power",
    "mean_density": "pdf",
    "minkowski": "minkowski",
    "minkowski_functionals": "minkowski",
    "moments": "moments",
    "particle_spectrum": "particles",
    "pdf": "pdf",
    "pdfs": "pdf",
    "peaks_and_minima": "peaks",
    "power_spectra": "power",
    "power_spectrum": "power",
    "precision_matrix": "covariance",
    "quadrupoles": "quadrupole",
    "read_statistics": "table.read",
    "regions": "regions",
    "scattering": "scattering",
    "scatterings": "scattering",
    "smooth": "pdf",
    "squeezed": "bispectrum",
}

__all__ = [
    "Bispectrum",
    "CorrelationFunction",
    "CrossSpectrum",
    "Distribution",
    "Extrema",
    "Hierarchy",
    "MinkowskiFunctionals",
    "PowerSpectrum",
    "Regions",
    "Scattering",
    "bispectra",
    "bispectrum",
    "chi_squared",
    "correlation_function",
    "correlation_functions",
    "correlation_matrix",
    "count_regions",
    "covariance_matrix",
    "cross_spectra",
    "cross_spectrum",
    "cumulants",
    "equilateral",
    "extrema",
    "gaussian_expectation",
    "hierarchical_amplitudes",
    "hierarchy",
    "isosceles",
    "log_edges",
    "mean_density",
    "minkowski",
    "minkowski_functionals",
    "moments",
    "particle_spectrum",
    "pdf",
    "pdfs",
    "peaks_and_minima",
    "power_spectra",
    "power_spectrum",
    "precision_matrix",
    "quadrupoles",
    "read_statistics",
    "regions",
    "scattering",
    "scatterings",
    "smooth",
    "squeezed",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module 'cosmogan.measure' has no attribute {name!r}")
    home, _, attribute = _HOMES[name].partition(".")
    value = getattr(import_module(f"cosmogan.statistics.{home}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
