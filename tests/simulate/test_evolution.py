"""Laws of the particle-mesh code."""

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan import cosmology as theory
from cosmogan import initial, mesh
from cosmogan.cosmology import Cosmology
from cosmogan.errors import RecipeError
from cosmogan.simulate import evolution
from cosmogan.simulate.evolution import Evolution, evolve, evolve_modes

FLAT = Cosmology(Omega_m=1.0)
UNIVERSE = Cosmology()
SMALL = Evolution(box_size=32.0, particles=16, mesh=16, steps=4, redshifts=(0.0, 1.0))


def spectrum(k):
    """Return a spectrum with the look of the linear one: sigma_8 is about 0.8."""
    x = k / 0.02
    return 8e4 * x / (1 + x**2) ** 1.25 / (1 + k)


def faint(k):
    return 1e-4 * spectrum(k)


def moved(snapshot, settings):
    """Return the displacements from the lattice, (n, 3)."""
    start = initial.lattice(settings.particles, settings.box_size)
    way = snapshot.positions.astype(np.float64) - start
    return way - settings.box_size * np.rint(way / settings.box_size)


def divergence_modes(displacement, settings):
    """Return -div(displacement) in Fourier space: the linear density of linear displacements."""
    shape = (settings.particles,) * 3
    k = mesh.wavenumbers(settings.particles, settings.box_size)
    return sum(
        -1j * k[axis] * scipy.fft.rfftn(displacement[:, axis].reshape(shape)) for axis in range(3)
    )


def spectra(one, other, box_size, grid=64):
    """Return P ratio and correlation of two sets of particles up to 1/8, 1/4, 1/2 k_Ny of 64."""
    a, b = (scipy.fft.rfftn(mesh.paint(s.positions, grid, box_size, "tsc")) for s in (one, other))
    n = np.sqrt(sum(c**2 for c in mesh.frequencies(grid)))
    edges = [0.5, grid / 16, grid / 8, grid / 4]
    aa, bb, ab = (
        np.histogram(n, edges, weights=(x * y.conj()).real)[0] for x, y in ((a, a), (b, b), (a, b))
    )
    return aa / bb, ab / np.sqrt(aa * bb)


@pytest.mark.parametrize(("cells", "tolerance"), [(32, 0.015), (64, 0.03)])
@pytest.mark.parametrize("wave", [(1, 0, 0), (0, 0, 1), (1, 2, 0)])
def test_a_plane_wave_follows_zeldovich_until_it_breaks(cells, tolerance, wave):
    """The solution is exact in one dimension before particles cross, here to 60 % of the way."""
    run = Evolution(box_size=64.0, particles=32, mesh=cells, steps=20)
    k = np.array(wave) * 2 * np.pi / 64.0
    corners = np.stack(np.meshgrid(*[np.arange(32) * 2.0] * 3, indexing="ij"), axis=-1)
    modes = scipy.fft.rfftn(0.6 * np.cos(corners @ k)).astype(np.complex64)
    (snapshot,) = evolve_modes(FLAT, modes, run)
    amplitude = 0.6 * k / (k @ k)
    expected = -np.sin(initial.lattice(32, 64.0) @ k)[:, None] * amplitude
    error = np.abs(moved(snapshot, run) - expected).max()
    assert error < tolerance * np.linalg.norm(amplitude)


@pytest.mark.parametrize("cells", [32, 64])
def test_faint_structure_grows_as_the_growth_factor(cells):
    """All modes below 1/8 of the Nyquist wavenumber to 0.1 %; second order cancels in the pair."""
    run = Evolution(box_size=64.0, particles=32, mesh=cells, redshifts=(1.0, 0.0))
    pair = [evolve(UNIVERSE, 1, run, faint, fixed=True, paired=turned) for turned in (False, True)]
    linear = initial.linear_modes(1, 32, 64.0, faint, fixed=True)
    linear = mesh.at_cell_centres(linear, 32)
    n = np.sqrt(sum(c**2 for c in mesh.frequencies(32)))
    large = (n > 0) & (n < 2.01)
    for one, other in zip(*pair, strict=True):
        grown = divergence_modes(moved(one, run) - moved(other, run), run) / 2
        growth = theory.growth_factor(UNIVERSE, 1 / (1 + one.redshift))
        ratio = grown[large] / (linear[large] * growth)
        np.testing.assert_allclose(np.abs(ratio), 1, atol=2e-3)
        np.testing.assert_allclose(ratio.imag, 0, atol=2e-3)
        mean = moved(one, run) + moved(other, run)
        assert mean.std() < 0.02 * (moved(one, run) - moved(other, run)).std()


def test_velocities_are_those_of_linear_theory():
    """v = a H f times the displacement, in km/s."""
    run = Evolution(box_size=64.0, particles=32, mesh=32, redshifts=(1.0,))
    (snapshot,) = evolve(UNIVERSE, 1, run, faint)
    rate = 100 * 0.5 * theory.hubble(UNIVERSE, 0.5) * theory.growth_rate(UNIVERSE, 0.5)
    expected = rate * moved(snapshot, run)
    slope = (snapshot.velocities * expected).sum() / (expected**2).sum()
    assert slope == pytest.approx(1, abs=0.01)  # small scales lag on the mesh


@pytest.mark.parametrize(("cells", "tolerance"), [(32, 0.02), (64, 0.1)])
def test_the_second_order_grows_as_it_should(cells, tolerance):
    """Half the sum of a box and its turned partner is D2 psi2 to leading order."""
    run = Evolution(box_size=320.0, particles=32, mesh=cells, steps=5)

    def smooth(k):
        return spectrum(k) * np.exp(-((k / 0.06) ** 2)) * 0.1

    half = sum(
        moved(next(evolve(UNIVERSE, 2, run, smooth, paired=turned)), run) / 2
        for turned in (False, True)
    )
    _, second = initial.displacements(initial.linear_modes(2, 32, 320.0, smooth), 320.0)
    factor = float(theory.second_order_growth(UNIVERSE, 1.0))
    slope = (half * second).sum() / (second.astype(np.float64) ** 2).sum()
    assert slope == pytest.approx(factor, rel=tolerance)


def test_the_kick_keeps_to_zeldovich_in_the_limit_of_small_steps():
    """In the limit alpha is 1 - 3/2 Omega_m / f^2 dD / D: the equation of motion in D."""
    a = np.array([0.3, 0.3003, 0.5, 0.5005, 0.9, 0.9009])
    growth = theory.growth_factor(UNIVERSE, a)
    friction = 1.5 * theory.omega_m_at(UNIVERSE, a) / theory.growth_rate(UNIVERSE, a) ** 2
    expected = friction[::2] * (growth[1::2] - growth[::2]) / growth[::2]
    found = 1 - evolution.kick_factors(UNIVERSE, a)[::2]
    np.testing.assert_allclose(found, expected, rtol=3e-3)


def test_twenty_steps_are_enough():
    base = {"box_size": 64.0, "particles": 32, "mesh": 32}
    few = next(evolve(UNIVERSE, 5, Evolution(**base, steps=20), spectrum))
    many = next(evolve(UNIVERSE, 5, Evolution(**base, steps=80), spectrum))
    ratio, correlation = spectra(few, many, 64.0)
    np.testing.assert_allclose(ratio, 1, atol=0.01)
    assert (correlation > 0.999).all()


@pytest.mark.slow
def test_the_default_agrees_with_four_times_the_steps_on_twice_the_mesh():
    base = {"box_size": 100.0, "particles": 64}
    default = next(evolve(UNIVERSE, 5, Evolution(**base, mesh=64), spectrum))
    finest = next(evolve(UNIVERSE, 5, Evolution(**base, mesh=128, steps=80), spectrum))
    ratio, correlation = spectra(default, finest, 100.0, grid=128)
    np.testing.assert_allclose(ratio[:1], 1, atol=0.03)
    assert correlation[0] > 0.99


@pytest.mark.parametrize("cells", [8, 16, 32])
def test_momentum_is_conserved_and_particles_stay_in_the_box(cells):
    run = Evolution(box_size=32.0, particles=16, mesh=cells, steps=10)
    (snapshot,) = evolve(UNIVERSE, 3, run, spectrum)
    assert snapshot.positions.shape == snapshot.velocities.shape == (16**3, 3)
    assert snapshot.positions.dtype == np.float32
    assert (snapshot.positions >= 0).all()
    assert (snapshot.positions < 32.0).all()
    drift = snapshot.velocities.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(drift / snapshot.velocities.std(), 0, atol=1e-6)


def test_same_seed_same_bits_whatever_the_threads():
    run = Evolution(box_size=40.0, particles=18, mesh=18, steps=5)
    alone = next(evolve(UNIVERSE, 4, run, spectrum))
    for threads in (1, 2, 3):
        other = next(evolve(UNIVERSE, 4, run, spectrum, threads=threads))
        np.testing.assert_array_equal(other.positions, alone.positions)
        np.testing.assert_array_equal(other.velocities, alone.velocities)
    stranger = next(evolve(UNIVERSE, 5, run, spectrum))
    assert not np.array_equal(stranger.positions, alone.positions)


def test_snapshots_are_the_callers_own():
    untouched = list(evolve(UNIVERSE, 1, SMALL, spectrum))
    for snapshot, expected in zip(evolve(UNIVERSE, 1, SMALL, spectrum), untouched, strict=True):
        np.testing.assert_array_equal(snapshot.positions, expected.positions)
        snapshot.positions[:] = snapshot.velocities[:] = 7
    assert [s.redshift for s in untouched] == [1.0, 0.0]


@settings(max_examples=30, deadline=None)
@given(
    redshifts=st.lists(st.floats(0, 18.9).map(lambda z: round(z, 2)), min_size=1, max_size=6),
    spare=st.integers(0, 20),
)
def test_the_schedule_lands_on_every_redshift(redshifts, spare):
    steps = len(set(redshifts)) + spare
    run = Evolution(box_size=1.0, steps=steps, redshifts=tuple(redshifts))
    schedule = evolution.schedule(UNIVERSE, run)
    assert len(schedule) == steps
    due = [step.redshift for step in schedule if step.redshift is not None]
    assert due == sorted(set(redshifts), reverse=True)
    growth = theory.growth_factor(UNIVERSE, 1 / 20)
    for step in schedule:
        assert step.half > 0
        assert step.keep < 1
        growth += 2 * step.half
        if step.redshift is not None:
            expected = theory.growth_factor(UNIVERSE, 1 / (1 + step.redshift))
            assert growth == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh": 24}, "multiple of the other"),
        ({"particles": 4, "mesh": 4}, "8 or more"),
        ({"redshifts": ()}, "at least one"),
        ({"redshifts": (-0.5,)}, "none negative"),
        ({"redshifts": (25.0,)}, "below start_redshift"),
        ({"steps": 1, "redshifts": (0.0, 1.0)}, "one step for each"),
    ],
)
def test_a_run_that_cannot_be_is_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Evolution(**{"box_size": 10.0, "particles": 16, "mesh": 16} | changes)
