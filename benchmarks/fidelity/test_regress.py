"""Who regresses is judged by what is put in."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.fidelity import regress
from benchmarks.fidelity.regress import Slices, answers, judge, learn
from cosmogan.fields.layout import ORIGIN_DTYPE


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def truth(rng):
    """Parameters of 20 universes, 5 redshifts, 40 fields each."""
    points = rng.uniform((0.2, 0.6), (0.4, 1.0), (20, 2))
    return np.repeat(points, 200, axis=0), np.tile(np.repeat(np.arange(5.0), 40), 20)


def test_bias_scatter_and_shift_are_what_is_put_in(rng, truth):
    parameters, redshift = truth
    known = parameters + [0.02, 0.05] * rng.standard_normal(parameters.shape)
    wrong = parameters + [0.03, 0.05] * rng.standard_normal(parameters.shape) + [0.0, 0.02]
    value, low, high = judge(wrong, known, parameters, redshift)
    np.testing.assert_allclose(value[0], [0, 0.4], atol=0.06)
    np.testing.assert_allclose(value[1], [0, 0.4], atol=0.06)
    np.testing.assert_allclose(value[2], [1.5, 1], atol=0.05)
    assert value[3, 1] == pytest.approx(0.4, abs=0.1)
    assert (low <= value).all()
    assert (value <= high).all()


def test_errors_that_cancel_over_universes_are_a_shift_and_no_bias(rng, truth):
    parameters, redshift = truth
    known = parameters + 0.02 * rng.standard_normal(parameters.shape)
    skewed = known + 0.02 * np.sign(redshift - 2)[:, None]
    bias, excess, _, shift = judge(skewed, known, parameters, redshift)[0]
    np.testing.assert_allclose([bias, excess], 0, atol=0.05)
    np.testing.assert_allclose(shift, np.sqrt(0.8), rtol=0.05)


def test_what_universes_do_to_both_is_no_excess(rng, truth):
    """Each universe is mistaken by as much by either: of their bias 20 universes leave much open, and nothing of its excess."""
    parameters, redshift = truth
    mistaken = np.repeat(rng.standard_normal((20, 2)), 200, axis=0)
    known, other = (
        parameters + 0.02 * (mistaken + 0.3 * rng.standard_normal(parameters.shape))
        for _ in range(2)
    )
    _, low, high = judge(other, known, parameters, redshift)
    assert ((high - low)[1] < (high - low)[0] / 10).all()


def test_it_learns_what_a_field_shows(rng):
    """The scatter of lognormal fields is a parameter that anyone can read off."""
    scatter, redshift = rng.uniform(0.5, 1.5, 400), np.zeros(400)
    density = np.exp(scatter[:, None, None] * rng.standard_normal((400, 16, 16)))
    parameters = np.stack([scatter, rng.uniform(0, 1, 400)], 1)
    slices = Slices(density.astype(np.float32), redshift, parameters)
    network = learn(slices.rows(slice(0, 300)), seed=1, shown=20_000)
    unseen = slices.rows(slice(300, 400))
    away = answers(network, unseen) - unseen.parameters
    assert away[:, 0].std() < 0.1, "the first is seen"
    assert away[:, 1].std() > 0.2, "the second is not there to be seen"


def test_boxes_that_are_there_are_not_emulated_again_and_each_field_finds_its_place(
    tmp_path, monkeypatch
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/weights.safetensors").write_bytes(b"weights")
    origin = np.zeros(12, ORIGIN_DTYPE)
    origin["seed"] = np.arange(12) % 3
    slices = Slices(np.zeros((12, 4, 4), np.float32), np.zeros(12), np.zeros((12, 2)))
    made = []

    def emulate(call):
        path, _run, part, *_ = call
        made.append(path)
        np.save(path, np.broadcast_to(part["slab"][:, None, None], (len(part), 4, 4)))

    monkeypatch.setattr(regress, "_emulate", emulate)
    monkeypatch.setattr(regress, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    origin["slab"] = np.arange(12)
    first = regress.emulated(tmp_path, slices, origin, seed=1)
    np.testing.assert_array_equal(first.density[:, 0, 0], np.arange(12))
    made[0].unlink()
    again = regress.emulated(tmp_path, slices, origin, seed=1)
    np.testing.assert_array_equal(again.density, first.density)
    assert made == [*dict.fromkeys(made), made[0]]
    assert len(made) == 4
