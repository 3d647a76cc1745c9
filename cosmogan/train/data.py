"""The stream of training fields: endless, shuffled, oriented at random, and addressed by a cursor.

The field at cursor c is the same for any number of workers and after any restart: its row comes
from a permutation of (seed, epoch), its orientation from (seed, c).
"""

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmogan.errors import LayoutError, TrainingError
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.scaling import Scaling
from cosmogan.fields.store import check_split, refuse_fixed
from cosmogan.models.orientation import Orientation, draw_orientation, orient
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source
from cosmogan.models.theory import Theory

SAMPLE = 2048
"""At most so many fields are read to fix scales."""
ALIKE = (
    *("dimension", "grid", "box_size", "thickness", "mass_assignment"),
    *("particles", "parameter_names"),
)
"""What fields of both sides of the split share, of their layout."""
RELATED = 0.2
"""Least correlation of simulated fields with the latents of their own initial conditions."""


@dataclass(frozen=True)
class Batch:
    """Training fields and what belongs to them.

    Attributes
    ----------
    fields : (n, 1, N, ...) tensor
        In training space, oriented.
    origins : (n,) structured array
        Where they were cut from.
    rows : list of int
        Of the theory.
    orientations : list of Orientation
        How each was turned.
    """

    fields: Tensor
    origins: NDArray[np.void]
    rows: list[int]
    orientations: list[Orientation]


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
        self.rows, self.origins = rows_of(fields, theory), fields.origin
        self._epoch, self._order = -1, np.arange(len(fields))

    def at(self, cursors: Sequence[int]) -> Batch:
        """Return the fields at cursors."""
        index = np.array([self._index(c) for c in cursors])
        y = to_tensor(self.fields.read_checked(index), self.scaling)
        layout = self.fields.layout
        turns = [
            draw_orientation(derive_seed(self.seed, 3, c), layout.dimension, layout.grid)
            for c in cursors
        ]
        return Batch(orient(y, turns), self.origins[index], self.rows[index].tolist(), turns)

    def _index(self, cursor: int) -> int:
        epoch, place = divmod(cursor, len(self.fields))
        if epoch != self._epoch:
            random = np.random.Generator(np.random.Philox(key=derive_seed(self.seed, 4, epoch)))
            self._epoch, self._order = epoch, random.permutation(len(self.fields))
        return int(self._order[place])


def to_tensor(fields: NDArray[np.float32], scaling: Scaling) -> Tensor:
    """Return density fields (n, N, ...) as a tensor (n, 1, N, ...) in training space."""
    return torch.from_numpy(scaling.forward(fields).astype(np.float32))[:, None]


def rows_of(fields: FieldSet, theory: Theory) -> NDArray[np.int64]:
    """Return the rows of the theory (n,) that the fields' parameters are.

    Raises
    ------
    RecipeError
        If there is no spectrum for the parameters of a field.
    """
    parameters, which = np.unique(fields.parameters, axis=0, return_inverse=True)
    return np.array([theory.row(p) for p in parameters])[which.reshape(-1)]


def spread(fields: Sized, most: int = SAMPLE) -> NDArray[np.int64]:
    """Return the numbers of up to `most` fields, evenly spread over the data set."""
    return np.unique(np.linspace(0, len(fields) - 1, min(most, len(fields))).astype(int))


def check_training(train: FieldSet, validation: FieldSet) -> None:
    """Refuse data that would make the verdict a lie.

    Raises
    ------
    SplitError
        If a simulation stands on both sides.
    LayoutError
        If their fields are not of one kind.
    RecipeError
        If the amplitudes of either were fixed.
    """
    for name in ALIKE:
        here, there = getattr(validation.layout, name), getattr(train.layout, name)
        if here != there:
            raise LayoutError(
                f"{validation.path}: {name} = {here}, but {there} in {train.path}; "
                "give both sides fields of one kind"
            )
    check_split(train=train, validation=validation)
    refuse_fixed(train)
    refuse_fixed(validation)


def check_origins(data: TrainingFields, source: Source) -> None:
    """Refuse fields whose seeds are not those of their initial conditions.

    Raises
    ------
    TrainingError
        If the fields do not correlate with the latents that their seeds make.
    """
    batch = data.at(range(min(64, len(data.rows))))
    latents = orient(source.latents(batch.origins, batch.rows), batch.orientations)[:, :1]
    pair = np.stack([batch.fields.numpy().ravel(), latents.numpy().ravel()])
    found = float(np.corrcoef(pair)[0, 1])
    if not found > RELATED:
        raise TrainingError(
            f"{data.fields.path}: the fields do not follow the initial conditions of their seeds "
            f"(correlation {found:.2f}); give fields of `cosmogan simulate`, or latent = 'gaussian'"
        )
