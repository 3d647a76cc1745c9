"""From seeds to fields with a trained network, in memory.

Field k of a seed depends on (weights, seed, k, parameters) alone: fields are always made in whole
blocks of the micro-batch kept with the weights, on one thread, so not even their last bit depends
on how many are asked for at a time.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cosmogan.cosmology import PowerTable
from cosmogan.emulate.find import find_weights
from cosmogan.errors import CheckpointError, RecipeError
from cosmogan.models.displaced import LptLatent
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import Source, generate
from cosmogan.models.theory import Caller, Theory, tabulate
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
    parameters : dict of str to float or (n,) ndarray
        Cosmology and redshift; one number a field of what differs between them.
    extrapolated : tuple of str
        Those of them that lie outside what the network was trained at, in any field.
    """

    fields: NDArray[np.float32]
    x: NDArray[np.float64]
    box_size: float
    thickness: float
    origin: NDArray[np.void]
    parameters: dict[str, Any]
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
        self._elsewhere: tuple[bytes, Emulator] | None = None  # the last one asked for

    @property
    def theory(self) -> Theory:
        """Parameters the network was trained at, and their spectra."""
        return self.weights.theory

    def sample(
        self, count: int, seed: int, *, start: int = 0, force: bool = False, **parameters: ArrayLike
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
        **parameters : float or (count,) array
            Cosmology and redshift, of all fields or one number for each. What did not vary in the
            training need not be given, nor the redshift, which is else the lowest. Between the trained ones
            CAMB is asked for spectra.

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
        there, rows = self.over(self.fill(parameters, count), force=force)
        fields = np.concatenate(list(there._blocks(start, seed, rows)))
        return there._label(fields, there.latent.origins(seed, range(start, start + count)), rows)

    def counterparts(
        self,
        origin: NDArray[np.void],
        seed: int = 0,
        *,
        start: int = 0,
        force: bool = False,
        **parameters: ArrayLike,
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
        **parameters : float or (n,) array
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
        there, rows = self.over(self.fill(parameters, len(origin)), force=force)
        size = self.weights.micro_batch
        seeds = [derive_seed(seed, k) for k in range(start, start + len(origin))]
        whole = -(-len(origin) // size) * size
        padded = np.resize(np.arange(len(origin)), whole)
        blocks = [
            there._make(origin[some], [seeds[i] for i in some], rows[some])
            for some in padded.reshape(-1, size)
        ]
        return there._label(np.concatenate(blocks)[: len(origin)], origin, rows)

    def require_initial_conditions(self) -> None:
        """Raise `RecipeError` if the latent does not come from initial conditions."""
        if not isinstance(self.latent, LptLatent):
            remedy = (
                "train one with latent = 'lpt'"
                if self.weights.latent.kind != "lpt"
                else "take another kind: trained, untrained or lpt"
            )
            raise RecipeError(f"this emulator starts from no initial conditions; {remedy}")

    def require_names(self, names: Iterable[str]) -> None:
        """Raise `RecipeError` if a name is none of the network's parameters."""
        unknown = sorted(set(names) - set(self.theory.names))
        if unknown:
            raise RecipeError(
                f"{unknown}: no parameter of this network; it has {self.theory.names}"
            )

    def over(
        self, table: NDArray[np.float64], *, force: bool = False, call: Caller = itertools.starmap
    ) -> tuple["Emulator", NDArray[np.int64]]:
        """Return an emulator whose theory has spectra at all parameters, and their rows (n,).

        Parameters
        ----------
        table : (n, p) ndarray
            Parameters in the order of ``theory.names``.
        force : bool
            Whether they may lie outside the trained range.
        call : callable
            Computes the spectra that are missing, as for `cosmogan.models.theory.tabulate`.

        Raises
        ------
        RecipeError
            If they lie outside the trained range.
        """
        unique, which = np.unique(table, axis=0, return_inverse=True)
        new = unique[[self.theory.find(point) is None for point in unique]]
        for point in unique:
            self._refuse(point.tolist(), force)
        there, key = self, new.tobytes()
        if len(new):
            if self._elsewhere is None or self._elsewhere[0] != key:
                self._elsewhere = key, Emulator(self._extended(new, call), self.kind)
            there = self._elsewhere[1]
        rows = np.array([there.theory.row(point) for point in unique])
        return there, rows[which.reshape(-1)]

    def fill(self, parameters: Mapping[str, ArrayLike], count: int) -> NDArray[np.float64]:
        """Return the parameters of each field (count, p), those that were not given filled in.

        Raises
        ------
        RecipeError
            If a name is unknown or missing, or there are not as many numbers as fields.
        """
        names = self.theory.names
        self.require_names(parameters)
        low, high = self.theory.domain
        table: NDArray[np.float64] = np.tile(low, (count, 1))
        for column, (name, least, most) in enumerate(zip(names, low, high, strict=True)):
            if name in parameters:
                given = np.asarray(parameters[name], dtype=np.float64)
                if given.shape not in ((), (count,)):
                    raise RecipeError(
                        f"{name}: shape {given.shape} for {count} fields; give one number, or one a field"
                    )
                table[:, column] = given
            elif name != "redshift" and least < most:
                raise RecipeError(
                    f"{name}: the network was trained at {least:g} to {most:g}; say which is meant"
                )
        return table

    def _refuse(self, asked: Sequence[float], force: bool) -> None:
        outside = self.theory.outside(asked)
        if outside and not force:
            name, (low, high) = outside[0], self.theory.domain
            at = self.theory.names.index(name)
            raise RecipeError(
                f"{name} = {asked[at]:g}: the network was trained at {low[at]:g} to {high[at]:g}; "
                "ask for what lies between, or force it and do not trust it"
            )

    def _extended(self, new: NDArray[np.float64], call: Caller) -> Weights:
        """Return the weights with spectra at further parameters."""
        theory = self.theory
        k, *tables = tabulate(theory.names, new, call)
        power, linear = (
            np.array([PowerTable(k, row.astype(np.float64))(theory.k) for row in table])
            for table in tables
        )
        return replace(self.weights, theory=theory.with_rows(new, power, linear))

    def _blocks(
        self, start: int, seed: int, of: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        size, stop = self.weights.micro_batch, start + len(of)
        for first in range(start - start % size, stop, size):
            numbers = range(first, first + size)
            seeds = [derive_seed(seed, k) for k in numbers]
            rows = of[np.clip(np.array(numbers) - start, 0, len(of) - 1)]
            block = self._make(self.latent.origins(seed, numbers), seeds, rows)
            yield block[max(start - first, 0) : stop - first]

    def _make(
        self, origins: NDArray[np.void], seeds: list[int], at: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        rows = at.tolist()
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

    def _label(
        self, fields: NDArray[np.float32], origin: NDArray[np.void], rows: NDArray[np.int64]
    ) -> Sample:
        layout, table = self.weights.layout, self.theory.parameters[rows]
        outside = [self.theory.outside(self.theory.parameters[row]) for row in np.unique(rows)]
        differ = np.ptp(table, axis=0) > 0
        return Sample(
            fields=fields,
            x=(np.arange(layout.grid, dtype=np.float64) + 0.5) * layout.cell_size,
            box_size=layout.box_size,
            thickness=layout.thickness,
            origin=origin,
            parameters={
                name: values if varies else float(values[0])
                for name, values, varies in zip(self.theory.names, table.T, differ, strict=True)
            },
            extrapolated=tuple(
                n for n in self.theory.names if any(n in names for names in outside)
            ),
        )


def load(path: str | Path, kind: Kind = "trained") -> Emulator:
    """Load a trained run.

    Parameters
    ----------
    path : path or str
        Folder of a run, its ``run/``, a ``.safetensors`` file of weights, or the name of weights that
        come with the package.
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
