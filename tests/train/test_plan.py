"""The plan survives the way through a file unchanged."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from cosmogan.errors import CheckpointError
from cosmogan.train.plan import Training, theory_from_dict, theory_to_dict


def test_a_plan_is_read_as_it_was_written(plan):
    path = plan.write()
    assert path.name == "training.json"
    assert Training.read(path) == plan
    assert [p.name for p in path.parent.iterdir()] == ["training.json"]
    assert json.loads(path.read_text())["images"] == 160


def test_a_theory_keeps_every_bit(theory):
    back = theory_from_dict(json.loads(json.dumps(theory_to_dict(theory))))
    for name, value in asdict(theory).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    assert back.names == theory.names
    assert back.power.dtype == np.float64


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
