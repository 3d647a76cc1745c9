"""A checkpoint gives back every bit, or one line that says why it cannot."""

import json
import logging
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from cosmogan.errors import CheckpointError, ResourceError
from cosmogan.models import checkpoint

TENSORS = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "exact": torch.tensor([np.pi, np.nan, -0.0], dtype=torch.float64),
    "step": torch.tensor(7.0),
    "counts": torch.arange(5),
    "none": torch.zeros(0, 3),
}
CONTENT = {"shown": 48, "best": 0.1 + 0.2, "names": ["Ω", "σ"], "nested": {"a": None}}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint-000000000048.safetensors"
    checkpoint.save(path, TENSORS, CONTENT)
    return path


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def flip(path, place, bit=1):
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


def body(path):
    """Where the tensors begin."""
    return 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]


def test_a_round_trip_gives_back_every_bit(saved):
    tensors, content = checkpoint.load(saved)
    assert content == CONTENT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert tensors[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert [p.name for p in saved.parent.iterdir()] == [saved.name], "no temporary file is left"


def test_views_and_gradients_are_saved_as_plain_values(tmp_path):
    leaf = torch.randn(4, 3, requires_grad=True)
    path = tmp_path / "new" / "x.safetensors"
    checkpoint.save(path, {"turned": leaf.T, "row": leaf[1]}, {})
    tensors, _ = checkpoint.load(path)
    assert torch.equal(tensors["turned"], leaf.detach().T)
    assert torch.equal(tensors["row"], leaf.detach()[1])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "nothing.safetensors")
    assert "nothing.safetensors: no such checkpoint; train first" in one_line(error)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    checkpoint.save(path, TENSORS, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "x.safetensors: damaged" in one_line(error)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_one_flipped_bit_among_the_tensors_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "x.safetensors"
    checkpoint.save(path, TENSORS, CONTENT)
    place = data.draw(st.integers(body(path), path.stat().st_size - 1))
    flip(path, place, 1 << data.draw(st.integers(0, 7)))
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "x.safetensors: its content was altered; use an older checkpoint" in one_line(error)


def test_a_header_that_is_no_json_is_refused(saved):
    flip(saved, saved.read_bytes().index(b"shown") - 3)  # the brace that opens the content
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(saved)
    assert "damaged" in one_line(error)


def test_a_flipped_digit_of_the_content_is_found(saved):
    flip(saved, saved.read_bytes().index(b": 48") + 3)  # shown: 48 -> 49
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(saved)
    assert "its content was altered" in one_line(error)


def test_equal_content_gives_equal_bytes(tmp_path):
    for number in range(5):
        checkpoint.save(tmp_path / f"{number}.safetensors", TENSORS, CONTENT)
    assert len({p.read_bytes() for p in tmp_path.iterdir()}) == 1


def test_tensors_renamed_or_reshaped_are_found(tmp_path, saved):
    tensors, _ = checkpoint.load(saved)
    header = json.loads(saved.read_bytes()[8 : body(saved)])["__metadata__"]
    for changed in (
        {**tensors, "weight": tensors["weight"].reshape(4, 3)},
        {("heavy" if n == "weight" else n): t for n, t in tensors.items()},
        {n: t for n, t in tensors.items() if n != "step"},
    ):
        save_file(changed, tmp_path / "x.safetensors", metadata=header)
        with pytest.raises(CheckpointError, match="its content was altered"):
            checkpoint.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_file_is_refused(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "foreign.safetensors: not a cosmogan checkpoint" in one_line(error)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("hello, this is a text\n" * 10)
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "damaged" in one_line(error)


def test_a_folder_that_is_a_file_is_a_lack_of_resources(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        checkpoint.save(tmp_path / "taken" / "x.safetensors", TENSORS, {})


def test_a_save_that_fails_leaves_the_older_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(saved), "write_bytes", full)
    with pytest.raises(ResourceError, match="make room"):
        checkpoint.save(saved, {"weight": torch.ones(1)}, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def write(folder, *numbers):
    for number in numbers:
        path = folder / f"checkpoint-{number:012d}.safetensors"
        checkpoint.save(path, {"number": torch.tensor(number)}, {"shown": number})


def test_the_newest_is_found_by_number(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "absent") is None
    write(tmp_path, 9, 100, 20)
    (tmp_path / "best.safetensors").touch()
    assert checkpoint.newest(tmp_path).name == "checkpoint-000000000100.safetensors"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_newest_one_is_skipped_and_named(tmp_path, caplog, damage):
    write(tmp_path, 10, 20)
    newest = checkpoint.newest(tmp_path)
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-3])
    elif damage == "flipped":
        flip(newest, -1)
    else:
        newest.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert checkpoint.newest(tmp_path).name == "checkpoint-000000000010.safetensors"
    (record,) = caplog.records
    assert newest.name in record.getMessage()


def test_pruning_keeps_the_newest(tmp_path):
    write(tmp_path, 1, 2, 30, 4)
    (tmp_path / "other.safetensors").touch()
    checkpoint.prune(tmp_path, keep=2)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [
        "checkpoint-000000000004.safetensors",
        "checkpoint-000000000030.safetensors",
        "other.safetensors",
    ]


def test_prefixes_do_not_mix():
    tensors = checkpoint.prefixed("generator", TENSORS) | checkpoint.prefixed(
        "adam_generator", {"weight": torch.zeros(1)}
    )
    assert len(tensors) == len(TENSORS) + 1
    back = checkpoint.under("generator", tensors)
    assert back.keys() == TENSORS.keys()
    assert all(back[name] is TENSORS[name] for name in TENSORS)


@pytest.mark.parametrize(
    "other",
    [nn.Linear(3, 5), nn.Sequential(nn.Linear(3, 4)), nn.Linear(3, 4, bias=False)],
    ids=["shape", "names", "missing"],
)
def test_tensors_of_another_network_are_refused(other):
    network = nn.Linear(3, 4)
    checkpoint.restore(network, network.state_dict(), "here")
    with pytest.raises(CheckpointError) as error:
        checkpoint.restore(network, other.state_dict(), "run/x.safetensors")
    text = one_line(error)
    assert text.startswith("run/x.safetensors: of another network (")
    assert text.endswith("train anew or give back its recipe")
    assert len(text) < 400
