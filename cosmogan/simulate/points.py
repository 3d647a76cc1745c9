"""Where in the space of cosmologies simulations are run: Sobol points in a box of parameters.

Scrambled Sobol points (Owen 1998, J. Complexity 14, 466) fill the box more evenly than random ones: each of
2^m points has one of 2^m equal stripes along every axis for itself. Each side of the split gets a sequence
of its own, so that no test point is a training point and the number of the ones never moves the others.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.stats import qmc

from cosmogan.cosmology import Cosmology

DIGITS = 6
"""Parameters are rounded to so many decimals, so that files and commands can name them."""


def draw_points(
    centre: Cosmology, ranges: Mapping[str, tuple[float, float]], number: int, seed: int
) -> list[Cosmology]:
    """Return cosmologies spread over ranges of parameters.

    Parameters
    ----------
    centre : Cosmology
        All other parameters.
    ranges : mapping of str to (low, high)
        Parameters that vary.
    number : int
        How many; a power of two is spread most evenly.
    seed : int
        Of the scrambling; more points of the same seed begin with the same ones.
    """
    names = sorted(ranges)
    sequence = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(seed))
    # the whole power of two, of which scipy would warn if asked for less
    unit = sequence.random_base2(int(np.ceil(np.log2(max(number, 1)))))[:number]
    low, high = (np.array([ranges[name][side] for name in names]) for side in (0, 1))
    table = np.round(low + (high - low) * unit, DIGITS)
    return [replace(centre, **dict(zip(names, row, strict=True))) for row in table.tolist()]
