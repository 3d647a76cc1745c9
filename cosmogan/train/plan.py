"""Everything a training needs to know, in plain values: the worker's only input.

`cosmogan.train.run` writes it as ``run/training.json`` from a recipe; the worker reads it under Ray
Train, under torchrun and alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmogan.errors import CheckpointError
from cosmogan.fields.files import make_folder, write_json
from cosmogan.models.latent import LatentShape
from cosmogan.models.theory import Theory


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training run. Counts are in real fields shown, the clock of every schedule.

    Attributes
    ----------
    folder, train, validation : str
        Where the run lives, and the two data sets.
    latent : LatentShape
        What the generator starts from.
    images, batch, validate_every : int
        Length, fields a step over all workers, fields between readings.
    generator_widths, discriminator_widths : tuple of int
        Channels from fine to coarse.
    learning_rate, gamma, gamma_statistics, mean_weight : float
        As in the recipe.
    density_scale : float
        rho_s of the training space [mean density].
    average_half_life : float
        Of the averaged weights [fields].
    seed : int
        Of weights, noise and data order.
    threads : int
        CPU threads of each worker.
    tolerance : dict of str to float
        Of the verdict; readings are scored in units of it.
    k_max : float
        Largest wavenumber judged [Nyquist wavenumber].
    theory : dict
        Of `cosmogan.models.theory.Theory`, arrays as lists.
    identity : str
        Fingerprint of all that decides the result.
    made_by : dict
        Provenance, written into the weights.
    """

    folder: str
    train: str
    validation: str
    latent: LatentShape
    images: int
    batch: int
    validate_every: int
    generator_widths: tuple[int, ...]
    discriminator_widths: tuple[int, ...]
    learning_rate: float
    gamma: float
    gamma_statistics: float
    mean_weight: float
    density_scale: float
    average_half_life: float
    seed: int
    threads: int
    tolerance: dict[str, float]
    k_max: float
    theory: dict[str, Any]
    identity: str
    made_by: dict[str, str]

    @property
    def boxes(self) -> Path:
        """Folder of the boxes that theory displaced."""
        return Path(self.folder) / "boxes"

    @property
    def paired(self) -> bool:
        """Whether the latents know the initial conditions of the simulations."""
        return self.latent.kind == "lpt"

    def write(self) -> Path:
        """Write ``training.json`` into the folder and return its path."""
        path = Path(self.folder) / "training.json"
        make_folder(path.parent)
        write_json(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> "Training":
        """Read what `write` wrote.

        Raises
        ------
        CheckpointError
            If it is missing or no plan.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["generator_widths"] = tuple(content["generator_widths"])
            content["discriminator_widths"] = tuple(content["discriminator_widths"])
            content["latent"] = LatentShape.from_dict(content["latent"])
            return cls(**content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path}: no plan of a training ({error}); train anew") from error


def theory_to_dict(theory: Theory) -> dict[str, Any]:
    """Return a theory as plain values."""
    content = asdict(theory) | {"names": list(theory.names)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in content.items()}


def theory_from_dict(content: dict[str, Any]) -> Theory:
    """Undo `theory_to_dict`."""
    names = ("parameters", "k", "power", "linear")
    arrays = {k: np.asarray(content[k], dtype=np.float64) for k in names}
    return Theory(**{**content, **arrays, "names": tuple(content["names"])})
