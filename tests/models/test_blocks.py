"""The building blocks obey the symmetries of a periodic box, in two and in three dimensions."""

import itertools

import pytest
import torch

from cosmogan.models.blocks import (
    Convolution,
    ResidualBlock,
    depth_to_space,
    double,
    halve,
    pad_periodic,
    round_convolutions,
    space_to_depth,
)

DIMENSIONS = [2, 3]
EXACT = {"rtol": 0, "atol": 1e-12}  # rounding of float64


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def roll(x, cells):
    axes = tuple(range(2, x.ndim))
    return x.roll((cells,) * len(axes), axes)


def circular_convolution(x, weight, bias):
    """Sum over shifts, the slow way."""
    half = weight.shape[-1] // 2
    axes = tuple(range(2, x.ndim))
    out = torch.zeros((len(x), len(weight), *x.shape[2:]), dtype=x.dtype)
    for offset in itertools.product(range(weight.shape[-1]), repeat=len(axes)):
        shifted = x.roll(tuple(half - o for o in offset), axes)
        taps = weight[(slice(None), slice(None), *offset)]
        out += torch.einsum("oc,nc...->no...", taps, shifted)
    return out + bias.reshape(1, -1, *(1,) * len(axes))


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_folding_and_unfolding_are_inverse(dimension):
    x = noise(2, 3, *(6, 4, 8)[:dimension])
    folded = space_to_depth(x)
    assert folded.shape == (2, 3 * 2**dimension, *(n // 2 for n in x.shape[2:]))
    assert torch.equal(depth_to_space(folded), x)
    assert torch.equal(space_to_depth(depth_to_space(folded)), folded)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_folding_gathers_neighbours_into_one_cell(dimension):
    x = noise(1, 1, *(6,) * dimension)
    block = x[(0, 0, *(slice(2, 4),) * dimension)]
    folded = space_to_depth(x)[(0, slice(None), *(1,) * dimension)]
    assert torch.equal(folded, block.flatten())


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("width", [1, 2])
def test_padding_wraps_around(dimension, width):
    x = noise(2, 3, *(4, 6, 5)[:dimension])
    padded = pad_periodic(x, width)
    for place in itertools.product(*(range(n) for n in padded.shape[2:])):
        source = tuple((p - width) % n for p, n in zip(place, x.shape[2:], strict=True))
        assert torch.equal(padded[(..., *place)], x[(..., *source)])


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_padding_is_linear_twice_differentiable_and_its_gradient_sums_the_copies(dimension):
    x = noise(1, 2, *(4,) * dimension).requires_grad_()
    weight = noise(1, 2, *(6,) * dimension)
    gradient = torch.autograd.grad((pad_periodic(x, 1) * weight).sum(), x)[0]
    expected = torch.zeros_like(x)
    for place in itertools.product(range(6), repeat=dimension):
        expected[(..., *((p - 1) % 4 for p in place))] += weight[(..., *place)]
    torch.testing.assert_close(gradient, expected, **EXACT)
    assert torch.autograd.gradgradcheck(lambda y: pad_periodic(y, 1).square().sum(), x)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_convolution_is_circular(dimension, width):
    torch.manual_seed(4)
    layer = Convolution(dimension, 2, 3, width=width).double()
    torch.nn.init.normal_(layer.bias)
    x = noise(2, 2, *(6,) * dimension)
    expected = circular_convolution(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, **EXACT)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_convolution_begins_with_weights_that_keep_the_variance(dimension):
    torch.manual_seed(5)
    layer = Convolution(dimension, 32, 64).double()
    x = noise(4, 32, *(8,) * dimension)
    assert layer(x).detach().var() == pytest.approx(1, rel=0.05), "64 * 32 * 3^d random weights"
    assert not Convolution(dimension, 3, 3, gain=0.0).weight.any()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_halving_turns_rolls_by_two_into_rolls_by_one_and_doubling_back(dimension):
    x = noise(2, 3, *(8,) * dimension)
    torch.testing.assert_close(halve(roll(x, 2)), roll(halve(x), 1), **EXACT)
    torch.testing.assert_close(double(roll(x, 1)), roll(double(x), 2), **EXACT)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_halving_and_doubling_keep_mirrors(dimension):
    x = noise(2, 3, *(8,) * dimension)
    axes = tuple(range(2, x.ndim))
    torch.testing.assert_close(halve(x.flip(axes)), halve(x).flip(axes), **EXACT)
    torch.testing.assert_close(double(x.flip(axes)), double(x).flip(axes), **EXACT)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_doubling_is_the_adjoint_of_halving_times_the_number_of_cells(dimension):
    fine, coarse = noise(2, 3, *(8,) * dimension), noise(2, 3, *(4,) * dimension)
    left = (halve(fine) * coarse).sum() * 2**dimension
    torch.testing.assert_close(left, (fine * double(coarse)).sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("change", [halve, double])
def test_changing_resolution_keeps_means_and_constants(dimension, change):
    x = noise(2, 3, *(8,) * dimension)
    axes = tuple(range(2, x.ndim))
    torch.testing.assert_close(change(x).mean(axes), x.mean(axes), **EXACT)
    torch.testing.assert_close(change(torch.ones_like(x)).unique(), torch.ones(1).double(), **EXACT)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_halving_removes_what_coarse_cells_cannot_hold(dimension):
    checks = (-1.0) ** torch.arange(8, dtype=torch.float64)
    x = checks.reshape(1, 1, 8, *(1,) * (dimension - 1)).expand(1, 1, *(8,) * dimension)
    assert halve(x).abs().max() < 1e-12


def test_doubling_interpolates_linearly():
    x = torch.arange(8.0)[:, None].expand(8, 8)[None, None]
    inside = double(x)[0, 0, 2:-2, 0]
    torch.testing.assert_close(inside, torch.arange(0.75, 6.5, 0.5))


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_residual_block_begins_as_the_identity_whatever_the_conditions(dimension):
    block = ResidualBlock(dimension, 4, depth=3, conditions=2)
    x, conditions = noise(2, 4, *(6,) * dimension).float(), torch.tensor([[1.0, -1], [0, 1]])
    assert torch.equal(block(x, conditions), x)


def test_conditions_scale_the_hidden_channels_one_by_one(randomise):
    block = randomise(ResidualBlock(2, 4, depth=3, conditions=2)).double()
    x, conditions = noise(2, 4, 6, 6), noise(2, 2)
    factor = 1 + block.scale(conditions)
    hidden = torch.nn.functional.leaky_relu(block.spread(x), 0.2) * factor[:, :, None, None]
    torch.testing.assert_close(block(x, conditions), x + block.gather(hidden), **EXACT)
    neutral = torch.nn.functional.leaky_relu(block.spread(x), 0.2)
    torch.testing.assert_close(block(x), x + block.gather(neutral), **EXACT)


@pytest.mark.parametrize("change", [halve, double])
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_changes_of_resolution_have_gradients_of_every_order(change, dimension):
    x = noise(1, 2, *(4, 2, 6)[:dimension]).requires_grad_()
    assert torch.autograd.gradcheck(change, x)
    assert torch.autograd.gradgradcheck(lambda y: change(y).pow(3).sum(), x)


@pytest.fixture(params=DIMENSIONS)
def stacked(request):
    """A wide convolution, a rectifier and a narrow one."""
    torch.manual_seed(2)
    d = request.param
    return torch.nn.Sequential(
        Convolution(d, 32, 32), torch.nn.LeakyReLU(0.2), Convolution(d, 32, 1, gain=0.5)
    )


def slopes(network, x):
    """The gradient of a penalty on the gradient, and the score."""
    x = x.clone().requires_grad_()
    score = network(x).square().sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    found = torch.autograd.grad(score + slope.square().sum(), list(network.parameters()))
    return torch.cat([part.flatten() for part in found]), score.detach()


def test_rounded_convolutions_keep_values_and_second_gradients(stacked):
    x = torch.randn(2, 32, *(16,) * stacked[0].dimension)
    exact, before = slopes(stacked, x)
    round_convolutions(stacked)
    rounded, after = slopes(stacked, x)
    assert not torch.equal(exact, rounded)
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.9995
    assert after == pytest.approx(float(before), rel=0.01)
    assert stacked(x).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in stacked.parameters())
    round_convolutions(stacked, rounded=False)
    assert torch.equal(slopes(stacked, x)[0], exact)


def test_coarse_grids_and_narrow_layers_are_never_rounded(stacked):
    d = stacked[0].dimension
    coarse, narrow = torch.randn(2, 32, *(8,) * d), Convolution(d, 16, 24)
    fine = torch.randn(1, 16, *(16,) * d)
    expected = stacked(coarse), narrow(fine)
    for network in (stacked, narrow):
        round_convolutions(network)
    assert torch.equal(stacked(coarse), expected[0])
    assert torch.equal(narrow(fine), expected[1])
