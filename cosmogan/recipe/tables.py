"""The tables of a recipe: keys, defaults and rules."""

import difflib
import itertools
import operator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from cosmogan.recipe.universes import (
    CosmologyTable,
    Count,
    Fraction,
    PointsTable,
    Positive,
    Table,
)


class BoxesTable(Table):
    """How many independent boxes each side of the split gets."""

    train: Count = 16
    """Boxes the networks learn from."""
    validation: Count = 4
    """Boxes that choose the checkpoint."""
    test: Count = 8
    """Boxes held out for the verdict; nothing else ever reads them."""


class SimulateTable(Table):
    """The N-body runs that are the truth of this run."""

    box_size: Positive = 128.0
    """Side of the periodic box [Mpc/h]."""
    particles: Annotated[int, Field(ge=8)] = 128
    """Particles per side."""
    mesh: Annotated[int, Field(ge=8)] = 128
    """Cells per side of the force mesh."""
    steps: Annotated[int, Field(ge=2)] = 20
    """Time steps from `start_redshift` to the last redshift."""
    start_redshift: Positive = 19.0
    """Redshift of the 2LPT initial conditions."""
    redshifts: tuple[Annotated[float, Field(ge=0)], ...] = (0.0,)
    """Redshifts of the fields."""
    test_redshifts: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(), exclude_if=operator.not_
    )
    """Redshifts of the held-out fields, within `redshifts`, to judge what lies between; empty: the same.
    The time steps of all boxes land on both."""
    initial_conditions: Literal["gaussian", "fixed", "paired"] = "gaussian"
    """`fixed`: amplitudes without scatter; `paired`: fixed, and each seed twice with phases turned."""
    dimension: Literal[2, 3] = 2
    """2 for slices, 3 for cubes."""
    grid: Annotated[int, Field(ge=8)] = 64
    """Cells per side of the fields."""
    thickness: Count = 1
    """Thickness of a slice [cells]; ignored for cubes."""
    window: Literal["ngp", "cic", "tsc", "pcs"] = "cic"
    """Mass assignment of the fields."""
    boxes: BoxesTable = BoxesTable()
    """Independent boxes of each side of the split."""

    @model_validator(mode="after")
    def _numbers_divide(self) -> Self:
        if self.dimension == 2 and self.grid % self.thickness:
            raise ValueError(f"grid = {self.grid} is not divisible by thickness = {self.thickness}")
        if self.mesh % self.particles and self.particles % self.mesh:
            raise ValueError(
                f"mesh = {self.mesh} and particles = {self.particles}: one must divide the other"
            )
        if self.grid > self.particles:
            raise ValueError(
                f"grid = {self.grid} has more cells than particles = {self.particles}: the lattice would be "
                "learnt; take as many particles at least"
            )
        if not self.redshifts or max(self.redshifts) >= self.start_redshift:
            raise ValueError("redshifts must be given and lie below start_redshift")
        number = len(set(self.all_redshifts))
        if self.steps < number:
            raise ValueError(
                f"steps = {self.steps}: fewer than the {number} redshifts; take one at least for each"
            )
        low, high = min(self.redshifts), max(self.redshifts)
        if not all(low <= z <= high for z in self.test_redshifts):
            raise ValueError(
                f"test_redshifts = {self.test_redshifts}: the networks learn {low:g} to {high:g}; stay within"
            )
        return self

    @property
    def all_redshifts(self) -> tuple[float, ...]:
        """Redshifts of any side, each once."""
        return tuple(dict.fromkeys((*self.redshifts, *self.test_redshifts)))

    def redshifts_of(self, split: str) -> tuple[float, ...]:
        """Return the redshifts of the fields of one side of the split."""
        return (self.test_redshifts if split == "test" else ()) or self.redshifts


FIRST_LEVEL = {"generator_widths": 0, "discriminator_widths": 1}
"""How often the grid is halved where each network's first width counts."""


class TrainTable(Table):
    """The generator, the discriminator and how they learn."""

    latent: Literal["gaussian", "lpt"] = "lpt"
    """The field the generator starts from: `lpt`, initial conditions displaced by perturbation
    theory, or `gaussian`, lognormal fields coloured by theory, for simulations whose initial
    conditions are not known."""
    displacement: Literal["augmented", "2lpt", "zeldovich"] = "augmented"
    """Of an `lpt` box: second order with spherical collapse at small scales, second or first order."""
    neighbours: Annotated[int, Field(ge=0)] = 1
    """Slabs of an `lpt` box on either side of a slice that the networks see too; 0 with another latent
    and for cubes."""
    carried: tuple[Annotated[float, Field(ge=0, le=16)], ...] = (0.5, 2.0)
    """Radii of the smoothed initial densities that the matter of an `lpt` box carries along, which the
    networks see too [cells]; none with another latent."""
    images: Count = 20_000
    """Length of the training [fields that the discriminator learns from; the generator is held against as many others]."""
    batch: Annotated[int, Field(ge=2)] = 16
    """Fields in a step, over all workers."""
    workers: Count = 2
    """Processes of the data-parallel training, if there are as many CPUs or GPUs."""
    threads: Count = 1
    """CPU threads of each worker."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks live; `auto` takes a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """In which the wide convolutions compute while networks learn; weights, losses and what is emulated stay
    float32. `auto` takes bfloat16 where all processors have it, which is faster."""
    generator_widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 48, 64)
    """Channels of the generator, from fine to coarse, the first on the full grid."""
    discriminator_widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 64, 96, 96)
    """Channels of the discriminator, from fine to coarse, the first on half the grid."""
    predictor_width: Count = 48
    """Channels of the network that predicts the mean."""
    predictor_images: Annotated[int, Field(ge=0)] = 20_000
    """Real fields shown, before the game, to a network that predicts the mean of what the initial
    conditions leave open; what it predicts guides the generator. As many as `images` if it is not given;
    0 for none, as with another latent."""
    learning_rate: Positive = 4e-4
    """Start of the cosine schedule; it ends at a twentieth."""
    gamma: Positive = 1.0
    """Weight of R1 + R2 on the field."""
    gamma_statistics: Positive = 1.0
    """Weight of R1 + R2 on the summary statistics."""
    density_scale: Positive = 0.5
    """rho_s of the training space log1p(rho / rho_s) [mean density]."""
    average_half_life: Positive = 3_000.0
    """Half-life of the averaged weights that users get [fields]."""
    validate_every: Count = 2_000
    """Fields between two readings of the averaged generator, each with a checkpoint."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of weights, noise and data order."""

    @model_validator(mode="before")
    @classmethod
    def _follow_latent_and_length(cls, given: Any) -> Any:  # noqa: ANN401
        if not isinstance(given, dict):
            return given  # a table made before, or a mistake
        if given.get("latent", "lpt") != "lpt":
            return {"neighbours": 0, "carried": (), "predictor_images": 0} | given
        return {"predictor_images": given["images"]} | given if "images" in given else given

    @model_validator(mode="after")
    def _fields_have_initial_conditions(self) -> Self:
        for name in ("neighbours", "carried", "predictor_images"):
            if getattr(self, name) and self.latent != "lpt":
                raise ValueError(f"{name} = {getattr(self, name)} needs latent = 'lpt'")
        return self


class EmulateTable(Table):
    """The fields asked of the trained network."""

    count: Count = 4000
    """How many."""
    seed: Annotated[int, Field(ge=0)] = 7
    """Field k depends on the checkpoint, this seed and k alone."""
    draws: Annotated[int, Field(ge=0)] = 4
    """How many for each held-out field, from its very initial conditions, if the latent is `lpt`."""


class MeasureTable(Table):
    """What is measured of every data set."""

    statistics: Annotated[tuple[str, ...], Field(min_length=1)] = ("default",)
    """Names as in `cosmogan.statistics.battery`; "default" and "all" stand for many."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.statistics != ("default",):
            from cosmogan.statistics.battery import choose  # takes half a second

            choose(self.statistics)
        return self


class ToleranceTable(Table):
    """How far the mean of a statistic may be off [fraction], fixed before the run."""

    mean_density: Positive = 0.03
    """Mean density."""
    power: Positive = 0.15
    """Power spectrum."""
    bispectrum: Positive = 0.30
    """Equilateral bispectrum."""
    reduced_bispectrum: Positive = 0.15
    """Equilateral bispectrum over 3 P^2, field by field."""
    squeezed_bispectrum: Positive = 0.15
    """Reduced bispectrum of triangles with one side in the first shell."""
    quadrupole: Positive = 0.20
    """Squared quadrupole of the power of single fields, which tells those that prefer a direction."""
    pdf: Positive = 0.15
    """One-point distribution, in cells."""
    pdf_smoothed: Positive = 0.15
    """One-point distribution, smoothed over two cells."""
    peaks: Positive = 0.20
    """Numbers of peaks by height, smoothed over one cell."""
    minima: Positive = 0.20
    """Numbers of minima by height."""
    minkowski_1: Positive = 0.10
    """Boundary of what lies above a density, smoothed over two cells [largest value]."""
    minkowski_2: Positive = 0.10
    """Its Euler characteristic; in three dimensions its mean curvature [largest value]."""
    minkowski_3: Positive = 0.10
    """In three dimensions its Euler characteristic [largest value]."""


class CompareTable(Table):
    """The yardsticks of the verdict."""

    tolerance: ToleranceTable = ToleranceTable()
    """Per statistic."""
    k_max: Fraction = 0.7
    """Largest wavenumber judged [Nyquist wavenumber]."""
    samples: bool = True
    """Whether to look at the fields themselves: for copies, diversity, and with a classifier."""
    classifier_steps: Count = 600
    """Steps of the classifier."""
    splits: Annotated[int, Field(ge=100)] = 500
    """Random splits by simulation that make the floor."""


class Recipe(Table):
    """A whole run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Names the output folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Simulation i of the run starts from seed * 2^32 + i."""
    cosmology: CosmologyTable = CosmologyTable()
    """The universe."""
    points: PointsTable | None = None
    """Many universes instead of one: Sobol points in ranges of some parameters; the rest is `cosmology`."""
    simulate: SimulateTable = SimulateTable()
    """The N-body runs."""
    train: TrainTable = TrainTable()
    """The networks and their training."""
    emulate: EmulateTable = EmulateTable()
    """The emulated fields."""
    measure: MeasureTable = MeasureTable()
    """The statistics."""
    compare: CompareTable = CompareTable()
    """The verdict."""

    @property
    def many_universes(self) -> bool:
        """Whether its fields are of several cosmologies or redshifts."""
        return self.points is not None or len(set(self.simulate.redshifts)) > 1

    @model_validator(mode="before")
    @classmethod
    def _cubes_start_without_neighbours(cls, given: Any) -> Any:  # noqa: ANN401
        if not isinstance(given, dict):
            return given
        simulate, train = given.get("simulate", {}), given.get("train", {})
        if not isinstance(simulate, dict) or not isinstance(train, dict):
            return given
        if simulate.get("dimension") != 3:
            return given
        return given | {"train": {"neighbours": 0} | train}

    @model_validator(mode="after")
    def _universes_are_held_out(self) -> Self:
        several, given = len(set(self.simulate.redshifts)) > 1, self.simulate.test_redshifts
        if self.points is None and several and given and len(set(given)) == 1:
            raise ValueError(
                f"simulate.test_redshifts = {given}: of several redshifts that are learnt, hold out two at least"
            )
        return self

    @model_validator(mode="after")
    def _cubes_have_no_neighbours(self) -> Self:
        if self.train.neighbours and self.simulate.dimension == 3:
            raise ValueError("train.neighbours: only slices have slabs beside them")
        return self

    @model_validator(mode="after")
    def _corners_are_cosmologies(self) -> Self:
        ranges = self.points.ranges.given() if self.points else {}
        for corner in itertools.product(*ranges.values()):
            values = self.cosmology.model_dump() | dict(zip(ranges, corner, strict=True))
            try:
                CosmologyTable.model_validate(values)
            except ValidationError as error:
                raise ValueError(f"points.ranges: {explain(error)}") from error
        return self

    @model_validator(mode="after")
    def _points_are_not_paired(self) -> Self:
        if self.points and self.simulate.initial_conditions == "paired":
            raise ValueError("points: simulations of many cosmologies are not paired; take 'fixed'")
        return self


def explain(error: ValidationError) -> str:
    """Return the first fault as one line: key, rule and remedy."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    key = ".".join(where) or "recipe"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_nearest(where)}"
    if first["type"] == "missing":
        return f"{key}: missing; give it a value"
    of_several_keys = isinstance(first["input"], dict)
    given = "" if of_several_keys else f" = {first['input']!r}"
    return f"{key}{given}: {first['msg'].removeprefix('Value error, ')}; correct it"


def _nearest(where: list[str]) -> str:
    table: type[BaseModel] = Recipe
    for part in where[:-1]:
        annotation = table.model_fields[part].annotation
        for kind in (annotation, *get_args(annotation)):  # of an optional table
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                table = kind
    known = list(table.model_fields)
    close = difflib.get_close_matches(where[-1], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
