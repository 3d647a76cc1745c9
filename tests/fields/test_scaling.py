"""The training space: both ways are inverse, and no density is negative or far too large."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError
from cosmogan.fields.scaling import CEILING, FAINT, SOFT, Scaling

scalings = st.builds(
    Scaling,
    density_scale=st.floats(0.05, 5),
    mean=st.floats(-2, 3),
    std=st.floats(0.1, 3),
    density_max=st.floats(2, 1e5),
)
fast = settings(max_examples=50, deadline=None)


@fast
@given(scalings, st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_inverse_undoes_forward(scaling, densities):
    rho = np.array(densities)
    # 1e-12 of the density, and of rho_s where rho is far below it: rounding of log1p and expm1.
    np.testing.assert_allclose(
        scaling.inverse(scaling.forward(rho)), rho, rtol=1e-11, atol=1e-12 * scaling.density_scale
    )


@fast
@given(scalings, st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_saturation_keeps_order_and_stays_between_floor_and_ceiling(scaling, values):
    y = np.sort(np.array(values))
    kept = scaling.saturate(y)
    rounding = 1e-12 * (1 + abs(scaling.ceiling))
    assert np.all(np.diff(kept) >= -rounding)
    assert kept.min() >= scaling.floor
    assert kept.max() <= scaling.ceiling + rounding
    inside = (y >= scaling.faint) & (y <= scaling.soft)
    np.testing.assert_array_equal(kept[inside], y[inside])


@fast
@given(scalings, st.floats(0, 1, exclude_min=True))
def test_the_soft_ceiling_begins_without_a_kink(scaling, fraction):
    width = scaling.ceiling - scaling.soft
    step = 1e-3 * fraction * width
    change = scaling.saturate(np.array([scaling.soft + step])) - scaling.soft
    assert change[0] == pytest.approx(step, rel=1e-5), "tanh(x) = x - x^3 / 3"


@fast
@given(scalings, st.floats(0, 1, exclude_min=True))
def test_the_soft_floor_begins_without_a_kink(scaling, fraction):
    depth = scaling.faint - scaling.floor
    step = 1e-4 * fraction * depth
    change = scaling.faint - scaling.saturate(np.array([scaling.faint - step]))
    assert change[0] == pytest.approx(step, rel=1e-4, abs=1e-14), "exp(-x) = 1 - x + x^2 / 2"


@pytest.mark.parametrize("density_scale", [0.1, 0.5, 2])
def test_whoever_falls_below_an_empty_cell_is_told_the_way_back(density_scale):
    """By a gradient, a fifth of the full one even half a depth below the floor."""
    scaling = Scaling(density_scale=density_scale, mean=0.9, std=0.6, density_max=200.0)
    y = torch.linspace(-0.5, 0.0, 20, requires_grad=True)
    said = scaling.floor + y * (scaling.faint - scaling.floor)
    (slope,) = torch.autograd.grad(scaling.saturate(said, torch).sum(), said)
    assert slope.min() > 0.2
    rho = scaling.inverse(scaling.saturate(said, torch), torch)
    assert 0 < rho.min() < rho.max() < FAINT * density_scale


@pytest.mark.parametrize("huge", [1e2, 1e30, np.inf])
def test_no_field_however_wild_gives_a_negative_or_huge_density(huge):
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=200.0)
    y = np.array([-huge, -3.0, 0.0, 3.0, huge], dtype=np.float32)
    rho = scaling.inverse(scaling.saturate(y))
    assert 0 <= rho.min() < 1e-2
    assert rho.max() <= CEILING * 200 * (1 + 1e-5), "float32 knows the ceiling to 1e-7 in y"
    assert np.all(np.isfinite(rho))
    assert scaling.inverse(y[:1])[0] == 0, "also without saturation"


def test_landmarks_stand_where_they_say():
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=200.0)
    marks = np.array([scaling.floor, scaling.faint, scaling.soft, scaling.ceiling])
    np.testing.assert_allclose(
        scaling.inverse(marks), [0, FAINT * 0.5, SOFT * 200, CEILING * 200], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_and_torch_agree_and_keep_their_precision(dtype):
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=20.0)
    rho = np.random.default_rng(1).lognormal(0, 1.5, (3, 8, 8)).astype(dtype)
    tensor = torch.from_numpy(rho)
    for name, data in (("forward", rho), ("inverse", rho - 1), ("saturate", 3 * rho - 3)):
        method = getattr(scaling, name)
        by_numpy, by_torch = method(data), method(torch.from_numpy(data), torch)
        assert by_numpy.dtype == dtype
        assert by_torch.dtype == tensor.dtype
        np.testing.assert_allclose(by_torch.numpy(), by_numpy, rtol=2e-6, atol=2e-6)


def test_gradients_survive_both_ends_without_becoming_nan():
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=20.0)
    y = torch.tensor([-1e10, 0.0, scaling.soft + 0.1, 1e10], requires_grad=True)
    scaling.saturate(y, torch).sum().backward()
    assert torch.isfinite(y.grad).all()
    assert y.grad[1] == 1
    assert 0 < y.grad[2] < 1


def test_a_fit_standardises_its_fields():
    rho = np.random.default_rng(2).lognormal(-0.5, 1, (50, 16, 16)).astype(np.float32)
    scaling = Scaling.fit(rho, 0.5)
    y = scaling.forward(rho)
    assert y.dtype == np.float32
    assert float(y.mean(dtype=np.float64)) == pytest.approx(0, abs=1e-5), "float32 of each cell"
    assert float(y.std(dtype=np.float64)) == pytest.approx(1, rel=1e-5)
    assert scaling.density_max == rho.max()
    assert Scaling(**scaling.as_dict()) == scaling
    inside = (y >= scaling.faint) & (y <= scaling.soft)
    np.testing.assert_array_equal(scaling.saturate(y)[inside], y[inside])


def test_touched_counts_the_cells_above_the_soft_limit():
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=200.0)
    y = np.zeros((4, 5), np.float32)
    y[0, :3] = scaling.soft + 0.1
    assert scaling.touched(y) == pytest.approx(3 / 20)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_fields_without_contrast_or_with_damage_are_refused(value):
    with pytest.raises(LayoutError, match="every number must be finite and every scale positive"):
        Scaling.fit(np.full((24, 16, 16), value, np.float32), 0.5)
