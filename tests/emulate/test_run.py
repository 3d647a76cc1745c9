"""Emulation through Ray, on a network that knows nothing."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmogan.emulate import run as emulation
from cosmogan.emulate.run import emulate
from cosmogan.emulate.sample import load
from cosmogan.errors import CheckpointError, LayoutError, RecipeError
from cosmogan.fields.describe import describe
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, provenance
from cosmogan.fields.scaling import Scaling
from cosmogan.fields.store import create_folder, finish_folder, open_fields, write_shard
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import LatentShape
from cosmogan.models.theory import Theory
from cosmogan.models.weights import save_weights

pytestmark = pytest.mark.cluster
COUNT = 300


def write_run(folder, kind):
    """A run whose network was drawn at random, so that its fields are not its latents."""
    folder.mkdir()
    torch.manual_seed(0)
    scaling = Scaling(density_scale=0.5, mean=1.0, std=0.6, density_max=60.0)
    generator = Generator(GeneratorShape(dimension=2, widths=(4, 4)), scaling)
    torch.nn.init.normal_(generator.head.weight, std=0.1)
    k = np.geomspace(1e-3, 30, 60)
    power = (2e4 * k / (1 + (k / 0.02) ** 2.4))[None]
    theory = Theory(
        dimension=2,
        cell_size=4.0,
        thickness=1,
        window="cic",
        names=("Omega_m", "redshift"),
        parameters=np.array([[0.31, 0.0]]),
        k=k,
        power=power,
        linear=0.6 * power,
    )
    layout = Layout(
        dimension=2,
        grid=16,
        box_size=64.0,
        thickness=4.0,
        mass_assignment="cic",
        particles=16**3,
        parameter_names=theory.names,
    )
    for name in ("weights", "untrained"):
        save_weights(
            folder / f"{name}.safetensors",
            generator,
            theory,
            latent=LatentShape(kind=kind),
            layout=layout,
            made_by={"recipe": ""},
            training={"identity": "test"},
        )
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run for each latent."""
    folder = tmp_path_factory.mktemp("emulation")
    return {kind: write_run(folder / kind, kind) for kind in ("gaussian", "lpt")}


@pytest.fixture(scope="module")
def run(runs):
    return runs["gaussian"]


@pytest.fixture
def _fixed_clock(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.h5"))}


@pytest.mark.usefixtures("_fixed_clock")
def test_one_worker_two_workers_and_a_cut_off_run_write_the_same_bytes(runs, tmp_path, ray_session):
    """Though slices of one box stand in two shards."""
    run = runs["lpt"]
    paths = [tmp_path / f"{name}.fields" for name in ("one", "two", "cut")]
    for path, workers in zip(paths, (1, 2, 2), strict=True):
        emulate(run, path, count=COUNT, seed=7, workers=workers)
    (paths[2] / "manifest.json").unlink()
    (paths[2] / "shard-00001.h5").unlink()
    emulate(run, paths[2], count=COUNT, seed=7, workers=1)
    assert shards(paths[0]) == shards(paths[1]) == shards(paths[2])
    assert len(shards(paths[0])) == -(-COUNT // emulation.ROWS)


@pytest.mark.parametrize(("kind", "boxes"), [("gaussian", COUNT), ("lpt", -(-COUNT // 48))])
def test_the_data_set_holds_what_sample_gives(runs, tmp_path, ray_session, kind, boxes):
    """A box gives 16 slices along each of three axes."""
    run = runs[kind]
    fields = emulate(run, tmp_path / "a.fields", count=COUNT, seed=7)
    sample = load(run).sample(COUNT, 7)
    np.testing.assert_array_equal(fields[:], sample.fields)
    np.testing.assert_array_equal(fields.origin, sample.origin)
    assert len(fields.simulations) == boxes
    assert set(fields.origin["axis"].tolist()) == ({-1} if kind == "gaussian" else {0, 1, 2})
    fields.verify()


def test_the_lognormal_fields_are_another_data_set(run, tmp_path, ray_session):
    trained = emulate(run, tmp_path / "a.fields", count=8, seed=7)
    lognormal = emulate(run, tmp_path / "b.fields", count=8, seed=7, kind="lognormal")
    assert not np.array_equal(trained[:], lognormal[:])
    np.testing.assert_array_equal(lognormal[:], load(run, "lognormal").sample(8, 7).fields)


def test_the_data_set_says_what_made_it(run, tmp_path, ray_session):
    """Enough to make it again, and to tell a yardstick from the network."""
    made = emulate(run, tmp_path / "a.fields", seed=5, count=20, kind="lognormal").made_by
    assert "--kind lognormal --seed 5 --count 20" in made.command
    digest = hashlib.sha256((run / "untrained.safetensors").read_bytes()).hexdigest()[:16]
    trained = hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()[:16]
    assert digest in made.command or trained in made.command


def test_another_request_for_the_same_output_is_refused(run, tmp_path, ray_session):
    emulate(run, tmp_path / "a.fields", count=8, seed=7)
    with pytest.raises(RecipeError, match="another recipe"):
        emulate(run, tmp_path / "a.fields", count=8, seed=8)


def test_parameters_it_was_not_trained_at_are_refused(run, tmp_path):
    with pytest.raises(
        RecipeError, match=r"Omega_m = 0.5: the network was trained at 0.31 to 0.31"
    ):
        emulate(run, tmp_path / "a.fields", count=8, seed=7, parameters={"Omega_m": 0.5})
    assert not (tmp_path / "a.fields").exists()


def test_parameters_it_was_not_trained_at_are_marked_if_forced(run, tmp_path, ray_session):
    asked = {"parameters": {"Omega_m": 0.5}, "force": True}
    far = emulate(run, tmp_path / "a.fields", count=8, seed=7, **asked)
    assert far.layout.extrapolated
    assert "EXTRAPOLATED" in describe(far.path)
    assert set(far.parameters[:, 0]) == {0.5}
    again = open_fields(tmp_path / "a.fields")
    assert again.layout == far.layout
    again.verify()
    near = emulate(run, tmp_path / "b.fields", count=8, seed=7, force=True)
    assert not near.layout.extrapolated
    np.testing.assert_array_equal(far[:], load(run).sample(8, 7, Omega_m=0.5, force=True).fields)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="train to the end"):
        emulate(tmp_path, tmp_path / "a.fields", count=8, seed=7)


# From the initial conditions of other fields


@pytest.fixture(scope="module")
def like(runs, tmp_path_factory, ray_session):
    """Fields with initial conditions to give."""
    return emulate(runs["lpt"], tmp_path_factory.mktemp("like") / "a.fields", count=50, seed=7)


def test_a_data_set_is_like_itself_and_once_more(runs, like, tmp_path):
    """The initial conditions of its own fields, and the same seed, make the very fields; then more draws."""
    made = emulate(runs["lpt"], tmp_path / "b.fields", count=150, seed=7, like=like.path)
    np.testing.assert_array_equal(made[:50], like[:])
    np.testing.assert_array_equal(made.origin, np.tile(like.origin, 3))
    sample = load(runs["lpt"]).counterparts(like.origin[:30], 7, start=100)
    np.testing.assert_array_equal(made[100:130], sample.fields)
    assert not np.array_equal(made[50:100], like[:])


def test_theory_alone_is_the_start_of_the_network(runs, like, tmp_path):
    bare = emulate(runs["lpt"], tmp_path / "b.fields", seed=1, like=like.path, kind="lpt")
    density = load(runs["lpt"]).latent.density(like.origin, [0] * len(like))
    np.testing.assert_array_equal(bare[:], density)


def test_what_has_no_initial_conditions_to_give_is_refused(runs, like, tmp_path):
    out = tmp_path / "b.fields"
    with pytest.raises(RecipeError, match="starts from no initial conditions"):
        emulate(runs["gaussian"], out, seed=7, like=like.path)
    with pytest.raises(RecipeError, match="give how many"):
        emulate(runs["lpt"], out, seed=7)
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "parameters", "code", "message"),
    [
        ({"box_size": 65.0}, (0.31, 0.0), "cosmogan", "box_size = 65.0, but .* trained at 64.0"),
        ({}, (0.31, 1.0), "cosmogan", "redshift = 1: the network was trained at 0 to 0"),
        ({}, (0.31, 0.0), "Gadget", "made by Gadget; only the seeds of cosmogan's own"),
        ({"parameter_names": ("h", "redshift")}, (0.31, 0.0), "cosmogan", "lacks .* Omega_m"),
    ],
)
def test_fields_of_another_kind_give_no_initial_conditions(
    runs, tmp_path, change, parameters, code, message
):
    layout = replace(load(runs["lpt"]).weights.layout, **change)
    path, made_by = tmp_path / "like.fields", replace(provenance("test"), code=code)
    create_folder(path, layout, made_by, 1, "like", expected_bytes=1)
    origin = np.zeros(2, ORIGIN_DTYPE)
    fields = np.ones((2, 16, 16), np.float32)
    finish_folder(path, [write_shard(path, 0, fields, np.tile(parameters, (2, 1)), origin)])
    with pytest.raises((LayoutError, RecipeError), match=message):
        emulate(runs["lpt"], tmp_path / "b.fields", seed=7, like=path)


def test_what_is_like_simulations_has_the_parameters_of_each(runs, tmp_path, ray_session):
    """Unless some are named: then only what has these is remade."""
    emulator, path = load(runs["lpt"]), tmp_path / "like.fields"
    layout = emulator.weights.layout
    create_folder(path, layout, provenance("test"), 1, "like", expected_bytes=1)
    origin = emulator.latent.origins(3, range(0, 40, 10))
    table = np.array([[0.31, 0.0], [0.31, 0.5], [0.31, 0.5], [0.31, 0.0]])
    fields = np.ones((4, 16, 16), np.float32)
    finish_folder(path, [write_shard(path, 0, fields, table, origin)])
    every = emulate(
        runs["lpt"], tmp_path / "every.fields", seed=7, like=path, count=8, force=True, workers=1
    )
    np.testing.assert_array_equal(every.parameters, np.tile(table, (2, 1)))
    np.testing.assert_array_equal(every.origin, np.tile(origin, 2))
    at = {"Omega_m": 0.31, "redshift": np.tile(table[:, 1], 2)}
    expected = emulator.counterparts(np.tile(origin, 2), 7, force=True, **at)
    np.testing.assert_array_equal(every[:], expected.fields)
    assert every.layout.extrapolated
    some = emulate(
        runs["lpt"], tmp_path / "some.fields", seed=7, like=path, parameters={"redshift": 0.0}
    )
    np.testing.assert_array_equal(some.origin, origin[[0, 3]])
    assert not some.layout.extrapolated
    with pytest.raises(
        LayoutError, match=r"no field at redshift = 0.2; give --parameters it holds"
    ):
        emulate(runs["lpt"], tmp_path / "x.fields", seed=7, like=path, parameters={"redshift": 0.2})
    with pytest.raises(RecipeError, match=r"'w0'.*: no parameter of this network"):
        emulate(runs["lpt"], tmp_path / "x.fields", seed=7, like=path, parameters={"w0": -1.0})
