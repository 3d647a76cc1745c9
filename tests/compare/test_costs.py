import pytest

from cosmogan.compare.costs import costs

TIMINGS = {"simulate": {"wall": 9.0, "cpu": 168.0}, "emulated": {"wall": 2.0, "cpu": 6.0}}


def test_a_box_counts_by_its_slices_and_as_one(run):
    simulated = [run["train"], run["valid"], run["test"]]  # 28 boxes of 6 slices
    per_field, per_box = costs(TIMINGS, simulated, run["emulated"])
    assert (per_field.simulated, per_box.simulated) == (1.0, 6.0)
    assert per_field.emulated == per_box.emulated == pytest.approx(6 / 120)
    assert per_box.factor == pytest.approx(6 * per_field.factor) == pytest.approx(120)


@pytest.mark.parametrize("missing", ["simulate", "emulated"])
def test_no_speed_up_without_both_times(run, missing):
    timings = {name: spent for name, spent in TIMINGS.items() if name != missing}
    assert costs(timings, [run["train"]], run["emulated"]) == []
