"""What others would do with the same fields and the same time: the baselines of the generator study.

None knows initial conditions: noise in, a field out. Each has the size that its recipe allows on this machine.

* ``dcgan``: CosmoGAN (Mustafa et al. 2019, arXiv:1706.02390) with the transform of Rodriguez et al. (2018,
  arXiv:1801.09070), at half their channels: a vector of 64, transposed 5 x 5 convolutions, batch normalisation, tanh.
* ``r3gan``: a vector of 64 through residual blocks without normalisation, relativistic pairing with R1 + R2
  (Huang et al. 2025, arXiv:2501.05441), averaged weights.
* ``flow``: flow matching along straight lines (Lipman et al. 2023, arXiv:2210.02747), a U-Net that sees the whole box,
  averaged weights, `STEPS` steps of Heun's method.

Their learning rate falls to a twentieth along half a cosine, as that of the arms. As of these, the best of `READINGS` readings counts: the same score, against the simulations of training and validation, since no
initial conditions are known. They learn in the same precision, where their convolutions are those of the package.
"""

import copy
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cosmogan.fields.cut import origins
from cosmogan.fields.layout import provenance
from cosmogan.fields.scaling import Scaling
from cosmogan.fields.store import create_folder, expected_bytes, finish_folder, write_shard
from cosmogan.models.average import update_average
from cosmogan.models.blocks import (
    Convolution,
    ResidualBlock,
    activate,
    depth_to_space,
    double,
    halve,
    round_convolutions,
    space_to_depth,
)
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.seeds import derive_seed
from cosmogan.train.data import spread
from cosmogan.train.place import has_bfloat16, keep_memory
from cosmogan.train.reading import FIELDS
from cosmogan.train.step import cosine

LENGTH = 64
"""Of the vector that a field is made from."""
HALF_LIFE = 3000.0
"""Of the averaged weights [fields]."""
SAVE_EVERY = 60.0
"""Between two checkpoints [s]."""
ROWS = 128
"""Fields in a shard."""
STEPS = 12
"""Of the flow: two evaluations each."""
READINGS = 10
"""While a rival learns, evenly in time; off the clock."""


class Rival(nn.Module):
    """A baseline: learns from a batch at a time, and samples.

    Parameters
    ----------
    scaling : Scaling
        The training space of the generator, for those that have none of their own.
    grid : int
        Cells per side, 64 or a power of two times it.
    """

    batch = 16
    rate = 4e-4
    """Learning rate at the start."""

    def __init__(self, scaling, grid):
        super().__init__()
        self.scaling, self.grid, self.shown = scaling, grid, 0

    @property
    def learning(self):
        """Networks that have an optimiser of their own."""
        return [self.generator, self.judge]

    @property
    def maker(self):
        """What makes fields."""
        return self.average

    def pace(self, share):
        """Set the learning rate when so much of the time is over."""
        for adam in self.optimisers:
            for group in adam.param_groups:
                group["lr"] = cosine(self.rate, self.rate / 20, share)

    def learn(self, density):
        """Take one step on fields (n, 1, N, N), density over mean."""
        raise NotImplementedError

    def sample(self, count, random):
        """Return fields (count, N, N), density over mean."""
        raise NotImplementedError

    def state(self):
        """Return all that a restart needs."""
        return {
            "network": self.state_dict(),
            "optimisers": [adam.state_dict() for adam in self.optimisers],
            "shown": self.shown,
        }

    def restore(self, state):
        """Undo `state`."""
        self.load_state_dict(state["network"])
        for adam, known in zip(self.optimisers, state["optimisers"], strict=True):
            adam.load_state_dict(known)
        self.shown = state["shown"]


class Dcgan(Rival):
    """The rival ``dcgan``."""

    learning = ()  # its convolutions are PyTorch's

    batch = 64
    rate = 2e-4
    widths = (256, 128, 64, 32)
    scale = 4.0  # a of 2 rho / (rho + a) - 1

    def __init__(self, scaling, grid):
        super().__init__(scaling, grid)
        first, self.start = self.widths[0], grid // 16
        self.project = nn.Linear(LENGTH, first * self.start**2, bias=False)
        layers = [nn.BatchNorm2d(first), nn.ReLU()]
        for wide, narrow in pairwise(self.widths):
            layers += [self._up(wide, narrow), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.up = nn.Sequential(*layers, self._up(self.widths[-1], 1), nn.Tanh())
        layers = [nn.Conv2d(1, self.widths[-1], 5, 2, 2), nn.LeakyReLU(0.2)]
        for wide, narrow in pairwise(self.widths):
            layers[2:2] = [
                nn.Conv2d(narrow, wide, 5, 2, 2),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2),
            ]
        self.judge = nn.Sequential(*layers, nn.Flatten(), nn.Linear(first * self.start**2, 1))
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)
        generator = [*self.project.parameters(), *self.up.parameters()]
        self.optimisers = [
            torch.optim.Adam(part, lr=self.rate, betas=(0.5, 0.999))
            for part in (generator, self.judge.parameters())
        ]

    @staticmethod
    def _up(wide, narrow):
        return nn.ConvTranspose2d(wide, narrow, 5, 2, 2, output_padding=1)

    @property
    def maker(self):
        return nn.ModuleList([self.project, self.up])

    def make(self, z):
        """Return fields (n, 1, N, N) in the space of tanh."""
        return self.up(self.project(z).unflatten(1, (-1, self.start, self.start)))

    def learn(self, density):
        real = 2 * density / (density + self.scale) - 1
        one, zero = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        loss_of = functional.binary_cross_entropy_with_logits
        made = self.make(torch.randn(len(real), LENGTH))
        loss = loss_of(self.judge(real), one) + loss_of(self.judge(made.detach()), zero)
        _move(self.optimisers[1], loss)
        _move(self.optimisers[0], loss_of(self.judge(made), one))
        self.shown += len(real)

    @torch.no_grad()
    def sample(self, count, random):
        self.eval()
        s = self.make(torch.randn(count, LENGTH, generator=random))[:, 0].clamp(max=0.999)
        self.train()
        return (self.scale * (1 + s) / (1 - s)).numpy()


class VectorGenerator(nn.Module):
    """A vector, a block at 4 x 4 cells, and a block at each doubling up to half the grid."""

    def __init__(self, grid, widths=(96, 96, 64, 48)):
        super().__init__()
        self.widths, depth = widths, len(widths)
        self.start = grid // 2**depth
        self.project = nn.Linear(LENGTH, widths[0] * self.start**2)
        self.blocks = nn.ModuleList(ResidualBlock(2, w, depth=depth) for w in widths)
        self.narrow = nn.ModuleList(Convolution(2, a, b, width=1) for a, b in pairwise(widths))
        self.unfold = Convolution(2, widths[-1], 32, width=1)
        self.head = Convolution(2, 8, 1)

    def forward(self, z):
        x = self.project(z).unflatten(1, (self.widths[0], self.start, self.start))
        for level, block in enumerate(self.blocks):
            if level:
                x = double(self.narrow[level - 1](x))
            x = block(x)
        return self.head(activate(depth_to_space(self.unfold(x))))


class VectorDiscriminator(nn.Module):
    """Blocks from half the grid down to 4 x 4 cells, and a score."""

    def __init__(self, grid, widths=(32, 64, 96, 96)):
        super().__init__()
        depth = len(widths)
        self.stem = Convolution(2, 4, widths[0])
        self.blocks = nn.ModuleList(ResidualBlock(2, w, depth=depth) for w in widths)
        self.widen = nn.ModuleList(Convolution(2, a, b, width=1) for a, b in pairwise(widths))
        self.score = nn.Linear(widths[-1] * (grid // 2**depth) ** 2, 1)

    def forward(self, y):
        x = self.stem(space_to_depth(y))
        for level, block in enumerate(self.blocks):
            if level:
                x = self.widen[level - 1](halve(x))
            x = block(x)
        return self.score(activate(x).flatten(1))[:, 0]


class R3gan(Rival):
    """The rival ``r3gan``."""

    gamma = 1.0

    def __init__(self, scaling, grid):
        super().__init__(scaling, grid)
        self.generator, self.judge = VectorGenerator(grid), VectorDiscriminator(grid)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [
            torch.optim.Adam(part.parameters(), lr=self.rate, betas=(0.0, 0.95))
            for part in (self.generator, self.judge)
        ]

    def learn(self, density):
        real = self.scaling.forward(density, torch)
        with torch.no_grad():
            made = self.generator(torch.randn(len(real), LENGTH))
        both = torch.cat([real, made]).requires_grad_()
        scores = self.judge(both)
        (slope,) = torch.autograd.grad(scores.sum(), both, create_graph=True)
        penalty = 2 * slope.square().flatten(1).sum(1).mean()
        true, false = scores.chunk(2)
        _move(
            self.optimisers[1], functional.softplus(false - true).mean() + self.gamma / 2 * penalty
        )
        made = self.generator(torch.randn(len(real), LENGTH))
        loss = functional.softplus(self.judge(real).detach() - self.judge(made)).mean()
        _move(self.optimisers[0], loss)
        self.shown += len(real)
        _average(self, self.generator)

    @torch.no_grad()
    def sample(self, count, random):
        y = self.average(torch.randn(count, LENGTH, generator=random))
        return self.scaling.inverse(self.scaling.saturate(y, torch), torch)[:, 0].numpy()


class Velocity(Generator):
    """The U-Net of the flow; time is its condition."""

    def forward(self, y, time):
        return self._change(y, (), time[:, None])


class Flow(Rival):
    """The rival ``flow``."""

    rate = 1e-3

    def __init__(self, scaling, grid):
        super().__init__(scaling, grid)
        widths = (16, 48, 64, 64, 64)
        shape = GeneratorShape(dimension=2, widths=widths, conditions=1, noisy=False)
        self.velocity = Velocity(shape, scaling)
        self.average = copy.deepcopy(self.velocity).requires_grad_(False)
        self.optimisers = [torch.optim.Adam(self.velocity.parameters(), lr=self.rate)]

    @property
    def learning(self):
        """The network that has an optimiser."""
        return [self.velocity]

    def learn(self, density):
        real = self.scaling.forward(density, torch)
        noise, time = torch.randn_like(real), torch.rand(len(real))
        t = time[:, None, None, None]
        found = self.velocity((1 - t) * noise + t * real, 2 * time - 1)
        _move(self.optimisers[0], (found - (real - noise)).square().mean())
        self.shown += len(real)
        _average(self, self.velocity)

    @torch.no_grad()
    def sample(self, count, random):
        y, step = torch.randn(count, 1, self.grid, self.grid, generator=random), 1 / STEPS
        for number in range(STEPS):
            begin, end = (torch.full((count,), 2 * (number + n) * step - 1) for n in (0, 1))
            first = self.average(y, begin)
            y = y + step / 2 * (first + self.average(y + step * first, end))
        return self.scaling.inverse(self.scaling.saturate(y, torch), torch)[:, 0].numpy()


RIVALS = {"dcgan": Dcgan, "r3gan": R3gan, "flow": Flow}


def learn(name, fields, path, seconds, seed, score_of):
    """Let a rival learn for so long, with a checkpoint a minute; return its readings.

    ``score_of`` says how far fields (n, N, N), density over mean, are from the truth. The weights of the best reading
    are left at ``best_of(path)``.
    """
    keep_memory()
    torch.manual_seed(seed)
    rival = begin(name, fields)
    for network in rival.learning:
        round_convolutions(network, rounded=has_bfloat16("cpu"))
    spent, readings = 0.0, []
    if path.exists():
        known = torch.load(path, weights_only=True)
        rival.restore(known)
        spent, readings = known["seconds"], known["readings"]
    saved = spent
    while spent < seconds:
        before = time.monotonic()
        torch.manual_seed(derive_seed(seed, rival.shown))
        rival.pace(spent / seconds)
        rival.learn(batch_of(fields, rival.shown // rival.batch, rival.batch, seed))
        spent += time.monotonic() - before
        due = spent >= seconds * (len(readings) + 1) / READINGS
        if due:
            made = np.concatenate(list(samples(rival, FIELDS, seed)))
            score = score_of(made) if np.isfinite(made).all() else float("inf")
            readings.append({"images": rival.shown, "seconds": spent, "score": score})
            if score <= min(r["score"] for r in readings):
                _save(rival.state(), best_of(path))
        if due or spent - saved > SAVE_EVERY:
            _save(rival.state() | {"seconds": spent, "readings": readings}, path)
            saved = spent
    return readings


def weights(network):
    """Return how many numbers a network learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def best_of(path):
    """Return where the weights of the best reading of a training lie."""
    return path.with_stem(f"{path.stem}-best")


def _save(state, path):
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def samples(rival, count, seed):
    """Yield fields (n, N, N) of a rival, a shard at a time."""
    for start in range(0, count, ROWS):
        random = torch.Generator().manual_seed(derive_seed(seed, start))
        yield rival.sample(min(ROWS, count - start), random).astype(np.float32)


def begin(name, fields):
    """Return a rival that has learnt nothing, in the training space of these fields."""
    scaling = Scaling.fit(fields[spread(fields)], 0.5)
    return RIVALS[name](scaling, fields.layout.grid)


def write_samples(name, fields, folder, count, seed):
    """Write fields of the rival that learnt in a folder as its ``emulated.fields``; return the path.

    Each comes from a vector or noise of its own, and counts as a simulation.
    """
    path, shards = folder / "emulated.fields", []
    rival = begin(name, fields)
    rival.restore(torch.load(best_of(folder / "rival.pt"), weights_only=True))
    parts = -(-count // ROWS)
    identity = f"{name} {rival.shown} {count} {seed}"
    size = expected_bytes(fields.layout, count, parts)
    about = provenance("benchmarks.fidelity.study")
    create_folder(path, fields.layout, about, parts, identity, expected_bytes=size)
    for number, made in enumerate(samples(rival, count, seed)):
        here = range(number * ROWS, number * ROWS + len(made))
        origin = origins(np.full(len(here), -1), np.full(len(here), -1))
        origin["simulation"] = origin["seed"] = [derive_seed(seed, k, 9) for k in here]
        table = np.tile(fields.parameters[0], (len(here), 1))
        shards.append(write_shard(path, number, made, table, origin))
    finish_folder(path, shards)
    return path


def batch_of(fields, number, size, seed):
    """Return the number-th batch of an endless, shuffled, turned stream (n, 1, N, N)."""
    random = np.random.default_rng([seed, number])
    rows = np.sort(random.choice(len(fields), size, replace=False))
    density = fields[rows][:, None]
    if random.integers(2):
        density = density.swapaxes(2, 3)
    for axis in (2, 3):
        if random.integers(2):
            density = np.flip(density, axis)
    density = np.roll(density, random.integers(density.shape[-1], size=2), (2, 3))
    return torch.from_numpy(np.ascontiguousarray(density))


def _move(adam, loss):
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()


def _average(rival, network):
    update_average(
        rival.average, network, batch=rival.batch, shown=rival.shown, half_life=HALF_LIFE
    )
