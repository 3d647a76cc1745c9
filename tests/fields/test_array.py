"""Plain arrays become fields that can be measured, and are refused where they make no sense."""

import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.array import Described, is_plain, open_array
from cosmogan.measure.run import measure
from cosmogan.statistics import table
from cosmogan.statistics.power import power_spectra

BOX = 100.0


def density(*shape, seed=1):
    return np.exp(0.3 * np.random.default_rng(seed).standard_normal(shape))


def opened(path, **told):
    return open_array(path, Described(**{"box_size": BOX, **told}))


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
    fields = opened(keep(array))
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
    found = opened(path, quantity="density").read_checked(slice(0, 3))
    exact = array.astype(np.float64)
    np.testing.assert_allclose(found, exact / exact.mean(), rtol=1e-6)


def test_what_the_numbers_are_makes_no_difference_to_what_is_measured(keep, tmp_path):
    rho = density(6, 16, 16)
    rho /= rho.mean()
    given = {"density over mean": rho, "overdensity": rho - 1, "density": 7.3 * rho}
    found = {}
    for quantity, array in given.items():
        fields = opened(keep(array), quantity=quantity)
        out = tmp_path / quantity / "field.stats.h5"
        found[quantity] = table.read(measure(fields, out))
    expected = power_spectra(rho, BOX)[1]
    for measured in found.values():
        np.testing.assert_allclose(measured["power"].samples, expected, rtol=1e-5)  # float32
        assert measured["mean_density"].samples.mean() == pytest.approx(1, abs=1e-6)


def test_the_layout_is_what_the_caller_says(keep):
    fields = opened(keep(density(4, 16, 16)), thickness=25.0)
    assert (fields.layout.box_size, fields.layout.thickness) == (BOX, 25.0)
    assert opened(keep(density(4, 16, 16))).layout.thickness == BOX / 16


def test_each_field_is_a_simulation_of_its_own_and_equal_files_have_the_same(keep):
    one = opened(keep(density(4, 8, 8)))
    same = opened(keep(density(4, 8, 8), "copy"))
    other = opened(keep(density(4, 8, 8, seed=2), "other"))
    assert np.unique(one.origin["simulation"]).size == 4
    assert np.intersect1d(one.origin["simulation"], other.origin["simulation"]).size == 0
    if one.path.suffix == ".npy":  # HDF5 writes the time
        np.testing.assert_array_equal(one.origin, same.origin)


def test_measured_once_it_is_left_alone_and_told_apart_when_it_is_said_to_be_larger(keep, tmp_path):
    path, out = keep(density(3, 16, 16)), tmp_path / "field.stats.h5"
    measure(opened(path), out)
    before = out.stat().st_mtime_ns
    measure(opened(path), out)
    assert out.stat().st_mtime_ns == before
    measure(opened(path, box_size=2 * BOX), out)
    assert table.read(out).attributes["box_size"] == 2 * BOX


@pytest.mark.parametrize(
    ("array", "given", "error", "message"),
    [
        (density(4, 8, 9), {}, LayoutError, r"\(4, 8, 9\); give \(N, N\)"),
        (density(8), {}, LayoutError, r"shape \(8,\) holds no field"),
        (np.array(3.0), {}, LayoutError, r"shape \(\) holds no field"),
        (density(0, 8, 8), {}, LayoutError, r"shape \(0, 8, 8\)"),
        (1j * density(8, 8), {}, LayoutError, "not real"),
        (density(8, 8) - 5, {"quantity": "density"}, LayoutError, "of no density; say what it is"),
        (density(8, 8) - 1, {}, LayoutError, "not 1, as that of a density over mean"),
        (1000 * density(8, 8), {}, LayoutError, "not 1, as that of a density over mean"),
        (density(8, 8), {"dimension": 4}, RecipeError, "dimension = 4"),
        (density(8, 8), {"per_simulation": 0}, RecipeError, "per_simulation = 0"),
        (density(8, 8, 8), {"thickness": 5.0}, RecipeError, "cubes of 8 cells have none"),
        (density(8, 16, 16), {"dimension": 3}, LayoutError, "give"),
        (density(5, 8, 8), {"per_simulation": 2}, RecipeError, "5 fields do not divide"),
        (density(8, 8), {"thickness": 0.0}, LayoutError, "thickness = 0.0 must be positive"),
        (density(8, 8), {"quantity": "temperature"}, RecipeError, "'temperature': give one of"),
        (density(8, 8), {"box_size": -1.0}, LayoutError, "box_size = -1.0 must be positive"),
    ],
)
def test_an_array_that_makes_no_sense_is_refused_in_one_line(
    array, given, error, message, tmp_path
):
    path = save(tmp_path / "field.npy", array)
    with pytest.raises(error, match=message) as caught:
        opened(path, **given)
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
            opened(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_slices_that_look_like_a_cube_are_slices_if_it_is_said(keep):
    array = density(8, 8, 8)
    assert len(opened(keep(array))) == 1
    fields = opened(keep(array), dimension=2, thickness=4.0)
    assert len(fields) == 8
    assert (fields.layout.dimension, fields.layout.thickness) == (2, 4.0)
    np.testing.assert_array_equal(fields.read_checked(slice(3, 4))[0], array[3].astype("f4"))


def test_fields_of_one_simulation_share_its_number(keep):
    simulation = opened(keep(density(6, 8, 8)), per_simulation=3).origin["simulation"]
    assert np.unique(simulation, return_counts=True)[1].tolist() == [3, 3]
    assert simulation[0] == simulation[2]


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not finite; fill"), (np.inf, "not finite; fill"), (-0.1, "a negative density")],
)
def test_a_bad_number_is_told_by_file_and_field(keep, tmp_path, value, message):
    array = density(200, 8, 8)
    array[150, 2, 3] = value
    path = keep(array)
    with pytest.raises(LayoutError, match=f"{path.name}: field 150 holds .*{message}"):
        measure(opened(path, quantity="density"), tmp_path / "field.stats.h5")
    assert not (tmp_path / "field.stats.h5").exists()


def test_large_numbers_are_scaled_before_they_are_rounded(keep):
    array = density(2, 8, 8)
    found = opened(keep(2e43 * array), quantity="density").read_checked(slice(0, 2))
    np.testing.assert_allclose(found, array / array.mean(), rtol=1e-6)


QUANTITIES = ("density over mean", "overdensity", "density")


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("single", [True, False], ids=["one cube", "cubes"])
def test_planes_are_those_of_the_field_to_the_last_bit(keep, single, quantity):
    array = density(3, 8, 8, 8) - (quantity == "overdensity")
    fields = opened(keep(array[0] if single else array), quantity=quantity)
    for row in range(len(fields)):
        whole = fields.read_checked(slice(row, row + 1))[0]
        for start, stop in ((0, 8), (3, 4), (5, 8)):
            planes = fields.read_planes(row, start, stop)
            assert planes.dtype == np.float32
            np.testing.assert_array_equal(planes, whole[start:stop])
    np.testing.assert_array_equal(fields.read_planes(-1, 7, 8)[0], whole[7])


def test_planes_of_an_array_in_the_order_of_fortran_are_the_same(tmp_path):
    array = density(8, 8, 8)
    fields = opened(save(tmp_path / "field.npy", np.asfortranarray(array)))
    np.testing.assert_array_equal(fields.read_planes(0, 2, 5), array[2:5].astype(np.float32))


def test_planes_that_are_not_there_are_an_index_error(keep):
    fields = opened(keep(density(2, 8, 8, 8)))
    for row, start, stop in ((2, 0, 1), (0, 0, 9), (0, 1, 1), (0, -1, 2)):
        with pytest.raises(IndexError):
            fields.read_planes(row, start, stop)
    with pytest.raises(IndexError, match="of a sample of 8 x 8 cells"):
        opened(keep(density(2, 8, 8), "slices")).read_planes(0, 0, 1)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "not finite"), (-0.1, "a negative density")]
)
def test_a_bad_number_in_a_plane_is_told_by_file_and_field(keep, monkeypatch, value, message):
    array = density(3, 8, 8, 8)
    path = keep(array)
    fields = opened(path, quantity="density")
    array[1, 6, 2, 3] = value
    keep(array)
    fields.read_planes(1, 0, 6)
    with pytest.raises(LayoutError, match=rf"{path.name}: field 1 holds .*{message}"):
        fields.read_planes(1, 5, 8)


@pytest.mark.parametrize("shape", [(7, 8, 8), (8, 8, 8), (3, 8, 8, 8), (16, 16)])
@pytest.mark.parametrize("cells", [1, 100, 600])
def test_the_mean_of_all_is_the_same_however_few_cells_are_read_at_a_time(
    keep, monkeypatch, shape, cells
):
    array = density(*shape)
    monkeypatch.setattr("cosmogan.fields.array._MEAN_CELLS", cells)
    found = opened(keep(array), quantity="density").read_checked(slice(None))
    expected = (array / array.mean()).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=2e-7)  # half a bit of float32, and of the mean


def test_it_may_be_pickled_and_holds_no_numbers(keep):
    array = density(9, 64, 64)
    fields = opened(keep(array), quantity="density")
    moved = pickle.dumps(fields)
    assert len(moved) < array.nbytes / 50
    index = slice(2, 5)
    np.testing.assert_array_equal(
        pickle.loads(moved).read_checked(index), fields.read_checked(index)
    )


def test_two_data_sets_of_a_file_have_two_names(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["z0"], file["deep/z1"] = density(8, 8), density(8, 8)
    both = [opened(path, dataset=name) for name in ("z0", "deep/z1")]
    assert {one.name for one in both} == {"two.h5-z0", "two.h5-deep-z1"}
    assert not np.intersect1d(*(one.origin["simulation"] for one in both)).size
    again = opened(path, dataset="z0")
    np.testing.assert_array_equal(again.origin["simulation"], both[0].origin["simulation"])


def test_plain_is_what_does_not_say_that_it_obeys_the_contract(tmp_path):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["a"] = density(8, 8)
    with h5py.File(tmp_path / "ours.h5", "w") as file:
        file.attrs["format"] = "cosmogan-fields"
    save(tmp_path / "a.npy", density(8, 8))
    found = {name: is_plain(tmp_path / name) for name in ("plain.h5", "ours.h5", "a.npy", "none")}
    assert found == {"plain.h5": True, "ours.h5": False, "a.npy": True, "none": False}


def test_an_archive_of_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", density(8, 8))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(LayoutError, match="an archive of arrays"):
        opened(tmp_path / "a.npy")


def test_an_hdf5_file_that_is_cut_short_is_refused_in_one_line(tmp_path):
    path = tmp_path / "cut.h5"
    with h5py.File(path, "w") as file:
        file["a"] = density(64, 64)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(LayoutError, match=r"cut\.h5: cannot be read") as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_an_hdf5_file_of_several_data_sets_asks_which(tmp_path):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b/c"] = density(8, 8), density(3, 8, 8)
    with pytest.raises(RecipeError, match=r"which data set\? it has a, b/c; name one"):
        opened(path)
    with pytest.raises(RecipeError, match="no data set d; it has a, b/c"):
        opened(path, dataset="d")
    assert len(opened(path, dataset="b/c")) == 3
