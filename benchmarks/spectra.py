"""Time the estimators against the bare FFT, and hold the power spectrum against `powerbox`.

    pip install powerbox                       # only for the last table
    python benchmarks/spectra.py --grid 512

CPU seconds, medians of three, each beside the FFT of the same run. Run it on a machine that does
nothing else.
"""

import argparse
import importlib.util
import platform
import statistics
import time

import numpy as np
import scipy.fft

from cosmogan.measure import bispectrum, equilateral, power_spectra, power_spectrum, squeezed

BOX = 1000.0
REPEATS = 3


def cpu(work):
    """Return the median CPU seconds of some calls, the first of which is left out."""
    work()
    times = []
    for _ in range(REPEATS):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return statistics.median(times)


def noise(*shape):
    """Return float32 white noise."""
    return np.random.default_rng(20240601).standard_normal(shape, dtype=np.float32)


def row(name, ours, bare):
    """Print a line of the table."""
    print(f"| {name} | {ours:.3f} | {bare:.3f} | {ours / bare:.2f} |")


def speeds(grid):
    """Print the cost of whole spectra and of their FFTs."""
    print("| estimator | CPU s | bare FFT, CPU s | ratio |\n|---|---|---|---|")
    cube = noise(grid, grid, grid)
    row(
        f"P(k) of {grid}^3, 2 threads",
        cpu(lambda: power_spectrum(cube, BOX, workers=2)),
        cpu(lambda: scipy.fft.rfftn(cube, workers=2)),
    )
    slices = noise(1000, 256, 256)
    row(
        "P(k) of 1000 slices of 256^2",
        cpu(lambda: power_spectra(slices, BOX)),
        cpu(lambda: scipy.fft.rfft2(slices, workers=1)),
    )
    small = cube[:128, :128, :128].copy()
    edges = np.arange(1.0, 42.0, 3.0)
    triangles = [*equilateral(13), *squeezed(13)[:7]]
    row(
        f"bispectrum of {len(triangles)} triangles of 128^3",
        cpu(lambda: bispectrum(small, BOX, edges, triangles)),
        cpu(lambda: scipy.fft.rfftn(small, workers=1)),
    )


def against_powerbox(grid):
    """Print how far two codes differ with the same edges, and what they cost."""
    from powerbox import get_power

    print("\n| field | largest relative difference of P | CPU s, powerbox | over ours |")
    print("|---|---|---|---|")
    for shape in ((1024, 1024), (grid, grid, grid)):
        delta = noise(*shape)
        cells, dimension = shape[0], len(shape)
        # powerbox takes float edges: a whisker below the integers, no mode changes its shell
        edges = np.arange(1.0, cells // 2 + 1)
        theirs = 2 * np.pi / BOX * edges * (1 - 1e-7)

        def peer(delta=delta, theirs=theirs):
            return get_power(delta, BOX, bins=theirs, dimensionless=False, ignore_zero_mode=True)

        found = power_spectrum(delta, BOX)
        off = np.abs(np.asarray(peer().power) / found.power - 1).max()
        cost = cpu(peer)
        ours = cpu(lambda delta=delta: power_spectrum(delta, BOX))
        print(f"| {cells}^{dimension} | {off:.1e} | {cost:.2f} | {cost / ours:.0f} |")


def main():
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=int, default=512, help="cells per side of the cube")
    parser.add_argument("--peer-grid", type=int, default=128, help="the same, for powerbox")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    speeds(given.grid)
    if importlib.util.find_spec("powerbox"):
        against_powerbox(given.peer_grid)


if __name__ == "__main__":
    main()
