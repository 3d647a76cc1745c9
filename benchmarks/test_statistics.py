"""Kernels of the statistics, each beside the bare FFT that bounds it.

Run with ``pytest benchmarks/test_statistics.py --benchmark-enable --benchmark-group-by=group``; in
the test suite each runs once.
"""

import time

import numpy as np
import pytest
import scipy.fft

from cosmogan.statistics import battery
from cosmogan.statistics.bispectrum import bispectra
from cosmogan.statistics.pdf import pdfs, smooth
from cosmogan.statistics.power import power_spectra, power_spectrum

BOX = 200.0


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
    _, value, _ = clock(bispectra, slices[:100], BOX)
    assert np.isfinite(value).all()


def test_pdf_of_100_slices(clock, slices):
    _, _, fraction = clock(pdfs, slices[:100])
    np.testing.assert_allclose(fraction.sum(axis=1), 1, rtol=1e-14)


def test_smoothing_of_100_slices(clock, slices):
    smoothed = clock(smooth, slices[:100], 2.0, axes=(1, 2))
    assert smoothed.dtype == np.float32


def test_everything_of_100_slices(clock, slices):
    found = clock(battery.measure, slices[:100], BOX)
    assert len(found) == 5


def test_bare_fft_of_a_cube(clock, cube):
    clock(lambda: scipy.fft.rfftn(cube, workers=1))


def test_power_of_a_cube(clock, cube):
    spectrum = clock(power_spectrum, cube, BOX)
    assert (spectrum.power > 0).all()


def test_bispectrum_of_a_cube(clock, cube):
    _, value, _ = clock(bispectra, cube[None], BOX)
    assert np.isfinite(value).all()
