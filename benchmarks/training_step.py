"""What a step of the training costs, and what of it is products of convolutions.

    python -m benchmarks.training_step runs/demo-64

Takes the recipe and the simulations of a run, displaces their boxes again and times the parts of a step in one process with one
thread, in CPU time, medians of `REPEATS`: feeding, both networks, optimisers; in float32, and in bfloat16 where the processor has such
products. The arithmetic is what all products of convolutions would take at the speed of a bare convolution of 48 channels on 32 x 32 cells
in that precision, a lower bound in bfloat16, in which not all are. If the run holds a checkpoint, the networks are those, and the cosines between
gradients in both precisions are of networks that have learnt.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cosmogan.models.blocks import round_convolutions
from cosmogan.models.checkpoint import load, newest, restore, under
from cosmogan.models.losses import judge, persuade
from cosmogan.models.source import generate
from cosmogan.recipe import read
from cosmogan.train import step as game
from cosmogan.train.place import Place, has_bfloat16, keep_memory
from cosmogan.train.run import gather
from cosmogan.train.worker import begin

REPEATS = 15
PARTS = {
    "generate": "generator, forward",
    "judge": "discriminator, forward, and gradients of R1 and R2",
    "persuade": "discriminator, forward, for the generator",
    "move": "optimisers",
    "update_average": "averaged weights",
}
"""What a step calls."""
BATCH = 8
"""Of one worker of two."""
PREDICTOR_IMAGES = 16
"""The predictor need not be right here."""


class Clock:
    """Takes the CPU time of the parts of a step."""

    def __init__(self):
        self.parts, self.spent = {}, Counter()

    def timed(self, name, function):
        """Return a function that does the same and adds the time it takes to a part."""

        def work(*arguments, **named):
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[name] += time.process_time() - start

        return work

    def close(self):
        """End a step."""
        for name, seconds in self.spent.items():
            self.parts.setdefault(name, []).append(seconds)
        self.spent.clear()

    def medians(self):
        """Return the median of each part over all steps but the first three [s]."""
        return {name: statistics.median(times[3:]) for name, times in self.parts.items()}


class Operations(TorchDispatchMode):
    """Counts operations, also of gradients of gradients."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


def time_steps(loop):
    """Do steps of the training, with a clock at what they call; return the medians [s].

    What is left of a step are the two backward passes.
    """
    clock, plain = Clock(), {name: getattr(game, name) for name in PARTS}
    feed, step = (clock.timed(*each) for each in (("feed", loop.feed.share), ("step", game.step)))
    try:
        for name, function in plain.items():
            setattr(game, name, clock.timed(PARTS[name], function))
        for number in range(REPEATS + 3):
            shown = number * BATCH
            pairs = [feed(role, shown) for role in (0, 1)]
            step(loop.networks, *pairs, game.schedule(loop.plan, shown), batch=BATCH)
            clock.close()
    finally:
        for name, function in plain.items():
            setattr(game, name, function)
    found = clock.medians()
    found["backward passes"] = found.pop("step") - sum(found[part] for part in PARTS.values())
    return found


def bare_speed(dtype):
    """Return floating-point operations a second of a bare convolution."""
    x, weight = torch.randn(8, 48, 34, 34, dtype=dtype), torch.randn(48, 48, 3, 3, dtype=dtype)
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        functional.conv2d(x, weight)
        taken.append(time.process_time() - start)
    return 2 * 8 * 48 * 48 * 9 * 32**2 / statistics.median(taken)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder with recipe.toml and simulations")
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    recipe = read(given.run / "recipe.toml")
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("train", "validation"):
            target = (given.run / f"{name}.fields").absolute()
            Path(scratch, f"{name}.fields").symlink_to(target)
        plan = replace(gather(recipe, Path(scratch)), batch=BATCH)
        if plan.predictor_images:
            plan = replace(plan, predictor_images=PREDICTOR_IMAGES)
        loop = begin(replace(plan, precision="float32"), Place())
        found = newest(given.run / "run/checkpoints")
        if found is not None:
            tensors, content = load(found)
            loop.networks.load(tensors, int(content["shown"]), str(found))
        taught = newest(given.run / "run/predictor")
        if taught is not None:
            restore(loop.source.predictor, under("predictor", load(taught)[0]), str(taught))
        if has_bfloat16("cpu"):
            exact = gradients(loop)
            round_all(loop, True)
            for name, a, b in zip(
                ("discriminator", "generator"), exact, gradients(loop), strict=True
            ):
                cosine = float(torch.cosine_similarity(a, b, dim=0))
                print(f"cosine of the gradients of the {name}: {cosine:.4f}")
            round_all(loop, False)
        report(loop, torch.float32)
        if has_bfloat16("cpu"):
            round_all(loop, True)
            report(loop, torch.bfloat16)


def round_all(loop, rounded):
    """Let both networks round, or no longer."""
    for network in (loop.networks.generator, loop.networks.discriminator):
        round_convolutions(network, rounded=rounded)


def gradients(loop):
    """Return the gradients of discriminator and generator on a first batch, flat."""
    networks = loop.networks
    judged, persuaded = (loop.feed.share(role, 0) for role in (0, 1))
    networks.discriminator.requires_grad_(True)
    with torch.no_grad():
        made = generate(networks.generator, judged.draw)
    given = judged.draw.conditions, judged.latent
    found = judge(networks.discriminator, judged.real, made, *given, gamma=1.0, gamma_summaries=1.0)
    made = generate(networks.generator, persuaded.draw)
    given = persuaded.draw.conditions, persuaded.latent
    losses = found.loss, persuade(networks.discriminator, persuaded.real, made, *given)
    sides = networks.discriminator, networks.generator
    return [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(side.parameters()))])
        for loss, side in zip(losses, sides, strict=True)
    ]


def report(loop, dtype):
    """Time the steps of a training, and print a table."""
    found = time_steps(loop)
    pairs = [loop.feed.share(role, 0) for role in (0, 1)]
    with Operations() as counted:
        game.step(loop.networks, *pairs, game.schedule(loop.plan, 0), batch=BATCH)
    total = sum(found.values())
    least = counted.total / bare_speed(dtype)
    print(f"\n| {dtype} | ms a field | share |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {1e3 * seconds / BATCH:.2f} | {seconds / total:.0%} |")
    print(f"| all | {1e3 * total / BATCH:.2f} | {BATCH / total:.1f} fields a second and core |")
    print(f"| arithmetic of convolutions | {1e3 * least / BATCH:.2f} | {least / total:.0%} |")


if __name__ == "__main__":
    main()
