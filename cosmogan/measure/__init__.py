"""Statistics of density fields: the estimators on arrays, and `run.measure` over whole data sets.

Nothing is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmogan.statistics.bispectrum import (
        Bispectrum,
        bispectra,
        bispectrum,
        reduced_bispectra,
    )
    from cosmogan.statistics.pdf import Distribution, mean_density, pdf, pdfs, smooth
    from cosmogan.statistics.power import PowerSpectrum, power_spectra, power_spectrum

_HOMES = {
    "Bispectrum": "bispectrum",
    "Distribution": "pdf",
    "PowerSpectrum": "power",
    "bispectra": "bispectrum",
    "bispectrum": "bispectrum",
    "mean_density": "pdf",
    "pdf": "pdf",
    "pdfs": "pdf",
    "power_spectra": "power",
    "power_spectrum": "power",
    "reduced_bispectra": "bispectrum",
    "smooth": "pdf",
}

__all__ = [
    "Bispectrum",
    "Distribution",
    "PowerSpectrum",
    "bispectra",
    "bispectrum",
    "mean_density",
    "pdf",
    "pdfs",
    "power_spectra",
    "power_spectrum",
    "reduced_bispectra",
    "smooth",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module 'cosmogan.measure' has no attribute {name!r}")
    value = getattr(import_module(f"cosmogan.statistics.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
