import io
import sys

import pytest

from cosmogan import screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_plain_lines_with_the_time_left():
    stream = io.StringIO()
    view = screen.Lines(stream, every=0)
    with view.bar("simulate") as progress:
        progress(3, 9)
        progress(6, 9)
        progress(9, 9)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "simulate ..."
    assert lines[1] == "simulate: 3 of 9"  # what an earlier run had done says nothing of the speed
    assert lines[2].startswith("simulate: 6 of 9, ")
    assert lines[2].endswith(" left")
    assert lines[3] == "simulate: 9 of 9"
    assert lines[4].startswith("simulate: done in ")


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
