"""Theory projects its spectra as the fields were made, and answers for no other universe."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import trapezoid

from cosmogan.cosmology import (
    Cosmology,
    PowerTable,
    growth_factor,
    linear_power,
    nonlinear_power,
    second_order_growth,
)
from cosmogan.errors import RecipeError
from cosmogan.models.theory import tabulate


def wavevectors(grid, cell, dimension):
    full, half = (2 * np.pi * f(grid, cell) for f in (np.fft.fftfreq, np.fft.rfftfreq))
    return list(np.meshgrid(*[full] * (dimension - 1), half, indexing="ij", sparse=True))


@pytest.mark.parametrize("thickness", [1, 2, 5, 256])
def test_white_theory_meets_the_integrals_of_its_windows(make_theory, thickness):
    """CIC: sum of sinc^4 over aliases is 1 - 2/3 sin^2; planes overlap by 2/3 and 1/6 of a cell."""
    theory = make_theory(thickness=thickness)
    theory = replace(theory, power=np.full_like(theory.power, 700.0))
    cell = theory.cell_size
    k = wavevectors(16, cell, 2)
    sampled = [1 - 2 / 3 * np.sin(x * cell / 2) ** 2 for x in k]
    depth = (thickness * 2 / 3 + 2 * (thickness - 1) / 6) / (thickness**2 * cell)
    expected = 700.0 * depth * sampled[0] * sampled[1]
    found = theory.field_power(0, k)[1:, 1:]
    np.testing.assert_allclose(found, expected[1:, 1:], rtol=2e-2)  # aliases beyond the first
    centre = (slice(0, 3), slice(0, 3))
    np.testing.assert_allclose(found[centre], expected[1:, 1:][centre], rtol=2e-3)


@pytest.mark.parametrize("thickness", [1, 2, 8])
def test_the_mean_of_a_slice_follows_the_modes_along_the_line_of_sight(make_theory, thickness):
    """Of white noise it is the integral that all other modes have, without the mode of the box."""
    theory = make_theory(thickness=thickness)
    theory = replace(theory, power=np.full_like(theory.power, 700.0))
    cell, box = theory.cell_size, 32 * theory.cell_size
    depth = (thickness * 2 / 3 + 2 * (thickness - 1) / 6) / (thickness**2 * cell)
    assert theory.mean_power(0, box) == pytest.approx(700 * (depth - 1 / box), rel=2e-3)
    assert make_theory(dimension=3).mean_power(0, box) == 0


def test_white_theory_of_cubes_is_the_sum_of_aliases(make_theory):
    theory = make_theory(dimension=3)
    theory = replace(theory, power=np.full_like(theory.power, 700.0))
    k = wavevectors(8, theory.cell_size, 3)
    expected = 700.0 * np.ones(())
    for x in k:
        expected = expected * (1 - 2 / 3 * np.sin(x * theory.cell_size / 2) ** 2)
    found = theory.field_power(0, k)[1:, 1:, 1:]
    np.testing.assert_allclose(found, expected[1:, 1:, 1:], rtol=3e-2)  # aliases beyond the first


@pytest.mark.parametrize(
    ("n", "grid"), [(1, 64), (4, 64), (12, 64), (1, 256), (1, 512), (2, 512), (1, 2048)]
)
@pytest.mark.parametrize("thickness", [1, 4])
def test_the_projection_is_the_integral_along_the_line_of_sight(make_theory, n, grid, thickness):
    """Also of the largest modes of large boxes, which lie between two even steps of it."""
    theory = make_theory(thickness=thickness, cell_size=3.0)
    k, cell = n * 2 * np.pi / (grid * 3.0), 3.0

    z = np.linspace(0, 8 * np.pi / cell, 200_001)
    slab = np.abs(np.mean([np.exp(1j * z * cell * i) for i in range(thickness)], axis=0)) ** 2
    weight = np.sinc(z * cell / 2 / np.pi) ** 4 * slab / np.pi
    expected = 0.0
    for kx in k + np.array([-1, 0, 1]) * 2 * np.pi / cell:
        total = np.log(np.hypot(kx, z))
        power = np.exp(np.interp(total, np.log(theory.k), np.log(theory.power[0])))
        expected += np.sinc(kx * cell / 2 / np.pi) ** 4 * trapezoid(power * weight, z)
    found = theory.field_power(0, [np.array([k]), np.array([0.0])])
    assert found[0] == pytest.approx(expected, rel=5e-3)


def test_a_network_is_not_asked_about_universes_it_never_saw(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0), (0.35, 0.5)))
    assert [theory.row(p) for p in theory.parameters] == [0, 1, 2]
    assert theory.row([0.3 * (1 + 1e-12), 1.0]) == 1
    with pytest.raises(RecipeError, match=r"Omega_m = 0.31, redshift = 0: no spectrum"):
        theory.row([0.31, 0.0])
    with pytest.raises(RecipeError, match="no spectrum"):
        theory.row([np.nan, 0.0])


def test_conditions_are_what_varies_scaled_to_one(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0), (0.3, 3.0)))
    assert theory.num_conditions == 1
    conditions = theory.conditions(theory.parameters)
    assert conditions.dtype == np.float32
    np.testing.assert_allclose(conditions, [[-1], [-1 / 3], [1]], rtol=1e-6)
    alone = make_theory()
    assert alone.num_conditions == 0
    assert alone.conditions(alone.parameters).shape == (1, 0)


def test_further_rows_leave_the_trained_range_alone(make_theory):
    theory = make_theory(((0.2, 0.0), (0.4, 1.0)))
    new = np.array([[0.3, 0.5], [0.5, 2.0]])
    more = theory.with_rows(new, 2 * theory.power, 3 * theory.linear)
    assert [more.row(p) for p in (*theory.parameters, *new)] == [0, 1, 2, 3]
    np.testing.assert_array_equal(more.power[2:], 2 * theory.power)
    np.testing.assert_array_equal(more.linear[2:], 3 * theory.linear)
    np.testing.assert_allclose(more.conditions(new), [[0, 0], [2, 3]], atol=1e-6)
    assert more.with_rows(new[:1] + 0.01, theory.power[:1], theory.linear[:1]).trained == 2
    assert theory.find(new[0]) is None, "the old one is as it was"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((0.3, 0.5), []),
        ((0.2, 1.0), []),
        ((0.1981, 0.0), []),  # within a hundredth of the width
        ((0.19, 0.0), ["Omega_m"]),
        ((0.41, -0.1), ["Omega_m", "redshift"]),
        ((np.nan, 0.0), ["Omega_m"]),
    ],
)
def test_what_lies_outside_the_trained_range_is_named(make_theory, asked, names):
    theory = make_theory(((0.2, 0.0), (0.4, 1.0)))
    assert theory.outside(asked) == names
    far = theory.with_rows(np.array([[0.9, 9.0]]), theory.power[:1], theory.linear[:1])
    assert far.outside(asked) == names


def test_what_did_not_vary_must_be_as_it_was(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 1.0)))
    assert theory.outside((0.3, 0.5)) == []
    assert theory.outside((0.3001, 0.5)) == ["Omega_m"]


def test_spectra_of_many_universes_are_those_of_each():
    names = ("Omega_m", "sigma_8", "redshift")
    asked = np.array([[0.3, 0.8, 1.0], [0.25, 0.9, 0.0], [0.3, 0.8, 0.0], [0.3, 0.8, 2.0]])
    ran = []

    def backwards(function, calls):
        ran.extend(calls)
        return [function(*call) for call in reversed(calls)]

    k, power, linear = tabulate(names, asked, backwards)
    assert len(ran) == 2, "CAMB runs once for each cosmology"
    for row, (omega, sigma, z) in enumerate(asked):
        universe = Cosmology(Omega_m=omega, sigma_8=sigma)
        np.testing.assert_allclose(power[row], nonlinear_power(universe, z)(k), rtol=2e-4)
        np.testing.assert_allclose(linear[row], linear_power(universe)(k), rtol=1e-6)


def test_spectra_are_straight_between_their_wavenumbers():
    fine = linear_power(Cosmology())
    k, _, linear = tabulate(("redshift",), np.zeros((1, 1)))
    inside = (fine.k > 1e-3) & (fine.k < 10)
    at = fine.k[inside]
    np.testing.assert_allclose(PowerTable(k, linear[0])(at), fine.power[inside], rtol=2e-3)


def test_the_linear_spectrum_is_that_of_today_whatever_the_redshift(make_theory):
    theory = make_theory(((0.3, 0.0), (0.3, 2.0)))
    for row in (0, 1):
        spectrum = theory.linear_power(row)
        np.testing.assert_allclose(spectrum(theory.k), theory.linear[row], rtol=1e-12)
    theory = replace(theory, linear=theory.linear * np.array([[1.0], [3.0]]))
    k = np.geomspace(1e-3, 10, 7)
    np.testing.assert_allclose(theory.linear_power(1)(k), 3 * theory.linear_power(0)(k), rtol=1e-9)


@pytest.mark.parametrize(("matter", "redshift"), [(0.3, 0.0), (0.3, 2.0), (0.4, 1.0)])
def test_growth_is_that_of_the_rows_own_cosmology_and_redshift(make_theory, matter, redshift):
    theory = make_theory(((0.3, 9.0), (matter, redshift)))
    scale = 1 / (1 + redshift)
    universe = Cosmology(Omega_m=matter)
    first, second = theory.growth(1)
    assert first == pytest.approx(float(growth_factor(universe, scale)), rel=1e-12)
    assert second == pytest.approx(float(second_order_growth(universe, scale)), rel=1e-12)
    assert second == pytest.approx(-3 / 7 * first**2, rel=0.02)


def test_nothing_has_grown_more_than_today(make_theory):
    theory = make_theory(tuple((0.3, z) for z in (0.0, 0.5, 1.0, 3.0)))
    growth = [theory.growth(row)[0] for row in range(4)]
    assert growth[0] == pytest.approx(1)
    assert np.all(np.diff(growth) < -0.1)
