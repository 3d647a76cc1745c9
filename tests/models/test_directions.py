"""Brushed fields and those that show a grid are told, though the power of their shells is right."""

import itertools

import numpy as np
import pytest
import torch

from cosmogan.models.directions import FIRST, QUIET, WEDGES, Directions
from cosmogan.models.modes import shell_edges, wavevectors

CASES = [(2, 32), (3, 16)]
SMALL = [(2, 8), (2, 10), (3, 8)]


def power(fields):
    axes = tuple(range(1, fields.ndim))
    modes = torch.fft.rfftn(fields, dim=axes, norm="ortho")
    return modes.abs().square().flatten(1)


def noise(count, grid, dimension, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *(grid,) * dimension, generator=generator)


def filtered(fields, factor):
    """Multiply modes by a function of their wavevectors."""
    axes = tuple(range(1, fields.ndim))
    n = torch.from_numpy(wavevectors(fields.shape[-1], fields.ndim - 1)).float()
    modes = torch.fft.rfftn(fields, dim=axes) * factor(n)
    return torch.fft.irfftn(modes, s=fields.shape[1:], dim=axes)


def parts(directions, fields):
    """Wedges (n, wedges, shells) and quadrupoles (n, shells)."""
    found = directions(power(fields))[:, :-1]
    wedges, quadrupoles = found.tensor_split([WEDGES * found.shape[1] // (WEDGES + 1)], 1)
    return wedges.unflatten(1, (WEDGES, -1)), quadrupoles


@pytest.mark.parametrize(("dimension", "grid"), CASES + SMALL)
def test_the_quadrupole_is_that_of_all_modes_of_a_shell(dimension, grid):
    directions, fields = Directions(grid, dimension), noise(3, grid, dimension)
    _, found = parts(directions, fields)
    n = np.stack(np.meshgrid(*[np.fft.fftfreq(grid) * grid] * dimension, indexing="ij"))
    size = np.sqrt((n**2).sum(0))
    towards = n / np.maximum(size, 1)
    clear = np.where(np.abs(n) == grid / 2, 0, towards)  # waves of both signs at once
    every = np.abs(np.fft.fftn(fields.numpy(), axes=range(1, dimension + 1), norm="ortho")) ** 2
    shells = [e for e in itertools.pairwise(shell_edges(grid)) if e[0] >= min(FIRST, grid // 2)]
    for number, (low, high) in enumerate(shells):
        inside = (size >= low) & (size < high)
        weight = every[:, inside] / every[:, inside].sum(1, keepdims=True)
        tensor = np.einsum("nm,im,jm->nij", weight, clear[:, inside], clear[:, inside])
        for i in range(dimension):
            tensor[:, i, i] = weight @ towards[i, inside] ** 2 - 1 / dimension
        squared = (tensor**2).sum((1, 2))
        expected = np.log(squared + directions.quiet[number].item())
        np.testing.assert_allclose(found[:, number], expected, atol=1e-3)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
@pytest.mark.parametrize("diagonal", [False, True])
def test_a_wave_lies_in_the_wedge_of_its_direction(dimension, grid, diagonal):
    directions, fields = Directions(grid, dimension), noise(1, grid, dimension)
    steps = torch.stack(torch.meshgrid(*[torch.arange(grid)] * dimension, indexing="ij"))
    phase = 5 * steps.sum(0) if diagonal else 7 * steps[0]
    wave = torch.cos(2 * np.pi * phase / grid)
    (before, _), (after, _) = parts(directions, fields), parts(directions, fields + wave)
    shell = int((after - before).abs().amax((0, 1)).argmax())
    assert (after - before)[0, :, shell].argmax() == (WEDGES - 1 if diagonal else 0)


@pytest.mark.parametrize(("dimension", "grid"), CASES + SMALL)
def test_wedges_hold_all_modes_of_a_shell(dimension, grid):
    """Their mean, weighted by the share of each, is the shell."""
    directions = Directions(grid, dimension)
    wedges, _ = parts(directions, noise(4, grid, dimension))
    whole = (wedges.exp() * directions.shares).sum(1)
    torch.testing.assert_close(whole, torch.ones_like(whole), rtol=0, atol=1e-3)
    assert directions.shares.min() > 0.2


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_gaussian_field_has_the_quadrupole_of_its_modes(dimension, grid):
    """< Q_ij Q_ij > = sum_k w^2 (1 - 1/d) over independent modes; Hermitian pairs count once, twice as heavy."""
    directions = Directions(grid, dimension)
    _, quadrupoles = parts(directions, noise(1000, grid, dimension))
    found = (quadrupoles.exp() - directions.quiet).mean(0)
    torch.testing.assert_close(
        found, directions.quiet / QUIET * (1 - 1 / dimension), rtol=0.25, atol=0
    )


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_field_brushed_along_an_axis_is_told_though_its_shells_are_not(dimension, grid):
    def brush(n):
        along = n[0].square() / n.square().sum(0).clamp_min(1)
        return torch.sqrt(1 + 0.8 * (along - 1 / dimension) * dimension)

    directions = Directions(grid, dimension)
    fields = noise(100, grid, dimension)
    even, brushed = fields, filtered(fields, brush)
    shells = [(power(x) @ directions.shells).mean(0) for x in (even, brushed)]
    torch.testing.assert_close(*shells, rtol=0.1, atol=0)
    (_, before), (_, after) = parts(directions, even), parts(directions, brushed)
    assert ((after.mean(0) - before.mean(0)) / before.std(0))[-3:].min() > 1.5


@pytest.mark.parametrize(("dimension", "grid"), CASES)
@pytest.mark.parametrize("diagonal", [False, True])
def test_a_comb_of_two_cells_is_told(dimension, grid, diagonal):
    """What a network leaves that works on half the grid; a wave next to it is none."""
    directions, fields = Directions(grid, dimension), noise(50, grid, dimension)
    steps = torch.stack(torch.meshgrid(*[torch.arange(grid)] * dimension, indexing="ij"))
    phase = steps.sum(0) if diagonal else steps[0]
    comb, wave = ((torch.cos(np.pi * phase * (1 - off))) for off in (0, 2 / grid))
    plain, combed, waved = (
        directions(power(fields + 0.2 * extra))[:, -1].mean() for extra in (0, comb, wave)
    )
    assert combed - plain > 1
    assert waved - plain < 0.1


@pytest.mark.parametrize(("dimension", "grid"), CASES + SMALL)
def test_turns_and_mirrors_change_nothing(dimension, grid):
    directions = Directions(grid, dimension)
    fields = noise(5, grid, dimension)
    moved = fields.transpose(-1, -2).flip(-1).roll(3, -2)
    torch.testing.assert_close(
        directions(power(moved)), directions(power(fields)), rtol=0, atol=1e-3
    )
