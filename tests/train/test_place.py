"""Workers decide, fail and stop together; the log tells what happened once."""

import json
from types import SimpleNamespace

import pytest
import torch

from cosmogan.errors import ResourceError
from cosmogan.train import place
from cosmogan.train.place import (
    Caller,
    LogFile,
    Place,
    device_of,
    has_bfloat16,
    keep_memory,
    rounds,
)

BOARD = {}


class Seat(Place):
    """A place whose vectors are averaged by a team of threads."""

    def __init__(self, rank, world, reduce, **others):
        super().__init__(rank, world, **others)
        self.by_team = reduce

    def reduce(self, vector):
        return self.by_team(vector)

    def gather(self, mine):
        BOARD[self.rank] = mine
        self.reduce(torch.zeros(1))  # all have written
        return [BOARD[rank] for rank in range(self.world)]


def test_alone_nothing_is_reduced_and_one_decides():
    vector = torch.ones(3)
    alone = Place(stopped=lambda: True)
    assert alone.reduce(vector) is vector
    assert alone.should_stop()
    assert alone.first
    assert not Place().should_stop()


@pytest.mark.parametrize("who", [0, 1, 2])
def test_what_is_so_on_one_worker_is_known_to_all(team, who):
    found = team(3).run(lambda rank, reduce: Seat(rank, 3, reduce).anywhere(rank == who))
    assert found == [True] * 3
    assert team(3).run(lambda rank, reduce: Seat(rank, 3, reduce).anywhere(False)) == [False] * 3


def test_whoever_is_asked_to_stop_all_do(team):
    """As where a node is taken away: its workers alone get the signal."""

    def ask(who):
        return team(2).run(
            lambda rank, reduce: Seat(rank, 2, reduce, stopped=lambda: rank == who).should_stop()
        )

    assert ask(0) == ask(1) == [True, True]
    assert ask(None) == [False, False]


@pytest.mark.parametrize("who", [0, 1])
def test_if_one_worker_fails_none_goes_on(team, who):
    def act(rank, reduce):
        def fail():
            if rank == who:
                raise ResourceError("the disk of this one is full")
            return "done"

        return Seat(rank, 2, reduce).together(fail)

    results = team(2).run(act)
    for result in results:  # the first worker, who tells, knows the reason too
        assert isinstance(result, ResourceError)
        assert str(result) == "the disk of this one is full"


def test_if_none_fails_each_gets_its_own_result(team):
    results = team(2).run(lambda rank, reduce: Seat(rank, 2, reduce).together(lambda: 10 * rank))
    assert results == [0, 10]


def test_a_log_is_appended_line_by_line(tmp_path):
    log = LogFile(tmp_path / "run")
    for images in (10, 20):
        log.line({"event": "step", "images": images})
    assert [json.loads(line)["images"] for line in log.path.read_text().splitlines()] == [10, 20]


@pytest.mark.parametrize("torn", ['{"event": "old", "ima', '{"event": "old", "images": 25}'])
def test_a_run_that_goes_on_replaces_what_it_makes_anew(tmp_path, torn):
    """Also the line in which it was killed, and the line that only lacks its end."""
    log = LogFile(tmp_path)
    for images in (10, 20, 20, 30, 40):
        log.line({"event": "old", "images": images})
    with log.path.open("a") as file:
        file.write(torn)
    again = LogFile(tmp_path)
    for images in (30, 40, 50):
        again.line({"event": "new", "images": images})
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    expected = [("old", n) for n in (10, 20, 20)] + [("new", n) for n in (30, 40, 50)]
    assert [(line["event"], line["images"]) for line in lines] == expected
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == "cpu"
    with pytest.raises(ResourceError, match="finds no GPU here; use 'auto' or 'cpu'"):
        device_of("cuda")


def test_a_gpu_that_is_there_is_taken_unless_the_cpu_is_wished_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert device_of("auto", 1) == device_of("cuda", 1) == "cuda:1"
    assert device_of("cpu", 1) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("auto", 3) == "cuda:0", "each task of a node may see its own alone"


def test_all_round_if_all_processors_have_such_products(team, monkeypatch):
    def ask(wish, lacking):
        def act(rank, reduce):
            return rounds(wish, Seat(rank, 2, reduce, device="cpu:0" if rank == lacking else "cpu"))

        return team(2).run(act)

    monkeypatch.setattr(place, "has_bfloat16", lambda device: device == "cpu")
    assert ask("auto", None) == ask("bfloat16", None) == [True, True]
    assert ask("auto", 1) == ask("auto", 0) == [False, False]
    assert ask("float32", None) == [False, False]
    for failure in ask("bfloat16", 1):
        assert "use 'auto' or 'float32'" in str(failure)


def test_the_processor_is_asked_what_it_has(monkeypatch):
    flags = "flags : fma avx512_bf16 avx2"
    monkeypatch.setattr(place.Path, "read_text", lambda *_, **__: flags)
    assert has_bfloat16("cpu")
    flags = "flags : fma avx2"
    assert not has_bfloat16("cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda of: (7 + int(of[-1]), 0))
    assert not has_bfloat16("cuda:0")
    assert has_bfloat16("cuda:1")


@pytest.mark.parametrize("largest", [1 << 30, 1 << 25])
def test_memory_is_kept_as_far_as_the_c_library_allows_it(largest, monkeypatch):
    taken = {}

    def mallopt(key, value):
        allowed = key != -3 or value <= largest
        if allowed:
            taken[key] = value
        return int(allowed)

    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace(mallopt=mallopt))
    keep_memory()
    assert taken == {-3: largest, -1: (1 << 31) - 1, -2: 1 << 26}  # mmap, trim, top pad


@pytest.mark.parametrize("library", [None, SimpleNamespace()])
def test_another_c_library_is_left_as_it_is(library, monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr("ctypes.CDLL", load)
    keep_memory()
    assert asked == ["libc.so.6"]


def test_who_trains_without_ray_is_warned_of_alarms(caplog):
    lines = [
        {"event": "step", "images": 10},
        {"event": "alarm", "name": "gap", "value": 0.7, "images": 1000, "low": None, "high": 0.5},
    ]
    with caplog.at_level("WARNING"):
        for line in lines:
            Caller().line(line)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "train: alarm: gap is 0.7 after 1,000 fields, above 0.5"
