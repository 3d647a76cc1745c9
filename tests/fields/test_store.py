import json
import multiprocessing
import operator
import pickle
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import cosmogan
from cosmogan.errors import LayoutError, RecipeError, ResourceError, SplitError
from cosmogan.fields import dataset, files, store
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, MadeBy

LAYOUT = Layout(
    dimension=2,
    grid=4,
    box_size=8.0,
    thickness=2.0,
    mass_assignment="cic",
    particles=8,
    parameter_names=("redshift",),
)
MADE_BY = MadeBy(command="test", recipe="seed = 1\n", time="now")


def origin_of(rows, simulation=0, fixed=False):
    origin = np.zeros(rows, ORIGIN_DTYPE)
    origin["simulation"] = origin["seed"] = simulation
    origin["slab"], origin["fixed"] = np.arange(rows), fixed
    return origin


def ones(rows=2, **changes):
    return {
        "fields": np.ones((rows, 4, 4)),
        "parameters": np.zeros((rows, 1)),
        "origin": origin_of(rows),
    } | changes


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "new.fields"
    store.create_folder(path, LAYOUT, MADE_BY, 2, "a")
    return path


def raises(error, *texts):
    """Expect one line that holds these texts, the remedy among them."""
    start = "".join(rf"(?=.*{re.escape(str(text))})" for text in texts)
    return pytest.raises(error, match=start + r"[^\n]*$")


# Round trips


@st.composite
def contents(draw):
    dimension = draw(st.sampled_from([2, 3]))
    grid, rows = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    names = tuple(draw(st.lists(st.text("abc_Ω", min_size=1), unique=True, max_size=3)))
    layout = Layout(
        dimension=dimension,
        grid=grid,
        box_size=10.0,
        thickness=10.0,
        mass_assignment="none",
        particles=0,
        fixed=draw(st.booleans()),
        parameter_names=names,
    )
    density = st.floats(0, float(np.float32(3e38)), width=32)
    fields = draw(arrays.arrays("f4", (rows, *layout.shape), elements=density))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    parameters = draw(arrays.arrays("f8", (rows, len(names)), elements=finite))
    origin = origin_of(rows, draw(st.integers(-(2**63), 2**63 - 1)), layout.fixed)
    return layout, fields, parameters, origin


@given(contents())
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(content):
    layout, fields, parameters, origin = content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.h5"
        store.write_file(path, layout, MADE_BY, store.Samples(fields, parameters, origin))
        found = store.open_fields(path)
        found.verify()
        assert (found.layout, found.made_by, len(found)) == (layout, MADE_BY, len(fields))
        np.testing.assert_array_equal(found[:], fields)
        np.testing.assert_array_equal(found.parameters, parameters)
        np.testing.assert_array_equal(found.origin, origin)


def test_a_folder_reads_like_its_shards_one_after_the_other(universe):
    alone = [store.open_fields(universe.path / shard.file) for shard in universe.shards]
    np.testing.assert_array_equal(universe[:], np.concatenate([one[:] for one in alone]))
    np.testing.assert_array_equal(
        universe.parameters, np.concatenate([one.parameters for one in alone])
    )
    assert universe[:].dtype == np.float32
    assert universe.simulations.tolist() == [0, 1, 2]


def test_cosmogan_open_reads_it(universe):
    found = cosmogan.open(universe.path)
    assert repr(found) == f"<FieldSet {universe.path}: 12 x 8 x 8, 16 Mpc/h>"
    np.testing.assert_array_equal(found[:], universe[:])


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_it_is_indexed_like_an_array(universe, data):
    whole = np.stack(list(universe))
    index = data.draw(
        st.one_of(
            st.integers(-12, 11),
            st.slices(12),
            st.lists(st.integers(-12, 11)).map(lambda rows: np.array(rows, int)),
            arrays.arrays(bool, 12),
        )
    )
    np.testing.assert_array_equal(universe[index], whole[index])
    np.testing.assert_array_equal(universe.read_checked(index), whole[index])


@pytest.mark.parametrize("index", [12, -13, [0, 12], np.zeros((2, 2), int)])
def test_what_is_not_there_is_an_index_error(universe, index):
    with pytest.raises(IndexError):
        universe[index]


def test_a_sample_is_a_copy(universe):
    universe[0][:] = 7
    assert universe[0].max() != 7


def test_axes_are_the_centres_of_cells(universe):
    axes = universe.axes()
    assert list(axes) == ["x", "y"]
    np.testing.assert_allclose(axes["x"], [1, 3, 5, 7, 9, 11, 13, 15])


def test_it_may_be_pickled_and_read_in_a_spawned_process(universe):
    universe[0]  # opens a map, which must stay behind
    again = pickle.loads(pickle.dumps(universe))
    np.testing.assert_array_equal(again[5], universe[5])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(operator.getitem, (universe, 5)), universe[5])


def test_a_pickle_holds_no_samples(tmp_path, make_universe):
    fields = make_universe(tmp_path / "tiny.fields", rows=16)
    before = len(pickle.dumps(fields))
    fields[:]
    assert len(pickle.dumps(fields)) == before


def test_threads_share_it_even_when_few_files_may_be_open(universe, monkeypatch):
    monkeypatch.setattr(dataset, "_OPEN_MAPS", 1)
    shared, whole, wrong = pickle.loads(pickle.dumps(universe)), universe[:], []

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 12, 200)
        wrong.extend(row for row in rows if not np.array_equal(shared[int(row)], whole[row]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(shared._maps) == 1


def test_samples_start_on_a_page(tmp_path, make_universe):
    fields = make_universe(tmp_path / "tiny.fields", rows=16)
    assert [offset % 4096 for offset in fields._offsets] == [0, 0, 0]


# Writing: whole, or absent, and the same bytes


def test_the_same_content_makes_the_same_bytes(tmp_path, make_universe):
    one, two = (make_universe(tmp_path / name) for name in ("one.fields", "two.fields"))
    for file in sorted(path.name for path in one.path.iterdir()):
        assert (one.path / file).read_bytes() == (two.path / file).read_bytes(), file
    assert one.sha256 == two.sha256 != make_universe(tmp_path / "3.fields", seed=1).sha256


def test_a_resumed_folder_is_the_same_to_the_last_byte(tmp_path, make_universe):
    whole = make_universe(tmp_path / "whole.fields").path
    cut = make_universe(tmp_path / "cut.fields").path
    (cut / "manifest.json").unlink()
    (cut / "shard-00001.h5").unlink()
    assert store.missing_shards(cut) == [1]
    with raises(LayoutError, cut, "shards 1 of 3 are missing", "give the command"):
        store.open_fields(cut)
    make_universe(cut)
    for file in whole.iterdir():
        assert file.read_bytes() == (cut / file.name).read_bytes()


def test_shards_may_come_in_any_order(tmp_path, folder):
    for number in (1, 0):
        store.write_shard(folder, number, **ones(origin=origin_of(2, number)))
    assert store.finish_folder(folder).simulations.tolist() == [0, 1]


def test_digests_taken_at_writing_are_those_of_the_files(folder):
    written = [store.write_shard(folder, n, **ones(origin=origin_of(2, n))) for n in (0, 1)]
    found = store.finish_folder(folder, written)
    assert list(found.shards) == written
    assert [files.digest(folder / shard.file) for shard in written] == [s.sha256 for s in written]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"fields": np.full((2, 4, 4), np.nan)}, "sample 0: a density is infinite or not a number"),
        ({"fields": np.full((2, 4, 4), np.inf)}, "infinite"),
        ({"fields": np.full((2, 4, 4), 1e39)}, "infinite"),  # more than float32 holds
        ({"fields": np.full((2, 4, 4), -1e-9)}, "sample 0: a density is negative"),
        ({"fields": np.ones((2, 4, 5))}, "fields have shape (2, 4, 5), must be (2, 4, 4)"),
        ({"fields": np.ones((3, 4, 4))}, "parameters have shape (2, 1), must be (3, 1)"),
        ({"parameters": np.zeros(2)}, "must be (2, 1)"),
        ({"parameters": np.full((2, 1), np.nan)}, "parameter is not a finite number"),
        ({"origin": origin_of(3)}, "origin have shape (3,), must be (2,)"),
        ({"origin": origin_of(2, fixed=True)}, "fixed must be False"),
        (ones(0), "no sample"),
    ],
)
def test_a_wrong_shard_is_refused_and_nothing_written(folder, change, rule):
    with raises(LayoutError, folder / "shard-00001.h5", rule):
        store.write_shard(folder, 1, **ones(**change))
    assert [file.name for file in folder.iterdir()] == ["plan.json"]


def test_one_bad_cell_in_one_sample_is_found(folder):
    fields = np.ones((2, 4, 4))
    fields[1, 2, 3] = np.nan
    with raises(LayoutError, "sample 1"):
        store.write_shard(folder, 0, **ones(fields=fields))


def test_a_shard_that_nobody_planned_is_refused(folder, tmp_path):
    with raises(LayoutError, "shard 2 is not among the 2 planned"):
        store.write_shard(folder, 2, **ones())
    with raises(LayoutError, "no plan.json"):
        store.write_shard(tmp_path, 0, **ones())


def test_a_killed_writer_leaves_nothing_that_is_read_and_the_next_cleans_up(folder):
    script = (
        "import os, pathlib, sys\n"
        "from cosmogan.fields.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    arguments = [sys.executable, "-c", script, str(folder / "shard-00000.h5")]
    assert subprocess.run(arguments, check=False).returncode == -9
    assert len(list(folder.glob(".*.tmp"))) == 1
    assert store.missing_shards(folder) == [0, 1]
    store.create_folder(folder, LAYOUT, MADE_BY, 2, "a")
    assert [file.name for file in folder.iterdir()] == ["plan.json"]


def test_cleaning_up_spares_a_writer_that_lives_or_may_live_elsewhere(folder, monkeypatch):
    with files.whole_file(folder / "shard-00000.h5") as temporary:
        temporary.write_bytes(b"mine")
        elsewhere = folder / ".shard-00001.h5@other@1@abc.tmp"
        elsewhere.write_bytes(b"theirs")
        files.clean_temporaries(folder)
        assert temporary.exists()
        assert elsewhere.exists()
        monkeypatch.setattr(files, "_FOREIGN_AGE", -1.0)
        files.clean_temporaries(folder)
        assert temporary.exists()
        assert not elsewhere.exists()


def test_a_name_appears_when_the_bytes_are_on_the_disk_and_stays(tmp_path, monkeypatch):
    path, steps = tmp_path / "file", []
    replace_file = Path.replace

    def sync(target):
        steps.append(("sync", "folder" if target == tmp_path else "file", path.exists()))

    def rename(self, target):
        steps.append(("rename", target == path, self.read_text()))
        return replace_file(self, target)

    monkeypatch.setattr(files, "_sync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    with files.whole_file(path) as temporary:
        assert temporary.parent == tmp_path  # renaming across disks would not be one step
        temporary.write_text("all")
    assert steps == [
        ("sync", "file", False),
        ("rename", True, "all"),
        ("sync", "folder", True),
    ]


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with files.whole_file(path) as temporary:
            temporary.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_is_one_line_and_leaves_nothing(folder):
    big = replace(LAYOUT, grid=256)
    samples = store.Samples(np.ones((2, 256, 256)), np.zeros((2, 1)), origin_of(2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # stands for the full disk
    try:
        with raises(ResourceError, "big.h5", "cannot be written", "same command again"):
            store.write_file(folder / "big.h5", big, MADE_BY, samples)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in folder.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(
            "Can't write data (\nfile write failed: errno = 28, error message = ...)"
        ),  # HDF5's
    ],
)
def test_no_space_asks_to_make_room(tmp_path, error):
    def fail():
        with files.whole_file(tmp_path / "file"):
            raise error

    with raises(ResourceError, tmp_path / "file", "(No space left on device); make room"):
        fail()


# Folders and their identity


def test_too_little_disk_is_found_before_the_work(tmp_path):
    path, much = tmp_path / "deep" / "new.fields", 10**18
    with raises(ResourceError, path, "needs 1e+09 GB", "are free", "make room"):
        store.create_folder(path, LAYOUT, MADE_BY, 2, "a", expected_bytes=much)
    assert list(tmp_path.iterdir()) == []


def test_shards_that_are_there_need_no_more_space(fields_folder, monkeypatch):
    plan = json.loads((fields_folder / "plan.json").read_text())
    layout = Layout.from_attributes(plan["layout"], plan["layout"]["parameter_names"])
    there = sum(path.stat().st_size for path in fields_folder.glob("*.h5"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    store.create_folder(fields_folder, layout, MADE_BY, 3, "tiny", expected_bytes=there)
    with raises(ResourceError, "make room"):
        store.create_folder(fields_folder, layout, MADE_BY, 3, "tiny", expected_bytes=there + 1)


def test_the_expected_size_is_about_the_true_one(universe):
    true = sum(shard.bytes for shard in universe.shards)
    expected = store.expected_bytes(universe.layout, len(universe), len(universe.shards))
    assert true <= expected <= true + 3 * 65_536


@pytest.mark.parametrize(
    ("shards", "identity", "layout"),
    [(2, "b", LAYOUT), (3, "a", LAYOUT), (2, "a", replace(LAYOUT, thickness=4.0))],
)
def test_a_folder_from_another_recipe_is_refused(folder, shards, identity, layout):
    with raises(RecipeError, folder, "exists from another recipe", "delete it"):
        store.create_folder(folder, layout, MADE_BY, shards, identity)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with raises(RecipeError, path, "is no data set", "another output"):
            store.create_folder(path, LAYOUT, MADE_BY, 1, "a")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_the_first_plan_stays(folder):
    before = (folder / "plan.json").read_bytes()
    store.create_folder(folder, LAYOUT, replace(MADE_BY, time="later"), 2, "a")
    assert (folder / "plan.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "cosmogan-fields-plan"}'])
def test_a_damaged_plan_is_named(folder, text):
    (folder / "plan.json").write_text(text)
    with raises(LayoutError, folder / "plan.json"):
        store.missing_shards(folder)


def test_a_shard_of_another_recipe_is_not_let_in(tmp_path, folder):
    other = tmp_path / "other.fields"
    store.create_folder(other, LAYOUT, replace(MADE_BY, recipe="seed = 2\n"), 2, "b")
    store.write_shard(folder, 0, **ones())
    store.write_shard(other, 1, **ones())
    shutil.copy(other / "shard-00001.h5", folder)
    with raises(LayoutError, folder / "shard-00001.h5", "another recipe", "delete it"):
        store.finish_folder(folder)


def test_the_same_shard_twice_is_not_let_in(folder):
    store.write_shard(folder, 0, **ones())
    shutil.copy(folder / "shard-00000.h5", folder / "shard-00001.h5")
    with raises(LayoutError, "shard-00001.h5: the same file as shard-00000.h5"):
        store.finish_folder(folder)


def test_an_unfinished_folder_says_so(folder):
    with raises(LayoutError, folder, "shards 0, 1 of 2 are missing"):
        store.finish_folder(folder)
    for number in (0, 1):
        store.write_shard(folder, number, **ones(origin=origin_of(2, number)))
    with raises(LayoutError, folder, "manifest.json is missing", "give the command"):
        store.open_fields(folder)


# Planes


CUBES = {"dimension": 3, "grid": 6, "box_size": 12.0, "thickness": 12.0}


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_planes_are_those_of_the_sample(data, tmp_path_factory, make_universe):
    fields = make_universe(tmp_path_factory.mktemp("cubes") / "a.fields", shards=2, rows=2, **CUBES)
    row, start = data.draw(st.integers(-4, 3)), data.draw(st.integers(0, 5))
    stop = data.draw(st.integers(start + 1, 6))
    planes = fields.read_planes(row, start, stop)
    assert planes.dtype == np.float32
    np.testing.assert_array_equal(planes, fields[row][start:stop])


@pytest.mark.parametrize(
    ("row", "start", "stop"), [(0, 0, 7), (0, -1, 2), (0, 3, 3), (0, 4, 2), (4, 0, 1), (-5, 0, 1)]
)
def test_planes_that_are_not_there_are_an_index_error(tmp_path, make_universe, row, start, stop):
    fields = make_universe(tmp_path / "a.fields", shards=2, rows=2, **CUBES)
    with pytest.raises(IndexError):
        fields.read_planes(row, start, stop)


def test_slices_have_no_planes(universe):
    with pytest.raises(
        IndexError, match="planes 0 to 1 of a sample of 8 x 8 cells; there are none"
    ):
        universe.read_planes(0, 0, 1)


def test_planes_of_a_shard_truncated_after_opening_are_refused(tmp_path, make_universe):
    fields = make_universe(tmp_path / "a.fields", shards=2, rows=2, **CUBES)
    fields.shard_path(1).write_bytes(b"")
    fields.read_planes(1, 0, 6)
    with raises(LayoutError, "shard-00001.h5", "0 bytes"):
        fields.read_planes(2, 0, 6)


def test_planes_leave_no_map_behind(tmp_path, make_universe):
    fields = make_universe(tmp_path / "a.fields", shards=1, rows=1, **CUBES)
    fields.read_planes(0, 0, 6)
    assert str(fields.shard_path(0)) not in Path("/proc/self/maps").read_text()
    assert fields[0].any()
    assert str(fields.shard_path(0)) in Path("/proc/self/maps").read_text()


def test_a_checksum_of_another_sample_is_refused(universe):
    universe.require_checksum(5, zlib.crc32(universe[5]))
    with raises(LayoutError, "shard-00001.h5: sample 1", "checksum differs", "delete it"):
        universe.require_checksum(5, zlib.crc32(universe[6]))


@given(parts=st.lists(st.binary(max_size=300), max_size=6), zeros=st.integers(0, 100_000))
@settings(deadline=None)
def test_checksums_of_parts_combine_into_that_of_the_whole(parts, zeros):
    parts = [*parts, bytes(zeros)]
    crc = 0
    for part in parts:
        crc = dataset.combine_crc32(crc, zlib.crc32(part), len(part))
    assert crc == zlib.crc32(b"".join(parts))


# Damage


def alter(path, place=-1):
    """Turn one byte of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_an_altered_sample_is_named(fields_folder):
    fields = store.open_fields(fields_folder)
    file = fields_folder / "shard-00001.h5"
    alter(file, fields._offsets[1] + 2 * fields.layout.sample_bytes + 17)
    found = store.open_fields(fields_folder)
    for read in (found.verify, lambda: found.read_checked(6), lambda: found.read_checked([0, 6])):
        with raises(LayoutError, f"{file}: sample 2", "checksum differs", "delete it"):
            read()
    np.testing.assert_array_equal(found.read_checked(5), fields[5])


def test_an_altered_parameter_is_found(fields_folder):
    file = fields_folder / "shard-00001.h5"
    with h5py.File(file, "r+") as handle:
        handle["parameters"][0, 0] = 0.4
    with raises(LayoutError, file, "SHA-256 differs"):
        store.open_fields(fields_folder).verify()


def test_an_altered_shard_does_not_get_a_new_digest(fields_folder):
    file = fields_folder / "shard-00001.h5"
    with h5py.File(file, "r+") as handle:
        handle["parameters"][0, 0] = 0.4
    with raises(LayoutError, file, "SHA-256 differs"):
        store.finish_folder(fields_folder).verify()


@pytest.mark.parametrize(
    ("value", "rule"), [(np.nan, "not a number"), (-1.0, "negative"), (np.inf, "infinite")]
)
def test_verify_finds_what_others_wrote(fields_folder, value, rule):
    file = fields_folder / "shard-00000.h5"
    with h5py.File(file, "r+") as handle:
        handle["fields"][3, 0, 0] = value
        handle["checksum"][3] = zlib.crc32(handle["fields"][3])
    with raises(LayoutError, f"{file}: sample 3", rule):
        store.open_fields(file).verify()


def test_verify_tells_its_progress(universe):
    seen = []
    universe.verify(lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_missing_shard_is_named(fields_folder):
    (fields_folder / "shard-00002.h5").unlink()
    with raises(LayoutError, fields_folder / "shard-00002.h5", "missing", "give the command"):
        store.open_fields(fields_folder)


def test_a_truncated_shard_is_found_at_opening(fields_folder):
    file = fields_folder / "shard-00002.h5"
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.truncate(size - 1)
    with raises(LayoutError, file, f"{size - 1} bytes, must be {size}", "delete it"):
        store.open_fields(fields_folder)


def test_a_shard_truncated_after_opening_does_not_kill_the_process(fields_folder):
    fields = store.open_fields(fields_folder)
    (fields_folder / "shard-00002.h5").write_bytes(b"")
    with raises(LayoutError, "shard-00002.h5", "0 bytes"):
        fields[-1]


def test_a_shard_exchanged_for_another_layout_is_found(fields_folder, tmp_path, make_universe):
    other = make_universe(tmp_path / "other.fields", thickness=8.0).path
    shutil.copy(other / "shard-00001.h5", fields_folder)
    with raises(LayoutError, fields_folder / "shard-00001.h5", "not the file of the manifest"):
        store.open_fields(fields_folder)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def _foreign_text(path):
    path.write_text("P3 1 1 255 0 0 0")


def _empty(path):
    path.write_bytes(b"")


def _foreign_hdf5(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.ones(3)


def _future(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2


def _scrambled(path):
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(600) + content[800:])


@pytest.mark.parametrize(
    ("damage", "rule", "remedy"),
    [
        (_truncate, "truncated", "delete it"),
        (_foreign_text, "not an HDF5 file", "give a name.fields folder"),
        (_empty, "not an HDF5 file", "give a name.fields folder"),
        (_foreign_hdf5, "not a cosmogan-fields file", "convert it"),
        (_future, "format version 2, but this cosmogan reads 1", "newer cosmogan"),
        (_scrambled, "", ""),
        (Path.unlink, "no such data set", "give a"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_file_rule_and_remedy(
    fields_folder, damage, rule, remedy
):
    file = fields_folder / "shard-00000.h5"
    damage(file)
    with raises(LayoutError, file, rule, remedy):
        store.open_fields(file)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda m: m.update(version=2), "format version 2"),
        (lambda m: m.update(format="x"), "not a cosmogan-fields-manifest file"),
        (lambda m: m.update(shards=[]), "names no shard"),
        (lambda m: m.pop("shards"), "damaged"),
        (lambda m: m["shards"][0].pop("sha256"), ""),
        (lambda m: m["shards"][0].update(size=1), "damaged"),
        (lambda m: m["layout"].pop("grid", m["layout"].pop("box_size")), "box_size is missing"),
    ],
)
def test_a_damaged_manifest_is_named(fields_folder, change, rule):
    manifest = fields_folder / "manifest.json"
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))
    if rule:
        with raises(LayoutError, manifest, rule):
            store.open_fields(fields_folder)
    else:  # a digest is a help, not a need
        assert len(store.open_fields(fields_folder)) == 12


def test_a_folder_without_data_set_is_named(tmp_path):
    with raises(LayoutError, tmp_path, "no manifest.json"):
        store.open_fields(tmp_path)


# Splits


def test_a_split_that_shares_a_simulation_is_refused(tmp_path, make_universe):
    train = make_universe(tmp_path / "train.fields")
    apart = make_universe(tmp_path / "apart.fields", first=3)
    shared = make_universe(tmp_path / "shared.fields", first=2)
    store.check_split(train=train, test=apart)
    with raises(SplitError, "train", "test", train.path, shared.path, "simulation 2", "by simul"):
        store.check_split(train=train, test=shared)
    with raises(SplitError, "validation (", "and test (", "simulation 3"):
        store.check_split(validation=apart, test=shared)


def test_fixed_amplitudes_are_refused(tmp_path, universe, make_universe):
    store.refuse_fixed(universe)
    fixed = make_universe(tmp_path / "fixed.fields", fixed=True)
    with raises(RecipeError, fixed.path, "cosmic variance", "covariances", "gaussian"):
        store.refuse_fixed(fixed, "covariances")
