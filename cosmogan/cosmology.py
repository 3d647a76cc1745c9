"""Flat LCDM: parameters, background, growth, linear and HMcode spectra, units.

Lengths are comoving Mpc/h, wavenumbers h/Mpc, spectra (Mpc/h)^3. The background and the growth
neglect radiation, as the particle-mesh code does, so that ``linear_power(z) = D(z)^2
linear_power(0)`` holds exactly between the two. CAMB and astropy are imported where asked for.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.special import hyp2f1

from cosmogan.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.cosmology import FlatLambdaCDM

CRITICAL_DENSITY = 2.77536627e11
"""Critical density today [h^2 Msun / Mpc^3]."""

_K_MAX, _K_POINTS = 20.0, 1200
_EARLY = 1e-4
_BOUNDS = {
    "Omega_m": (0.05, 1.0),
    "Omega_b": (0.005, 0.2),
    "h": (0.3, 1.2),
    "n_s": (0.5, 1.5),
    "sigma_8": (0.001, 2.0),
}


@dataclass(frozen=True, kw_only=True)
class Cosmology:
    """A flat LCDM universe with massless neutrinos.

    Parameters
    ----------
    Omega_m, Omega_b : float
        Matter and baryon density today over the critical density.
    h : float
        Hubble constant today [100 km/s/Mpc].
    n_s : float
        Slope of the primordial spectrum.
    sigma_8 : float
        Scatter of the linear density in spheres of 8 Mpc/h today.

    Raises
    ------
    RecipeError
        If a parameter lies outside what CAMB and the growth integrals are trusted for.
    """

    Omega_m: float = 0.3089
    Omega_b: float = 0.0486
    h: float = 0.6774
    n_s: float = 0.9667
    sigma_8: float = 0.8159

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low < value <= high:
                raise RecipeError(
                    f"cosmology.{name} = {value}: must lie in ({low}, {high}]; correct it"
                )
        if self.Omega_b >= self.Omega_m:
            raise RecipeError(
                f"cosmology.Omega_b = {self.Omega_b}: must be below Omega_m = {self.Omega_m}; "
                "correct one of them"
            )

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name, in the order of their definition."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class PowerTable:
    """A power spectrum tabulated in k, callable at any k.

    Parameters
    ----------
    k : (n,) float64 array
        Wavenumbers, increasing [h/Mpc].
    power : (n,) float64 array
        Power, positive [(Mpc/h)^3].
    """

    k: NDArray[np.float64]
    power: NDArray[np.float64]

    def __call__(self, k: ArrayLike) -> NDArray[np.float64]:
        """Return the power at `k`: straight in log-log, power laws outside, zero at k = 0."""
        wanted = np.asarray(k, dtype=np.float64)
        x, y = np.log(self.k), np.log(self.power)
        at = np.log(np.where(wanted > 0, wanted, self.k[0]))
        low = y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
        high = y[-1] + (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
        inside = np.interp(at, x, y)
        value = np.exp(np.where(at < x[0], low, np.where(at > x[-1], high, inside)))
        result: NDArray[np.float64] = np.where(wanted > 0, value, 0.0)
        return result


def hubble(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return E(a) = H(a) / H0 of matter and a cosmological constant at scale factor `a`."""
    scale = np.asarray(a, dtype=np.float64)
    squared = cosmology.Omega_m / scale**3 + (1 - cosmology.Omega_m)
    return np.asarray(np.sqrt(squared))


def omega_m_at(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return the matter density over the critical density at scale factor `a`."""
    scale = np.asarray(a, dtype=np.float64)
    return np.asarray(cosmology.Omega_m / scale**3 / hubble(cosmology, scale) ** 2)


def growth_factor(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return the linear growth factor D(a), D(1) = 1.

    Notes
    -----
    The growing mode of matter and a cosmological constant in closed form, D ~ a 2F1(1/3, 1; 11/6;
    -a^3 (1 - Omega_m) / Omega_m) (e.g. Silveira & Waga 1994); radiation is neglected.
    """
    scale = np.asarray(a, dtype=np.float64)
    return np.asarray(_raw_growth(cosmology, scale) / _raw_growth(cosmology, 1.0))


def growth_rate(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return f = d ln D / d ln a of the linear growth at scale factor `a`."""
    scale = np.asarray(a, dtype=np.float64)
    raw = _raw_growth(cosmology, scale)
    return np.asarray(omega_m_at(cosmology, scale) * (2.5 * scale / raw - 1.5))


def second_order_growth(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return the second-order growth factor D2(a), close to -3/7 D^2, in units of D(1) = 1.

    Notes
    -----
    The growing solution of D2'' + (2 + dlnH/dlna) D2' = 3/2 Omega_m(a) (D2 - D^2), ' = d/dlna
    (Bouchet et al. 1995, A&A 296, 575), integrated; exact to 1e-9 where the common fit
    -3/7 D^2 Omega_m(a)^(-1/143) is not.
    """
    return _second_order(cosmology, a)[0]


def second_order_rate(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return f2 = d ln D2 / d ln a of the second-order growth at scale factor `a`."""
    growth, slope = _second_order(cosmology, a)
    return np.asarray(slope / growth)


@lru_cache(maxsize=64)
def linear_power(cosmology: Cosmology, redshift: float = 0.0) -> PowerTable:
    """Return the linear matter spectrum, normalised to sigma_8 at redshift 0.

    CAMB's shape at redshift 0, times D(z)^2 without radiation, as the particle-mesh code needs it.
    """
    table = _camb_tables(cosmology, (0.0,))[0]
    growth = growth_factor(cosmology, 1 / (1 + redshift))
    return _table(table.k, table.power * growth**2)


def nonlinear_power(cosmology: Cosmology, redshift: float = 0.0) -> PowerTable:
    """Return the nonlinear matter spectrum of HMcode2020 (Mead et al. 2021) through CAMB."""
    return _camb_tables(cosmology, (redshift,))[1][0]


def matter_power(
    cosmology: Cosmology, redshifts: Sequence[float]
) -> tuple[PowerTable, tuple[PowerTable, ...]]:
    """Return `linear_power` at redshift 0 and `nonlinear_power` at each redshift, in one run of CAMB."""
    return _camb_tables(cosmology, tuple(redshifts))


def to_astropy(cosmology: Cosmology) -> "FlatLambdaCDM":
    """Return the same universe as an astropy object, for distances and ages."""
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(
        H0=100 * cosmology.h, Om0=cosmology.Omega_m, Ob0=cosmology.Omega_b, Tcmb0=0
    )


def _raw_growth(cosmology: Cosmology, a: ArrayLike) -> NDArray[np.float64]:
    """Return the growth that is `a` at early times."""
    scale = np.asarray(a, dtype=np.float64)
    ratio = (1 - cosmology.Omega_m) / cosmology.Omega_m
    return np.asarray(scale * hyp2f1(1 / 3, 1, 11 / 6, -ratio * scale**3))


def _second_order(cosmology: Cosmology, a: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    scale = np.asarray(a, dtype=np.float64)
    values = _second_order_solution(cosmology)(np.log(scale).ravel())
    norm = float(_raw_growth(cosmology, 1.0)) ** 2
    return values[0].reshape(scale.shape) / norm, values[1].reshape(scale.shape) / norm


@lru_cache(maxsize=64)
def _second_order_solution(
    cosmology: Cosmology,
) -> "Callable[[NDArray[np.float64]], NDArray[np.float64]]":
    def slope(x: float, y: NDArray[np.float64]) -> list[float]:
        a = np.exp(x)
        matter = float(omega_m_at(cosmology, a))
        source = 1.5 * matter * (y[0] - _raw_growth(cosmology, a) ** 2)
        return [y[1], source - (2 - 1.5 * matter) * y[1]]

    start = -3 / 7 * _EARLY**2
    span = (np.log(_EARLY), np.log(1.05))
    solved = solve_ivp(
        slope,
        span,
        [start, 2 * start],
        method="DOP853",
        rtol=1e-11,
        atol=1e-30,
        dense_output=True,
    )
    return cast("Callable[[NDArray[np.float64]], NDArray[np.float64]]", solved.sol)


@lru_cache(maxsize=64)
def _camb_tables(
    cosmology: Cosmology, redshifts: tuple[float, ...]
) -> tuple[PowerTable, tuple[PowerTable, ...]]:
    import camb

    settings = camb.set_params(
        H0=100 * cosmology.h,
        ombh2=cosmology.Omega_b * cosmology.h**2,
        omch2=(cosmology.Omega_m - cosmology.Omega_b) * cosmology.h**2,
        omk=0.0,
        mnu=0.0,
        ns=cosmology.n_s,
        As=2e-9,
        WantCls=False,
    )
    settings.set_matter_power(
        redshifts=sorted({*redshifts, 0.0}, reverse=True),
        kmax=1.01 * _K_MAX * cosmology.h,  # in 1/Mpc
    )
    settings.NonLinear = camb.model.NonLinear_both
    settings.NonLinearModel.set_params(halofit_version="mead2020")
    results = camb.get_results(settings)
    amplitude = (cosmology.sigma_8 / float(results.get_sigma8_0())) ** 2
    # The transfer functions, which take the time, are kept.
    results.power_spectra_from_transfer(
        camb.InitialPowerLaw(As=amplitude * settings.InitPower.As, ns=cosmology.n_s)
    )
    k, _, linear = results.get_linear_matter_power_spectrum(nonlinear=False)
    fine = np.geomspace(k[0], _K_MAX, _K_POINTS)
    smooth = CubicSpline(np.log(k), np.log(linear[0]))(np.log(fine))
    k, epochs, nonlinear = results.get_matter_power_spectrum(
        minkh=fine[0], maxkh=fine[-1], npoints=_K_POINTS
    )
    at = [int(np.argmin(np.abs(np.asarray(epochs) - z))) for z in redshifts]
    return _table(fine, np.exp(smooth)), tuple(_table(k, nonlinear[i]) for i in at)


def _table(k: NDArray[np.float64], power: NDArray[np.float64]) -> PowerTable:
    arrays = [np.array(values, dtype=np.float64) for values in (k, power)]
    for array in arrays:
        array.flags.writeable = False
    return PowerTable(*arrays)
