"""The classifier is asked about fields of many boxes, from weights by name."""

import numpy as np

from benchmarks.fidelity import classify


def test_emulated_fields_are_spread_over_boxes(monkeypatch):
    monkeypatch.setattr(classify, "BOXES", 2)
    monkeypatch.setattr(classify, "CLASSIFIED", 8)
    made = classify.emulated("demo-64", 7)
    names, counts = np.unique(made.simulation, return_counts=True)
    assert counts.tolist() == [4, 4]
    assert made.fields.shape == (8, 64, 64)
    assert len(names) == 2
