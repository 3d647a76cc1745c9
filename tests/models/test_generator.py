"""The generator is local, periodic and equivariant, so that its weights serve boxes of any size."""

import itertools

import numpy as np
import pytest
import torch

from cosmogan.fields.scaling import Scaling
from cosmogan.models.generator import GeneratorShape, receptive_radius
from cosmogan.models.latent import white_noise
from cosmogan.models.lognormal import gaussian_colour, lognormal_field
from cosmogan.recipe import TrainTable
from cosmogan.statistics.power import power_spectra

ROUNDING = {"rtol": 0, "atol": 1e-12}  # of float64, after some ten layers
WIDE = Scaling(density_scale=1.0, mean=50.0, std=1.0, density_max=1e43)  # y from -50 to 49


def inputs(generator, grid, *, count=2, seed=0, conditions=0):
    """A latent near zero, well inside the range, and noise, in float64."""
    shape = generator.shape
    d = shape.dimension
    random = torch.Generator().manual_seed(seed)

    def draw(cells):
        return torch.randn((count, 1, *(cells,) * d), generator=random, dtype=torch.float64)

    latent = 0.5 * draw(grid)
    noise = [draw(cells) for cells in shape.noise_grids(grid)]
    given = torch.randn((count, conditions), generator=random, dtype=torch.float64)
    return latent, noise, given if conditions else None


def rolled(latent, noise, cells):
    """Shift everything by so many cells of the output."""
    axes = tuple(range(2, latent.ndim))
    grid = latent.shape[-1]
    steps = [cells * level.shape[-1] // grid for level in noise]
    moved = [n.roll((s,) * len(axes), axes) for n, s in zip(noise, steps, strict=True)]
    return latent.roll((cells,) * len(axes), axes), moved


@pytest.mark.parametrize(("dimension", "grid"), [(2, 32), (3, 16)])
@pytest.mark.parametrize(
    ("widths", "folded"),
    [((4,), True), ((4,), False), ((4, 5), True), ((4, 5), False), ((4, 5, 3), False)],
)
def test_a_roll_of_the_input_by_the_stride_rolls_the_output(
    make_generator, dimension, grid, widths, folded
):
    generator = make_generator(widths, dimension=dimension, folded=folded).double()
    latent, noise, _ = inputs(generator, grid)
    stride = generator.shape.stride
    out = generator(latent, noise)
    axes = tuple(range(2, 2 + dimension))
    expected = out.roll((stride,) * dimension, axes)
    torch.testing.assert_close(generator(*rolled(latent, noise, stride)), expected, **ROUNDING)
    assert (out - latent).std() > 0.1, "the network does something"


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_box_tiled_from_copies_gives_copies(make_generator, dimension):
    """No operation sees the whole box: the same weights, and a box of twice the side."""
    generator = make_generator((4, 5), dimension=dimension, folded=False).double()
    grid = 64 if dimension == 2 else 16
    latent, noise, _ = inputs(generator, grid, count=1)
    twice = (1, 1, *(2,) * dimension)
    out = generator(latent.tile(twice), [n.tile(twice) for n in noise])
    torch.testing.assert_close(out, generator(latent, noise).tile(twice), **ROUNDING)


@pytest.mark.parametrize(
    ("dimension", "widths", "blocks", "folded", "grid"),
    [
        (2, (3,), 1, True, 16),
        (2, (3,), 1, False, 16),
        (2, (3,), 3, True, 32),
        (2, (3, 3), 1, True, 48),
        (2, (3, 3), 1, False, 32),
        (2, (3, 3), 2, False, 48),
        (2, (2, 2, 2), 1, False, 64),
        (3, (2, 2), 1, True, 40),
        (3, (2, 2), 1, False, 24),
    ],
)
def test_the_receptive_radius_is_the_farthest_cell_with_a_gradient(
    make_generator, dimension, widths, blocks, folded, grid
):
    generator = make_generator(widths, dimension=dimension, blocks=blocks, folded=folded).double()
    generator.scaling = WIDE  # a cell at the limit of the range would have no gradient
    stride = generator.shape.stride
    latent, noise, _ = inputs(generator, grid, count=1)
    latent.requires_grad_()
    out = generator(latent, noise)
    reach = 0
    for offset in range(stride):
        centre = grid // 2 + offset
        (gradient,) = torch.autograd.grad(
            out[(0, 0, *(centre,) * dimension)], latent, retain_graph=True
        )
        seen = torch.nonzero(gradient[0, 0])
        reach = max(reach, int((seen - centre).abs().max()))
    assert reach == receptive_radius(generator.shape)


def test_the_demo_looks_no_farther_than_a_third_of_its_box():
    widths = TrainTable().generator_widths
    shape = GeneratorShape(dimension=2, widths=widths)
    assert receptive_radius(shape) <= 64 // 3


def test_one_cell_changed_far_away_changes_nothing(make_generator):
    generator = make_generator((4, 4)).double()
    latent, noise, _ = inputs(generator, 64, count=1)
    changed = latent.clone()
    changed[0, 0, 32, 32] += 1
    difference = (generator(changed, noise) - generator(latent, noise)).abs()[0, 0]
    place = np.indices((64, 64)) - 32
    far = torch.from_numpy(np.abs(place).max(0) > receptive_radius(generator.shape))
    assert not difference[far].any()
    assert difference[~far].any()


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_untrained_generator_returns_its_latent_kept_in_range(
    make_generator, scaling, dimension
):
    generator = make_generator((4, 4), dimension=dimension, random=False).double()
    latent, noise, _ = inputs(generator, 16)
    latent = 4 * latent + 2
    out = generator(latent, noise)
    assert torch.equal(out, scaling.saturate(latent, torch))
    assert (out != latent).any(), "some cells are out of range"


def test_the_output_stays_in_the_range_of_densities(make_generator, scaling):
    generator = make_generator(scale=30.0)
    latent, noise, _ = inputs(generator, 32)
    outs = []
    for sign in (1, -1):
        for parameter in generator.head.parameters():
            parameter.data.mul_(sign)
        outs.append(generator(latent.float(), [n.float() for n in noise]).detach())
    out = torch.stack(outs)
    assert out.dtype == torch.float32
    assert out.min() == pytest.approx(scaling.floor)
    assert out.max() == pytest.approx(scaling.ceiling)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_noise_matters_at_every_resolution(make_generator, level):
    generator = make_generator((4, 4, 4)).double()
    latent, noise, _ = inputs(generator, 32)
    other = [n + (i == level) for i, n in enumerate(noise)]
    assert (generator(latent, other) - generator(latent, noise)).abs().max() > 1e-3


def test_no_cell_is_another_than_its_neighbour(make_generator):
    """Folds make each cell of a pair by weights of its own, copies of coarse cells are flat; interpolated levels show no such grid."""

    def unevenness(folded):
        widths = (16, 16) if folded else (8, 16, 16)
        generator = make_generator(widths, folded=folded)
        latent, noise, _ = inputs(generator, 64, count=16)
        loud = [n.float() * (3 if level else 1) for level, n in enumerate(noise)]
        with torch.no_grad():
            y = generator(latent.float(), loud)[:, 0]
        around = sum(y.roll(shift, axis) for shift in (1, -1) for axis in (1, 2)) / 4
        found = []
        for value, stride in itertools.product((y - y.roll(1, 1), y - around), (2, 4)):
            cells = itertools.product(range(stride), repeat=2)
            parts = [value[:, i::stride, j::stride].square().mean() for i, j in cells]
            found.append(float(torch.stack(parts).std() / value.square().mean()))
        return found

    assert max(unevenness(folded=True)) > 0.2
    assert max(unevenness(folded=False)) < 0.05


def test_without_noise_one_latent_has_one_field(make_generator):
    generator = make_generator((6, 6), noisy=False, latents=2)
    assert generator.shape.noise_grids(16) == ()
    latent = torch.randn(3, 2, 16, 16)
    out = generator(latent, ())
    assert out.shape == (3, 1, 16, 16)
    torch.testing.assert_close(generator(latent[:1], ()), out[:1])
    assert not torch.allclose(generator(latent.flip(1), ()), out)


def test_more_blocks_begin_with_smaller_branches(make_generator):
    """By the fourth root of their number, so that depth does not change the size of a gradient."""
    one, many = (
        make_generator((32,), blocks=blocks, random=False).down[0][0].spread.weight.detach().std()
        for blocks in (1, 16)
    )
    assert float(many / one) == pytest.approx(0.5, rel=0.05)


def test_each_resolution_has_noise_of_its_own_grid():
    shape = GeneratorShape(dimension=2, widths=(1, 2, 3))
    assert shape.noise_grids(64) == (64, 32, 16)
    assert shape.stride == 4
    folded = GeneratorShape(dimension=2, widths=(1, 2, 3), folded=True)
    assert folded.noise_grids(64) == (64, 16, 8)
    assert folded.stride == 8


def test_conditions_matter_only_where_they_differ(make_generator):
    generator = make_generator((4, 4), conditions=2).double()
    latent, noise, conditions = inputs(generator, 16, conditions=2)
    other = conditions.clone()
    other[1] += 1
    out, changed = generator(latent, noise, conditions), generator(latent, noise, other)
    assert torch.equal(out[0], changed[0])
    assert (out[1] - changed[1]).abs().max() > 1e-3


@pytest.mark.parametrize("random", [False, True], ids=["untrained", "randomised"])
def test_the_scatter_of_the_power_falls_as_one_over_the_volume(
    make_generator, scaling, theory, random
):
    """Nothing is drawn once for a whole box: a box of twice the side has 4 times the modes."""
    generator = make_generator((4, 4), random=random)
    band = np.arange(4, 24, 4) * 2 * np.pi / (64 * theory.cell_size)
    variance = {}
    for grid, count in ((64, 256), (128, 128)):
        colour = gaussian_colour(theory, 0, grid)
        seeds = range(count)
        latent = np.stack([lognormal_field(s, colour, grid, 2) for s in seeds])
        levels = zip(
            *(white_noise(s, generator.shape.noise_grids(grid), 2) for s in seeds), strict=True
        )
        noise = [torch.from_numpy(np.stack(level))[:, None] for level in levels]
        with torch.no_grad():
            y = generator(torch.from_numpy(scaling.forward(latent))[:, None], noise)
        k, power, modes = power_spectra(y[:, 0].numpy(), grid * theory.cell_size)
        inside = [(k >= low) & (k < high) for low, high in itertools.pairwise(band)]
        banded = [np.average(power[:, i], axis=1, weights=modes[i]) for i in inside]
        variance[grid] = np.array([b.var() / b.mean() ** 2 for b in banded])
    # 4 bands, 256 and 128 fields: the mean of the ratios scatters by about 0.35
    assert np.mean(variance[64] / variance[128]) == pytest.approx(4, abs=1.2)


@pytest.mark.parametrize(("dimension", "grid"), [(2, 16), (3, 8)])
def test_every_parameter_gets_a_gradient(make_generator, dimension, grid):
    generator = make_generator((4, 4), dimension=dimension, conditions=1)
    latent, noise, conditions = inputs(generator, grid, conditions=1)
    generator(
        latent.float(), [n.float() for n in noise], conditions.float()
    ).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in generator.parameters())
