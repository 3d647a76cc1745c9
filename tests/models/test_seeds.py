"""Seeds that are derived from a path name it, and nothing else."""

from cosmogan.models.seeds import derive_seed


def test_seeds_are_derived_once_and_for_all():
    seeds = {derive_seed(a, b, c) for a in range(3) for b in range(4) for c in range(1, 50)}
    assert len(seeds) == 3 * 4 * 49
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2)
    assert derive_seed(2**62, 1) != derive_seed(2**62 + 1, 1)
