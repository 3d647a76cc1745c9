"""What a private cluster needs of the machine: environment, folder, token, processors. No Ray here."""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cosmogan.errors import ResourceError

_log = logging.getLogger(__name__)

_PREFIX = "cosmogan-"
LONGEST = 40
"""Of the folder's path: Ray adds 65 characters, and that of a socket ends at 107."""
_PATIENCE = 10.0


def available_cpus() -> int:
    """Return the CPUs that this process may use: its affinity, and the quota of its cgroup."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or no quota ("max")
        return count


def available_memory() -> int:
    """Return the memory that this process may still take: what is free, within its cgroup [bytes]."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    try:
        most, used = (
            int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
        return max(0, min(free, most - used))
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        return free


@contextlib.contextmanager
def environment(values: Mapping[str, str], drop: Sequence[str] = ()) -> Iterator[None]:
    """Set, and remove, environment variables inside the block."""
    before = {name: os.environ.get(name) for name in (*values, *drop)}
    try:
        for name in drop:
            os.environ.pop(name, None)
        os.environ.update(values)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder with mode 0700 and a short name; remove it, and those of the dead, at the end."""
    parent = short_temporary_folder()
    clean(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / "lock")  # nobody sees it open
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def short_temporary_folder() -> Path:
    """Return the machine's temporary folder, or another whose name is short enough for sockets."""
    for candidate in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        short = len(candidate) + len(_PREFIX) + 8 <= LONGEST
        if short and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    raise ResourceError("no writable temporary folder with a short name; set TMPDIR to one")


def clean(parent: Path) -> None:
    """Remove the folders of our dead processes: the system dropped their locks."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def write_token(path: Path) -> Path:
    """Write a new token that only its user may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    return path


def require_token() -> None:
    """Raise `ResourceError` without a token; warn of one that others can read."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not path.is_file():
        raise ResourceError(
            f"{path}: no token of the Ray cluster; set RAY_AUTH_TOKEN_PATH to a copy of its token"
        )
    if path.stat().st_mode & 0o077:
        _log.warning("%s: others can read this token; chmod 600 it", path)


def require_listener(address: str) -> None:
    """Raise `ResourceError` unless something listens there: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        raise ResourceError(f"RAY_ADDRESS = {address!r}: not host:port; give the cluster's own")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise ResourceError(
            f"Ray: nobody listens at {address} ({error.strerror or error}); correct RAY_ADDRESS, or "
            "unset it for a private cluster"
        ) from error
