"""What the channels of a latent know: how well the best linear filter of them predicts simulated slices.

    python -m benchmarks.fidelity.inputs --data runs/fidelity/data

In every shell of k, the filter that predicts the modes of simulated slices best from those of all channels is
fitted on some boxes and tried on others. Printed is 1 - r between prediction and simulation, over that of plain
second-order perturbation theory, which is what a network that starts from the channels has to improve on: it
reaches about as far, but is not linear. "Sums" are carried means times the density: a filter cannot multiply.
"""

import argparse
from pathlib import Path

import numpy as np

from cosmogan.fields.store import open_fields
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.train.run import theory_of

EDGES = (0.5, 1.5, 2.5, 3.5, 5.5, 7.5, 9.5, 12.5, 15.5, 19.5, 24.5)
"""Of the shells [fundamental wavenumber]."""
RIDGE = 1e-6
SCALE = 0.5
"""rho_s of the logarithm log1p(rho / rho_s) [mean density]."""
BOTH = LatentShape(kind="lpt", neighbours=1, carried=(0.5, 2.0))
SHAPES = {
    "2lpt": LatentShape(kind="lpt", displacement="2lpt"),
    "zeldovich": LatentShape(kind="lpt", displacement="zeldovich"),
    "augmented": LatentShape(kind="lpt"),
    "augmented, neighbours 1": LatentShape(kind="lpt", neighbours=1),
    "augmented, neighbours 2": LatentShape(kind="lpt", neighbours=2),
    "augmented, carried 0.5": LatentShape(kind="lpt", carried=(0.5,)),
    "augmented, carried 2": LatentShape(kind="lpt", carried=(2.0,)),
    "augmented, carried 0.5, 2": LatentShape(kind="lpt", carried=(0.5, 2.0)),
    "the same, neighbours 1": LatentShape(kind="lpt", neighbours=1, carried=(0.5, 2.0)),
    "the same, neighbours 2": LatentShape(kind="lpt", neighbours=2, carried=(0.5, 2.0)),
    "carried 0.5, 1, 2, 4, neighbours 1": LatentShape(
        kind="lpt", neighbours=1, carried=(0.5, 1.0, 2.0, 4.0)
    ),
    "carried 0.5, 2 as sums, neighbours 1": BOTH,
    "the same, means and sums": BOTH,
    "the same, and the logarithm": BOTH,
}
SUMS = {
    "carried 0.5, 2 as sums, neighbours 1": ("densities", "sums"),
    "the same, means and sums": ("densities", "means", "sums"),
    "the same, and the logarithm": ("densities", "logarithms", "means", "sums"),
}
"""Which channels are made of those of the latent; all others are as they are."""


def channels_of(latent, origins, wanted=("densities", "means")):
    """Return channels (n, c, N, N) of slices: densities and what their matter carries, or made of these."""
    views = latent.views(origins, [0] * len(origins))
    rho = views[:, : latent.densities]
    means = views[:, latent.densities :]
    sums = means * np.tile(rho, (1, means.shape[1] // latent.densities, 1, 1))
    parts = {"densities": rho, "means": means, "sums": sums, "logarithms": np.log1p(rho / SCALE)}
    return np.concatenate([parts[name] for name in wanted], axis=1)


def covariances(channels, fields, shell):
    """Return sum X X*, sum X Y* and sum |Y|^2 of the modes of each shell, from one box of slices."""
    x, y = (np.fft.rfft2(part, axes=(-2, -1)) for part in (channels, fields))
    found = []
    for number in range(1, len(EDGES)):
        inside = shell == number
        a = np.moveaxis(x[..., inside], 1, 0).reshape(x.shape[1], -1)
        b = y[..., inside].ravel()
        found.append(((a @ a.conj().T).real, (a.conj() @ b).real, (np.abs(b) ** 2).sum()))
    return found


def left_open(boxes, fit):
    """Return 1 - r of each shell on the boxes after the first `fit`, on which the filter is fitted."""
    result = []
    for shell in zip(*boxes, strict=True):
        known, tried = (
            [sum(parts) for parts in zip(*some, strict=True)] for some in (shell[:fit], shell[fit:])
        )
        filters = np.linalg.solve(known[0] + RIDGE * np.diag(np.diag(known[0])), known[1])
        power = filters @ tried[0] @ filters
        result.append(1 - filters @ tried[1] / np.sqrt(power * tried[2]))
    return np.array(result)


def main():
    """Fit, try, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/fidelity/data"))
    parser.add_argument("--fit", type=int, default=16, help="boxes")
    parser.add_argument("--test", type=int, default=8, help="boxes")
    given = parser.parse_args()
    fields = open_fields(given.data / "train.fields")
    theory, grid = theory_of(fields), fields.layout.grid
    chosen = np.unique(fields.origin["simulation"])[: given.fit + given.test]
    rows = [np.flatnonzero(fields.origin["simulation"] == number) for number in chosen]
    lines = np.meshgrid(np.fft.fftfreq(grid, 1 / grid), np.arange(grid // 2 + 1), indexing="ij")
    shell = np.digitize(np.hypot(*lines), EDGES)
    middle = (np.array(EDGES[1:]) + EDGES[:-1]) / 2 * 2 * np.pi / fields.layout.box_size
    print(f"| k [h/Mpc] | {' | '.join(f'{k:.2f}' for k in middle)} |")
    print(f"|---|{'---|' * len(middle)}")
    plain = None
    for name, shape in SHAPES.items():
        latent = make_latent(shape, theory, grid)
        wanted = SUMS.get(name, ("densities", "means"))
        boxes = [
            covariances(channels_of(latent, fields.origin[at], wanted), fields[at] - 1, shell)
            for at in rows
        ]
        found = left_open(boxes, given.fit)
        if plain is None:
            plain = found
            print(f"| 1 - r of {name} | {' | '.join(f'{x:.3f}' for x in found)} |")
        print(f"| {name} | {' | '.join(f'{x:.2f}' for x in found / plain)} |", flush=True)


if __name__ == "__main__":
    main()
