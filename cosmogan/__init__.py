"""cosmogan: learn the density field from a few N-body runs, emulate it by the thousand, judge it.

The table of contents, in reading order; nothing is imported before it is asked for:

=============  ====================================================================================
`open`         a data set of density fields: ``cosmogan.open("train.fields")[:10]``
`load`         a trained run: ``cosmogan.load("runs/demo-64").sample(count=10, seed=7)``
`measure`      estimators on arrays: ``cosmogan.measure.power_spectrum(field, box_size)``
`cosmology`    parameters, growth and power spectra of theory
`mesh`         particles to grids and back, wavenumbers, noise that does not depend on the grid
`initial`      Gaussian initial conditions and their Lagrangian displacements
`errors`       everything that is raised on purpose
=============  ====================================================================================

The rest is the command line: ``cosmogan --help``.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmogan import cosmology, errors, initial, measure, mesh
    from cosmogan.emulate.sample import load
    from cosmogan.fields.store import open_fields as open  # noqa: A004  (cosmogan.open, as h5py.File)

    __version__: str

__all__ = [
    "__version__",
    "cosmology",
    "errors",
    "initial",
    "load",
    "measure",
    "mesh",
    "open",
]

_HOMES = {
    "open": ("cosmogan.fields.store", "open_fields"),
    "load": ("cosmogan.emulate.sample", "load"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: whatever the name stands for)
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        home, attribute = _HOMES[name]
        value = getattr(import_module(home), attribute)
    elif name in __all__:
        value = import_module(f"cosmogan.{name}")
    else:
        raise AttributeError(f"module 'cosmogan' has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    try:
        return metadata.version("cosmogan")
    except metadata.PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
