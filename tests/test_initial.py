"""Laws of the initial conditions."""

import numpy as np
import pytest
import scipy.fft
from scipy.integrate import quad
from scipy.ndimage import map_coordinates
from scipy.special import gamma

from cosmogan import initial, mesh
from cosmogan.errors import RecipeError

BOX = 100.0


def spectrum(k):
    return 50 * (0.1 / np.maximum(k, 1e-9))


def band_limited(k):
    return np.where(k < 2 * np.pi / BOX * 5, spectrum(k), 0)


def modes_of(field):
    """Return modes whose phases count from the corner, of a field given at centres of cells."""
    grid = len(field)
    modes = scipy.fft.rfftn(field)
    return np.conj(mesh.at_cell_centres(np.conj(modes), grid)).astype(np.complex64)


def centres(grid):
    return np.meshgrid(*[(np.arange(grid) + 0.5) * BOX / grid] * 3, indexing="ij")


def test_modes_have_the_power_that_was_asked_for():
    grid = 32
    modes = initial.linear_modes(1, grid, BOX, spectrum)
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(grid, BOX)))
    inside = (k > 0) & (np.abs(modes) > 0)
    ratio = np.abs(modes[inside]) ** 2 * BOX**3 / grid**6 / spectrum(k[inside])
    assert ratio.mean() == pytest.approx(1, abs=5 / np.sqrt(inside.sum() / 2))
    assert ratio.std() == pytest.approx(1, rel=0.1)
    assert modes[0, 0, 0] == 0


def test_fixed_modes_have_no_scatter_and_the_same_phases():
    grid = 16
    free = initial.linear_modes(1, grid, BOX, spectrum)
    fixed = initial.linear_modes(1, grid, BOX, spectrum, fixed=True)
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(grid, BOX)))
    alive = np.abs(free) > 0
    power = np.abs(fixed[alive]) ** 2 * BOX**3 / grid**6
    np.testing.assert_allclose(power, spectrum(k[alive]), rtol=1e-5)
    turn = fixed[alive] / free[alive]
    np.testing.assert_allclose(np.angle(turn), 0, atol=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
def test_paired_modes_are_the_others_turned(fixed):
    one = initial.linear_modes(3, 12, BOX, spectrum, fixed=fixed)
    other = initial.linear_modes(3, 12, BOX, spectrum, fixed=fixed, paired=True)
    np.testing.assert_array_equal(one, -other)


def test_a_finer_lattice_samples_the_same_universe():
    """Of 16 and of 48 cells, every third centre is shared."""
    coarse = initial.density(initial.linear_modes(5, 16, BOX, band_limited))
    fine = initial.density(initial.linear_modes(5, 48, BOX, band_limited))
    np.testing.assert_allclose(fine[1::3, 1::3, 1::3], coarse, atol=1e-5)


def test_displacements_converge_with_the_lattice():
    coarse, fine = (
        [
            psi.reshape(grid, grid, grid, 3)
            for psi in initial.displacements(initial.linear_modes(5, grid, BOX, band_limited), BOX)
        ]
        for grid in (16, 48)
    )
    for order in (0, 1):
        scale = coarse[order].std()
        shared = fine[order][1::3, 1::3, 1::3]
        # The second order of 5 waves has up to 10, more than 16 cells hold.
        tolerance = 1e-5 if order == 0 else 0.3
        np.testing.assert_allclose(shared / scale, coarse[order] / scale, atol=tolerance)


def test_a_plane_wave_is_displaced_as_zeldovich_says():
    x, k = centres(16)[1], 2 * 2 * np.pi / BOX
    first, second = initial.displacements(modes_of(0.3 * np.cos(k * x + 1)), BOX)
    expected = -0.3 / k * np.sin(k * x + 1)
    np.testing.assert_allclose(first[:, 1], expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(first[:, [0, 2]], 0, atol=1e-5)
    np.testing.assert_allclose(second, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other"), [((2, 0, 0), (0, 0, 3)), ((1, 2, 0), (2, 1, -1)), ((1, 1, 1), (-2, 1, 3))]
)
def test_two_waves_displace_to_second_order(one, other):
    """S = ab (1 - cos^2) cos(kx) cos(qx), hence psi2 from the waves of sum and difference."""
    x = np.stack(centres(24), axis=-1)
    k, q = (2 * np.pi / BOX * np.array(n) for n in (one, other))
    delta = 0.3 * np.cos(x @ k) + 0.2 * np.cos(x @ q)
    _, second = initial.displacements(modes_of(delta), BOX)
    strength = 0.06 * (1 - (k @ q) ** 2 / (k @ k) / (q @ q))
    waves = [np.sin(x @ p)[..., None] * p / (p @ p) for p in (k + q, k - q)]
    expected = strength / 2 * sum(waves)
    np.testing.assert_allclose(second, expected.reshape(-1, 3), atol=1e-5)


def test_displacements_diverge_as_the_density_says():
    modes = initial.linear_modes(2, 16, BOX, spectrum)
    first, second = initial.displacements(modes, BOX)
    k = mesh.wavenumbers(16, BOX)

    def derivative(psi, axis, along):
        field = scipy.fft.rfftn(psi.reshape(16, 16, 16, 3)[..., axis].astype(float))
        return scipy.fft.irfftn(1j * k[along] * field, s=(16,) * 3)

    divergence = sum(derivative(first, axis, axis) for axis in range(3))
    np.testing.assert_allclose(divergence, -initial.density(modes), atol=1e-5)
    for psi in (first, second):  # and neither turns, nor has waves of two cells
        curl = derivative(psi, 0, 1) - derivative(psi, 1, 0)
        np.testing.assert_allclose(curl, 0, atol=1e-5)
        spectrum_of = np.abs(scipy.fft.rfftn(psi[:, 0].reshape(16, 16, 16)))
        assert max(spectrum_of[8].max(), spectrum_of[:, 8].max()) < 1e-6 * spectrum_of.max()


def test_the_lattice_stands_at_centres_of_cells():
    points = initial.lattice(5, BOX)
    np.testing.assert_allclose(points[[0, 1, 5, 25]] / BOX * 5, np.eye(4, 3, -1)[:, ::-1] + 0.5)


def test_threads_change_no_bit():
    modes = initial.linear_modes(4, 18, BOX, spectrum)
    alone = initial.displacements(modes, BOX)
    for threads in (2, 3):
        for one, other in zip(alone, initial.displacements(modes, BOX, threads), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_an_impossible_spectrum_is_refused(bad):
    with pytest.raises(RecipeError, match="power"):
        initial.linear_modes(1, 8, BOX, lambda k: np.full_like(k, bad))


# Displaced matter

GROWTH = (1.0, -3 / 7)


def like_cdm(k):
    return 2e4 * (k / 0.02) / (1 + (k / 0.02) ** 2) ** 1.3


def waves_of(psi):
    """Modes (3, grid, grid, grid // 2 + 1) of displacements in the order of the lattice."""
    grid = round((psi.size / 3) ** (1 / 3))
    return scipy.fft.rfftn(np.moveaxis(psi.reshape(grid, grid, grid, 3), 3, 0), axes=(1, 2, 3))


@pytest.mark.parametrize("growth", [(1.0, -0.43), (0.5, 0.2)])
def test_displacements_without_a_radius_are_of_second_order(growth):
    modes = initial.linear_modes(2, 12, BOX, like_cdm)
    first, second = initial.displacements(modes, BOX)
    found = initial.collapsed_displacements(modes, BOX, growth, 0.0)
    np.testing.assert_allclose(found, growth[0] * first + growth[1] * second, atol=1e-4)


def test_displacements_below_the_radius_are_those_of_spherical_collapse():
    """They diverge as a sphere of that density does, which stops where it has collapsed."""
    grid, growth = 16, 1.2
    modes = initial.linear_modes(2, grid, BOX, like_cdm)
    waves = waves_of(initial.collapsed_displacements(modes, BOX, (growth, 7.0), 1e4))
    k = mesh.wavenumbers(grid, BOX)
    divergence = scipy.fft.irfftn(1j * sum(c * w for c, w in zip(k, waves, strict=True)))
    delta = growth * initial.density(modes).astype(float)
    collapsed = delta > 1.5
    assert 0.01 < collapsed.mean() < 0.5
    expected = np.full(delta.shape, -3.0)
    expected[~collapsed] = 3 * np.sqrt(1 - 2 / 3 * delta[~collapsed]) - 3
    wanted = scipy.fft.rfftn(expected)
    wanted[0, 0, 0] = wanted[8] = wanted[:, 8] = wanted[:, :, 8] = 0  # no waves of two cells
    np.testing.assert_allclose(divergence, scipy.fft.irfftn(wanted), atol=1e-4)


@pytest.mark.parametrize("radius", [2.0, 8.0])
def test_the_radius_divides_the_waves_between_both(radius):
    modes = initial.linear_modes(2, 16, BOX, like_cdm)
    large, small, found = (
        waves_of(initial.collapsed_displacements(modes, BOX, GROWTH, r)) for r in (0.0, 1e4, radius)
    )
    share = np.exp(-0.5 * sum(c**2 for c in mesh.wavenumbers(16, BOX)) * radius**2)
    expected = share * large + (1 - share) * small
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(large).max())


def test_matter_that_does_not_overshoot_stays_in_its_clumps():
    """Where most has crossed, at the radius of crossing, there is more power in small waves."""
    modes = initial.linear_modes(2, 32, BOX, lambda k: 4 * like_cdm(k))
    radius = initial.crossing_radius(lambda k: 4 * like_cdm(k), 1.0)
    k = np.sqrt(sum(c**2 for c in mesh.wavenumbers(32, BOX)))
    sharp, blurred = (
        np.abs(scipy.fft.rfftn(initial.displaced_density(modes, BOX, GROWTH, radius=r))) ** 2
        for r in (radius, 0.0)
    )
    small, large = k > 0.6, (k > 0) & (k < 0.15)
    assert sharp[small].sum() > 1.2 * blurred[small].sum()
    assert sharp[large].sum() == pytest.approx(blurred[large].sum(), rel=0.05)


def agreement(one, other, shells):
    """Correlation coefficient of two fields, cubes of any grids, in the first shells of |n|."""
    half = shells + 1
    keep = np.arange(-half, half)
    low = np.ix_(keep, keep, range(half))
    modes = [modes_of(field - 1.0)[low] / field.size for field in (one, other)]
    n = np.sqrt(sum(x**2 for x in np.meshgrid(keep, keep, range(half), indexing="ij")))
    shell = np.rint(n).astype(int).ravel()

    def total(a, b):
        return np.bincount(shell, (a * b.conj()).real.ravel())[1 : shells + 1]

    return total(*modes) / np.sqrt(total(modes[0], modes[0]) * total(modes[1], modes[1]))


@pytest.mark.parametrize("radius", [0.0, 6.0])
@pytest.mark.parametrize("window", ["ngp", "cic", "tsc", "pcs"])
def test_displaced_matter_is_a_density(window, radius):
    modes = initial.linear_modes(6, 16, BOX, lambda k: 40 * spectrum(k))
    rho = initial.displaced_density(modes, BOX, GROWTH, radius=radius, window=window)
    assert (rho.shape, rho.dtype) == ((16,) * 3, np.float32)
    assert rho.min() >= 0
    assert rho.mean(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert rho.std() > 0.3, "it has contrast"


@pytest.mark.parametrize("radius", [0.0, 6.0])
@pytest.mark.parametrize("window", ["ngp", "cic", "tsc", "pcs"])
def test_matter_that_has_not_moved_is_uniform_to_the_last_bit(window, radius):
    """In a box of a power of two, where the lattice is exact."""
    modes = initial.linear_modes(6, 16, 64.0, spectrum)
    rho = initial.displaced_density(modes, 64.0, (0.0, 0.0), radius=radius, window=window)
    np.testing.assert_array_equal(rho, np.float32(1))


@pytest.mark.parametrize("radius", [0.0, 6.0])
def test_matter_that_has_hardly_moved_follows_linear_theory(radius):
    """Blurred by the window and by the interpolation, 3/4 cos(u/4) + 1/4 cos(3u/4) along an axis."""
    grid, growth = 32, 0.01
    modes = initial.linear_modes(6, grid, BOX, band_limited)
    rho = initial.displaced_density(modes, BOX, (growth, 0.0), radius=radius)
    k = mesh.wavenumbers(grid, BOX)
    blur = mesh.window_transform(k, BOX / grid, "cic")
    for u in (component * BOX / grid for component in k):
        blur = blur * (0.75 * np.cos(u / 4) + 0.25 * np.cos(3 * u / 4))
    expected = growth * scipy.fft.rfftn(initial.density(modes).astype(float)) * blur
    alive = np.abs(modes) > 0
    found, expected = scipy.fft.rfftn(rho.astype(float))[alive], expected[alive]
    ratio = np.vdot(expected, found) / np.vdot(expected, expected)
    assert ratio.real == pytest.approx(1, abs=0.01), "1 % is the square of the growth"
    rest = found - ratio * expected
    assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(found)
    assert blur[alive].min() < 0.9, "the blur counts"


def test_a_plane_wave_steepens_as_the_exact_solution_says():
    """x = q - a sin(kq) / k carries the density 1 / (1 - a cos(kq)) until it crosses at a = 1."""
    grid, k = 48, 2 * np.pi / BOX
    wave = modes_of(0.8 * np.cos(k * centres(grid)[1] + 1))
    rho = initial.displaced_density(wave, BOX, (0.75, 5.0), window="tsc")
    q = np.linspace(0, BOX, 20_001)
    phase = k * q + 1
    at = q - 0.6 * np.sin(phase) / k
    x = centres(grid)[1][0, :, 0]
    expected = np.interp(x, at, 1 / (1 - 0.6 * np.cos(phase)), period=BOX)
    assert expected.max() / expected.min() > 3.5, "far from linear"
    # 3 % where particles are few enough to be told apart
    np.testing.assert_allclose(rho[3, :, 5], expected, rtol=0.03)
    assert np.ptp(rho, axis=(0, 2)).max() < 1e-4, "and it stays plane"


@pytest.mark.parametrize("growth", [(0.6, 0.0), (0.0, 0.6), (0.7, -0.3)])
def test_matter_stands_where_both_orders_of_the_displacement_put_it(growth):
    """Painted by hand from displacements that scipy interpolates to a lattice twice as fine."""
    grid = 12
    modes = initial.linear_modes(8, grid, BOX, lambda k: 100 * spectrum(k))
    psi = sum(d * p for d, p in zip(growth, initial.displacements(modes, BOX), strict=True))
    points = initial.lattice(2 * grid, BOX)
    cells = (points.T * grid / BOX - 0.5).astype(float)
    moves = [
        map_coordinates(component, cells, order=1, mode="grid-wrap")
        for component in np.moveaxis(psi.reshape(grid, grid, grid, 3), 3, 0)
    ]
    expected = mesh.paint(points + np.stack(moves, axis=1), grid, BOX, "tsc")
    found = initial.displaced_density(modes, BOX, growth, window="tsc")
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32 positions
    assert expected.std() > 0.1, "it has contrast"


@pytest.mark.parametrize("radius", [0.0, 3.0])
def test_displaced_matter_of_one_seed_is_the_same_on_a_finer_grid(radius):
    coarse, fine, other = (
        initial.displaced_density(
            initial.linear_modes(seed, grid, BOX, like_cdm), BOX, GROWTH, radius=radius
        )
        for seed, grid in ((5, 32), (5, 64), (6, 64))
    )
    assert agreement(coarse, fine, 8).min() > 0.99
    assert np.abs(agreement(coarse, other, 8)[2:]).max() < 0.3, "of a hundred modes and more"


def test_threads_change_no_bit_of_displaced_matter():
    modes = initial.linear_modes(4, 18, BOX, spectrum)
    alone = initial.displaced_density(modes, BOX, GROWTH, radius=3.0)
    for threads in (2, 3):
        again = initial.displaced_density(modes, BOX, GROWTH, radius=3.0, threads=threads)
        np.testing.assert_array_equal(alone, again)


# What matter carries along


def carried(growth, *radii, seed=6, grid=24, scale=1.0, power=like_cdm, **options):
    modes = initial.linear_modes(seed, grid, BOX, lambda k: scale * power(k))
    return initial.displaced_matter(modes, BOX, growth, carried=radii, **options)


@pytest.mark.parametrize("window", ["ngp", "cic", "tsc", "pcs"])
def test_what_matter_carries_is_neither_made_nor_lost(window):
    """Each particle gives its initial overdensity to cells: the mass-weighted mean stays zero."""
    rho, *values = carried(GROWTH, 0.0, 4.0, radius=3.0, window=window)
    np.testing.assert_array_equal(rho, carried(GROWTH, radius=3.0, window=window)[0])
    for value in values:
        assert (rho * value).mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
        assert value.mean() < -0.01, "but space is mostly what was empty at first"
        assert np.abs(value[rho == 0]).max(initial=0) == 0


def test_matter_at_rest_carries_the_linear_density_of_its_place():
    """Interpolated to particles and averaged over cells, as matter itself is blurred (see above)."""
    growth, radius, grid = 1e-3, 6.0, 32
    modes = initial.linear_modes(6, grid, BOX, band_limited)
    rho, value = initial.displaced_matter(modes, BOX, (growth, 0.0), carried=[radius])
    k = mesh.wavenumbers(grid, BOX)
    blur = mesh.window_transform(k, BOX / grid, "cic")
    for u in (component * BOX / grid for component in k):
        blur = blur * (0.75 * np.cos(u / 4) + 0.25 * np.cos(3 * u / 4))
    blur = blur * np.exp(-0.5 * radius**2 * sum(c**2 for c in k))
    expected = growth * scipy.fft.rfftn(initial.density(modes).astype(float)) * blur
    found = scipy.fft.rfftn(value.astype(float))
    alive = np.abs(modes) > 0
    assert np.linalg.norm((found - expected)[alive]) < 0.02 * np.linalg.norm(expected[alive])
    assert rho.std() < 0.01, "at rest"


def test_no_growth_carries_nothing():
    np.testing.assert_array_equal(carried((0.0, 0.0), 2.0)[1], 0)


def test_clumps_carry_what_was_dense_and_voids_what_was_thin():
    rho, value = carried(GROWTH, 2.0, grid=32, radius=3.0, scale=2.0)
    means = [
        value[(rho > low) & (rho <= high)].mean() for low, high in ((0, 0.3), (0.8, 1.2), (3, 99))
    ]
    assert means[0] < means[1] - 0.2
    assert means[1] < means[2] - 0.2


def test_the_wider_the_radius_the_smoother_what_is_carried():
    _, *values = carried(GROWTH, 0.0, 2.0, 4.0, 8.0)
    assert (np.diff([v.std() for v in values]) < -0.05).all()


# Where matter crosses


@pytest.mark.parametrize("growth", [1.0, 0.6])
def test_patches_of_the_crossing_radius_scatter_by_one(growth):
    radius = initial.crossing_radius(like_cdm, growth)

    def integrand(logarithm):
        k = np.exp(logarithm)
        return k**3 * like_cdm(k) * np.exp(-((k * radius) ** 2)) / (2 * np.pi**2)

    variance = quad(integrand, np.log(1e-5), np.log(20 / radius), limit=200)[0]
    assert growth**2 * variance == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("slope", [-1.5, -1.0, 0.0])
@pytest.mark.parametrize("growth", [1.0, 0.3])
def test_the_crossing_radius_of_a_power_law_is_a_gamma_function(slope, growth):
    """sigma^2 = A Gamma((n + 3) / 2) / (4 pi^2) R^-(n + 3) for P = A k^n."""
    found = initial.crossing_radius(lambda k: 500 * k**slope, growth)
    strength = 500 * growth**2 * gamma((slope + 3) / 2) / (4 * np.pi**2)
    assert found == pytest.approx(strength ** (1 / (slope + 3)), rel=1e-3)


def test_less_growth_crosses_at_smaller_radii():
    radii = [initial.crossing_radius(like_cdm, growth) for growth in (1.0, 0.7, 0.4, 0.2)]
    assert np.all(np.diff(radii) < 0)
    assert radii[-1] > 0


def test_matter_that_never_crosses_has_no_radius():
    assert initial.crossing_radius(lambda k: 1e-6 * spectrum(k), 0.01) == 0


def test_a_spectrum_that_is_nothing_or_too_much_is_no_traceback():
    assert initial.crossing_radius(lambda k: 0 * k, 1.0) == 0
    with pytest.raises(RecipeError, match="scatters by one at 100 Mpc/h; lower it"):
        initial.crossing_radius(lambda k: 1e12 * spectrum(k), 1.0)
