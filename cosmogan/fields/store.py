"""Reading and writing data sets of density fields.

`open_fields` reads a file or a folder ``name.fields/`` alike. A folder is written shard by shard, by
any number of processes, in any order::

    create_folder(path, layout, made_by, shards, identity)      # plan.json
    for number in missing_shards(path):
        write_shard(path, number, fields, parameters, origin)   # shard-00000.h5, ...
    finish_folder(path)                                         # manifest.json

Nothing is ever appended. Every file is written under a temporary name, synced and renamed, so that a
final name exists only if the file is whole; a killed writer leaves a ``.tmp`` that nobody reads and
the next `create_folder` removes. A folder without manifest is incomplete, and resumes by its missing
shards.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from cosmogan.errors import LayoutError, RecipeError, SplitError
from cosmogan.fields import layout as contract
from cosmogan.fields.dataset import AGAIN, FieldSet, Shard, read_head, require_size
from cosmogan.fields.files import (
    clean_temporaries,
    digest,
    make_folder,
    read_json,
    require_space,
    write_json,
)
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, MadeBy
from cosmogan.fields.shard import Samples, write_file

__all__ = [
    "FieldSet",
    "Samples",
    "Shard",
    "check_split",
    "create_folder",
    "expected_bytes",
    "finish_folder",
    "missing_shards",
    "open_fields",
    "refuse_fixed",
    "shard_name",
    "write_file",
    "write_shard",
]

PLAN = "plan.json"
MANIFEST = "manifest.json"
_OVERHEAD = 65_536  # of a file, generously


def open_fields(path: str | Path) -> FieldSet:
    """Open a data set.

    Parameters
    ----------
    path : path
        A folder ``name.fields/`` with a manifest, or one HDF5 file.

    Returns
    -------
    FieldSet
        Presence, size and contract of every file are checked, the samples are not: see
        `FieldSet.verify`.

    Raises
    ------
    LayoutError
        Naming the file and the rule it breaks.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    head = read_head(path)
    return FieldSet(path, [Shard(path.name, len(head.origin), path.stat().st_size)], [head])


def expected_bytes(layout: Layout, samples: int, shards: int = 1) -> int:
    """Return the size on disk of so many samples in so many files, at most [bytes]."""
    row = layout.sample_bytes + 8 * len(layout.parameter_names) + ORIGIN_DTYPE.itemsize + 4
    return samples * row + shards * _OVERHEAD


def create_folder(
    path: str | Path,
    layout: Layout,
    made_by: MadeBy,
    shards: int,
    identity: str,
    *,
    expected_bytes: int = 0,
) -> None:
    """Begin a folder of shards, or make ready to continue one.

    Parameters
    ----------
    path : path
        Of the folder, by custom ``name.fields``.
    layout, made_by : Layout, MadeBy
        Written into every shard; those of the first call stay.
    shards : int
        How many there will be.
    identity : str
        Fingerprint of all that decides the content: only the same identity continues a folder.
    expected_bytes : int
        Size of the finished folder, to be found free before the work starts.

    Raises
    ------
    RecipeError
        If the folder exists and holds anything else.
    ResourceError
        If the disk is too full.
    """
    path = Path(path)
    plan = {
        "format": contract.FORMAT + "-plan",
        "version": contract.VERSION,
        "identity": identity,
        "shards": shards,
        "layout": _layout_json(layout),
        "made_by": made_by.to_attributes(),
    }
    if (path / PLAN).exists():
        found = _read_plan(path)
        if (found["identity"], found["shards"], found["layout"]) != (identity, shards, layout):
            raise RecipeError(
                f"{path} exists from another recipe; choose another output or delete it"
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RecipeError(f"{path} exists and is no data set; choose another output or delete it")
    there = sum(file.stat().st_size for file in path.glob("shard-*.h5"))
    require_space(path, expected_bytes - there)
    make_folder(path)
    clean_temporaries(path)
    if not (path / PLAN).exists():
        write_json(path / PLAN, plan)


def missing_shards(path: str | Path) -> list[int]:
    """Return the numbers of the shards that `create_folder` announced and nobody wrote yet."""
    path = Path(path)
    shards = _read_plan(path)["shards"]
    return [number for number in range(shards) if not (path / shard_name(number)).exists()]


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}.h5"


def write_shard(
    path: str | Path,
    number: int,
    fields: ArrayLike,
    parameters: ArrayLike,
    origin: ArrayLike,
) -> Shard:
    """Write one shard of a folder that `create_folder` made; safe in any process, and twice.

    Parameters
    ----------
    path : path
        Of the folder.
    number : int
        Of the shard.
    fields : array_like of float32, shape (n, N, ..., N)
        Density over the mean of the simulation.
    parameters : array_like of float64, shape (n, p)
        In the order of the layout's `parameter_names`.
    origin : array_like, shape (n,)
        Structured as `cosmogan.fields.layout.ORIGIN_DTYPE`.

    Returns
    -------
    Shard
        For `finish_folder`, which then need not read the file again.

    Raises
    ------
    LayoutError
        If shapes disagree with the layout, or a density is not a number, infinite or negative.
    ResourceError
        If the disk is full; nothing is left behind.
    """
    path = Path(path)
    plan = _read_plan(path)
    if not 0 <= number < plan["shards"]:
        raise LayoutError(f"{path}: shard {number} is not among the {plan['shards']} planned")
    made_by = plan["made_by"].by_this_code()
    samples = Samples(fields, parameters, origin)
    return write_file(path / shard_name(number), plan["layout"], made_by, samples)


def finish_folder(path: str | Path, written: Sequence[Shard] = ()) -> FieldSet:
    """Check that all shards are there and of one kind, and write the manifest.

    Parameters
    ----------
    path : path
        Of the folder.
    written : sequence of Shard
        What `write_shard` returned; shards not among them are read to take their digest.

    Raises
    ------
    LayoutError
        If a shard is missing, damaged, of another layout or recipe, or there twice.
    """
    path = Path(path)
    plan = _read_plan(path)
    missing = missing_shards(path)
    if missing:
        raise LayoutError(_incomplete(path, missing, plan["shards"]))
    known = _known(path) | {shard.file: shard for shard in written}
    files = [path / shard_name(number) for number in range(plan["shards"])]
    heads = [read_head(file) for file in files]
    shards = []
    for file, head in zip(files, heads, strict=True):
        if (head.layout, head.made_by.recipe) != (plan["layout"], plan["made_by"].recipe):
            raise LayoutError(f"{file}: from another recipe than the plan beside it; {AGAIN}")
        if file.name in known:
            require_size(file, known[file.name].bytes)
        shards.append(known.get(file.name) or _shard(file, len(head.origin)))
    _refuse_twins(path, shards)
    write_json(path / MANIFEST, _manifest(FieldSet(path, shards, heads), plan))
    clean_temporaries(path)
    return FieldSet(path, shards, heads)


def check_split(**sets: FieldSet) -> None:
    """Refuse data sets that share a simulation.

    Parameters
    ----------
    **sets : FieldSet
        By role: ``check_split(train=..., validation=..., test=...)``.

    Raises
    ------
    SplitError
        Naming the two and one shared simulation.
    """
    seen: dict[int, str] = {}
    for role, fields in sets.items():
        for simulation in map(int, fields.simulations):
            if simulation in seen:
                other = seen[simulation]
                raise SplitError(
                    f"{other} ({sets[other].path}) and {role} ({fields.path}) share simulation "
                    f"{simulation}; split by simulation, never by slice"
                )
            seen[simulation] = role


def refuse_fixed(fields: FieldSet, purpose: str = "training") -> None:
    """Raise `RecipeError` if the initial amplitudes were fixed: such fields lack cosmic variance."""
    if fields.layout.fixed or fields.origin["fixed"].any():
        raise RecipeError(
            f"{fields.path}: fixed-amplitude simulations lack cosmic variance and cannot serve "
            f"{purpose}; simulate with initial_conditions = 'gaussian'"
        )


def _open_folder(path: Path) -> FieldSet:
    if not (path / MANIFEST).exists():
        if not (path / PLAN).exists():
            raise LayoutError(f"{path}: no {MANIFEST}, no data set; give a name.fields folder")
        missing, shards = missing_shards(path), _read_plan(path)["shards"]
        raise LayoutError(_incomplete(path, missing, shards))
    layout, shards = _read_manifest(path)
    heads = []
    for shard in shards:
        file = path / shard.file
        require_size(file, shard.bytes)
        head = read_head(file)
        if head.layout != layout or len(head.origin) != shard.rows:
            raise LayoutError(f"{file}: not the file of the manifest (layout or rows); {AGAIN}")
        heads.append(head)
    return FieldSet(path, shards, heads)


def _incomplete(path: Path, missing: Sequence[int], shards: int) -> str:
    some = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
    what = f"shards {some} of {shards} are missing" if missing else f"{MANIFEST} is missing"
    return f"{path}: incomplete, {what}; give the command that made it again"


def _read_plan(path: Path) -> dict[str, Any]:
    """Read plan.json, its layout and made_by as records."""
    if not (path / PLAN).exists():
        raise LayoutError(f"{path}: no {PLAN}; begin with create_folder")
    content = read_json(path / PLAN)
    try:
        contract.check_format(content, name=contract.FORMAT + "-plan")
        return {
            "identity": str(content["identity"]),
            "shards": int(content["shards"]),
            "layout": _layout(content["layout"]),
            "made_by": MadeBy.from_attributes(content["made_by"]),
        }
    except (LayoutError, KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"{path / PLAN}: damaged ({error}); delete the folder") from error


def _read_manifest(path: Path) -> tuple[Layout, list[Shard]]:
    content = read_json(path / MANIFEST)
    try:
        contract.check_format(content, name=contract.FORMAT + "-manifest")
        layout = _layout(content["layout"])
        shards = [Shard(**entry) for entry in content["shards"]]
    except LayoutError as error:
        raise LayoutError(f"{path / MANIFEST}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"{path / MANIFEST}: damaged ({error}); {AGAIN}") from error
    if not shards:
        raise LayoutError(f"{path / MANIFEST}: names no shard; {AGAIN}")
    return layout, shards


def _manifest(fields: FieldSet, plan: dict[str, Any]) -> dict[str, Any]:
    names = fields.layout.parameter_names
    low, high = fields.parameters.min(axis=0), fields.parameters.max(axis=0)
    return {
        "format": contract.FORMAT + "-manifest",
        "version": contract.VERSION,
        "identity": plan["identity"],
        "samples": len(fields),
        "simulations": len(fields.simulations),
        "parameters": {n: [low[i], high[i]] for i, n in enumerate(names)},
        "layout": _layout_json(fields.layout),
        "made_by": plan["made_by"].to_attributes(),
        "shards": [asdict(shard) for shard in fields.shards],
    }


def _known(path: Path) -> dict[str, Shard]:
    """Return the shards of an earlier manifest: an altered file must not get a new digest."""
    if not (path / MANIFEST).exists():
        return {}
    return {shard.file: shard for shard in _read_manifest(path)[1]}


def _shard(file: Path, rows: int) -> Shard:
    return Shard(file.name, rows, file.stat().st_size, digest(file))


def _refuse_twins(path: Path, shards: Sequence[Shard]) -> None:
    seen: dict[str, str] = {}
    for shard in shards:
        twin = seen.setdefault(shard.sha256, shard.file)
        if twin != shard.file:
            raise LayoutError(f"{path / shard.file}: the same file as {twin}; {AGAIN}")


def _layout_json(layout: Layout) -> dict[str, Any]:
    return layout.to_attributes() | {"parameter_names": list(layout.parameter_names)}


def _layout(content: dict[str, Any]) -> Layout:
    return Layout.from_attributes(content, content["parameter_names"])
