"""Training through Ray Train, on a universe of 16 x 16 cells."""

import contextlib
import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosmogan.cosmology import Cosmology, linear_power
from cosmogan.errors import (
    CheckpointError,
    LayoutError,
    RecipeError,
    ResourceError,
    SplitError,
    Stopped,
    TrainingError,
)
from cosmogan.fields import store
from cosmogan.fields.dataset import read_head
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.models import checkpoint
from cosmogan.models.displaced import LptLatent
from cosmogan.models.latent import LatentShape
from cosmogan.recipe import Recipe
from cosmogan.train import run
from cosmogan.train.data import rows_of
from cosmogan.train.material import Material
from cosmogan.train.place import Place
from cosmogan.train.run import crew, displace, gather, identity, theory_of, train
from cosmogan.train.worker import begin

pytestmark = pytest.mark.cluster

NAMES = ("Omega_m", "Omega_b", "h", "n_s", "sigma_8", "redshift")
PLANCK = (0.31, 0.049, 0.68, 0.965, 0.81, 0.0)


def recipe(**changes):
    table = {
        "latent": "gaussian",
        "images": 32,
        "batch": 4,
        "validate_every": 16,
        "generator_widths": (4, 4),
        "discriminator_widths": (4, 4),
        "workers": 1,
    }
    return Recipe(name="tiny", train=table | changes)


def write_side(path, *, first, boxes=3, rows=6, fixed=False, parameters=PLANCK):
    layout = Layout(
        dimension=2,
        grid=16,
        box_size=64.0,
        thickness=4.0,
        mass_assignment="cic",
        particles=16**3,
        parameter_names=NAMES,
        fixed=fixed,
    )
    store.create_folder(path, layout, provenance("test"), boxes, identity="test")
    for shard in range(boxes):
        random = np.random.default_rng([first, shard])
        fields = np.exp(0.8 * random.standard_normal((rows, 16, 16)) - 0.32)
        origin = np.zeros(rows, ORIGIN_DTYPE)
        origin["simulation"] = origin["seed"] = first + shard
        origin["fixed"] = fixed
        store.write_shard(path, shard, fields, np.tile(parameters, (rows, 1)), origin)
    return store.finish_folder(path)


@pytest.fixture
def folder(tmp_path):
    write_side(tmp_path / "train.fields", first=0)
    write_side(tmp_path / "validation.fields", first=100)
    return tmp_path


def lines(folder):
    return [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]


def test_a_training_leaves_weights_a_log_pictures_and_events(folder, ray_session):
    seen = []
    weights = train(recipe(), folder, progress=lambda done, total: seen.append((done, total)))
    assert weights.is_file()
    events = [line["event"] for line in lines(folder)]
    assert events.count("reading") == 2
    assert len(list((folder / "run/pictures").glob("*.png"))) == 2
    assert list((folder / "run/tensorboard").iterdir())
    assert seen[-1] == (32, 32)
    before = weights.stat().st_mtime_ns
    assert train(recipe(), folder) == weights
    assert weights.stat().st_mtime_ns == before


def test_two_workers_and_one_come_to_the_same_network(folder, ray_session):
    train(recipe(), folder)
    alone, _ = checkpoint.load(folder / "run/checkpoints/checkpoint-000000000032.safetensors")
    (folder / "run").rename(folder / "alone")
    train(recipe(workers=2), folder)
    together, _ = checkpoint.load(folder / "run/checkpoints/checkpoint-000000000032.safetensors")
    for name, tensor in checkpoint.under("average", alone).items():
        np.testing.assert_allclose(together[f"average.{name}"], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leads_to_a_checkpoint_and_the_same_command_continues(folder, ray_session, number):
    long = recipe(images=800, validate_every=800)

    def interrupt(done, _total):
        if done >= 40 and not sent:
            sent.append(done)
            os.kill(os.getpid(), number)

    sent: list[int] = []
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(Stopped, match="same command continues"):
        train(long, folder, progress=interrupt)
    newest = checkpoint.newest(folder / "run/checkpoints")
    assert newest is not None
    stopped = checkpoint.load(newest)[1]["shown"]
    assert 40 <= stopped < 800
    resumed = [line["images"] for line in lines(folder)]
    train(recipe(images=800, validate_every=800), folder)
    later = [line["images"] for line in lines(folder)][len(resumed) :]
    assert min(later) > stopped - 4
    assert max(later) == 800


def test_a_diverging_training_names_the_remedy(folder, ray_session):
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train(recipe(learning_rate=1e30, images=400), folder)


def test_a_split_that_shares_a_simulation_is_refused(folder):
    write_side(folder / "other.fields", first=2)
    (folder / "validation.fields").rename(folder / "old")
    (folder / "other.fields").rename(folder / "validation.fields")
    with pytest.raises(SplitError, match="share simulation"):
        gather(recipe(), folder)


def test_fixed_amplitudes_are_refused(folder):
    (folder / "train.fields").rename(folder / "old")
    write_side(folder / "train.fields", first=0, fixed=True)
    with pytest.raises(RecipeError, match="fixed-amplitude"):
        gather(recipe(), folder)


def test_a_field_that_the_disk_has_changed_is_not_learnt_from(folder, ray_session):
    shard = next((folder / "train.fields").glob("*.h5"))
    content = bytearray(shard.read_bytes())
    content[read_head(shard).offset + 1001] ^= 1  # one bit of a field
    shard.write_bytes(content)
    with pytest.raises(LayoutError, match="checksum differs"):
        train(recipe(), folder)


def test_a_gpu_that_is_not_there_is_refused(folder, ray_session):
    with pytest.raises(ResourceError, match="no GPU"):
        train(recipe(device="cuda"), folder)


def test_the_identity_follows_the_result_and_not_the_place(folder, monkeypatch):
    sets = [store.open_fields(folder / f"{n}.fields") for n in ("train", "validation")]
    here = identity(recipe(), *sets)
    assert identity(recipe(workers=2, threads=2), *sets) == here
    assert identity(recipe(gamma=3.0), *sets) != here
    monkeypatch.setattr(run, "NETWORKS", run.NETWORKS + 1)
    assert identity(recipe(), *sets) != here, "runs of other networks are not gone on with"


@pytest.mark.parametrize(
    "latent", [LatentShape(kind="gaussian"), LatentShape(kind="lpt", neighbours=2, carried=(1.0,))]
)
def test_the_plan_starts_from_the_latent_of_the_recipe(folder, latent):
    seen = {"neighbours": latent.neighbours, "carried": latent.carried}
    assert gather(recipe(latent=latent.kind, **seen), folder).latent == latent


def test_the_linear_spectrum_is_that_of_today_at_any_redshift(tmp_path):
    early = (*PLANCK[:-1], 2.0)
    theory = theory_of(write_side(tmp_path / "early.fields", first=0, parameters=early))
    universe = Cosmology(**dict(zip(NAMES[:-1], PLANCK, strict=False)))
    np.testing.assert_allclose(theory.linear[0], linear_power(universe)(theory.k), rtol=1e-6)
    low = theory.k < 0.01
    grown = theory.growth(0)[0] ** 2
    np.testing.assert_allclose(theory.power[0][low], grown * theory.linear[0][low], rtol=0.05)


def test_the_theory_has_a_spectrum_for_each_redshift(folder):
    theory = theory_of(store.open_fields(folder / "train.fields"))
    assert theory.power.shape == theory.linear.shape == (1, len(theory.k))
    universe = Cosmology(**dict(zip(NAMES[:-1], PLANCK, strict=False)))
    np.testing.assert_allclose(theory.linear[0], linear_power(universe)(theory.k), rtol=1e-6)
    low, high = theory.k < 0.01, theory.k > 2
    ratio = theory.power[0] / theory.linear[0]
    assert np.abs(ratio[low] - 1).max() < 0.05, "nothing has collapsed at large scales"
    assert ratio[high].min() > 2
    assert theory.thickness == 1
    assert theory.num_conditions == 0


def test_the_trained_range_is_that_of_the_training_side(tmp_path):
    """Validation at other parameters has spectra too, after those of the training."""
    other = (*PLANCK[:4], 0.9, 0.0)
    train_side = write_side(tmp_path / "train.fields", first=0)
    validation = write_side(tmp_path / "validation.fields", first=100, parameters=other)
    theory = theory_of(train_side, validation, train_side)
    np.testing.assert_array_equal(theory.parameters, [PLANCK, other])
    assert theory.trained == 1
    assert theory.num_conditions == 0
    assert theory.outside(other) == ["sigma_8"]


def test_sides_that_nearly_share_a_cosmology_have_a_spectrum_each(tmp_path):
    near = (*PLANCK[:4], PLANCK[4] + 1e-6, 0.0)
    sides = [write_side(tmp_path / "train.fields", first=0)]
    sides.append(write_side(tmp_path / "validation.fields", first=9, parameters=near))
    theory = theory_of(*sides)
    assert [rows_of(side, theory).tolist() for side in sides] == [[0] * 18, [1] * 18]


def test_a_training_that_was_begun_keeps_its_theory(folder, monkeypatch):
    plan = gather(recipe(), folder)
    plan.write()
    monkeypatch.setattr("cosmogan.train.run.theory_of", None)
    again = gather(recipe(), folder)
    np.testing.assert_array_equal(again.theory.power, plan.theory.power)
    with pytest.raises(TypeError):
        gather(recipe(gamma=3.0), folder)


def test_the_largest_density_is_that_of_all_fields(folder, monkeypatch, ray_session):
    """Also if it is in the last of many parts; no sample knows it."""
    monkeypatch.chdir(folder)  # workers stand elsewhere
    fields = store.open_fields("train.fields")
    largest = fields[:].max()
    assert run.largest_density(fields) == largest
    monkeypatch.setattr(run, "LOOKED", 7 * fields.layout.sample_bytes)
    assert run.largest_density(fields) == largest
    plan = gather(recipe(), folder)
    assert plan.density_max == largest
    assert Material(replace(plan, density_max=2 * largest)).scaling.density_max == 2 * largest


@pytest.mark.parametrize("part", ["predictor", "checkpoints"])
def test_a_folder_of_another_training_is_refused_before_anything_is_made(folder, monkeypatch, part):
    path = folder / "run" / part / "checkpoint-000000000040.safetensors"
    checkpoint.save(path, {"x": torch.zeros(1)}, {"identity": "another"})
    monkeypatch.setattr(run, "gather", None)
    with pytest.raises(CheckpointError, match=f"by another version; .* delete {folder / 'run'}"):
        train(recipe(), folder)


@pytest.mark.parametrize(
    ("asked", "there", "given"),
    [
        ((2, 1), (2, None), (2, 1)),
        ((2, 1), (1, None), (1, 1)),
        ((1, 2), (1, None), (1, 1)),
        ((4, 2), (4, None), (2, 2)),
        ((3, 1), (8, None), (2, 1)),
        ((4, 1), (8, 1), (1, 1)),
    ],
)
def test_a_smaller_machine_trains_with_fewer(asked, there, given):
    """A batch of 4 cannot be shared by 3."""
    table = recipe(workers=asked[0], threads=asked[1]).train
    assert crew(table, *there) == given


def test_boxes_are_displaced_on_the_cluster_and_the_loop_takes_them(
    plans, ray_session, monkeypatch
):
    plan = replace(plans["lpt"], images=8, batch=4, validate_every=8)
    with pytest.raises(Stopped, match="before the first step"):
        displace(plan.write(), stopped=lambda: True)
    displace(plan.write())
    written = {path.name for path in plan.boxes.rglob("*.safetensors")}
    sides = [store.open_fields(side) for side in (plan.train, plan.validation)]
    seeds = {seed for side in sides for seed in side.origin["seed"].tolist()}
    assert written == {f"{seed}-0.safetensors" for seed in seeds}

    def fail(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(LptLatent, "_make_box", fail)
    assert begin(plan, Place()).run()
    monkeypatch.undo()
    bare = replace(plan, folder=f"{plan.folder}-bare")
    assert begin(bare, Place()).run()
    one, other = (checkpoint.load(Path(p.folder) / "weights.safetensors")[0] for p in (plan, bare))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("outcome", "error", "stay"),
    [
        ({"complete": True}, None, False),
        ({"complete": False}, Stopped, True),
        ({"error": "TrainingError", "message": "diverged"}, TrainingError, False),
    ],
)
def test_boxes_stay_as_long_as_the_training_may_go_on(
    folder, ray_session, monkeypatch, outcome, error, stay
):
    def displaced(path, stopped):
        (path.parent / "boxes").mkdir()

    monkeypatch.setattr(run, "displace", displaced)
    monkeypatch.setattr(run, "_fit", lambda *_: outcome)
    with pytest.raises(error) if error else contextlib.nullcontext():
        train(recipe(latent="lpt"), folder)
    assert (folder / "run" / "boxes").exists() == stay
