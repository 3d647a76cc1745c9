"""Fields beside each other on one colour scale, so that the eye can judge before the numbers do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cosmogan.compare import style
from cosmogan.compare.units import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
_PERCENTILES = (1.0, 99.8)
_EMPTY = 1e-3  # stands for cells without matter on a logarithmic scale


class Fields(Protocol):
    """What is needed of a data set: `cosmogan.fields.dataset.FieldSet` has it."""

    @property
    def layout(self) -> Any:  # noqa: ANN401
        """`box_size` [Mpc/h] and `dimension` of the samples."""

    @property
    def origin(self) -> NDArray[np.void]:
        """Structured (n,), with the simulation of each sample."""

    def __getitem__(self, index: Any, /) -> NDArray[np.float32]:  # noqa: ANN401
        """Return samples, density over mean."""


@dataclass(frozen=True)
class Row:
    """Pictures of one data set and the caption that stands above them."""

    caption: str
    colour: str
    pictures: tuple[Array, ...]


def choose(fields: Fields, count: int) -> list[Array]:
    """Return the first slice of `count` different simulations, as far as there are so many.

    Parameters
    ----------
    fields : Fields
        A data set; of cubes the slab in the middle is taken, an eighth of the box thick.
    count : int
        How many.

    Returns
    -------
    list of (N, N) ndarray of float64
        Density over mean.
    """
    simulation = fields.origin["simulation"]
    _, first = np.unique(simulation, return_index=True)
    rows = np.sort(first)[:count].tolist()
    rows += [row for row in range(len(simulation)) if row not in rows][: count - len(rows)]
    return [_flat(fields[row]) for row in rows]


def gallery(named: Mapping[str, Fields], *, truth: str, subject: str) -> str:
    """Draw a row of the truth, one of the subject, and one shared by the others.

    Parameters
    ----------
    named : mapping of str to Fields
        Data sets by name, truth and subject among them.
    truth, subject : str
        Which are which.

    Returns
    -------
    str
        An inline PNG image.
    """
    rows = [_row(named[truth], "held-out simulations", style.INK, COLUMNS)]
    rows.append(_row(named[subject], subject, style.look(subject).colour, COLUMNS))
    others = [name for name in named if name not in (truth, subject)][:2]
    shared = [_row(named[n], n, style.look(n).colour, COLUMNS // len(others)) for n in others]
    scale = _scale(rows[0].pictures)
    lines: list[Sequence[Row]] = [rows[:1], rows[1:], *([shared] if shared else [])]
    with style.figure(0.45 + 1.88 * len(lines)) as drawn:
        _draw(drawn, lines, scale, float(named[truth].layout.box_size))
        return style.as_png(drawn, dpi=140)


def _row(fields: Fields, caption: str, colour: str, count: int) -> Row:
    return Row(caption, colour, tuple(_logarithm(p) for p in choose(fields, count)))


def _flat(field: NDArray[np.float32]) -> Array:
    if field.ndim == 2:
        return field.astype(np.float64)
    grid = field.shape[0]
    middle = slice(grid // 2, grid // 2 + max(grid // 8, 1))
    slab: Array = field[middle].mean(axis=0, dtype=np.float64)
    return slab


def _logarithm(picture: Array) -> Array:
    logarithm: Array = np.log10(np.maximum(picture, _EMPTY))
    return logarithm


def _scale(pictures: Sequence[Array]) -> tuple[float, float]:
    low, high = (float(np.percentile(np.stack(pictures), p)) for p in _PERCENTILES)
    return (low, high) if high > low else (low - 1, low + 1)


def _draw(
    drawn: "Figure", lines: Sequence[Sequence[Row]], scale: tuple[float, float], box_size: float
) -> None:
    from matplotlib.ticker import MultipleLocator

    inch = 1 / float(drawn.get_size_inches()[1])
    grid = drawn.add_gridspec(
        len(lines), COLUMNS, left=0.004, right=0.918, top=1 - 0.3 * inch, bottom=0.05 * inch
    )
    grid.update(wspace=0.03, hspace=0.17)
    side = (0.0, box_size)
    for number, line in enumerate(lines):
        pictures = [(row, index) for row in line for index in range(len(row.pictures))]
        for column, (row, index) in enumerate(pictures):
            axes = drawn.add_subplot(grid[number, column], xticks=[], yticks=[])
            axes.imshow(
                row.pictures[index].T, "inferno", vmin=scale[0], vmax=scale[1], extent=side * 2,
                origin="lower",
            )  # fmt: skip
            if index == 0:
                axes.set_title(row.caption, color=row.colour, fontsize=14, pad=4)
    _scale_bar(drawn.axes[0], box_size)
    frame = drawn.add_axes((0.927, 0.05 * inch, 0.012, 1 - 0.35 * inch))
    bar = drawn.colorbar(drawn.axes[0].images[0], cax=frame, extend="both")
    bar.locator = MultipleLocator(0.5)
    bar.update_ticks()
    bar.set_label(r"$\log_{10}\,(\rho/\bar\rho)$")


def _scale_bar(axes: "Axes", box_size: float) -> None:
    """Draw a round length of about a quarter of the box."""
    from matplotlib.patheffects import withStroke

    decade = 10.0 ** np.floor(np.log10(box_size / 4))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= box_size / 3.5)
    left, bottom = 0.06 * box_size, 0.07 * box_size
    ends, words = [left, left + length], f"{length:g} Mpc/$h$"
    (bar,) = axes.plot(ends, [bottom] * 2, color="white", lw=2.5, solid_capstyle="butt")
    text = axes.text(left, 1.4 * bottom, words, color="white", fontsize=11.5, va="bottom")
    for artist in (bar, text):
        width = 5 if artist is bar else 2.5
        artist.set_path_effects([withStroke(linewidth=width, foreground="#000000c0")])
    axes.set(xlim=(0, box_size), ylim=(0, box_size))
