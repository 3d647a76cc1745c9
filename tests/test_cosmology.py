"""Laws of the background, the growth and the spectra of theory."""

import numpy as np
import pytest

from cosmogan import cosmology as theory
from cosmogan.cosmology import Cosmology, PowerTable
from cosmogan.errors import RecipeError

A = np.array([0.02, 0.05, 0.2, 0.5, 0.8, 1.0])
UNIVERSE = Cosmology()


@pytest.fixture(scope="module")
def linear():
    return theory.linear_power(UNIVERSE)


def test_einstein_de_sitter_grows_as_the_scale_factor():
    flat = Cosmology(Omega_m=1.0)
    np.testing.assert_allclose(theory.growth_factor(flat, A), A, rtol=1e-12)
    np.testing.assert_allclose(theory.growth_rate(flat, A), 1, rtol=1e-12)
    np.testing.assert_allclose(theory.second_order_growth(flat, A), -3 / 7 * A**2, rtol=1e-8)
    np.testing.assert_allclose(theory.second_order_rate(flat, A), 2, rtol=1e-8)


@pytest.mark.parametrize("Omega_m", [0.1, 0.3089, 0.9])
def test_growth_solves_its_equation(Omega_m):
    """D'' + (2 + dlnH/dlna) D' = 3/2 Omega_m(a) D in ln a, by differences of sixth order."""
    universe = Cosmology(Omega_m=Omega_m)
    step, offsets = 0.02, np.arange(-3, 4)
    at = np.exp(np.log(A[1:])[:, None] + step * offsets)
    growth = theory.growth_factor(universe, at)
    first = growth @ [-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60] / step
    second = growth @ [1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90] / step**2
    matter = theory.omega_m_at(universe, A[1:])
    expected = 1.5 * matter * growth[:, 3] - (2 - 1.5 * matter) * first
    np.testing.assert_allclose(second, expected, rtol=1e-6)
    np.testing.assert_allclose(first / growth[:, 3], theory.growth_rate(universe, A[1:]), rtol=1e-7)


def test_growth_is_heaths_integral():
    """D ~ E int da / (a E)^3 (Heath 1977), here by quadrature."""
    a = np.linspace(1e-6, 1, 400_001)
    integral = np.cumsum(1 / (a * theory.hubble(UNIVERSE, a)) ** 3)
    growth = theory.hubble(UNIVERSE, a) * integral
    found = growth[[20_000, 200_000]] / growth[-1]
    np.testing.assert_allclose(found, theory.growth_factor(UNIVERSE, [0.05, 0.5]), rtol=1e-4)


@pytest.mark.parametrize("Omega_m", [0.1, 0.3089, 0.9])
def test_second_order_growth_follows_the_common_fit(Omega_m):
    """Bouchet et al. (1995) quote their power of Omega_m to 0.6 %."""
    universe = Cosmology(Omega_m=Omega_m)
    fit = -3 / 7 * theory.growth_factor(universe, A) ** 2
    fit *= theory.omega_m_at(universe, A) ** (-1 / 143)
    np.testing.assert_allclose(theory.second_order_growth(universe, A), fit, rtol=6e-3)


def test_matter_makes_up_a_young_universe():
    assert theory.hubble(UNIVERSE, 1.0) == pytest.approx(1)
    assert theory.omega_m_at(UNIVERSE, 1.0) == pytest.approx(UNIVERSE.Omega_m)
    assert theory.omega_m_at(UNIVERSE, 1e-4) == pytest.approx(1, abs=1e-10)


def test_astropy_expands_alike():
    universe = theory.to_astropy(UNIVERSE)
    np.testing.assert_allclose(universe.efunc(1 / A - 1), theory.hubble(UNIVERSE, A), rtol=1e-12)


def test_linear_power_has_the_sigma_8_that_was_asked_for(linear):
    k = np.geomspace(1e-4, 40, 20_001)
    x = 8 * k
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    variance = np.trapezoid(linear(k) * window**2 * k**3 / (2 * np.pi**2), np.log(k))
    assert np.sqrt(variance) == pytest.approx(UNIVERSE.sigma_8, rel=1e-3)


def test_spectra_are_those_of_camb_run_by_hand(linear):
    """Values at k = .1, .3, 1 of CAMB 2.0.5, linear and mead2020, found apart from this code."""
    k = [0.1, 0.3, 1.0]
    np.testing.assert_allclose(linear(k), [5502, 887.5, 68.16], rtol=1e-3)
    nonlinear = theory.nonlinear_power(UNIVERSE)
    np.testing.assert_allclose(nonlinear(k), [5576, 1345.7, 384.3], rtol=2e-3)


def test_linear_power_grows_with_the_growth_factor(linear):
    k = np.geomspace(1e-3, 10, 7)
    growth = theory.growth_factor(UNIVERSE, 0.5)
    np.testing.assert_allclose(theory.linear_power(UNIVERSE, 1.0)(k), linear(k) * growth**2)


def test_nonlinear_power_is_linear_on_large_scales():
    """At k = .01 HMcode is linear to 1 %; CAMB's own growth has radiation, another 0.5 %."""
    for redshift in (0.0, 1.0):
        linear = theory.linear_power(UNIVERSE, redshift)(0.01)
        assert theory.nonlinear_power(UNIVERSE, redshift)(0.01) == pytest.approx(linear, rel=0.015)


def test_a_table_of_a_power_law_is_that_power_law_everywhere():
    table = PowerTable(np.array([0.1, 1.0, 2.0]), 5 * np.array([0.1, 1.0, 2.0]) ** -1.5)
    k = np.array([1e-3, 0.05, 0.1, 0.7, 2.0, 50.0])
    np.testing.assert_allclose(table(k), 5 * k**-1.5, rtol=1e-12)
    assert table(0.0) == 0


def test_nobody_can_change_a_cached_table(linear):
    with pytest.raises(ValueError, match="read-only"):
        linear.power[0] = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("Omega_m", 1.2), ("Omega_b", 0.4), ("h", 67.0), ("n_s", np.nan), ("sigma_8", 0.0)],
)
def test_an_impossible_cosmology_is_refused_by_name(name, value):
    with pytest.raises(RecipeError, match=rf"cosmology\.{name} = {value}"):
        Cosmology(**{name: value})


def test_more_baryons_than_matter_are_refused():
    with pytest.raises(RecipeError, match="below Omega_m"):
        Cosmology(Omega_m=0.1, Omega_b=0.15)


def test_parameters_make_the_same_cosmology_again():
    assert Cosmology(**UNIVERSE.parameters()) == UNIVERSE
