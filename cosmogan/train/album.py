"""What one watches while a network learns: pictures of fixed seeds, and TensorBoard.

Both are observers of `cosmogan.train.worker`; matplotlib and tensorboard are imported when used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosmogan.statistics.power import power_spectra
from cosmogan.train.data import spread
from cosmogan.train.reading import Reading, Referee

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 4
"""Fields in a picture."""


class Album:
    """Draws ``pictures/<images>.png`` at every reading: fields of fixed seeds, and P(k).

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pictures"

    def line(self, line: dict[str, Any]) -> None:
        """Do nothing."""

    def reading(self, reading: Reading, fields: NDArray[np.float32], referee: Referee) -> None:
        """Draw."""
        self.folder.mkdir(parents=True, exist_ok=True)
        figure = draw(reading, fields, referee)
        figure.savefig(self.folder / f"{reading.images:012d}.png", dpi=90)


class Board:
    """Writes TensorBoard's event files.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def line(self, line: dict[str, Any]) -> None:
        """Write every number of a line against the fields shown."""
        for name, value in _numbers(line).items():
            self.writer.add_scalar(name, value, line["images"])
        if line["event"] == "reading":
            self.writer.flush()

    def reading(self, reading: Reading, fields: NDArray[np.float32], referee: Referee) -> None:
        """Do nothing: the numbers also come as a line."""


def draw(reading: Reading, fields: NDArray[np.float32], referee: Referee) -> "Figure":
    """Return a figure of generated fields and their power spectrum against the simulations'."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * SHOWN, 5.6), layout="constrained")
    places = figure.add_gridspec(2, SHOWN, height_ratios=(1, 0.9))
    for number, field in enumerate(fields[spread(fields, SHOWN)]):  # of the whole exam
        panel = figure.add_subplot(places[0, number])
        cut = field if field.ndim == 2 else field[0]
        panel.imshow(np.log10(cut + 1e-2), cmap="inferno", vmin=-1.2, vmax=1.5, origin="lower")
        panel.set_axis_off()
    axis = figure.add_subplot(places[1, :])
    truth = referee.truth["power"]
    _, made, _ = power_spectra(fields, referee.box_size)
    mean = truth.samples.mean(axis=0)
    scatter = truth.samples.std(axis=0) / mean
    axis.fill_between(truth.coordinate, 1 - scatter, 1 + scatter, color="0.88", lw=0)
    axis.axhline(1, color="0.4", lw=0.8)
    axis.plot(truth.coordinate, made.mean(axis=0) / mean, color="C0")
    axis.set(
        xscale="log",
        ylim=(0.4, 1.6),
        xlabel="k [h/Mpc]",
        ylabel="P(k), generated / simulated",
        title=f"{reading.images} fields shown, score {reading.score:.2f}; band: scatter of a field",
    )
    return figure


def _numbers(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            flat |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            flat[prefix + name] = float(value)
    return flat
