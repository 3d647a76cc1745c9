"""How far emulated fields go with the simulations of the same initial conditions, drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np

from cosmogan.compare import style
from cosmogan.compare.pairs import Pairs
from cosmogan.compare.phases import Curve, Phases
from cosmogan.compare.units import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_THEORY = style.Look("#0072b2", "D", (0, (4, 1.2, 1, 1.2)))
_MEAN = style.Look("#1b1b1b", "s", (0, (5, 1.5)))
_LEAST = 1e-5
"""Below it, 1 - r is drawn at the edge."""


def coherence_figure(pairs: Pairs, own: Phases, subject: str, tolerance: float) -> str:
    """Draw 1 - r(k), and the transfer function T(k).

    Parameters
    ----------
    pairs : Pairs
        What was found.
    own : Phases
        Of the emulated fields, in its shells.
    subject : str
        Name of the emulated fields.
    tolerance : float
        Of the power spectrum.

    Returns
    -------
    str
        An inline SVG image.
    """
    with style.figure(3.7) as drawn:
        left, right = drawn.subplots(1, 2)
        drawn.subplots_adjust(left=0.078, right=0.995, top=0.91, bottom=0.145, wspace=0.17)
        _draw_differences(left, pairs, own, style.look(subject))
        _draw_amplitudes(right, pairs, own, style.look(subject), tolerance)
        for axes in (left, right):
            axes.set_xlabel(r"$k$  [$h\,\mathrm{Mpc}^{-1}$]")
            _name_wavenumbers(axes, pairs)
            axes.legend(loc="upper left")
        return style.as_svg(drawn)


def _draw_differences(axes: "Axes", pairs: Pairs, own: Phases, look: style.Look) -> None:
    if pairs.theory is not None:
        _differences(axes, pairs, pairs.theory.draw, _THEORY, "the latent and the simulation")
    _differences(axes, pairs, own.draw, look, "a draw and the simulation")
    if own.between is not None:
        circles: dict[str, Any] = {"color": look.colour, "ls": "", "marker": "o", "mfc": "white"}
        axes.plot(pairs.k, _rest(own.between.value), ms=6, label="two draws", **circles)
    if own.mean is not None:
        _differences(axes, pairs, own.mean, _MEAN, "the mean of many draws and the simulation")
    axes.set(xscale="log", yscale="log", title="what the latent leaves open", ylabel=r"$1-r(k)$")
    _name_parts(axes)


def _draw_amplitudes(
    axes: "Axes", pairs: Pairs, own: Phases, look: style.Look, tolerance: float
) -> None:
    edge = np.sqrt([max(1 - tolerance, 0.0), 1 + tolerance])
    axes.axhspan(*edge, fc=style.TOLERANCE, ec=style.TOLERANCE_EDGE, lw=0.8, zorder=0)
    axes.axhline(1, color=style.MUTED, lw=0.8)
    if pairs.theory is not None:
        _transfer(axes, pairs, pairs.theory.transfer, _THEORY, "the latent")
    _transfer(axes, pairs, own.transfer, look, "a draw")
    half = max(0.2, 1.1 * float(np.abs(own.transfer.value - 1).max()))
    axes.set(xscale="log", ylim=(1 - half, 1 + half))
    axes.set(title="amplitudes, over those of the simulation")
    axes.set_ylabel(r"$T(k)=\sqrt{P/P_\mathrm{simulation}}$")


def _differences(axes: "Axes", pairs: Pairs, of: Curve, look: style.Look, label: str) -> None:
    axes.fill_between(pairs.k, _rest(of.high), _rest(of.low), color=look.colour, alpha=0.18, lw=0)
    axes.plot(pairs.k, _rest(of.value), color=look.colour, ls=look.line, label=label)


def _transfer(axes: "Axes", pairs: Pairs, of: Curve, look: style.Look, label: str) -> None:
    axes.fill_between(pairs.k, of.low, of.high, color=look.colour, alpha=0.18, lw=0)
    axes.plot(pairs.k, of.value, color=look.colour, ls=look.line, label=label)


def _rest(r: Array) -> Array:
    rest: Array = np.maximum(1 - r, _LEAST)
    return rest


def _name_parts(axes: "Axes") -> None:
    """Name 1, 2 and 5 of each decade of 1 - r, and leave room for the legend."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_ylim(top=4 * axes.get_ylim()[1])
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if value <= 1 else "")
    )
    axes.yaxis.set_minor_formatter(NullFormatter())


def _name_wavenumbers(axes: "Axes", pairs: Pairs) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    shown = [s for s in steps if pairs.k[0] / 1.05 < s < pairs.k[-1] * 1.05]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
