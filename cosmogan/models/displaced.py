"""The latent that knows initial conditions: samples of boxes that perturbation theory displaced.

Initial conditions with the linear spectrum are displaced to second order, with spherical collapse at
small scales, and painted (`cosmogan.initial.displaced_matter`). They know the cosmic web, and given the
seed of a simulation they are what theory knows of that very simulation.
"""

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import CheckpointError, LayoutError
from cosmogan.fields.cut import cut_slabs
from cosmogan.fields.cut import origins as make_origins
from cosmogan.initial import crossing_radius, displaced_matter, linear_modes
from cosmogan.models.boxes import Boxes
from cosmogan.models.seeds import derive_seed
from cosmogan.models.theory import Theory

Displacement = Literal["augmented", "2lpt", "zeldovich"]

SLABS = 32
"""Most slices that are cut from a box along an axis, evenly spaced: the next one is much the same."""
MEMORY = 2**30
"""Boxes are kept up to so many bytes."""
_BOX = 6
"""Sets the seeds of boxes apart from those of fields."""


class LptLatent:
    """Samples cut from boxes that theory displaced; field k comes from box k // m.

    Parameters
    ----------
    theory : Theory
        Linear spectra and growth.
    grid : int
        Cells per side; particles stand on a lattice twice as fine.
    neighbours : int
        Slabs on either side of a slice that the network sees too: theory may leave matter on the
        wrong side of a face, and structures reach through it. Cubes have none.
    carried : sequence of float
        Radii [cells] of the smoothed initial densities that matter carries along, which the network
        sees too.
    displacement : {"augmented", "2lpt", "zeldovich"}
        To second order with spherical collapse at small scales, without that, or to first order.
    kept : Path, optional
        Folder of boxes that were made before, by `keep`; without it they are made when asked for.
    """

    def __init__(
        self,
        theory: Theory,
        grid: int,
        neighbours: int = 0,
        carried: Sequence[float] = (),
        displacement: Displacement = "augmented",
        kept: Path | None = None,
    ) -> None:
        self.theory, self.grid, self.displacement = theory, grid, displacement
        self.neighbours = neighbours if theory.dimension == 2 else 0
        self.carried = tuple(carried)
        box_bytes = 4 * grid**3 * (1 + len(self.carried))
        self._made = lru_cache(maxsize=max(MEMORY // box_bytes, 4))(self._make_box)
        content = {"carried": self.carried, "displacement": displacement}
        self.kept = Boxes(kept, content, theory, grid) if kept else None
        self._radius = lru_cache(maxsize=1024)(self._make_radius)

    @property
    def slabs(self) -> int:
        """Slices of a box along an axis."""
        return self.grid // self.theory.thickness if self.theory.dimension == 2 else 1

    @property
    def densities(self) -> int:
        """Channels that are densities: the sample and its neighbours."""
        return 1 + 2 * self.neighbours

    @property
    def channels(self) -> int:
        """The densities, and what their matter carries."""
        return self.densities * (1 + len(self.carried))

    def origins(self, seed: int, numbers: Sequence[int]) -> NDArray[np.void]:
        """Return box, axis and slab of each field; a box gives three axes of up to `SLABS` slabs."""
        number = np.asarray(numbers)
        if self.theory.dimension == 3:
            box, axis, slab = number, np.full_like(number, -1), np.full_like(number, -1)
        else:
            used = min(SLABS, self.slabs)
            box, place = np.divmod(number, 3 * used)
            axis, slab = place // used, place % used * self.slabs // used
        made = make_origins(axis, slab)
        made["simulation"] = made["seed"] = [derive_seed(seed, k, _BOX) for k in box.tolist()]
        return made

    def density(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Cut the samples from their boxes.

        Raises
        ------
        LayoutError
            If an origin is no place in a box, or its amplitudes were fixed.
        """
        return self._cut(origins, rows, [0], slice(0, 1))[:, 0]

    def views(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return each sample and what is seen beside it.

        The slabs before and behind it follow, the nearest first; then what all of them carry, in the
        same order, radius by radius.

        Raises
        ------
        LayoutError
            As `density`.
        """
        away = [side * n for n in range(1, self.neighbours + 1) for side in (-1, 1)]
        return self._cut(origins, rows, [0, *away], slice(None))

    def keep(self, seed: int, row: int) -> None:
        """Make a box and write it to the folder of boxes, unless it is there and undamaged.

        Raises
        ------
        ResourceError
            If the disk is full or may not be written.
        """
        if self.kept is None:
            return
        with contextlib.suppress(CheckpointError):
            self.kept.read(seed, row)
            return
        self.kept.write(seed, row, self._make_box(seed, row))

    def _cut(
        self, origins: NDArray[np.void], rows: Sequence[int], away: list[int], fields: slice
    ) -> NDArray[np.float32]:
        self._check(origins)
        samples = [
            self._place(self._box(int(o["seed"]), row)[fields], o, away)
            for o, row in zip(origins, rows, strict=True)
        ]
        return np.stack(samples)

    def _place(
        self, box: NDArray[np.float32], origin: np.void, away: list[int]
    ) -> NDArray[np.float32]:
        """Return the samples (fields * away, N, ...) at and beside a place in a box (fields, N, N, N)."""
        if self.theory.dimension == 3:
            return box
        numbers = [(int(origin["slab"]) + n) % self.slabs for n in away]
        axis, thickness = int(origin["axis"]), self.theory.thickness
        return np.concatenate([cut_slabs(field, axis, thickness, numbers) for field in box])

    def _check(self, origins: NDArray[np.void]) -> None:
        axis, slab = origins["axis"], origins["slab"]
        if self.theory.dimension == 3:
            wrong = (axis != -1) | (slab != -1)
        else:
            wrong = (axis < 0) | (axis > 2) | (slab < 0) | (slab >= self.slabs)
        for broken, rule in (
            (wrong, f"stands at no axis and slab of {self.slabs} in a box"),
            (origins["fixed"], "has initial amplitudes that were fixed"),
        ):
            if broken.any():
                first = int(np.flatnonzero(broken)[0])
                raise LayoutError(
                    f"origin {first} ({origins[first]}) {rule}; give those of Gaussian simulations "
                    "of the trained layout"
                )

    def _box(self, seed: int, row: int) -> NDArray[np.float32]:
        if self.kept is not None and (seed, row) in self.kept:
            return self.kept.read(seed, row)
        return self._made(seed, row)

    def _make_box(self, seed: int, row: int) -> NDArray[np.float32]:
        theory = self.theory
        box_size = self.grid * theory.cell_size
        first, second = theory.growth(row)
        return displaced_matter(
            linear_modes(seed, self.grid, box_size, theory.linear_power(row)),
            box_size,
            (first, 0.0 if self.displacement == "zeldovich" else second),
            radius=self._radius(row) if self.displacement == "augmented" else 0.0,
            carried=[radius * theory.cell_size for radius in self.carried],
            window=theory.window,
        )

    def _make_radius(self, row: int) -> float:
        return crossing_radius(self.theory.linear_power(row), self.theory.growth(row)[0])
