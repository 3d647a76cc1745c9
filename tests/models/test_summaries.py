"""The summary statistics are those of the textbooks, symmetric, bounded and differentiable."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from cosmogan.models.extrema import Extrema
from cosmogan.models.hessian import LOUD, Hessian
from cosmogan.models.modes import shell_edges, squared_modes
from cosmogan.models.summaries import CLIP, LEVELS, SMOOTHING, Summaries
from cosmogan.statistics.battery import PEAK_SMOOTHING
from cosmogan.statistics.pdf import smooth

CASES = [(2, 16), (3, 8)]


@pytest.fixture
def make(scaling):
    return lambda grid, dimension: Summaries(grid, dimension, scaling)


def columns(summaries):
    """Where each kind of summary stands."""
    shells, filters = len(shell_edges(summaries.grid)) - 1, len(summaries.kernels)
    sizes = {
        "power": shells,
        "power_density": shells,
        "moments": 4,
        "variances": filters,
        "skewnesses": filters,
        "distribution": len(LEVELS) - 1,
        "directions": 2 * summaries.directions.length,
        "extrema": summaries.extrema.length,
        "hessian": summaries.hessian.length,
    }
    ends = np.cumsum([0, *sizes.values()]).tolist()
    found = {n: slice(a, b) for n, (a, b) in zip(sizes, itertools.pairwise(ends), strict=True)}
    return {name: place for name, place in found.items() if sizes[name]}


@pytest.mark.parametrize("grid", [8, 10, 16, 64, 256])
def test_shells_begin_single_and_end_at_the_nyquist_mode_and_the_corners(grid):
    *edges, corner = shell_edges(grid)
    assert edges[0] == 1
    assert edges[-1] == grid // 2
    assert corner**2 > squared_modes(grid, 3).max()
    edges = np.array(edges)
    assert np.all(np.diff(edges) >= 1)
    assert np.all(np.diff(edges) <= np.maximum(1, 0.25 * edges[:-1]))


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_squared_modes_follow_the_layout_of_rfftn(dimension, grid):
    n = np.fft.fftfreq(grid) * grid
    every = sum(np.meshgrid(*[n**2] * dimension, indexing="ij"))
    np.testing.assert_array_equal(squared_modes(grid, dimension), every[..., : grid // 2 + 1])


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_power_is_the_mean_over_all_modes_of_a_shell(make, make_fields, dimension, grid):
    summaries = make(grid, dimension)
    y = make_fields(3, grid, dimension)
    found = summaries.measure(y)
    n = np.fft.fftfreq(grid) * grid
    squared = sum(np.meshgrid(*[n**2] * dimension, indexing="ij"))
    density = summaries.scaling.inverse(y, torch)
    for name, field in (("power", y), ("power_density", density)):
        modes = np.fft.fftn(field[:, 0].numpy(), axes=range(1, dimension + 1), norm="ortho")
        for column, (low, high) in enumerate(itertools.pairwise(shell_edges(grid))):
            shell = (squared >= low**2) & (squared < high**2)
            expected = np.log((np.abs(modes[:, shell]) ** 2).mean(1))
            measured = found[:, columns(summaries)[name]][:, column]
            np.testing.assert_allclose(measured, expected, atol=2e-4)  # 1e-6 is added, float32


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_moments_are_those_of_the_cells(make, make_fields, dimension, grid):
    summaries = make(grid, dimension)
    y = make_fields(3, grid, dimension)
    cells = y.flatten(1).numpy().astype(np.float64)
    density = summaries.scaling.inverse(cells)
    expected = [
        density.mean(1),
        cells.mean(1),
        np.log(cells.var(1)),
        [*((cells - cells.mean(1, keepdims=True)) ** 3).mean(1)],
    ]
    found = summaries.measure(y)[:, columns(summaries)["moments"]]
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-5)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_filtered_moments_are_those_of_the_filtered_density(make, make_fields, dimension, grid):
    summaries = make(grid, dimension)
    y = make_fields(2, grid, dimension)
    density = summaries.scaling.inverse(y.numpy().astype(np.float64))[:, 0] - 1
    axes = tuple(range(1, dimension + 1))
    modes = np.fft.rfftn(density, axes=axes)[:, None] * summaries.kernels.numpy()
    filtered = np.fft.irfftn(modes, s=density.shape[1:], axes=tuple(range(2, dimension + 2)))
    second, third = ((filtered**n).reshape(2, len(summaries.kernels), -1).mean(2) for n in (2, 3))
    found, place = summaries.measure(y), columns(summaries)
    np.testing.assert_allclose(found[:, place["variances"]], np.log(second + 1e-6), atol=1e-3)
    skewness = third / (second + 1e-6) ** 1.5
    np.testing.assert_allclose(found[:, place["skewnesses"]], skewness, atol=1e-3)


def test_the_first_filters_are_gaussian(make, make_fields):
    summaries = make(32, 2)
    spot = np.zeros((32, 32))
    spot[0, 0] = 1
    for kernel, radius in zip(summaries.kernels.numpy(), SMOOTHING, strict=False):
        expected = ndimage.gaussian_filter(spot, radius, mode="wrap", truncate=8)
        # the filter samples the Gaussian in cells, the kernel in modes: 1 % apart at one cell
        found = np.fft.irfftn(np.fft.rfftn(spot) * kernel)
        np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_extrema_are_those_of_the_density_that_the_battery_smooths(
    make, make_fields, dimension, grid
):
    summaries, y = make(grid, dimension), make_fields(20, grid, dimension)
    density = summaries.scaling.inverse(y, torch)[:, 0]
    behind = smooth(density.numpy(), PEAK_SMOOTHING, axes=range(1, dimension + 1))
    smoothed = torch.from_numpy(behind.astype(np.float32))
    summaries.standardise(y)
    other = Extrema()
    other.fit(smoothed)
    torch.testing.assert_close(summaries.extrema.heights, other.heights, rtol=1e-3, atol=1e-3)
    found = summaries.measure(y)[:, columns(summaries)["extrema"]]
    torch.testing.assert_close(found, other(smoothed), rtol=0, atol=0.02)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_shapes_are_those_of_the_density_from_cell_to_cell(make, make_fields, dimension, grid):
    summaries, y = make(grid, dimension), make_fields(20, grid, dimension)
    density = summaries.scaling.inverse(y, torch)[:, 0]
    summaries.standardise(y)
    other = Hessian()
    other.fit(density)
    assert torch.equal(summaries.hessian.heights, other.heights)
    assert torch.equal(summaries.measure(y)[:, columns(summaries)["hessian"]], other(density))


def test_one_training_field_is_a_scale_and_no_scatter(make, make_fields):
    summaries, y = make(16, 2), make_fields(1, 16, 2)
    summaries.standardise(y)
    assert torch.isfinite(summaries(y)).all()


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_one_point_summaries_do_not_care_where_a_cell_is_and_the_others_do(
    make, make_fields, dimension, grid
):
    summaries = make(grid, dimension)
    summaries.standardise(make_fields(20, grid, dimension))
    y = make_fields(1, grid, dimension, seed=3).cumsum(-1) / 3
    order = torch.randperm(y[0].numel(), generator=torch.Generator().manual_seed(1))
    shuffled = y.flatten()[order].reshape(y.shape)
    change = (summaries.measure(shuffled) - summaries.measure(y)).abs()[0]
    for name, place in columns(summaries).items():
        same = name in ("moments", "distribution")
        assert (change[place] < 1e-4).all() == same, name


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_summaries_are_blind_to_the_symmetries_of_the_box(make, make_fields, dimension, grid):
    summaries = make(grid, dimension)
    y = make_fields(2, grid, dimension)
    moved = y.transpose(-1, -2).flip(-1).roll(3, -2)
    torch.testing.assert_close(summaries.measure(moved), summaries.measure(y), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_training_fields_have_standard_summaries(make, make_fields, dimension, grid):
    summaries = make(grid, dimension)
    fields = make_fields(150, grid, dimension)
    summaries.standardise(fields)
    raw = summaries.measure(fields)
    assert raw.shape == (150, summaries.length)
    standard = summaries(fields)
    kept = standard.abs().max(0).values < CLIP
    varying = raw.std(0) > 1e-3
    assert (kept & varying).sum() > summaries.length / 2
    assert standard.mean(0)[kept].abs().max() < 1e-2
    scatter, loudness = standard.std(0), torch.ones_like(raw.std(0))
    quiet = columns(summaries)["hessian"]
    loudness[quiet] = LOUD
    assert varying[quiet].any()
    torch.testing.assert_close(scatter[kept & varying], loudness[kept & varying], rtol=1e-2, atol=0)


def test_a_monster_cannot_shout_louder_than_the_clip(make, make_fields):
    summaries = make(16, 2)
    summaries.standardise(make_fields(50, 16))
    y = make_fields(1, 16)
    y[0, 0, 3, 3] = summaries.scaling.ceiling
    assert summaries(y).abs().max() == CLIP


@pytest.mark.parametrize(("dimension", "grid"), CASES)
@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_gradients_are_finite_even_for_an_empty_box(make, make_fields, dimension, grid, contrast):
    summaries = make(grid, dimension)
    y = (contrast * make_fields(2, grid, dimension)).requires_grad_()
    summaries(y).square().sum().backward()
    assert torch.isfinite(y.grad).all()
    assert y.grad.abs().sum() > 0


@pytest.fixture
def make_seeing(scaling):
    return lambda grid, dimension: Summaries(grid, dimension, scaling, guides=1)


def transfers(summaries, y, latent):
    """T(k) from the latent to the field and to the density, (n, 2, shells)."""
    shells = len(shell_edges(summaries.grid)) - 1
    return summaries.measure(y, latent)[:, 2 * shells : 4 * shells].unflatten(1, (2, shells))


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_the_transfer_function_is_a_factor_on_what_is_in_its_place(
    make_seeing, make_fields, dimension, grid
):
    summaries = make_seeing(grid, dimension)
    y = make_fields(3, grid, dimension)
    same = transfers(summaries, y, y)
    torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-3)
    torch.testing.assert_close(transfers(summaries, -0.5 * y, y)[:, 0], -0.5 * same[:, 0])


@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_the_transfer_function_is_that_of_the_modes_of_a_shell(
    make_seeing, make_fields, dimension, grid
):
    summaries = make_seeing(grid, dimension)
    y, latent = make_fields(3, grid, dimension), make_fields(3, grid, dimension, seed=1)
    found = transfers(summaries, y, latent)
    n = np.fft.fftfreq(grid) * grid
    squared = sum(np.meshgrid(*[n**2] * dimension, indexing="ij"))
    pairs = [(y, latent), tuple(summaries.scaling.inverse(x, torch) for x in (y, latent))]
    for row, pair in enumerate(pairs):
        a, b = (np.fft.fftn(x[:, 0].numpy(), axes=range(1, dimension + 1)) for x in pair)
        for column, (low, high) in enumerate(itertools.pairwise(shell_edges(grid))):
            shell = (squared >= low**2) & (squared < high**2)
            together = (a[:, shell] * b[:, shell].conj()).real.sum(1)
            expected = together / (np.abs(b[:, shell]) ** 2).sum(1)
            np.testing.assert_allclose(found[:, row, column], expected, atol=1e-3)


def test_the_transfer_function_does_not_see_a_common_symmetry(make_seeing, make_fields):
    summaries = make_seeing(16, 2)
    y, latent = make_fields(3, 16), make_fields(3, 16, seed=1)
    found = transfers(summaries, y, latent)
    moved = [x.transpose(-1, -2).flip(-1).roll(3, -2) for x in (y, latent)]
    torch.testing.assert_close(transfers(summaries, *moved), found, rtol=0, atol=1e-4)
    assert (transfers(summaries, moved[0], latent) - found).abs().max() > 0.1


def test_each_guide_has_its_own_transfer_functions(make_seeing, make_fields, scaling):
    """In the order of the channels, after those that need none."""
    y, one, other = (make_fields(3, 16, seed=seed) for seed in range(3))
    both = Summaries(16, 2, scaling, guides=2).measure(y, torch.cat([one, other], 1))
    first, second = (make_seeing(16, 2).measure(y, guide) for guide in (one, other))
    shells = len(shell_edges(16)) - 1
    own, means, rest = np.split(
        np.arange(first.shape[1]), (2 * shells, 4 * shells, 4 * shells + 2)
    )[1:]
    seen = [part[:, which] for which in (own, means) for part in (first, second)]
    torch.testing.assert_close(both, torch.cat([first[:, : 2 * shells], *seen, first[:, rest]], 1))


@pytest.mark.parametrize("conditions", [0, 2])
@pytest.mark.parametrize(("dimension", "grid"), CASES)
def test_a_box_in_which_much_is_expected_is_to_have_as_much(
    make_fields, scaling, dimension, grid, conditions
):
    """Products of the means of field and latent, and of their contrasts, whatever is inside.

    Where universes differ, of the contrasts alone: they differ in the mean of y.
    """
    summaries = Summaries(grid, dimension, scaling, guides=1, conditions=conditions)
    y, latent = (make_fields(3, grid, dimension, seed=seed) for seed in range(2))
    first = 4 * (len(shell_edges(grid)) - 1)
    measured = summaries.measure(y, latent)
    assert measured.shape[1] == summaries.length
    contrasts = [scaling.inverse(x, torch) - 1 for x in (y, latent)]
    products = [contrasts] if conditions else [(y, latent), contrasts]
    found = measured[:, first : first + len(products)]
    for row, (a, b) in enumerate(products):
        expected = a.flatten(1).mean(1) * b.flatten(1).mean(1)
        torch.testing.assert_close(found[:, row], expected, rtol=1e-3, atol=1e-4)


def test_noise_that_follows_nothing_leaves_the_transfer_function_alone(make_seeing, make_fields):
    """Orthogonal modes add power and no transfer, where a correlation coefficient would fall."""
    summaries = make_seeing(16, 2)
    latent = make_fields(4, 16)
    modes = torch.fft.rfft2(make_fields(4, 16, seed=1))
    known = torch.fft.rfft2(latent)
    aside = torch.fft.irfft2(1j * known * (modes * known.conj()).imag / known.abs().square())
    found = transfers(summaries, latent + aside, latent)[:, 0]
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=2e-2)
    assert aside.std() > 0.1


@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_gradients_of_the_transfer_function_are_finite_even_for_an_empty_box(
    make_seeing, make_fields, contrast
):
    summaries = make_seeing(16, 2)
    y = (contrast * make_fields(2, 16)).requires_grad_()
    latent = contrast * make_fields(2, 16, seed=1)
    transfers(summaries, y, latent).sum().backward()
    assert torch.isfinite(y.grad).all()
