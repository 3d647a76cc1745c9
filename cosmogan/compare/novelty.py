"""Whether emulated fields are copies, of training fields or of each other.

Two fields are compared by `cosmogan.statistics.resemblance`, wherever and however they lie. Three one-sided
tests, each at a third of `FALSE_ALARMS` (Bonferroni), so that at most one in twenty emulators that copy
nothing is accused:

* *copies of training fields*: is the largest resemblance to a training field larger than what the same
  emulated fields reach with simulations that nobody has learned from?
* *a pull towards training*: do they resemble training simulations more on average? This sees what is too
  weak to be seen in any one field.
* *copies of each other*: is the largest resemblance between emulated fields of different seeds larger than
  between simulations? It is the birthday test of Arora & Zhang (2017, arXiv:1706.08224): a generator of
  few different fields soon repeats itself.

The null of the first two is that the emulated fields do not know which simulations were learned from:
training and held-out ones are exchangeable then, however wrong the emulator. To compare how near emulated
and held-out fields come to the training set, as Meehan et al. (2020, arXiv:2004.05675) do, takes texture
for copying: fields a little smoother than simulations resemble all of them a little more. Nor must a wrong
power spectrum count: emulated fields are whitened by their own, simulations by theirs.

Values are resemblances to the nearest of a number of fields of one other simulation. Fields of the same
simulation are never compared: they share large scales, and neighbouring slabs are all but equal.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from cosmogan.compare.units import Numbered, Readable
from cosmogan.errors import LayoutError, SplitError
from cosmogan.statistics.resemblance import Signatures, resemblance, signatures

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

FALSE_ALARMS = 0.05
"""Share of emulators that copy nothing and are accused, at most."""
_TESTS = 3
LEVEL = FALSE_ALARMS / _TESTS
"""Share of them that each test may accuse."""
MOST, TARGETS = 256, 512
"""Emulated fields that are compared, and training fields with which, at most."""
_WAVES = {2: 16, 3: 6}
"""Largest |n| compared, by dimension: some 800 and 900 modes, at any number of cells."""
_ENOUGH_HELD_OUT = 8  # beyond that, more fields of each are worth more than more simulations
_DRAWS = 20_000
_BLOCK = 2_000_000  # random numbers held in memory at a time
_TINY = 1e-12  # below the rounding of a correlation: keeps fields without structure from 0 / 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearness:
    """How near the emulated fields come to others, and to what they cannot be copies of.

    Attributes
    ----------
    rows : (n,) ndarray of int
        The emulated fields that were compared.
    partner : (n,) ndarray of int
        The field that each resembles most, as a row of the training or the emulated fields.
    found : (n, g) ndarray
        Resemblance of each to the nearest field of every other simulation.
    chance : (m, h) ndarray
        The same between fields and simulations that know nothing of each other.
    threshold : float
        What the largest found must exceed for an alarm.
    p_value : float
        How often chance gives one as large as the largest found, from 1 / 20,001.
    """

    rows: Indices
    partner: Indices
    found: Array
    chance: Array
    threshold: float
    p_value: float

    @property
    def nearest(self) -> Array:
        """(n,) resemblance of each emulated field to its `partner`."""
        return np.asarray(self.found.max(axis=1))

    @property
    def suspects(self) -> Indices:
        """Rows of the emulated fields that resemble another more than chance allows."""
        return self.rows[self.nearest > self.threshold]

    @property
    def medians(self) -> tuple[float, float]:
        """Medians of `found` and of `chance`."""
        return float(np.median(self.found)), float(np.median(self.chance))


@dataclass(frozen=True, kw_only=True)
class Pull:
    """How much nearer the emulated fields are to training simulations than to held-out ones.

    Attributes
    ----------
    excess : float
        Difference of the mean resemblances to the nearest field of a simulation.
    error : float
        Its standard error, from the scatter over held-out simulations.
    p_value : float
        How often chance ranks training simulations as high.
    """

    excess: float
    error: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """Whether emulated fields are new.

    Attributes
    ----------
    training : Nearness
        To training fields; `chance` is that to held-out ones.
    pull : Pull
        The same on average.
    others : Nearness
        To emulated fields of other seeds; `chance` is that of different simulations.
    searched, known : int
        Training fields that were compared, and all there are.
    """

    training: Nearness
    pull: Pull
    others: Nearness
    searched: int
    known: int

    @property
    def p_value(self) -> float:
        """Of all three tests together."""
        smallest = min(self.training.p_value, self.pull.p_value, self.others.p_value)
        return min(1.0, _TESTS * smallest)

    @property
    def alarm(self) -> bool:
        """Whether the emulator copies."""
        return self.p_value <= FALSE_ALARMS


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chosen:
    """The same number of fields of each of S simulations: rows (S, s), signatures in their order."""

    rows: Indices
    marks: Signatures

    def thin(self, simulations: int, each: int) -> "_Chosen":
        """Keep so many simulations and so many fields of each, evenly spaced."""
        first, second = (
            np.arange(kept) * size // kept
            for kept, size in zip((simulations, each), self.rows.shape, strict=True)
        )
        place = np.arange(self.rows.size).reshape(self.rows.shape)[np.ix_(first, second)]
        return _Chosen(rows=self.rows.ravel()[place], marks=self.marks[place.ravel()])


def find_copies(
    emulated: Numbered[Readable],
    training: Numbered[Readable],
    held_out: Numbered[Readable],
    *,
    most: int = MOST,
    targets: int = TARGETS,
    seed: int = 0,
    workers: int = 1,
) -> Novelty:
    """Ask whether an emulator copies its training fields, or itself.

    Parameters
    ----------
    emulated : Numbered
        What is judged, of two seeds at least.
    training : Numbered
        What the emulator has learned from.
    held_out : Numbered
        What it has never seen, of two simulations at least, better eight.
    most : int
        Emulated fields that are compared, at most, spread evenly over the seeds.
    targets : int
        Training fields they are compared with, at most, and as many of each held-out simulation.
    seed : int
        Chooses the fields.
    workers : int
        Threads; the result does not depend on them.

    Returns
    -------
    Novelty

    Raises
    ------
    SplitError
        If two of the three share a simulation.
    LayoutError
        If there are fewer simulations than it takes, or the fields are not alike, not numbered or no
        densities.

    Notes
    -----
    *Largest.* Nearest ones are maxima, whose law is Gumbel's (Gumbel 1958; Leadbetter, Lindgren & Rootzen
    1983). With mean m and standard deviation s of `chance`, (largest - m) / s has a law without parameters;
    it is drawn for fits to as many values as there are fields, for those of one field are not independent.
    What is nearly Gaussian comes to Gumbel's law from shorter tails (Fisher & Tippett 1928), so the test
    errs towards the emulator, by little: in slices of 64^2 cells the threshold is 0.3, and a copy near 1.

    *Pull.* A simulation counts once, by its mean over all emulated fields, and training and held-out ones
    are told apart by their ranks (Mann & Whitney 1947): exchangeable as they are under the null, this is
    exact for any law; means of simulations are skew. It takes 4 + 4, 2 + 10 or 1 + 60 to accuse at all.

    256 fields against 512 + 256, slices of 64^2 cells, take twenty seconds on one core.

    Examples
    --------
    >>> import numpy as np
    >>> rho = np.random.default_rng(1).lognormal(size=(48, 16, 16))
    >>> simulation = np.arange(48) // 2  # two slices of each
    >>> made, learned, unseen = (
    ...     Numbered(fields=rho[part], simulation=simulation[part])
    ...     for part in (slice(16), slice(16, 32), slice(32, 48))
    ... )
    >>> find_copies(made, learned, unseen).alarm
    False
    >>> made.fields[5] = np.roll(learned.fields[3], (2, 7), axis=(0, 1)).T
    >>> found = find_copies(made, learned, unseen)
    >>> print(found.alarm, found.training.suspects, found.training.partner[5])
    True [5] 3
    """
    _check({"emulated": (emulated, 2), "training": (training, 1), "held-out": (held_out, 2)})
    rng = np.random.default_rng(seed)
    each = min(_fields_each(training, targets), _fields_each(held_out, targets, _ENOUGH_HELD_OUT))
    learned, unseen = (_rows(side, targets, each, rng) for side in (training, held_out))
    simulated = _choose([(training, learned), (held_out, unseen)])
    made = _choose([(emulated, _rows(emulated, most, _fields_each(emulated, most), rng))])
    near, pull = _against_training(made, simulated, len(learned), workers)
    return Novelty(
        training=near,
        pull=pull,
        others=_against_others(made, simulated, most, workers),
        searched=learned.size,
        known=len(training.fields),
    )


def _against_training(
    made: _Chosen, simulated: _Chosen, learned: int, workers: int
) -> tuple[Nearness, Pull]:
    """Compare emulated fields with simulations, of which the first `learned` are training ones."""
    simulations, each = simulated.rows.shape
    alike = resemblance(made.marks, simulated.marks, workers=workers)
    nearest = alike.reshape(len(alike), simulations, each).max(axis=2)
    found, chance = nearest[:, :learned], nearest[:, learned:]
    partner = simulated.rows.ravel()[alike[:, : learned * each].argmax(axis=1)]
    near = _nearness(made, partner, found, chance, trials=found.size)
    return near, _weigh_mean(found.mean(axis=0), chance.mean(axis=0))


def _against_others(made: _Chosen, simulated: _Chosen, most: int, workers: int) -> Nearness:
    """Compare emulated fields with each other, and simulated ones likewise."""
    each = min(made.rows.shape[1], simulated.rows.shape[1])
    made = made.thin(len(made.rows), each)
    simulated = simulated.thin(min(len(simulated.rows), max(2, most // each)), each)
    alike, found = _among(made, workers)
    _, chance = _among(simulated, workers)
    partner = made.rows.ravel()[alike.argmax(axis=1)]
    # A pair stands in the rows of both its fields.
    return _nearness(made, partner, found, chance, trials=found.size // 2)


def _nearness(
    made: _Chosen, partner: Indices, found: Array, chance: Array, *, trials: int
) -> Nearness:
    """Set the largest found against that of `trials` values like those of `chance`."""
    centre, scale = float(chance.mean()), max(float(chance.std()), _TINY)
    null = _standard_maxima(len(chance), trials)
    allowed = math.floor(LEVEL * (1 + null.size)) - 1  # so many at least as large: p <= LEVEL
    above = int((null >= (found.max() - centre) / scale).sum())
    return Nearness(
        rows=made.rows.ravel(),
        partner=partner,
        found=found,
        chance=chance,
        threshold=centre + scale * float(null[-1 - allowed]),
        p_value=(1 + above) / (1 + null.size),
    )


def _among(chosen: _Chosen, workers: int) -> tuple[Array, Array]:
    """Return resemblances (n, n), -inf within one of S simulations, and the nearest (n, S - 1)."""
    simulations, each = chosen.rows.shape
    number = simulations * each
    alike = np.full((number, number), -np.inf)
    for start in range(0, number - each, each):
        here, later = slice(start, start + each), slice(start + each, None)
        block = resemblance(chosen.marks[here], chosen.marks[later], workers=workers)
        alike[here, later], alike[later, here] = block, block.T
    nearest = alike.reshape(number, simulations, each).max(axis=2)
    return alike, nearest[np.isfinite(nearest)].reshape(number, simulations - 1)


@functools.lru_cache(maxsize=16)
def _standard_maxima(values: int, trials: int) -> Array:
    """Draw (largest of `trials` - mean) / standard deviation, both of `values` others, for Gumbel's law."""
    rng = np.random.default_rng([values, trials])
    null = rng.gumbel(math.log(trials), size=_DRAWS)  # the largest of n is one of them plus ln n
    step = max(1, _BLOCK // values)
    for start in range(0, _DRAWS, step):
        part = null[start : start + step]
        fitted = rng.gumbel(size=(part.size, values))
        part -= fitted.mean(axis=1)
        part /= np.maximum(fitted.std(axis=1), _TINY)
    return np.sort(null)


def _weigh_mean(learned: Array, unseen: Array) -> Pull:
    """Compare training and held-out simulations by the ranks of their means."""
    ranks = scipy.stats.mannwhitneyu(learned, unseen, alternative="greater")
    error = float(unseen.std(ddof=1)) * math.sqrt(1 / learned.size + 1 / unseen.size)
    excess = float(learned.mean() - unseen.mean())
    return Pull(excess=excess, error=error, p_value=float(ranks.pvalue))


def _choose(parts: Sequence[tuple[Numbered[Readable], Indices]]) -> _Chosen:
    """Read these rows, and reduce them with the mean power of all of them."""
    fields = [np.asarray(side.fields[rows.ravel()]) for side, rows in parts]
    if len({part.shape[1:] for part in fields}) > 1:
        shapes = ", ".join(str(part.shape[1:]) for part in fields)
        raise LayoutError(f"training and held-out fields are {shapes}; give fields of one shape")
    together = np.concatenate(fields)
    band = min(0.5, 2 * _WAVES.get(together.ndim - 1, 1) / together.shape[-1])
    rows = np.concatenate([rows for _, rows in parts])
    return _Chosen(rows=rows, marks=signatures(together, band=band))


def _check(sides: Mapping[str, tuple[Numbered[Readable], int]]) -> None:
    """Refuse sides without numbers, with fewer simulations than named, or that share one."""
    names = {}
    for name, (side, fewest) in sides.items():
        shape, number = np.shape(side.simulation), len(side.fields)
        if shape != (number,):
            raise LayoutError(
                f"{name}: {number} fields and simulations of shape {shape}; number each field"
            )
        names[name] = np.unique(side.simulation)
        if names[name].size < fewest:
            raise LayoutError(
                f"{name}: fields of {names[name].size} simulations, but it takes {fewest}; make more"
            )
    for one, other in itertools.combinations(names, 2):
        shared = np.intersect1d(names[one], names[other])
        if shared.size:
            raise SplitError(
                f"{one} and {other} fields share simulation {shared[0]}; judge by simulations that "
                f"nothing else has seen, and number what is independent apart"
            )


def _fields_each(side: Numbered[Readable], most: int, enough: int | None = None) -> int:
    """Return how many fields of each simulation to take: no more than nine in ten of them have."""
    counts = np.unique(side.simulation, return_counts=True)[1]
    simulations = min(counts.size, enough or counts.size)
    return max(1, min(most // simulations, int(np.quantile(counts, 0.1, method="lower"))))


def _rows(side: Numbered[Readable], most: int, each: int, rng: np.random.Generator) -> Indices:
    """Choose rows (S, each), evenly spaced from a random start: slabs next to each other are alike."""
    names, counts = np.unique(side.simulation, return_counts=True)
    chosen = np.sort(rng.permutation(names[counts >= each])[: max(2, most // each)])
    steps = (np.arange(each) + rng.random((chosen.size, 1))) / each
    rows = [np.flatnonzero(side.simulation == name) for name in chosen]
    return np.stack(
        [row[(step * row.size).astype(np.intp)] for row, step in zip(rows, steps, strict=True)]
    )
