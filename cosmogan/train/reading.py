"""Readings: the averaged generator's fields against the simulations.

A reading is taken at every checkpoint from the same seeds. Its score is the mean deviation in
units of the recipe's tolerances, so the checkpoint that users get is chosen by the same rule as
the verdict is spoken, on other simulations. A latent that knows the initial conditions makes the
validation simulations themselves, and cosmic variance cancels. Where parameters vary, each corner of
their range is read by itself, and each of few redshifts, lest errors of opposite sign cancel.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.layout import Layout
from cosmogan.models.latent import Latent
from cosmogan.models.theory import Theory
from cosmogan.statistics import battery
from cosmogan.statistics.table import Statistic
from cosmogan.train.data import rows_of, spread

FIELDS = 512
"""Fields made for a reading."""
RARE = 0.01
"""Bins of a distribution that hold less than this fraction of the cells, peaks or minima are not judged."""
READ = (
    *("mean_density", "power", "bispectrum", "reduced_bispectrum"),
    *("quadrupole", "pdf", "pdf_smoothed", "peaks", "minima"),
)
"""The statistics that choose a checkpoint."""
RICH = ("power", "bispectrum")
"""Of these a few rich fields hold most: the mean is theirs alone. Of pairs, every field counts alike."""
FEW = 8
"""Redshifts up to which each is read by itself."""
_Rows = slice | NDArray[np.bool_]
_Look = Callable[[Mapping[str, Statistic]], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How far generated fields are from the simulations.

    Attributes
    ----------
    images : int
        Real fields shown so far.
    score : float
        Mean deviation over statistics, in tolerances; smaller is better.
    errors : dict of str to float
        Mean |ratio - 1| over the judged bins of each statistic, and over the corners. Of power and bispectrum of
        fields that have counterparts, mean |< 2 (m - t) / (|m| + |t|) >|, with m and t of a field and its
        counterpart: 0 for a right sampler, which may change places with the simulations.
    mean_density : float
        Of the generated fields [mean of the simulations].
    scatter : float
        Scatter of log P over fields, generated over simulated, averaged over bins and corners.
    touched : float
        Fraction of cells in the soft ceiling.
    gap_validation : float
        By how much training fields outscore generated ones in their place, minus the same of validation
        fields: it grows when training fields are learnt by heart.
    health : dict of str to float
        What `cosmogan.train.watch` looks at.
    """

    images: int
    score: float
    errors: dict[str, float]
    mean_density: float
    scatter: float
    touched: float
    gap_validation: float
    health: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return the numbers, for the log."""
        return asdict(self)


@dataclass(frozen=True)
class Exam:
    """What the generator is asked for at every reading, and what it is held against.

    Attributes
    ----------
    origins : (n,) structured array
        Of the latents.
    rows : list of int
        Of the theory.
    truth : (m, N, ...) float32 ndarray
        Fields of simulations, density over mean.
    corners : tuple of (n,) and (m,) ndarray of int
        Where in the trained range each of the one and the other lies.
    paired : bool
        Whether field i has the initial conditions of simulated field i.
    """

    origins: NDArray[np.void]
    rows: list[int]
    truth: NDArray[np.float32]
    corners: tuple[NDArray[np.int64], NDArray[np.int64]]
    paired: bool = False


def corners(theory: Theory, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return in which corner of the trained range each row of the theory lies.

    Of up to `FEW` redshifts each counts by itself, of any other parameter the halves of its range.
    """
    corner: NDArray[np.int64] = np.zeros(len(rows), np.int64)
    trained = theory.parameters[: theory.trained].T
    known = zip(theory.names, map(np.unique, trained), theory.parameters[rows].T, strict=True)
    for name, values, asked in known:
        alone = name == "redshift" and len(values) <= FEW
        ends = values if alone else values[[0, -1]]
        edges = (ends[1:] + ends[:-1]) / 2
        corner = corner * (len(edges) + 1) + np.searchsorted(edges, asked)
    return corner


def paired_exam(validation: FieldSet, theory: Theory) -> Exam:
    """Ask for validation fields from their own initial conditions."""
    chosen = spread(validation, FIELDS)
    rows = rows_of(validation, theory)[chosen]
    corner = corners(theory, rows)
    truth = validation.read_checked(chosen)
    return Exam(validation.origin[chosen], rows.tolist(), truth, (corner, corner), paired=True)


def free_exam(
    training: FieldSet, validation: FieldSet, latent: Latent, theory: Theory, seed: int
) -> Exam:
    """Ask for any fields.

    They are held against the boxes of both sides: a few validation boxes alone scatter by tens of
    per cent in the bispectrum, and would choose by luck.
    """
    held = [(fields, spread(fields)) for fields in (training, validation)]
    truth = np.concatenate([fields.read_checked(some) for fields, some in held])
    # at the parameters of the truth, as often
    rows = np.concatenate([rows_of(fields, theory)[some] for fields, some in held])
    asked = rows[np.arange(FIELDS) * len(rows) // FIELDS]
    corner = corners(theory, asked), corners(theory, rows)
    return Exam(latent.origins(seed, range(FIELDS)), asked.tolist(), truth, corner)


class Referee:
    """Knows the simulations and the tolerances.

    Parameters
    ----------
    exam : Exam
        The simulations, and what they are held against.
    layout : Layout
        Theirs.
    tolerance : mapping of str to float
        Per statistic.
    k_max : float
        Largest wavenumber judged [Nyquist wavenumber].
    """

    def __init__(
        self,
        exam: Exam,
        layout: Layout,
        *,
        tolerance: Mapping[str, float],
        k_max: float,
    ) -> None:
        self.box_size, self.tolerance = layout.box_size, dict(tolerance)
        self.k_limit = k_max * np.pi / layout.cell_size
        self.truth = self.measure(exam.truth)
        self._alike = RICH if exam.paired else ()
        made, true = exam.corners
        shared = np.intersect1d(made, true)
        self._pairs: list[tuple[_Rows, _Rows]] = [(made == c, true == c) for c in shared]
        if shared.size == 1:
            self._pairs = [(slice(None), slice(None))]

    def measure(self, fields: NDArray[np.float32]) -> dict[str, Statistic]:
        """Measure fields (n, N, ...), density over mean, as those of the simulations were."""
        return battery.measure(fields, self.box_size, READ)

    def read(
        self,
        fields: NDArray[np.float32],
        *,
        images: int,
        touched: float = 0.0,
        gap_validation: float = 0.0,
        look: _Look = lambda _: {},
    ) -> Reading:
        """Compare generated fields (n, N, ...), density over mean, with the simulations; `look` at their statistics too."""
        made = self.measure(fields)
        pairs = {
            name: [(_take(made[name], a), _take(truth, b)) for a, b in self._pairs]
            for name, truth in self.truth.items()
        }
        errors = {
            name: float(np.mean([self._deviation(name, *pair) for pair in of]))
            for name, of in pairs.items()
        }
        many = [pair for pair in pairs["power"] if min(len(side.samples) for side in pair) > 1]
        scatter = [_scatter(*pair, self.judged(pair[1])) for pair in many] or [np.nan]
        return Reading(
            images=images,
            score=float(np.mean([errors[n] / self.tolerance[n] for n in sorted(errors)])),
            errors=errors,
            mean_density=float(np.mean(fields, dtype=np.float64)),
            scatter=float(np.mean(scatter)),
            touched=touched,
            gap_validation=gap_validation,
            health=({"scatter": float(np.mean(scatter))} if many else {}) | look(made),
        )

    def _deviation(self, name: str, made: Statistic, truth: Statistic) -> float:
        judged = self.judged(truth)
        if not judged.size:
            return 0.0
        m, t = made.samples[:, judged], truth.samples[:, judged]
        if name in self._alike:
            away = 2 * (m - t) / np.maximum(np.abs(m) + np.abs(t), np.finfo(float).tiny)
            return float(np.mean(np.abs(away.mean(axis=0))))
        return float(np.mean(np.abs(m.mean(axis=0) / t.mean(axis=0) - 1)))

    def judged(self, truth: Statistic) -> NDArray[np.intp]:
        """Return which bins of a statistic count, of those that the simulations have."""
        judged = battery.judged_bins(truth, k_limit=self.k_limit, share=RARE)
        there = np.abs(truth.samples[:, judged]).sum(axis=0) > 0
        kept: NDArray[np.intp] = judged[there]
        return kept


def _take(statistic: Statistic, fields: _Rows) -> Statistic:
    return replace(statistic, samples=statistic.samples[fields])


def _scatter(made: Statistic, truth: Statistic, judged: NDArray[np.intp]) -> float:
    spread = np.log(made.samples[:, judged]).std(axis=0)
    expected = np.log(truth.samples[:, judged]).std(axis=0)
    return float(np.mean(spread / expected))
