import json
import multiprocessing
import os
import time

import pytest

from cosmogan.timings import Timings, cpu_seconds


def burn(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_the_cpu_time_of_children_that_are_gone_counts(tmp_path):
    timings = Timings(tmp_path / "timings.json")
    before = time.process_time()
    with timings.stage("work"):
        child = multiprocessing.get_context("spawn").Process(target=burn, args=(1.5,))
        child.start()
        child.join()
        burn(0.3)
    own = time.process_time() - before
    # The child is read every half second: of its 1.5 s at most the last half may be missed.
    assert timings.stages["work"]["cpu"] > own + 0.9


def test_times_add_up_over_restarts(tmp_path):
    path = tmp_path / "timings.json"
    for _ in range(2):
        with Timings(path).stage("work"):
            time.sleep(0.1)
    content = json.loads(path.read_text())["work"]
    assert content["starts"] == 2
    assert content["wall"] >= 0.2


def test_what_a_failed_stage_took_is_kept(tmp_path):
    timings = Timings(tmp_path / "timings.json")

    def fail():
        with timings.stage("work"):
            time.sleep(0.05)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Timings(tmp_path / "timings.json").stages["work"]["wall"] >= 0.05


@pytest.mark.parametrize("content", ["", "{", "[]", '{"work": 3}', '{"work": {"wall": 1}}'])
def test_a_damaged_file_does_not_stop_a_run(tmp_path, content):
    path = tmp_path / "timings.json"
    path.write_text(content)
    with Timings(path).stage("work"):
        pass
    assert json.loads(path.read_text())["work"]["starts"] == 1


def test_a_process_is_found_among_its_own():
    seconds = cpu_seconds(os.getpid())
    mine = [used for (pid, _), used in seconds.items() if pid == os.getpid()]
    assert mine == pytest.approx([time.process_time()], abs=0.2)  # children waited for are apart
