"""Put the weights of a finished run into the package, with a card that says what they are.

    python -m benchmarks.fidelity.ship runs/fidelity/default-60min-1 demo-64 --limits "..."

Writes ``cosmogan/weights/NAME.safetensors`` and ``NAME.json``: what they learned from, the recipe, the verdict in numbers, their
limits. ``cosmogan emulate --weights NAME`` and ``cosmogan.load("NAME")`` then find them.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

import cosmogan
from cosmogan.models.weights import load_weights, save_weights
from cosmogan.recipe import read, write

WEIGHTS = Path(cosmogan.__file__).parent / "weights"
LARGEST = 10_000_000
"""Bytes of a file of weights that may be shipped."""


def ship(folder, name, limits):
    """Write the weights of a run with few spectra, and their card; return the path of the card."""
    weights, target = (
        load_weights(folder / "run/weights.safetensors"),
        WEIGHTS / f"{name}.safetensors",
    )
    WEIGHTS.mkdir(exist_ok=True)
    temporary = target.with_name(f".{name}.safetensors")
    save_weights(
        temporary,
        weights.generator,
        extremes(weights.theory),
        predictor=weights.predictor,
        latent=weights.latent,
        layout=weights.layout,
        made_by=weights.content["made_by"],
        training=weights.content["training"],
    )
    try:
        if (size := temporary.stat().st_size) > LARGEST:
            raise SystemExit(f"{folder}: weights of {size} bytes, at most {LARGEST} are shipped")
        content = card_of(folder, temporary, limits) | {"name": name}
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    card = WEIGHTS / f"{name}.json"
    card.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def extremes(theory):
    """Return a theory of the trained parameters at which any is extreme: the same range, few spectra.

    Those at other parameters come from CAMB when they are asked for.
    """
    trained = theory.parameters[: theory.trained]
    rows = np.unique([trained.argmin(axis=0), trained.argmax(axis=0)])
    return replace(
        theory,
        parameters=theory.parameters[rows],
        power=theory.power[rows],
        linear=theory.linear[rows],
        trained=len(rows),
    )


def card_of(folder, path, limits):
    """Return what a user should know of the weights of a run that lie at a path."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    weights, recipe = load_weights(path), read(folder / "recipe.toml")
    layout, theory = weights.layout, weights.theory
    low, high = theory.domain
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fields": {
            "dimension": layout.dimension,
            "grid": layout.grid,
            "box_size [Mpc/h]": layout.box_size,
            "thickness [Mpc/h]": layout.thickness,
        },
        "parameters": {
            n: [float(a), float(b)] for n, a, b in zip(theory.names, low, high, strict=True)
        },
        "data": f"cosmogan's own N-body runs of {recipe.name}; {_boxes(recipe)}",
        "training": weights.content["training"]["reading"],
        "sentences": verdict["sentences"],
        "scorecard": _scores(verdict),
        "commit": verdict["made_by"]["commit"],
        "versions": verdict["made_by"]["versions"],
        "limits": limits,
        "recipe": write(recipe),
    }


def _boxes(recipe):
    """Say how many simulations there are on each side of the split, and of what."""
    points = recipe.points
    counts = ", ".join(
        f"{split} {boxes}" + (f" at each of {getattr(points, split)} cosmologies" if points else "")
        for split, boxes in recipe.simulate.boxes.model_dump().items()
    )
    learnt, held_out = (
        ", ".join(f"{z:g}" for z in recipe.simulate.redshifts_of(split))
        for split in ("train", "test")
    )
    other = f"; held-out boxes at {held_out}" if held_out != learnt else ""
    return f"boxes: {counts}; redshifts {learnt}{other}"


def _scores(verdict):
    """Return mean |ratio - 1| of every statistic, with its interval; of many universes, in how many it passes."""
    if "counts" in verdict:
        return verdict["counts"]
    results = verdict["candidates"][verdict["subject"]]["results"]
    return {name: result["error"] for name, result in results.items()}


def main():
    """Parse, and ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--limits", required=True, help="what they must not be used for, in words")
    given = parser.parse_args()
    print(ship(given.folder, given.name, given.limits))


if __name__ == "__main__":
    main()
