"""From seeds to fields with a trained network, in memory.

Field k of a seed depends on (weights, seed, k, parameters) alone: fields are always made in whole
blocks of the micro-batch kept with the weights, on one thread, so not even their last bit depends
on how many are asked for at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from cosmogan.cosmology import PowerTable
from cosmogan.errors import CheckpointError, RecipeError
from cosmogan.models.displaced import LptLatent
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate
from cosmogan.models.theory import Theory, tabulate
from cosmogan.models.weights import Weights, load_weights

Kind = Literal["trained", "untrained", "lognormal", "lpt", "2lpt"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_BARE: dict[Kind, LatentShape] = {
    "lognormal": LatentShape(kind="gaussian"),
    "lpt": LatentShape(kind="lpt"),
    "2lpt": LatentShape(kind="lpt", displacement="2lpt"),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """Emulated fields with their coordinates; ``numpy.asarray(sample)`` gives the bare fields.

    Attributes
    ----------
    fields : (n, N, ...) float32 ndarray
        Density over mean.
    x : (N,) ndarray
        Comoving centre of the cells along each axis [Mpc/h].
    box_size : float
        Side of a field [Mpc/h].
    thickness : float
        Depth over which slices are averaged [Mpc/h].
    origin : (n,) structured ndarray
        Simulation and seed of each field's latent, and where a slice was cut from its box: fields
        of one simulation are not independent.
    parameters : dict of str to float
        Cosmology and redshift.
    extrapolated : tuple of str
        Those of them that lie outside what the network was trained at.
    """

    fields: NDArray[np.float32]
    x: NDArray[np.float64]
    box_size: float
    thickness: float
    origin: NDArray[np.void]
    parameters: dict[str, float]
    extrapolated: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.fields)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Return the fields."""
        return np.array(self.fields, dtype=dtype, copy=copy)


class Emulator:
    """A trained network, ready to make fields. Get one with `load`.

    Parameters
    ----------
    weights : Weights
        Network, latent and layout.
    kind : {"trained", "untrained", "lognormal", "lpt", "2lpt"}
        Whether the network answers, or a latent of that kind is returned as it is: what theory alone
        knows, lognormal fields, boxes displaced by augmented perturbation theory or by its plain second order.

    Examples
    --------
    >>> emulator = cosmogan.load("runs/demo-64")  # doctest: +SKIP
    >>> emulator.sample(count=10, seed=7).fields.shape  # doctest: +SKIP
    (10, 64, 64)
    """

    def __init__(self, weights: Weights, kind: Kind = "trained") -> None:
        self.weights, self.kind = weights, kind
        theory, generator = weights.theory, weights.generator
        start = _BARE.get(kind, weights.latent)
        self.latent = make_latent(start, theory, weights.layout.grid)
        self.source = Source(
            self.latent, theory, generator.scaling, generator.shape, weights.predictor
        )
        self._elsewhere: tuple[tuple[float, ...], Emulator] | None = None  # the last one asked for

    @property
    def theory(self) -> Theory:
        """Parameters the network was trained at, and their spectra."""
        return self.weights.theory

    def sample(
        self, count: int, seed: int, *, start: int = 0, force: bool = False, **parameters: float
    ) -> Sample:
        """Make fields `start` to ``start + count`` of a seed.

        Parameters
        ----------
        count : int
            How many.
        seed : int
            Not negative.
        start : int
            Number of the first.
        force : bool
            Answer outside the trained range too, where nobody knows how wrong it is.
        **parameters : float
            Cosmology and redshift. What did not vary in the training need not be given, nor the
            redshift, which is else the lowest. Between the trained ones CAMB is asked for spectra.

        Returns
        -------
        Sample
            Fields with coordinates and units.

        Raises
        ------
        RecipeError
            If a parameter of many trained ones is not given, they lie outside the trained range, or
            count or seed make no sense.
        """
        if count < 1 or seed < 0 or start < 0:
            raise RecipeError(
                f"count = {count}, seed = {seed}, start = {start}: give count >= 1, the others >= 0"
            )
        there, row = self.at(parameters, force=force)
        fields = np.concatenate(list(there._blocks(start, start + count, seed, row)))
        return there._label(fields, there.latent.origins(seed, range(start, start + count)), row)

    def counterparts(
        self,
        origin: NDArray[np.void],
        seed: int = 0,
        *,
        start: int = 0,
        force: bool = False,
        **parameters: float,
    ) -> Sample:
        """Make what the emulator holds simulated fields for, given their initial conditions.

        Parameters
        ----------
        origin : (n,) structured array
            Of the simulated fields, as in ``cosmogan.open(path).origin``; they must be made by
            `cosmogan.simulate` in boxes of the trained size.
        seed : int
            Of what the initial conditions leave open.
        start : int
            Number of the first; the same origin under another number is another draw.
        force : bool
            As for `sample`.
        **parameters : float
            As for `sample`.

        Returns
        -------
        Sample
            Field i belongs to ``origin[i]``.

        Raises
        ------
        RecipeError
            If the latent knows no initial conditions, the parameters lie outside the trained range,
            or there is nothing to make.
        LayoutError
            If an origin is no place in a box of the trained layout.
        """
        if len(origin) < 1 or seed < 0 or start < 0:
            raise RecipeError(
                f"{len(origin)} origins, seed = {seed}, start = {start}: give origins, the others >= 0"
            )
        self.require_initial_conditions()
        there, row = self.at(parameters, force=force)
        size = self.weights.micro_batch
        seeds = [derive_seed(seed, k) for k in range(start, start + len(origin))]
        whole = -(-len(origin) // size) * size
        padded = np.resize(np.arange(len(origin)), whole)
        blocks = [
            there._make(origin[some], [seeds[i] for i in some], row)
            for some in padded.reshape(-1, size)
        ]
        return there._label(np.concatenate(blocks)[: len(origin)], origin, row)

    def require_initial_conditions(self) -> None:
        """Raise `RecipeError` if the latent does not come from initial conditions."""
        if not isinstance(self.latent, LptLatent):
            remedy = (
                "train one with latent = 'lpt'"
                if self.weights.latent.kind != "lpt"
                else "take another kind: trained, untrained or lpt"
            )
            raise RecipeError(f"this emulator starts from no initial conditions; {remedy}")

    def at(self, parameters: dict[str, float], *, force: bool = False) -> tuple["Emulator", int]:
        """Return an emulator whose theory has spectra at parameters, and their row.

        Parameters
        ----------
        parameters : dict of str to float
            As for `sample`.
        force : bool
            Whether they may lie outside the trained range.

        Raises
        ------
        RecipeError
            If a name is unknown or missing, or they lie outside the trained range.
        """
        names = self.theory.names
        unknown = set(parameters) - set(names)
        if unknown:
            raise RecipeError(f"{sorted(unknown)}: no parameter of this network; it has {names}")
        low, high = self.theory.domain
        usual = dict(zip(names, low, strict=True))
        for name, least, most in zip(names, low, high, strict=True):
            if name not in parameters and name != "redshift" and least < most:
                raise RecipeError(
                    f"{name}: the network was trained at {least:g} to {most:g}; say which is meant"
                )
        asked = tuple(float((usual | parameters)[name]) for name in names)
        row = self.theory.find(asked)
        if row is not None:
            return self, row
        self._refuse(asked, force)
        if self._elsewhere is None or self._elsewhere[0] != asked:
            self._elsewhere = asked, Emulator(self._extended(asked), self.kind)
        return self._elsewhere[1], len(self.theory.parameters)

    def _refuse(self, asked: Sequence[float], force: bool) -> None:
        outside = self.theory.outside(asked)
        if outside and not force:
            name, (low, high) = outside[0], self.theory.domain
            at = self.theory.names.index(name)
            raise RecipeError(
                f"{name} = {asked[at]:g}: the network was trained at {low[at]:g} to {high[at]:g}; "
                "ask for what lies between, or force it and do not trust it"
            )

    def _extended(self, asked: Sequence[float]) -> Weights:
        """Return the weights with spectra at further parameters."""
        theory, new = self.theory, np.array([asked])
        k, power, linear = tabulate(theory.names, new)
        tables = [PowerTable(k, x[0].astype(np.float64))(theory.k)[None] for x in (power, linear)]
        return replace(self.weights, theory=theory.with_rows(new, *tables))

    def _blocks(self, start: int, stop: int, seed: int, row: int) -> Iterator[NDArray[np.float32]]:
        size = self.weights.micro_batch
        for first in range(start - start % size, stop, size):
            numbers = range(first, first + size)
            seeds = [derive_seed(seed, k) for k in numbers]
            block = self._make(self.latent.origins(seed, numbers), seeds, row)
            yield block[max(start - first, 0) : stop - first]

    def _make(self, origins: NDArray[np.void], seeds: list[int], row: int) -> NDArray[np.float32]:
        rows = [row] * len(seeds)
        if self.kind in _BARE:
            return self.latent.density(origins, rows)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                draw = self.source.draw(self.source.latents(origins, rows), seeds, rows)
                y = generate(self.weights.generator, draw)[:, 0].numpy()
        finally:
            torch.set_num_threads(threads)
        density: NDArray[np.float32] = self.weights.generator.scaling.inverse(y).astype(np.float32)
        return density

    def _label(self, fields: NDArray[np.float32], origin: NDArray[np.void], row: int) -> Sample:
        layout = self.weights.layout
        return Sample(
            fields=fields,
            x=(np.arange(layout.grid, dtype=np.float64) + 0.5) * layout.cell_size,
            box_size=layout.box_size,
            thickness=layout.thickness,
            origin=origin,
            parameters=dict(zip(self.theory.names, self.theory.parameters[row], strict=True)),
            extrapolated=tuple(self.theory.outside(self.theory.parameters[row])),
        )


def load(path: str | Path, kind: Kind = "trained") -> Emulator:
    """Load a trained run.

    Parameters
    ----------
    path : path
        Folder of a run, its ``run/`` or a ``.safetensors`` file of weights.
    kind : {"trained", "untrained", "lognormal", "lpt", "2lpt"}
        The trained network, the same before training, or a latent without any network.

    Raises
    ------
    CheckpointError
        If there are no complete weights, they are damaged, or trained ones are asked for as
        untrained.
    RecipeError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise RecipeError(f"kind = {kind!r}: give one of {', '.join(KINDS)}")
    file = find_weights(Path(path), kind)
    weights = load_weights(file)
    if kind == "untrained" and weights.content["training"].get("shown"):
        raise CheckpointError(f"{file}: these weights are trained; give the folder of the run")
    return Emulator(weights, kind)


def find_weights(path: Path, kind: Kind = "trained") -> Path:
    """Return the file of weights that a run holds for a kind; a file is returned as it is.

    Raises
    ------
    CheckpointError
        If the run holds none.
    """
    if path.is_file():
        return path
    name = "weights" if kind == "trained" else "untrained"
    candidates = [folder / f"{name}.safetensors" for folder in (path, path / "run")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"{path}: no {name}.safetensors there or in run/; train to the end, or give its folder"
    )
