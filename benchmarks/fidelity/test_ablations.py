"""What is left out is gone, the rest is not, and afterwards all is as before."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from benchmarks.fidelity.ablations import ABLATIONS, without
from cosmogan.errors import ResourceError
from cosmogan.fields.scaling import Scaling
from cosmogan.initial import density, linear_modes
from cosmogan.models.discriminator import Discriminator, DiscriminatorShape
from cosmogan.models.displaced import LptLatent
from cosmogan.models.lognormal import GaussianLatent
from cosmogan.models.orientation import draw_orientation
from cosmogan.models.theory import Theory
from cosmogan.session import scatter

GRID = 32


@pytest.fixture
def left_out():
    """Apply an ablation here, without a cluster, until the test ends."""
    undo = []
    yield lambda name: undo.append(ABLATIONS[name].apply())
    for step in undo:
        step()


@pytest.fixture
def theory():
    k = np.geomspace(1e-3, 30, 200)
    power = 2e4 * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    return Theory(
        dimension=2,
        cell_size=2.0,
        thickness=2,
        window="cic",
        names=("Omega_m", "redshift"),
        parameters=np.array([[0.3, 0.0]]),
        k=k,
        power=power[None],
        linear=power[None],
        trained=1,
    )


@pytest.fixture
def judge():
    scaling = Scaling.fit(np.exp(np.random.default_rng(0).normal(size=(8, GRID, GRID))), 0.5)
    torch.manual_seed(1)
    shape = DiscriminatorShape(dimension=2, grid=GRID, widths=(8, 8))
    network = Discriminator(shape, scaling)
    network.fit(torch.randn(64, 1, GRID, GRID))
    torch.nn.init.normal_(network.opinion[-1].weight)
    return network


FIELDS = torch.randn(2, 1, GRID, GRID, generator=torch.Generator().manual_seed(5))


def test_without_summaries_the_second_branch_has_no_opinion(judge, left_out):
    def opinions():
        return judge.judge_summaries(judge.summaries(FIELDS)).diff()

    assert opinions().abs() > 1e-3
    left_out("summaries")
    assert opinions().abs() < 1e-6
    assert judge(FIELDS).diff() != 0, "the first branch still has one"


def test_without_directions_brushed_fields_are_as_good(judge, left_out):
    """The other summaries still tell fields apart."""
    directions = judge.summaries.directions
    power = torch.fft.rfft2(FIELDS[:, 0]).abs().square().flatten(1)
    assert directions(power).diff(dim=0).abs().max() > 0.1
    left_out("directions")
    assert not directions(power).any()
    assert judge.summaries(FIELDS).diff(dim=0).abs().max() > 0.1


def test_without_extrema_peaks_and_minima_are_not_counted(judge, left_out):
    """The other summaries still tell fields apart."""
    extrema, density = judge.summaries.extrema, FIELDS[:, 0].exp()
    assert extrema(density).diff(dim=0).abs().max() > 0.01
    left_out("extrema")
    assert not extrema(density).any()
    assert judge.summaries(FIELDS).diff(dim=0).abs().max() > 0.1


def test_without_the_hessian_nobody_hears_how_sharp_cells_are(judge, left_out):
    """The other summaries still tell fields apart."""
    hessian, density = judge.summaries.hessian, FIELDS[:, 0].exp()
    assert hessian(density).diff(dim=0).abs().max() > 0.01
    left_out("hessian")
    assert not hessian(density).any()
    assert judge.summaries(FIELDS).diff(dim=0).abs().max() > 0.1


def test_without_levels_the_coarsest_alone_is_weighed(judge, left_out):
    whole = judge.features(FIELDS)
    left_out("levels")
    found = judge.features(FIELDS)
    same = torch.arange(len(found[0])) % 24 >= 16  # of three times 8 means, and as many scatters
    assert torch.equal(found[:, same], whole[:, same])
    assert not found[:, ~same].any()
    assert whole[:, ~same].diff(dim=0).abs().max() > 0.01


def test_without_whitening_the_first_branch_sees_the_field_alone(judge, left_out):
    kept = judge.judge_field(FIELDS)
    left_out("whitening")
    alone = judge.judge_field(FIELDS)
    assert (kept != alone).all()
    judge.whitening.factor *= 3
    assert (judge.judge_field(FIELDS) == alone).all()


def test_without_floor_nobody_is_told_the_way_out_of_an_empty_cell(judge, left_out):
    scaling = judge.summaries.scaling
    y = torch.tensor([scaling.floor - 0.1, scaling.faint - 0.01, 0.5], requires_grad=True)

    def slopes():
        return torch.autograd.grad(scaling.saturate(y, torch).sum(), y)[0]

    assert (slopes() > 0.1).all()
    left_out("floor")
    assert slopes().tolist() == [0, 1, 1]
    assert scaling.saturate(y, torch)[0].item() == pytest.approx(scaling.floor)


def test_without_symmetry_nothing_is_turned(left_out):
    from cosmogan.models import source

    assert source.draw_orientation is draw_orientation
    left_out("symmetry")
    for seed in range(20):
        assert (source.draw_orientation(seed, 2, 4).apply(FIELDS[0]) == FIELDS[0]).all()


def test_without_colour_the_latent_is_as_rough_but_white(theory, left_out):
    def spectrum():
        latent = GaussianLatent(theory, GRID)
        logarithm = np.log(latent.density(latent.origins(3, range(200)), [0] * 200))
        power = np.mean(np.abs(np.fft.rfft2(logarithm)) ** 2, axis=0)
        return np.diagonal(power)[1 : GRID // 2 - 1], logarithm.var()

    (coloured, variance), _ = spectrum(), left_out("colour")
    white, same = spectrum()
    assert coloured[0] / coloured[-1] > 30
    assert np.abs(white / white.mean() - 1).max() < 0.3
    assert same == pytest.approx(variance, rel=0.05)


def test_without_displacement_the_latent_is_the_linear_density(theory, left_out):
    def box(kind):
        latent = LptLatent(theory, GRID, displacement=kind)
        return latent._make_box(7, 0)[0], latent.theory.growth(0)[0]

    plain, displaced = box("2lpt")[0], box("augmented")[0]
    left_out("displacement")
    linear, growth = box("augmented")
    modes = linear_modes(7, GRID, GRID * theory.cell_size, theory.linear_power(0))
    residual = np.log(linear) - growth * density(modes)
    assert residual.std() < 1e-4
    assert np.corrcoef(linear.ravel(), displaced.ravel())[0, 1] < 0.9
    np.testing.assert_array_equal(box("2lpt")[0], plain)


def _is_turned(seed):
    from cosmogan.models import source

    return source.draw_orientation(seed, 2, 64).shifts != (0, 0)


def _leave_out():
    """Start clusters, in a process that has none."""
    assert _is_turned(1)
    with without("symmetry"):
        assert not _is_turned(1)
        assert list(scatter(_is_turned, [(1,), (2,)])) == [False, False]
        with pytest.raises(ResourceError, match="before"), without("whitening"):
            pass  # its workers began without this
    assert _is_turned(1)


@pytest.mark.cluster
def test_workers_leave_out_the_same_until_the_block_ends():
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(_leave_out).result()
