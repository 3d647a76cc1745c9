"""Boxes on disk are those that would be made, or they are refused."""

import numpy as np
import pytest

from cosmogan.errors import CheckpointError
from cosmogan.models.displaced import LptLatent

RADII = (0.5, 2.0)
EPOCHS = ((0.3, 0.0), (0.3, 1.0))


@pytest.fixture
def theory(make_theory):
    return make_theory(EPOCHS)


def kept(theory, folder, **options):
    return LptLatent(theory, 8, **({"neighbours": 1, "carried": RADII} | options), kept=folder)


def test_kept_boxes_give_the_views_that_fresh_ones_give(theory, tmp_path, monkeypatch):
    fresh = LptLatent(theory, 8, 1, RADII)
    origin, rows = fresh.origins(3, range(20)), [0, 1] * 10
    expected = fresh.views(origin, rows)
    writer = kept(theory, tmp_path)
    for seed in set(origin["seed"].tolist()):
        for row in (0, 1):
            writer.keep(seed, row)
    reader = kept(theory, tmp_path)
    monkeypatch.setattr(reader, "_made", None)
    np.testing.assert_array_equal(reader.views(origin, rows), expected)


def test_a_box_is_written_once(theory, tmp_path):
    latent = kept(theory, tmp_path)
    latent.keep(5, 0)
    (path,) = tmp_path.rglob("*.safetensors")
    before = path.stat().st_mtime_ns, path.stat().st_ino
    kept(theory, tmp_path).keep(5, 0)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_damaged_box_is_refused(theory, tmp_path):
    latent = kept(theory, tmp_path)
    origin = latent.origins(3, [0])
    latent.keep(int(origin["seed"][0]), 0)
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match="missing or damaged; `cosmogan train` makes it again"
    ):
        kept(theory, tmp_path).views(origin, [0])
    kept(theory, tmp_path).keep(int(origin["seed"][0]), 0)
    expected = LptLatent(theory, 8, 1, RADII).views(origin, [0])
    np.testing.assert_array_equal(kept(theory, tmp_path).views(origin, [0]), expected)


@pytest.mark.parametrize(
    "changes",
    [{"carried": (0.5,)}, {"displacement": "2lpt"}, {"theory": ((0.31, 0.0),)}, {"grid": 16}],
)
def test_boxes_of_another_training_are_not_taken(theory, make_theory, tmp_path, changes):
    kept(theory, tmp_path).keep(5, 0)
    given = {"theory": EPOCHS, "grid": 8, "carried": RADII} | changes
    other = LptLatent(make_theory(given.pop("theory")), given.pop("grid"), **given, kept=tmp_path)
    assert (5, 0) in kept(theory, tmp_path).kept
    assert (5, 0) not in other.kept


def test_neighbours_are_cut_from_the_same_boxes(theory, tmp_path):
    kept(theory, tmp_path).keep(5, 0)
    assert (5, 0) in kept(theory, tmp_path, neighbours=2).kept
