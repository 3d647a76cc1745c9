"""Numbers are standard in every universe, whatever they are from one to the next."""

import pytest
import torch

from cosmogan.errors import LayoutError
from cosmogan.models.standard import Standard


@pytest.fixture
def random():
    return torch.Generator().manual_seed(4)


def fitted(numbers, conditions=None, least=1e-6):
    standard = Standard(numbers.shape[1], 0 if conditions is None else conditions.shape[1])
    standard.fit(numbers, conditions, least=least)
    return standard


def trend(conditions, coefficients):
    """A polynomial of second degree in the conditions."""
    one = torch.cat([torch.ones(len(conditions), 1), conditions], 1)
    terms = torch.einsum("ni,nj->nij", one, one).flatten(1)
    return terms @ coefficients


def test_of_one_universe_mean_and_scatter_are_those_of_the_fields(random):
    numbers = 3 + 2 * torch.randn(200, 5, generator=random)
    standard = fitted(numbers)(numbers)
    torch.testing.assert_close(standard.mean(0), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(standard.std(0), torch.ones(5), rtol=1e-5, atol=0)


@pytest.mark.parametrize("conditions", [1, 2, 3])
def test_what_universes_differ_by_says_nothing(random, conditions):
    """The standard numbers are the same, whatever polynomial of the conditions is added."""
    asked = 2 * torch.rand(300, conditions, generator=random) - 1
    numbers = torch.randn(300, 4, generator=random)
    added = trend(asked, 10 * torch.randn((conditions + 1) ** 2, 4, generator=random))
    bare, moved = (fitted(x, asked)(x, asked) for x in (numbers, numbers + added))
    torch.testing.assert_close(moved, bare, rtol=0, atol=1e-3)


def test_scatter_is_that_about_the_trend(random):
    """Of a sample that is not the one it was fitted to."""
    coefficients = 5 * torch.randn(9, 3, generator=random)
    sides = []
    for count in (256, 4000):
        asked = 2 * torch.rand(count, 2, generator=random) - 1
        noise = 0.1 * torch.randn(count, 3, generator=random)
        sides.append((trend(asked, coefficients) + noise, asked))
    found = fitted(*sides[0])(*sides[1])
    assert found.mean(0).abs().max() < 0.2
    torch.testing.assert_close(found.std(0), torch.ones(3), rtol=0.15, atol=0)


@pytest.mark.parametrize(("universes", "coefficients"), [(2, 1), (3, 3), (11, 3), (12, 6)])
def test_few_universes_fix_few_coefficients(random, universes, coefficients):
    """Forty fields of each do not make more of them."""
    points = 2 * torch.rand(universes, 2, generator=random) - 1
    asked = points.repeat(40, 1)
    standard = fitted(torch.randn(len(asked), 3, generator=random), asked)
    assert (standard.trend.abs().sum(1) > 0).tolist() == [True] * coefficients + [False] * (
        6 - coefficients
    )


def test_few_fields_are_a_scale_and_no_scatter(random):
    """Fewer than there are terms."""
    asked = 2 * torch.rand(4, 3, generator=random) - 1
    numbers = torch.randn(4, 2, generator=random)
    standard = fitted(numbers, asked, least=0.5)
    torch.testing.assert_close(standard(numbers, asked), torch.zeros(4, 2), rtol=0, atol=1e-4)
    assert torch.equal(standard.spread, torch.full((2,), 0.5))


def test_conditions_may_not_be_forgotten(random):
    asked = 2 * torch.rand(30, 1, generator=random) - 1
    numbers = torch.randn(30, 2, generator=random)
    standard = fitted(numbers, asked)
    for wrong in (None, asked[:3], asked.repeat(1, 2)):
        with pytest.raises(LayoutError, match="of 30 fields: give the 1 parameters that vary"):
            standard(numbers, wrong)
