"""What the process that started a training does while it runs: it watches the log, and passes signals on."""

import contextlib
import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from cosmogan.train.watch import in_words

Progress = Callable[[int, int], None]

_log = logging.getLogger(__name__)

AHEAD = 9
"""Fields from which the mean is learnt in about the time of one in the game."""
FOLLOW_SECONDS = 1.0
"""Between two looks at the log."""


@contextlib.contextmanager
def touching(flag: Path) -> Iterator[None]:
    """Let SIGTERM, SIGUSR1 and SIGINT touch a file that the workers watch."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def touch(_number: int, _frame: FrameType | None) -> None:
        flag.touch()

    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = {number: signal.signal(number, touch) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def following(path: Path, before: int, images: int, progress: Progress) -> Iterator[None]:
    """Report how much is done while the block runs: the last line of the log, whose clock starts at -`before`.

    Alarms that come meanwhile are warned of at once.
    """
    done, news = threading.Event(), _News(path)

    def tell() -> None:
        progress(*work_done(_shown(path, -before), before, images))
        for line in news.read():
            if line.get("event") == "alarm":
                _log.warning("train: %s", in_words(line))

    def follow() -> None:
        while not done.wait(FOLLOW_SECONDS):
            tell()

    thread = threading.Thread(target=follow, daemon=True)
    tell()
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        tell()


def work_done(shown: int, before: int, images: int) -> tuple[int, int]:
    """Return how much is done, and of how much, when so many fields were shown from -`before` on."""
    return max(shown, 0) + (before + min(shown, 0)) // AHEAD, images + before // AHEAD


class _News:
    """Reads a growing log from where it ends now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that were completed since."""
        try:
            self._read = min(self._read, self._path.stat().st_size)  # one that goes on is cut first
            with self._path.open("rb") as file:
                file.seek(self._read)
                *lines, _ = file.read().split(b"\n")
        except OSError:
            return
        for line in lines:
            self._read += len(line) + 1
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def _shown(path: Path, start: int) -> int:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 4096, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return int(json.loads(lines[-1])["images"])
    except (OSError, IndexError, ValueError, KeyError):
        return start
