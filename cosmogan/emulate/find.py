"""Where weights are: in the folder of a run, in a file, or in the package."""

from pathlib import Path

from cosmogan.errors import CheckpointError

SHIPPED = Path(__file__).parents[1] / "weights"
"""Weights that come with the package."""


def find_weights(path: str | Path, kind: str = "trained") -> Path:
    """Return the file of weights that a run holds for a kind; a file is returned as it is.

    What is neither may be the name of weights that come with the package (`shipped`).

    Raises
    ------
    CheckpointError
        If the run holds none.
    """
    path = Path(path)
    if path.is_file():
        return path
    name = "weights" if kind == "trained" else "untrained"
    candidates = [folder / f"{name}.safetensors" for folder in (path, path / "run")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if not path.exists() and str(path) in shipped():
        return SHIPPED / f"{path}.safetensors"
    known = f", or one of: {', '.join(shipped())}" if shipped() else ""
    raise CheckpointError(
        f"{path}: no {name}.safetensors there or in run/; train to the end, or give its folder{known}"
    )


def shipped() -> list[str]:
    """Return the names of the weights that come with the package; ``NAME.json`` is the card of each."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
