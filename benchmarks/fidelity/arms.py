"""The arms of the generator study: each changes one choice of the recipe, and is otherwise the default."""

from dataclasses import dataclass, field
from typing import Any

from cosmogan.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One choice.

    Parameters
    ----------
    what : str
        In words, for the table.
    train : dict
        Keys of [train] that differ from the default.
    predictor : float
        Share of the time in which a network learns to predict the mean, before the game; 0 for none.
    without : str
        A part of the method that is left out (`ablations.py`); nothing if it is empty.
    pace : str
        The arm that shows as many fields in a second, since what differs costs no time; itself if it is empty.
    """

    what: str
    train: dict[str, Any] = field(default_factory=dict)
    predictor: float = 0.15
    without: str = ""
    pace: str = ""

    def recipe(self, base: Recipe, *, seed: int, images: int, before: int = 0) -> Recipe:
        """Return the recipe of this arm, with so many images shown, and so many before the game."""
        content = base.model_dump()
        # as many readings, and the same memory of the averaged weights, whatever the length
        schedule = {"images": images, "validate_every": max(images // 10, 1), "seed": seed}
        schedule["predictor_images"] = before
        content["train"] |= schedule | self.train
        return Recipe.model_validate(content)


ALONE = {"neighbours": 0, "carried": ()}
"""A network that sees the density of its slice and no more."""
GAUSSIAN = {"latent": "gaussian"} | ALONE

ARMS = {
    "default": Arm("the default"),
    "plain": Arm("the displaced density of a slice, nothing predicted", ALONE, predictor=0),
    "no-predictor": Arm("no network that predicts the mean", predictor=0),
    "no-neighbours": Arm("no slabs beside a slice", {"neighbours": 0}),
    "neighbours-2": Arm("two slabs on either side", {"neighbours": 2}),
    "no-carried": Arm("matter carries nothing", {"carried": ()}),
    "gaussian": Arm("latent: lognormal fields", GAUSSIAN, predictor=0),
    "white": Arm(
        "latent: lognormal fields of white noise",
        GAUSSIAN,
        predictor=0,
        without="colour",
        pace="gaussian",
    ),
    "linear": Arm("latent: the linear density", {"carried": ()}, without="displacement"),
    "no-summaries": Arm("no branch of summary statistics", without="summaries"),
    "no-directions": Arm("no summaries of directions", without="directions"),
    "no-extrema": Arm("no summaries of peaks and minima", without="extrema"),
    "no-hessian": Arm("no summaries of curvature and shear", without="hessian"),
    "no-levels": Arm("the coarsest level of features alone", without="levels", pace="default"),
    "no-whitening": Arm("no whitened channel", without="whitening"),
    "no-floor": Arm("empty cells have a hard edge", without="floor", pace="default"),
    "no-symmetry": Arm("generated fields are not turned", without="symmetry", pace="default"),
    "2lpt": Arm("latent: plain second order", {"displacement": "2lpt"}, pace="default"),
    "zeldovich": Arm("latent: plain first order", {"displacement": "zeldovich"}, pace="default"),
    "gamma-0.1": Arm("gamma x 0.1", {"gamma": 0.1, "gamma_statistics": 0.1}, pace="default"),
    "gamma-10": Arm("gamma x 10", {"gamma": 10.0, "gamma_statistics": 10.0}, pace="default"),
    "rho_s-0.1": Arm("density scale 0.1", {"density_scale": 0.1}, pace="default"),
    "rho_s-2": Arm("density scale 2", {"density_scale": 2.0}, pace="default"),
    "half-life-1000": Arm(
        "average over 1000 fields", {"average_half_life": 1000.0}, pace="default"
    ),
    "half-life-10000": Arm(
        "average over 10,000 fields", {"average_half_life": 10_000.0}, pace="default"
    ),
    "rate-0.5": Arm("learning rate x 0.5", {"learning_rate": 2e-4}, pace="default"),
    "rate-2": Arm("learning rate x 2", {"learning_rate": 8e-4}, pace="default"),
    "batch-8": Arm("batch 8", {"batch": 8}),
    "batch-32": Arm("batch 32", {"batch": 32}),
    "wide": Arm("generator half as wide again", {"generator_widths": (48, 72, 96)}),
}
