import io
import sys
import time

import pytest

from cosmogan import screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_plain_lines_with_the_time_left(monkeypatch):
    stream, clock = io.StringIO(), iter([0, 1, 100, 102, 104, 105])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    view = screen.Lines(stream, every=0)
    with view.bar("simulate") as progress:
        for done in (3, 4, 6, 9):
            progress(done, 9)
    assert stream.getvalue().splitlines() == [
        "simulate ...",
        "simulate: 3 of 9",  # by an earlier run: that says nothing of the speed
        "simulate: 4 of 9",  # the first 99 s were starting up
        "simulate: 6 of 9, 3 s left",
        "simulate: 9 of 9",
        "simulate: done in 1 min 45 s",
    ]


def test_the_time_left_follows_the_speed_of_late(monkeypatch):
    """A training is fast while it learns the mean, and slow in the game."""
    clock = iter([0.0, *range(1, 21), *range(30, 400, 10)])
    monkeypatch.setattr(screen.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with screen.Lines(stream, every=0).bar("train") as progress:
        for done in range(50):
            progress(done, 50)
    lines = stream.getvalue().splitlines()
    assert lines[19].endswith("18 of 50, 32 s left")
    assert lines[41].endswith("40 of 50, 1 min 40 s left")


def test_a_pipe_is_not_flooded():
    stream = io.StringIO()
    with screen.Lines(stream).bar("train") as progress:
        for done in range(10_000):
            progress(done, 10_000)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_terminal_gets_a_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    view = screen.on(stream)
    view.say("a plan")
    with view.bar("train") as progress:
        progress(1, 2)
        progress(2, 2)
    assert "a plan\n" in stream.getvalue()
    assert "2/2" in stream.getvalue()


def test_a_silent_screen_takes_everything():
    view = screen.Silent()
    view.say("nothing")
    with view.bar("nothing") as progress:
        progress(1, 1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_do(seconds, said):
    assert screen.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(7, "7 B"), (1000, "1 kB"), (44.04e6, "44 MB"), (1.234e9, "1.23 GB"), (5e15, "5e+03 TB")],
)
def test_sizes_are_said_as_people_do(number, said):
    assert screen.size(number) == said
