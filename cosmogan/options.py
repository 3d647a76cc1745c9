"""What becomes of options on the command line; what cannot be read is a `click.BadParameter`."""

import re

import click

_PREFIXES = " kMGT"


def values(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, float]:
    """Read ``Omega_m=0.3,redshift=0``."""
    try:
        pairs = [item.split("=") for item in text.split(",")] if text else []
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: give NAME=VALUE,NAME=VALUE") from error


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


def show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Say which cosmogan this is, and end."""
    if wanted:
        import cosmogan

        click.echo(f"cosmogan {cosmogan.__version__}")
        context.exit()
