"""How measuring is arranged to fit into memory: many cubes, few, or slab by slab."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cosmogan.errors import ResourceError
from cosmogan.measure import slabs
from cosmogan.measure.memory import BY_SLABS, CELL_BYTES, cubes_at_a_time
from cosmogan.measure.run import measure
from cosmogan.statistics import battery, table

GRID = 48


@pytest.fixture(scope="module")
def cubes(tmp_path_factory, make_universe):
    path = tmp_path_factory.mktemp("cubes") / "cubes.fields"
    shape = {"dimension": 3, "grid": GRID, "box_size": 96.0, "thickness": 96.0}
    return make_universe(path, shards=2, rows=2, **shape)


def test_every_statistic_of_a_cube_has_a_stated_cost():
    only_slices = {"scattering", "scattering_2"}
    assert set(CELL_BYTES) == set(battery.ALL) - only_slices
    assert set(CELL_BYTES) >= BY_SLABS


def test_as_many_cubes_are_measured_at_a_time_as_fit(cubes):
    each = CELL_BYTES["bispectrum"] * GRID**3

    def fit(cubes_worth, workers=8, names=battery.DEFAULT):
        return cubes_at_a_time(cubes, names, slabs.BASELINE + cubes_worth * each, workers)

    assert [fit(1), fit(2.9), fit(100)] == [1, 2, 8]
    assert fit(0.9, names=["power"]) == 5
    assert fit(0.01, names=["power", "pdf"]) == 0


def test_what_needs_all_of_a_cube_that_does_not_fit_says_how_much(cubes):
    with pytest.raises(ResourceError, match=r"bispectrum of a cube of 48\^3 cells takes 0\.\d GB"):
        cubes_at_a_time(cubes, battery.DEFAULT, slabs.BASELINE, 1)


def test_little_memory_changes_the_way_but_not_the_numbers(cubes, tmp_path, monkeypatch):
    names = sorted(BY_SLABS)
    inside = table.read(measure(cubes, tmp_path / "a.h5", statistics=names, workers=2))
    told = []
    little = slabs.plan(GRID, 1e12, workers=2).peak_bytes
    monkeypatch.setattr("cosmogan.measure.run.cubes_at_a_time", lambda *_: 0)
    by_slabs = table.read(
        measure(
            cubes,
            tmp_path / "b.h5",
            statistics=names,
            workers=2,
            memory=little,
            progress=lambda *state: told.append(state),
        )
    )
    for name in names:
        one, two = by_slabs[name], inside[name]
        assert (one.label, one.unit, one.coordinate_label) == (
            two.label,
            two.unit,
            two.coordinate_label,
        )
        np.testing.assert_array_equal(one.coordinate, two.coordinate)
        # transforms in float32
        np.testing.assert_allclose(one.samples, two.samples, rtol=2e-5)
    assert told[-1][0] == told[-1][1]
    assert [a for a, _ in told] == sorted(a for a, _ in told)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_processes_give_the_bits_of_threads(cubes, tmp_path):
    found = [
        table.read(measure(cubes, tmp_path / f"{where}.h5", workers=2, dask=where))
        for where in (None, "local")
    ]
    for name, statistic in found[0].statistics.items():
        np.testing.assert_array_equal(found[1][name].samples, statistic.samples)


PEAK = """
import json, resource, sys
import cosmogan
from cosmogan.measure.memory import CELL_BYTES
from cosmogan.statistics import battery
name, grid = sys.argv[1], int(sys.argv[2])
import numpy as np
small = np.random.default_rng(0).lognormal(size=(1, 32, 32, 32)).astype("f4")
battery.measure(small, 100.0, [name])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
field = np.random.default_rng(1).standard_normal((1, grid, grid, grid), dtype="f4")
np.exp(field, out=field)
battery.measure(field, 100.0, [name])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps((after - before) * 1024 / grid**3))
"""


@pytest.mark.parametrize("name", ["power", "pdf_smoothed", "peaks", "variance", "halos"])
def test_measuring_a_cube_takes_no_more_than_is_stated(name):
    """128^3, whose overheads are 10 MB, 5 bytes a cell; the costly ones are as slow as they are large."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, name, "128"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) <= CELL_BYTES[name] + 5
