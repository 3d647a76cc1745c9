"""The averaged weights forget at the rate they say."""

import pytest
import torch
from torch import nn

from cosmogan.models.average import RAMP, update_average


def pair():
    slow, fast = nn.Linear(2, 1).double(), nn.Linear(2, 1).double()
    for network, value in ((slow, 0.0), (fast, 1.0)):
        for parameter in network.parameters():
            nn.init.constant_(parameter, value)
    return slow, fast


def moved(slow):
    """How far the average has come, from 0 to 1; all weights alike."""
    (value,) = torch.cat([p.detach().flatten() for p in slow.parameters()]).unique().tolist()
    return value


@pytest.mark.parametrize("batch", [1, 10, 50])
@pytest.mark.parametrize("half_lives", [1, 3])
def test_after_a_half_life_the_old_weights_count_half(batch, half_lives):
    slow, fast = pair()
    start, half_life = 10**6, 100
    for shown in range(start + batch, start + half_lives * half_life + 1, batch):
        update_average(slow, fast, batch=batch, shown=shown, half_life=half_life)
    assert 1 - moved(slow) == pytest.approx(0.5**half_lives)


def test_at_first_the_half_life_grows_with_the_fields_shown():
    """Doubling the fields shown halves the start RAMP times log2: it is soon forgotten."""
    slow, fast = pair()
    for shown in range(10, 1001, 10):
        update_average(slow, fast, batch=10, shown=shown, half_life=1e9)
        if shown == 10:
            assert 1 - moved(slow) == pytest.approx(0.5 ** (1 / RAMP))
    assert moved(slow) > 0.999999


def test_the_average_of_a_network_at_rest_is_the_network():
    slow, fast = pair()
    slow.load_state_dict(fast.state_dict())
    update_average(slow, fast, batch=4, shown=100, half_life=30)
    assert moved(slow) == 1


def test_only_the_average_moves_and_buffers_are_taken_over():
    slow, fast = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    fast.running_mean.fill_(3.0)
    update_average(slow, fast, batch=1, shown=1, half_life=1)
    assert torch.equal(slow.running_mean, fast.running_mean)
    assert fast.weight.grad is None
    assert torch.equal(fast.running_mean, torch.full((2,), 3.0))
