"""What the generator starts from: a physical field made from a seed, and white noise.

The field lies on the output grid and is right at large scales before training starts. There are two
kinds: `gaussian`, lognormal fields (`cosmogan.models.lognormal`), and `lpt`, samples of boxes that
perturbation theory displaced (`cosmogan.models.displaced`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from cosmogan.mesh import white_noise_cells
from cosmogan.models.displaced import Displacement, LptLatent
from cosmogan.models.lognormal import GaussianLatent
from cosmogan.models.theory import Theory

LatentKind = Literal["gaussian", "lpt"]


class Latent(Protocol):
    """A kind of latent, at all trained parameters, on one grid."""

    @property
    def channels(self) -> int:
        """Fields that the network sees of each latent."""

    @property
    def densities(self) -> int:
        """How many of them, from the first, are densities over mean; the rest are of order one."""

    def origins(self, seed: int, numbers: Sequence[int]) -> NDArray[np.void]:
        """Return where the latents of fields `numbers` of a seed come from, (n,) `ORIGIN_DTYPE`."""

    def density(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the latents at origins and rows of the theory, density over mean (n, N, ...)."""

    def views(self, origins: NDArray[np.void], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return what the network sees (n, channels, N, ...): `density` first, then what belongs to it."""


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """What the generator starts from, and how much of it the network sees.

    Attributes
    ----------
    kind : {"gaussian", "lpt"}
        Lognormal fields, or boxes that perturbation theory displaced.
    neighbours : int
        Slabs of a box on either side of a slice.
    carried : tuple of float
        Radii of the smoothed initial densities that matter carries along [cells].
    displacement : {"augmented", "2lpt", "zeldovich"}
        Of boxes.
    """

    kind: LatentKind
    neighbours: int = 0
    carried: tuple[float, ...] = ()
    displacement: Displacement = "augmented"

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "LatentShape":
        """Undo `as_dict`; a kind that is none is a KeyError."""
        if content["kind"] not in get_args(LatentKind):
            raise KeyError(f"latent {content['kind']!r}")
        return cls(**{**content, "carried": tuple(content["carried"])})


def make_latent(shape: LatentShape, theory: Theory, grid: int, kept: Path | None = None) -> Latent:
    """Return a latent on a grid of so many cells per side; `kept` is a folder of displaced boxes."""
    if shape.kind == "lpt":
        return LptLatent(theory, grid, shape.neighbours, shape.carried, shape.displacement, kept)
    return GaussianLatent(theory, grid)


def white_noise(seed: int, grids: Sequence[int], dimension: int) -> list[NDArray[np.float32]]:
    """Return a white-noise field on each grid, indexed by (seed, level, cell)."""
    return [
        white_noise_cells(seed, (grid,) * dimension, stream=level + 1)
        for level, grid in enumerate(grids)
    ]
