"""What is done grows to what there is to do, and the log is followed while it grows."""

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from cosmogan.train import follow


@given(before=st.integers(0, 10_000), images=st.integers(1, 10_000))
def test_work_grows_from_nothing_to_all_of_it(before, images):
    steps = range(-before, images + 1, max((before + images) // 50, 1))
    done, totals = zip(
        *(follow.work_done(n, before, images) for n in (*steps, images)), strict=True
    )
    assert set(totals) == {images + before // follow.AHEAD}
    assert (done[0], done[-1]) == (0, totals[0])
    assert list(done) == sorted(done)


def test_lines_are_told_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "FOLLOW_SECONDS", 0.01)
    log, told, before = tmp_path / "log.jsonl", [], 10 * follow.AHEAD
    with follow.following(log, before, 100, lambda *done: told.append(done)):
        for shown in (-before // 2, 0, 50):
            log.write_text(json.dumps({"images": shown}) + "\n", encoding="utf-8")
            deadline = time.monotonic() + 10
            while told[-1] != follow.work_done(shown, before, 100) and time.monotonic() < deadline:
                time.sleep(0.01)
    assert list(dict.fromkeys(told)) == [(0, 110), (5, 110), (10, 110), (60, 110)]


def alarm(name, value, images, low=None, high=None):
    line = {"event": "alarm", "name": name, "value": value, "images": images, "low": low}
    return json.dumps(line | {"high": high}) + "\n"


def test_alarms_are_warned_of_once_as_they_come(tmp_path, monkeypatch, caplog):
    """Those of before are known, and a line that is not whole yet waits."""
    monkeypatch.setattr(follow, "FOLLOW_SECONDS", 0.01)
    log = tmp_path / "log.jsonl"
    log.write_text(alarm("gap", 0.7, 10, high=0.5), encoding="utf-8")
    whole, half = alarm("pair_distance", 0.1, 2000, low=0.6), alarm("gap", 0.9, 3000, high=0.5)
    with caplog.at_level("WARNING"):
        with follow.following(log, 0, 5000, lambda *_: None), log.open("a", encoding="utf-8") as to:
            to.write(whole + half[:20])
            to.flush()
            time.sleep(0.2)
            assert len(caplog.records) == 1
            to.write(half[20:] + alarm("score", float("nan"), 4000, high=1.0))
        assert [record.getMessage() for record in caplog.records] == [
            "train: alarm: pair distance is 0.1 after 2,000 fields, below 0.6",
            "train: alarm: gap is 0.9 after 3,000 fields, above 0.5",
            "train: alarm: score is nan after 4,000 fields, not a number",
        ]


def test_a_log_that_was_cut_is_followed_from_its_new_end(tmp_path, caplog):
    log = tmp_path / "log.jsonl"
    log.write_text(3 * alarm("gap", 0.7, 10, high=0.5), encoding="utf-8")
    with caplog.at_level("WARNING"), follow.following(log, 0, 100, lambda *_: None):
        log.write_text(alarm("gap", 0.7, 10, high=0.5), encoding="utf-8")
        time.sleep(3 * follow.FOLLOW_SECONDS)
        with log.open("a", encoding="utf-8") as to:
            to.write(alarm("gap", 0.8, 20, high=0.5))
    assert [record.getMessage() for record in caplog.records] == [
        "train: alarm: gap is 0.8 after 20 fields, above 0.5"
    ]
