"""Laws of the resemblance: what brute force finds, what moves a field, what chance does."""

import doctest
import itertools

import numpy as np
import pytest
import scipy.special
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cosmogan.statistics.resemblance as module
from cosmogan.errors import LayoutError, RecipeError
from cosmogan.statistics.resemblance import mean_power, nearest, resemblance, signatures

ROUNDING = 2e-6  # of a float32 transform of some hundred modes


def lognormal(*shape, seed=1):
    return np.exp(np.random.default_rng(seed).standard_normal(shape))


def density_of(logarithm):
    """Return the density whose log1p(rho / 0.5) is this, moved up to be positive."""
    return 0.5 * np.expm1(logarithm - logarithm.min())


def logarithm_of(rho):
    return np.log1p(rho / 0.5)


def squares(*shape):
    """Return |n|^2 of all modes of a full transform."""
    n = [np.rint(np.fft.fftfreq(size) * size).astype(int) for size in shape]
    return sum(axis**2 for axis in np.meshgrid(*n, indexing="ij"))


def whitened(fields, band):
    """Return white fields of norm 1, with full transforms and a loop over |n|^2."""
    axes = tuple(range(1, fields.ndim))
    modes = np.fft.fftn(logarithm_of(fields), axes=axes)
    square = squares(*fields.shape[1:])
    modes[:, (square == 0) | (square > (band * fields.shape[-1] / 2) ** 2 + 1e-9)] = 0
    for value in np.unique(square):
        at = square == value
        power = np.mean(np.abs(modes[:, at]) ** 2)
        modes[:, at] /= np.sqrt(power) if power > 0 else 1.0
    white = np.fft.ifftn(modes, axes=axes).real
    return white / np.sqrt((white**2).sum(axis=axes, keepdims=True))


def turns(field):
    """Yield a field under all symmetries of the square or the cube that leave cell 0 in its place."""
    for order in itertools.permutations(range(field.ndim)):
        for flips in itertools.product((False, True), repeat=field.ndim):
            axes = [axis for axis, flip in enumerate(flips) if flip]
            yield np.roll(np.flip(field.transpose(order), axes), 1 if axes else (), axes)


def brute_force(one, other, step=1):
    """Return the largest correlation over turns and shifts by `step` cells, one by one."""
    shifts = list(itertools.product(range(0, one.shape[0], step), repeat=one.ndim))
    axes = tuple(range(one.ndim))
    return max(
        float((np.roll(turned, shift, axes) * other).sum())
        for turned in turns(one)
        for shift in shifts
    )


@given(
    shape=st.sampled_from([(4, 4), (5, 5), (6, 6), (7, 7), (3, 3, 3), (4, 4, 4)]),
    band=st.sampled_from([0.5, 0.75, 1.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=25, deadline=None)
def test_it_is_what_all_shifts_and_turns_one_by_one_give(shape, band, seed):
    assume(band * shape[0] >= 2)
    fields = lognormal(3, *shape, seed=seed)
    marks, white = signatures(fields, band=band), whitened(fields, band)
    found = resemblance(marks[:2], marks)
    assert marks.grid == shape[0]
    for i, j in itertools.product(range(2), range(3)):
        assert found[i, j] == pytest.approx(brute_force(white[i], white[j]), abs=ROUNDING)


def test_a_low_band_tries_shifts_by_some_cells_only():
    fields = lognormal(3, 16, 16)
    marks, white = signatures(fields, band=0.25), whitened(fields, 0.25)
    assert (marks.grid, marks.modes.shape) == (8, (3, 5, 3))
    found = resemblance(marks, marks)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        expected = brute_force(white[i], white[j], step=2)
        assert found[i, j] == pytest.approx(expected, abs=ROUNDING)
    everywhere = [brute_force(white[i], white[i - 1]) for i in range(3)]
    assert found[[0, 1, 2], [2, 0, 1]].sum() < sum(everywhere) - 0.01


@pytest.mark.parametrize("shape", [(32, 32), (15, 15), (8, 8, 8), (7, 7, 7)])
def test_a_copy_has_one_wherever_and_however_it_lies(shape):
    fields = lognormal(2, *shape).astype(np.float32)
    rng = np.random.default_rng(3)
    moved = [
        np.roll(turned, rng.integers(0, shape[0], len(shape)), range(len(shape)))
        for turned in turns(fields[0])
    ]
    power = mean_power(fields)
    marks, copies = signatures(fields, power=power), signatures(np.array(moved), power=power)
    found = resemblance(copies, marks)
    np.testing.assert_allclose(found[:, 0], 1, atol=ROUNDING)
    # the other field resembles all copies alike, and less
    np.testing.assert_allclose(found[:, 1], found[0, 1], atol=ROUNDING)
    assert found[0, 1] < 0.95


def test_a_reflection_of_the_cube_is_more_than_a_rotation():
    assert len(list(turns(np.zeros((2, 2, 2))))) == len(module._symmetries(3, 3)[0]) == 48
    assert len(list(turns(np.zeros((2, 2))))) == len(module._symmetries(3, 2)[0]) == 8


@pytest.mark.parametrize(
    ("shape", "law"),
    [
        ((64, 64), lambda x: 2 * scipy.special.j1(x) / x),
        ((32, 32, 32), lambda x: 3 * scipy.special.spherical_jn(1, x) / x),
    ],
)
def test_a_copy_between_two_shifts_is_found_as_well_as_the_docstring_says(shape, law):
    """One cell along each axis is half a cell of the grid of shifts, the worst that can be."""
    fields = lognormal(8, *shape)
    axes = tuple(range(1, fields.ndim))
    marks = signatures(fields, band=0.25)
    moved = [signatures(np.roll(fields, (s,) * len(axes), axes), band=0.25) for s in (1, 2)]
    assert marks.grid == shape[0] // 2
    found = [np.diag(resemblance(marks, other)).mean() for other in moved]
    x = np.pi * np.sqrt(len(axes)) / 4
    # the disc or ball has some hundred modes, so its edge is ragged
    assert found[0] == pytest.approx(law(x), rel=0.03)
    assert found[1] == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("shape", [(24, 24), (10, 10, 10)])
@pytest.mark.parametrize("band", [0.5, 1.0])
def test_noise_scatters_by_one_over_the_root_of_the_modes(shape, band):
    pairs = 600
    noise = np.random.default_rng(5).standard_normal((2, pairs, *shape))
    one, other = (signatures(density_of(n), band=band) for n in noise)
    square, partners = module._squares(one.modes.shape[1], len(shape))
    number = partners[(square > 0) & (square <= one.largest)].sum()
    assert one.noise == pytest.approx(number**-0.5)
    axes = tuple(range(1, noise.ndim - 1))
    r = (partners * (one.modes.conj() * other.modes).real).sum(axis=axes)
    # a variance from 600 numbers is known to 6 %, a mean to 4 % of the scatter
    assert r.std() == pytest.approx(one.noise, rel=4 / np.sqrt(2 * pairs))
    assert abs(r.mean()) < 4 * one.noise / np.sqrt(pairs)


def test_the_largest_of_all_shifts_of_noise_is_some_four_times_its_scatter():
    marks = signatures(density_of(np.random.default_rng(6).standard_normal((40, 64, 64))))
    r = resemblance(marks[:20], marks[20:]) / marks.noise
    # of 8 * 64^2 Gaussian numbers the largest is 4.2 +- 0.3, a little less as neighbours correlate
    assert 3.7 < r.mean() < 4.3
    assert r.max() < 6


def test_it_is_the_same_either_way_round():
    marks = signatures(lognormal(6, 20, 20))
    found = resemblance(marks[:3], marks[3:])
    np.testing.assert_allclose(resemblance(marks[3:], marks[:3]).T, found, atol=ROUNDING)


def test_a_wrong_power_spectrum_hides_no_copy():
    fields = lognormal(5, 32, 32)
    modes = np.fft.fft2(logarithm_of(fields))
    tilted = np.fft.ifft2(modes / np.maximum(squares(32, 32), 1)).real
    marks = signatures(fields), signatures(density_of(tilted))
    np.testing.assert_allclose(np.diag(resemblance(*marks)), 1, atol=ROUNDING)
    one_ruler = signatures(density_of(tilted), power=mean_power(fields))
    assert np.diag(resemblance(marks[0], one_ruler)).max() < 0.9


def test_a_copy_of_another_resolution_is_found():
    modes = np.fft.rfft2(np.random.default_rng(2).standard_normal((4, 32, 32)))
    modes[:, squares(32, 32)[:, :17] > 8**2] = 0
    coarse = np.fft.irfft2(modes, s=(32, 32))
    wide = np.zeros((4, 64, 33), dtype=complex)
    wide[:, :16, :17], wide[:, -16:, :17] = 4 * modes[:, :16], 4 * modes[:, -16:]
    fine = np.fft.irfft2(wide, s=(64, 64))
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, atol=1e-12)
    lowest = coarse.min() - 1, fine.min() - 1
    rho = [0.5 * np.expm1(y - min(lowest)) for y in (coarse, fine)]
    marks = signatures(rho[0], band=0.5), signatures(rho[1], band=0.25)
    np.testing.assert_allclose(np.diag(resemblance(*marks)), 1, atol=ROUNDING)


def test_one_halo_decides_nothing():
    fields = lognormal(10, 64, 64, seed=8)
    fields[:, 20, 30] = 400.0
    marks = signatures(fields)
    found = resemblance(marks, marks)[~np.eye(10, dtype=bool)]
    assert found.max() < 7 * marks.noise


@pytest.mark.parametrize("shape", [(6, 16, 16), (4, 6, 6, 6)])
def test_the_mean_power_of_white_noise_is_its_variance_times_the_cells(shape):
    noise = np.random.default_rng(4).standard_normal((400, *shape[1:]))
    power = mean_power(density_of(noise), band=1.0)
    square = np.unique(squares(*shape[1:]))
    square = square[(square > 0) & (square < power.size)]
    # the smallest shells have some 4 modes in each of 400 fields
    np.testing.assert_allclose(power[square] / noise[0].size, 1, atol=5 * np.sqrt(2 / 1600))
    empty = np.setdiff1d(np.arange(power.size), square)
    assert (power[empty] == 0).all()


def test_the_power_is_by_default_that_of_the_fields():
    fields = lognormal(5, 12, 12)
    given_, own = signatures(fields, power=mean_power(fields)), signatures(fields)
    np.testing.assert_array_equal(given_.modes, own.modes)


def test_the_nearest_is_the_largest_that_counts():
    fields = lognormal(9, 16, 16)
    fields[7] = np.roll(np.rot90(fields[0]), (2, 5), (0, 1))
    group = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
    marks = signatures(fields)
    whole = resemblance(marks, marks)
    barred = group[:, None] == group
    value, index = nearest(marks, marks, barred)
    np.testing.assert_array_equal(value, np.where(barred, -1, whole).max(axis=1))
    np.testing.assert_array_equal(index, np.where(barred, -1, whole).argmax(axis=1))
    assert (index[0], index[7]) == (7, 0)
    assert value[0] == pytest.approx(1, abs=ROUNDING)
    value, index = nearest(marks[:7], marks[:7])
    np.testing.assert_array_equal(index, np.arange(7))
    np.testing.assert_allclose(value, 1, atol=ROUNDING)


@pytest.mark.parametrize("shape", [(16, 16), (6, 6, 6)])
def test_neither_workers_nor_company_change_it(shape, monkeypatch):
    marks = signatures(lognormal(11, *shape))
    whole = resemblance(marks, marks)
    np.testing.assert_array_equal(resemblance(marks, marks, workers=3), whole)
    np.testing.assert_array_equal(nearest(marks[:4], marks, workers=3)[0], whole[:4].max(axis=1))
    monkeypatch.setattr(module, "_CHUNK_CELLS", 3 * marks.grid ** len(shape))
    # where a field stands in a block decides its rounding
    np.testing.assert_allclose(resemblance(marks, marks), whole, atol=ROUNDING)
    np.testing.assert_array_equal(signatures(lognormal(11, *shape)).modes, marks.modes)


def test_a_field_without_structure_resembles_nothing():
    fields = lognormal(3, 12, 12)
    fields[1] = 1.0
    marks = signatures(fields)
    assert not marks.modes[1].any()
    assert (resemblance(marks, marks)[1] == 0).all()
    empty = marks[:0]
    assert resemblance(empty, marks).shape == (0, 3)
    assert resemblance(marks, empty).shape == (3, 0)


@pytest.mark.parametrize(
    ("fields", "options", "error", "message"),
    [
        (np.full((1, 4, 4), np.nan), {}, LayoutError, "field 0 .* not finite"),
        (np.ones((1, 4, 5)), {}, LayoutError, "neither a square nor a cube"),
        (np.stack([np.eye(4), -np.eye(4)]), {}, LayoutError, "field 1 is negative"),
        (np.ones((1, 4, 4)), {"band": 0.4}, RecipeError, "keeps no mode"),
        (np.ones((1, 4, 4)), {"band": 1.1}, RecipeError, "from 0.5 to 1"),
        (np.ones((1, 4, 4)), {"band": np.nan}, RecipeError, "keeps no mode"),
        (np.ones((1, 4, 4)), {"scale": 0.0}, RecipeError, "positive density"),
        (np.ones((1, 8, 8)), {"power": np.ones(4)}, LayoutError, "must be 5 numbers"),
        (np.ones((1, 8, 8)), {"power": -np.ones(5)}, LayoutError, "at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(fields, options, error, message):
    with pytest.raises(error, match=message) as caught:
        signatures(fields, **options)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_compared_is_refused_in_one_line():
    marks, other = signatures(lognormal(3, 16, 16)), signatures(lognormal(2, 12, 12))
    for call, message in (
        (lambda: resemblance(marks, other), "of one kind"),
        (lambda: nearest(marks, other), "of one kind"),
        (lambda: nearest(marks, marks, np.eye(2)), "must be .3, 3."),
        (lambda: nearest(marks, marks, [[0, 0, 0], [1, 1, 1], [0, 0, 0]]), "field 1 has no other"),
    ):
        with pytest.raises(LayoutError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
