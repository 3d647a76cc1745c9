"""Files that are whole or absent: temporary name, sync, rename; and the space they need."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmogan.errors import LayoutError, ResourceError

_SUFFIX = ".tmp"
_FOREIGN_AGE = 3600.0


@contextlib.contextmanager
def whole_file(path: Path, expected_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary path beside `path` to be written; rename it when the block ends well.

    The bytes are on the disk before the name is, so that a crash at any moment leaves the old file,
    the new one, or none. If the block raises, the temporary file is removed.

    Raises
    ------
    ResourceError
        If `expected_bytes` are not free, the disk runs full, or the folder may not be written.
    """
    require_space(path.parent, expected_bytes)
    owner = f"{socket.gethostname()}@{os.getpid()}"
    temporary = path.parent / f".{path.name}@{owner}@{uuid.uuid4().hex[:8]}{_SUFFIX}"
    try:
        with _resource(path):
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless they exist."""
    with _resource(path):
        path.mkdir(parents=True, exist_ok=True)


def clean_temporaries(folder: Path) -> None:
    """Remove what killed writers left in `folder`; a writer that may be alive keeps its file."""
    for temporary in folder.glob(f".*{_SUFFIX}"):
        if _abandoned(temporary):
            temporary.unlink(missing_ok=True)


def require_space(folder: Path, expected_bytes: int) -> None:
    """Raise `ResourceError` unless the disk of `folder` has room for `expected_bytes`."""
    free = free_space(folder)
    if expected_bytes > free:
        raise ResourceError(
            f"{folder}: needs {expected_bytes / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free; "
            "make room or choose another output"
        )


def free_space(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as a whole file."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; raise `LayoutError` if it is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LayoutError(f"{path}: cannot be read ({error}); restore it") from error
    if not isinstance(content, dict):
        raise LayoutError(f"{path}: not a JSON object; restore it")
    return content


@contextlib.contextmanager
def _resource(path: Path) -> Iterator[None]:
    """Turn what the system refuses into one line."""
    try:
        yield
    except OSError as error:
        number, why = _reason(error)
        full = number in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room" if full else "choose another output"
        raise ResourceError(
            f"{path}: cannot be written ({why}); {remedy} and give the same command again"
        ) from error


def _reason(error: OSError) -> tuple[int, str]:
    """Return number and text of a system error; HDF5 hides them in several lines."""
    number = error.errno
    if not number:
        found = re.search(r"errno = (\d+)", str(error))
        number = int(found[1]) if found else 0
    return number, os.strerror(number) if number else str(error).partition("\n")[0]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _abandoned(temporary: Path) -> bool:
    """Tell whether the writer of a temporary file is certainly gone."""
    try:
        _, host, process, _ = temporary.name.rsplit("@", 3)
        if host != socket.gethostname():
            return time.time() - temporary.stat().st_mtime > _FOREIGN_AGE
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False
    return False
