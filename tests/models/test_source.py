"""What the generator is fed belongs to a seed, whatever batch it is drawn in."""

import numpy as np
import pytest
import torch

from cosmogan.models.generator import GeneratorShape
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate

NUMBERS = [11, 12, 13, 14]
KINDS = ["gaussian", "lpt"]
CASES = [(kind, *shape) for kind in KINDS for shape in ((2, 16), (3, 8))]


@pytest.fixture
def make_source(make_theory, scaling):
    def make(kind="gaussian", parameters=((0.3, 0.0),), *, dimension=2, grid=16):
        theory = make_theory(parameters, dimension=dimension)
        shape = GeneratorShape(dimension=dimension, widths=(4, 4), conditions=theory.num_conditions)
        return Source(make_latent(LatentShape(kind=kind), theory, grid), theory, scaling, shape)

    return make


def draw(source, numbers, rows):
    """What fields of these numbers start from, all of one seed."""
    latents = source.latents(source.latent.origins(3, numbers), rows)
    return source.draw(latents, [derive_seed(3, n) for n in numbers], rows)


@pytest.mark.parametrize(("kind", "dimension", "grid"), CASES)
def test_a_draw_does_not_depend_on_its_company(make_source, kind, dimension, grid):
    epochs = ((0.3, 0.0), (0.3, 1.0))
    rows = [0, 1, 1, 0]
    together = draw(make_source(kind, epochs, dimension=dimension, grid=grid), NUMBERS, rows)
    for place in (3, 1):
        fresh = make_source(kind, epochs, dimension=dimension, grid=grid)
        alone = draw(fresh, [NUMBERS[place]], [rows[place]])
        assert torch.equal(alone.latent[0], together.latent[place])
        assert alone.orientations[0] == together.orientations[place]
        assert torch.equal(alone.conditions[0], together.conditions[place])
        for one, all_of_them in zip(alone.noise, together.noise, strict=True):
            assert torch.equal(one[0], all_of_them[place])


@pytest.mark.parametrize(("kind", "dimension", "grid"), CASES)
def test_a_draw_has_the_shapes_and_precision_the_generator_wants(
    make_source, kind, dimension, grid
):
    made = draw(make_source(kind, dimension=dimension, grid=grid), NUMBERS, [0] * 4)
    assert made.latent.shape == (4, 1, *(grid,) * dimension)
    assert [n.shape for n in made.noise] == [
        (4, 1, *(cells,) * dimension) for cells in (grid, grid // 2)
    ]
    assert {t.dtype for t in (made.latent, *made.noise)} == {torch.float32}
    assert made.conditions is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_fields_stay_aligned_with_their_latents(
    make_source, make_generator, scaling, kind, dimension
):
    """The network sees each latent turned; an untrained one gives it back unturned."""
    source = make_source(kind, dimension=dimension, grid=8)
    generator = make_generator((4, 4), dimension=dimension, random=False)
    given = draw(source, NUMBERS, [0] * 4)
    made = generate(generator, given)
    density = source.latent.density(source.latent.origins(3, NUMBERS), [0] * 4)
    expected = scaling.saturate(scaling.forward(density))
    np.testing.assert_allclose(made[:, 0].detach(), expected, rtol=0, atol=1e-6)
    assert any(o.shifts != (0,) * dimension for o in given.orientations)


def test_a_generated_field_does_not_depend_on_its_company(make_source, make_generator):
    source, generator = make_source(), make_generator((4, 4))
    together = generate(generator, draw(source, NUMBERS, [0] * 4))
    alone = generate(generator, draw(source, NUMBERS[2:3], [0]))
    torch.testing.assert_close(alone[0], together[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_other_seeds_and_other_parameters_give_other_draws(make_source, kind):
    source = make_source(kind, ((0.3, 0.0), (0.3, 1.0)))
    one, other = draw(source, [1, 2], [0, 0]), draw(source, [1, 1], [0, 1])
    assert not torch.equal(one.latent[0], one.latent[1])
    assert not torch.equal(one.noise[0][0], one.noise[0][1])
    assert other.latent[1].std() < other.latent[0].std(), "less structure at redshift 1"
    assert torch.equal(other.noise[0][0], other.noise[0][1])
    assert other.conditions.tolist() == [[-1], [1]]


def test_noise_and_orientation_belong_to_the_seed_and_not_to_the_latent(make_source):
    """So that one universe can be finished in many ways."""
    source = make_source("lpt")
    latents = source.latents(source.latent.origins(3, [5, 5, 6]), [0] * 3)
    made = source.draw(latents, [1, 2, 1], [0] * 3)
    assert torch.equal(latents[0], latents[1])
    assert torch.equal(made.noise[0][0], made.noise[0][2])
    assert made.orientations[0] == made.orientations[2]
    assert not torch.equal(made.noise[0][0], made.noise[0][1])
    assert made.orientations[0] != made.orientations[1]
