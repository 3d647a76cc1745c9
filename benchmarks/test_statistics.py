"""Kernels of the statistics, each beside the bare FFT that bounds it.

Run with ``pytest benchmarks/test_statistics.py --benchmark-enable --benchmark-group-by=group``; in
the test suite each runs once.
"""

import time

import numpy as np
import pytest
import scipy.fft

from cosmogan.statistics import battery
from cosmogan.statistics.bispectrum import bispectra, equilateral, squeezed
from cosmogan.statistics.correlation import correlation_functions
from cosmogan.statistics.cross import cross_spectra
from cosmogan.statistics.minkowski import minkowski
from cosmogan.statistics.moments import cumulants
from cosmogan.statistics.pdf import pdfs, smooth
from cosmogan.statistics.peaks import extrema
from cosmogan.statistics.power import power_spectra, power_spectrum
from cosmogan.statistics.regions import regions
from cosmogan.statistics.scattering import scatterings

BOX = 200.0
KERNELS = {
    "cross": lambda fields: cross_spectra(fields, fields, BOX),
    "correlation": lambda fields: correlation_functions(fields, BOX),
    "cumulants": cumulants,
    "extrema": extrema,
    "regions": lambda fields: regions(fields, [2.0]),
    "minkowski": lambda fields: minkowski(fields, BOX),
    "scattering": lambda fields: scatterings(fields, BOX),
}
"""The other estimators, each as it is called by default."""


@pytest.fixture(scope="module", params=[64, 256], ids=["64^2", "256^2"])
def slices(request):
    """Return 1000 slices of density over mean."""
    shape = (1000, request.param, request.param)
    noise = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    return np.exp(np.float32(0.5) * noise)


@pytest.fixture(scope="module")
def cube():
    """Return one cube of 128^3."""
    noise = np.random.default_rng(2).standard_normal((128, 128, 128), dtype=np.float32)
    return np.exp(0.5 * noise - 0.125)


@pytest.fixture
def clock(benchmark, request):
    """Return the benchmark, set to CPU time: that of other users of the machine does not count."""
    benchmark._timer = time.process_time
    benchmark.group = request.node.callspec.id if hasattr(request.node, "callspec") else "128^3"
    return benchmark


def test_bare_fft_of_1000_slices(clock, slices):
    clock(lambda: scipy.fft.rfft2(slices, workers=1))


def test_power_of_1000_slices(clock, slices):
    _, power, _ = clock(power_spectra, slices, BOX)
    assert (power > 0).all()


def test_bispectrum_of_100_slices(clock, slices):
    _, value, _, _ = clock(bispectra, slices[:100], BOX)
    assert np.isfinite(value).all()


def test_pdf_of_100_slices(clock, slices):
    _, _, fraction = clock(pdfs, slices[:100])
    np.testing.assert_allclose(fraction.sum(axis=1), 1, rtol=1e-14)


def test_smoothing_of_100_slices(clock, slices):
    smoothed = clock(smooth, slices[:100], 2.0, axes=(1, 2))
    assert smoothed.dtype == np.float32


def test_everything_of_100_slices(clock, slices):
    found = clock(battery.measure, slices[:100], BOX)
    assert all(len(statistic.samples) == 100 for statistic in found.values())


def test_bare_fft_of_a_cube(clock, cube):
    clock(lambda: scipy.fft.rfftn(cube, workers=1))


def test_power_of_a_cube(clock, cube):
    spectrum = clock(power_spectrum, cube, BOX)
    assert (spectrum.power > 0).all()


def test_bispectrum_of_a_cube(clock, cube):
    _, value, _, _ = clock(bispectra, cube[None], BOX)
    assert np.isfinite(value).all()


def test_bispectrum_of_twenty_triangles_of_a_cube(clock, cube):
    edges = np.arange(1.0, 42.0, 3.0)
    triangles = [*equilateral(13), *squeezed(13)[:7]]
    _, value, _, _ = clock(bispectra, cube[None], BOX, edges, triangles)
    assert np.isfinite(value).all()
    assert value.shape == (1, 20)


@pytest.mark.parametrize("name", list(KERNELS))
def test_a_kernel_on_100_slices(clock, slices, name):
    assert clock(KERNELS[name], slices[:100]) is not None


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "scattering"])
def test_a_kernel_on_a_cube(clock, cube, name):
    assert clock(KERNELS[name], cube[None]) is not None
