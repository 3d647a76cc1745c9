"""Gaussian fields have a squared quadrupole of one, brushed ones more, whatever their spectrum and their turn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.power import power_spectra
from cosmogan.statistics.quadrupole import default_edges, quadrupoles

BOX = 100.0
CASES = [(2, 32), (3, 16)]
ODD = [(2, 9), (3, 9)]


def noise(count, grid, dimension, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *(grid,) * dimension))


def filtered(fields, factor):
    """Multiply modes by a function of their wavevectors (d, N, ...)."""
    axes = tuple(range(1, fields.ndim))
    full = np.fft.fftfreq(fields.shape[-1]) * fields.shape[-1]
    n = np.stack(np.meshgrid(*[full] * len(axes), indexing="ij"))
    return np.fft.ifftn(np.fft.fftn(fields, axes=axes) * factor(n), axes=axes).real


@pytest.mark.parametrize(("dimension", "grid"), CASES + ODD)
def test_it_is_that_of_the_modes_of_a_shell(dimension, grid):
    fields = noise(3, grid, dimension)
    edges = np.array([1, 3, grid / 2]) if grid % 2 else default_edges(grid)
    _, found, modes = quadrupoles(fields, BOX, edges)
    full = np.fft.fftfreq(grid) * grid
    n = np.stack(np.meshgrid(*[full] * dimension, indexing="ij"))
    size = np.sqrt((n**2).sum(0))
    power = np.abs(np.fft.fftn(fields, axes=range(1, dimension + 1))) ** 2
    for shell, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (size >= low) & (size < high)
        towards, weight = n[:, inside] / size[inside], power[:, inside]
        tensor = np.einsum("nm,im,jm->nij", weight, towards, towards)
        tensor = tensor / weight.sum(1)[:, None, None] - np.eye(dimension) / dimension
        gaussian = (1 - 1 / dimension) * 2 / inside.sum()
        np.testing.assert_allclose(found[:, shell], (tensor**2).sum((1, 2)) / gaussian)
        assert modes[shell] == inside.sum()


@pytest.mark.parametrize(("dimension", "grid"), CASES)
@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_gaussian_fields_have_one(dimension, grid, slope):
    """Up to parts in the number of modes, for numerator and denominator are correlated, and in narrow shells."""
    fields = filtered(noise(500, grid, dimension), lambda n: (1 + (n**2).sum(0)) ** (slope / 2))
    k, found, modes = quadrupoles(fields, BOX)
    error = found.std(0) / np.sqrt(len(found))
    many = (modes > 40) & (k * BOX / (2 * np.pi) > 4)
    assert many.any()
    assert (np.abs(found.mean(0) - 1) < 4 * error + 6 / modes)[many].all()


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_fields_brushed_each_along_a_line_of_its_own_are_told_while_their_spectrum_is_right(
    dimension, grid
):
    def brush(n):
        along = n[0] ** 2 / np.maximum((n**2).sum(0), 1)
        return np.sqrt(1 + 0.8 * (along - 1 / dimension) * dimension)

    fields = noise(200, grid, dimension)
    turned = np.concatenate(
        [
            np.moveaxis(part, 1, axis)
            for axis, part in zip(
                range(1, dimension + 1),
                np.array_split(filtered(fields, brush), dimension),
                strict=True,
            )
        ]
    )
    before, after = (quadrupoles(x, BOX)[1].mean(0) for x in (fields, turned))
    assert (after[-2:] > 3 * before[-2:]).all()
    spectra = [power_spectra(x, BOX)[1].mean(0) for x in (fields, turned)]
    np.testing.assert_allclose(*spectra, rtol=0.15)


@settings(max_examples=20, deadline=None)
@given(
    case=st.sampled_from([(2, 8), (2, 9), (2, 16), (3, 8), (3, 9)]),
    seed=st.integers(0, 2**16),
    amplitude=st.floats(1e-3, 1e3),
)
def test_turns_rolls_and_amplitudes_change_nothing(case, seed, amplitude):
    dimension, grid = case
    fields = noise(2, grid, dimension, seed)
    moved = 1 + amplitude * np.roll(np.flip(np.swapaxes(fields, -1, -2), -1), 3, axis=-2)
    _, found, _ = quadrupoles(fields, BOX)
    _, again, _ = quadrupoles(moved, BOX)
    np.testing.assert_allclose(again, found, rtol=1e-6, atol=1e-9)


def test_a_wave_has_the_quadrupole_of_its_direction():
    """Q = diag(1/2, -1/2): squared 1/2, over (1 - 1/2) 2 / modes."""
    wave = np.cos(2 * np.pi * 5 * np.arange(16) / 16)
    _, found, modes = quadrupoles(np.tile(wave, (1, 16, 1)), BOX)
    assert found[0, 1] == pytest.approx(modes[1] / 2)


@pytest.mark.parametrize("level", [0.3, 1.0, 1.1])
@pytest.mark.parametrize("grid", [10, 16, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_even_field_has_none_whatever_its_transform_rounds(level, grid, dtype):
    assert (quadrupoles(np.full((1, grid, grid), level, dtype), BOX)[1] == 0).all()


def test_a_faint_field_has_one_like_any_other():
    faint = 1 + 1e-4 * noise(1, 32, 2).astype(np.float32)
    plain = quadrupoles(faint - 1, BOX)[1]
    np.testing.assert_allclose(quadrupoles(faint, BOX)[1], plain, rtol=0.01)
    assert (plain > 0).all()


def test_what_has_no_direction_is_refused():
    with pytest.raises(RecipeError, match="beyond the Nyquist mode 8; end there"):
        quadrupoles(noise(1, 16, 2), BOX, [1, 12])
    broken = noise(3, 16, 2)
    broken[1, 0, 0] = np.nan
    with pytest.raises(LayoutError, match="field 1 holds"):
        quadrupoles(broken, BOX)
