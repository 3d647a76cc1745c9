"""Does it serve? Who learnt Omega_m and sigma_8 from emulated fields, and is asked about held-out simulations.

    python -m benchmarks.fidelity.regress runs/lcdm-z

A small network learns to tell the two from a slice and its redshift: twice from simulated fields, and once each from two sets of as many
emulated ones, at the same parameters, from other initial conditions. All answer for the held-out simulations of universes
that none has seen. Printed are, for either parameter,

* bias: mean of answer minus truth,
* excess bias: the same, minus that of the first who learnt from simulations: a few universes leave the bias itself open, and both alike,
* scatter: root mean square of answer minus truth about it,
* shift: root mean square, over universes and redshifts, of the mean answer minus that of the first who learnt from
  simulations,

all in units of the scatter of that first one, with 95 % intervals over universes; these know nothing of how answers differ
from training to training. The shift of the second who learnt from simulations, with other weights and order, is what training alone does; that of one who learnt from emulated fields
against the other, of other initial conditions, is what a perfect emulator would show.
"""

import argparse
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

import cosmogan
from cosmogan.fields.files import clean_temporaries, whole_file
from cosmogan.models.blocks import Convolution, ResidualBlock, activate, halve, space_to_depth
from cosmogan.models.seeds import derive_seed

ASKED = ("Omega_m", "sigma_8")
NUMBERS = ("bias", "excess bias", "scatter", "shift")
"""In the order of `judge`."""
EVERY = 6
"""Of the slices of a box, in training and test."""
BATCH = 64
SHOWN = 200_000
"""Fields in a training."""
RATE = 1e-3
RESAMPLES = 1000


@dataclass(frozen=True)
class Slices:
    """Fields, what they are of, and where they are from.

    Attributes
    ----------
    density : (n, N, N) float32 ndarray
        Over mean.
    redshift : (n,) ndarray
    parameters : (n, 2) ndarray
        Omega_m and sigma_8.
    """

    density: np.ndarray
    redshift: np.ndarray
    parameters: np.ndarray

    def rows(self, some):
        """Return some of them."""
        return Slices(self.density[some], self.redshift[some], self.parameters[some])


class Regressor(nn.Module):
    """A slice and its redshift in, two parameters out; equivariant to shifts up to the mean over all cells."""

    def __init__(self, centre, scale, widths=(32, 48, 64)):
        super().__init__()
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.stem = Convolution(2, 4, widths[0])
        self.blocks = nn.ModuleList(ResidualBlock(2, w, depth=len(widths)) for w in widths)
        pairs = zip(widths, (*widths[1:], 2 * widths[-1]), strict=True)
        self.widen = nn.ModuleList(Convolution(2, a, b, width=1) for a, b in pairs)
        self.head = nn.Sequential(
            nn.Linear(2 * widths[-1] + 1, 64), nn.LeakyReLU(0.2), nn.Linear(64, len(ASKED))
        )

    def forward(self, density, redshift):
        """Return parameters (n, 2) for fields (n, N, N), density over mean, at redshifts (n,)."""
        x = self.stem(space_to_depth(torch.log(0.1 + density)[:, None]))
        for block, widen in zip(self.blocks, self.widen, strict=True):
            x = widen(halve(block(x)))
        known = torch.cat([activate(x).mean(dim=(2, 3)), redshift[:, None]], 1)
        return self.centre + self.scale * self.head(known)


def learn(slices, seed, shown=SHOWN):
    """Return a regressor that has seen so many fields, turned and shifted at random."""
    torch.manual_seed(seed)
    low, high = slices.parameters.min(0), slices.parameters.max(0)
    network = Regressor((low + high) / 2, (high - low) / 2)
    random, steps = np.random.default_rng(seed), -(-shown // BATCH)
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        some = slices.rows(np.sort(random.choice(len(slices.density), BATCH, replace=False)))
        answer = network(torch.from_numpy(turned(some.density, random)), _tensor(some.redshift))
        wrong = (answer - _tensor(some.parameters)) / network.scale
        adam.zero_grad(set_to_none=True)
        wrong.square().mean().backward()
        adam.step()
        decay.step()
    return network.eval()


def turned(density, random):
    """Return fields (n, N, N), all turned, mirrored and shifted in one random way."""
    if random.integers(2):
        density = density.swapaxes(1, 2)
    for axis in (1, 2):
        if random.integers(2):
            density = np.flip(density, axis)
    shift = random.integers(density.shape[-1], size=2)
    return np.ascontiguousarray(np.roll(density, shift, (1, 2)))


@torch.no_grad()
def answers(network, slices):
    """Return what a regressor says of fields (n, 2)."""
    parts = []
    for start in range(0, len(slices.density), 512):
        some = slices.rows(slice(start, start + 512))
        parts.append(network(torch.from_numpy(some.density), _tensor(some.redshift)))
    return torch.cat(parts).numpy().astype(np.float64)


def judge(answer, reference, truth, redshift, seed=0):
    """Return bias, its excess over that of the reference, scatter over its, and shift against it: value, low and high, (4, 2) each.

    Parameters
    ----------
    answer, reference : (n, 2) ndarray
        Of who is judged, and of who learnt from simulations.
    truth : (n, 2) ndarray
        Parameters.
    redshift : (n,) ndarray
        Of each field.
    seed : int
        Of the resampled universes.
    """
    _, universe = np.unique(truth, axis=0, return_inverse=True)
    groups = [np.flatnonzero(universe.reshape(-1) == u) for u in range(universe.max() + 1)]
    unit = (reference - truth).std(axis=0)

    def numbers(chosen):
        rows = np.concatenate([groups[u] for u in chosen])
        away, known = answer[rows] - truth[rows], reference[rows] - truth[rows]
        apart = [
            (answer[here] - reference[here]).mean(axis=0)
            for u in chosen
            for z in np.unique(redshift)
            if len(here := groups[u][redshift[groups[u]] == z])
        ]
        shift = np.sqrt(np.mean(np.square(apart), axis=0))
        bias, excess = away.mean(axis=0) / unit, (away - known).mean(axis=0) / unit
        return np.array([bias, excess, away.std(axis=0) / known.std(axis=0), shift / unit])

    rng, count = np.random.default_rng(seed), len(groups)
    drawn = [numbers(rng.integers(count, size=count)) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return numbers(range(count)), low, high


def simulated(path):
    """Return every `EVERY`-th slice of a data set, and where they come from."""
    fields = cosmogan.open(path)
    rows = np.arange(0, len(fields), EVERY)
    names = fields.layout.parameter_names
    table = fields.parameters[rows]
    slices = Slices(
        density=fields[rows],
        redshift=table[:, names.index("redshift")],
        parameters=table[:, [names.index(name) for name in ASKED]],
    )
    return slices, fields.origin[rows]


def emulated(run, slices, origin, seed):
    """Return fields of the emulator at the parameters of others, each box from new initial conditions.

    Each box is kept in a file of its own beside the run, so that what is cut off goes on.
    """
    weights = hashlib.sha256((run / "run/weights.safetensors").read_bytes()).hexdigest()[:12]
    folder = run / f"emulated-for-regression-{weights}-{EVERY}-{seed}"
    folder.mkdir(exist_ok=True)
    clean_temporaries(folder)
    origin = origin.copy()
    renamed = {s: derive_seed(seed, int(s), 11) for s in np.unique(origin["seed"])}
    origin["seed"] = origin["simulation"] = [renamed[s] for s in origin["seed"]]
    boxes = {folder / f"{s}.npy": np.flatnonzero(origin["seed"] == s) for s in renamed.values()}
    missing = {path: rows for path, rows in boxes.items() if not path.exists()}
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        calls = [
            (path, run, origin[b], slices.redshift[b], slices.parameters[b], seed)
            for path, b in missing.items()
        ]
        list(pool.map(_emulate, calls))
    density = np.empty_like(slices.density)
    for path, rows in boxes.items():
        density[rows] = np.load(path)
    return Slices(density, slices.redshift, slices.parameters)


def _emulate(call):
    path, run, origin, redshift, parameters, seed = call
    number, named = derive_seed(seed, int(origin["seed"][0])), zip(ASKED, parameters.T, strict=True)
    made = cosmogan.load(run).counterparts(origin, number, redshift=redshift, **dict(named))
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, made.fields)


def _tensor(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def main():
    """Print a table, and keep it beside the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of many universes")
    given = parser.parse_args()
    known, origin = simulated(given.run / "train.fields")
    asked, _ = simulated(given.run / "test.fields")
    sides = {
        "simulated, 1": known,
        "simulated, 2": known,
        "emulated, 1": emulated(given.run, known, origin, seed=1),
        "emulated, 2": emulated(given.run, known, origin, seed=2),
    }
    said = {
        label: answers(learn(side, seed), asked) for seed, (label, side) in enumerate(sides.items())
    }
    first, content = said["simulated, 1"], {}
    against = {label: (answer, first) for label, answer in said.items()}
    against["emulated, 2 against 1"] = said["emulated, 2"], said["emulated, 1"]
    kinds = [f"{what}, {name}" for what in NUMBERS for name in ASKED]
    print(f"| learnt from | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for label, pair in against.items():
        found = judge(*pair, asked.parameters, asked.redshift)
        triples = list(zip(*(each.ravel().tolist() for each in found), strict=True))
        content[label] = dict(zip(kinds, triples, strict=True))
        cells = (f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in triples)
        print(f"| {label} | {' | '.join(cells)} |", flush=True)
    unit = (first - asked.parameters).std(axis=0).tolist()
    content |= {"scatter": dict(zip(ASKED, unit, strict=True)), "fields": len(known.density)}
    path = given.run / "regress.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
