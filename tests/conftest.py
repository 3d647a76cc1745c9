"""What all tests share: one Ray cluster, a tiny universe on disk, a clean environment."""

import os
from pathlib import Path

import numpy as np
import pytest

_FOREIGN = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "SOURCE_DATE_EPOCH")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """No test meets the cluster, the token or the clock of whoever runs it, nor a screen."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _FOREIGN:
            patch.delenv(name, raising=False)
        patch.setenv("MPLBACKEND", "Agg")
        yield


@pytest.fixture(autouse=True)
def _leaves_no_trace_in_the_environment():
    """A variable that one test sets must not reach the next."""
    before = dict(os.environ)
    yield
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


@pytest.fixture(scope="session")
def ray_session():
    """The one Ray cluster of all tests; `ray_cluster` inside a test uses it and leaves it running."""
    from cosmogan.session import ray_cluster

    with ray_cluster(cpus=2):
        yield


@pytest.fixture(scope="session")
def make_universe():
    """Return a function that writes a small data set of random slices, or cubes."""
    from cosmogan.fields import store
    from cosmogan.fields.layout import ORIGIN_DTYPE, Layout, MadeBy

    def make(path, *, shards=3, rows=4, first=0, seed=0, finish=True, **changes):
        shape = {"dimension": 2, "grid": 8, "box_size": 16.0, "thickness": 4.0} | changes
        layout = Layout(
            mass_assignment="cic", particles=8, parameter_names=("Omega_m", "redshift"), **shape
        )
        made_by = MadeBy(version="1", command="test", recipe="seed = 1\n", time="now")
        store.create_folder(path, layout, made_by, shards, identity="tiny")
        for number in store.missing_shards(path):
            random = np.random.default_rng([seed, number])
            fields = np.exp(random.standard_normal((rows, *layout.shape)) - 0.5)
            parameters = np.column_stack([np.full(rows, 0.3), np.arange(rows)])
            origin = np.zeros(rows, ORIGIN_DTYPE)
            origin["simulation"] = origin["seed"] = first + number
            origin["slab"], origin["fixed"] = np.arange(rows), layout.fixed
            store.write_shard(path, number, fields, parameters, origin)
        return store.finish_folder(path) if finish else None

    return make


@pytest.fixture(scope="session")
def universe(tmp_path_factory, make_universe):
    """A data set of 3 shards with 4 slices of 8 x 8 cells each; not to be changed."""
    return make_universe(tmp_path_factory.mktemp("universe") / "tiny.fields")


@pytest.fixture
def fields_folder(tmp_path, make_universe) -> Path:
    """The folder of such a data set, to be changed at will."""
    return make_universe(tmp_path / "tiny.fields").path
