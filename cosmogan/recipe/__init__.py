"""The recipe: one TOML file that describes a whole run.

`read` turns a path or the name of a shipped recipe into a frozen `Recipe`; `write` turns it back
into TOML with every default filled in. A key that is not known, a value of the wrong type or out of
range is a `RecipeError` that names file, key, rule and remedy. Only `cosmogan.cli`,
`cosmogan.pipeline` and the ``run`` modules know recipes; everything below takes plain arguments.
"""

import hashlib
import json
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from cosmogan.errors import RecipeError
from cosmogan.recipe.tables import (
    FIRST_LEVEL,
    BoxesTable,
    CompareTable,
    EmulateTable,
    MeasureTable,
    Recipe,
    SimulateTable,
    ToleranceTable,
    TrainTable,
    explain,
)
from cosmogan.recipe.universes import CosmologyTable, PointsTable, RangesTable, Table

__all__ = [
    "FIRST_LEVEL",
    "BoxesTable",
    "CompareTable",
    "CosmologyTable",
    "EmulateTable",
    "MeasureTable",
    "PointsTable",
    "RangesTable",
    "Recipe",
    "SimulateTable",
    "Table",
    "ToleranceTable",
    "TrainTable",
    "fingerprint",
    "read",
    "require_levels",
    "shipped",
    "write",
]


def shipped() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("cosmogan") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def read(source: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    source : path or str
        A TOML file, or the name of a shipped recipe.

    Raises
    ------
    RecipeError
        If there is no such recipe, it is not TOML, or a key or value breaks a rule.
    """
    text = _text(source)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: not TOML: {error}; mend that line") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{source}: {explain(error)}") from error


def write(recipe: Table) -> str:
    """Return the recipe, or one table of it, as TOML with every default filled in."""
    return "\n".join(_toml_lines(recipe.model_dump(), ())) + "\n"


def fingerprint(*tables: Table | int | str) -> str:
    """Return 16 hex digits that change when any value of these tables does."""
    content = [t.model_dump(mode="json") if isinstance(t, Table) else t for t in tables]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def require_levels(recipe: Recipe) -> None:
    """Raise `RecipeError` if the networks of a recipe cannot halve its grid as often as they would."""
    grid = recipe.simulate.grid
    for name, first in FIRST_LEVEL.items():
        levels = len(getattr(recipe.train, name))
        halved = first + levels - 1
        if grid % 2**halved:
            raise RecipeError(
                f"train.{name}: {levels} levels halve the grid {halved} times, and simulate.grid = {grid} "
                f"is not divisible by {2**halved}; name fewer widths or change the grid"
            )


def _text(source: str | Path) -> str:
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if str(source) in shipped():
        return (resources.files("cosmogan") / "recipes" / f"{source}.toml").read_text("utf-8")
    raise RecipeError(
        f"{source}: no such file, and no shipped recipe of that name; "
        f"give a path or one of: {', '.join(shipped())}"
    )


def _toml_lines(table: dict[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, dict) and v is not None}
    lines = [f"\n[{'.'.join(path)}]"] if path and plain else []
    lines += [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml_lines(value, (*path, key))
    return lines


def _toml_value(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return json.dumps(value)
