"""Checkpoints and weights on disk: safetensors with a JSON header, atomic and hashed.

A file holds named tensors, and in its header ``content`` (JSON: shapes, scaling, counters) and
``digest`` (sha256 over names, types and bytes of all tensors), checked whenever it is read. There
are no pickles.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from cosmogan.errors import CheckpointError
from cosmogan.fields.files import clean_temporaries, make_folder, whole_file

log = logging.getLogger(__name__)


def save(path: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    """Write tensors and their description; the name appears only when the file is complete.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    tensors : mapping of str to Tensor
        Copied to the CPU.
    content : mapping
        Anything JSON holds.

    Raises
    ------
    ResourceError
        If the disk is full or may not be written; an older file of that name stays.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"content": json.dumps(content, sort_keys=True), "digest": _digest(plain)}
    make_folder(path.parent)
    with whole_file(path) as temporary:
        temporary.write_bytes(serialise(plain, metadata=header))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, altered or not one of ours.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; train first or give another path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); use an older checkpoint") from error
    if "content" not in header or "digest" not in header:
        raise CheckpointError(f"{path}: not a cosmogan checkpoint; give a file that train wrote")
    if _digest(tensors) != header["digest"]:
        raise CheckpointError(f"{path}: its tensors were altered; use an older checkpoint")
    try:
        content: dict[str, Any] = json.loads(header["content"])
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged ({error}); use an older checkpoint") from error
    return tensors, content


def newest(folder: Path) -> Path | None:
    """Return the newest readable checkpoint of a folder; damaged ones are skipped and named."""
    for path in sorted(folder.glob("checkpoint-*.safetensors"), reverse=True):
        try:
            load(path)
        except CheckpointError as error:
            log.warning("%s", error)
        else:
            return path
    return None


def prune(folder: Path, *, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints and what killed writers left."""
    for path in sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)[keep:]:
        path.unlink()
    clean_temporaries(folder)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``prefix.`` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix.``, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def restore(module: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module of the same shape.

    Raises
    ------
    CheckpointError
        If names or shapes differ: the checkpoint is of another network.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{where}: of another network ({reason}); train anew or give back its recipe"
        ) from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
