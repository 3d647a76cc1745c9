"""Time the estimators against the bare FFT, and hold the power spectrum against other codes.

    pip install powerbox                       # only for its table
    python benchmarks/spectra.py --grid 512 --pylians OTHER/bin/python

OTHER is an environment of its own, since Pylians needs numpy below 2: pip install "numpy<2" "cython<3"
setuptools wheel scipy h5py hdf5plugin pyfftw, then pip install --no-build-isolation Pylians.

CPU seconds, medians of three, each beside the FFT of the same run. Run it on a machine that does
nothing else.
"""

import argparse
import importlib.util
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.fft

from cosmogan.fields import store
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.measure import bispectrum, equilateral, power_spectra, power_spectrum, squeezed
from cosmogan.measure.run import measure
from cosmogan.statistics import battery

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


def through_dask(workers):
    """Print what measuring 10 000 slices from disk costs over the same kernels in memory."""
    print("\n| 10 000 slices | in memory, CPU s | measure, CPU s | ratio |\n|---|---|---|---|")
    for grid, names in ((256, ["power"]), (64, ["default"])):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            fields = write_slices(Path(folder, "noise.fields"), grid)
            blocks = [fields[start : start + 500] for start in range(0, 2000, 500)]

            def kernels(blocks=blocks, names=names):
                for _ in range(5):
                    for block in blocks:
                        battery.measure(block, BOX, names)

            def whole(fields=fields, folder=folder, names=names, workers=workers):
                out = Path(folder, "noise.stats.h5")
                out.unlink(missing_ok=True)
                measure(fields, out, statistics=names, workers=workers)

            ours, bare = cpu(whole), cpu(kernels)
            print(f"| {grid}^2, {names[0]} | {bare:.2f} | {ours:.2f} | {ours / bare:.2f} |")


def write_slices(path, grid, shards=20, rows=500):
    """Write lognormal white noise as a data set."""
    layout = Layout(
        dimension=2,
        grid=grid,
        box_size=BOX,
        thickness=BOX / grid,
        mass_assignment="cic",
        particles=grid,
    )
    store.create_folder(path, layout, provenance("benchmarks/spectra.py"), shards, "noise")
    for number in range(shards):
        origin = np.zeros(rows, ORIGIN_DTYPE)
        origin["simulation"] = number
        fields = np.exp(0.5 * np.random.default_rng(number).standard_normal((rows, grid, grid)))
        store.write_shard(path, number, fields.astype("f4"), np.zeros((rows, 0)), origin)
    return store.finish_folder(path)


PYLIANS = """
import sys, time, numpy as np, Pk_library
delta, box = np.load(sys.argv[1]), float(sys.argv[2])
times = []
for _ in range(4):
    before = time.process_time()
    found = Pk_library.Pk(delta, box, 0, "None", 2, verbose=False)
    times.append(time.process_time() - before)
np.save(sys.argv[3], np.stack([found.k3D, found.Pk[:, 0]]))
print(sorted(times[1:])[1])
"""


def against_pylians(interpreter, grid):
    """Print how far Pylians and we differ, in its shells, and what both cost."""
    cube = noise(grid, grid, grid)
    ours = cpu(lambda: power_spectrum(cube, BOX, workers=2))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        field, spectrum = Path(folder, "cube.npy"), Path(folder, "spectrum.npy")
        np.save(field, cube)
        command = [interpreter, "-c", PYLIANS, str(field), str(BOX), str(spectrum)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs = np.load(spectrum)[1]
    found = power_spectrum(cube, BOX).power
    off = np.abs(theirs[: len(found)] / found - 1).max()
    cost = float(done.stdout.split()[-1])
    print("\n| Pylians | largest relative difference of P | its CPU s | over ours |")
    print("|---|---|---|---|")
    print(f"| {grid}^3 | {off:.1e} | {cost:.2f} | {cost / ours:.1f} |")


def main():
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=int, default=512, help="cells per side of the cube")
    parser.add_argument("--peer-grid", type=int, default=128, help="the same, for powerbox")
    parser.add_argument("--workers", type=int, default=2, help="threads of the last table")
    parser.add_argument("--pylians", help="an interpreter that has Pylians")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    speeds(given.grid)
    if importlib.util.find_spec("powerbox"):
        against_powerbox(given.peer_grid)
    if given.pylians:
        against_pylians(given.pylians, given.grid)
    through_dask(given.workers)


if __name__ == "__main__":
    main()
