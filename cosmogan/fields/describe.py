"""What a data set is, in words and in one picture."""

import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmogan.errors import RecipeError
from cosmogan.fields.dataset import FieldSet
from cosmogan.fields.store import open_fields

_LOOKED_AT = 256


def describe(path: str | Path) -> str:
    """Describe a data set.

    Parameters
    ----------
    path : path
        A folder ``name.fields/`` or an HDF5 file.

    Returns
    -------
    str
        Several lines: shape, parameters, simulations, densities, origin. At most 256 samples, spread
        evenly, are read, and compared with their checksums.

    Raises
    ------
    LayoutError
        If the data set is incomplete or breaks the contract.
    """
    fields = open_fields(path)
    parts = {
        "holds": _holds(fields),
        "geometry": _geometry(fields),
        "particles": _particles(fields),
        "simulations": _simulations(fields),
        "parameters": _parameters(fields),
        "density": _density(fields),
        "made by": _made_by(fields),
        "recipe": _recipe(fields),
    }
    return "\n".join([str(fields.path), *(_entry(name, text) for name, text in parts.items())])


def plot_sample(path: str | Path, index: int, out: str | Path) -> None:
    """Draw one sample.

    Parameters
    ----------
    path : path
        Of the data set.
    index : int
        Which sample; of a cube, the mean over its third axis is drawn.
    out : path
        Picture to write; the ending says which kind.

    Raises
    ------
    RecipeError
        If there is no such sample, or no such kind of picture.
    """
    fields = open_fields(path)
    if not -len(fields) <= index < len(fields):
        raise RecipeError(f"{path}: no sample {index}; give one from 0 to {len(fields) - 1}")
    sample = fields.read_checked(index)
    image = sample if sample.ndim == 2 else sample.mean(axis=2, dtype=np.float64)
    title = f"{fields.path.name}, sample {index}"
    if "redshift" in fields.layout.parameter_names:
        column = fields.layout.parameter_names.index("redshift")
        title += f", z = {fields.parameters[index, column]:g}"
    _draw(image, fields.layout.box_size, title, Path(out))


def _draw(image: NDArray[np.floating], side: float, title: str, out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = FigureCanvasAgg.get_supported_filetypes()
    if out.suffix.removeprefix(".") not in known:
        raise RecipeError(f"{out}: no such kind of picture; end it in .png, .pdf or .svg")
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="x [Mpc/h]", ylabel="y [Mpc/h]")
    # The transpose puts the first axis of the array along x; log10 needs empty cells lifted.
    shown = np.log10(np.maximum(image.T, 1e-2))
    drawn = axes.imshow(shown, origin="lower", extent=(0, side, 0, side), cmap="magma")
    figure.colorbar(drawn, label="log10 of density over mean (empty cells: -2)")
    figure.savefig(out, dpi=120)


def _entry(name: str, text: str) -> str:
    indent = " " * 15
    lines = textwrap.indent(text, indent).splitlines()
    return "\n".join([f"  {name:<13}{lines[0].removeprefix(indent)}", *lines[1:]])


def _holds(fields: FieldSet) -> str:
    layout = fields.layout
    kind = "slices" if layout.dimension == 2 else "cubes"
    shape = " x ".join(map(str, layout.shape))
    megabytes = sum(shard.bytes for shard in fields.shards) / 1e6
    files = "1 file" if len(fields.shards) == 1 else f"{len(fields.shards)} files"
    return f"{len(fields)} {kind} of {shape} cells, float32, in {files}, {megabytes:.1f} MB"


def _geometry(fields: FieldSet) -> str:
    layout = fields.layout
    edges = "periodic" if layout.periodic else "not periodic"
    depth = f", {layout.thickness:g} Mpc/h thick" if layout.dimension == 2 else ""
    return f"{layout.box_size:g} Mpc/h a side{depth}, cells of {layout.cell_size:g} Mpc/h, {edges}"


def _particles(fields: FieldSet) -> str:
    layout = fields.layout
    window = layout.mass_assignment
    count = f"{layout.particles}^3" if layout.particles else "no"
    painted = f", painted with {window.upper()}" if window != "none" else ""
    fixed = "; fixed amplitudes: no cosmic variance" if layout.fixed else ""
    far = "; EXTRAPOLATED: outside what the network was trained at" if layout.extrapolated else ""
    return f"{count} particles{painted}{fixed}{far}"


def _simulations(fields: FieldSet) -> str:
    count = len(fields.simulations)
    slabs = fields.origin[fields.origin["axis"] >= 0]
    if not len(slabs):
        return f"{count} independent"
    axes = ", ".join(map(str, np.unique(slabs["axis"])))
    return f"{count} independent, cut along axes {axes} into {slabs['slab'].max() + 1} slabs"


def _parameters(fields: FieldSet) -> str:
    names = fields.layout.parameter_names
    rows = zip(names, fields.parameters.T, strict=True)
    return "\n".join(_range(name, values) for name, values in rows) or "none"


def _range(name: str, values: NDArray[np.float64]) -> str:
    different = np.unique(values)
    if len(different) == 1:
        return f"{name:<10} {different[0]:g}"
    return f"{name:<10} {different[0]:g} to {different[-1]:g}, {len(different)} values"


def _density(fields: FieldSet) -> str:
    rows = np.unique(np.linspace(0, len(fields) - 1, _LOOKED_AT).astype(int))
    samples = [fields.read_checked(row) for row in rows]
    mean = np.mean([sample.mean(dtype=np.float64) for sample in samples])
    low, high = min(s.min() for s in samples), max(s.max() for s in samples)
    seen = "all" if len(rows) == len(fields) else f"{len(rows)} of them"
    return f"mean {mean:.4f}, from {low:.3g} to {high:.4g} ({seen}; checksums agree)"


def _made_by(fields: FieldSet) -> str:
    made = fields.made_by
    commit = f" ({made.commit})" if made.commit else ""
    return f"{made.code} {made.version}{commit}, {made.time}: {made.command}"


def _recipe(fields: FieldSet) -> str:
    lines = len(fields.made_by.recipe.splitlines())
    return f"attribute recipe of /made_by, lines: {lines}" if lines else "none"
