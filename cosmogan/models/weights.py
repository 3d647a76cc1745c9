"""What users get: the averaged generator with everything needed to make fields, in one file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cosmogan.errors import CheckpointError
from cosmogan.fields.layout import Layout
from cosmogan.fields.scaling import Scaling
from cosmogan.models.checkpoint import load, prefixed, restore, save, under
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.theory import Theory

FORMAT, VERSION = "cosmogan-weights", 2
MICRO_BATCH = 16
"""Fields are always made in blocks of this size, so that their bits do not depend on requests."""


@dataclass(frozen=True)
class Weights:
    """A generator and what belongs to it.

    Attributes
    ----------
    generator : Generator
        In evaluation mode, without gradients.
    predictor : Generator or None
        Predicts the mean, before it.
    latent : LatentShape
        What the generator starts from.
    theory : Theory
        Spectra of the latent.
    layout : Layout
        Of the training fields; the emulated fields share it.
    micro_batch : int
        Fields made at a time.
    content : dict
        The header of the file: provenance, last reading.
    """

    generator: Generator
    predictor: Generator | None
    latent: LatentShape
    theory: Theory
    layout: Layout
    micro_batch: int
    content: dict[str, Any]


def save_weights(  # noqa: PLR0913  (a keyword for each part of the file)
    path: Path,
    generator: Generator,
    theory: Theory,
    *,
    predictor: Generator | None = None,
    latent: LatentShape,
    layout: Layout,
    made_by: Mapping[str, str],
    training: Mapping[str, Any],
) -> None:
    """Write a generator; `training` says where in its training it stands."""
    spectra, about = pack_theory(theory)
    tensors = {
        **prefixed("generator", generator.state_dict()),
        **prefixed("theory", spectra),
    }
    if predictor is not None:
        tensors |= prefixed("predictor", predictor.state_dict())
    content = {
        "format": FORMAT,
        "version": VERSION,
        "generator": generator.shape.as_dict(),
        "predictor": predictor.shape.as_dict() if predictor else None,
        "scaling": generator.scaling.as_dict(),
        "latent": latent.as_dict(),
        "theory": about,
        "layout": {
            "attributes": layout.to_attributes(),
            "parameter_names": list(layout.parameter_names),
        },
        "micro_batch": MICRO_BATCH,
        "made_by": dict(made_by),
        "training": dict(training),
    }
    save(path, tensors, content)


def load_weights(path: Path) -> Weights:
    """Read a generator.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, from a later version or of another network.
    """
    tensors, content = load(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: no weights of a generator; give run/weights.safetensors")
    if content["version"] > VERSION:
        raise CheckpointError(
            f"{path}: format version {content['version']}, this cosmogan reads {VERSION}; update it"
        )
    if content["version"] < VERSION:
        raise CheckpointError(
            f"{path}: format version {content['version']}, of an earlier network; train anew"
        )
    try:
        return _unpack(tensors, content, str(path))
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: incomplete, or from an earlier cosmogan ({error}); train anew"
        ) from error


def pack_theory(theory: Theory) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return a theory as tensors, and the rest as plain values."""
    content = asdict(theory) | {"names": list(theory.names)}
    tensors = {n: torch.from_numpy(content.pop(n)) for n in ("parameters", "k", "power", "linear")}
    return tensors, content


def unpack_theory(tensors: Mapping[str, torch.Tensor], content: Mapping[str, Any]) -> Theory:
    """Undo `pack_theory`; what is missing is a TypeError or KeyError."""
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    return Theory(**{**content, "names": tuple(content["names"])}, **arrays)


def _unpack(tensors: Mapping[str, torch.Tensor], content: dict[str, Any], path: str) -> Weights:
    generator = _network("generator", tensors, content, path)
    predictor = _network("predictor", tensors, content, path) if content["predictor"] else None
    theory = unpack_theory(under("theory", tensors), content["theory"])
    attributes = content["layout"]
    layout = Layout.from_attributes(attributes["attributes"], attributes["parameter_names"])
    latent = LatentShape.from_dict(content["latent"])
    channels = make_latent(latent, theory, layout.grid).channels
    predicted = predictor.shape.outputs if predictor else 0
    if channels + predicted != generator.shape.latents:
        raise CheckpointError(f"{path}: a latent of another network ({latent}); train anew")
    return Weights(
        generator=generator,
        predictor=predictor,
        latent=latent,
        theory=theory,
        layout=layout,
        micro_batch=int(content["micro_batch"]),
        content=content,
    )


def _network(
    name: str, tensors: Mapping[str, torch.Tensor], content: dict[str, Any], path: str
) -> Generator:
    shape = {"folded": True} | content[name]  # as networks were before there was a choice
    shape["widths"] = tuple(shape["widths"])
    network = Generator(GeneratorShape(**shape), Scaling(**content["scaling"]))
    restore(network, under(name, tensors), path)
    return network.requires_grad_(False).eval()
