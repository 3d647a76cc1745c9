"""Plain arrays become fields that can be measured, and are refused where they make no sense."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.array import open_array
from cosmogan.measure.run import measure
from cosmogan.statistics import table
from cosmogan.statistics.power import power_spectra

BOX = 100.0


def density(*shape, seed=1):
    return np.exp(0.3 * np.random.default_rng(seed).standard_normal(shape))


def save(path, array):
    np.save(path, array)
    return path


@pytest.fixture(params=["npy", "h5"])
def keep(request, tmp_path):
    """Return a function that puts an array on the disk, in either format."""

    def keep(array, name="field"):
        path = tmp_path / f"{name}.{request.param}"
        if request.param == "npy":
            return save(path, array)
        with h5py.File(path, "w") as file:
            file["deep/inside"] = array
            file["deep/redshift"] = 0.5
        return path

    return keep


@pytest.mark.parametrize(
    ("shape", "count", "dimension"),
    [((16, 16), 1, 2), ((5, 16, 16), 5, 2), ((8, 8, 8), 1, 3), ((2, 8, 8, 8), 2, 3)],
)
def test_squares_and_cubes_are_told_by_their_shape(keep, shape, count, dimension):
    array = density(*shape)
    fields = open_array(keep(array), box_size=BOX)
    assert len(fields) == count
    assert fields.layout.dimension == dimension
    assert fields.layout.grid == shape[-1]
    whole = fields.read_checked(slice(None))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, array.astype(np.float32).reshape(whole.shape))
    last = fields.read_checked(slice(count - 1, count))
    np.testing.assert_array_equal(last, whole[-1:])


@given(dtype=st.sampled_from([">f4", "<f8", ">f8", "<i4", "u1", "f2"]))
@settings(deadline=None, max_examples=6)
def test_any_real_type_and_byte_order_is_read(dtype, tmp_path_factory):
    array = (10 * density(3, 8, 8)).astype(dtype)
    path = save(tmp_path_factory.mktemp("types") / "field.npy", array)
    found = open_array(path, box_size=BOX).read_checked(slice(0, 3))
    np.testing.assert_array_equal(found, array.astype(np.float32))


def test_what_the_numbers_are_makes_no_difference_to_what_is_measured(keep, tmp_path):
    rho = density(6, 16, 16)
    rho /= rho.mean()
    given = {"density over mean": rho, "overdensity": rho - 1, "density": 7.3 * rho}
    found = {}
    for quantity, array in given.items():
        fields = open_array(keep(array), box_size=BOX, quantity=quantity)
        out = tmp_path / quantity / "field.stats.h5"
        found[quantity] = table.read(measure(fields, out))
    expected = power_spectra(rho, BOX)[1]
    for measured in found.values():
        np.testing.assert_allclose(measured["power"].samples, expected, rtol=1e-5)  # float32
        assert measured["mean_density"].samples.mean() == pytest.approx(1, abs=1e-6)


def test_the_layout_is_what_the_caller_says(keep):
    fields = open_array(keep(density(4, 16, 16)), box_size=BOX, thickness=25.0)
    assert (fields.layout.box_size, fields.layout.thickness) == (BOX, 25.0)
    assert open_array(keep(density(4, 16, 16)), box_size=BOX).layout.thickness == BOX / 16


def test_each_field_is_a_simulation_of_its_own_and_equal_files_have_the_same(keep):
    one = open_array(keep(density(4, 8, 8)), box_size=BOX)
    same = open_array(keep(density(4, 8, 8), "copy"), box_size=BOX)
    other = open_array(keep(density(4, 8, 8, seed=2), "other"), box_size=BOX)
    assert np.unique(one.origin["simulation"]).size == 4
    assert np.intersect1d(one.origin["simulation"], other.origin["simulation"]).size == 0
    if one.path.suffix == ".npy":  # HDF5 writes the time
        np.testing.assert_array_equal(one.origin, same.origin)


def test_measured_once_it_is_left_alone_and_told_apart_when_it_is_said_to_be_larger(keep, tmp_path):
    path, out = keep(density(3, 16, 16)), tmp_path / "field.stats.h5"
    measure(open_array(path, box_size=BOX), out)
    before = out.stat().st_mtime_ns
    measure(open_array(path, box_size=BOX), out)
    assert out.stat().st_mtime_ns == before
    measure(open_array(path, box_size=2 * BOX), out)
    assert table.read(out).attributes["box_size"] == 2 * BOX


@pytest.mark.parametrize(
    ("array", "given", "error", "message"),
    [
        (density(4, 8, 9), {}, LayoutError, r"\(4, 8, 9\); give \(N, N\)"),
        (density(8), {}, LayoutError, "give"),
        (density(0, 8, 8), {}, LayoutError, r"shape \(0, 8, 8\)"),
        (1j * density(8, 8), {}, LayoutError, "not real"),
        (density(8, 8) - 5, {"quantity": "density"}, LayoutError, "no density; say what it is"),
        (density(8, 8), {"quantity": "temperature"}, RecipeError, "'temperature': give one of"),
        (density(8, 8), {"box_size": -1.0}, LayoutError, "box_size = -1.0 must be positive"),
    ],
)
def test_an_array_that_makes_no_sense_is_refused_in_one_line(
    array, given, error, message, tmp_path
):
    path = save(tmp_path / "field.npy", array)
    with pytest.raises(error, match=message) as caught:
        open_array(path, **{"box_size": BOX, **given})
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_array_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    (tmp_path / "a.txt").write_text("1 2 3")
    cut = save(tmp_path / "cut.npy", density(8, 8))
    cut.write_bytes(cut.read_bytes()[:200])
    for name, message in (
        ("a.npy", "not a .npy array, or cut short"),
        ("cut.npy", "not a .npy array, or cut short"),
        ("a.txt", "neither .npy nor HDF5"),
        ("none.npy", "no such file"),
    ):
        with pytest.raises(LayoutError, match=message) as caught:
            open_array(tmp_path / name, box_size=BOX)
        assert "\n" not in str(caught.value)


def test_an_hdf5_file_of_several_data_sets_asks_which(tmp_path):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b/c"] = density(8, 8), density(3, 8, 8)
    with pytest.raises(RecipeError, match=r"which data set\? it has a, b/c; name one"):
        open_array(path, box_size=BOX)
    with pytest.raises(RecipeError, match="no data set d; it has a, b/c"):
        open_array(path, box_size=BOX, dataset="d")
    assert len(open_array(path, box_size=BOX, dataset="b/c")) == 3
