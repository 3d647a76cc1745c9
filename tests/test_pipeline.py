import contextlib
import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import cosmogan
from cosmogan import budget, cli, pipeline
from cosmogan.errors import RecipeError, ResourceError, Stopped
from cosmogan.recipe import Recipe, read

TINY = read("tiny")


class Stages:
    """Stand-ins that leave the files of the stages and remember who worked."""

    def __init__(self):
        self.worked = []
        self.broken = None

    def work(self, name, leaves, progress):
        self.worked.append(name)
        if name == self.broken:
            raise Stopped("stopped")
        for path in leaves:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        progress(1, 1)


@pytest.fixture
def stand_ins(monkeypatch):
    found, real = Stages(), pipeline.stages

    def stages(recipe, folder):
        for stage in real(recipe, folder):
            yield replace(stage, work=partial(found.work, stage.name, stage.leaves))

    monkeypatch.setattr(pipeline, "stages", lambda *a: list(stages(*a)))
    monkeypatch.setattr(pipeline, "ray_cluster", contextlib.nullcontext)
    return found


def test_a_run_goes_through_all_stages_once(stand_ins, tmp_path):
    pipeline.run(TINY, tmp_path / "run")
    assert stand_ins.worked == list(pipeline.STAGES)
    assert list(json.loads((tmp_path / "run/timings.json").read_text())) == list(pipeline.STAGES)
    assert read(tmp_path / "run/recipe.toml") == TINY
    pipeline.run(TINY, tmp_path / "run")
    assert stand_ins.worked == list(pipeline.STAGES)


@pytest.mark.parametrize("broken", pipeline.STAGES)
def test_a_run_that_was_cut_off_goes_on_where_it_was(stand_ins, tmp_path, broken):
    stand_ins.broken = broken
    with pytest.raises(Stopped):
        pipeline.run(TINY, tmp_path)
    stand_ins.broken = None
    pipeline.run(TINY, tmp_path)
    assert sorted(stand_ins.worked) == sorted([*pipeline.STAGES, broken])
    starts = {
        k: v["starts"] for k, v in json.loads((tmp_path / "timings.json").read_text()).items()
    }
    assert starts == {stage: 1 + (stage == broken) for stage in pipeline.STAGES}


def test_what_follows_a_stage_that_works_again_is_asked_again(stand_ins, tmp_path):
    pipeline.run(TINY, tmp_path)
    (tmp_path / "lognormal.fields/manifest.json").unlink()
    pipeline.run(TINY, tmp_path)
    assert stand_ins.worked[len(pipeline.STAGES) :] == [
        "lognormal",
        "counterparts",
        "lpt",
        "measure",
        "compare",
    ]


def test_a_stage_alone_leaves_the_others(stand_ins, tmp_path):
    pipeline.run(TINY, tmp_path, only=["simulate"])
    assert stand_ins.worked == ["simulate"]


def test_another_recipe_is_refused_by_the_key_that_differs(stand_ins, tmp_path):
    pipeline.run(TINY, tmp_path)
    other = TINY.model_dump()
    other["train"] |= {"images": 481}
    with pytest.raises(RecipeError, match=r"train\.images = 480 there, 481 here"):
        pipeline.run(Recipe.model_validate(other), tmp_path)


def test_too_little_disk_is_refused_before_the_work(stand_ins, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(ResourceError, match=r"the disk has 1 kB free; make room"):
        pipeline.run(TINY, tmp_path)
    assert stand_ins.worked == []


def test_networks_that_cannot_halve_the_grid_are_refused_before_the_work(stand_ins, tmp_path):
    odd = TINY.model_copy(update={"simulate": TINY.simulate.model_copy(update={"grid": 20})})
    with pytest.raises(RecipeError, match=r"discriminator_widths: 3 levels .* divisible by 8"):
        pipeline.run(odd, tmp_path)
    assert stand_ins.worked == []
    pipeline.run(odd, tmp_path, only=["simulate"])
    deep = odd.model_copy(
        update={
            "train": TINY.train.model_copy(
                update={"generator_widths": (8,) * 4, "discriminator_widths": (8, 8)}
            )
        }
    )
    with pytest.raises(RecipeError, match=r"generator_widths: 4 levels halve .* 3 times"):
        pipeline.run(deep, tmp_path)


@pytest.mark.parametrize(
    ("stage", "path"),
    [("simulate", "train.fields/shard.h5"), ("train", "run/boxes/0ab/1-0.safetensors")],
)
def test_what_lies_there_already_needs_no_room_again(tmp_path, stage, path):
    def left():
        (found,) = (s for s in pipeline.stages(TINY, tmp_path) if s.name == stage)
        return pipeline._left(found)

    before = left()
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(bytes(100_000))
    assert left() == before - 100_000


def test_the_plan_says_what_is_complete_and_what_it_takes(stand_ins, tmp_path):
    first = pipeline.plan(TINY, tmp_path / "run")
    assert first.count("about") == len(pipeline.STAGES) + 1
    assert "10 boxes of 32^3 particles in 100 Mpc/h: 480 fields" in first
    assert not (tmp_path / "run").exists()
    pipeline.run(TINY, tmp_path / "run", only=["simulate"])
    assert pipeline.plan(TINY, tmp_path / "run").count("complete") == 1
    pipeline.run(TINY, tmp_path / "run")
    assert pipeline.plan(TINY, tmp_path / "run").endswith("nothing left to do")


def test_signals_are_left_to_the_main_thread():
    from concurrent.futures import ThreadPoolExecutor

    def enter():
        with pipeline.stoppable():
            return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result()


@pytest.fixture(scope="module")
def finished(ray_session, tmp_path_factory):
    """Return a very small recipe and the folder of its run."""
    small = TINY.model_dump()
    small["simulate"] |= {"particles": 16, "mesh": 16, "grid": 16, "steps": 3, "box_size": 50.0}
    small["train"] |= {"images": 64, "validate_every": 32, "generator_widths": (8, 8)}
    small["emulate"] |= {"count": 12}
    recipe, folder = Recipe.model_validate(small), tmp_path_factory.mktemp("small") / "run"
    return recipe, pipeline.run(recipe, folder)


@pytest.mark.cluster
def test_from_nothing_to_a_verdict(finished):
    recipe, folder = finished
    truth, made = (cosmogan.open(folder / f"{name}.fields") for name in ("test", "emulated"))
    assert truth.layout.box_size == made.layout.box_size == recipe.simulate.box_size
    assert len(made) == recipe.emulate.count
    assert truth[:].mean() == pytest.approx(1, abs=1e-5), "all slices of whole boxes: mass is kept"
    again = cosmogan.load(folder).sample(count=2, seed=recipe.emulate.seed)
    assert np.array_equal(again.fields, made[:2])
    assert "<html" in (folder / "report.html").read_text()[:500]
    assert str(folder / "report.html") in pipeline.closing(folder)


@pytest.mark.cluster
def test_a_run_makes_what_its_plan_said(finished):
    recipe, folder = finished
    planned = budget.simulated_fields(recipe) | budget.emulated_fields(recipe)
    assert {name: len(cosmogan.open(folder / f"{name}.fields")) for name in planned} == planned
    costs = budget.estimate(recipe)
    for name, paths in {
        "measure": folder.glob("statistics/*"),
        "compare": folder.glob("*.*"),
    }.items():
        size = sum(path.stat().st_size for path in paths if path.is_file())
        assert size < 2 * costs[name].bytes + 3e5, "small files are mostly heads"


def test_a_latent_without_initial_conditions_has_no_pairs(tmp_path):
    bare = TINY.model_dump() | {"train": {"latent": "gaussian"}}
    names = [stage.name for stage in pipeline.stages(Recipe.model_validate(bare), tmp_path)]
    assert names == [name for name in pipeline.STAGES if name not in budget.FROM_TEST]
    none = TINY.model_dump()
    none["emulate"] |= {"draws": 0}
    assert budget.emulated_fields(Recipe.model_validate(none)) == dict.fromkeys(
        budget.EMULATED, 192
    )


@pytest.mark.cluster
def test_a_finished_run_does_nothing_twice(finished):
    def snapshot():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    recipe, folder = finished
    before = snapshot()
    pipeline.run(recipe, folder)
    assert snapshot() == before


@pytest.mark.cluster
def test_what_was_lost_is_made_again_to_the_same_verdict(finished, tmp_path):
    recipe, folder = finished
    copy = shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(copy / "statistics")
    (copy / "emulated.fields/manifest.json").unlink()
    (copy / "emulated.fields/shard-00000.h5").unlink()
    pipeline.run(recipe, copy)
    verdicts = [json.loads((at / "verdict.json").read_text()) for at in (folder, copy)]
    assert verdicts[0]["candidates"] == verdicts[1]["candidates"]


@pytest.mark.cluster
def test_the_commands_work_on_what_a_run_left(finished, tmp_path, capsys):
    _, folder = finished
    new, picture = tmp_path / "new.fields", tmp_path / "slice.png"
    truth, paired, lpt = folder / "test.fields", tmp_path / "paired.fields", tmp_path / "lpt.fields"
    for words in (
        ["emulate", folder, "--count", "5", "--seed", "7", "-o", new, "--workers", "1"],
        ["measure", new],
        ["compare", new, truth, "-o", tmp_path / "verdict"],
        ["emulate", folder, "--like", truth, "--seed", "7", "-o", paired, "--workers", "1"],
        ["emulate", folder, "--like", truth, "--kind", "lpt", "-o", lpt, "--workers", "1"],
        ["measure", paired],
        ["compare", new, truth, "--counterparts", paired, "--lpt", lpt, "-o", tmp_path / "pairs"],
        ["inspect", new, "--verify", "--plot", picture],
    ):
        assert cli.main([str(word) for word in words]) == 0, capsys.readouterr().err
    alone = ["compare", new, truth, "--lpt", lpt, "-o", tmp_path / "alone"]
    assert cli.main([str(word) for word in alone]) == 2
    assert not (tmp_path / "alone").exists()
    said = capsys.readouterr()
    out = said.out
    assert "the rival of counterparts, and there are none" in said.err
    assert "5 slices of 16 x 16 cells" in out
    assert str(tmp_path / "verdict/report.html") in out
    assert picture.stat().st_size > 0
    pairs = json.loads((tmp_path / "pairs/verdict.json").read_text())["pairs"]
    assert pairs["fields"] == len(cosmogan.open(truth))
    assert pairs["draws"] == 1
    made = cosmogan.open(folder / "emulated.fields")
    assert np.array_equal(cosmogan.open(new)[:], made[:5]), "field k does not depend on the count"


@pytest.mark.cluster
def test_statistics_of_other_data_are_not_compared(finished, tmp_path, capsys):
    _, folder = finished
    shutil.copytree(folder / "lognormal.fields", tmp_path / "emulated.fields")
    (tmp_path / "statistics").mkdir()
    shutil.copy(folder / "statistics/emulated.stats.h5", tmp_path / "statistics")
    words = ["compare", tmp_path / "emulated.fields", folder / "test.fields"]
    assert cli.main([*map(str, words), "-o", str(tmp_path / "verdict")]) == 2
    assert "statistics of other data" in capsys.readouterr().err
    assert not (tmp_path / "verdict").exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"points": {"ranges": {"h": (0.6, 0.7)}}}, "points: "),
        ({"simulate": {"redshifts": (0.0, 1.0)}}, r"simulate\.redshifts: "),
    ],
)
def test_no_run_begins_that_could_not_be_judged(tmp_path, change, key):
    for missing in ({"train": {"latent": "gaussian"}}, {"emulate": {"draws": 0}}):
        recipe = Recipe.model_validate({"name": "many"} | change | missing)
        with pytest.raises(
            RecipeError, match=key + r".*train.latent = 'lpt' and emulate.draws >= 1"
        ):
            pipeline.run(recipe, tmp_path / "many")
        assert not (tmp_path / "many").exists()


@pytest.mark.cluster
def test_many_universes_are_judged_each_by_itself(ray_session, tmp_path):
    small = TINY.model_dump()
    small["simulate"] |= {"particles": 16, "mesh": 16, "grid": 16, "steps": 3, "box_size": 50.0}
    small["simulate"] |= {"thickness": 4, "redshifts": (1.0, 0.0)}
    small["simulate"] |= {"boxes": {"train": 1, "validation": 1, "test": 2}}
    small["train"] |= {"images": 32, "validate_every": 32, "generator_widths": (8, 8)}
    small["train"] |= {"predictor_images": 32, "neighbours": 1}
    small["emulate"] |= {"draws": 1}
    ranges = {"Omega_m": (0.2, 0.4), "sigma_8": (0.6, 1.0)}
    small |= {"points": {"ranges": ranges, "train": 4, "validation": 2, "test": 2}}
    recipe, folder = Recipe.model_validate(small), tmp_path / "run"
    names = [stage.name for stage in pipeline.stages(recipe, folder)]
    assert names == ["simulate", "train", "counterparts", "lpt", "measure", "compare"]
    pipeline.run(recipe, folder)
    planned = budget.simulated_fields(recipe) | budget.emulated_fields(recipe)
    assert {name: len(cosmogan.open(folder / f"{name}.fields")) for name in planned} == planned
    truth, made = (cosmogan.open(folder / f"{name}.fields") for name in ("test", "counterparts"))
    np.testing.assert_array_equal(made.parameters, truth.parameters)
    np.testing.assert_array_equal(made.origin, truth.origin)
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["names"] == ["Omega_m", "sigma_8", "redshift"]
    assert len(verdict["each"]) == 4
    assert {universe["simulations"] for universe in verdict["each"]} == {2}
    assert all(universe["theory"] for universe in verdict["each"])
    assert "of 4 held-out universes" in pipeline.closing(folder)


def test_a_recipe_that_lost_its_points_is_another_recipe(tmp_path):
    plain = Recipe(name="many")
    many = Recipe(name="many", points={"ranges": {"h": (0.6, 0.7)}})
    for first, second in ((plain, many), (many, plain)):
        folder = tmp_path / str(first.points is None)
        pipeline.claim(first, folder)
        pipeline.claim(first, folder)
        with pytest.raises(RecipeError, match=r"made by another recipe .*points"):
            pipeline.claim(second, folder)
