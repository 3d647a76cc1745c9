"""Wall and CPU seconds of every stage of a run, added up over restarts.

They stand in ``timings.json``::

    {"simulate": {"wall": 201.3, "cpu": 388.0, "starts": 2}, "train": {...}, ...}

CPU seconds are those of this process and of all its descendants, Ray's workers among them. Processes
of a cluster that was joined, not started, run elsewhere and are not counted.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SAMPLE_EVERY = 0.5
_WRITE_EVERY = 10.0

Seconds = dict[tuple[int, int], float]


class Timings:
    """The times of one run.

    Parameters
    ----------
    path : Path
        ``timings.json``; what it holds is kept and added to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: dict[str, dict[str, float]] = _read(path)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside, and write it now and then, so that a kill loses seconds."""
        earlier = self._stages.get(name, {"wall": 0.0, "cpu": 0.0, "starts": 0})
        stop, start, meter = threading.Event(), time.monotonic(), _Meter()

        def record() -> None:
            meter.sample()
            self._stages[name] = {
                "wall": round(earlier["wall"] + time.monotonic() - start, 3),
                "cpu": round(earlier["cpu"] + meter.seconds, 3),
                "starts": earlier["starts"] + 1,
            }
            self._write()

        def watch() -> None:
            due = time.monotonic()
            while not stop.wait(_SAMPLE_EVERY):
                meter.sample()
                if time.monotonic() >= due:
                    record()
                    due = time.monotonic() + _WRITE_EVERY

        watcher = threading.Thread(target=watch, name="cosmogan-timings", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            record()

    @property
    def stages(self) -> dict[str, dict[str, float]]:
        """What the file holds: "wall" [s], "cpu" [s] and "starts" of each stage so far."""
        return {name: dict(entry) for name, entry in self._stages.items()}

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        # a full disk is for those to tell who write what matters
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(self._stages, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._path)


class _Meter:
    """CPU seconds of this process and its descendants since the meter was made.

    Ray's raylet never waits for its workers, so that their time is in nobody's account once they
    are gone: each process is sampled while it lives, and its last reading stays.
    """

    def __init__(self) -> None:
        self._before = cpu_seconds(os.getpid())
        self._last = dict(self._before)

    def sample(self) -> None:
        """Read the clocks of all processes."""
        self._last |= cpu_seconds(os.getpid())

    @property
    def seconds(self) -> float:
        """What was used so far [s]."""
        return sum(used - self._before.get(key, 0.0) for key, used in self._last.items())


def cpu_seconds(root: int) -> Seconds:
    """Return the CPU seconds of a process and its descendants.

    Parameters
    ----------
    root : int
        Process id.

    Returns
    -------
    dict
        By (process id, start time), since ids are used again. Empty without ``/proc``.
    """
    tick = float(os.sysconf("SC_CLK_TCK"))
    parents: dict[int, int] = {}
    found: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(entry.parent.name)
        parents[pid] = int(values[1])
        found[pid] = (int(values[19]), (int(values[11]) + int(values[12])) / tick)
    return {(p, found[p][0]): found[p][1] for p in _descendants(root, parents) if p in found}


def _descendants(root: int, parents: dict[int, int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    family, todo = set[int](), [root]
    while todo:
        pid = todo.pop()
        family.add(pid)
        todo += children.get(pid, [])
    return family


def _entry(values: dict[str, float]) -> dict[str, float]:
    return {
        "wall": float(values["wall"]),
        "cpu": float(values["cpu"]),
        "starts": int(values["starts"]),
    }


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): _entry(values) for name, values in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # times are a convenience: a damaged file must not stop a run
