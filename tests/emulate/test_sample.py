"""Field k of a seed is the same whoever asks for it, and has its units to hand."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmogan.cosmology import Cosmology, nonlinear_power
from cosmogan.emulate.find import find_weights
from cosmogan.emulate.sample import Emulator, load
from cosmogan.errors import CheckpointError, LayoutError, RecipeError
from cosmogan.fields.layout import ORIGIN_DTYPE, Layout
from cosmogan.fields.scaling import CEILING, SOFT, Scaling
from cosmogan.models.generator import Generator, GeneratorShape
from cosmogan.models.latent import LatentShape, make_latent
from cosmogan.models.lognormal import gaussian_colour, lognormal_field
from cosmogan.models.seeds import derive_seed
from cosmogan.models.source import generate
from cosmogan.models.theory import Theory
from cosmogan.models.weights import MICRO_BATCH, save_weights

GRID, CELL = 16, 4.0
SEED = 7
A_BOX = 3 * GRID // 2  # slices of two cells


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_run(folder, kind, *, dimension=2, parameters=((0.3, 0.0), (0.3, 1.0)), **seen):
    """A run whose trained network is random, so that its fields are not its latents."""
    folder.mkdir(parents=True)
    k = np.geomspace(1e-4, 50, 200)
    table = np.array(parameters)
    linear = np.tile(1e4 * k / 0.02 / (1 + (k / 0.02) ** 2) ** 1.3, (len(table), 1))
    theory = Theory(
        dimension=dimension,
        cell_size=CELL,
        thickness=2,
        window="cic",
        names=("Omega_m", "redshift"),
        parameters=table,
        k=k,
        power=linear / (1 + table[:, 1:]) ** 2,
        linear=linear,
    )
    box = GRID * CELL
    layout = Layout(
        dimension=dimension,
        grid=GRID,
        box_size=box,
        thickness=2 * CELL if dimension == 2 else box,
        mass_assignment="cic",
        particles=32,
        parameter_names=theory.names,
    )
    torch.manual_seed(1)
    scaling = Scaling(density_scale=0.5, mean=0.9, std=0.6, density_max=50.0)
    latent = LatentShape(kind=kind, **seen)
    shape = GeneratorShape(
        dimension=dimension,
        widths=(4, 4),
        conditions=theory.num_conditions,
        latents=make_latent(latent, theory, GRID).channels,
    )
    generator = Generator(shape, scaling)
    for name, shown in (("untrained", 0), ("weights", 640)):
        save_weights(
            folder / f"{name}.safetensors",
            generator,
            theory,
            latent=latent,
            layout=layout,
            made_by={"recipe": ""},
            training={"shown": shown, "identity": "x"},
        )
        torch.nn.init.normal_(generator.head.weight, std=0.1)
        torch.nn.init.normal_(generator.down[1][0].gather.weight, std=0.2)
    return folder


@pytest.fixture(scope="module", params=["gaussian", "lpt"])
def latent(request):
    """What the network starts from."""
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory, latent):
    return write_run(tmp_path_factory.mktemp("emulate") / "run", latent)


@pytest.fixture(scope="module")
def emulator(run):
    return load(run)


@pytest.fixture(scope="module")
def whole(emulator):
    """The first fields of a seed."""
    return emulator.sample(3 * MICRO_BATCH, SEED).fields


@settings(max_examples=12, deadline=None)
@given(start=st.integers(0, 3 * MICRO_BATCH - 1), count=st.integers(1, 3 * MICRO_BATCH))
def test_any_block_is_that_of_the_whole_byte_for_byte(emulator, whole, start, count):
    count = min(count, len(whole) - start)
    block = emulator.sample(count, SEED, start=start).fields
    assert block.shape == (count, GRID, GRID)
    assert block.tobytes() == whole[start : start + count].tobytes()


def test_fields_are_made_in_whole_blocks_that_begin_where_all_blocks_begin(run):
    """Bits of a convolution may depend on the size of the batch: it is always the same."""
    emulator = load(run)
    blocks, draw = [], emulator.source.draw

    def spy(latents, seeds, rows):
        blocks.append((seeds, latents.numpy().tobytes()))
        return draw(latents, seeds, rows)

    emulator.source.draw = spy
    emulator.sample(MICRO_BATCH, SEED, start=MICRO_BATCH + 5)
    emulator.sample(2 * MICRO_BATCH, SEED, start=MICRO_BATCH)
    assert blocks[:2] == blocks[2:]
    numbers = [derive_seed(SEED, k) for k in range(MICRO_BATCH, 3 * MICRO_BATCH)]
    assert [seeds for seeds, _ in blocks[:2]] == [numbers[:MICRO_BATCH], numbers[MICRO_BATCH:]]


@pytest.fixture
def of_simulations(tmp_path):
    """A network that starts from initial conditions."""
    return load(write_run(tmp_path / "run", "lpt"))


@pytest.mark.parametrize("count", [1, MICRO_BATCH, MICRO_BATCH + 3])
def test_counterparts_of_its_own_boxes_are_its_own_fields(of_simulations, monkeypatch, count):
    """Byte for byte: the origin and the seed are all that a field depends on, in whole blocks."""
    sample = of_simulations.sample(count, SEED, redshift=1.0)
    sizes, draw = [], of_simulations.source.draw
    monkeypatch.setattr(
        of_simulations.source, "draw", lambda *given: sizes.append(len(given[1])) or draw(*given)
    )
    again = of_simulations.counterparts(sample.origin, SEED, redshift=1.0)
    assert set(sizes) == {MICRO_BATCH}
    assert again.fields.tobytes() == sample.fields.tobytes()
    assert again.parameters == sample.parameters
    np.testing.assert_array_equal(again.origin, sample.origin)


def test_a_network_that_sees_neighbours_is_given_them_again(tmp_path):
    """From its weights alone; what lies beside a slice changes it, and is not its partner."""
    emulator = load(write_run(tmp_path / "run", "lpt", neighbours=1, carried=(1.0,)))
    assert emulator.latent.channels == 6
    origin = emulator.sample(8, SEED).origin
    views = emulator.source.latents(origin, [0] * 8)
    seeds = list(range(8))
    with torch.no_grad():
        made, other = (
            generate(emulator.weights.generator, emulator.source.draw(given, seeds, [0] * 8))
            for given in (views, views[:, [0, 2, 1, 3, 5, 4]])
        )
    assert (made - other).abs().amax(dim=(1, 2, 3)).min() > 1e-4
    bare = load(tmp_path / "run", "lognormal")
    assert bare.sample(2, SEED).fields.shape == (2, GRID, GRID)


def test_a_counterpart_follows_its_own_box_in_any_order(of_simulations):
    """However the rest is drawn."""
    origin = of_simulations.sample(40, SEED).origin[::-1]
    latent = make_latent(LatentShape(kind="lpt"), of_simulations.theory, GRID).density(
        origin, [0] * 40
    )
    for seed in (0, 1):
        sample = of_simulations.counterparts(origin, seed)
        np.testing.assert_array_equal(sample.origin, origin)
        pair = [np.log(x + 0.5).reshape(40, -1) for x in (sample.fields, latent)]
        table = np.corrcoef(*pair)[:40, 40:]
        np.testing.assert_array_equal(table.argmax(axis=1), np.arange(40))
    assert not np.array_equal(sample.fields, of_simulations.counterparts(origin, 0).fields)


def test_who_knows_no_initial_conditions_has_no_counterparts(run, latent):
    origin = load(run).sample(2, SEED).origin
    for kind in ("lognormal", "trained") if latent == "gaussian" else ("lognormal",):
        remedy = "train one with latent = 'lpt'" if latent == "gaussian" else "take another kind"
        with pytest.raises(RecipeError, match=remedy) as error:
            load(run, kind).counterparts(origin)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": -1, "slab": -1}, "stands at no axis and slab of 8 in a box"),
        ({"slab": 8}, "stands at no axis and slab of 8 in a box"),
        ({"axis": 3}, "stands at no axis and slab of 8 in a box"),
        ({"fixed": True}, "amplitudes that were fixed"),
    ],
)
def test_origins_of_other_layouts_have_no_counterparts(of_simulations, change, message):
    origin = of_simulations.sample(4, SEED).origin
    for name, value in change.items():
        origin[name][2] = value
    with pytest.raises(LayoutError, match=f"^origin 2 .*{message}; give those of") as error:
        of_simulations.counterparts(origin)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (2, -1)])
def test_no_counterparts_and_no_such_seed_are_refused(of_simulations, count, seed):
    origin = of_simulations.sample(4, SEED).origin[:count]
    with pytest.raises(RecipeError, match=f"{count} origins, seed = {seed}"):
        of_simulations.counterparts(origin, seed)


def test_another_process_and_more_threads_change_no_bit(run, whole):
    """Loaded anew, with the thread count of the caller, which is given back."""
    torch.set_num_threads(2)
    try:
        again = load(run).sample(20, SEED).fields
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert again.tobytes() == whole[:20].tobytes()


def test_no_two_fields_and_no_two_seeds_are_alike(emulator, whole):
    other = emulator.sample(10, SEED + 1).fields
    table = np.corrcoef([f.ravel() for f in (*whole[:20], *other)])
    assert np.abs(table[~np.eye(30, dtype=bool)]).max() < 0.8


def test_the_random_states_of_the_caller_are_left_alone(emulator):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    emulator.sample(2, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_fields_are_densities(emulator, whole):
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    assert whole.min() >= 0
    assert whole.max() <= CEILING * 50 * (1 + 1e-5), "the soft ceiling"
    assert 0.2 < whole.mean() < 5
    assert whole.std() > 0.1


def test_the_lognormal_kind_is_one_on_average_and_needs_no_network(run):
    emulator = load(run, "lognormal")
    fields = emulator.sample(64, SEED).fields
    means = fields.mean(axis=(1, 2), dtype=np.float64)
    assert means.mean() == pytest.approx(1, abs=4 * means.std() / 8 + 1e-6)
    origin = emulator.sample(64, SEED).origin
    colour = gaussian_colour(emulator.theory, 0, GRID)
    np.testing.assert_array_equal(
        fields[5], lognormal_field(int(origin["seed"][5]), colour, GRID, 2)
    )
    assert len(set(origin["simulation"].tolist())) == 64, "each is a universe of its own"
    assert set(origin["axis"].tolist()) == set(origin["slab"].tolist()) == {-1}


def test_the_untrained_network_returns_its_latent_and_the_trained_does_not(run, latent, whole):
    """But for the ceiling."""
    emulator = load(run, "untrained")
    sample = emulator.sample(16, SEED)
    start = make_latent(LatentShape(kind=latent), emulator.theory, GRID).density(
        sample.origin, [0] * 16
    )
    low = start < SOFT * 50
    rounding = 0 if latent == "gaussian" else 1e-6  # in empty cells
    np.testing.assert_allclose(sample.fields[low], start[low], rtol=2e-5, atol=rounding)
    assert low.mean() > 0.98
    assert not np.allclose(whole[:16], sample.fields, rtol=0.05)
    lognormal = load(run, "lognormal").sample(16, SEED).fields
    same = np.allclose(lognormal[low], sample.fields[low], rtol=2e-5)
    assert same == (latent == "gaussian")


def test_coordinates_and_units_come_along(emulator):
    sample = emulator.sample(3, SEED, start=2)
    assert len(sample) == 3
    np.testing.assert_array_equal(np.asarray(sample), sample.fields)
    assert np.asarray(sample, dtype=np.float64).dtype == np.float64
    np.testing.assert_allclose(sample.x, CELL * (np.arange(GRID) + 0.5))
    assert (sample.box_size, sample.thickness) == (64.0, 8.0)
    assert sample.parameters == {"Omega_m": 0.3, "redshift": 0.0}


def test_the_origins_of_fields_come_along(emulator, latent):
    """Fields of one box are of one simulation, for they are not independent."""
    origin = emulator.sample(100, SEED).origin
    assert origin.dtype == ORIGIN_DTYPE
    np.testing.assert_array_equal(emulator.sample(3, SEED, start=2).origin, origin[2:5])
    assert len(set(origin.tolist())) == 100
    np.testing.assert_array_equal(origin["simulation"], origin["seed"])
    size = A_BOX if latent == "lpt" else 1
    first = np.arange(100) // size * size
    np.testing.assert_array_equal(origin["simulation"], origin["simulation"][first])
    assert len(set(origin["simulation"].tolist())) == len(set(first.tolist()))
    assert not origin["fixed"].any()


def test_parameters_choose_the_spectrum(emulator, whole):
    late = emulator.sample(4, SEED, redshift=0.0)
    early = emulator.sample(4, SEED, redshift=1.0)
    assert late.fields.tobytes() == whole[:4].tobytes(), "the first are meant if none is named"
    assert early.parameters == {"Omega_m": 0.3, "redshift": 1.0}
    assert early.fields.std() < late.fields.std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma_9": 0.8}, r"\['sigma_9'\]: no parameter of this network"),
        ({"redshift": 1.5}, "redshift = 1.5: the network was trained at 0 to 1; ask for what lies"),
        ({"Omega_m": 0.31}, r"Omega_m = 0.31: the network was trained at 0.3 to 0.3"),
        ({"count": 0}, "give count >= 1"),
        ({"seed": -1}, "seed = -1"),
        ({"start": -3}, "start = -3"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(emulator, options, message):
    with pytest.raises(RecipeError, match=message) as error:
        emulator.sample(**({"count": 1, "seed": 1} | options))
    assert "\n" not in str(error.value)


def test_of_many_cosmologies_one_must_be_named(tmp_path):
    points = ((0.2, 0.0), (0.4, 0.0))
    emulator = load(write_run(tmp_path / "run", "lpt", parameters=points))
    with pytest.raises(RecipeError, match=r"Omega_m: the network was trained at 0.2 to 0.4; say"):
        emulator.sample(1, SEED)
    assert emulator.sample(1, SEED, Omega_m=0.4).parameters == {"Omega_m": 0.4, "redshift": 0.0}


def test_between_trained_parameters_it_answers_with_spectra_of_their_own(emulator):
    late, middle = (emulator.sample(8, SEED, redshift=z) for z in (0.0, 0.5))
    assert middle.parameters == {"Omega_m": 0.3, "redshift": 0.5}
    assert middle.extrapolated == ()
    assert middle.fields.tobytes() != late.fields.tobytes()
    np.testing.assert_array_equal(middle.origin, late.origin)
    there, (row,) = emulator.over(emulator.fill({"redshift": 0.5}, 1))
    k = there.theory.k
    inside = (k > 1e-3) & (k < 15)
    expected = nonlinear_power(Cosmology(Omega_m=0.3), 0.5)(k)
    np.testing.assert_allclose(there.theory.power[row][inside], expected[inside], rtol=0.01)
    assert there.source.conditions([row]).tolist() == [[0.0]], "half way between the trained ones"
    again = emulator.sample(8, SEED, redshift=0.5)
    assert again.fields.tobytes() == middle.fields.tobytes()
    assert emulator.sample(8, SEED).fields.tobytes() == late.fields.tobytes(), "it is as it was"


def test_fields_of_many_universes_are_those_of_each(emulator):
    """Field k is the same, whatever the others are of."""
    redshifts = np.array([0.0, 0.7, 0.3, 0.0, 0.7, 0.7])
    sample = emulator.sample(6, SEED, start=5, redshift=redshifts)
    np.testing.assert_array_equal(sample.parameters["redshift"], redshifts)
    assert sample.parameters["Omega_m"] == 0.3
    assert sample.extrapolated == ()
    for z in (0.0, 0.3, 0.7):
        alone = emulator.sample(6, SEED, start=5, redshift=z)
        same = redshifts == z
        assert sample.fields[same].tobytes() == alone.fields[same].tobytes()
        np.testing.assert_array_equal(sample.origin, alone.origin)
    with pytest.raises(RecipeError, match=r"redshift: shape \(2,\) for 6 fields; give one number"):
        emulator.sample(6, SEED, redshift=[0.0, 0.7])
    far = emulator.sample(2, SEED, redshift=[0.0, 4.0], force=True)
    assert far.extrapolated == ("redshift",)


def test_counterparts_of_many_universes_are_those_of_each(of_simulations):
    origin = of_simulations.latent.origins(3, range(0, 60, 20))
    redshifts = np.array([1.0, 0.0, 1.0])
    sample = of_simulations.counterparts(origin, SEED, redshift=redshifts)
    for z in (0.0, 1.0):
        alone = of_simulations.counterparts(origin, SEED, redshift=z)
        same = redshifts == z
        assert sample.fields[same].tobytes() == alone.fields[same].tobytes()


def test_outside_it_answers_only_if_forced_and_says_so(emulator):
    far = emulator.sample(1, SEED, redshift=1.5, Omega_m=0.4, force=True)
    assert far.extrapolated == ("Omega_m", "redshift")
    assert emulator.sample(1, SEED, redshift=1.0, force=True).extrapolated == ()


def test_counterparts_may_be_asked_for_between_too(of_simulations):
    origin = of_simulations.sample(3, SEED).origin
    made = of_simulations.counterparts(origin, SEED, redshift=0.25)
    assert made.fields.tobytes() == of_simulations.sample(3, SEED, redshift=0.25).fields.tobytes()
    with pytest.raises(RecipeError, match="redshift = 3: the network was trained at"):
        of_simulations.counterparts(origin, SEED, redshift=3.0)


def test_cubes_are_made_by_the_same_code(tmp_path, latent):
    emulator = load(write_run(tmp_path / "run", latent, dimension=3, parameters=((0.3, 0.0),)))
    sample = emulator.sample(2, SEED, start=1)
    assert sample.fields.shape == (2, GRID, GRID, GRID)
    assert sample.thickness == sample.box_size == 64.0
    assert sample.fields.min() >= 0


def test_a_run_is_found_by_its_folder_its_parent_or_a_file(run):
    weights = run / "weights.safetensors"
    for path in (run, run.parent, weights):
        assert find_weights(path) == weights
    assert find_weights(run.parent, "untrained") == run / "untrained.safetensors"
    assert find_weights(run, "lognormal") == run / "untrained.safetensors"


def test_weights_that_are_not_there_are_missed_in_one_line(tmp_path, run):
    with pytest.raises(CheckpointError, match=r"no weights.safetensors there or in run/"):
        load(tmp_path)
    shutil.copy(run / "untrained.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match="train to the end"):
        load(tmp_path)


def test_trained_weights_do_not_pass_for_untrained(run):
    with pytest.raises(CheckpointError, match=r"these weights are trained; give the folder"):
        load(run / "weights.safetensors", "untrained")
    load(run / "untrained.safetensors", "untrained")
    with pytest.raises(RecipeError, match="kind = 'best': give one of trained, untrained"):
        load(run, "best")


def test_an_emulator_knows_what_it_was_trained_on(emulator):
    assert isinstance(emulator, Emulator)
    np.testing.assert_array_equal(emulator.theory.parameters, [[0.3, 0.0], [0.3, 1.0]])
