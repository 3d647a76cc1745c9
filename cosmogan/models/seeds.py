"""Seeds that depend on where they are used, and on nothing else."""

import numpy as np


def derive_seed(*path: int) -> int:
    """Return a seed in [0, 2^63) that depends on all of `path` but zeros at its end."""
    state = np.random.SeedSequence(path).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
