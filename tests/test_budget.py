import pytest

from cosmogan import budget, recipe


def changed(base, **tables):
    content = base.model_dump()
    for table, values in tables.items():
        content[table] |= values
    return recipe.Recipe.model_validate(content)


DEMO = recipe.read("demo-64")


def test_a_box_gives_its_slabs_along_three_axes():
    slices = changed(DEMO, simulate={"grid": 64, "thickness": 4, "redshifts": [0.0, 1.0]})
    assert budget.simulated_fields(slices) == {"train": 1536, "validation": 384, "test": 768}


def test_held_out_boxes_have_redshifts_of_their_own():
    between = {"redshifts": [0.0, 1.0], "test_redshifts": [0.2, 0.5, 0.7]}
    slices = changed(DEMO, simulate=between)
    both = changed(DEMO, simulate={"redshifts": [0.0, 1.0]})
    many, few = budget.simulated_fields(slices), budget.simulated_fields(both)
    assert many == few | {"test": 3 * few["test"] // 2}


def test_a_cube_is_one_field_a_box_and_redshift():
    cubes = changed(
        DEMO, simulate={"dimension": 3, "redshifts": [0.0, 1.0]}, train={"neighbours": 0}
    )
    assert budget.simulated_fields(cubes) == {"train": 32, "validation": 8, "test": 16}
    assert budget.estimate(cubes)["simulate"].bytes == 56 * 4 * 64**3


def test_twice_the_work_costs_twice_apart_from_the_start():
    once = budget.estimate(DEMO)
    more = changed(
        DEMO,
        simulate={"boxes": {"train": 32, "validation": 8, "test": 16}},
        train=dict.fromkeys(("images", "predictor_images"), 2 * DEMO.train.images),
        emulate={"count": 2 * DEMO.emulate.count},
    )
    twice = budget.estimate(more)
    for name in ("simulate", "train", "emulated"):
        start = 2 * once[name].seconds - twice[name].seconds
        assert 0 <= start < 15, name
    assert twice["simulate"].bytes == 2 * once["simulate"].bytes
    assert twice["emulated"].bytes == 2 * once["emulated"].bytes


def test_a_pair_of_channels_costs_as_much_as_the_cells_it_has():
    """Twice the channels on the full grid cost as much more as 2^d times the squares on half of it."""

    def seconds(**train):
        return budget.estimate(changed(DEMO, train=train))["train"].seconds

    bare = seconds(generator_widths=(16,), discriminator_widths=(16,))
    fine = seconds(generator_widths=(32,), discriminator_widths=(16,)) - bare
    coarse = seconds(generator_widths=(16,), discriminator_widths=(32,)) - bare
    assert fine == pytest.approx(4 * coarse)


def test_every_stage_says_what_it_makes():
    assert list(budget.estimate(DEMO)) == [
        "simulate",
        "train",
        "emulated",
        "untrained",
        "lognormal",
        "counterparts",
        "lpt",
        "measure",
        "compare",
    ]
    assert all(cost.what and cost.bytes > 0 for cost in budget.estimate(DEMO).values())
