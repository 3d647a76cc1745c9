"""What a person sees while a stage works: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

Progress = Callable[[int, int], None]

_QUIET_SECONDS = 15.0
_RECENT = 8  # lines back, for the speed
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Screen(Protocol):
    """Where a run says what it does."""

    def say(self, text: str) -> None:
        """Show some lines."""

    def bar(self, label: str) -> AbstractContextManager[Progress]:
        """Show how far something is; call what it yields with (done, total)."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def bar(self, label: str) -> Iterator[Progress]:  # noqa: ARG002  (the protocol's)
        """Show nothing."""
        yield lambda _done, _total: None


class Lines:
    """Plain lines, for log files and pipes.

    Parameters
    ----------
    stream : text file
        Where the lines go.
    every : float
        Least time between two lines of one bar [s].
    """

    def __init__(self, stream: TextIO, every: float = _QUIET_SECONDS) -> None:
        self._stream = stream
        self._every = every

    def say(self, text: str) -> None:
        """Write some lines at once."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    @contextmanager
    def bar(self, label: str) -> Iterator[Progress]:
        """Write a line at the start, now and then, and at the end."""
        self.say(f"{label} ...")
        start = shown = time.monotonic()
        recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)
        found = last = -1

        def progress(done: int, total: int) -> None:
            nonlocal shown, found, last
            now = time.monotonic()
            if found < 0:
                found = done
                recent.append((now, done))
            elif recent[0][1] == found < done:
                recent.clear()  # until here it was starting up
                recent.append((now, done))
            if done > last and now - shown >= self._every:
                shown, last = now, done
                since, before = recent[0]
                left = _time_left(now - since, done - before, total - done)
                self.say(f"{label}: {done} of {total}{left}")
                if done > before:
                    recent.append((now, done))

        yield progress
        self.say(f"{label}: done in {duration(time.monotonic() - start)}")


class Bars:
    """Bars with the time left, for a terminal."""

    def say(self, text: str) -> None:
        """Write some lines at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    @contextmanager
    def bar(self, label: str) -> Iterator[Progress]:
        """Draw a bar that stays when it is full."""
        from rich import progress as rich

        with rich.Progress(
            rich.TextColumn("{task.description:<18}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("left"),
            rich.TimeRemainingColumn(),
        ) as bars:
            task = bars.add_task(label, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def on(stream: TextIO) -> Screen:
    """Return bars for a terminal, lines for anything else."""
    return Bars() if stream.isatty() else Lines(stream)


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number: float) -> str:
    """Return a number of bytes as a person says it: ``830 kB``, ``1.2 GB``."""
    power = 0
    while number >= 1000 and power < len(_UNITS) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {_UNITS[power]}"


def _time_left(elapsed: float, made: int, missing: int) -> str:
    return f", {duration(elapsed / made * missing)} left" if made > 0 and missing > 0 else ""
