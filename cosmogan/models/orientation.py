"""The symmetry of the universe: shifts, turns and mirrors of a periodic box."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Orientation:
    """One element of the group of a periodic grid.

    Attributes
    ----------
    axes : tuple of int
        Order in which the spatial axes are taken.
    flips : tuple of bool
        Which of them are mirrored.
    shifts : tuple of int
        By how many cells each is rolled.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    shifts: tuple[int, ...]

    def apply(self, field: Tensor) -> Tensor:
        """Orient a field (c, N, ...)."""
        turned = field.permute(0, *(1 + a for a in self.axes))
        mirrored = turned.flip([1 + i for i, flip in enumerate(self.flips) if flip])
        return mirrored.roll(self.shifts, tuple(range(1, field.ndim)))

    def undo(self, field: Tensor) -> Tensor:
        """Return a field (c, N, ...) to where `apply` found it."""
        back = field.roll(tuple(-s for s in self.shifts), tuple(range(1, field.ndim)))
        mirrored = back.flip([1 + i for i, flip in enumerate(self.flips) if flip])
        return mirrored.permute(0, *(1 + int(a) for a in np.argsort(self.axes)))


def draw_orientation(seed: int, dimension: int, shifts: int) -> Orientation:
    """Return a random orientation: any turn and mirror, shifts below `shifts` cells."""
    random = np.random.Generator(np.random.Philox(key=seed))
    return Orientation(
        axes=tuple(int(a) for a in random.permutation(dimension)),
        flips=tuple(bool(f) for f in random.integers(0, 2, dimension)),
        shifts=tuple(int(s) for s in random.integers(0, shifts, dimension)),
    )


def orient(fields: Tensor, orientations: list[Orientation]) -> Tensor:
    """Orient each of the fields (n, c, N, ...)."""
    return torch.stack([o.apply(f) for o, f in zip(orientations, fields, strict=True)])


def restore_orientation(fields: Tensor, orientations: list[Orientation]) -> Tensor:
    """Undo `orient`."""
    return torch.stack([o.undo(f) for o, f in zip(orientations, fields, strict=True)])
