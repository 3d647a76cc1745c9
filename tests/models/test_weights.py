"""A file of weights holds everything needed to make fields, and nothing is lost in it."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from cosmogan.errors import CheckpointError
from cosmogan.fields.layout import Layout
from cosmogan.models import checkpoint
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.source import Source, generate
from cosmogan.models.weights import MICRO_BATCH, VERSION, load_weights, save_weights

SHAPE = LatentShape(kind="lpt", carried=(1.0,) * 5).as_dict()
PARAMETERS = ((0.3, 0.0), (0.31, 0.5))


def layout_of(theory, grid=16):
    box = grid * theory.cell_size
    return Layout(
        dimension=theory.dimension,
        grid=grid,
        box_size=box,
        thickness=box if theory.dimension == 3 else theory.thickness * theory.cell_size,
        mass_assignment=theory.window,
        particles=32,
        parameter_names=theory.names,
    )


@pytest.fixture(params=[(2, "gaussian"), (2, "lpt"), (3, "lpt")], ids=str)
def written(request, tmp_path, make_theory, make_generator):
    dimension, kind = request.param
    latent = LatentShape(kind=kind, carried=(0.5, 2.0) if kind == "lpt" else ())
    theory = make_theory(PARAMETERS, dimension=dimension)
    channels = make_latent(latent, theory, 16).channels
    generator = make_generator((4, 5), dimension=dimension, conditions=2, latents=channels)
    path = tmp_path / "weights.safetensors"
    training = {"shown": 32, "identity": "abc", "reading": None}
    save_weights(
        path,
        generator,
        theory,
        latent=latent,
        layout=layout_of(theory),
        made_by={"recipe": 'name = "x"\n'},
        training=training,
    )
    return path, generator, theory, latent


def test_a_file_gives_back_network_theory_and_layout(written):
    path, generator, theory, latent = written
    weights = load_weights(path)
    assert weights.latent == latent
    assert weights.generator.shape == generator.shape
    assert weights.generator.scaling == generator.scaling
    for name, tensor in generator.state_dict().items():
        assert torch.equal(weights.generator.state_dict()[name], tensor)
    for name, value in asdict(theory).items():
        np.testing.assert_array_equal(getattr(weights.theory, name), value)
        assert type(getattr(weights.theory, name)) is type(value)
    assert weights.layout == layout_of(theory)
    assert weights.micro_batch == MICRO_BATCH
    assert weights.content["training"]["shown"] == 32
    assert weights.content["made_by"]["recipe"] == 'name = "x"\n'


def test_it_makes_the_same_fields_to_the_last_bit(written):
    path, generator, theory, latent = written
    weights = load_weights(path)
    fields = []
    kept = (weights.generator, weights.theory, weights.latent)
    for network, spectra, shape in ((generator, theory, latent), kept):
        start = make_latent(shape, spectra, 16)
        source = Source(start, spectra, network.scaling, network.shape)
        latents = source.latents(start.origins(3, [1, 2]), [0, 1])
        with torch.no_grad():
            made = generate(network, source.draw(latents, [1, 2], [0, 1]))
        fields.append(made.numpy().tobytes())
    assert fields[0] == fields[1]


def test_a_loaded_generator_is_frozen(written):
    weights = load_weights(written[0])
    assert not weights.generator.training
    assert not any(p.requires_grad for p in weights.generator.parameters())


def test_the_header_is_json_and_says_all_but_the_tensors(written):
    path, _, theory, _ = written
    content = load_weights(path).content
    assert json.loads(json.dumps(content)) == content
    assert content["theory"]["names"] == list(theory.names), "loading takes nothing from it"


def rewrite(path, **changes):
    tensors, content = checkpoint.load(path)
    checkpoint.save(path, tensors, content | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": VERSION + 1}, f"format version {VERSION + 1}, this cosmogan reads {VERSION}"),
        ({"format": "something"}, "no weights of a generator"),
        ({"latent": "something"}, "incomplete, or from an earlier cosmogan"),
        ({"latent": SHAPE | {"kind": "something"}}, "incomplete, or from an earlier cosmogan"),
        ({"latent": SHAPE}, "a latent of another network"),
        ({"theory": {"dimension": 2, "names": ["a"]}}, "incomplete, or from an earlier cosmogan"),
        ({"generator": {"dimension": 2, "widths": [4, 9], "conditions": 2}}, "of another network"),
        ({"generator": {"dimension": 2, "widths": [4], "conditions": 0}}, "of another network"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(written, changes, message):
    path = written[0]
    rewrite(path, **changes)
    with pytest.raises(CheckpointError) as error:
        load_weights(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_networks_of_before_there_was_a_choice_are_folded(
    written, tmp_path, make_generator, theory
):
    folded = make_generator((4, 5), folded=True)
    path = tmp_path / "folded.safetensors"
    kind = LatentShape(kind="gaussian")
    save_weights(
        path, folded, theory, latent=kind, layout=layout_of(theory), made_by={}, training={}
    )
    tensors, content = checkpoint.load(path)
    del content["generator"]["folded"]
    checkpoint.save(path, tensors, content)
    read = load_weights(path).generator
    assert read.shape == folded.shape
    for mine, theirs in zip(read.parameters(), folded.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_is_no_file_of_weights(tmp_path):
    path = tmp_path / "checkpoint-1.safetensors"
    checkpoint.save(path, {"a": torch.ones(1)}, {"identity": "x", "shown": 1})
    with pytest.raises(CheckpointError, match=r"no weights of a generator; give run/weights"):
        load_weights(path)
