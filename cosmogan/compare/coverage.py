"""Measures of how two sets of fields fill the space of their features.

Each field is a vector of features:

* *coverage* (Naeem et al. 2020, arXiv:2002.09797): the share of true fields with an emulated one as
  near as their k-th true neighbour. Modes that are missing lower it.
* *density* (the same): in how many such spheres an emulated field lies, over what is expected. High
  where emulated fields huddle in the middle of the true ones, low where they lie outside.
* *pqmass* (Lemos et al. 2024, arXiv:2402.04355): chi^2 per degree of freedom of the numbers of fields
  of either set in the Voronoi cells around some fields drawn from both.

**Neighbours.** The fields of one simulation share its large scales and lie closer together than those
of two. An emulated field is of no true simulation, so the sphere of a true field ends at its k-th
neighbour among the fields of *other* simulations; else spheres would shrink, and coverage fall, the
more slices are cut from a box, however good the emulator. Only n - n_i of n fields are candidates;
density is multiplied by (n - n_i) / (n - 1) for that, and is Naeem's for one field a simulation.

**Whitening.** Distances are taken in principal components of the true side of each comparison, never
of the emulated. Nor of the whole pool: its simulations would be whitened by themselves and emulated
ones by others, which makes up to a quarter of perfect emulators look too dense.
"""

import importlib
import warnings
from dataclasses import dataclass
from types import ModuleType

import numba
import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare.units import RESOLUTION
from cosmogan.errors import LayoutError, RecipeError, ResourceError

Array = NDArray[np.float64]
Members = NDArray[np.int64]
Rows = NDArray[np.intp]

COMPONENTS = 30
"""Most principal components: in more of them a few fields are everybody's neighbours."""
NEIGHBOURS = 5
"""k; two large equal sets cover each other to 1 - 2^-k."""

_FIELDS_PER_COMPONENT, _COMPONENTS_PER_SIMULATION = 10, 3
_ROUNDING = 1e-9  # of the largest eigenvalue, or of a square of a distance
_CELLS, _FIELDS_PER_CELL, _TESSELLATIONS = 100, 10, 2
_BLOCK = 500_000  # products at a time: they stay in the cache


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of fields, finite ones."""

    values: Array
    """(n, f) one row a field."""
    simulation: Members
    """(n,) the simulation, or the seed, each field was cut from."""

    def __post_init__(self) -> None:
        shapes = self.values.shape, self.simulation.shape
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise LayoutError(
                f"features and simulations {shapes}: give a row of both for each field"
            )
        _check_finite(self.values)

    def __getitem__(self, rows: Rows) -> "Features":
        return Features(values=self.values[rows], simulation=self.simulation[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """The map of features to principal components of unit variance."""

    centre: Array
    """(f,) mean of each feature."""
    axes: Array
    """(f, c) what a feature adds to each component; 0 for constant features."""

    def apply(self, features: Array) -> Array:
        """Return the components (n, c) of features (n, f), finite ones."""
        _check_finite(features)
        whitened: Array = (features - self.centre) @ self.axes
        return whitened


def whiten(reference: Features, *, components: int = COMPONENTS) -> Whitening:
    """Find the principal components of features, each with unit variance.

    Each feature has unit variance before; constant ones do not count. The largest coefficient of a
    component is positive.

    Parameters
    ----------
    reference : Features
        Of simulations, never of emulated fields; a LayoutError is raised if none varies.
    components : int
        Most components; kept are at most one for 10 fields, three for a simulation, and none of rounding.
    """
    values = reference.values
    centre, spread = values.mean(axis=0), values.std(axis=0)
    varies = spread > RESOLUTION * np.abs(values).max(axis=0)
    if not varies.any():
        raise LayoutError(f"{varies.size} features, none varies from field to field; give others")
    scale = np.where(varies, spread, np.inf)
    simulations = np.unique(reference.simulation).size
    most = (len(values) // _FIELDS_PER_COMPONENT, _COMPONENTS_PER_SIMULATION * simulations)
    standard = (values - centre) / scale
    wanted = [max(0, scale.size - max(1, min(components, *most))), scale.size - 1]
    variance, axes = scipy.linalg.eigh(standard.T @ standard, subset_by_index=wanted)
    kept = variance > _ROUNDING * variance[-1]
    axes = axes[:, kept][:, ::-1] * np.sqrt((len(values) - 1) / variance[kept][::-1])
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return Whitening(centre=centre, axes=axes / scale[:, None])


def coverage_and_density(
    emulated: Array, truth: Array, simulation: Members, *, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Measure coverage and density with k nearest neighbours.

    Parameters
    ----------
    emulated, truth : (m, c) and (n, c) ndarray of float64
        Whitened features.
    simulation : (n,) ndarray of int64
        The simulation of each true field, whose other fields are not its neighbours.
    neighbours : int
        k; a RecipeError is raised if a field has fewer.
    """
    _, members, counts = np.unique(simulation, return_inverse=True, return_counts=True)
    candidates = len(truth) - counts[members]
    if not 1 <= neighbours <= candidates.min():
        raise RecipeError(f"neighbours = {neighbours}: give 1 to {candidates.min()} or more fields")
    found = np.empty(len(truth), np.int64)
    # |x - y|^2 <= r^2 if x y >= (|y|^2 - (r^2 - |x|^2)) / 2, and products of matrices are fast.
    squares, norms = ((side**2).sum(axis=1) for side in (emulated, truth))
    step = max(1, _BLOCK // max(len(truth), len(emulated)))
    for start in range(0, len(truth), step):
        part = slice(start, start + step)
        reach = _reach(truth[part] @ truth.T, norms, members, start, neighbours)
        reach += _ROUNDING * (reach + norms[part])  # copies of the k-th neighbour are as near
        found[part] = (truth[part] @ emulated.T >= (squares - reach[:, None]) / 2).sum(axis=1)
    density = (found * candidates).sum() / (len(truth) - 1) / (neighbours * len(emulated))
    return float((found > 0).mean()), float(density)


def pqmass(emulated: Array, truth: Array, *, seed: int) -> float:
    """Measure the PQMass chi^2 per degree of freedom, the mean of some tessellations, if pqm is there.

    Parameters
    ----------
    emulated, truth : (m, c) and (n, c) ndarray of float64
        Whitened features, 30 fields at least.
    seed : int
        Below 2^32; numpy's global state, which pqm draws from, is left as it was.
    """
    pqm = _pqm()
    cells = int(np.clip(len(truth) // _FIELDS_PER_CELL, 5, _CELLS))
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed)  # noqa: NPY002
        found = [_chi2(pqm, emulated, truth, cells) for _ in range(_TESSELLATIONS)]
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return float(np.mean(found)) / (cells - 1)


def _check_finite(values: Array) -> None:
    whole = np.isfinite(values).all(axis=1)
    if not whole.all():
        raise LayoutError(f"a feature of field {int(np.argmin(whole))} is not finite; leave it out")


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _reach(products: Array, norms: Array, members: Members, start: int, neighbours: int) -> Array:
    """Return the k-th smallest |y|^2 - 2 x y over the y of other simulations, for x from `start`."""
    out = np.empty(len(products))
    for i in range(len(products)):
        best, own, row = np.full(neighbours, np.inf), members[start + i], products[i]
        for j in range(len(members)):
            value = norms[j] - 2 * row[j]
            if value < best[neighbours - 1] and members[j] != own:
                place = neighbours - 1
                while place > 0 and best[place - 1] > value:
                    best[place] = best[place - 1]
                    place -= 1
                best[place] = value
        out[i] = best[neighbours - 1]
    return out


def _pqm() -> ModuleType:
    try:
        return importlib.import_module("pqm")
    except ImportError as error:
        raise ResourceError("pqmass needs the package pqm: pip install pqm") from error


def _chi2(pqm: ModuleType, emulated: Array, truth: Array, cells: int) -> float:
    """Return chi^2 of one tessellation, finite where p is 0 to the machine."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # empty cells, around fields that are all the same
            found = float(pqm.pqm_chi2(emulated, truth, num_refs=cells))
    except ValueError:  # all fields in one cell, which tells nothing
        return 0.0
    return min(found, float(scipy.special.chdtri(cells - 1, np.finfo(np.float64).tiny)))
