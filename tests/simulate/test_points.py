"""Points fill their box evenly, and no side of the split moves another."""

import numpy as np
import pytest
from scipy.stats import qmc

from cosmogan.cosmology import Cosmology
from cosmogan.recipe import Recipe
from cosmogan.simulate.points import draw_points
from cosmogan.simulate.run import SPLITS, boxes, cosmologies

RANGES = {"sigma_8": (0.6, 1.0), "Omega_m": (0.2, 0.4)}


def table(points):
    return np.array([[p.Omega_m, p.sigma_8] for p in points])


def test_points_lie_in_the_box_and_nothing_else_varies():
    centre = Cosmology(h=0.7)
    points = draw_points(centre, RANGES, 50, 3)
    assert len(set(points)) == 50
    found = table(points)
    assert (found >= [0.2, 0.6]).all()
    assert (found <= [0.4, 1.0]).all()
    assert {(p.h, p.n_s, p.Omega_b) for p in points} == {(0.7, centre.n_s, centre.Omega_b)}


@pytest.mark.parametrize("number", [16, 256])
def test_every_stripe_has_one_point(number):
    unit = (table(draw_points(Cosmology(), RANGES, number, 1)) - [0.2, 0.6]) / [0.2, 0.4]
    for axis in (0, 1):
        # points are rounded, a stripe's edge may be crossed by that
        stripe = np.floor(np.sort(unit[:, axis]) * number + np.array([[-1e-2], [1e-2]]))
        assert ((stripe == np.arange(number)).any(axis=0)).all()


def test_they_are_spread_more_evenly_than_random_points():
    unit = (table(draw_points(Cosmology(), RANGES, 64, 5)) - [0.2, 0.6]) / [0.2, 0.4]
    random = np.random.default_rng(0).random((20, 64, 2))
    assert qmc.discrepancy(unit) < min(qmc.discrepancy(x) for x in random)


def test_more_points_of_a_seed_begin_with_the_same_and_other_seeds_have_others():
    few, many = (draw_points(Cosmology(), RANGES, n, 3) for n in (5, 40))
    assert many[:5] == few
    assert not set(draw_points(Cosmology(), RANGES, 40, 4)) & set(many)


def recipe(seed=3, boxes=(2, 1, 4), **points):
    counts = dict(zip(SPLITS, boxes, strict=True))
    return Recipe(
        name="points",
        seed=seed,
        points={"ranges": RANGES, "train": 16, "validation": 2, "test": 4} | points,
        simulate={"boxes": counts},
    )


def test_each_side_has_points_of_its_own():
    points = {split: set(cosmologies(recipe(), split)) for split in SPLITS}
    assert [len(points[split]) for split in SPLITS] == [16, 2, 4]
    assert len(set().union(*points.values())) == 22
    for other in (recipe(train=64), recipe(boxes=(9, 9, 4))):
        assert cosmologies(other, "test") == cosmologies(recipe(), "test")
    assert not points["test"] & set(cosmologies(recipe(seed=4), "test"))


def test_every_point_has_its_boxes_and_every_box_its_seed():
    made = boxes(recipe(), "test", "x")
    assert [box.shard for box in made] == list(range(16))
    assert [box.cosmology for box in made] == [
        point for point in cosmologies(recipe(), "test") for _ in range(4)
    ]
    assert len({box.seed for box in made}) == 16
    alone = Recipe(name="alone", seed=3, simulate={"boxes": {"test": 16}})
    assert [box.seed for box in made] == [box.seed for box in boxes(alone, "test", "x")]
