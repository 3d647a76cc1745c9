"""The lines of theory: they are of the kind of the fields, and where nothing is known there is none."""

from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare.theory import COSMOLOGY, directions, expected_power
from cosmogan.cosmology import Cosmology, linear_power, nonlinear_power
from cosmogan.statistics.table import Statistic, StatisticsTable

K = np.array([0.1, 0.3, 0.6])
WINDOW = 1 - (0.5 * K) ** 2 / 6
VALUES = (0.3, 0.05, 0.7, 0.96, 0.8, 0.5)


def table(dimension=3, cell_size=0.5, **changes):
    box_size = 256 * cell_size
    power = Statistic(
        name="power",
        coordinate=K,
        samples=np.ones((2, K.size)),
        weight=np.ones(K.size),
        label="P(k)",
        unit="",
        coordinate_label="k",
        coordinate_unit="h/Mpc",
    )
    content = {
        "source": "test",
        "source_sha256": "",
        "attributes": {
            "dimension": dimension,
            "cell_size": cell_size,
            "thickness": box_size if dimension == 3 else 4 * cell_size,
            "mass_assignment": "cic",
        },
        "origin": np.zeros(2, [("simulation", "<i8")]),
        "parameters": np.array([VALUES, VALUES]),
        "parameter_names": (*COSMOLOGY, "redshift"),
        "statistics": {"power": power},
    }
    return StatisticsTable(**content | changes)


def test_fine_cubes_see_the_spectra_of_camb():
    """W^2 of CIC is 1 - (k cell)^2 / 6 to leading order, in any direction; 0.3 % is the next one."""
    found = expected_power(table())
    cosmology = Cosmology(**dict(zip(COSMOLOGY, VALUES[:-1], strict=True)))
    for name, make in (("linear", linear_power), ("HMcode2020", nonlinear_power)):
        k, power = found[name]
        np.testing.assert_array_equal(k, K)
        np.testing.assert_allclose(power, make(cosmology, 0.5)(K) * WINDOW, rtol=3e-3)


def test_thicker_slices_have_less_power_and_that_of_a_line_of_sight_integral():
    """A mean over planes sees int dk_z / 2 pi P |sum exp(i k_z z) / planes|^2, and the cells' window."""
    power = {}
    for cells in (4, 16):
        attributes = {**table(2).attributes, "thickness": cells * 0.5}
        power[cells] = expected_power(table(2, attributes=attributes))["HMcode2020"][1]
        spectrum = nonlinear_power(Cosmology(**dict(zip(COSMOLOGY, VALUES[:-1], strict=True))), 0.5)
        z = (np.arange(40_000) + 0.5) * 5e-4
        planes = np.exp(0.5j * np.outer(np.arange(cells), z)).mean(axis=0)
        # 0.6 % is the step of its integral over thick slabs
        slab = np.abs(planes) ** 2 * np.sinc(z * 0.5 / (2 * np.pi)) ** 4
        expected = [np.sum(spectrum(np.hypot(k, z)) * slab) * 5e-4 / np.pi for k in K]
        np.testing.assert_allclose(power[cells], WINDOW * expected, rtol=8e-3)
    assert (power[16] < power[4]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"parameter_names": (), "parameters": np.empty((2, 0))},
        {"parameters": np.array([VALUES, (0.2, *VALUES[1:])])},
        {"statistics": {}},
        {"attributes": {**table().attributes, "mass_assignment": "none"}},
    ],
)
def test_where_nothing_is_known_there_is_no_line(changes):
    assert expected_power(replace(table(), **changes)) == {}


@pytest.mark.parametrize("dimension", [2, 3])
def test_directions_are_of_unit_length_and_without_preference(dimension):
    """The mean of x^4 + y^4 (+ z^4) over directions is 3/4, and 3/5 in space."""
    rays = np.array(directions(dimension))
    np.testing.assert_allclose((rays**2).sum(axis=1), 1)
    mean = (rays**4).sum(axis=1).mean()
    assert mean == pytest.approx({2: 3 / 4, 3: 3 / 5}[dimension], rel=0.02)
