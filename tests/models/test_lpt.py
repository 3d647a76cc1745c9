"""The second-order latent is cut from boxes, and knows the simulations whose seeds it is given."""

import numpy as np
import pytest

from cosmogan.cosmology import Cosmology, linear_power
from cosmogan.fields.cut import cut_box
from cosmogan.fields.layout import ORIGIN_DTYPE
from cosmogan.initial import crossing_radius, displaced_density, displaced_matter, linear_modes
from cosmogan.models import displaced as module
from cosmogan.models.displaced import SLABS, LptLatent
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.lognormal import GaussianLatent
from cosmogan.models.seeds import derive_seed
from cosmogan.models.theory import Theory
from cosmogan.simulate.evolution import Evolution, evolve
from cosmogan.simulate.run import Cut, cut_fields

EPOCHS = ((0.3, 0.0), (0.3, 1.0))


def fields_of_a_box(grid, thickness):
    return 3 * min(SLABS, grid // thickness)


# Where its fields come from


@pytest.mark.parametrize(("grid", "thickness"), [(16, 2), (16, 16), (32, 1), (40, 2), (48, 1)])
def test_a_box_gives_each_of_its_slices_once_and_evenly(make_theory, grid, thickness):
    latent = LptLatent(make_theory(thickness=thickness), grid)
    size, slabs = fields_of_a_box(grid, thickness), grid // thickness
    origin = latent.origins(5, range(3 * size))
    assert origin.dtype == ORIGIN_DTYPE
    np.testing.assert_array_equal(origin["simulation"], origin["seed"])
    for box in range(3):
        of_box = origin[box * size : (box + 1) * size]
        assert set(of_box["seed"].tolist()) == {derive_seed(5, box, 6)}
        assert len(set(of_box.tolist())) == size
        for axis in range(3):
            found = of_box["slab"][of_box["axis"] == axis]
            assert len(found) == size // 3
            assert 0 <= found.min() <= found.max() < slabs
            gaps = np.diff([*found, found[0] + slabs])
            assert np.ptp(gaps) <= 1, "evenly around the box"
    assert len(set(origin["seed"].tolist())) == 3


def test_every_cube_is_a_box_of_its_own(make_theory):
    origin = LptLatent(make_theory(dimension=3), 8).origins(5, range(20))
    assert len(set(origin["simulation"].tolist())) == 20
    assert set(origin["axis"].tolist()) == set(origin["slab"].tolist()) == {-1}


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_origin_of_a_field_does_not_depend_on_its_company(make_theory, kind, dimension):
    latent = make_latent(LatentShape(kind=kind), make_theory(dimension=dimension), 8)
    together = latent.origins(5, range(60))
    numbers = [59, 3, 24, 3]
    np.testing.assert_array_equal(latent.origins(5, numbers), together[numbers])
    assert not set(latent.origins(6, range(60)).tolist()) & set(together.tolist())


def test_boxes_have_other_seeds_than_the_noise_of_fields(make_theory):
    """A box and the noise of a field of the same number must have nothing in common."""
    boxes = set(LptLatent(make_theory(dimension=3), 8).origins(5, range(300))["seed"].tolist())
    assert not boxes & {derive_seed(5, k) for k in range(300)}


def test_a_kind_has_its_class(theory):
    assert isinstance(make_latent(LatentShape(kind="lpt"), theory, 16), LptLatent)
    assert isinstance(make_latent(LatentShape(kind="gaussian"), theory, 16), GaussianLatent)


# What its fields are


def cut_by_hand(theory, grid, seed, row):
    power, growth, box_size = theory.linear_power(row), theory.growth(row), grid * theory.cell_size
    modes = linear_modes(seed, grid, box_size, power)
    radius = crossing_radius(power, growth[0])
    density = displaced_density(modes, box_size, growth, radius=radius, window=theory.window)
    return cut_box(density, theory.dimension, theory.thickness)


@pytest.mark.parametrize(("dimension", "window"), [(2, "cic"), (2, "tsc"), (3, "pcs")])
@pytest.mark.parametrize("row", [0, 1])
def test_a_field_is_a_slice_of_the_displaced_box_of_its_seed(make_theory, dimension, window, row):
    theory = make_theory(EPOCHS, dimension=dimension, window=window)
    samples, where = cut_by_hand(theory, 16, 9, row)
    where["seed"] = 9
    found = LptLatent(theory, 16).density(where, [row] * len(where))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_a_slice_is_seen_with_the_slabs_beside_it(make_theory, neighbours):
    """Around the periodic box, the nearest first, and the slice itself before all."""
    theory = make_theory(thickness=2)
    latent = LptLatent(theory, 16, neighbours)
    samples, where = cut_by_hand(theory, 16, 9, 0)
    where["seed"] = 9
    views = latent.views(where, [0] * len(where))
    assert views.shape == (len(where), latent.channels, 16, 16)
    assert latent.channels == 1 + 2 * neighbours
    np.testing.assert_array_equal(views[:, 0], latent.density(where, [0] * len(where)))
    by_axis = samples.reshape(3, latent.slabs, 16, 16)
    for away in range(1, neighbours + 1):
        for side, channel in ((-1, 2 * away - 1), (1, 2 * away)):
            beside = np.roll(by_axis, -side * away, axis=1).reshape(samples.shape)
            np.testing.assert_array_equal(views[:, channel], beside)


@pytest.mark.parametrize("neighbours", [0, 1])
def test_what_matter_carries_follows_the_densities_slab_by_slab(make_theory, neighbours):
    theory, radii = make_theory(thickness=2), (0.5, 2.0)
    latent = LptLatent(theory, 16, neighbours, radii)
    where = latent.origins(3, range(24))
    views = latent.views(where, [0] * 24)
    assert (latent.densities, latent.channels) == (1 + 2 * neighbours, 3 + 6 * neighbours)
    assert views.shape[1] == latent.channels
    plain = LptLatent(theory, 16, neighbours).views(where, [0] * 24)
    np.testing.assert_array_equal(views[:, : latent.densities], plain)
    matter = displaced_matter(
        linear_modes(int(where["seed"][0]), 16, 64.0, theory.linear_power(0)),
        64.0,
        theory.growth(0),
        radius=crossing_radius(theory.linear_power(0), theory.growth(0)[0]),
        carried=[4 * radius for radius in radii],
        window=theory.window,
    )
    for number, value in enumerate(matter[1:], 1):
        expected = cut_box(value, 2, 2)[0]
        np.testing.assert_array_equal(views[:, number * latent.densities], expected)


def test_a_plain_displacement_is_that_of_its_order(make_theory):
    theory = make_theory()
    modes = linear_modes(9, 16, 64.0, theory.linear_power(0))
    first, second = theory.growth(0)
    _, where = cut_by_hand(theory, 16, 9, 0)
    where["seed"] = 9
    found = {}
    for displacement, growth in (("zeldovich", (first, 0.0)), ("2lpt", (first, second))):
        latent = LptLatent(theory, 16, displacement=displacement)
        found[displacement] = latent.density(where, [0] * len(where))
        expected = cut_box(displaced_density(modes, 64.0, growth, window=theory.window), 2, 2)[0]
        np.testing.assert_array_equal(found[displacement], expected)
    found["augmented"] = LptLatent(theory, 16).density(where, [0] * len(where))
    variances = [found[name].var() for name in ("2lpt", "zeldovich", "augmented")]
    assert len(set(variances)) == 3


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
def test_nothing_lies_beside_a_cube_or_a_lognormal_field(make_theory, kind):
    latent = make_latent(LatentShape(kind=kind, neighbours=2), make_theory(dimension=3), 8)
    origin = latent.origins(3, [0, 1])
    assert latent.channels == 1
    views = latent.views(origin, [0, 0])
    np.testing.assert_array_equal(views, latent.density(origin, [0, 0])[:, None])


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("room", [2**30, 0])
def test_a_field_does_not_depend_on_its_company(make_theory, monkeypatch, dimension, room):
    """Also where the boxes do not fit into memory and are made again."""
    monkeypatch.setattr(module, "MEMORY", room)
    theory = make_theory(EPOCHS, dimension=dimension)
    latent = LptLatent(theory, 8)
    numbers = [0, 70, 13, 200, 13, 90, 130, 0]
    rows = [0, 1, 0, 1, 1, 0, 0, 1]
    origin = latent.origins(3, numbers)
    together = latent.density(origin, rows)
    backwards = latent.density(origin[::-1], rows[::-1])
    np.testing.assert_array_equal(backwards[::-1], together)
    for place, row in enumerate(rows):
        alone = LptLatent(theory, 8).density(origin[place : place + 1], [row])
        assert alone[0].tobytes() == together[place].tobytes()


def test_what_was_handed_out_may_be_changed(theory):
    latent = LptLatent(theory, 8)
    origin = latent.origins(3, [4])
    first = latent.density(origin, [0])
    kept = first.copy()
    first[:] = -1
    np.testing.assert_array_equal(latent.density(origin, [0]), kept)


def test_an_earlier_epoch_has_the_same_waves_and_less_contrast(make_theory):
    latent = LptLatent(make_theory(EPOCHS), 16)
    origin = latent.origins(3, range(24))
    late, early = (latent.density(origin, [row] * 24) for row in (0, 1))
    assert shell_agreement(late, early)[:3].min() > 0.97
    assert early.std() < 0.8 * late.std()


# The simulations


def shell_agreement(one, other):
    """Correlation coefficient of slices (n, N, N) with others, shell by shell up to half a grid."""
    grid = one.shape[-1]
    lines = np.meshgrid(np.fft.fftfreq(grid, 1 / grid), np.arange(grid // 2 + 1), indexing="ij")
    shell = np.rint(np.hypot(*lines)).astype(int).ravel()
    modes = [np.fft.rfft2(fields - 1.0) for fields in (one, other)]

    def total(a, b):
        return np.bincount(shell, (a * b.conj()).real.sum(0).ravel())[1 : grid // 2]

    return total(*modes) / np.sqrt(total(modes[0], modes[0]) * total(modes[1], modes[1]))


GRID, SIDE, SEED = 32, 128.0, 7


@pytest.fixture(scope="module")
def simulated():
    """Slices of a simulation (2, n, N, N) at two redshifts, their origins, and what theory knows."""
    cosmology = Cosmology()
    power = linear_power(cosmology)
    epochs = np.array([[*cosmology.parameters().values(), z] for z in (1.0, 0.0)])
    settings = Evolution(box_size=SIDE, particles=32, mesh=32, steps=8, redshifts=(1.0, 0.0))
    cut = Cut(dimension=2, grid=GRID, thickness=2, window="cic")
    boxes = [cut_fields(s, SIDE, cut) for s in evolve(cosmology, SEED, settings, power)]
    table = np.tile(power.power, (2, 1))
    theory = Theory(
        dimension=2,
        cell_size=SIDE / GRID,
        thickness=2,
        window="cic",
        names=(*cosmology.parameters(), "redshift"),
        parameters=epochs,
        k=power.k,
        power=table,
        linear=table,
    )
    origin = boxes[0][1]
    origin["simulation"] = origin["seed"] = SEED
    return np.stack([fields for fields, _ in boxes]), origin, theory


@pytest.mark.parametrize("row", [0, 1])
def test_the_latent_knows_the_simulation_of_its_seed_and_no_other(simulated, row):
    fields, origin, theory = simulated
    latent, rows = LptLatent(theory, GRID), [row] * len(origin)
    own = shell_agreement(fields[row], latent.density(origin, rows))
    assert own[:8].min() > 0.9, "up to half the Nyquist wavenumber"
    assert own[:3].min() > 0.97
    stranger = origin.copy()
    stranger["seed"] = SEED + 1
    other = shell_agreement(fields[row], latent.density(stranger, rows))
    assert np.abs(other[:8]).max() < 0.3


def test_the_latent_lies_exactly_over_the_simulation(simulated):
    """The best shift along either axis is less than a tenth of a cell."""
    fields, origin, theory = simulated
    latent = LptLatent(theory, GRID).density(origin, [1] * len(origin))
    for axis in (1, 2):
        before, here, after = (
            np.corrcoef(np.roll(latent, shift, axis).ravel(), fields[1].ravel())[0, 1]
            for shift in (-1, 0, 1)
        )
        top = (before - after) / (before - 2 * here + after) / 2  # of the parabola through three
        assert here > max(before, after)
        assert abs(top) < 0.1


def test_a_slice_of_another_place_is_another_slice(simulated):
    """Axes and slabs are those of the simulation: no other slice fits as well."""
    fields, origin, theory = simulated
    latent = LptLatent(theory, GRID).density(origin, [1] * len(origin))
    table = np.corrcoef(fields[1].reshape(48, -1), latent.reshape(48, -1))[:48, 48:]
    np.testing.assert_array_equal(table.argmax(axis=0), np.arange(48))
    np.testing.assert_array_equal(table.argmax(axis=1), np.arange(48))


@pytest.mark.parametrize("row", [0, 1])
def test_the_largest_waves_are_as_high_as_in_the_simulation(simulated, row):
    """Growth and amplitude are the simulation's, to a tenth; slabs are laid over each other."""
    fields, origin, theory = simulated
    latent = LptLatent(theory, GRID).density(origin, [row] * len(origin))
    shadows = [x.reshape(3, GRID // 2, GRID, GRID).mean(axis=1) for x in (latent, fields[row])]
    n = np.hypot(*np.meshgrid(np.fft.fftfreq(GRID, 1 / GRID), np.arange(GRID // 2 + 1))).T
    power = [(np.abs(np.fft.rfft2(x - 1.0)) ** 2)[:, n < 4].sum() for x in shadows]
    assert power[0] / power[1] == pytest.approx(1, abs=0.1)
