"""Readings are zero for the simulations themselves and grow with every fault."""

from dataclasses import replace

import numpy as np
import pytest

from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.statistics.power import power_spectra
from cosmogan.train import reading as module
from cosmogan.train.data import spread
from cosmogan.train.reading import RARE, Exam, Referee, corners, free_exam, paired_exam

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = {
    "mean_density": 0.05,
    "power": 0.2,
    "bispectrum": 0.3,
    "reduced_bispectrum": 0.2,
    "quadrupole": 0.2,
    "pdf": 0.1,
    "pdf_smoothed": 0.1,
    "peaks": 0.2,
    "minima": 0.2,
}


def referee_of(truth, layout, corners=None, *, paired=False):
    """A referee who knows these fields, all in one corner if none is named."""
    nowhere = np.zeros(len(truth), np.int64)
    exam = Exam(np.empty(0), [], truth, corners or (nowhere, nowhere), paired=paired)
    return Referee(exam, layout, tolerance=TOLERANCE, k_max=0.7)


@pytest.fixture(scope="module")
def known(sides):
    """The fields that the referee compares with."""
    return np.concatenate([side[spread(side)] for side in sides])


@pytest.fixture(scope="module")
def referee(sides, known):
    return referee_of(known, sides[0].layout)


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


def test_of_pairs_one_rich_field_counts_like_any_other(known, sides):
    def error(made, *, paired):
        referee = referee_of(truth, sides[0].layout, paired=paired)
        return referee.read(made, images=0).errors["power"]

    truth = known.copy()
    truth[0] = 10 * (truth[0] - 1) + 1  # holds most of the power
    poor, richer = truth.copy(), truth.copy()
    richer[0] = 1.2 * (truth[0] - 1) + 1
    richer_error = 2 * (1.44 - 1) / (1.44 + 1) / len(truth)
    assert error(richer, paired=True) == pytest.approx(richer_error, rel=1e-3)
    assert error(richer, paired=False) > 10 * richer_error
    poor[1:] = 1.2 * (truth[1:] - 1) + 1
    assert error(poor, paired=True) > 0.9 * 2 * (1.44 - 1) / (1.44 + 1)


@pytest.mark.parametrize("name", ["power", "bispectrum"])
def test_who_changes_places_with_the_simulations_at_random_has_no_error(known, sides, name):
    """As the draws of a right sampler may: so the error of pairs is unbiased."""
    other = np.roll(known, 1, axis=0)
    there = referee_of(known, sides[0].layout, paired=True).read(other, images=0).errors
    rows = np.arange(len(known)) % 2 == 0
    made, truth = (np.concatenate([known[rows], other[rows]][::s]) for s in (1, -1))
    swapped = referee_of(truth, sides[0].layout, paired=True).read(made, images=0).errors
    assert swapped[name] < 1e-6
    assert there[name] > 1e-4


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
    for name in ("power", "bispectrum", "reduced_bispectrum"):
        truth = referee.truth[name]
        judged = referee.judged(truth)
        assert judged.size
        assert truth.coordinate[judged].max() <= 0.7 * nyquist
        assert np.delete(truth.coordinate, judged).min(initial=np.inf) > 0.7 * nyquist
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
    assert 0 < judged.size < truth.coordinate.size
    assert np.all(truth.samples.mean(0)[judged] >= RARE)
    assert np.all(np.delete(truth.samples.mean(0), judged) < RARE)


def test_bins_that_the_simulations_lack_are_not_judged(referee, known):
    """Between two that they have, where a ratio would be one over nothing."""
    truth = referee.truth["peaks"]
    judged = referee.judged(truth)
    hole = judged[len(judged) // 2]
    samples = truth.samples.copy()
    samples[:, hole] = 0
    lacking = replace(truth, samples=samples)
    assert referee.judged(lacking).tolist() == [bin_ for bin_ in judged if bin_ != hole]
    assert not referee.judged(replace(truth, samples=0 * samples)).size


def test_a_reading_is_json(referee, known):
    import json

    reading = referee.read(known, images=3)
    assert json.loads(json.dumps(reading.as_dict()))["errors"] == reading.errors


# What is asked for


@pytest.fixture(scope="module")
def epochs(tmp_path_factory, write_fields, two_epochs):
    """Both sides at two redshifts, of another length each."""
    folder = tmp_path_factory.mktemp("epochs")
    train = write_fields(folder / "train.fields", two_epochs, boxes=4)
    return train, write_fields(folder / "validation.fields", two_epochs, boxes=3, first=10)


@pytest.mark.parametrize("most", [5, 12, 500])
def test_a_paired_exam_asks_for_the_fields_it_holds(epochs, two_epochs, monkeypatch, most):
    """Origins, rows and truth are of the same validation fields, spread over the set."""
    monkeypatch.setattr(module, "FIELDS", most)
    validation = epochs[1]
    exam = paired_exam(validation, two_epochs)
    assert len(exam.rows) == len(exam.origins) == len(exam.truth) == min(most, len(validation))
    place = {field.tobytes(): number for number, field in enumerate(validation[:])}
    numbers = [place[field.tobytes()] for field in exam.truth]
    assert numbers[0] == 0
    assert numbers[-1] == len(validation) - 1
    assert np.ptp(np.diff(numbers)) <= 1
    np.testing.assert_array_equal(exam.origins, validation.origin[numbers])
    np.testing.assert_array_equal(two_epochs.parameters[exam.rows], validation.parameters[numbers])
    assert set(exam.rows) == {0, 1}


def test_who_answers_a_paired_exam_with_the_truth_has_no_error(epochs, two_epochs):
    exam = paired_exam(epochs[1], two_epochs)
    referee = Referee(exam, epochs[1].layout, tolerance=TOLERANCE, k_max=0.7)
    assert referee.read(exam.truth, images=0).score == 0
    assert referee.read(exam.truth[::-1], images=0).score > 0


def test_errors_of_opposite_sign_in_two_corners_do_not_cancel(epochs, two_epochs):
    exam = paired_exam(epochs[1], two_epochs)
    early = np.array(exam.rows) == 1
    np.testing.assert_array_equal(exam.corners[0], exam.corners[1])
    assert len(set(zip(exam.corners[0].tolist(), early.tolist(), strict=True))) == 2
    factor = np.where(early, 1.3, 0.8).astype(np.float32)
    answer = exam.truth * factor[:, None, None]
    layout = epochs[1].layout
    apart = referee_of(exam.truth, layout, exam.corners).read(answer, images=0).errors
    assert apart["mean_density"] == pytest.approx(0.25, abs=1e-6)
    together = referee_of(exam.truth, layout).read(answer, images=0).errors
    assert together["mean_density"] < 0.1


def test_few_redshifts_are_read_one_by_one_and_cosmologies_by_halves(two_epochs):
    """Ten matter densities, each at five redshifts."""
    grid = np.array([(m, z) for m in np.linspace(0.2, 0.4, 10) for z in (0.0, 0.5, 1.0, 1.5, 2.0)])
    theory = replace(two_epochs, parameters=grid)
    found = corners(theory, np.arange(len(grid)))
    kinds = set(zip(found.tolist(), grid[:, 1], grid[:, 0] > 0.3, strict=True))
    assert len(set(found.tolist())) == len(kinds) == 10


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
def test_a_free_exam_asks_for_new_fields_and_holds_both_sides(
    epochs, two_epochs, monkeypatch, kind
):
    monkeypatch.setattr(module, "FIELDS", 40)
    latent = make_latent(LatentShape(kind=kind), two_epochs, 16)
    exam = free_exam(*epochs, latent, two_epochs, 77)
    np.testing.assert_array_equal(exam.truth, np.concatenate([side[:] for side in epochs]))
    np.testing.assert_array_equal(exam.origins, latent.origins(77, range(40)))
    # parameters as often as in the training set
    assert len(exam.rows) == 40
    assert exam.rows.count(0) == pytest.approx(20, abs=2)
    assert not np.array_equal(free_exam(*epochs, latent, two_epochs, 78).origins, exam.origins)


def test_a_free_exam_asks_for_the_parameters_of_both_sides_as_often_as_they_hold_them(
    tmp_path, write_fields, theory, two_epochs, monkeypatch
):
    """Where the sides are of other universes, a perfect network would else not be perfect."""
    monkeypatch.setattr(module, "FIELDS", 60)
    training = write_fields(tmp_path / "train.fields", theory, boxes=2)
    validation = write_fields(tmp_path / "validation.fields", two_epochs, boxes=1, first=9)
    latent = make_latent(LatentShape(kind="gaussian"), two_epochs, 16)
    exam = free_exam(training, validation, latent, two_epochs, 77)
    early = np.concatenate([side.parameters[:, 1] for side in (training, validation)]) == 1.0
    assert 0 < early.mean() < 0.5
    assert exam.rows.count(1) / 60 == pytest.approx(early.mean(), abs=0.03)
