import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosmogan
from cosmogan.errors import LayoutError
from cosmogan.fields import layout as contract
from cosmogan.fields.layout import Layout, MadeBy, check, provenance

SLICES = Layout(
    dimension=2,
    grid=8,
    box_size=20.0,
    thickness=5.0,
    mass_assignment="cic",
    particles=16,
    parameter_names=("Omega_m", "redshift"),
)


@st.composite
def layouts(draw):
    dimension = draw(st.sampled_from([2, 3]))
    box_size = draw(st.floats(1e-3, 1e5))
    return Layout(
        dimension=dimension,
        grid=draw(st.integers(1, 5000)),
        box_size=box_size,
        thickness=box_size if dimension == 3 else box_size * draw(st.floats(1e-3, 1)),
        mass_assignment=draw(st.sampled_from(contract.WINDOWS)),
        particles=draw(st.integers(0, 2**20)),
        periodic=draw(st.booleans()),
        fixed=draw(st.booleans()),
        parameter_names=tuple(draw(st.lists(st.text(min_size=1), unique=True, max_size=4))),
    )


@given(layouts())
@settings(max_examples=50, deadline=None)
def test_a_layout_survives_json(layout):
    written = json.loads(json.dumps(layout.to_attributes()))
    assert Layout.from_attributes(written, layout.parameter_names) == layout


@given(layouts())
@settings(max_examples=25, deadline=None)
def test_a_layout_survives_hdf5(layout):
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        file.attrs.update(layout.to_attributes())
        assert Layout.from_attributes(file.attrs, layout.parameter_names) == layout


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"dimension": 4}, "dimension = 4 must be 2 or 3"),
        ({"grid": 0}, "grid = 0"),
        ({"box_size": -1.0}, "box_size = -1.0 must be positive"),
        ({"box_size": float("nan")}, "box_size = nan"),
        ({"box_size": float("inf")}, "box_size = inf"),
        ({"thickness": 0.0}, "thickness = 0.0"),
        ({"thickness": 21.0}, "at most the box"),
        ({"dimension": 3}, "of a cube must be its box_size"),
        ({"mass_assignment": "sic"}, "mass_assignment = 'sic' must be one of none, ngp"),
        ({"particles": -1}, "particles = -1"),
        ({"parameter_names": ("h", "h")}, "repeats a name"),
    ],
)
def test_contradictions_are_refused_by_name(change, rule):
    with pytest.raises(LayoutError, match=re.escape(rule)):
        replace(SLICES, **change)


@pytest.mark.parametrize("name", sorted(SLICES.to_attributes()))
def test_a_missing_attribute_is_named(name):
    attributes = SLICES.to_attributes()
    del attributes[name]
    with pytest.raises(LayoutError, match=name if name != "format" else "not a cosmogan-fields"):
        Layout.from_attributes(attributes)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("format", "something", "not a cosmogan-fields file; convert it"),
        ("version", 2, "format version 2, but this cosmogan reads 1; use a newer cosmogan"),
        ("version", 0, "format version 0"),
        ("quantity", "overdensity", "quantity = 'overdensity' must be 'density over mean'"),
        ("dimension", "2", "dimension = '2' must be of type int"),
        ("dimension", True, "dimension = True must be of type int"),
        ("periodic", 1, "periodic = 1 must be of type bool"),
        ("box_size", "20", "box_size = '20' must be of type float"),
        ("cell_size", 3.0, "cell_size = 3.0 does not divide box_size = 20.0"),
        ("cell_size", -2.5, "does not divide"),
        ("cell_size", 0.0, "does not divide"),
    ],
)
def test_a_wrong_attribute_is_named(name, value, rule):
    with pytest.raises(LayoutError, match=re.escape(rule)):
        Layout.from_attributes(SLICES.to_attributes() | {name: value})


def test_the_contract_of_the_docstring_names_every_attribute_and_field():
    names = {*SLICES.to_attributes(), *MadeBy().to_attributes(), *contract.ORIGIN_DTYPE.names}
    assert [n for n in names if not re.search(rf"\b{n}\b", contract.__doc__)] == []


@pytest.fixture
def good_file(tmp_path):
    """A file by h5py alone, as somebody else would write it from the docstring."""
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(SLICES.to_attributes())
        file.create_group("made_by").attrs.update(MadeBy(version="1").to_attributes())
        file["fields"] = np.ones((3, 8, 8), "f4")
        file["parameters"] = np.zeros((3, 2))
        file["parameters"].attrs["names"] = SLICES.parameter_names
        file["origin"] = np.zeros(3, contract.ORIGIN_DTYPE)
        file["checksum"] = np.zeros(3, "u4")
    return path


def test_a_file_that_keeps_the_contract_passes(good_file):
    with h5py.File(good_file) as file:
        assert check(file) == SLICES


def _replace(name, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, **options)

    return change


def _remove(name):
    return lambda file: file.pop(name)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_remove("fields"), "/fields is missing"),
        (_remove("origin"), "/origin is missing"),
        (_remove("checksum"), "/checksum is missing"),
        (_remove("made_by"), "/made_by is missing"),
        (_replace("fields", data=np.ones((3, 8, 8))), "/fields is float64, must be float32"),
        (_replace("fields", data=np.ones((3, 8, 8), ">f4")), "must be float32"),
        (
            _replace("fields", data=np.ones((3, 8, 7), "f4")),
            "has shape (3, 8, 7), must be (3, 8, 8)",
        ),
        (_replace("fields", data=np.ones((3, 8, 8, 8), "f4")), "must be (3, 8, 8)"),
        (_replace("fields", data=np.ones((0, 8, 8), "f4")), "holds no sample"),
        (_replace("fields", data=np.float32(1)), "holds no sample"),
        (_replace("fields", data=np.ones((3, 8, 8), "f4"), chunks=(1, 8, 8)), "contiguous"),
        (_replace("fields", data=np.ones((3, 8, 8), "f4"), compression="gzip"), "uncompressed"),
        (_replace("fields", shape=(3, 8, 8), dtype="f4"), "never written"),
        (_replace("origin", data=np.zeros(3)), "/origin is float64"),
        (_replace("origin", data=np.zeros(2, contract.ORIGIN_DTYPE)), "must be (3,)"),
        (_replace("checksum", data=np.zeros(3, "u8")), "/checksum is uint64"),
        (_replace("parameters", data=np.zeros((3, 2))), "names is missing"),
        (lambda f: f["parameters"].attrs.update(names=["h"]), "must be (3, 1)"),
        (lambda f: f.attrs.update(dimension=3, thickness=20.0), "must be (3, 8, 8, 8)"),
    ],
)
def test_a_file_that_breaks_a_rule_is_told_which(good_file, change, rule):
    with h5py.File(good_file, "r+") as file:
        change(file)
    with h5py.File(good_file) as file, pytest.raises(LayoutError, match=re.escape(rule)):
        check(file)


def test_provenance_says_what_when_and_by_which_code(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    made = provenance("simulate tiny", "name = 'tiny'")
    assert made.time == "1970-01-02T00:00:00Z"
    assert (made.code, made.version) == ("cosmogan", cosmogan.__version__)
    assert (made.command, made.recipe) == ("simulate tiny", "name = 'tiny'")
    assert MadeBy.from_attributes(made.to_attributes()) == made


def test_the_time_is_now_without_source_date_epoch():
    made = provenance("test").time
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", made)


def test_a_checkout_names_its_commit_and_an_installed_package_none(monkeypatch, tmp_path):
    monkeypatch.setattr(contract, "__file__", str(tmp_path / "cosmogan" / "fields" / "layout.py"))
    contract._commit.cache_clear()
    try:
        assert provenance("test").commit == ""
        _git(tmp_path, "init", "-q")
        contract._commit.cache_clear()
        assert provenance("test").commit == ""  # a repository without commits
        _git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
        contract._commit.cache_clear()
        assert re.fullmatch(r"[0-9a-f]{12}", provenance("test").commit)
    finally:
        contract._commit.cache_clear()


def _git(folder, *words):
    import subprocess

    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)
