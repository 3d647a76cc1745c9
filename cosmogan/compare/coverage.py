"""Diversity: whether emulated fields fill the space of features that simulations fill.

Three measures compare two sets of fields, each field a vector of features:

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

**Chance.** Textbook values hold for independent fields alone. What is expected comes from splits of a
pool of simulations into two sides that share none, with as many simulations and fields as the emulated
and the true ones; one side plays the emulator. An emulator of more seeds than simulations are left
over is judged as another draw of these, which scatters more: the alarm is then conservative. The pool
is of the emulator's parameters: another choice of cosmologies or redshifts is told apart as well.

**Whitening.** Distances are taken in principal components of the true side of each comparison, never
of the emulated. Nor of the whole pool: its simulations would be whitened by themselves and emulated
ones by others, which makes up to a quarter of perfect emulators look too dense.
"""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numba
import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare.floor import FALSE_ALARMS
from cosmogan.compare.units import RESOLUTION
from cosmogan.errors import LayoutError, RecipeError, ResourceError, SplitError

Array = NDArray[np.float64]
Members = NDArray[np.int64]
Rows = NDArray[np.intp]
Generator = np.random.Generator

TAILS = {"coverage": "low", "density": "both", "pqmass": "high"}
"""The measures, and where each is bad."""
MEASURES = tuple(TAILS)
COMPONENTS = 30
"""Most principal components: in more of them a few fields are everybody's neighbours."""
NEIGHBOURS = 5
"""k; two large equal sets cover each other to 1 - 2^-k."""
FIELDS, FEWEST_FIELDS = 1500, 30
"""Most and fewest fields on a side; the time goes with their square."""

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


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of emulated fields, and what simulations against simulations give."""

    value: float
    """Of the emulated fields."""
    median: float
    low: float
    high: float
    """Median, 5th and 95th percentile over the splits of the pool."""
    p_value: float
    """Share of splits as bad: as low for coverage, as high for pqmass, doubled for density."""


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Whether emulated fields are as diverse as simulations."""

    measures: Mapping[str, Measure]
    """By name."""
    p_value: float
    """Share of splits whose worst measure is at least as bad."""
    fields: int
    """Fields on either side."""
    simulations: tuple[int, int]
    """Simulations on the side of the emulator and that of the truth, in each split."""
    splits: int
    components: int
    """Principal components of the features."""
    neighbours: int = NEIGHBOURS

    @property
    def alarm(self) -> bool:
        """Whether the fields can be told from simulations, as one perfect emulator in twenty can."""
        return self.p_value <= FALSE_ALARMS


def diversity(
    emulated: Features,
    truth: Features,
    pool: Features,
    *,
    seed: int,
    splits: int = 200,
    fields: int = FIELDS,
    measures: Sequence[str] = MEASURES,
) -> Diversity:
    """Compare the diversity of emulated fields with that of simulations.

    Parameters
    ----------
    emulated, truth : Features
        They share no simulation.
    pool : Features
        All simulations at hand, the truth among them.
    seed : int
        Where chance comes from.
    splits : int
        Random splits of the pool; below 100 the p-values are coarse.
    fields : int
        Most fields on a side; more are thinned at random, evenly over simulations.
    measures : sequence of str
        Any of `MEASURES`; "pqmass" needs the package pqm.

    Raises
    ------
    LayoutError, RecipeError, ResourceError, SplitError
        If features differ in number or do not vary; simulations or fields are too few, a measure is
        unknown; pqm is not installed; emulated and true fields share a simulation.

    Notes
    -----
    All measures together are judged by the largest deviation: of each, its distance from the median
    towards its bad side, over that of the 5th or 95th percentile. Value and splits are ranked among
    themselves, so that every p is (1 + count) / (1 + splits).
    """
    _check(emulated, truth, pool, measures)
    number, sides = _sizes((emulated, truth, pool), fields, splits)
    rng = np.random.default_rng(seed)
    one = emulated[_draw(_members(emulated), sides[0], number, rng)]
    other = truth[_draw(_members(truth), sides[1], number, rng)]
    rows, components = [_measure(one, other, measures, rng)], whiten(other).axes.shape[1]
    members = _members(pool)
    for _ in range(splits):
        order = rng.permutation(members.max() + 1)
        one = pool[_deal(members, order[: sides[0]], number, rng)]
        other = pool[_deal(members, order[sides[0] : sum(sides)], number, rng)]
        rows.append(_measure(one, other, measures, rng))
    values = np.array(rows)
    return Diversity(
        measures={name: _summary(values[:, i], TAILS[name]) for i, name in enumerate(measures)},
        p_value=_share(_deviations(values, measures, 1 / number).max(axis=1)),
        fields=number,
        simulations=sides,
        splits=splits,
        components=components,
    )


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


def _check(emulated: Features, truth: Features, pool: Features, measures: Sequence[str]) -> None:
    widths = {side.values.shape[1] for side in (emulated, truth, pool)}
    if len(widths) > 1:
        raise LayoutError(f"fields have {sorted(widths)} features; give all of them the same ones")
    if not measures or not set(measures) <= set(MEASURES):
        raise RecipeError(f"measures = {list(measures)}: give some of {list(MEASURES)}")
    shared = np.intersect1d(emulated.simulation, truth.simulation)
    if shared.size:
        raise SplitError(f"simulation {shared[0]} is both emulated and true; take it out of one")


def _check_finite(values: Array) -> None:
    whole = np.isfinite(values).all(axis=1)
    if not whole.all():
        raise LayoutError(f"a feature of field {int(np.argmin(whole))} is not finite; leave it out")


def _sizes(sides: Sequence[Features], fields: int, splits: int) -> tuple[int, tuple[int, int]]:
    """Choose how many fields, and simulations, both sides of every comparison have."""
    made, true, whole = (np.sort(np.bincount(_members(side))) for side in sides)
    second = min(true.size, whole.size // 2)
    first = min(made.size, whole.size - second)
    poorest = made, true[:second], whole[:second], whole[:first]
    number = min(fields, *(int(counts.sum()) for counts in poorest))
    if splits < 1 or second < 2 or number < FEWEST_FIELDS:
        have = f"{true.size} true simulations, {whole.size} in the pool, {number} fields, {splits} splits"
        raise RecipeError(f"{have}: give 2, 4, {FEWEST_FIELDS} a side, and 100 or more")
    return number, (first, second)


def _members(features: Features) -> Members:
    """Return the number of the simulation of each field, counted from 0."""
    return np.unique(features.simulation, return_inverse=True)[1].astype(np.int64)


def _draw(members: Members, simulations: int, fields: int, rng: Generator) -> Rows:
    """Deal fields of so many random simulations, or of more if these hold too few."""
    counts = np.bincount(members)
    order = rng.permutation(counts.size)
    enough = int(np.searchsorted(np.cumsum(counts[order]), fields)) + 1
    return _deal(members, order[: max(simulations, enough)], fields, rng)


def _deal(members: Members, chosen: Rows, fields: int, rng: Generator) -> Rows:
    """Return rows of so many random fields of the chosen simulations, in turn from each."""
    rows = np.flatnonzero(np.isin(members, chosen))
    rows = rows[np.lexsort((rng.random(rows.size), members[rows]))]
    turn = np.arange(rows.size) - np.searchsorted(members[rows], members[rows])
    return rows[np.lexsort((rng.random(rows.size), turn))[:fields]]


def _measure(one: Features, other: Features, names: Sequence[str], rng: Generator) -> list[float]:
    whitening = whiten(other)
    emulated, truth = (whitening.apply(side.values) for side in (one, other))
    found = dict(
        zip(MEASURES, coverage_and_density(emulated, truth, other.simulation), strict=False)
    )
    if "pqmass" in names:
        found["pqmass"] = pqmass(emulated, truth, seed=int(rng.integers(2**32)))
    return [found[name] for name in names]


def _summary(values: Array, tail: str) -> Measure:
    """Sum up the value of the emulated fields, which comes first, and those of the splits."""
    low, median, high = np.quantile(values[1:], [0.05, 0.5, 0.95]).tolist()
    below, above = _share(-values), _share(values)
    p_value = {"low": below, "high": above, "both": min(1.0, 2 * min(below, above))}[tail]
    return Measure(value=float(values[0]), median=median, low=low, high=high, p_value=p_value)


def _share(values: Array) -> float:
    """Return the share of all values, the first included, that are at least as high as the first."""
    return float((values >= values[0]).mean())


def _deviations(values: Array, measures: Sequence[str], resolution: float) -> Array:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
    below = (median - values) / np.maximum(median - low, resolution)
    above = (values - median) / np.maximum(high - median, resolution)
    bad = {"low": below, "high": above, "both": np.maximum(below, above)}
    return np.stack([bad[TAILS[name]][:, i] for i, name in enumerate(measures)], axis=1)


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
