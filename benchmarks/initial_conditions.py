"""How much of a simulation is in its initial conditions: latents and emulator on the same phases.

    python benchmarks/initial_conditions.py runs/demo-64

prints, for the held-out boxes of a run, the correlation coefficient r(k) and the ratio of power with
the simulated slices for second-order displacements, for the latent of the network and for the network
itself, and what a box of each costs.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

import cosmogan
from cosmogan.fields.cut import cut_box
from cosmogan.initial import displaced_density, linear_modes

EDGES = (1, 3, 6, 10, 15, 22, 32)
"""Of the shells of |n|, for 64 cells."""


def compare(made, truth):
    """Return r and the ratio of power (shells,) of slices (n, N, N) with others of the same phases."""
    grid = truth.shape[-1]
    full, half = np.fft.fftfreq(grid, 1 / grid), np.arange(grid // 2 + 1)
    n = np.hypot(full[:, None], half)
    weight = np.where((half == 0) | (half == grid // 2), 1.0, 2.0)
    a, b = (np.fft.rfft2(x - x.mean()) for x in (made, truth))
    products = [(weight * (x * y.conj()).real).sum(0) for x, y in ((a, b), (a, a), (b, b))]
    shell = np.digitize(n, np.array(EDGES) * grid / 64) - 1
    inside = (shell >= 0) & (shell < len(EDGES) - 1)
    ab, aa, bb = (np.bincount(shell[inside], p[inside]) for p in products)
    return ab / np.sqrt(aa * bb), aa / bb


def candidates(emulator):
    """Return functions of (seed, origins) that make slices, by name."""
    theory, grid = emulator.theory, emulator.weights.layout.grid
    box_size = grid * theory.cell_size

    def second_order(seed, _origins):
        modes = linear_modes(seed, grid, box_size, theory.linear_power(0))
        density = displaced_density(modes, box_size, theory.growth(0), window=theory.window)
        return cut_box(density, 2, theory.thickness)[0]

    return {
        "2LPT": second_order,
        "latent": lambda _, origins: emulator.latent.density(origins, [0] * len(origins)),
        "network": lambda _, origins: emulator.counterparts(origins).fields,
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    emulator, truth = cosmogan.load(run), cosmogan.open(run / "test.fields")
    k = 2 * np.pi / truth.layout.box_size * np.array(EDGES) * truth.layout.grid / 64
    shells = [f"{low:.2f} to {high:.2f}" for low, high in itertools.pairwise(k)]
    print("| k [h/Mpc] | " + " | ".join(shells) + " | CPU s a box |")
    print("|---" * (len(shells) + 2) + "|")
    for name, make in candidates(emulator).items():
        seconds, found = [], []
        for simulation in truth.simulations:
            chosen = np.flatnonzero(truth.origin["simulation"] == simulation)
            before = time.process_time()
            made = make(int(simulation), truth.origin[chosen])
            seconds.append(time.process_time() - before)
            found.append(compare(made, truth[chosen]))
        for label, values in zip(("r", "P ratio"), np.mean(found, axis=0), strict=True):
            row = " | ".join(f"{v:.3f}" for v in values)
            print(f"| {name}: {label} | {row} | {np.median(seconds):.2f} |")


if __name__ == "__main__":
    main()
