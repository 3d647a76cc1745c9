"""The plan survives the way through a file unchanged."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from cosmogan.errors import CheckpointError
from cosmogan.train.plan import Training


def test_a_plan_is_read_as_it_was_written(plan):
    path = plan.write()
    assert path.name == "training.json"
    back = Training.read(path)
    assert replace(back, theory=plan.theory) == plan
    assert sorted(p.name for p in path.parent.iterdir()) == ["theory.safetensors", "training.json"]
    assert json.loads(path.read_text())["images"] == 160


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trained", [None, 1])
def test_a_theory_keeps_every_bit(plan, two_epochs, dtype, trained):
    theory = replace(two_epochs, power=two_epochs.power.astype(dtype), trained=trained)
    back = Training.read(replace(plan, theory=theory).write()).theory
    for name, value in asdict(theory).items():
        np.testing.assert_array_equal(getattr(back, name), value)
        assert type(getattr(back, name)) is type(value)
    assert back.power.dtype == dtype


def test_a_plan_without_its_theory_is_refused(plan):
    path = plan.write()
    path.with_name("theory.safetensors").unlink()
    with pytest.raises(CheckpointError, match="train first"):
        Training.read(path)


@pytest.mark.parametrize(
    "text", [None, "{", "[]", "{}", '{"generator_widths": 3, "discriminator_widths": [1]}']
)
def test_what_is_no_plan_is_refused(tmp_path, text):
    path = tmp_path / "training.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CheckpointError, match="no plan of a training") as error:
        Training.read(path)
    assert str(error.value).startswith(str(path))


def test_an_unknown_key_is_refused(plan):
    path = plan.write()
    content = json.loads(path.read_text()) | {"nonsense": 1}
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="nonsense"):
        Training.read(path)
