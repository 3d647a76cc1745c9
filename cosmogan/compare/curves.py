"""The course of the training, drawn from its log."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cosmogan.compare import style
from cosmogan.compare.style import INK
from cosmogan.compare.units import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]

READINGS = ("reading", "validation")
"""Events of the log that carry a reading against the simulations."""
_LOSSES = {"d_loss": "discriminator", "g_loss": "generator", "pairing": "pairing"}
_BALANCE = {
    "d_real": "score of simulated",
    "d_fake": "score of emulated",
    "gap": "gap of the scores",
    "r1": "R1",
    "r2": "R2",
    "penalty": "R1 + R2, field",
    "penalty_summaries": "R1 + R2, statistics",
}
_ERRORS: Mapping[str, str] = {
    "score": "score, in tolerances",
    "power": "power",
    "bispectrum": "bispectrum",
    "reduced_bispectrum": "reduced bispectrum",
    "quadrupole": "squared quadrupole",
    "pdf": "PDF",
    "pdf_smoothed": "smoothed PDF",
}
_RATIOS = {"mean_density": "mean density", "scatter": r"scatter of $\ln P$"}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_SMOOTH_OVER = 50  # points of a smoothed curve


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a training log; one that was cut short is left out."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "images" in line:
            lines.append(line)
    return lines


def training_figure(lines: Iterable[Line]) -> str:
    """Draw losses, balance, and the readings against the simulations.

    Parameters
    ----------
    lines : iterable of mapping
        The training log: events "step" and "reading", each with the fields shown as `images`.

    Returns
    -------
    str
        An inline SVG image; empty without lines.
    """
    lines = list(lines)
    steps = [line for line in lines if line.get("event") == "step"]
    readings = [_flat(line) for line in lines if line.get("event") in READINGS]
    if not steps and not readings:
        return ""
    with style.figure(3.6) as drawn:
        panels = drawn.subplots(1, 4)
        drawn.subplots_adjust(left=0.05, right=0.995, top=0.91, bottom=0.16, wspace=0.25)
        _curves(panels[0], steps, _LOSSES, "losses")
        _curves(panels[1], steps, _BALANCE, "balance")
        _curves(panels[2], readings, _ERRORS, "deviation of the readings")
        _curves(panels[3], readings, _RATIOS, "ratios of the readings")
        _mark_best(panels[2], readings)
        _make_room(panels)
        panels[3].axhline(1, color=INK, lw=0.8)
        return style.as_svg(drawn)


def raised(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return the alarms of a training log, one for each number: how often it rang, and when last."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.get("event") == "alarm":
            before = found.get(line["name"], {"times": 0})
            found[line["name"]] = {**line, "times": before["times"] + 1}
    return list(found.values())


def kept(lines: Iterable[Line]) -> Line | None:
    """Return the reading whose weights are kept, that of the lowest score; None without one."""
    readings = [line for line in lines if line.get("event") in READINGS]
    finite = [line for line in readings if _is_number(line.get("score"))]
    return min(finite, key=lambda line: float(line["score"]), default=None)


def knows_by_heart(lines: Sequence[Line]) -> bool:
    """Whether an alarm says that the networks whose weights are kept know training fields by heart."""
    reading = kept(lines)
    at = None if reading is None else reading["images"]
    return any(
        line["name"] == "prediction" or (line["name"] == "gap" and line["images"] == at)
        for line in lines
        if line.get("event") == "alarm"
    )


def _flat(line: Line) -> dict[str, Any]:
    """Bring the errors of a reading beside its ratios."""
    errors = {key.removesuffix("_error"): v for key, v in line.items() if key.endswith("_error")}
    errors |= line.get("errors", {})
    return {**{key: errors[key] for key in _ERRORS if key in errors}, **line}


def _curves(axes: "Axes", lines: Sequence[Line], names: Mapping[str, str], title: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("fields shown")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    found = [(label, _points(lines, name)) for name, label in names.items()]
    for colour, (label, (x, y)) in zip(_COLOURS, (f for f in found if f[1][0].size), strict=False):
        if x.size > 4 * _SMOOTH_OVER:
            axes.plot(x, y, color=colour, lw=0.4, alpha=0.3)
            x, y = _smooth(x), _smooth(y)
        axes.plot(x, y, color=colour, lw=1.5, label=label, marker="." if x.size < 40 else "")
    if axes.lines:
        loc: Literal["lower left", "upper right"]
        loc = "lower left" if names is _ERRORS else "upper right"
        axes.legend(loc=loc, fontsize=10.5, handlelength=1.4, labelspacing=0.3)


def _points(lines: Sequence[Line], name: str) -> tuple[Array, Array]:
    points = [(line["images"], line[name]) for line in lines if _is_number(line.get(name))]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return x, y


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _smooth(values: Array) -> Array:
    smoothed: Array = np.convolve(values, np.full(_SMOOTH_OVER, 1 / _SMOOTH_OVER), mode="valid")
    return smoothed


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def _make_room(panels: "Sequence[Axes]") -> None:
    """Stretch the axes so that the legends hide no curve."""
    for axes in panels:
        low, high = axes.get_ylim()
        if axes.get_yscale() == "log":
            axes.set_ylim(low / (high / low) ** (0.13 * len(axes.lines)), high * 1.3)
        else:
            axes.set_ylim(low, high + 0.3 * (high - low))


def _mark_best(axes: "Axes", readings: Sequence[Line]) -> None:
    """Ring the reading whose weights users get."""
    x, y = _points(readings, "score")
    if not x.size:
        return
    best = int(np.argmin(y))
    axes.set_yscale("log")
    axes.plot(x[best], y[best], "o", ms=10, mfc="none", mec=INK, mew=1.3, zorder=9)
    axes.annotate(
        "kept",
        (x[best], y[best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="right",
        fontsize=11,
        style="italic",
    )
