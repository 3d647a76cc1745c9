"""Correlation matrices beside each other on one colour scale: how the bins of P vary together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cosmogan.compare import style
from cosmogan.compare.findings import Verdict
from cosmogan.compare.units import SCATTER, Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 4  # beside that of the simulations


def matrices_figure(verdict: Verdict) -> str:
    """Draw the correlation matrix of ln P of the truth and of each candidate.

    Parameters
    ----------
    verdict : Verdict
        Knows them all.

    Returns
    -------
    str
        An inline SVG image; empty if P was not judged in two bins.
    """
    found = {n: c.correlation for n, c in verdict.candidates.items() if c.correlation is not None}
    if not verdict.correlation or not found:
        return ""
    matrices = {"held-out simulations": verdict.correlation}
    matrices |= {name: of.matrix for name, of in list(found.items())[:_MOST]}
    arrays = {name: np.array(matrix) for name, matrix in matrices.items()}
    k = np.array([b.coordinate for b in verdict.about.results[SCATTER].bins])
    return _draw(arrays, k, tuple(verdict.candidates))


def _draw(matrices: Mapping[str, Array], k: Array, names: tuple[str, ...]) -> str:
    low = min(0.0, *(float(matrix.min()) for matrix in matrices.values()))
    lowest = next(iter(matrices.values())).min()
    start = low if lowest < 0.3 else float(np.floor(10 * lowest) / 10)
    with style.figure(2.75) as drawn:
        columns = len(matrices)
        panels = np.atleast_1d(drawn.subplots(1, columns, sharey=True))
        drawn.subplots_adjust(left=0.06, right=0.93, top=0.86, bottom=0.2, wspace=0.07)
        for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
            image = axes.imshow(matrix, "viridis", vmin=start, vmax=1, origin="lower")
            _name_bins(axes, k)
            colour = style.look(name, names).colour if name in names else style.INK
            axes.set_title(name, color=colour)
        panels[0].set_ylabel(r"$k$  [$h\,\mathrm{Mpc}^{-1}$]")
        frame = drawn.add_axes((0.94, 0.2, 0.011, 0.66))
        drawn.colorbar(image, cax=frame, extend="min")
        return style.as_svg(drawn)


def _name_bins(axes: "Axes", k: Array) -> None:
    places = np.unique((np.array([0.15, 0.5, 0.85]) * (len(k) - 1)).astype(int))
    labels = [f"{value:.2g}" for value in k[places]]
    axes.set_xticks(places, labels)
    axes.set_yticks(places, labels)
    axes.tick_params(length=2)
    axes.set_xlabel(r"$k$  [$h\,\mathrm{Mpc}^{-1}$]")
