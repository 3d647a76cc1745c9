"""What the generator is fed belongs to a seed, whatever batch it is drawn in."""

import numpy as np
import pytest
import torch

from cosmogan.models.generator import GeneratorShape
from cosmogan.models.source import Source, derive_seed, generate

SEEDS = [11, 12, 13, 14]


@pytest.fixture
def make_source(make_theory, scaling):
    def make(parameters=((0.3, 0.0),), *, dimension=2, grid=16):
        theory = make_theory(parameters, dimension=dimension)
        shape = GeneratorShape(dimension=dimension, widths=(4, 4), conditions=theory.num_conditions)
        return Source(theory, scaling, shape, grid)

    return make


@pytest.mark.parametrize(("dimension", "grid"), [(2, 16), (3, 8)])
def test_a_draw_does_not_depend_on_its_company(make_source, dimension, grid):
    source = make_source(((0.3, 0.0), (0.3, 1.0)), dimension=dimension, grid=grid)
    rows = [0, 1, 1, 0]
    together = source.draw(SEEDS, rows)
    for place in (3, 1):
        alone = make_source(((0.3, 0.0), (0.3, 1.0)), dimension=dimension, grid=grid).draw(
            [SEEDS[place]], [rows[place]]
        )
        assert torch.equal(alone.latent[0], together.latent[place])
        assert alone.orientations[0] == together.orientations[place]
        assert torch.equal(alone.conditions[0], together.conditions[place])
        for one, all_of_them in zip(alone.noise, together.noise, strict=True):
            assert torch.equal(one[0], all_of_them[place])


@pytest.mark.parametrize(("dimension", "grid"), [(2, 16), (3, 8)])
def test_a_draw_has_the_shapes_and_precision_the_generator_wants(make_source, dimension, grid):
    draw = make_source(dimension=dimension, grid=grid).draw(SEEDS, [0] * 4)
    assert draw.latent.shape == (4, 1, *(grid,) * dimension)
    assert [n.shape for n in draw.noise] == [
        (4, 1, *(cells,) * dimension) for cells in (grid, grid // 4)
    ]
    assert {t.dtype for t in (draw.latent, *draw.noise)} == {torch.float32}
    assert draw.conditions is None


@pytest.mark.parametrize("dimension", [2, 3])
def test_fields_stay_aligned_with_their_latents(make_source, make_generator, scaling, dimension):
    """The network sees each latent turned; an untrained one gives it back unturned."""
    source = make_source(dimension=dimension, grid=8)
    generator = make_generator((4, 4), dimension=dimension, random=False)
    made = generate(generator, source.draw(SEEDS, [0] * 4))
    expected = np.stack([scaling.saturate(scaling.forward(source.lognormal(s))) for s in SEEDS])
    np.testing.assert_allclose(made[:, 0].detach(), expected, rtol=0, atol=1e-6)
    assert any(o.shifts != (0,) * dimension for o in source.draw(SEEDS, [0] * 4).orientations)


def test_a_generated_field_does_not_depend_on_its_company(make_source, make_generator):
    source, generator = make_source(), make_generator((4, 4))
    together = generate(generator, source.draw(SEEDS, [0] * 4))
    alone = generate(generator, source.draw(SEEDS[2:3], [0]))
    torch.testing.assert_close(alone[0], together[2], rtol=0, atol=1e-5)


def test_other_seeds_and_other_parameters_give_other_draws(make_source):
    source = make_source(((0.3, 0.0), (0.3, 1.0)))
    one, other = source.draw([1, 2], [0, 0]), source.draw([1, 1], [0, 1])
    assert not torch.equal(one.latent[0], one.latent[1])
    assert not torch.equal(one.noise[0][0], one.noise[0][1])
    assert other.latent[1].std() < other.latent[0].std(), "less structure at redshift 1"
    assert torch.equal(other.noise[0][0], other.noise[0][1])
    assert other.conditions.tolist() == [[-1], [1]]


def test_seeds_are_derived_once_and_for_all():
    seeds = {derive_seed(a, b, c) for a in range(3) for b in range(4) for c in range(1, 50)}
    assert len(seeds) == 3 * 4 * 49
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2)
    assert derive_seed(2**62, 1) != derive_seed(2**62 + 1, 1)
