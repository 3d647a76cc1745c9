import re
import shutil

import numpy as np
import pytest

from cosmogan.cosmology import Cosmology, PowerTable, linear_power
from cosmogan.errors import LayoutError, RecipeError, ResourceError
from cosmogan.fields.store import check_split, open_fields
from cosmogan.mesh import paint
from cosmogan.recipe import Recipe, write
from cosmogan.simulate import run
from cosmogan.simulate.evolution import Evolution, Snapshot, evolve

K = np.geomspace(1e-3, 1e2, 50)
POWER = PowerTable(K, 2e4 * K / (1 + (K / 0.02) ** 2) ** 1.3)  # the shape of CAMB's, in no time


def recipe_of(*, boxes=(2, 1, 1), seed=3, **simulate):
    small = {"box_size": 50.0, "particles": 8, "mesh": 8, "steps": 4, "grid": 8, "thickness": 2}
    counts = dict(zip(run.SPLITS, boxes, strict=True))
    table = small | {"redshifts": (1.0, 0.0)} | simulate | {"boxes": counts}
    return Recipe(name="test", seed=seed, simulate=table)


@pytest.fixture(autouse=True)
def _quick_power(monkeypatch):
    monkeypatch.setattr(run, "linear_power", lambda _cosmology: POWER)


@pytest.fixture(scope="module")
def made(tmp_path_factory, ray_session):
    """A folder that `simulate` filled; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "linear_power", lambda _cosmology: POWER)
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        run.simulate(recipe_of(), folder)
    return folder


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Who is simulated


def test_seeds_of_a_split_do_not_depend_on_the_size_of_another():
    few, many = recipe_of(boxes=(2, 1, 1)), recipe_of(boxes=(50, 7, 1))
    assert run.boxes(few, "test", "x") == run.boxes(many, "test", "x")
    assert run.boxes(many, "train", "x")[:2] == run.boxes(few, "train", "x")


def test_seeds_are_those_of_the_recipe_and_differ():
    recipe = recipe_of(boxes=(3, 2, 2), seed=3)
    seeds = [box.seed for split in run.SPLITS for box in run.boxes(recipe, split, "x")]
    first = 3 * 2**32
    assert seeds[:3] == [first, first + 1, first + 2]
    assert seeds[3] == first + 10_000_000
    assert seeds[5] == first + 20_000_000
    other = [b.seed for b in run.boxes(recipe_of(boxes=(3, 2, 2), seed=4), "train", "x")]
    assert len({*seeds, *other}) == len(seeds) + len(other)


def test_a_pair_is_one_simulation_with_phases_turned_once():
    boxes = run.boxes(recipe_of(boxes=(4, 2, 2), initial_conditions="paired"), "train", "x")
    first = boxes[0].seed
    assert [box.seed - first for box in boxes] == [0, 0, 1, 1]
    assert [box.paired for box in boxes] == [False, True, False, True]
    assert all(box.fixed for box in boxes)


def test_fixed_boxes_are_marked_and_gaussian_ones_are_not():
    assert run.layout(recipe_of(initial_conditions="fixed")).fixed
    assert not run.layout(recipe_of()).fixed
    assert not any(box.fixed or box.paired for box in run.boxes(recipe_of(), "train", "x"))


# How a box is cut


@pytest.fixture
def snapshot():
    positions = np.random.default_rng(0).uniform(0, 50, (2000, 3)).astype("f4")
    return Snapshot(0.0, positions, np.zeros_like(positions))


def test_slices_conserve_mass_and_add_up_to_the_projection(snapshot):
    cut = run.Cut(dimension=2, grid=8, thickness=2, window="tsc")
    fields, origin = run.cut_fields(snapshot, 50.0, cut)
    density = paint(snapshot.positions, (8, 8, 8), 50.0, "tsc")
    assert fields.dtype == np.float32
    for axis in range(3):
        slabs = fields[origin["axis"] == axis].astype("f8")
        assert slabs.mean() == pytest.approx(1, abs=1e-6)  # float32 sums
        np.testing.assert_allclose(slabs.mean(axis=0), density.mean(axis=axis), rtol=1e-5)


def test_slices_are_ordered_by_axis_and_slab(snapshot):
    cut = run.Cut(dimension=2, grid=8, thickness=2, window="cic")
    fields, origin = run.cut_fields(snapshot, 50.0, cut)
    assert origin["axis"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert origin["slab"].tolist() == [0, 1, 2, 3] * 3
    density = paint(snapshot.positions, (8, 8, 8), 50.0, "cic")
    np.testing.assert_allclose(fields[1], density[2:4].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fields[6], density[:, 4:6].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(fields[11], density[..., 6:8].mean(axis=2), rtol=1e-6)


def test_a_cube_is_the_whole_box(snapshot):
    cut = run.Cut(dimension=3, grid=8, thickness=2, window="cic")
    fields, origin = run.cut_fields(snapshot, 50.0, cut)
    np.testing.assert_array_equal(fields[0], paint(snapshot.positions, (8, 8, 8), 50.0, "cic"))
    assert (len(fields), origin["axis"].tolist(), origin["slab"].tolist()) == (1, [-1], [-1])


# What is left on disk


@pytest.mark.cluster
def test_fields_are_those_of_the_code_called_by_hand(made):
    recipe = recipe_of()
    train = open_fields(made / "train.fields")
    settings = Evolution(
        box_size=50.0, particles=8, mesh=8, steps=4, start_redshift=19.0, redshifts=(1.0, 0.0)
    )
    box = run.boxes(recipe, "train", "x")[1]
    rows = train.origin["simulation"] == box.seed
    expected = [
        paint(snapshot.positions, (8, 8, 8), 50.0, "cic")
        for snapshot in evolve(Cosmology(), box.seed, settings, POWER)
    ]
    found = train[rows].reshape(2, 3, 4, 8, 8)  # redshift, axis, slab
    for density, slices in zip(expected, found, strict=True):
        np.testing.assert_allclose(
            slices[2], np.moveaxis(density.reshape(8, 8, 4, 2).mean(axis=3), 2, 0), rtol=1e-6
        )
    redshifts = train.parameters[rows, train.layout.parameter_names.index("redshift")]
    assert redshifts.tolist() == [1.0] * 12 + [0.0] * 12


@pytest.mark.cluster
def test_the_data_sets_say_what_they_are_and_how_to_make_them_again(made):
    sets = {split: open_fields(made / f"{split}.fields") for split in run.SPLITS}
    check_split(**sets)
    for split, fields in sets.items():
        fields.verify()
        boxes = run.boxes(recipe_of(), split, "x")
        assert fields.simulations.tolist() == [box.seed for box in boxes]
        assert (fields.origin["seed"] == fields.origin["simulation"]).all()
        assert fields.layout == run.layout(recipe_of())
        assert fields.layout.thickness == 2 * fields.layout.cell_size
        assert fields.made_by.recipe == write(recipe_of())
        assert len(fields) == 24 * len(boxes)
        np.testing.assert_allclose(fields[:].mean(dtype="f8"), 1, atol=1e-6)
        names = fields.layout.parameter_names
        assert dict(zip(names[:5], fields.parameters[0], strict=False)) == Cosmology().parameters()
    assert not np.array_equal(sets["train"][0], sets["train"][24])


@pytest.mark.cluster
def test_a_second_call_finds_all_done_and_needs_no_cluster(made, tmp_path, monkeypatch):
    before, seen = files(made), []
    monkeypatch.setattr(run, "ray_cluster", None)
    sets = run.simulate(recipe_of(), made, progress=lambda *p: seen.append(p))
    assert files(made) == before
    assert seen == [(4, 4)]
    assert list(sets) == list(run.SPLITS)


@pytest.mark.cluster
def test_what_was_cut_off_continues_to_the_same_bytes(made, tmp_path, monkeypatch):
    folder, seen = tmp_path / "cut", []
    shutil.copytree(made, folder)
    for name in ("train.fields/shard-00000.h5", "train.fields/manifest.json"):
        (folder / name).unlink()
    (folder / "validation.fields/shard-00000.h5").unlink()  # with its manifest: somebody lost it
    shutil.rmtree(folder / "test.fields")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    run.simulate(recipe_of(), folder, workers=1, progress=lambda *p: seen.append(p))
    assert files(folder) == files(made)
    assert seen[0] == (1, 4)
    assert seen[-1] == (4, 4)


@pytest.mark.cluster
def test_cubes_and_pairs_are_made_too(tmp_path, ray_session):
    recipe = recipe_of(
        boxes=(2, 2, 2), dimension=3, initial_conditions="paired", redshifts=(0.0,), window="pcs"
    )
    sets = run.simulate(recipe, tmp_path, splits=("train",))
    train = sets["train"]
    assert list(sets) == ["train"]
    assert train.layout.dimension == 3
    assert train.layout.thickness == 50.0
    assert train.layout.mass_assignment == "pcs"
    assert len(train.simulations) == 1
    assert train.origin["fixed"].all()
    # Phases turned: where one box is dense the other is empty, in the linear regime and beyond.
    assert np.corrcoef(train[0].ravel(), train[1].ravel())[0, 1] < -0.1


def test_another_recipe_is_refused_before_any_work(made, monkeypatch):
    before = files(made)
    monkeypatch.setattr(run, "scatter", None)
    for other in (recipe_of(seed=4), recipe_of(boxes=(3, 1, 1)), recipe_of(steps=5)):
        with pytest.raises(RecipeError, match=r"train\.fields exists from another recipe"):
            run.simulate(other, made)
    assert files(made) == before


def test_other_tables_of_the_recipe_do_not_matter(made):
    other = recipe_of().model_copy(update={"name": "renamed", "train": {"images": 1}})
    assert run._identity(other, "train") == run._identity(recipe_of(), "train")
    more = recipe_of(boxes=(2, 9, 9))
    assert run._identity(more, "train") == run._identity(recipe_of(), "train")


def test_too_little_disk_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "scatter", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(ResourceError, match=r"train\.fields: needs .* GB, but 0 GB are free"):
        run.simulate(recipe_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cluster
def test_a_damaged_shard_is_named_and_not_blessed(made, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(made, folder)
    (folder / "train.fields/shard-00001.h5").write_bytes(b"nothing")
    with pytest.raises(LayoutError, match=re.escape("train.fields/shard-00001.h5: 7 bytes, must")):
        run.simulate(recipe_of(), folder)


@pytest.mark.cluster
def test_an_error_in_a_worker_is_raised_here_as_itself(tmp_path, ray_session, monkeypatch):
    monkeypatch.setattr(run, "_compile", lambda *_: None)
    negative = PowerTable(POWER.k, -POWER.power)
    monkeypatch.setattr(run, "linear_power", lambda _: negative)
    with pytest.raises(RecipeError, match=r"^power: negative"):
        run.simulate(recipe_of(), tmp_path)
    assert list(tmp_path.rglob("*.h5")) == []


@pytest.mark.cluster
def test_every_box_is_of_its_own_universe(tmp_path, ray_session, monkeypatch):
    monkeypatch.setattr(run, "linear_power", linear_power)
    base = recipe_of(boxes=(2, 1, 1), redshifts=(1.0, 0.0))
    points = {"ranges": {"sigma_8": (0.5, 1.5)}, "train": 3, "validation": 1, "test": 1}
    recipe = Recipe.model_validate(base.model_dump() | {"points": points})
    train = run.simulate(recipe, tmp_path)["train"]
    names = train.layout.parameter_names
    for box in run.boxes(recipe, "train", "x"):
        rows = train.origin["simulation"] == box.seed
        for name, value in box.cosmology.parameters().items():
            assert set(train.parameters[rows, names.index(name)]) == {value}
    sigma = train.parameters[:, names.index("sigma_8")]
    late = train.parameters[:, names.index("redshift")] == 0
    contrast = [train[np.flatnonzero(late & (sigma == s))].std() for s in np.unique(sigma)]
    assert len(contrast) == 3
    assert (np.diff(contrast) > 0).all(), "the same power, more of it"


@pytest.mark.cluster
def test_held_out_boxes_may_be_of_redshifts_in_between(tmp_path, ray_session):
    recipe = recipe_of(steps=8, test_redshifts=(0.75, 0.25, 0.0))
    sets = run.simulate(recipe, tmp_path)
    at = {
        split: of.parameters[:, of.layout.parameter_names.index("redshift")].tolist()
        for split, of in sets.items()
    }
    assert at["test"] == [0.75] * 12 + [0.25] * 12 + [0.0] * 12
    assert at["train"] == 2 * ([1.0] * 12 + [0.0] * 12)


@pytest.mark.cluster
def test_boxes_of_all_sides_take_the_same_steps(tmp_path, ray_session):
    """Else P would differ by what the steps do, and not the network."""
    recipe = recipe_of(steps=8, test_redshifts=(0.5, 0.0))
    sets = run.simulate(recipe, tmp_path)
    settings = run._evolution(recipe)
    assert settings.redshifts == (1.0, 0.0, 0.5)
    for split, of in sets.items():
        (box, *_) = run.boxes(recipe, split, "x")
        for snapshot in evolve(Cosmology(), box.seed, settings, POWER):
            rows = of.origin["simulation"] == box.seed
            rows &= (
                of.parameters[:, of.layout.parameter_names.index("redshift")] == snapshot.redshift
            )
            assert rows.any() == (snapshot.redshift in box.redshifts)
            if rows.any():
                density = paint(snapshot.positions, (8, 8, 8), 50.0, "cic")
                slices = of[rows].reshape(3, 4, 8, 8)[2]
                expected = np.moveaxis(density.reshape(8, 8, 4, 2).mean(axis=3), 2, 0)
                np.testing.assert_allclose(slices, expected, rtol=1e-6)


def test_other_steps_are_other_data_on_every_side():
    alone, between = recipe_of(steps=8), recipe_of(steps=8, test_redshifts=(0.5, 0.0))
    for split in run.SPLITS:
        assert run._identity(between, split) != run._identity(alone, split)


def test_another_number_of_points_is_another_data_set_and_those_of_other_sides_are_not():
    def identity(split, **points):
        made = {"ranges": {"h": (0.6, 0.7)}, "train": 4, "validation": 2, "test": 2} | points
        recipe = Recipe.model_validate(recipe_of().model_dump() | {"points": made})
        return run._identity(recipe, split)

    assert identity("train") != run._identity(recipe_of(), "train")
    assert identity("train", train=8) != identity("train")
    assert identity("train", test=8) == identity("train")
    assert identity("train", ranges={"h": (0.6, 0.8)}) != identity("train")
