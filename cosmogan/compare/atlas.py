"""Where in the space of universes an emulator is right, drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cosmogan.compare import style
from cosmogan.compare.universes import EMULATED, Universes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SHOWN = ("power", "reduced_bispectrum", "pdf", "peaks")
"""Statistics of the figure, those that were judged; a row each."""
LABELS = {
    "Omega_m": r"$\Omega_\mathrm{m}$",
    "Omega_b": r"$\Omega_\mathrm{b}$",
    "h": r"$h$",
    "n_s": r"$n_\mathrm{s}$",
    "sigma_8": r"$\sigma_8$",
    "redshift": r"redshift",
}
_THEORY = style.Look("#0072b2", "D", "")
_LEAST = 1e-3
"""Errors below it are drawn at the edge."""


def atlas_figure(universes: Universes) -> str:
    """Draw the ratios of statistics in all universes, and their errors against each parameter.

    Parameters
    ----------
    universes : Universes
        What was found.

    Returns
    -------
    str
        An inline SVG image; empty if none of `SHOWN` was judged.
    """
    rows = [n for n in SHOWN if len(universes.having(n)) == len(universes.each)]
    if not rows:
        return ""
    colours = _colours(universes)
    with style.figure(0.85 + 2.7 * len(rows)) as drawn:
        panels = drawn.subplots(
            len(rows), 1 + len(universes.names), squeeze=False, width_ratios=_widths(universes)
        )
        height = drawn.get_figheight()
        drawn.subplots_adjust(
            left=0.062,
            right=0.995,
            top=1 - 0.65 / height,
            bottom=0.5 / height,
            wspace=0.24,
            hspace=0.42,
        )
        for name, (ratios, *errors) in zip(rows, panels, strict=True):
            _draw_ratios(ratios, universes, name, colours)
            for parameter, axes in zip(universes.names, errors, strict=True):
                _draw_errors(axes, universes, name, parameter, colours)
            errors[0].set_title("mean |ratio \N{MINUS SIGN} 1|  [%]")
        if universes.each[0].theory:
            entries = _entries(panels[0][1])
            drawn.legend(
                entries[0], entries[1], loc="upper right", ncols=len(entries[0]), columnspacing=1.8
            )
        return style.as_svg(drawn)


def _widths(universes: Universes) -> list[float]:
    return [1.35, *(1.0 for _ in universes.names)]


def _colours(universes: Universes) -> list[str]:
    """Return a colour for each universe: by redshift if that differs, else by the first parameter."""
    import matplotlib as mpl

    by = "redshift" if "redshift" in universes.names else universes.names[0]
    values = np.array([universe.parameters[by] for universe in universes.each])
    shares = (values - values.min()) / max(float(np.ptp(values)), 1e-30)
    scale = mpl.colormaps["viridis"]
    return [mpl.colors.to_hex(scale(0.9 * float(share))) for share in shares]


def _draw_ratios(axes: "Axes", universes: Universes, name: str, colours: Sequence[str]) -> None:
    first = universes.each[0].results[name]
    axes.axhspan(*first.tolerance, fc=style.TOLERANCE, ec=style.TOLERANCE_EDGE, lw=0.8, zorder=0)
    axes.axhline(1, color=style.INK, lw=0.8)
    for universe, colour in zip(universes.each, colours, strict=True):
        bins = universe.results[name].bins
        axes.plot([b.coordinate for b in bins], [b.ratio for b in bins], color=colour, lw=0.7)
    half = 2 * max(abs(edge - 1) for edge in first.tolerance)
    axes.set(ylim=(1 - half, 1 + half), title=f"{first.label}, ratio to the simulations")
    if all(b.coordinate > 0 for universe in universes.each for b in universe.results[name].bins):
        axes.set_xscale("log")
        _name_decades(axes.xaxis, 1.0)
    unit = f"  [{first.coordinate_unit}]" if first.coordinate_unit else ""
    axes.set_xlabel(f"{first.coordinate_label}{unit}")


def _draw_errors(
    axes: "Axes", universes: Universes, name: str, parameter: str, colours: Sequence[str]
) -> None:
    look = style.look(EMULATED)
    most = max(abs(edge - 1) for edge in universes.each[0].results[name].tolerance)
    axes.axhspan(_LEAST, most, fc=style.TOLERANCE, ec=style.TOLERANCE_EDGE, lw=0.8, zorder=0)
    for universe, colour in zip(universes.each, colours, strict=True):
        x, found = universe.parameters[parameter], universe.results[name].error
        if universe.theory:
            bare = _kept(universe.theory[name].error.value)
            axes.plot(
                x, bare, _THEORY.marker, ms=3.5, mfc="white", mec=_THEORY.colour, mew=0.8, zorder=1,
                label="perturbation theory",
            )  # fmt: skip
        axes.plot([x, x], [_kept(found.low), _kept(found.high)], color=colour, lw=0.8)
        axes.plot(x, _kept(found.value), look.marker, ms=4.5, color=colour, label=EMULATED)
    low = min(_kept(float(universes.errors(name).min())) / 3, most / 10)
    axes.set(yscale="log", ylim=(low, None), xlabel=LABELS.get(parameter, parameter))
    _name_decades(axes.yaxis, 100.0)


def _name_decades(axis: "Axis", factor: float) -> None:
    """Name 1, 2 and 5 of each decade, times a factor."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{factor * value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _kept(value: float) -> float:
    return max(value, _LEAST)


def _entries(axes: "Axes") -> tuple[list["Artist"], list[str]]:
    """Return one handle and label of each kind."""
    handles, labels = axes.get_legend_handles_labels()
    first = {
        label: handle for handle, label in zip(reversed(handles), reversed(labels), strict=True)
    }
    return list(first.values()), list(first)
