"""What numbers of a field are expected to be, and how far they scatter: by it they are made to speak equally loud.

Where parameters vary, the mean follows them. From universe to universe ln P differs several times as much as between the fields of one, and
an error in any of them would be as much quieter, were the scatter that of all.
"""

import torch
from torch import Tensor, nn

from cosmogan.errors import LayoutError


class Standard(nn.Module):
    """Mean and scatter of numbers over training fields.

    Parameters
    ----------
    length : int
        Numbers of a field.
    conditions : int
        Parameters that vary, [-1, 1] in the trained range: the mean is a polynomial of second degree in them, of first where the
        training has fewer than two universes a coefficient, and a constant where it has too few for that.
    """

    trend: Tensor
    spread: Tensor

    def __init__(self, length: int, conditions: int = 0) -> None:
        super().__init__()
        self.conditions = conditions
        terms = (conditions + 1) * (conditions + 2) // 2
        self.register_buffer("trend", torch.zeros(terms, length))
        self.register_buffer("spread", torch.ones(length))

    @torch.no_grad()
    def fit(self, numbers: Tensor, conditions: Tensor | None = None, *, least: float) -> None:
        """Measure both from numbers (n, length) of fields at conditions (n, c); no scatter is below `least`.

        Raises
        ------
        LayoutError
            If there are not as many conditions.
        """
        known = numbers.double()
        terms = self._terms(numbers, conditions).double()[:, : self._degrees(conditions)]
        trend = torch.linalg.lstsq(terms, known, driver="gelsy").solution  # of any rank
        free = max(len(numbers) - len(trend), 1)
        scatter = ((known - terms @ trend).square().sum(0) / free).sqrt()
        self.trend.zero_()
        self.trend[: len(trend)] = trend
        self.spread.copy_(scatter.clamp_min(least))

    def forward(self, numbers: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return numbers (n, length) of fields at conditions (n, c) about their means, in units of their scatter."""
        expected = self._terms(numbers, conditions) @ self.trend if self.conditions else self.trend
        standard: Tensor = (numbers - expected) / self.spread
        return standard

    def _terms(self, numbers: Tensor, conditions: Tensor | None) -> Tensor:
        """Return 1, c_i and c_i c_j of each field, (n, terms)."""
        given = numbers.new_ones(len(numbers), 0) if conditions is None else conditions.to(numbers)
        if given.shape != (len(numbers), self.conditions):
            raise LayoutError(
                f"conditions {tuple(given.shape)} of {len(numbers)} fields: "
                f"give the {self.conditions} parameters that vary of each"
            )
        known = torch.cat([numbers.new_ones(len(numbers), 1), given], 1)
        first, second = torch.triu_indices(*2 * known.shape[1:], device=numbers.device)
        return known[:, first] * known[:, second]

    def _degrees(self, conditions: Tensor | None) -> int:
        """Return how many coefficients, from the constant on, so many universes can fix."""
        varied = conditions is not None and self.conditions
        universes = len(torch.unique(conditions, dim=0)) if varied else 1
        linear, all_of_them = 1 + self.conditions, len(self.trend)
        if universes >= 2 * all_of_them:
            return all_of_them
        return linear if universes >= linear else 1
