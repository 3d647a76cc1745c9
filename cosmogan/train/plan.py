"""Everything a training needs to know: the worker's only input.

`cosmogan.train.run` writes it from a recipe, plain values as ``run/training.json`` and spectra as
``run/theory.safetensors``; the worker reads both under Ray Train, under torchrun and alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cosmogan.errors import CheckpointError
from cosmogan.fields.files import make_folder, write_json
from cosmogan.models.checkpoint import load, save
from cosmogan.models.latent import LatentShape
from cosmogan.models.theory import Theory
from cosmogan.models.weights import pack_theory, unpack_theory

THEORY = "theory.safetensors"


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training run.

    Counts are in real fields shown to the discriminator, the clock of every schedule; in its steps the generator
    is held against as many others.

    Attributes
    ----------
    folder, train, validation : str
        Where the run lives, and the two data sets.
    latent : LatentShape
        What the generator starts from.
    images, batch, validate_every : int
        Length, fields a step over all workers, fields between readings.
    generator_widths, discriminator_widths : tuple of int
        Channels from fine to coarse, the first on the full grid, and on half of it.
    predictor_width, predictor_images : int
        Channels of the network that predicts the mean, and fields shown to it before the game; 0 for none.
    learning_rate, gamma, gamma_statistics : float
        As in the recipe.
    density_scale : float
        rho_s of the training space [mean density].
    density_max : float
        Largest density of all training fields [mean density].
    average_half_life : float
        Of the averaged weights [fields].
    seed : int
        Of weights, noise and data order.
    threads : int
        CPU threads of each worker.
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: where all processors have it.
    tolerance : dict of str to float
        Of the verdict; readings are scored in units of it.
    k_max : float
        Largest wavenumber judged [Nyquist wavenumber].
    theory : Theory
        Spectra at all parameters of the data.
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
    predictor_width: int
    predictor_images: int
    learning_rate: float
    gamma: float
    gamma_statistics: float
    density_scale: float
    density_max: float
    average_half_life: float
    seed: int
    threads: int
    precision: str
    tolerance: dict[str, float]
    k_max: float
    theory: Theory
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

    def due(self, shown: int, every: int) -> bool:
        """Return whether the step that ended after so many fields crossed a multiple of `every`."""
        return shown // every > (shown - self.batch) // every

    def write(self) -> Path:
        """Write ``training.json`` and ``theory.safetensors``; return the path of the former."""
        path = Path(self.folder) / "training.json"
        make_folder(path.parent)
        save(path.with_name(THEORY), *pack_theory(self.theory))
        write_json(path, {name: value for name, value in asdict(self).items() if name != "theory"})
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
            content["theory"] = unpack_theory(*load(path.with_name(THEORY)))
            return cls(**content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path}: no plan of a training ({error}); train anew") from error
