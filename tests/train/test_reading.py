"""Readings are zero for the simulations themselves and grow with every fault."""

import numpy as np
import pytest

from cosmogan.statistics.power import power_spectra
from cosmogan.train.data import spread_rows
from cosmogan.train.reading import RARE, Referee

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = {"mean_density": 0.05, "power": 0.2, "bispectrum": 0.3, "pdf": 0.1, "pdf_smoothed": 0.1}


@pytest.fixture(scope="module")
def referee(sides):
    return Referee(*sides, tolerance=TOLERANCE, k_max=0.7)


@pytest.fixture(scope="module")
def known(sides):
    """The fields that the referee compares with."""
    return np.concatenate([spread_rows(side) for side in sides])


def test_the_simulations_themselves_have_no_error(referee, known):
    reading = referee.read(known, images=7, touched=0.1, gap_validation=-0.2)
    assert set(reading.errors) == set(TOLERANCE)
    assert max(reading.errors.values()) == 0
    assert reading.score == 0
    assert reading.scatter == 1
    assert reading.mean_density == pytest.approx(1, rel=1e-5), "float32"
    assert (reading.images, reading.touched, reading.gap_validation) == (7, 0.1, -0.2)


@pytest.mark.parametrize("factor", [0.5, 1.2])
def test_a_wrong_density_shows_in_the_mean_and_squared_in_the_power(referee, known, factor):
    reading = referee.read(factor * known, images=0)
    assert reading.mean_density == pytest.approx(factor, rel=1e-5)
    assert reading.errors["mean_density"] == pytest.approx(abs(factor - 1), rel=1e-4)
    assert reading.errors["power"] == pytest.approx(abs(factor**2 - 1), rel=1e-4)
    assert reading.scatter == pytest.approx(1, rel=1e-4), "a factor is no scatter"


def test_the_score_is_the_mean_error_in_tolerances(referee, known):
    reading = referee.read(1.1 * known, images=0)
    expected = np.mean([reading.errors[name] / TOLERANCE[name] for name in TOLERANCE])
    assert reading.score == pytest.approx(expected)


def test_a_collapsed_emulator_has_no_scatter(referee, known):
    copies = np.repeat(known[:1], len(known), axis=0)
    assert referee.read(copies, images=0).scatter == pytest.approx(0, abs=1e-6)


def test_shuffled_cells_keep_the_distribution_and_lose_the_power(referee, known):
    flat = known.reshape(len(known), -1)
    shuffled = np.random.default_rng(1).permuted(flat, axis=1).reshape(known.shape)
    errors = referee.read(shuffled, images=0).errors
    assert errors["pdf"] == pytest.approx(0, abs=1e-12)
    assert errors["power"] > 0.3
    assert errors["pdf_smoothed"] > 0.05


def test_only_scales_that_the_grid_resolves_are_judged(referee, known, sides):
    nyquist = np.pi / sides[0].layout.cell_size
    for name in ("power", "bispectrum"):
        truth = referee.truth[name]
        judged = referee.judged(truth)
        assert judged.any()
        assert truth.coordinate[judged].max() <= 0.7 * nyquist
        assert truth.coordinate[~judged].min(initial=np.inf) > 0.7 * nyquist
    # what happens above the limit does not count
    modes = np.fft.rfft2(known - 1)
    n = np.hypot(*np.meshgrid(np.fft.fftfreq(16) * 16, np.arange(9), indexing="ij"))
    modes[:, n >= 6] *= 0.5
    tampered = (1 + np.fft.irfft2(modes)).astype(np.float32)
    changed = power_spectra(tampered, 64.0)[1].mean(0) / referee.truth["power"].samples.mean(0)
    assert changed.min() < 0.5
    assert referee.read(tampered, images=0).errors["power"] < 1e-5


def test_rare_densities_are_not_judged(referee):
    truth = referee.truth["pdf"]
    judged = referee.judged(truth)
    assert 0 < judged.sum() < len(judged)
    assert np.all(truth.samples.mean(0)[judged] >= RARE)
    assert np.all(truth.samples.mean(0)[~judged] < RARE)


def test_a_reading_is_json(referee, known):
    import json

    reading = referee.read(known, images=3)
    assert json.loads(json.dumps(reading.as_dict()))["errors"] == reading.errors
