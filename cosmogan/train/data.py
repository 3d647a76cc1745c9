"""The stream of training fields: endless, shuffled, oriented at random, and addressed by a cursor.

The field at cursor c is the same for any number of workers and after any restart: its row comes
from a permutation of (seed, epoch), its orientation from (seed, c).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.scaling import Scaling
from cosmogan.fields.store import check_split, refuse_fixed
from cosmogan.models.latent import Theory
from cosmogan.models.orientation import draw_orientation, orient
from cosmogan.models.source import derive_seed

SAMPLE = 2048
"""At most so many fields are read to fix scales."""


class TrainingFields:
    """Training fields behind a cursor.

    Parameters
    ----------
    fields : FieldSet
        The training side of the split.
    scaling : Scaling
        The training space.
    theory : Theory
        Whose rows the fields' parameters are.
    seed : int
        Of order and orientations.

    Raises
    ------
    RecipeError
        If there is no spectrum for the parameters of a field.
    """

    def __init__(self, fields: FieldSet, scaling: Scaling, theory: Theory, seed: int) -> None:
        self.fields, self.scaling, self.seed = fields, scaling, seed
        parameters, which = np.unique(fields.parameters, axis=0, return_inverse=True)
        self.rows = np.array([theory.row(p) for p in parameters])[which.reshape(-1)]
        self._epoch, self._order = -1, np.arange(len(fields))

    def at(self, cursors: Sequence[int]) -> tuple[Tensor, NDArray[np.int64]]:
        """Return the fields (n, 1, N, ...) in training space and their rows of the theory (n,)."""
        index = np.array([self._index(c) for c in cursors])
        y = to_tensor(self.fields[index], self.scaling)
        layout = self.fields.layout
        turns = [
            draw_orientation(derive_seed(self.seed, 3, c), layout.dimension, layout.grid)
            for c in cursors
        ]
        return orient(y, turns), self.rows[index]

    def _index(self, cursor: int) -> int:
        epoch, place = divmod(cursor, len(self.fields))
        if epoch != self._epoch:
            random = np.random.Generator(np.random.Philox(key=derive_seed(self.seed, 4, epoch)))
            self._epoch, self._order = epoch, random.permutation(len(self.fields))
        return int(self._order[place])


def to_tensor(fields: NDArray[np.float32], scaling: Scaling) -> Tensor:
    """Return density fields (n, N, ...) as a tensor (n, 1, N, ...) in training space."""
    return torch.from_numpy(scaling.forward(fields).astype(np.float32))[:, None]


def spread_rows(fields: FieldSet) -> NDArray[np.float32]:
    """Return up to `SAMPLE` fields, evenly spread over the data set."""
    rows = np.unique(np.linspace(0, len(fields) - 1, min(SAMPLE, len(fields))).astype(int))
    return fields[rows]


def check_training(train: FieldSet, validation: FieldSet) -> None:
    """Refuse data that would make the verdict a lie.

    Raises
    ------
    SplitError
        If a simulation stands on both sides.
    RecipeError
        If the amplitudes of either were fixed.
    """
    check_split(train=train, validation=validation)
    refuse_fixed(train)
    refuse_fixed(validation)
