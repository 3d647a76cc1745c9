"""How the figures look: one colour, one marker and one name a data set, the same everywhere.

Colours are those of Okabe and Ito (2008), told apart by all common forms of colour vision; marker
and line tell the data sets apart in grey as well.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1b1b1b", "#6b6b6b", "#d9d9d9"
TOLERANCE, TOLERANCE_EDGE = "#e6f3ec", "#7fb89c"
WIDTH = 11.0
"""Width of every figure [inch]."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one data set."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


_LOOKS = {
    "emulated": Look("#d55e00", "o", "-"),
    "untrained": Look("#cc79a7", "v", (0, (1, 1.2))),
    "lognormal": Look("#009e73", "s", (0, (5, 1.5))),
    "another draw": Look("#0072b2", "D", (0, (4, 1.2, 1, 1.2))),
}
_SPARE = (Look("#e69f00", "^", "-"), Look("#56b4e9", "P", "-"), Look("#8c6d31", "X", "-"))
_SETTINGS: Any = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 12.5,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.labelsize": 13,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "legend.frameon": False,
    "legend.fontsize": 12,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "cosmogan",
}


def look(name: str, others: tuple[str, ...] = ()) -> Look:
    """Return the look of a data set; one without a look of its own gets a spare one.

    Parameters
    ----------
    name : str
        Name of the data set.
    others : tuple of str
        All data sets of the figure, which decide who gets which spare.
    """
    if name in _LOOKS:
        return _LOOKS[name]
    strangers = [other for other in others if other not in _LOOKS]
    spare = _SPARE if "emulated" in others else (_LOOKS["emulated"], *_SPARE)
    return spare[strangers.index(name) % len(spare) if name in strangers else 0]


@contextmanager
def figure(height: float) -> "Iterator[Figure]":
    """Yield an empty figure of full width and this height [inch], drawn in the house style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        yield Figure(figsize=(WIDTH, height))


def as_svg(drawn: "Figure") -> str:
    """Return a figure as the address of an inline image; same figure, same bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def as_png(drawn: "Figure", dpi: int = 150) -> str:
    """Return a figure as the address of an inline bitmap."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
