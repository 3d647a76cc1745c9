"""The statistics, drawn: each with the simulations' bands above and the ratio to them below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from cosmogan.compare import style
from cosmogan.compare.contrast import LEVEL
from cosmogan.compare.findings import Result, Verdict
from cosmogan.compare.style import INK, MUTED, TOLERANCE, TOLERANCE_EDGE
from cosmogan.compare.units import SCATTER, SCATTER_OF, Array, Units, estimate
from cosmogan.statistics.battery import judged_bins
from cosmogan.statistics.table import Statistic, StatisticsTable, average

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

    Pair = tuple[Axes, Axes]

Theory = Mapping[str, tuple[Array, Array]]
TWO_POINT = (SCATTER_OF, SCATTER, "quadrupole")
REDUCED = "reduced_bispectrum"
SQUEEZED = "squeezed_bispectrum"
THREE_POINT = ("bispectrum", REDUCED, SQUEEZED)
ONE_POINT = ("pdf", "pdf_smoothed")
EXTREMA = ("peaks", "minima")
MINKOWSKI = ("minkowski_1", "minkowski_2", "minkowski_3")
_TITLES = {
    "power": "power spectrum",
    SCATTER: r"scatter of $\ln P$ over fields",
    "quadrupole": "squared quadrupole of single fields",
    "bispectrum": "equilateral bispectrum",
    REDUCED: "reduced bispectrum of single fields",
    SQUEEZED: "reduced bispectrum, squeezed",
    "pdf": "density PDF",
    "pdf_smoothed": "smoothed density PDF",
    "peaks": "peaks by height",
    "minima": "minima by height",
    "minkowski_1": "Minkowski functional $V_1$",
    "minkowski_2": "Minkowski functional $V_2$",
    "minkowski_3": "Minkowski functional $V_3$",
}
_PERCENTILES = (16, 84)
_TRUTH, _BAND = "held-out simulations", "16–84 % of their fields"
_RARE = 1e-4  # share of what is counted below which a bin by density is not drawn
_WAVENUMBER = "h/Mpc"


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """What the figures are drawn from.

    Attributes
    ----------
    truth : StatisticsTable
        The held-out simulations.
    tables : mapping of str to StatisticsTable
        The candidates of the verdict, under the same names.
    verdict : Verdict
        Ratios and intervals of the judged bins.
    theory : mapping of str to (k, P)
        Curves beside the power spectra.
    """

    truth: StatisticsTable
    tables: Mapping[str, StatisticsTable]
    verdict: Verdict
    theory: Theory


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """One statistic of one data set: its value, the error of that, the range of single fields."""

    value: Array
    error: Array
    band: Array | None = None


def statistics_figure(exhibit: Exhibit, names: Sequence[str]) -> str:
    """Draw statistics side by side, values above and ratios to the simulations below.

    Parameters
    ----------
    exhibit : Exhibit
        Tables and verdict.
    names : sequence of str
        Statistics of the verdict, `SCATTER` among them; those not judged are left out.

    Returns
    -------
    str
        An inline SVG image; empty if none of the statistics was judged.
    """
    judged = [name for name in names if name in exhibit.verdict.about.results]
    if not judged:
        return ""
    with style.figure(5.6) as drawn:
        grid = drawn.add_gridspec(
            1, len(judged), left=0.068, right=0.995, top=0.875, bottom=0.105, wspace=0.24
        )
        pairs = [_column(drawn, grid[0, i], exhibit, name) for i, name in enumerate(judged)]
        pairs[0][1].set_ylabel("ratio to simulations")
        _legend(drawn, pairs[0][0], exhibit)
        return style.as_svg(drawn)


def _legend(drawn: "Figure", axes: "Axes", exhibit: Exhibit) -> None:
    found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = [_TRUTH, _BAND, *exhibit.tables]
    handles = [found[name] for name in names if name in found]
    labels = [name for name in names if name in found]
    drawn.legend(handles, labels, loc="upper center", ncols=len(labels), columnspacing=1.8)


def _column(drawn: "Figure", cell: "SubplotSpec", exhibit: Exhibit, name: str) -> "Pair":
    rows = cell.subgridspec(2, 1, height_ratios=(1.5, 1), hspace=0.02)
    top = drawn.add_subplot(rows[0])
    pair = top, drawn.add_subplot(rows[1], sharex=top)
    result = exhibit.verdict.about.results[name]
    statistic = exhibit.truth[SCATTER_OF if name == SCATTER else name]
    bins = _drawn_bins(statistic)
    x = statistic.coordinate[bins]
    truth = _curve(exhibit.truth, name, bins)
    _draw_truth(pair, x, truth, result)
    _draw_theory(pair, x, truth, exhibit.theory if name == SCATTER_OF else {})
    if name == SCATTER:
        # P of a Gaussian field has a gamma law
        expected = np.sqrt(scipy.special.polygamma(1, statistic.weight[bins] / 2))
        top.plot(x, expected, color=MUTED, ls=":", lw=1.5, label="Gaussian field", zorder=2)
    _own_legend(top)
    _draw_candidates(pair, exhibit, name, bins)
    _finish(pair, statistic, result, x)
    return pair


def _drawn_bins(statistic: Statistic) -> NDArray[np.intp]:
    return judged_bins(statistic, share=_RARE)


def _curve(table: StatisticsTable, name: str, bins: NDArray[np.intp]) -> _Curve:
    if name == SCATTER:
        return _scatter_curve(table, bins)
    samples = table[name].samples[:, bins]
    units = average(samples, table.simulation)
    error = units.std(axis=0, ddof=1) / np.sqrt(len(units)) if len(units) > 1 else 0 * units[0]
    return _Curve(
        value=units.mean(axis=0),
        error=_student(len(units)) * error,
        band=np.percentile(samples, _PERCENTILES, axis=0) if len(table) > 1 else None,
    )


def _scatter_curve(table: StatisticsTable, bins: NDArray[np.intp]) -> _Curve:
    logs = np.log(np.maximum(table[SCATTER_OF].samples[:, bins], 1e-100))
    units = Units(
        means=np.empty((len(np.unique(table.simulation)), 0)),
        logs=average(logs, table.simulation),
        squares=average(logs**2, table.simulation),
        fields=len(table),
    )
    found = estimate(units)
    value = np.sqrt(found.value[0])
    error = np.nan_to_num(np.sqrt(found.variance[0]), posinf=0.0) / (2 * value)
    return _Curve(value=value, error=_student(len(units)) * error)


def _student(simulations: int) -> float:
    return float(scipy.special.stdtrit(max(simulations - 1, 1), (1 + LEVEL) / 2))


def _draw_truth(pair: "Pair", x: Array, truth: _Curve, result: Result) -> None:
    top, bottom = pair
    if truth.band is not None:
        top.fill_between(x, *truth.band, color=style.FAINT, lw=0, label=_BAND, zorder=1)
    top.plot(x, truth.value, color=INK, lw=1.9, label=_TRUTH, zorder=3)
    bottom.axhspan(*result.tolerance, color=TOLERANCE, lw=0, zorder=0)
    for edge in result.tolerance:
        bottom.axhline(edge, color=TOLERANCE_EDGE, lw=0.8, zorder=1)
    relative = truth.error / (
        result.amplitude or np.where(truth.value, np.abs(truth.value), np.inf)
    )
    low, high = 1 - relative, 1 + relative
    bottom.fill_between(x, low, high, color="#8a8a8a", alpha=0.45, lw=0, zorder=2)
    bottom.axhline(1, color=INK, lw=1.0, zorder=3)


def _draw_theory(pair: "Pair", x: Array, truth: _Curve, theory: Theory) -> None:
    dashes = ((0, (4, 2)), (0, (1, 1.5)))
    for (name, (k, power)), line in zip(list(theory.items())[::-1], dashes, strict=False):
        inside = np.exp(np.interp(np.log(x), np.log(k), np.log(power), left=np.nan, right=np.nan))
        marks: dict[str, Any] = {"color": INK, "ls": line, "lw": 1.2, "zorder": 4}
        pair[0].plot(x, inside, label=name, **marks)
        pair[1].plot(x, inside / truth.value, **marks)


def _own_legend(axes: "Axes") -> None:
    """Name in the panel what only this panel shows."""
    handles, labels = axes.get_legend_handles_labels()
    own = [(h, n) for h, n in zip(handles, labels, strict=True) if n not in (_TRUTH, _BAND)]
    if own:
        axes.legend(*zip(*own, strict=True), loc="lower left")


def _draw_candidates(pair: "Pair", exhibit: Exhibit, name: str, bins: NDArray[np.intp]) -> None:
    names = tuple(exhibit.tables)
    truth = _curve(exhibit.truth, name, bins)
    x = exhibit.truth[SCATTER_OF if name == SCATTER else name].coordinate[bins]
    for candidate in reversed(names):
        subject = candidate == exhibit.verdict.subject
        look = style.look(candidate, names)
        curve = _curve(exhibit.tables[candidate], name, bins)
        marks: dict[str, Any] = {
            "color": look.colour,
            "ls": look.line,
            "lw": 1.9 if subject else 1.2,
        }
        order = 7 if subject else 5
        result = exhibit.verdict.candidates[candidate].results[name]
        if result.amplitude:
            pair[0].plot(x, curve.value, label=candidate, zorder=order, **marks)
            ratio = 1 + (curve.value - truth.value) / result.amplitude
        else:
            _plot_sizes(pair[0], x, curve.value, label=candidate, zorder=order, **marks)
            ratio = curve.value / np.where(truth.value == 0, np.nan, truth.value)
        faint = {**marks, "lw": 0.8, "alpha": 0.75}
        pair[1].plot(x, ratio, zorder=order, **faint)
        _draw_intervals(pair[1], result, look, subject=subject)


def _plot_sizes(axes: "Axes", x: Array, value: Array, **marks: Any) -> None:  # noqa: ANN401
    """Plot sizes for a logarithmic axis, negative ones with open markers."""
    axes.plot(x, np.where(value == 0, np.nan, np.abs(value)), **marks)
    negative = value < 0
    if negative.any():
        open_: dict[str, Any] = {
            "color": marks["color"],
            "zorder": marks["zorder"],
            "mfc": "white",
            "ms": 4.5,
        }
        axes.plot(x[negative], -value[negative], ls="", marker="o", **open_)


def _draw_intervals(axes: "Axes", result: Result, look: style.Look, *, subject: bool) -> None:
    x, ratio, low, high = (
        np.array([getattr(b, key) for b in result.bins])
        for key in ("coordinate", "ratio", "low", "high")
    )
    bottom, top = _limits(result)
    shown = np.clip(ratio, bottom, top)
    low, high = np.clip(low, bottom, top), np.clip(high, bottom, top)
    size = 5.2 if subject else 3.4
    inside = ratio == shown
    marks: dict[str, Any] = {
        "color": look.colour,
        "ls": "",
        "zorder": 8 if subject else 6,
        "clip_on": False,
    }
    axes.plot(x[inside], ratio[inside], marker=look.marker, ms=size, mec="white", mew=0.4, **marks)
    for marker, out in (("v", ratio < bottom), ("^", ratio > top)):
        axes.plot(x[out], shown[out], marker=marker, ms=size + 1.5, mfc="none", **marks)
    if subject:
        axes.vlines(x, low, high, color=look.colour, lw=1.5, zorder=8)


def _limits(result: Result) -> tuple[float, float]:
    if result.name == SCATTER:
        return 0.4, 2.3
    half = min(max(3 * (result.tolerance[1] - 1), 0.3), 0.98)
    return 1 - half, 1 + half


def _finish(pair: "Pair", statistic: Statistic, result: Result, x: Array) -> None:
    top, bottom = pair
    scale = "linear" if result.amplitude else "log"
    top.set(xscale="log", yscale=scale, title=_TITLES.get(result.name, result.label))
    if result.amplitude:
        top.axhline(0, color=MUTED, lw=0.8, zorder=1)
    top.tick_params(labelbottom=False)
    top.set_ylabel(_axis_label(statistic, result))
    bottom.set_ylim(*_limits(result))
    bottom.set_xlim(x[0] / 1.12, x[-1] * 1.12)
    _plain_ticks(pair, result, x)
    wavenumber = statistic.coordinate_unit == _WAVENUMBER
    bottom.set_xlabel(r"$k$  [$h\,\mathrm{Mpc}^{-1}$]" if wavenumber else _density(result.name))
    _mark_unjudged(pair, result, x)


def _exponent(result: Result) -> int:
    """Return the power of ten that the axis of a statistic without logarithm is in."""
    return int(np.floor(np.log10(result.amplitude)))


def _density(name: str) -> str:
    """Return what the density on the axis is of."""
    of = "height " if name in EXTREMA else "threshold " if name in MINKOWSKI else ""
    return rf"{of}$\rho/\bar\rho$"


def _axis_label(statistic: Statistic, result: Result) -> str:
    power = statistic.unit.removeprefix("(Mpc/h)^")
    factor = rf"10^{{{_exponent(result)}}}\," if result.amplitude else ""
    unit = rf"  [${factor}(\mathrm{{Mpc}}/h)^{{{power}}}$]" if statistic.unit else ""
    labels = {
        "power": rf"$P(k)${unit}",
        SCATTER: r"$\sigma_{\ln P}$",
        "quadrupole": r"$Q^2$ over Gaussian",
        "bispectrum": rf"$|B(k,k,k)|${unit}",
        REDUCED: r"$|Q(k,k,k)|$",
        SQUEEZED: r"$|Q(k_\mathrm{min},k,k)|$",
        **dict.fromkeys(EXTREMA, "number per field and bin"),
        **dict.fromkeys(ONE_POINT, "fraction of cells"),
        **{name: rf"$V_{name[-1]}$ per volume{unit}" for name in MINKOWSKI},
    }
    return labels[result.name]


def _plain_ticks(pair: "Pair", result: Result, x: Array) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    top, bottom = pair
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    if result.name == SCATTER:
        bottom.set_yscale("log")
        bottom.yaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.4, 2]))
        bottom.yaxis.set_minor_locator(NullLocator())
    if result.name in (SCATTER, "quadrupole", REDUCED, SQUEEZED):  # of order one
        top.yaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]))
        top.yaxis.set_minor_formatter(NullFormatter())
        top.yaxis.set_major_formatter(plain)
    if result.amplitude:
        unit = 10.0 ** _exponent(result)
        top.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:.3g}"))
    bottom.xaxis.set_minor_formatter(NullFormatter())
    steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]
    if x[-1] > 500 * x[0]:  # labels would touch
        steps = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
    bottom.xaxis.set_major_locator(FixedLocator([s for s in steps if x[0] / 1.1 < s < x[-1] * 1.1]))
    for axis in (bottom.xaxis, bottom.yaxis):
        axis.set_major_formatter(plain)


def _mark_unjudged(pair: "Pair", result: Result, x: Array) -> None:
    """Hatch the bins that are drawn but not judged."""
    first, last = result.bins[0].coordinate, result.bins[-1].coordinate
    below, above = x[x < first], x[x > last]
    left, right = pair[1].get_xlim()
    spans = []
    if below.size:
        spans.append((left, float(np.sqrt(below[-1] * first))))
    if above.size:
        spans.append((float(np.sqrt(last * above[0])), right))
    for axes in pair:
        for span in spans:
            axes.axvspan(
                *span, fc="white", ec="#c4c4c4", hatch="////", lw=0, alpha=0.55, zorder=0.5
            )
    for start, end in spans[-1:]:
        middle = float(np.sqrt(start * end))
        words: dict[str, Any] = {
            "ha": "center",
            "va": "top",
            "fontsize": 10.5,
            "color": MUTED,
            "style": "italic",
        }
        place = pair[0].get_xaxis_transform()
        pair[0].text(middle, 0.97, "not\njudged", transform=place, **words)
