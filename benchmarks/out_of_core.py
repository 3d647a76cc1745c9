"""Measure P(k) of one cube with little memory and with enough of it: peak memory, time, difference.

    python benchmarks/out_of_core.py --grid 1024 --memory 2GB

Writes a cube of lognormal white noise, unless it is there, plane by plane; then each way runs in a process of
its own, which has measured a tiny cube before, so that neither imports nor compilers count. The resident set
is the largest of the whole process; a page of a memory map counts, one of the page cache does not.
"""

import argparse
import functools
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cosmogan import session
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.fields.store import Samples, open_fields, write_file
from cosmogan.measure.slabs import itemsize_of, plan, power_of_cube
from cosmogan.statistics import battery

BOX = 1000.0
NAMES = ("mean_density", "power", "pdf")
HEAD = ("way", "threads", "slabs", "blocks", "peak MB", "planned MB", "wall s", "CPU s", "disk MB")


def write_cube(path, grid):
    """Write a data set of one cube, never holding more than a plane of it."""
    layout = Layout(
        dimension=3, grid=grid, box_size=BOX, thickness=BOX, mass_assignment="none", particles=0
    )
    origin = np.zeros(1, ORIGIN_DTYPE)
    origin["axis"] = origin["slab"] = -1
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:
        for number in range(grid):
            noise = np.random.default_rng([1, number]).standard_normal((grid, grid), np.float32)
            file.write(np.exp(np.float32(0.3) * noise - np.float32(0.045)))
        file.flush()
        cube = np.memmap(file.name, "<f4", "r", shape=(1, *layout.shape))
        made_by = provenance("benchmarks/out_of_core.py")
        write_file(path, layout, made_by, Samples(cube, np.empty((1, 0)), origin))


def slab_by_slab(path, memory, workers, scratch):
    """Return the statistics, and how the cube was cut."""
    fields = open_fields(path)
    how = plan(fields.layout.grid, memory, workers=workers, itemsize=itemsize_of(fields))
    with session.dask_cluster(workers=workers) as threads:
        found = power_of_cube(fields, 0, plan=how, scratch=scratch, compute=threads.compute)
    return found, how


def in_memory(path):
    """Return the statistics as `measure` finds them today, and no cut."""
    return battery.measure(open_fields(path).read_checked(slice(0, 1)), BOX, NAMES), None


def peak_bytes():
    """Return the largest resident set so far; `ru_maxrss` would remember who started this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def run(way, path, tiny, given):
    """Measure in this process, and print what it took as JSON."""
    workers = int(way.split("-")[1]) if way != "memory" else 1
    work = in_memory
    if way != "memory":
        work = functools.partial(
            slab_by_slab, memory=given.memory, workers=workers, scratch=path.parent
        )
    work(tiny)
    wall, cpu = time.perf_counter(), time.process_time()
    found, how = work(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    cells = [how.slabs, how.blocks, how.peak_bytes, how.scratch_bytes] if how else 4 * [None]
    power = found["power"].samples[0].tolist()
    print(json.dumps([workers, *cells, peak_bytes(), wall, cpu, power]))


def row(way, told):
    """Return a line of the table."""
    workers, slabs, blocks, planned, disk, peak, wall, cpu, _ = told
    values = (peak, planned, wall, cpu, disk)
    shown = [
        "-" if value is None else f"{value:.2f}" if value in (wall, cpu) else f"{value / 1e6:.0f}"
        for value in values
    ]
    return (
        "| " + " | ".join([way, str(workers), str(slabs or "-"), str(blocks or "-"), *shown]) + " |"
    )


def fits(grid):
    """Whether four cubes of float32 fit into the memory that is free: the field, its modes, and a copy."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return 16 * grid**3 < free


def main():
    """Parse, make the cube, and let each way run by itself."""
    from dask.utils import parse_bytes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=int, default=1024, help="cells per side of the cube")
    parser.add_argument("--memory", type=parse_bytes, default="2GB", help="of a process, in all")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/out-of-core"), help="for the cube"
    )
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    path, tiny = (given.folder / f"noise-{grid}.h5" for grid in (given.grid, 8))
    for grid, file in ((8, tiny), (given.grid, path)):
        if not file.exists():
            write_cube(file, grid)
    if given.way:
        run(given.way, path, tiny, given)
        return
    print(f"{given.grid}^3 cells, {given.memory / 1e9:g} GB; {platform.machine()}, ", end="")
    print(f"Python {platform.python_version()}\n")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    power = {}
    for way in ("slabs-1", "slabs-2", *(["memory"] if fits(given.grid) else [])):
        command = [
            sys.executable,
            __file__,
            "--grid",
            str(given.grid),
            "--folder",
            str(given.folder),
        ]
        command += ["--memory", str(given.memory), "--way", way]
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        power[way] = np.array(told[-1])
        print(row("in memory" if way == "memory" else "slab by slab", told), flush=True)
    print(f"\nBits equal for one and two threads: {(power['slabs-1'] == power['slabs-2']).all()}.")
    if "memory" in power:
        off = np.abs(power["slabs-1"] / power["memory"] - 1).max()
        print(f"Largest relative difference of P(k) from that in memory: {off:.1e}.")


if __name__ == "__main__":
    main()
