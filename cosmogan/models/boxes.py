"""Boxes that theory displaced, kept on disk: made once for a training, and mapped by all its workers.

A folder holds one file for each seed and row of the theory, named after both; the folder itself is named
after latent and theory, so that boxes of another training are never taken.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosmogan.errors import CheckpointError
from cosmogan.models import checkpoint
from cosmogan.models.theory import Theory

_BOX = "box"


class Boxes:
    """Boxes on disk, mapped into memory when they are first asked for.

    Parameters
    ----------
    parent : Path
        Where the folder is, or is to be.
    latent : mapping
        What the boxes hold, besides what the theory says.
    theory : Theory
        Spectra and growth.
    grid : int
        Cells per side.
    """

    def __init__(self, parent: Path, latent: Mapping[str, Any], theory: Theory, grid: int) -> None:
        self.folder = parent / _fingerprint(latent, theory, grid)
        self._mapped: dict[tuple[int, int], NDArray[np.float32]] = {}

    def __contains__(self, key: tuple[int, int]) -> bool:
        return key in self._mapped or self._path(*key).is_file()

    def read(self, seed: int, row: int) -> NDArray[np.float32]:
        """Return a box, (fields, N, N, N).

        Raises
        ------
        CheckpointError
            If it is missing or damaged.
        """
        key = seed, row
        if key not in self._mapped:
            path = self._path(*key)
            try:
                tensors, _ = checkpoint.load(path)
            except CheckpointError as error:
                raise CheckpointError(
                    f"{path}: a box that is missing or damaged; `cosmogan train` makes it again"
                ) from error
            self._mapped[key] = tensors[_BOX].numpy()
        return self._mapped[key]

    def write(self, seed: int, row: int, box: NDArray[np.float32]) -> None:
        """Keep a box.

        Raises
        ------
        ResourceError
            If the disk is full or may not be written.
        """
        checkpoint.save(self._path(seed, row), {_BOX: torch.from_numpy(box)}, {})

    def _path(self, seed: int, row: int) -> Path:
        return self.folder / f"{seed}-{row}.safetensors"


def _fingerprint(latent: Mapping[str, Any], theory: Theory, grid: int) -> str:
    total = hashlib.sha256(json.dumps([dict(latent), grid], sort_keys=True).encode())
    for name, value in asdict(theory).items():
        content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
        total.update(name.encode() + content)
    return total.hexdigest()[:16]
