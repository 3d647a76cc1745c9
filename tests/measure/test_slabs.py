"""One cube cut into slabs: what is measured in memory, whatever the cuts, and nothing left on the disk."""

import dataclasses
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError, RecipeError, ResourceError
from cosmogan.fields import files
from cosmogan.fields.array import Described, open_array
from cosmogan.fields.store import open_fields
from cosmogan.measure import slabs
from cosmogan.measure.slabs import SlabPlan, itemsize_of, plan, power_of_cube
from cosmogan.statistics import battery, power
from cosmogan.statistics.shells import shells

BOX = 100.0
ROOT = Path(__file__).parents[2]
NAMES = ["mean_density", "power", "pdf"]


@pytest.fixture(scope="module")
def cubes(tmp_path_factory, make_universe):
    """Return a function that gives three cubes of so many cells a side, always the same."""
    made = {}

    def cubes(grid):
        if grid not in made:
            path = tmp_path_factory.mktemp("cubes") / "cubes.fields"
            shape = {"dimension": 3, "grid": grid, "box_size": BOX, "thickness": BOX}
            made[grid] = make_universe(path, shards=2, rows=2, **shape)
        return made[grid]

    return cubes


@pytest.fixture
def mine(tmp_path, make_universe):
    """One cube of 9^3 cells that may be changed."""
    shape = {"dimension": 3, "grid": 9, "box_size": BOX, "thickness": BOX}
    return make_universe(tmp_path / "mine.fields", shards=1, rows=2, **shape)


def one_by_one(function, arguments):
    return [function(*values) for values in arguments]


def measured(fields, scratch, *, row=0, a=3, b=2, compute=one_by_one, workers=1):
    how = SlabPlan(fields.layout.grid, a, b, workers, itemsize_of(fields))
    return power_of_cube(fields, row, plan=how, scratch=scratch, compute=compute)


def same_bits(one, two):
    assert list(one) == list(two) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(one[name].samples, two[name].samples)


# What is measured


@given(
    grid=st.sampled_from([4, 5, 8, 9, 12, 15]),
    a=st.integers(1, 16),
    b=st.integers(1, 16),
    row=st.integers(0, 3),
)
@settings(deadline=None, max_examples=30)
def test_the_numbers_are_those_of_the_estimators_in_memory(
    cubes, tmp_path_factory, grid, a, b, row
):
    fields = cubes(grid)
    found = measured(fields, tmp_path_factory.mktemp("scratch"), row=row, a=a, b=b)
    density = fields[row].astype(np.float64)
    k, expected, modes = power.power_spectra(density[None], BOX)
    np.testing.assert_array_equal(found["power"].coordinate, k)
    np.testing.assert_array_equal(found["power"].weight, modes)
    # The transforms are float32: 2e-7 is usual.
    np.testing.assert_allclose(found["power"].samples, expected, rtol=1e-6)
    in_memory = battery.measure(fields[row : row + 1], BOX, NAMES)
    np.testing.assert_array_equal(found["pdf"].samples, in_memory["pdf"].samples)
    assert found["mean_density"].samples[0, 0] == pytest.approx(density.mean(), rel=1e-14)


def test_the_mean_does_not_drown_a_faint_field(tmp_path):
    rho = 1 + 1e-3 * np.random.default_rng(5).standard_normal((24, 24, 24), np.float32)
    np.save(tmp_path / "faint.npy", rho)
    found = measured(open_array(tmp_path / "faint.npy", Described(box_size=BOX)), tmp_path)
    _, expected, _ = power.power_spectra(rho[None].astype(np.float64), BOX)
    # The zero mode is 10^5 times the others here; it leaves 1e-5 if it is not taken out first.
    np.testing.assert_allclose(found["power"].samples, expected, rtol=1e-6)


def test_they_bear_the_names_labels_and_bins_of_the_battery(cubes, tmp_path):
    fields = cubes(12)
    found, expected = measured(fields, tmp_path), battery.measure(fields[:1], BOX, NAMES)
    assert list(found) == list(expected)
    for name, statistic in expected.items():
        for field in dataclasses.fields(statistic):
            ours, theirs = (getattr(s, field.name) for s in (found[name], statistic))
            if field.name == "samples":
                assert ours.shape == theirs.shape
            elif isinstance(theirs, np.ndarray):
                np.testing.assert_array_equal(ours, theirs)
            else:
                assert ours == theirs


@given(
    a=st.integers(1, 15), b=st.integers(1, 15), seed=st.integers(0, 99), workers=st.integers(1, 3)
)
@settings(deadline=None, max_examples=30)
def test_neither_cuts_nor_workers_nor_their_order_change_a_bit(
    cubes, tmp_path_factory, a, b, seed, workers
):
    fields, scratch = cubes(15), tmp_path_factory.mktemp("scratch")

    def anyhow(function, arguments):
        order = random.Random(seed).sample(range(len(arguments)), len(arguments))
        with ThreadPoolExecutor(workers) as pool:
            results = dict(
                zip(order, pool.map(lambda i: function(*arguments[i]), order), strict=True)
            )
        return [results[i] for i in range(len(arguments))]

    found = measured(fields, scratch, row=2, a=a, b=b, compute=anyhow, workers=workers)
    same_bits(found, measured(fields, scratch, row=2, a=15, b=15))


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_a_plain_array_gives_the_bits_of_the_data_set(cubes, tmp_path, suffix):
    fields = cubes(12)
    path = tmp_path / f"cube.{suffix}"
    if suffix == "npy":
        np.save(path, fields[:2])
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("rho", data=fields[:2], chunks=(1, 5, 5, 5))
    plain = open_array(path, Described(box_size=BOX))
    same_bits(measured(plain, tmp_path, row=1), measured(fields, tmp_path, row=1))


def test_the_calls_travel_as_pickles(cubes, tmp_path):
    def elsewhere(function, arguments):
        moved, values = pickle.loads(pickle.dumps((function, arguments)))
        return pickle.loads(pickle.dumps([moved(*v) for v in values]))

    np.save(tmp_path / "cube.npy", cubes(9)[0])
    for fields in (cubes(9), open_array(tmp_path / "cube.npy", Described(box_size=BOX))):
        found = measured(fields, tmp_path, compute=elsewhere)
        same_bits(found, measured(fields, tmp_path))


def test_calls_that_are_made_again_do_no_harm(cubes, tmp_path):
    def twice(function, arguments):
        one_by_one(function, arguments)
        return one_by_one(function, arguments)

    same_bits(measured(cubes(9), tmp_path, compute=twice), measured(cubes(9), tmp_path))


@pytest.mark.parametrize("grid", [6, 7])
def test_planes_across_either_whole_axis_add_up_to_the_sums_of_all_modes(grid):
    cube = np.random.default_rng(3).standard_normal((grid, grid, grid))
    modes, found = scipy.fft.rfftn(cube), shells(grid, 3, [1.0, 2.5, 3.0])
    n = np.minimum(np.arange(grid), grid - np.arange(grid))
    whole = power.sums_of_modes(modes, found, "cic", 1)
    for across in (modes, np.ascontiguousarray(modes.transpose(1, 0, 2))):
        rows = power.sums_of_planes(across, n, found, "cic")
        assert rows.shape == (grid, 2)
        np.testing.assert_allclose(rows.sum(axis=0), whole, rtol=1e-14)  # another order
        last = power.sums_of_planes(across[-1:], n[-1:], found, "cic")
        np.testing.assert_array_equal(last[0], rows[-1])


# What is refused


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_plane_that_is_not_finite_is_named(mine, tmp_path, value):
    with h5py.File(mine.shard_path(0), "r+") as file:
        file["fields"][1, 7, 2, 3] = value
    with pytest.raises(LayoutError, match=r"mine.fields: field 1, plane 7 holds .* not finite"):
        measured(open_fields(mine.path), tmp_path / "scratch", row=1)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("row", [1, -1])
def test_a_flipped_byte_is_caught_though_no_call_reads_the_whole_cube(mine, tmp_path, row):
    fields = open_fields(mine.path)
    content = bytearray(mine.shard_path(0).read_bytes())
    content[fields._offsets[0] + fields.layout.sample_bytes + 1234] ^= 1
    mine.shard_path(0).write_bytes(content)
    with pytest.raises(LayoutError, match=r"shard-00000.h5: sample 1: checksum differs"):
        measured(open_fields(mine.path), tmp_path, row=row)
    measured(open_fields(mine.path), tmp_path, row=0)


def test_a_plan_of_another_cube_or_slices_are_refused(cubes, universe, tmp_path):
    how = SlabPlan(8, 1, 1, 1)
    for fields in (cubes(9), universe):
        with pytest.raises(RecipeError, match=r"cells, planned 8\^3"):
            power_of_cube(fields, 0, plan=how, scratch=tmp_path, compute=one_by_one)
    with pytest.raises(IndexError):
        measured(cubes(9), tmp_path, row=4)


def test_a_disk_that_is_too_full_is_found_before_anything_is_written(cubes, tmp_path, monkeypatch):
    how = SlabPlan(9, 2, 2, 1)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(how.scratch_bytes - 1))
    with pytest.raises(
        ResourceError, match=r"needs .* GB, but .* GB are free; make room"
    ) as caught:
        power_of_cube(cubes(9), 0, plan=how, scratch=tmp_path / "new", compute=one_by_one)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(how.scratch_bytes))
    power_of_cube(cubes(9), 0, plan=how, scratch=tmp_path / "new", compute=one_by_one)


def test_the_disk_holds_between_the_passes_what_was_said(cubes, tmp_path):
    sizes = []

    def compute(function, arguments):
        results = one_by_one(function, arguments)
        sizes.append(sum(path.stat().st_size for path in tmp_path.glob("*/*")))
        return results

    for grid, a, b in ((8, 3, 2), (9, 2, 4), (9, 9, 9)):
        measured(cubes(grid), tmp_path, a=a, b=b, compute=compute)
        assert set(sizes) == {SlabPlan(grid, a, b, 1).scratch_bytes}
        sizes.clear()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 100)])
def test_a_slab_that_is_lost_between_the_passes_is_one_line(cubes, tmp_path, damage):
    def compute(function, arguments):
        results = one_by_one(function, arguments)
        for path in tmp_path.glob("*/slab-00001"):
            damage(path)
        return results

    with pytest.raises(ResourceError, match=r"slab-00001: what the first pass wrote .*") as caught:
        measured(cubes(9), tmp_path, compute=compute)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_workers_do_not_see_is_one_line(cubes, tmp_path):
    how = SlabPlan(9, 3, 3, 1)
    with pytest.raises(ResourceError, match=r"none: a slab cannot be written .* every worker sees"):
        slabs.transform_slab(cubes(9), 0, how, tmp_path / "none", 0)


# What is left


@pytest.mark.parametrize("call", [0, 2, 4])
def test_an_error_in_the_middle_leaves_nothing(cubes, tmp_path, call):
    done = []

    def compute(function, arguments):
        for values in arguments:
            if len(done) == call:
                raise KeyboardInterrupt
            done.append(function(*values))
        return done[: len(arguments)]

    with pytest.raises(KeyboardInterrupt):
        measured(cubes(9), tmp_path, compute=compute)
    assert list(tmp_path.iterdir()) == []


def test_a_call_that_still_runs_when_all_is_over_brings_nothing_back(cubes, tmp_path, monkeypatch):
    late, remove = [], shutil.rmtree

    def while_it_runs(folder, **options):
        with pytest.raises(ResourceError, match="a slab cannot be written"):
            late[0][0](*late[0][1])
        remove(folder, **options)

    monkeypatch.setattr(slabs.shutil, "rmtree", while_it_runs)

    def compute(function, arguments):
        late.append((function, arguments[0]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(cubes(9), tmp_path, compute=compute)
    assert list(tmp_path.iterdir()) == []


STOP = """
import os, signal, sys
from cosmogan.errors import Stopped
from cosmogan.fields.store import open_fields
from cosmogan.measure.slabs import SlabPlan, power_of_cube

def compute(function, arguments):
    results = [function(*values) for values in arguments]
    os.kill(os.getpid(), int(sys.argv[3]))
    return results

try:
    plan = SlabPlan(9, 3, 3, 1)
    power_of_cube(open_fields(sys.argv[1]), 0, plan=plan, scratch=sys.argv[2], compute=compute)
except Stopped as error:
    print(error, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


def python(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_sigterm_leaves_nothing_and_what_sigkill_leaves_the_next_removes(cubes, tmp_path):
    fields = cubes(9)
    done = python(STOP, fields.path, tmp_path, int(signal.SIGTERM))
    assert (done.stdout, done.stderr) == (
        "stopped by SIGTERM; the same command begins this cube again True\n",
        "",
    )
    assert list(tmp_path.iterdir()) == []
    done = python(STOP, fields.path, tmp_path, int(signal.SIGKILL))
    assert done.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    alive = tmp_path / left.name.replace(left.name.split("@")[2], str(os.getpid()))
    elsewhere = tmp_path / left.name.replace(left.name.split("@")[1], "another-machine")
    alive.mkdir()
    elsewhere.mkdir()
    measured(fields, tmp_path)
    assert set(tmp_path.iterdir()) == {alive, elsewhere}


def test_it_may_run_in_a_thread_where_no_signal_is_handled(cubes, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(measured(cubes(9), tmp_path)))
    thread.start()
    thread.join()
    same_bits(found[0], measured(cubes(9), tmp_path))


# What it takes


@given(
    grid=st.integers(1, 5000),
    memory=st.floats(3e8, 1e12),
    workers=st.integers(1, 64),
    processes=st.integers(1, 64),
    itemsize=st.sampled_from([4, 8, 12]),
)
def test_a_plan_is_the_largest_that_fits(grid, memory, workers, processes, itemsize):
    options = {"workers": workers, "processes": processes, "itemsize": itemsize}
    if SlabPlan(grid, 1, 1, workers, itemsize).peak_bytes > memory:
        with pytest.raises(ResourceError, match=r"memory: a cube of .* at least .* GB") as caught:
            plan(grid, memory, **options)
        assert "\n" not in str(caught.value)
        return
    found = plan(grid, memory, **options)
    assert found.peak_bytes <= memory
    most = -(-grid // (4 * workers * processes))
    for larger in (
        dataclasses.replace(found, planes=found.planes + 1),
        dataclasses.replace(found, rows=found.rows + 1),
    ):
        assert larger.peak_bytes > memory or max(larger.planes, larger.rows) > most
    assert 0 < found.slabs * found.planes - grid + 1 <= found.planes
    assert 0 < found.blocks * found.rows - grid + 1 <= found.rows


def test_the_memory_that_is_asked_for_is_enough():
    for grid, workers in ((512, 1), (1024, 4), (2048, 16)):
        with pytest.raises(ResourceError) as caught:
            plan(grid, 1e6, workers=workers)
        needed = float(str(caught.value).split("at least ")[1].split(" GB")[0])
        assert plan(grid, needed * 1e9, workers=workers).planes >= 1


RESIDENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from cosmogan.fields.store import open_fields
from cosmogan.measure.slabs import itemsize_of, plan, power_of_cube

def peak():     # not ru_maxrss, which remembers the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

def compute(function, arguments):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda values: function(*values), arguments))

for path in sys.argv[1:3]:      # a small one first: what the program itself takes
    fields = open_fields(path)
    how = plan(fields.layout.grid, float(sys.argv[3]), workers=2, itemsize=itemsize_of(fields))
    power_of_cube(fields, 0, plan=how, scratch=sys.argv[4], compute=compute)
    print(peak(), how.peak_bytes, how.planes)
"""


def test_the_resident_set_stays_below_what_the_plan_says(cubes, make_universe, tmp_path):
    shape = {"dimension": 3, "grid": 256, "box_size": BOX, "thickness": BOX}
    large = make_universe(tmp_path / "large.fields", shards=1, rows=1, **shape)
    memory = SlabPlan(256, 24, 24, 2).peak_bytes
    done = python(RESIDENT, cubes(9).path, large.path, memory, tmp_path)
    assert done.stderr == ""
    (before, _, _), (peak, said, planes) = (map(int, s.split()) for s in done.stdout.splitlines())
    assert planes >= 24
    assert said <= memory
    assert peak < said
    # The program apart, too, with 4 MB for what the allocator keeps.
    assert peak - before < said - slabs.BASELINE + 4e6
    assert large.layout.sample_bytes > 2 * (said - slabs.BASELINE)
