"""Checkpoints and weights on disk: safetensors with a JSON header, atomic and hashed.

A file holds named tensors, and in its header one entry, ``cosmogan``: JSON of ``content`` (shapes,
scaling, counters) and ``digest`` (sha256 over it and names, types and bytes of all tensors), checked
whenever it is read. One entry, since safetensors writes several in random order: equal content gives
equal bytes. There are no pickles.
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

ENTRY = "cosmogan"


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
    header = {"content": content, "digest": _digest(plain, content)}
    entry = {ENTRY: json.dumps(header, sort_keys=True)}
    make_folder(path.parent)
    with whole_file(path) as temporary:
        temporary.write_bytes(serialise(plain, metadata=entry))


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
            entries = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(entries.get(ENTRY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); use an older checkpoint") from error
    if not isinstance(header, dict) or header.keys() != {"content", "digest"}:
        raise CheckpointError(f"{path}: not a cosmogan checkpoint; give a file that train wrote")
    content: dict[str, Any] = header["content"]
    if _digest(tensors, content) != header["digest"]:
        raise CheckpointError(f"{path}: its content was altered; use an older checkpoint")
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


def _digest(tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
