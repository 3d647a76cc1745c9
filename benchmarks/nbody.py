"""Measure the particle-mesh code: speed, growth, convergence, and P(k) against HMcode2020.

``python benchmarks/nbody.py`` writes tables in markdown; ``--help`` says what can be chosen. With
the defaults it takes some minutes on one core and 3 GB.
"""

import argparse
import itertools
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.fft

import cosmogan
from cosmogan import cosmology as theory
from cosmogan import initial, mesh
from cosmogan.simulate.evolution import Evolution, evolve

UNIVERSE = theory.Cosmology()


def modes_of(snapshot, grid, box_size):
    """Return the modes of the density, painted by TSC and the window divided out."""
    modes = scipy.fft.rfftn(mesh.paint(snapshot.positions, grid, box_size, "tsc"))
    k = mesh.wavenumbers(grid, box_size)
    modes /= mesh.window_transform(k, box_size / grid, "tsc")
    return modes * (box_size**1.5 / grid**3)


def binned(one, other, box_size, edges):
    """Return the mean of Re(one conj(other)) between wavenumbers `edges`, Hermitian pairs counted."""
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(len(one), box_size)))
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = 1
    total, _ = np.histogram(
        k, edges, weights=weight * (one * one.conj() if other is one else one * other.conj()).real
    )
    return total / np.histogram(k, edges, weights=weight)[0]


def table(head, rows):
    """Return a table in markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def speed(arguments, power):
    """Time one box, warm, with one and with two threads."""
    rows = []
    for threads in (1, 2):
        run = settings(arguments)
        for _ in range(arguments.repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            next(evolve(UNIVERSE, 1, run, power, threads=threads))
            cells = (threads, time.perf_counter() - wall, time.process_time() - cpu)
            rows.append([cells[0], f"{cells[1]:.2f}", f"{cells[2]:.2f}"])
    return table(["threads", "wall, s", "CPU, s"], rows)


def growth(arguments, _):
    """Compare every mode of a faint box with D(z); in the pair second order cancels."""
    faint = theory.Cosmology(sigma_8=0.01)
    power = theory.linear_power(faint)
    run = settings(arguments, redshifts=(3.0, 1.0, 0.0))
    grid, box = run.particles, run.box_size
    linear = initial.linear_modes(1, grid, box, power, fixed=True)
    linear = mesh.at_cell_centres(linear, grid)
    n = np.sqrt(sum(c**2 for c in mesh.frequencies(grid)))
    pair = [evolve(faint, 1, run, power, fixed=True, paired=turned) for turned in (False, True)]
    rows = []
    for one, other in zip(*pair, strict=True):
        a, b = (displacement_modes(s, run) for s in (one, other))
        scale = theory.growth_factor(faint, 1 / (1 + one.redshift))
        for low, high in itertools.pairwise((0, grid / 16, grid / 8, grid / 4)):
            chosen = (n >= low) & (n < high) & (np.abs(linear) > 0)
            ratio = [np.abs(m[chosen] / (linear[chosen] * scale)) for m in (a, (a - b) / 2)]
            worst = [f"{100 * np.abs(r - 1).max():.2f}" for r in ratio]
            mean = f"{100 * (ratio[1].mean() - 1):+.2f}"
            rows.append([one.redshift, f"{low * 2 / grid:g} - {high * 2 / grid:g}", mean, *worst])
    return table(["z", "k / k_Ny", "mean, %", "worst mode, %", "worst mode of the pair, %"], rows)


def displacement_modes(snapshot, run):
    """Return -div of the displacements in Fourier space."""
    way = snapshot.positions - initial.lattice(run.particles, run.box_size).astype(np.float64)
    way -= run.box_size * np.rint(way / run.box_size)
    way = way.reshape(*[run.particles] * 3, 3)
    k = mesh.wavenumbers(run.particles, run.box_size)
    return sum(-1j * k[axis] * scipy.fft.rfftn(way[..., axis]) for axis in range(3))


def convergence(arguments, power):
    """Compare with 4 times the steps and twice the mesh, on the same phases."""
    coarse = settings(arguments)
    grid, box, nyquist = (
        2 * coarse.particles,
        coarse.box_size,
        np.pi * coarse.particles / coarse.box_size,
    )
    fine = settings(arguments, steps=4 * coarse.steps, mesh=2 * coarse.mesh)
    runs = {
        "as asked": coarse,
        "half the steps": settings(arguments, steps=coarse.steps // 2),
        "4 x steps": settings(arguments, steps=4 * coarse.steps),
        "2 x mesh": settings(arguments, mesh=2 * coarse.mesh),
    }
    edges = nyquist * np.array([0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1])
    finest = modes_of(next(evolve(UNIVERSE, 1, fine, power)), grid, box)
    reference = binned(finest, finest, box, edges)
    rows = []
    for name, run in runs.items():
        modes = modes_of(next(evolve(UNIVERSE, 1, run, power)), grid, box)
        own = binned(modes, modes, box, edges)
        cross = binned(modes, finest, box, edges) / np.sqrt(own * reference)
        rows.append([name, "P ratio", *(f"{r:.3f}" for r in own / reference)])
        rows.append(["", "r", *(f"{r:.4f}" for r in cross)])
    return table(["run", "", *(f"k < {e / nyquist:.3g} k_Ny" for e in edges[1:])], rows)


def hmcode(arguments, power):
    """Compare fixed-and-paired boxes, 256 Mpc/h on a 256^3 mesh, with HMcode2020 of CAMB."""
    run = settings(arguments, box_size=256.0, mesh=256, particles=arguments.pair_particles)
    edges = np.array([0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7, 1.0])
    theirs, mean_k = expected_power(256, run.box_size, edges)
    found = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.pairs):
        for turned in (False, True):
            (snapshot,) = evolve(UNIVERSE, seed, run, power, fixed=True, paired=turned)
            modes = modes_of(snapshot, 256, run.box_size)
            found.append(binned(modes, modes, run.box_size, edges))
    ratio = np.array(found).reshape(arguments.pairs, 2, -1).mean(axis=1) / theirs
    error = ratio.std(axis=0, ddof=1) / np.sqrt(len(ratio)) if len(ratio) > 1 else 0 * ratio[0]
    rows = [
        [
            f"{low:g} - {high:g}",
            f"{k:.3f}",
            f"{r:.3f}",
            f"{e:.3f}",
            " ".join(f"{x:.3f}" for x in each),
        ]
        for (low, high), k, r, e, each in zip(
            itertools.pairwise(edges), mean_k, ratio.mean(axis=0), error, ratio.T, strict=True
        )
    ]
    return table(["k, h/Mpc", "mean k", "P / HMcode2020", "error", "each pair"], rows)


def expected_power(grid, box_size, edges):
    """Return HMcode's P and k, averaged over the modes of each bin."""
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(grid, box_size)))
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = 1
    count, _ = np.histogram(k, edges, weights=weight)
    power, _ = np.histogram(k, edges, weights=weight * theory.nonlinear_power(UNIVERSE)(k))
    return power / count, np.histogram(k, edges, weights=weight * k)[0] / count


def settings(arguments, **changes):
    """Return how the box is simulated."""
    names = ("box_size", "particles", "mesh", "steps")
    return Evolution(**{name: getattr(arguments, name) for name in names} | changes)


def heading(arguments):
    """Return what made the tables."""
    model = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = f"cosmogan {cosmogan.__version__}, numpy {np.__version__}, scipy {scipy.__version__}"
    run = f"{arguments.particles}^3 particles, {arguments.mesh}^3 mesh, {arguments.steps} steps, "
    return "\n".join(
        [
            "# The particle-mesh code",
            "",
            f"- {time.strftime('%Y-%m-%d')}, {len(model)} x {model[0] if model else '?'}",
            f"- Python {platform.python_version()}, {versions}, commit {commit or 'none'}",
            f"- `{' '.join(['python', *sys.argv])}`",
            f"- {run}{arguments.box_size:g} Mpc/h, z = 19 to 0, Planck 2015 cosmology",
        ]
    )


SECTIONS = {"speed": speed, "growth": growth, "convergence": convergence, "hmcode": hmcode}


def main():
    """Write the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--particles", type=int, default=128, help="per side")
    parser.add_argument("--mesh", type=int, default=128, help="cells per side")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--box-size", type=float, default=200.0, help="Mpc/h")
    parser.add_argument("--repeats", type=int, default=3, help="of each timing; the first is cold")
    parser.add_argument("--pairs", type=int, default=4, help="fixed and paired")
    parser.add_argument("--pair-particles", type=int, default=128, help="per side, on a 256^3 mesh")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="append to this file instead of printing")
    arguments = parser.parse_args()
    power = theory.linear_power(UNIVERSE)
    parts = [heading(arguments)]
    for name in arguments.sections or SECTIONS:
        section = SECTIONS[name]
        parts.append(f"## {name}\n\n{section.__doc__}\n\n{section(arguments, power)}")
    text = "\n\n".join(parts) + "\n"
    if arguments.out is None:
        print(text)
    else:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
