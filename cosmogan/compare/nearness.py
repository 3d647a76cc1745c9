"""How near fields come to each other, drawn: emulated ones against what chance alone does."""

from typing import TYPE_CHECKING

import numpy as np

from cosmogan.compare import style
from cosmogan.compare.novelty import Nearness, Novelty
from cosmogan.compare.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 60


def nearness_figure(novelty: Novelty, subject: str) -> str:
    """Draw the resemblances of the emulated fields to training fields, and to each other.

    Parameters
    ----------
    novelty : Novelty
        What was found.
    subject : str
        Name of the emulated fields.

    Returns
    -------
    str
        An inline SVG image.
    """
    with style.figure(3.1) as drawn:
        panels = drawn.subplots(1, 2, sharey=True)
        drawn.subplots_adjust(left=0.068, right=0.995, top=0.89, bottom=0.17, wspace=0.05)
        _draw(panels[0], novelty.training, subject, ("to training", "to held-out"))
        _draw(panels[1], novelty.others, subject, ("to each other", "simulations to each other"))
        panels[0].set_title("copies of training fields")
        panels[1].set_title("copies of each other")
        panels[0].set_ylabel("share of pairs")
        return style.as_svg(drawn)


def _draw(axes: "Axes", of: Nearness, subject: str, labels: tuple[str, str]) -> None:
    found, chance = of.found.ravel(), of.chance.ravel()
    low = min(found.min(), chance.min())
    high = max(found.max(), chance.max(), of.threshold)
    edges = np.linspace(low, high + 0.05 * (high - low), _BINS).tolist()
    weights = [np.full(values.size, 1 / values.size) for values in (chance, found)]
    axes.hist(chance, edges, weights=weights[0], color="#bdbdbd", label=labels[1])
    colour = style.look(subject).colour
    axes.hist(
        found, edges, weights=weights[1], histtype="step", color=colour, lw=1.7, label=labels[0]
    )
    axes.axvline(of.threshold, color=INK, lw=1, ls=(0, (4, 2)), label="one in sixty lies beyond")
    suspects = of.nearest[of.nearest > of.threshold]
    axes.plot(suspects, np.full(suspects.size, 2 / found.size), "v", ms=4, color=colour)
    axes.set(yscale="log", xlabel="resemblance to the nearest field of another simulation")
    axes.set_ylim(0.5 / max(found.size, chance.size), 2)
    axes.legend(loc="upper right", bbox_to_anchor=(0.86, 1.0))
