"""What becomes of options and arguments on the command line.

An option that cannot be read is a `click.BadParameter`.
"""

import re
from pathlib import Path
from typing import Any

import click

from cosmogan.errors import RecipeError

_PREFIXES = " kMGT"


class InOrder(click.Group):
    """Lists its commands in the order of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's)
        """Return the names as they were added."""
        return list(self.commands)


def values(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, float]:
    """Read ``Omega_m=0.3,redshift=0``."""
    try:
        pairs = [item.split("=") for item in text.split(",")] if text else []
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: give NAME=VALUE,NAME=VALUE") from error


def either(one: str, first: Path | None, other: str, second: Path | None) -> Path:
    """Return the one that was given of two ways to say a thing."""
    found = first or second
    if found is None or (first and second):
        raise click.UsageError(f"give either {one} or {other}")
    return found


def names(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """Read ``power,pdf``."""
    return tuple(name.strip() for name in text.split(",")) if text else None


def size(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Read ``4GB``, ``500 MB`` or ``2GiB`` [bytes]."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*([kMGT]?)(i?)B?\s*", text)
    if found is None:
        raise click.BadParameter(f"{text!r}: give a size as 4GB or 500MB")
    number, prefix, binary = found.groups()
    step = 1024.0 if binary else 1000.0
    return float(number) * step ** _PREFIXES.index(prefix or " ")


def described(path: Path, plain: dict[str, Any]) -> Any:  # noqa: ANN401  (a path, or an array)
    """Return what is to be measured: the data set itself, or a plain array opened as it is told."""
    from cosmogan.fields.array import Described, open_array

    if "box_size" in plain:
        return open_array(path, Described(**plain))
    if plain or path.suffix == ".npy":
        raise RecipeError(f"{path}: a plain array knows no size; give it with --box")
    return path


def show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Say which cosmogan this is, and end."""
    if wanted:
        import cosmogan

        click.echo(f"cosmogan {cosmogan.__version__}")
        context.exit()
