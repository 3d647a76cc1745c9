"""What a run will cost, before it starts: fields, disk and time, from the recipe alone.

Sizes of fields are exact, the rest is a few per cent of the disk. Times are those of `demo-64` on a
two-core x86 machine without GPU (2026), scaled with cells, particles, steps and channels to the cores
of this one: meant to be right within a factor of two there, a guess elsewhere, too long with a GPU.
"""

from dataclasses import dataclass

from cosmogan.recipe import FIRST_LEVEL, Recipe
from cosmogan.session import available_cpus

SIMULATED = ("train", "validation", "test")
EMULATED = ("emulated", "untrained", "lognormal")
"""From seeds of their own."""
FROM_TEST = ("counterparts", "lpt")
"""From the initial conditions of "test": by the network, and by perturbation theory alone."""
_WITHOUT_NETWORK = ("lognormal", "lpt")

# Core seconds, measured on demo-64.
_PARTICLE_STEP = 9.0e-8  # per particle and step
_BOX = 1.0  # per box, initial conditions and painting
_CHANNEL_CELL = 6.4e-9  # per field shown, cell and pair of channels
_EMULATED_CHANNEL_CELL = 1.1e-9  # per cell emulated and pair of channels
_DISPLACED_CELL = 3.5e-7  # per cell of a box and field carried
_DRAWN_CELL = 2.0e-7  # per cell of a field that no network makes
_MEASURED_CELL = 2.5e-7  # per cell measured
_COMPARE = 130.0
# Wall seconds.
_START_UP = 5.0  # of Ray and its workers

_STATISTICS_BYTES = 1_500  # per field
_TRAINING_BYTES = 60e6  # checkpoints, weights, pictures
_REPORT_BYTES = 5e6


@dataclass(frozen=True)
class Cost:
    """What one stage makes and takes.

    Parameters
    ----------
    what : str
        What it makes, for a person.
    bytes : float
        Disk it fills.
    seconds : float
        Wall time on this machine [s].
    """

    what: str
    bytes: float
    seconds: float


def simulated_fields(recipe: Recipe) -> dict[str, int]:
    """Return the number of fields of each simulated data set."""
    table, each = recipe.simulate, _fields_of_box(recipe)
    return {n: _boxes(recipe, n) * each * len(table.redshifts_of(n)) for n in SIMULATED}


def _fields_of_box(recipe: Recipe) -> int:
    table = recipe.simulate
    return 3 * (table.grid // table.thickness) if table.dimension == 2 else 1


def _boxes(recipe: Recipe, split: str) -> int:
    """Return the simulations of one side of the split."""
    points = 1 if recipe.points is None else int(getattr(recipe.points, split))
    return points * int(getattr(recipe.simulate.boxes, split))


def emulated_fields(recipe: Recipe) -> dict[str, int]:
    """Return the number of fields of each emulated data set.

    Many universes are judged by the counterparts of their simulations alone.
    """
    made = {} if recipe.many_universes else dict.fromkeys(EMULATED, recipe.emulate.count)
    if recipe.train.latent != "lpt" or not recipe.emulate.draws:
        return made
    held_out = simulated_fields(recipe)["test"]
    return made | {"counterparts": held_out * recipe.emulate.draws, "lpt": held_out}


def measured_fields(recipe: Recipe) -> dict[str, int]:
    """Return the number of fields of each data set whose statistics are measured."""
    made = simulated_fields(recipe) | emulated_fields(recipe)
    unasked = ("train", "validation") if recipe.many_universes else ("lpt",)
    return {name: number for name, number in made.items() if name not in unasked}


def estimate(recipe: Recipe) -> dict[str, Cost]:
    """Return the cost of every stage, in order.

    Parameters
    ----------
    recipe : Recipe
        The run.

    Returns
    -------
    dict of str to Cost
        By name of the stage: simulate, train, emulated, untrained, lognormal, counterparts and lpt if the
        latent has initial conditions, measure, compare.
    """
    return {
        "simulate": _simulate(recipe),
        "train": _train(recipe),
        **{name: _emulate(recipe, name, n) for name, n in emulated_fields(recipe).items()},
        "measure": _measure(recipe),
        "compare": Cost("verdict.json and report.html", _REPORT_BYTES, _COMPARE / available_cpus()),
    }


def _simulate(recipe: Recipe) -> Cost:
    table = recipe.simulate
    boxes = sum(_boxes(recipe, name) for name in SIMULATED)
    cells = max(table.particles, table.mesh) ** 3
    seconds = boxes * (_BOX * cells / 128**3 + _PARTICLE_STEP * cells * table.steps)
    fields = sum(simulated_fields(recipe).values())
    return Cost(
        f"{boxes} boxes of {table.particles}^3 particles in {table.box_size:g} Mpc/h: {fields} fields",
        fields * _field_bytes(recipe),
        _START_UP + seconds / min(available_cpus(), boxes),
    )


def _train(recipe: Recipe) -> Cost:
    table = recipe.train
    pairs, ahead = sum(_pairs(recipe, name) for name in FIRST_LEVEL), _ahead(recipe)
    work = table.images * (pairs + 0.7 * ahead) + table.predictor_images * ahead
    seconds = work * _cells(recipe) * _CHANNEL_CELL
    used = min(available_cpus(), table.workers * table.threads)
    what = f"two networks, {table.images} fields shown"
    if table.predictor_images:
        what = f"the mean, {table.predictor_images} fields shown; {what}"
    known, displacing = _displaced(recipe) if table.latent == "lpt" else (0.0, 0.0)
    return Cost(what, _TRAINING_BYTES + known, _START_UP + displacing + seconds / used)


def _pairs(recipe: Recipe, name: str) -> float:
    """Return the pairs of channels of a network for each cell of a field."""
    dimension, widths = recipe.simulate.dimension, getattr(recipe.train, name)
    levels = enumerate(widths, start=FIRST_LEVEL[name])
    return sum(float(width**2 / 2 ** (dimension * level)) for level, width in levels)


def _ahead(recipe: Recipe) -> float:
    """Return the same of the network that predicts means: two blocks on half the grid, learnt alone."""
    table = recipe.train
    return table.predictor_width**2 / 8 if table.predictor_images else 0.0


def _displaced(recipe: Recipe) -> tuple[float, float]:
    """Return bytes and wall seconds of the boxes that theory displaces for a training."""
    table = recipe.simulate
    boxes = sum(_boxes(recipe, name) for name in ("train", "validation")) * len(table.redshifts)
    size = 4.0 * boxes * (1 + len(recipe.train.carried)) * table.grid**3
    return size, boxes * _displace(recipe) / min(available_cpus(), boxes)


def _displace(recipe: Recipe) -> float:
    """Return the core seconds that theory takes to displace a box."""
    return (2 + len(recipe.train.carried)) * recipe.simulate.grid**3 * _DISPLACED_CELL


def _emulate(recipe: Recipe, name: str, count: int) -> Cost:
    each = _cells(recipe) * _DRAWN_CELL
    if name not in _WITHOUT_NETWORK:
        pairs = _pairs(recipe, "generator_widths") + _ahead(recipe)
        each = _cells(recipe) * pairs * _EMULATED_CHANNEL_CELL
    if recipe.train.latent == "lpt" and name != "lognormal":
        each += _displace(recipe) / _fields_of_box(recipe)
    seconds = _START_UP + count * each / available_cpus()
    return Cost(f"{count} fields", count * _field_bytes(recipe), seconds)


def _measure(recipe: Recipe) -> Cost:
    fields = sum(measured_fields(recipe).values())
    seconds = _START_UP + fields * _cells(recipe) * _MEASURED_CELL / available_cpus()
    return Cost(f"statistics of {fields} fields", fields * _STATISTICS_BYTES, seconds)


def _cells(recipe: Recipe) -> int:
    return int(recipe.simulate.grid**recipe.simulate.dimension)


def _field_bytes(recipe: Recipe) -> int:
    return 4 * _cells(recipe)
