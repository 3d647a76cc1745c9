"""What the package has no key for, because nobody should want it: parts of the method, left out one at a time.

Each replaces one function, in this process and in every worker of the cluster that it starts.
"""

import contextlib
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cosmogan.fields.scaling import Scaling
from cosmogan.initial import density, linear_modes
from cosmogan.models import source
from cosmogan.models.directions import Directions
from cosmogan.models.discriminator import Discriminator, Whitening
from cosmogan.models.displaced import LptLatent
from cosmogan.models.extrema import Extrema
from cosmogan.models.hessian import Hessian
from cosmogan.models.lognormal import Colour, GaussianLatent
from cosmogan.models.orientation import Orientation
from cosmogan.models.summaries import Summaries
from cosmogan.session import ray_cluster


@dataclass(frozen=True)
class Ablation:
    """One function, replaced.

    Parameters
    ----------
    owner : object
        Module or class.
    name : str
        Of the function there.
    instead : callable
        What stands there, given the function that stood there before and its arguments.
    """

    owner: Any
    name: str
    instead: Any

    def apply(self):
        """Replace the function; return what undoes it."""
        before = getattr(self.owner, self.name)

        def ablated(*given, **named):
            return self.instead(before, *given, **named)

        setattr(self.owner, self.name, ablated)
        return lambda: setattr(self.owner, self.name, before)


def _no_summaries(_before, summaries, y, *_given):
    return y.new_zeros(len(y), summaries.length)


def _no_directions(_before, directions, power):
    return power.new_zeros(len(power), directions.length)


def _no_extrema(_before, extrema, density):
    return density.new_zeros(len(density), extrema.length)


def _no_hessian(_before, hessian, density):
    return density.new_zeros(len(density), hessian.length)


def _coarsest(before, judge, y, latent=None):
    """Return the features with zeros for all but those of the coarsest level."""
    found, last = before(judge, y, latent), judge.shape.widths[-1]
    kept = found.unflatten(1, (2, -1)).clone()
    kept[:, :, :-last] = 0
    return kept.flatten(1)


def _no_whitening(_before, _whitening, y):
    return torch.zeros_like(y)


def _hard_floor(before, scaling, y, xp=np):
    return xp.where(y < scaling.faint, xp.clip(y, scaling.floor, None), before(scaling, y, xp))


def _as_it_lies(_before, _seed, dimension, _shifts):
    return Orientation(tuple(range(dimension)), (False,) * dimension, (0,) * dimension)


def _white(before, latent, row):
    """Return a colour of the same variance, the same for all modes that have one."""
    colour = before(latent, row)
    power = np.where(colour.amplitude > 0, 1.0, 0.0)
    cells = latent.grid**latent.theory.dimension
    weight = np.full(power.shape[-1], 2.0)  # for the other half plane
    weight[0] = weight[-1] = 1.0
    return Colour(
        np.sqrt(power * colour.variance * cells / (power * weight).sum()), colour.variance
    )


def _linear(before, latent, seed, row):
    """Return exp(d - <d^2>/2), d being the linear density of a box, where its matter began; plain second order stays."""
    if latent.displacement != "augmented":
        return before(latent, seed, row)
    theory, growth = latent.theory, latent.theory.growth(row)[0]
    box_size = latent.grid * theory.cell_size
    modes = linear_modes(seed, latent.grid, box_size, theory.linear_power(row))
    contrast = growth * density(modes)
    return np.exp(contrast - contrast.var() / 2)[None].astype(np.float32)


ABLATIONS = {
    "summaries": Ablation(Summaries, "forward", _no_summaries),
    "directions": Ablation(Directions, "forward", _no_directions),
    "extrema": Ablation(Extrema, "forward", _no_extrema),
    "hessian": Ablation(Hessian, "forward", _no_hessian),
    "levels": Ablation(Discriminator, "features", _coarsest),
    "whitening": Ablation(Whitening, "forward", _no_whitening),
    "floor": Ablation(Scaling, "saturate", _hard_floor),
    "symmetry": Ablation(source, "draw_orientation", _as_it_lies),
    "colour": Ablation(GaussianLatent, "_make_colour", _white),
    "displacement": Ablation(LptLatent, "_make_box", _linear),
}


@contextlib.contextmanager
def without(name):
    """Leave a part of the method out, inside the block, here and on a cluster that lasts as long; nothing if it is empty."""
    if not name:
        yield
        return
    root = sys.path[:]

    def prepare():
        sys.path[:] = root  # workers are prepared before they know where this process imports from
        from benchmarks.fidelity.ablations import ABLATIONS

        ABLATIONS[name].apply()

    with ray_cluster(prepare=prepare):
        undo = ABLATIONS[name].apply()
        try:
            yield
        finally:
            undo()
