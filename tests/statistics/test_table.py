"""The file of statistics: what goes in comes out, and anything else is refused in a line."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosmogan.errors import LayoutError, ResourceError
from cosmogan.statistics.table import Statistic, StatisticsTable, read, write

ORIGIN = np.dtype(
    [("simulation", "<i8"), ("seed", "<i8"), ("axis", "i1"), ("slab", "<i4"), ("fixed", "?")]
)


def statistic(samples, name="power", *, edges=True):
    bins = samples.shape[1]
    return Statistic(
        name=name,
        coordinate=np.arange(bins) + 0.5,
        edges=np.append(np.arange(float(bins)), np.inf) if edges else None,
        samples=samples,
        weight=np.full(bins, 8.0),
        label="P(k)",
        unit="(Mpc/h)^2",
        coordinate_label="k",
        coordinate_unit="h/Mpc",
    )


def table(samples, **changes):
    rows = len(samples)
    origin = np.zeros(rows, ORIGIN)
    origin["simulation"] = np.arange(rows) // 2 + 2**62
    content = {
        "source": "test",
        "source_sha256": "ab" * 32,
        "identity": "cd" * 32,
        "attributes": {
            "dimension": 2,
            "box_size": 200.0,
            "mass_assignment": "cic",
            "periodic": True,
        },
        "made_by": {"code": "cosmogan", "recipe": 'name = "Λ"\n'},
        "origin": origin,
        "parameters": np.arange(2.0 * rows).reshape(rows, 2),
        "parameter_names": ("Omega_m", "redshift"),
        "statistics": {
            "mean_density": statistic(samples[:, :1], "mean_density", edges=False),
            "power": statistic(samples),
        },
    }
    return StatisticsTable(**content | changes)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "test.stats.h5"
    write(path, table(np.arange(12.0).reshape(4, 3)))
    return path


@given(
    samples=st.tuples(st.integers(0, 5), st.integers(1, 6)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(-1e300, 1e300))
    ),
    names=st.lists(st.text("abc_Ω", min_size=1), max_size=3, unique=True),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_to_the_last_bit(tmp_path_factory, samples, names):
    path = tmp_path_factory.mktemp("table") / "a.stats.h5"
    parameters = np.full((len(samples), len(names)), 0.3)
    before = table(samples, parameters=parameters, parameter_names=tuple(names))
    write(path, before)
    after = read(path)
    for name in ("source", "source_sha256", "identity", "attributes", "made_by"):
        assert getattr(after, name) == getattr(before, name)
    assert after.parameter_names == tuple(names)
    assert after.origin.dtype == ORIGIN
    np.testing.assert_array_equal(after.origin, before.origin)
    np.testing.assert_array_equal(after.parameters, parameters)
    assert list(after.statistics) == ["mean_density", "power"]
    for name, found in after.statistics.items():
        expected = before[name]
        for part in ("name", "label", "unit", "coordinate_label", "coordinate_unit"):
            assert getattr(found, part) == getattr(expected, part)
        for part in ("coordinate", "samples", "weight"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    assert after["mean_density"].edges is None
    np.testing.assert_array_equal(after["power"].edges, before["power"].edges)


def test_plain_values_come_back_plain(written):
    found = read(written)
    assert found.attributes == {
        "dimension": 2,
        "box_size": 200.0,
        "mass_assignment": "cic",
        "periodic": True,
    }
    assert {type(value) for value in found.attributes.values()} == {int, float, str, bool}
    assert len(found) == 4
    assert found.simulation.tolist() == [2**62, 2**62, 2**62 + 1, 2**62 + 1]


def test_the_same_table_gives_the_same_bytes(written, tmp_path):
    again = tmp_path / "again.stats.h5"
    write(again, read(written))
    assert again.read_bytes() == written.read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(written, monkeypatch):
    before = written.read_bytes()
    new = table(np.ones((2, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(h5py.File, "create_group", _no_space)
        with pytest.raises(ResourceError, match=r"test.stats.h5: cannot be written \(No space"):
            write(written, new)
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir()] == [written.name]
    write(written, new)
    assert len(read(written)) == 2


def _no_space(*_arguments):
    raise OSError(28, "No space left on device")


def test_a_file_cut_short_anywhere_is_refused(written, tmp_path):
    content = written.read_bytes()
    cut = tmp_path / "cut.stats.h5"
    for size in [*range(0, len(content), 499), len(content) - 1]:
        cut.write_bytes(content[:size])
        with pytest.raises(LayoutError, match=r"cut.stats.h5: not HDF5, or cut short; measure"):
            read(cut)


def _foreign(file):
    file.attrs["format"] = "cosmogan-fields"


def _nameless(file):
    del file.attrs["format"]


def _of_the_future(file):
    file.attrs["version"] = 2


def _without_origin(file):
    del file["origin"]


def _without_identity(file):
    del file.attrs["identity"]


def _with_lost_rows(file):
    values = file["statistics/power/samples"][:2]
    del file["statistics/power/samples"]
    file["statistics/power/samples"] = values


def _with_lost_bins(file):
    del file["statistics/power/weight"]
    file["statistics/power/weight"] = np.ones(2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_foreign, "format is 'cosmogan-fields', not 'cosmogan-statistics'"),
        (_nameless, "format is 'none'"),
        (_of_the_future, "version 2 is later than 1.*upgrade cosmogan"),
        (_without_origin, "incomplete: .*origin.*; measure the data set again"),
        (_without_identity, "incomplete: .*identity"),
        (_with_lost_rows, "power has 2 rows, origin has 4"),
        (_with_lost_bins, r"weight has shape \(2,\)"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_in_one_line(written, spoil, message):
    with h5py.File(written, "r+") as file:
        spoil(file)
    with pytest.raises(LayoutError, match=message) as caught:
        read(written)
    assert str(written) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LayoutError, match=r"none.stats.h5: no such file; measure"):
        read(tmp_path / "none.stats.h5")


def test_statistics_that_are_not_finite_are_not_written(tmp_path):
    samples = np.ones((4, 3))
    samples[2, 1] = np.nan
    with pytest.raises(LayoutError, match="power of field 2 of test is not finite"):
        write(tmp_path / "a.stats.h5", table(samples))
    assert not list(tmp_path.iterdir())


def test_layout_attributes_cannot_shadow_those_of_the_file(tmp_path):
    with pytest.raises(LayoutError, match="'version'"):
        write(tmp_path / "a.stats.h5", table(np.ones((2, 3)), attributes={"version": 3}))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("samples", np.ones(3), "samples of shape"),
        ("samples", np.ones((2, 4)), "samples of shape"),
        ("weight", np.ones(2), "weight has shape"),
        ("edges", np.ones(3), "edges have shape"),
    ],
)
def test_shapes_that_contradict_each_other_are_refused(part, value, message):
    with pytest.raises(LayoutError, match=message):
        replace(statistic(np.ones((2, 3))), **{part: value})


def test_the_folder_of_the_file_is_made(tmp_path):
    path = tmp_path / "statistics" / "a.stats.h5"
    write(str(path), table(np.ones((2, 3))))
    assert isinstance(path, Path)
    assert len(read(str(path))) == 2


def test_rows_and_bins_are_dimension_scales_that_netcdf_readers_know(tmp_path):
    """What netCDF4 asks of HDF5: every dimension of a variable names its coordinate."""
    write(tmp_path / "a.stats.h5", table(np.ones((3, 4))))
    with h5py.File(tmp_path / "a.stats.h5") as file:
        np.testing.assert_array_equal(file["field"][()], np.arange(len(file["origin"])))
        for group in file["statistics"].values():
            samples = group["samples"]
            assert [d[0].name for d in samples.dims] == ["/field", f"{group.name}/coordinate"]
            assert group["weight"].dims[0][0] == group["coordinate"]
            assert all(
                h5py.h5ds.is_scale(group[n].id) for n in ("coordinate", "edges") if n in group
            )
