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
