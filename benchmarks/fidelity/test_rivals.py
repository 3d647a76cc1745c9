"""Rivals learn, go on where they stood, and give densities."""

import itertools

import numpy as np
import pytest
import torch

from benchmarks.fidelity import rivals
from benchmarks.fidelity.rivals import RIVALS, batch_of
from cosmogan.fields.scaling import Scaling

GRID = 32


@pytest.fixture(scope="module")
def fields():
    rng = np.random.default_rng(1)
    return np.exp(rng.standard_normal((80, GRID, GRID))).astype(np.float32)


@pytest.fixture
def make(fields):
    def begin(name):
        torch.manual_seed(3)
        return RIVALS[name](Scaling.fit(fields, 0.5), GRID)

    return begin


def steps(rival, fields, numbers):
    for number in numbers:
        torch.manual_seed(number)
        rival.learn(batch_of(fields, number, 4, seed=1))


def sampled(rival):
    return rival.sample(3, torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", RIVALS)
def test_samples_are_densities_and_change_as_it_learns(make, fields, name):
    rival = make(name)
    before = sampled(rival)
    assert before.shape == (3, GRID, GRID)
    assert np.isfinite(before).all()
    assert before.min() >= 0
    assert not np.allclose(before[0], before[1])
    np.testing.assert_array_equal(sampled(rival), before)
    steps(rival, fields, range(3))
    assert rival.shown == 12
    assert not np.allclose(sampled(rival), before)
    assert all(torch.isfinite(p).all() for p in rival.parameters())


@pytest.mark.parametrize("name", RIVALS)
def test_it_goes_on_where_it_stood(make, fields, name, tmp_path):
    whole, first = make(name), make(name)
    steps(whole, fields, range(4))
    steps(first, fields, range(2))
    torch.save(first.state(), tmp_path / "state.pt")
    second = make(name)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(second, fields, range(2, 4))
    np.testing.assert_array_equal(sampled(second), sampled(whole))


def test_the_weights_of_the_best_reading_stay(make, fields, tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "begin", lambda name, _: make(name))
    monkeypatch.setattr(rivals, "FIELDS", 3)
    clock, seen = itertools.count(), []
    monkeypatch.setattr(rivals.time, "monotonic", lambda: next(clock))  # a step takes a second
    path = tmp_path / "rival.pt"

    def learn(*scores):
        left = iter(scores)

        def score_of(made):
            score = next(left)  # and if there is none, it is cut off
            seen.append(made)
            return score

        return rivals.learn("dcgan", fields, path, 20, 1, score_of)

    def best():
        kept = make("dcgan")
        kept.restore(torch.load(rivals.best_of(path), weights_only=True))
        return kept

    with pytest.raises(StopIteration):
        learn(3.0, 1.0, 2.0)
    np.testing.assert_array_equal(next(rivals.samples(best(), 3, 1)), seen[1])
    readings = learn(5.0, 0.5, *[4.0] * 5)
    assert [r["score"] for r in readings] == [3.0, 1.0, 2.0, 5.0, 0.5, *[4.0] * 5]
    assert [r["seconds"] for r in readings] == list(range(2, 21, 2))
    assert best().shown == readings[4]["images"]
    np.testing.assert_array_equal(next(rivals.samples(best(), 3, 1)), seen[4])
    assert learn() == readings, "it is done"


def test_fields_that_are_not_finite_are_no_best(make, fields, tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "begin", lambda name, _: make(name))
    clock, broken = itertools.count(), iter([1.0, np.nan])
    monkeypatch.setattr(rivals.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        rivals, "samples", lambda *_: [np.full((3, GRID, GRID), next(broken, np.inf))]
    )
    path = tmp_path / "rival.pt"
    readings = rivals.learn("dcgan", fields, path, 10, 1, np.mean)
    assert [r["score"] for r in readings] == [1.0, *[np.inf] * 9]
    assert torch.load(rivals.best_of(path), weights_only=True)["shown"] == readings[0]["images"]


def test_a_batch_is_of_the_fields_turned_and_shifted(fields):
    batch = batch_of(fields, 3, 5, seed=1)
    assert batch.shape == (5, 1, GRID, GRID)
    sums = {round(float(s), 1) for s in fields.sum(axis=(1, 2))}
    assert {round(float(s), 1) for s in batch.sum(dim=(1, 2, 3))} <= sums
    assert torch.equal(batch_of(fields, 3, 5, seed=1), batch)
    assert not torch.equal(batch_of(fields, 4, 5, seed=1), batch)


@pytest.mark.parametrize("name", RIVALS)
def test_the_learning_rate_falls_as_time_goes(make, name):
    rival = make(name)
    for share, expected in ((0, 1), (0.5, 0.525), (1, 0.05)):
        rival.pace(share)
        rates = [group["lr"] for adam in rival.optimisers for group in adam.param_groups]
        assert rates == pytest.approx(len(rates) * [expected * rival.rate])
    assert len(rates) == len(rival.optimisers)
