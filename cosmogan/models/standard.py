"""What numbers of a field are expected to be, and how far they scatter: by it they are made to speak equally loud.

Where parameters vary, the mean follows them. From universe to universe ln P differs several times as much as between the fields of one, and
an error in any of them would be as much quieter, were the scatter that of all.
"""

import torch
from torch import Tensor, nn


class Standard(nn.Module):
    """Mean and scatter of numbers over training fields.

    Parameters
    ----------
    length : int
        Numbers of a field.
    conditions : int
        Parameters that vary, [-1, 1] in the trained range: the mean is a polynomial of second degree in them.
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
        ValueError
            If conditions are missing.
        """
        terms = self._terms(numbers, conditions).double()
        known = numbers.double()
        trend = torch.linalg.lstsq(terms, known).solution
        free = max(len(numbers) - len(trend), 1)
        scatter = ((known - terms @ trend).square().sum(0) / free).sqrt()
        self.trend.copy_(trend)
        self.spread.copy_(scatter.clamp_min(least))

    def forward(self, numbers: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return numbers (n, length) of fields at conditions (n, c) about their means, in units of their scatter."""
        expected = self._terms(numbers, conditions) @ self.trend if self.conditions else self.trend
        standard: Tensor = (numbers - expected) / self.spread
        return standard

    def _terms(self, numbers: Tensor, conditions: Tensor | None) -> Tensor:
        """Return 1, c_i and c_i c_j of each field, (n, terms)."""
        one = numbers.new_ones(len(numbers), 1)
        if not self.conditions:
            return one
        if conditions is None:
            raise ValueError(
                f"numbers of fields at {self.conditions} conditions, and none is given"
            )
        known = torch.cat([one, conditions.to(numbers)], 1)
        first, second = torch.triu_indices(self.conditions + 1, self.conditions + 1)
        return known[:, first] * known[:, second]
