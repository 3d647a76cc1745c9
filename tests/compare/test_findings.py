import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cosmogan.compare.findings import (
    CANNOT_TELL,
    FAIL,
    PASS,
    combine,
    decide,
    write_verdict,
)
from cosmogan.compare.verdict import judge

ratio = st.floats(0.01, 10)


@given(ratio, ratio, st.floats(0.01, 0.9))
def test_a_bin_passes_inside_fails_outside_and_is_open_across_an_edge(one, other, off):
    low, high = sorted((one, other))
    tolerance = (1 - off, 1 + off)
    inside = tolerance[0] <= low and high <= tolerance[1]
    outside = high < tolerance[0] or low > tolerance[1]
    assert decide(low, high, tolerance) == (PASS if inside else FAIL if outside else CANNOT_TELL)


@given(ratio, ratio, st.floats(1, 5), st.floats(0.01, 0.9))
def test_a_wider_interval_never_decides_what_a_narrower_left_open(one, other, factor, off):
    low, high = sorted((one, other))
    tolerance = (1 - off, 1 + off)
    narrow, wide = decide(low, high, tolerance), decide(low / factor, high * factor, tolerance)
    assert wide in (narrow, CANNOT_TELL)


def test_an_unbounded_interval_cannot_tell():
    assert decide(-math.inf, math.inf, (0.9, 1.1)) == CANNOT_TELL


@given(st.lists(st.sampled_from([PASS, FAIL, CANNOT_TELL])))
def test_one_failure_fails_and_only_all_passes_pass(outcomes):
    found = combine(outcomes)
    assert (found == FAIL) == (FAIL in outcomes)
    assert (found == PASS) == (set(outcomes) == {PASS})


def numbers(content):
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for entry in content:
            yield from numbers(entry)
    elif isinstance(content, float):
        yield content


def test_the_verdict_is_plain_json_without_nan(run, tmp_path):
    verdict = judge({"emulated": run["emulated"]}, run["test"], training=run["train"])
    path = tmp_path / "verdict.json"
    more = {"a": np.float64(2.5), "b": np.array([1.0, np.nan, np.inf]), "c": (np.int64(3), "x")}
    write_verdict(path, verdict, more)
    content = json.loads(path.read_text(), parse_constant=lambda word: 1 / 0)
    assert all(math.isfinite(number) for number in numbers(content))
    assert (content["a"], content["b"], content["c"]) == (2.5, [1.0, None, None], [3, "x"])
    power = content["candidates"]["emulated"]["results"]["power"]
    assert power["bins"][0]["ratio"] == verdict.about.results["power"].bins[0].ratio
    made = verdict.about.simulations
    assert content["floors"]["power"]["sizes"] == [made, 16, 8]
    assert list(tmp_path.iterdir()) == [path]
