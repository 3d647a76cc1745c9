"""What a training goes on from: its checkpoints, which belong to one plan and one precision."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cosmogan.errors import CheckpointError
from cosmogan.models import checkpoint
from cosmogan.train.place import Place
from cosmogan.train.plan import Training

GAME, PREDICTOR = "checkpoints", "predictor"
"""Folders of the checkpoints of both parts of a training."""
FORMAT = 2
"""Of what they hold."""
KEEP = 2
"""Newest checkpoints kept."""


class Checkpoints:
    """The checkpoints of one part of a training.

    Parameters
    ----------
    folder : Path
        Theirs.
    plan : Training
        Whose.
    place : Place
        Where this process stands.
    """

    def __init__(self, folder: Path, plan: Training, place: Place) -> None:
        self.folder, self.plan, self.place = folder, plan, place

    def newest(self) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
        """Return the path, the tensors and the rest of the newest that can be read, or None.

        Raises
        ------
        CheckpointError
            If it is another training's, or was made in another precision.
        """
        path = checkpoint.newest(self.folder)
        if path is None:
            return None
        tensors, content = checkpoint.load(path)
        _require_own(path, content, self.plan.identity)
        before, here = content.get("precision"), self.place.precision
        if before != here:
            raise CheckpointError(
                f"{path}: learnt in {before}, and here it would go on in {here}; take a machine like the "
                f"first, or choose another output with train.precision = 'float32'"
            )
        return path, tensors, content

    def write(self, shown: int, tensors: dict[str, Tensor], **content: object) -> None:
        """Write one, after so many fields, and forget all but the newest."""
        whose = {
            "identity": self.plan.identity,
            "format": FORMAT,
            "precision": self.place.precision,
        }
        path = self.folder / f"checkpoint-{shown:012d}.safetensors"
        checkpoint.save(path, tensors, whose | {"shown": shown} | content)
        checkpoint.prune(self.folder, keep=KEEP)


def refuse_others(run: Path, identity: str) -> None:
    """Refuse a folder in which another training was begun, before anything is made for this one.

    Raises
    ------
    CheckpointError
        If a checkpoint there is another training's.
    """
    for path in map(checkpoint.newest, (run / PREDICTOR, run / GAME)):
        if path is not None:
            _require_own(path, checkpoint.load(path)[1], identity)


def _require_own(path: Path, content: Mapping[str, Any], identity: str) -> None:
    if content.get("identity") != identity or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: made from another recipe, or by another version; choose another output or delete {path.parent.parent}"
        )
