"""Measuring a whole data set: the same numbers as on arrays, whoever does the work."""

import subprocess
import sys

import numpy as np
import pytest

import cosmogan.measure
from cosmogan.errors import LayoutError, RecipeError, Stopped
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.fields.store import create_folder, finish_folder, write_shard
from cosmogan.measure.run import measure
from cosmogan.statistics import battery, table

BOX = 100.0


def make(path, *, dimension=2, grid=16, rows=(70, 30, 41), seed=1, periodic=True):
    """Write a data set of lognormal noise, one shard a simulation."""
    layout = Layout(
        dimension=dimension,
        grid=grid,
        box_size=BOX,
        thickness=BOX if dimension == 3 else BOX / 8,
        mass_assignment="cic",
        particles=grid,
        periodic=periodic,
        parameter_names=("Omega_m", "redshift"),
    )
    made_by = provenance("a test", "name = 'a'")
    create_folder(path, layout, made_by, len(rows), f"identity {seed}")
    random = np.random.default_rng(seed)
    for number, count in enumerate(rows):
        origin = np.zeros(count, ORIGIN_DTYPE)
        origin["simulation"] = number
        origin["slab"] = np.arange(count)
        fields = np.exp(0.5 * random.standard_normal((count, *layout.shape), dtype=np.float32))
        write_shard(path, number, fields, np.full((count, 2), (0.3, 0.0)), origin)
    return finish_folder(path)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks that these small data sets need three of."""
    monkeypatch.setattr("cosmogan.measure.run._BLOCK_FIELDS", 64)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    return make(tmp_path_factory.mktemp("data") / "train.fields")


def same(first, second):
    assert list(first.statistics) == list(second.statistics)
    for name, statistic in first.statistics.items():
        for part in ("coordinate", "edges", "samples", "weight"):
            np.testing.assert_array_equal(getattr(statistic, part), getattr(second[name], part))


def test_the_rows_are_those_of_the_estimators_on_arrays(fields, tmp_path):
    found = table.read(measure(fields.path, tmp_path / "train.stats.h5"))
    density = fields[:]
    # a grid of 16 has one shell for bispectra, and slices have no third functional
    missing = {"squeezed_bispectrum", "minkowski_3"}
    assert set(found.statistics) == set(battery.DEFAULT) - missing
    for i in (0, 69, 70, 140):
        spectrum = cosmogan.measure.power_spectrum(density[i], BOX)
        np.testing.assert_array_equal(found["power"].samples[i], spectrum.power)
        np.testing.assert_array_equal(found["power"].coordinate, spectrum.k)
        np.testing.assert_array_equal(found["power"].weight, spectrum.modes)
        triangles = cosmogan.measure.bispectrum(density[i], BOX)
        np.testing.assert_array_equal(found["bispectrum"].samples[i], triangles.value)
        np.testing.assert_array_equal(found["bispectrum"].weight, triangles.triangles)
        np.testing.assert_array_equal(found["reduced_bispectrum"].samples[i], triangles.reduced)
        np.testing.assert_array_equal(found["reduced_bispectrum"].weight, triangles.triangles)
        cells = cosmogan.measure.pdf(density[i])
        np.testing.assert_array_equal(found["pdf"].samples[i], cells.fraction)
        np.testing.assert_array_equal(found["pdf"].edges, cells.edges)
        smoothed = cosmogan.measure.smooth(density[i], 2.0)
        assert found["pdf_smoothed"].samples[i].sum() == pytest.approx(1, abs=1e-15)
        rho = cosmogan.measure.pdf(smoothed, found["pdf_smoothed"].edges[1:-1])
        np.testing.assert_array_equal(found["pdf_smoothed"].samples[i], rho.fraction)
    np.testing.assert_allclose(
        found["mean_density"].samples[:, 0], density.mean(axis=(1, 2), dtype=np.float64), rtol=1e-14
    )


def test_the_table_says_what_was_measured(fields, tmp_path):
    found = table.read(measure(fields, tmp_path / "train.stats.h5"))
    assert found.source == "train"
    assert found.source_sha256 == fields.sha256
    assert found.attributes["dimension"] == 2
    assert found.attributes["grid"] == 16
    assert found.attributes["box_size"] == BOX
    assert found.attributes["thickness"] == BOX / 8
    assert found.attributes["fixed"] is False
    assert found.parameter_names == ("Omega_m", "redshift")
    assert found.made_by["recipe"] == "name = 'a'"
    np.testing.assert_array_equal(found.origin, fields.origin)
    np.testing.assert_array_equal(found.parameters, fields.parameters)


@pytest.mark.parametrize(
    ("dimension", "grid", "rows"), [(2, 15, (70, 3, 130)), (3, 12, (30, 40)), (2, 64, (1,))]
)
def test_any_number_of_workers_gives_the_same_bits(tmp_path, dimension, grid, rows):
    made = make(tmp_path / "a.fields", dimension=dimension, grid=grid, rows=rows)
    tables = [
        table.read(measure(made, tmp_path / f"{workers}.stats.h5", workers=workers))
        for workers in (1, 2, 3, None)
    ]
    assert len(tables[0]) == sum(rows)
    for other in tables[1:]:
        same(tables[0], other)
    same(tables[0], table.read(measure(made.path, tmp_path / "again.stats.h5")))


def test_a_file_and_a_folder_of_the_same_samples_give_the_same_rows(tmp_path):
    folder = make(tmp_path / "a.fields", rows=(20,))
    alone = table.read(measure(folder.shard_path(0), tmp_path / "file.stats.h5"))
    same(alone, table.read(measure(folder, tmp_path / "folder.stats.h5")))
    assert alone.source == "shard-00000"


def test_progress_counts_every_field_once(fields, tmp_path):
    told = []
    measure(fields, tmp_path / "a.stats.h5", workers=2, progress=lambda *state: told.append(state))
    done = [state[0] for state in told]
    assert done == sorted(done)
    assert told[-1] == (len(fields), len(fields))
    assert len(told) == 4  # none, then blocks of 64 of 141 fields


def test_the_blocks_change_no_bit(fields, tmp_path, monkeypatch):
    tables = []
    for size in (7, 1000):
        monkeypatch.setattr("cosmogan.measure.run._BLOCK_FIELDS", size)
        tables.append(table.read(measure(fields, tmp_path / f"{size}.stats.h5")))
    same(*tables)


def test_what_is_complete_is_not_measured_again(fields, tmp_path, monkeypatch):
    out = measure(fields, tmp_path / "a.stats.h5")
    before = out.stat()
    monkeypatch.setattr(battery, "measure", _never)
    told = []
    assert measure(fields.path, out, progress=lambda *state: told.append(state)) == out
    assert told == [(len(fields), len(fields))]
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_other_data_or_other_bins_are_measured_again(tmp_path, monkeypatch):
    first, second = (make(tmp_path / str(n) / "a.fields", rows=(5,), seed=n) for n in (1, 2))
    out = tmp_path / "a.stats.h5"
    one = table.read(measure(first, out))
    two = table.read(measure(second, out))
    assert (one["power"].samples != two["power"].samples).all()
    monkeypatch.setattr(battery, "SMOOTHING", 1.0)
    three = table.read(measure(second, out))
    assert (two["pdf_smoothed"].samples != three["pdf_smoothed"].samples).any()


def _never(*_arguments):
    raise AssertionError("measured again")


def test_a_run_that_is_stopped_leaves_nothing_and_goes_on(fields, tmp_path):
    out = tmp_path / "a.stats.h5"

    def stop(_done, _total):
        raise Stopped("a signal")

    with pytest.raises(Stopped):
        measure(fields, out, progress=stop)
    assert not list(tmp_path.iterdir())
    measure(fields, out)
    assert len(table.read(out)) == len(fields)


def test_an_altered_sample_is_named_and_nothing_is_written(tmp_path):
    made = make(tmp_path / "a.fields", rows=(5, 6))
    shard, sample = made.shard_path(1), made[5 + 2].tobytes()
    altered = bytes([sample[0] ^ 1]) + sample[1:]  # a number as good as the old one
    shard.write_bytes(shard.read_bytes().replace(sample, altered))
    with pytest.raises(LayoutError, match=r"shard-00001.h5: sample 2\b.* differs") as caught:
        measure(made.path, tmp_path / "a.stats.h5")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.stats.h5").exists()


def test_files_that_are_not_ours_to_replace_stay(fields, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    with pytest.raises(RecipeError, match=r"notes.txt exists and cannot be read as statistics"):
        measure(fields, text)
    assert text.read_text() == "mine"
    other = make(tmp_path / "test.fields", rows=(5,))
    out = measure(other, tmp_path / "a.stats.h5")
    with pytest.raises(RecipeError, match="with the statistics of test, not of train; choose"):
        measure(fields, out)
    assert table.read(out).source == "test"


def test_no_workers_are_refused(fields, tmp_path):
    with pytest.raises(RecipeError, match="workers = 0"):
        measure(fields, tmp_path / "a.stats.h5", workers=0)


def test_fields_that_are_not_periodic_are_pointed_out(tmp_path, caplog):
    made = make(tmp_path / "a.fields", rows=(3,), periodic=False)
    found = table.read(measure(made, tmp_path / "a.stats.h5"))
    assert "not periodic" in caplog.text
    assert found.attributes["periodic"] is False


def test_the_estimators_load_only_when_they_are_asked_for():
    program = (
        "import sys, cosmogan.measure as m; light = 'numba' not in sys.modules; "
        "assert set(m.__all__) <= set(dir(m)); [getattr(m, n) for n in m.__all__]; "
        "sys.exit(not light or 'dask' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trispectrum'"):
        _ = cosmogan.measure.trispectrum


def test_only_what_is_asked_for_is_measured_and_asking_for_more_measures_again(fields, tmp_path):
    out = tmp_path / "train.stats.h5"
    some = table.read(measure(fields.path, out, statistics=["power", "halos"]))
    assert set(some.statistics) == {"power", "halos"}
    more = table.read(measure(fields.path, out, statistics=["power", "halos", "pdf"]))
    np.testing.assert_array_equal(more["halos"].samples, some["halos"].samples)
    assert set(more.statistics) == {"power", "halos", "pdf"}
