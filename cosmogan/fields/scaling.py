"""The space the networks work in: y = (log1p(rho / rho_s) - mean) / std.

What networks say is bounded softly, by an empty cell below and just above the range of the
training fields: one cell beyond it would add white power to a whole slice. Both directions work on
numpy arrays and, with ``xp=torch``, on tensors, and keep their precision.
"""

import math
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import LayoutError

if TYPE_CHECKING:
    from torch import Tensor

SOFT, CEILING = 0.2, 1.05
"""Of the largest training density. The tail of the simulations falls faster than an exponential of
what a network gives: with the soft part beginning at 0.8, cells above 60 % of the largest density
were two to three times too many, and carried a third of the third moment."""
FAINT = 0.1
"""Of the density scale: what would be emptier approaches an empty cell, and never stands there, where no gradient would lead out again.
With a hard edge networks left one cell in two thousand empty, and simulations one in half a million."""

Array = TypeVar("Array", NDArray[np.float32], NDArray[np.float64], "Tensor")


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Density over mean <-> training space.

    Attributes
    ----------
    density_scale : float
        rho_s, where the logarithm takes over [mean density].
    mean, std : float
        Of log1p(rho / rho_s) over the training fields.
    density_max : float
        Largest density of the training fields [mean density].

    Raises
    ------
    LayoutError
        If a number is not finite or a scale not positive, as for constant fields.
    """

    density_scale: float
    mean: float
    std: float
    density_max: float

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, self.as_dict().values()))
        rounding = 1e-9  # constant fields scatter by as much, and have no contrast
        if not (finite and min(self.density_scale, self.density_max) > 0 and self.std > rounding):
            raise LayoutError(
                f"scaling {self.as_dict()}: every number must be finite and every scale positive; "
                "give training fields that are neither constant nor damaged"
            )

    @classmethod
    def fit(
        cls, fields: NDArray[np.float32], density_scale: float, density_max: float | None = None
    ) -> "Scaling":
        """Measure mean and scatter of training fields (n, N, ...), and their largest density if it is not known of more of them."""
        logarithm = np.log1p(fields.astype(np.float64) / density_scale)
        return cls(
            density_scale=density_scale,
            mean=float(logarithm.mean()),
            std=float(logarithm.std()),
            density_max=float(fields.max()) if density_max is None else density_max,
        )

    def as_dict(self) -> dict[str, float]:
        """Return the four numbers, for a file."""
        return asdict(self)

    @property
    def floor(self) -> float:
        """Image of an empty cell."""
        return -self.mean / self.std

    @property
    def faint(self) -> float:
        """Below it the approach to `floor` begins: at `FAINT` of the density scale, not above `soft`."""
        return self._image(min(FAINT * self.density_scale, SOFT * self.density_max))

    @property
    def soft(self) -> float:
        """Where the saturation begins: at `SOFT` of the largest training density."""
        return self._image(SOFT * self.density_max)

    @property
    def ceiling(self) -> float:
        """Never exceeded: `CEILING` times the largest training density."""
        return self._image(CEILING * self.density_max)

    def forward(self, density: Array, xp: ModuleType = np) -> Array:
        """Map density over mean to training space.

        Parameters
        ----------
        density : array
            rho over mean, not negative.
        xp : module
            numpy or torch.
        """
        y: Array = (xp.log1p(density / self.density_scale) - self.mean) / self.std
        return y

    def inverse(self, y: Array, xp: ModuleType = np) -> Array:
        """Map training space to density over mean; below `floor` stands an empty cell."""
        rho: Array = self.density_scale * xp.expm1(xp.clip(y * self.std + self.mean, 0.0, None))
        return rho

    def saturate(self, y: Array, xp: ModuleType = np) -> Array:
        """Keep `y` in the range: a soft approach to `floor` below, and to `ceiling` above."""
        width, depth = self.ceiling - self.soft, self.faint - self.floor
        above = self.soft + width * xp.tanh(xp.clip(y - self.soft, 0.0, None) / width)
        below = self.floor + depth * xp.exp(xp.clip(y - self.faint, None, 0.0) / depth)
        kept: Array = xp.where(y > self.soft, above, xp.where(y < self.faint, below, y))
        return kept

    def touched(self, y: NDArray[np.float32]) -> float:
        """Return the fraction of cells in which `saturate` changes `y` by its soft ceiling."""
        return float(np.mean(y > self.soft))

    def _image(self, density: float) -> float:
        return (float(np.log1p(density / self.density_scale)) - self.mean) / self.std
