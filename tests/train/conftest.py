"""A universe of 16 x 16 cells and the plan of a training that takes a second."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from cosmogan.cosmology import Cosmology
from cosmogan.errors import CosmoganError
from cosmogan.fields import store
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, MadeBy
from cosmogan.models.latent import LatentShape
from cosmogan.models.lognormal import gaussian_colour, lognormal_field
from cosmogan.models.theory import Theory
from cosmogan.simulate.evolution import Evolution, evolve
from cosmogan.simulate.run import Cut, cut_fields
from cosmogan.train import reading
from cosmogan.train.plan import Training
from cosmogan.train.reading import READ

GRID, CELL, THICKNESS = 16, 4.0, 2
SHORT = 32  # fields of a reading
NAMES = ("Omega_m", "redshift")
STATISTICS = READ


@pytest.fixture
def one_thread():
    """The cores may be busy: OpenMP waits for the slowest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def power_law(parameters=((0.3, 0.0),)):
    k = np.geomspace(1e-4, 50, 200)
    table = np.array(parameters, dtype=np.float64)
    linear = np.tile(2.0e4 * k / 0.02 / (1 + (k / 0.02) ** 2) ** 1.3, (len(table), 1))
    return Theory(
        dimension=2,
        cell_size=CELL,
        thickness=THICKNESS,
        window="cic",
        names=NAMES,
        parameters=table,
        k=k,
        power=linear / (1 + table[:, 1:]) ** 2,
        linear=linear,
    )


@pytest.fixture(scope="session")
def theory():
    return power_law()


@pytest.fixture(scope="session")
def two_epochs():
    """Spectra at two redshifts."""
    return power_law(((0.3, 0.0), (0.3, 1.0)))


def layout_of(grid, *, fixed=False):
    return Layout(
        dimension=2,
        grid=grid,
        box_size=grid * CELL,
        thickness=THICKNESS * CELL,
        mass_assignment="cic",
        particles=32,
        fixed=fixed,
        parameter_names=NAMES,
    )


@pytest.fixture(scope="session")
def write_fields():
    """Return a function that writes lognormal slices, squared to be no longer the latent's."""

    def write(path, theory, *, boxes, first=0, rows=6, fixed=False, grid=GRID):
        layout = layout_of(grid, fixed=fixed)
        store.create_folder(path, layout, MadeBy(version="1", time="now"), boxes, identity="x")
        colours = [gaussian_colour(theory, row, grid) for row in range(len(theory.parameters))]
        which = np.arange(rows) % len(colours)
        for shard in range(boxes):
            seeds = range(1000 * (first + shard), 1000 * (first + shard) + rows)
            fields = [
                lognormal_field(seed, colours[row], grid, 2)
                for seed, row in zip(seeds, which, strict=True)
            ]
            squared = np.square(fields)
            origin = np.zeros(rows, ORIGIN_DTYPE)
            origin["simulation"] = origin["seed"] = first + shard
            origin["slab"], origin["fixed"] = np.arange(rows), fixed
            fields = squared / squared.mean()
            store.write_shard(path, shard, fields, theory.parameters[which], origin)
        return store.finish_folder(path)

    return write


@pytest.fixture(scope="session")
def sides(tmp_path_factory, theory, write_fields):
    """Training and validation fields; not to be changed."""
    folder = tmp_path_factory.mktemp("sides")
    train = write_fields(folder / "train.fields", theory, boxes=4)
    return train, write_fields(folder / "validation.fields", theory, boxes=3, first=10)


@pytest.fixture(scope="session")
def write_simulated():
    """Return a function that writes slices of small simulations, at each redshift of a theory."""

    def write(path, theory, *, boxes, first=0):
        epochs = theory.parameters[:, 1].tolist()
        side = GRID * CELL
        settings = Evolution(
            box_size=side, particles=GRID, mesh=GRID, steps=6, redshifts=tuple(epochs)
        )
        cut = Cut(dimension=2, grid=GRID, thickness=THICKNESS, window=theory.window)
        made_by = MadeBy(version="1", time="now")
        store.create_folder(path, layout_of(GRID), made_by, boxes, identity="x")
        for shard in range(boxes):
            fields, origin, parameters = [], [], []
            universe = Cosmology(Omega_m=0.3), first + shard, settings, theory.linear_power(0)
            for snapshot in evolve(*universe):
                slices, where = cut_fields(snapshot, side, cut)
                where["simulation"] = where["seed"] = first + shard
                fields.append(slices)
                origin.append(where)
                parameters.append(np.tile([0.3, snapshot.redshift], (len(slices), 1)))
            content = (np.concatenate(part) for part in (fields, parameters, origin))
            store.write_shard(path, shard, *content)
        return store.finish_folder(path)

    return write


@pytest.fixture(scope="session")
def simulated(tmp_path_factory, theory, write_simulated):
    """Training and validation slices of simulations; not to be changed."""
    folder = tmp_path_factory.mktemp("simulated")
    train = write_simulated(folder / "train.fields", theory, boxes=3)
    return train, write_simulated(folder / "validation.fields", theory, boxes=2, first=10)


@pytest.fixture(scope="session")
def base_plan(sides, theory):
    """The plan of a training of 40 steps, in no folder yet."""
    return Training(
        folder="",
        train=str(sides[0].path),
        validation=str(sides[1].path),
        latent=LatentShape(kind="gaussian"),
        images=160,
        batch=4,
        validate_every=40,
        generator_widths=(4, 4),
        discriminator_widths=(4, 6),
        predictor_width=4,
        predictor_images=0,
        learning_rate=2e-3,
        gamma=1.0,
        gamma_statistics=0.5,
        density_scale=0.5,
        density_max=100.0,
        average_half_life=40.0,
        seed=3,
        threads=1,
        precision="float32",
        tolerance=dict.fromkeys(STATISTICS, 0.1),
        k_max=0.7,
        theory=theory,
        identity="forty",
        made_by={"recipe": ""},
    )


@pytest.fixture(scope="session")
def base_plans(base_plan, simulated):
    """Such a plan for each latent; that which knows simulations is given some."""
    train, validation = (str(side.path) for side in simulated)
    lpt = replace(
        base_plan,
        latent=LatentShape(kind="lpt", neighbours=1, carried=(1.0,)),
        predictor_images=48,
        train=train,
        validation=validation,
    )
    return {"gaussian": base_plan, "lpt": lpt}


@pytest.fixture
def plans(base_plans, tmp_path, monkeypatch, one_thread):
    """The same in a folder of their own; readings are short."""
    monkeypatch.setattr(reading, "FIELDS", SHORT)
    return {kind: replace(p, folder=str(tmp_path / "run")) for kind, p in base_plans.items()}


@pytest.fixture
def plan(plans):
    return plans["gaussian"]


class Team:
    """Workers in threads, whose vectors are averaged as those of processes would be."""

    def __init__(self, world):
        self.vectors = [None] * world
        self.barrier = threading.Barrier(world, timeout=60)

    def reduce(self, rank, vector):
        self.vectors[rank] = vector.clone()
        self.barrier.wait()
        vector.copy_(torch.stack(self.vectors).mean(0))
        self.barrier.wait()
        return vector

    def run(self, act):
        """Return what `act(rank, reduce)` gives for each rank, or the exception it raised."""

        def guarded(rank):
            try:
                return act(rank, partial(self.reduce, rank))
            except Exception as error:  # noqa: BLE001  the test looks at it
                self.barrier.abort() if not isinstance(error, CosmoganError) else None
                return error

        ranks = range(len(self.vectors))
        with ThreadPoolExecutor(len(ranks)) as pool:
            return list(pool.map(guarded, ranks))


@pytest.fixture(scope="session")
def team():
    return Team
