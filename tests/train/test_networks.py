"""Networks begin the same for the same seed, and none that looks too far begins at all."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.errors import LayoutError, TrainingError
from cosmogan.fields.scaling import Scaling
from cosmogan.models.blocks import Convolution
from cosmogan.train.networks import Calibration, build_networks, generator_shape
from cosmogan.train.place import Place

pytestmark = pytest.mark.usefixtures("one_thread")


def bits(networks):
    return {name: t.numpy().tobytes() for name, t in networks.tensors().items()}


@pytest.fixture(scope="module")
def build(base_plan, sides):
    layout, fields = sides[0].layout, sides[0][:]

    def make(**changes):
        grid = changes.pop("grid", layout.grid)
        wanted = replace(layout, grid=grid, box_size=grid * layout.cell_size)
        given = changes.pop("fields", np.tile(fields, (1, grid // 16, grid // 16)))
        rounded = changes.pop("rounded", False)
        plan = replace(base_plan, **changes)
        shape = generator_shape(plan, wanted, 1)
        scaling = Scaling.fit(given, plan.density_scale)
        return build_networks(plan, shape, scaling, Calibration(given), Place(rounded=rounded))

    return make


def test_the_seed_decides_every_weight_whatever_was_drawn_before(build):
    first = bits(build())
    torch.rand(5)
    assert bits(build()) == first
    assert bits(build(seed=4)) != first


def test_the_average_begins_as_the_generator_and_is_nobody_elses(build):
    networks = build()
    for slow, fast in zip(
        networks.average.parameters(), networks.generator.parameters(), strict=True
    ):
        assert torch.equal(slow, fast)
        assert slow.data_ptr() != fast.data_ptr()
        assert not slow.requires_grad
    assert networks.shown == 0


def test_who_plays_may_round_and_the_average_never_does(build):
    widths = {"generator_widths": (32, 32), "discriminator_widths": (32, 32)}
    networks = build(rounded=True, **widths)

    def rounded(network):
        return {part.rounded for part in network.modules() if isinstance(part, Convolution)}

    assert rounded(networks.generator) == rounded(networks.discriminator) == {True, False}
    assert rounded(networks.average) == {False}
    assert not networks.generator.head.rounded, "what is added to a latent is not"
    plain = build(**widths)
    assert rounded(plain.generator) | rounded(plain.discriminator) == {False}
    assert bits(plain) == bits(networks), "the numbers they hold are the same"


def test_scales_are_those_of_the_training_fields(build, sides):
    networks, fields = build(), sides[0][:]
    scaling = networks.generator.scaling
    assert scaling.density_max == fields.max()
    y = torch.from_numpy(scaling.forward(fields))[:, None]
    assert networks.discriminator.summaries(y).mean(0).abs().median() < 0.05
    assert networks.discriminator.whitening.factor.std() > 0.1


def test_a_generator_looks_less_far_than_half_its_box(build):
    build(grid=64)
    build(grid=96, generator_widths=(4, 4, 4, 4))
    with pytest.raises(TrainingError, match="look 44 cells far, and less than half of 88") as error:
        build(grid=88, generator_widths=(4, 4, 4, 4))
    assert str(error.value).endswith("drop a level")
    assert "\n" not in str(error.value)


def test_fields_without_contrast_are_refused(build):
    with pytest.raises(LayoutError, match="every scale positive"):
        build(fields=np.ones((4, 16, 16), np.float32))
