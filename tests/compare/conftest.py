"""Synthetic universes whose truth is known: tables of statistics, straight from random numbers."""

from dataclasses import replace

import numpy as np
import pytest

from cosmogan.fields.layout import ORIGIN_DTYPE, Layout
from cosmogan.statistics.table import Statistic, StatisticsTable

GRID, BOX_SIZE = 64, 200.0
K = 2 * np.pi / BOX_SIZE * (np.arange(1, 32) + 0.5)
RHO = np.geomspace(0.05, 20, 14)
WAVENUMBERS = ("power", "bispectrum", "reduced_bispectrum")
EULER = np.sin(np.linspace(-2.5, 2.5, RHO.size))
SHARE = np.exp(-0.5 * (np.log(RHO / 0.6) / 0.8) ** 2)


class Universe:
    """Makes simulations whose slices share a box effect, and fields that are as good, or are not."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.next_simulation = 1

    def _factor(self, member, bins, box, field):
        """Return exp of a box effect plus a field effect, smooth in the bins."""
        smooth = np.exp(-0.5 * (np.subtract.outer(np.arange(bins), np.arange(bins)) / 1.5) ** 2)
        smooth /= np.sqrt((smooth**2).sum(axis=1, keepdims=True))
        boxes = self.rng.standard_normal((member.max() + 1, bins)) @ smooth.T
        fields = self.rng.standard_normal((member.size, bins)) @ smooth.T
        return np.exp(box * boxes[member] + field * fields)

    def _effect(self, member, bins):
        boxes = self.rng.standard_normal((member.max() + 1, bins))
        return 0.3 * boxes[member] + self.rng.standard_normal((member.size, bins))

    def simulations(self, boxes, slices=6, name="simulations"):
        member = np.repeat(np.arange(boxes), slices)
        factor = self._factor(member, K.size, 0.1, 0.4)
        share = SHARE * self._factor(member, RHO.size, 0.05, 0.1)
        smoothed = SHARE**2 * self._factor(member, RHO.size, 0.05, 0.1)
        noise = self._factor(member, 7, 0.0, 1.0)
        mean = 0.1 * self.rng.standard_normal((boxes, slices))
        samples = {
            "mean_density": (1 + mean - mean.mean(axis=1, keepdims=True)).reshape(-1, 1),
            "power": 100 * K**-1.5 * factor,
            "bispectrum": 1e4 * (factor[:, 2:21:3] ** 2 + noise - 1),
            "reduced_bispectrum": 0.8 + 0.3 * (noise - noise.mean()),
            "pdf": share / share.sum(axis=1, keepdims=True),
            "pdf_smoothed": smoothed / smoothed.sum(axis=1, keepdims=True),
            "peaks": self.rng.poisson(30 * SHARE * self._factor(member, RHO.size, 0.05, 0.1)),
            "minkowski_2": 1e-4 * (EULER + 0.2 * self._effect(member, RHO.size)),
        }
        return table(samples, self._ids(boxes)[member], name)

    def memoriser(self, training, count=200, name="emulated"):
        """Return fields drawn from the training fields: right, but for the finite training set."""
        rows = self.rng.integers(0, len(training), count)
        samples = {n: s.samples[rows] for n, s in training.statistics.items()}
        return table(samples, self._ids(count), name)

    def _ids(self, number):
        first = self.next_simulation
        self.next_simulation += number
        return np.arange(first, first + number)


def table(samples, simulation, name="fields"):
    """Return a table of these samples."""
    origin = np.zeros(simulation.size, dtype=ORIGIN_DTYPE)
    origin["simulation"] = simulation
    coordinates = {
        "mean_density": np.zeros(1),
        "power": K,
        "bispectrum": K[2:21:3],
        "reduced_bispectrum": K[2:21:3],
        "pdf": RHO,
        "pdf_smoothed": RHO,
        "peaks": RHO,
        "minkowski_2": RHO,
    }
    statistics = {
        n: Statistic(
            name=n,
            coordinate=coordinates[n],
            samples=np.asarray(s, dtype=np.float64),
            weight=np.ones(coordinates[n].size),
            label=n,
            unit="",
            coordinate_label="k" if n in WAVENUMBERS else "rho / mean",
            coordinate_unit="h/Mpc" if n in WAVENUMBERS else "",
        )
        for n, s in samples.items()
    }
    return StatisticsTable(
        source=name,
        source_sha256="0" * 64,
        attributes={
            "dimension": 2,
            "box_size": BOX_SIZE,
            "cell_size": BOX_SIZE / GRID,
            "thickness": 6.25,
        },
        origin=origin,
        parameters=np.zeros((simulation.size, 0)),
        statistics=statistics,
    )


def changed(of, **samples):
    """Return a table with the samples of some statistics replaced."""
    new = {n: replace(of[n], samples=np.asarray(s)) for n, s in samples.items()}
    return replace(of, statistics={**of.statistics, **new})


@pytest.fixture
def universe():
    return Universe(20260101)


@pytest.fixture(scope="session")
def run():
    """Return a whole run whose emulator is right and whose yardsticks are broken."""
    made = Universe(3)
    sides = {n: made.simulations(b, name=n) for n, b in (("train", 16), ("valid", 4), ("test", 8))}
    emulated = made.memoriser(sides["train"], 120)
    others = {}
    for name, power in (("untrained", 0.5), ("lognormal", -0.3)):
        copy = made.memoriser(sides["train"], 100, name)
        tilt = (K / 0.3) ** power
        others[name] = changed(
            copy,
            power=copy["power"].samples * tilt,
            bispectrum=0.02 * copy["bispectrum"].samples,
            reduced_bispectrum=0.3 * copy["reduced_bispectrum"].samples,
            pdf_smoothed=copy["pdf_smoothed"].samples * np.linspace(0.5, 1.5, RHO.size),
        )
    return {**sides, "emulated": emulated, **others}


class _FieldList:
    """The part of a data set that the gallery needs."""

    def __init__(self, fields, simulation, box_size=200.0):
        self.fields = np.asarray(fields, dtype=np.float32)
        self.origin = np.zeros(len(simulation), dtype=ORIGIN_DTYPE)
        self.origin["simulation"] = simulation
        dimension, grid = self.fields.ndim - 1, self.fields.shape[-1]
        self.layout = Layout(
            dimension=dimension,
            grid=grid,
            box_size=box_size,
            thickness=box_size,
            mass_assignment="cic",
            particles=0,
        )

    def __getitem__(self, index):
        return self.fields[index]


@pytest.fixture(scope="session", name="FieldList")
def field_list():
    """Return the class of the data sets that the gallery is tested with."""
    return _FieldList


def _log_lines(count=400):
    for i in range(1, count + 1):
        yield {"event": "step", "images": 16 * i, "d_loss": 1 / i, "pairing": 0.7, "gap": 0.1}
        if i % 100 == 0:
            errors = {"power": 0.3, "pdf": 0.1, "bispectrum": 0.5, "pdf_smoothed": 0.1}
            more = {"score": 5 / i, "errors": errors, "mean_density": 1.0, "scatter": 0.9}
            yield {"event": "reading", "images": 16 * i, **more}


@pytest.fixture(scope="session")
def log_lines():
    """Return the lines of a training log."""
    return list(_log_lines())
