"""A box is cut without losing mass, and every sample says where it was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.fields.cut import cut_box, origins
from cosmogan.fields.layout import ORIGIN_DTYPE


@st.composite
def boxes(draw):
    """A density and a thickness that divides it."""
    slabs, thickness = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    grid = slabs * thickness
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return random.lognormal(size=(grid,) * 3).astype(np.float32), thickness


@given(box=boxes())
@settings(max_examples=30, deadline=None)
def test_a_slice_is_the_mean_over_its_slab(box):
    density, thickness = box
    samples, origin = cut_box(density, 2, thickness)
    assert samples.dtype == np.float32
    assert len(samples) == len(origin) == 3 * len(density) // thickness
    for sample, axis, slab in zip(samples, origin["axis"], origin["slab"], strict=True):
        planes = range(slab * thickness, (slab + 1) * thickness)
        expected = density.take(planes, axis=axis).mean(axis=axis, dtype=np.float64)
        np.testing.assert_array_equal(sample, expected.astype(np.float32))


@given(box=boxes())
@settings(max_examples=30, deadline=None)
def test_the_slices_along_each_axis_hold_the_whole_box(box):
    density, thickness = box
    samples, origin = cut_box(density, 2, thickness)
    for axis in range(3):
        along = samples[origin["axis"] == axis].astype(np.float64)
        assert along.mean() == pytest.approx(density.mean(dtype=np.float64), rel=1e-6), "float32"
        together = density.mean(axis=axis, dtype=np.float64)
        np.testing.assert_allclose(along.mean(axis=0), together, rtol=1e-6)


@given(box=boxes())
@settings(max_examples=30, deadline=None)
def test_no_two_slices_have_the_same_origin(box):
    density, thickness = box
    _, origin = cut_box(density, 2, thickness)
    slabs = len(density) // thickness
    places = list(zip(origin["axis"].tolist(), origin["slab"].tolist(), strict=True))
    assert sorted(set(places)) == places == [(a, s) for a in range(3) for s in range(slabs)]
    assert origin.dtype == ORIGIN_DTYPE


@given(box=boxes())
@settings(max_examples=10, deadline=None)
def test_a_cube_passes_as_it_is(box):
    density, thickness = box
    samples, origin = cut_box(density, 3, thickness)
    assert samples.shape == (1, *density.shape)
    np.testing.assert_array_equal(samples[0], density)
    assert (origin["axis"].tolist(), origin["slab"].tolist()) == ([-1], [-1])


def test_origins_name_no_simulation_before_they_are_told():
    made = origins(np.array([0, 2]), np.array([5, 7]))
    assert made.tolist() == [(0, 0, 0, 5, False), (0, 0, 2, 7, False)]
