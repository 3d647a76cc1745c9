"""Small networks in a small universe; one thread, since the cores may be busy."""

import numpy as np
import pytest
import torch

from cosmogan.fields.scaling import Scaling
from cosmogan.models.discriminator import Discriminator, DiscriminatorShape
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.theory import Theory
from cosmogan.statistics.pdf import smooth


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def scaling():
    return Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=200.0)


@pytest.fixture(scope="session")
def make_clumps():
    """Return a function that makes lognormal fields (n, N, ...), smooth over some cells."""

    def make(count, grid, dimension, *, height, radius):
        noise = np.random.default_rng(0).standard_normal((count, *(grid,) * dimension))
        waves = height * smooth(noise, radius, axes=range(1, dimension + 1))
        return torch.from_numpy(np.exp(waves)).float()

    return make


@pytest.fixture(scope="session")
def randomise():
    """Return a function that gives every parameter of a network, also those at zero, a value."""

    def fill(module, *, scale=0.3, seed=5):
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                fan_in = max(parameter[0].numel() if parameter.ndim > 1 else 1, 1)
                noise = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
                parameter.copy_(noise * (scale / fan_in**0.5))
        return module

    return fill


@pytest.fixture(scope="session")
def make_generator(scaling, randomise):
    def make(widths=(6, 6), *, dimension=2, random=True, scale=0.8, **others):
        torch.manual_seed(1)
        shape = GeneratorShape(dimension=dimension, widths=widths, **others)
        generator = Generator(shape, scaling)
        return randomise(generator, scale=scale) if random else generator

    return make


@pytest.fixture(scope="session")
def make_discriminator(scaling, randomise):
    def make(
        grid=8, widths=(4, 6), *, dimension=2, conditions=0, latents=0, guides=None, random=True
    ):
        torch.manual_seed(2)
        shape = DiscriminatorShape(
            dimension=dimension,
            grid=grid,
            widths=widths,
            conditions=conditions,
            latents=latents,
            guides=min(latents, 1) if guides is None else guides,
        )
        discriminator = Discriminator(shape, scaling)
        return randomise(discriminator, scale=0.7) if random else discriminator

    return make


@pytest.fixture(scope="session")
def make_fields():
    """Return a function that makes fields (n, 1, N, ...) in training space, well inside its range."""

    def make(count=3, grid=8, dimension=2, *, seed=0, dtype=torch.float32):
        random = torch.Generator().manual_seed(seed)
        fields = torch.randn((count, 1, *(grid,) * dimension), generator=random)
        return (0.5 * fields + 0.2).to(dtype)

    return make


@pytest.fixture(scope="session")
def make_theory():
    """Return a function that makes spectra of a falling power law with a turn-over."""

    def make(parameters=((0.3, 0.0),), *, dimension=2, cell_size=4.0, thickness=2, window="cic"):
        k = np.geomspace(1e-4, 50, 400)
        shape = k / 0.02 / (1 + (k / 0.02) ** 2) ** 1.5
        table = np.array(parameters, dtype=np.float64)
        linear = 2.0e4 * (table[:, :1] / 0.3) * shape
        return Theory(
            dimension=dimension,
            cell_size=cell_size,
            thickness=thickness,
            window=window,
            names=("Omega_m", "redshift"),
            parameters=table,
            k=k,
            power=linear / (1 + table[:, 1:]) ** 2,
            linear=linear,
        )

    return make


@pytest.fixture(scope="session")
def theory(make_theory):
    return make_theory()
