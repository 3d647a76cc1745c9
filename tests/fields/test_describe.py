import re

import numpy as np
import pytest

from cosmogan.errors import LayoutError, RecipeError
from cosmogan.fields.describe import describe, plot_sample
from cosmogan.fields.store import open_fields


def entries(text):
    """Return the lines of a description by name."""
    found, name = {}, ""
    for line in text.splitlines()[1:]:
        name = line[2:15].strip() or name
        found.setdefault(name, []).append(line[15:])
    return {name: "\n".join(lines) for name, lines in found.items()}


def test_a_description_agrees_with_the_data(universe):
    said = entries(describe(universe.path))
    assert said["holds"].startswith("12 slices of 8 x 8 cells, float32, in 3 files")
    assert said["geometry"] == "16 Mpc/h a side, 4 Mpc/h thick, cells of 2 Mpc/h, periodic"
    assert said["particles"] == "8^3 particles, painted with CIC"
    assert said["simulations"] == "3 independent, cut along axes 0 into 4 slabs"
    assert re.fullmatch(r"Omega_m +0\.3\nredshift +0 to 3, 4 values", said["parameters"])
    made_by = universe.made_by
    commit = f" ({made_by.commit})" if made_by.commit else ""  # none where there is no checkout
    assert said["made by"] == f"cosmogan {made_by.version}{commit}, now: test"
    assert said["recipe"] == "attribute recipe of /made_by, lines: 1"
    mean, low, high = map(float, re.findall(r"[\d.]+", said["density"])[:3])
    everything = universe[:]
    assert mean == pytest.approx(everything.mean(dtype=np.float64), abs=1e-4)  # printed digits
    assert low == pytest.approx(everything.min(), rel=1e-2)
    assert high == pytest.approx(everything.max(), rel=1e-3)


def test_cubes_without_cosmic_variance_say_so(tmp_path, make_universe):
    cubes = make_universe(tmp_path / "c.fields", dimension=3, thickness=16.0, rows=1, fixed=True)
    said = entries(describe(cubes.path))
    assert said["holds"].startswith("3 cubes of 8 x 8 x 8 cells")
    assert "thick" not in said["geometry"]
    assert "no cosmic variance" in said["particles"]


def test_one_file_is_described_too(universe):
    shard = universe.shard_path(1)
    assert "4 slices of 8 x 8 cells, float32, in 1 file," in describe(shard)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(LayoutError, match=r"nothing\.h5: no such data set"):
        describe(tmp_path / "nothing.h5")


def test_an_altered_sample_is_not_described_as_good(fields_folder):
    file = fields_folder / "shard-00000.h5"
    content = bytearray(file.read_bytes())
    content[open_fields(file)._offsets[0]] ^= 1
    file.write_bytes(content)
    with pytest.raises(LayoutError, match="sample 0: checksum differs"):
        describe(fields_folder)


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_sample_is_drawn(universe, tmp_path, suffix):
    out = tmp_path / f"sample.{suffix}"
    plot_sample(universe.path, -1, out)
    assert out.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


def test_a_picture_shows_the_first_axis_along_x(tmp_path, make_universe, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    draw = Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda axes, image, **o: drawn.append((image, o)) or draw(axes, image, **o)
    )
    cubes = make_universe(tmp_path / "c.fields", dimension=3, thickness=16.0, rows=1)
    plot_sample(cubes.path, 2, tmp_path / "c.png")
    image, options = drawn[0]
    assert options["origin"] == "lower"
    expected = cubes[2].mean(axis=2, dtype=np.float64).T  # a cube is seen along its third axis
    np.testing.assert_allclose(10**image, expected)


@pytest.mark.parametrize(
    ("index", "name", "rule"), [(12, "a.png", "no sample 12"), (0, "a.xyz", "no such kind")]
)
def test_an_impossible_picture_is_refused(universe, tmp_path, index, name, rule):
    with pytest.raises(RecipeError, match=rule):
        plot_sample(universe.path, index, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
