"""The battery: whatever is asked for, each row is one field's, and nothing is lost on the way."""

import json

import numpy as np
import pytest

from cosmogan.errors import RecipeError
from cosmogan.statistics import battery, minkowski, peaks, regions
from cosmogan.statistics.pdf import smooth
from cosmogan.statistics.table import Statistic

BOX = 100.0
ONLY_CUBES = {"minkowski_3"}
ONLY_SLICES = {"scattering", "scattering_2"}


@pytest.fixture(scope="module")
def slices():
    noise = np.random.default_rng(3).standard_normal((5, 32, 32))
    return np.exp(2.5 * smooth(noise, 1.0, axes=(1, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def found(slices):
    return battery.measure(slices, BOX, ["all"])


def test_slices_and_cubes_have_all_that_their_dimension_allows(found):
    cubes = np.exp(np.random.default_rng(1).standard_normal((2, 24, 24, 24)))
    assert set(found) == set(battery.ALL) - ONLY_CUBES
    assert set(battery.measure(cubes, BOX, ["all"])) == set(battery.ALL) - ONLY_SLICES
    assert set(battery.measure(cubes, BOX)) == set(battery.DEFAULT)


def test_a_row_depends_on_its_field_alone(slices, found):
    other = battery.measure(slices[[4, 1]], BOX, ["all"])
    for name, statistic in other.items():
        np.testing.assert_array_equal(statistic.samples, found[name].samples[[4, 1]], err_msg=name)


@pytest.mark.parametrize("name", battery.ALL)
def test_what_is_measured_alone_is_what_is_measured_with_all(slices, found, name):
    alone = battery.measure(slices, BOX, [name])
    assert set(alone) == {name} - ONLY_CUBES
    for statistic in alone.values():
        np.testing.assert_array_equal(statistic.samples, found[name].samples)


def test_every_statistic_is_finite_and_bears_its_own_name(found):
    for name, statistic in found.items():
        assert statistic.name == name
        assert statistic.label
        assert np.isfinite(statistic.samples).all(), name


def test_the_same_universe_turned_or_moved_has_the_same_statistics(slices, found):
    """Rolls and quarter turns; 1e-4 is the rounding of float32 transforms in the smallest bins."""
    moved = np.rot90(np.roll(slices, (5, 9), axis=(1, 2)), axes=(1, 2))
    again = battery.measure(np.ascontiguousarray(moved), BOX, ["all"])
    for name, statistic in found.items():
        if name in ("pdf_smoothed", "peaks", "minima"):
            continue  # a value that rounding carries over an edge changes its bin
        size = np.abs(statistic.samples).max()
        np.testing.assert_allclose(
            again[name].samples, statistic.samples, rtol=1e-4, atol=1e-4 * size, err_msg=name
        )


def test_extrema_and_regions_are_those_of_their_modules(slices, found):
    for field, high, low in zip(
        slices, found["peaks"].samples, found["minima"].samples, strict=True
    ):
        whole = peaks.peaks_and_minima(field, smoothing=battery.PEAK_SMOOTHING)
        assert (high.sum(), low.sum()) == (whole.peaks.sum(), whole.minima.sum())
    above = regions.count_regions(slices[0], battery.HALO_DENSITIES).number
    np.testing.assert_array_equal(found["halos"].samples[0], above)


def test_the_euler_characteristic_of_half_spaces_is_that_of_the_complement(slices, found):
    """In a plane chi(set) = -chi(complement), and the complement is the set of -rho."""
    other = minkowski.minkowski(
        -slices,
        BOX,
        -np.array(found["minkowski_2"].coordinate)[::-1],
        smoothing=battery.SMOOTHING,
        standardise=False,
    )[1][:, 2, ::-1]
    np.testing.assert_allclose(found["minkowski_2"].samples, -other, atol=1e-12)


def test_the_definition_tells_what_was_asked_for():
    assert battery.definition() == battery.definition(battery.DEFAULT)
    assert battery.definition(["power", "pdf"]) == battery.definition(["pdf", "power"])
    assert battery.definition(["power"]) != battery.definition()
    assert battery.choose(["default", "halos"]) == {*battery.DEFAULT, "halos"}
    assert set(json.loads(battery.definition(["all"]))["names"]) == set(battery.ALL)


@pytest.mark.parametrize("names", [["powre"], [], ["all", "powre"]])
def test_an_unknown_name_is_refused_with_the_known_ones(slices, names):
    with pytest.raises(
        RecipeError, match=r"statistics: .* asked for; give default, all, or some of mean"
    ):
        battery.measure(slices, BOX, names)


def judged(samples, label="rho / mean", unit="", **limits):
    count = len(samples)
    statistic = Statistic(
        name="x",
        coordinate=np.arange(1.0, count + 1),
        samples=np.array([samples], dtype=np.float64),
        weight=np.ones(count),
        label="x",
        unit="",
        coordinate_label=label,
        coordinate_unit=unit,
    )
    return battery.judged_bins(statistic, **limits).tolist()


def test_rare_densities_are_judged_only_between_common_ones():
    assert judged([0.001, 0.3, 0.0, 0.4, 0.299], share=0.01) == [1, 2, 3, 4]
    assert judged([-0.5, 0.0, 0.5, 0.001], share=0.01) == [0, 1, 2]
    assert judged([0.5, 0.5, 0.0], "k", "h/Mpc", k_limit=2.0, share=0.9) == [0, 1]
    assert judged([0.5, 0.0], "", share=0.9) == [0, 1]
