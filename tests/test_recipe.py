import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cosmogan import recipe
from cosmogan.errors import RecipeError
from cosmogan.recipe import Recipe, TrainTable


@pytest.fixture
def read_text(tmp_path):
    def read(text):
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return recipe.read(path)

    return read


@pytest.mark.parametrize("name", recipe.shipped())
def test_a_shipped_recipe_reads_by_name_and_is_called_so(name):
    assert recipe.read(name).name == name


def test_the_demo_is_shipped():
    assert "demo-64" in recipe.shipped()


def test_a_name_alone_is_a_whole_recipe(read_text):
    assert read_text("name = 'a'") == Recipe(name="a")


@pytest.mark.parametrize("name", recipe.shipped())
def test_a_written_recipe_reads_as_itself_and_hides_no_default(name, read_text):
    original = recipe.read(name)
    text = recipe.write(original)
    assert read_text(text) == original
    assert tomllib.loads(text) == original.model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize("kind", ["gaussian", "lpt"])
def test_the_generator_may_start_from_either_latent(read_text, kind):
    chosen = read_text(f"name = 'a'\n[train]\nlatent = '{kind}'")
    assert chosen.train.latent == kind
    assert read_text(recipe.write(chosen)) == chosen
    other = chosen.train.model_copy(update={"latent": "gaussian" if kind == "lpt" else "lpt"})
    assert recipe.fingerprint(chosen.train) != recipe.fingerprint(other)


@given(
    seed=st.integers(0, 2**31 - 1),
    sigma_8=st.floats(0.002, 1.9),
    redshifts=st.lists(st.floats(0, 5), min_size=1, max_size=3),
    between=st.lists(st.floats(0, 1), max_size=2),
    window=st.sampled_from(["ngp", "cic", "tsc", "pcs"]),
)
@settings(max_examples=25, deadline=None)
def test_every_value_survives_writing(seed, sigma_8, redshifts, between, window):
    low, high = min(redshifts), max(redshifts)
    held_out = [min(low + share * (high - low), high) for share in between]
    if len(set(held_out)) == 1 < len(set(redshifts)):
        held_out = []  # one alone is refused
    original = Recipe(
        name="a",
        seed=seed,
        cosmology={"sigma_8": sigma_8},
        simulate={
            "redshifts": redshifts,
            "test_redshifts": held_out,
            "window": window,
        },
    )
    assert Recipe.model_validate(tomllib.loads(recipe.write(original))) == original


def test_a_latent_without_initial_conditions_asks_for_none():
    train = TrainTable(latent="gaussian", images=500)
    assert (train.neighbours, train.carried, train.predictor_images) == (0, (), 0)


def test_the_mean_is_learnt_from_as_many_fields_as_the_game():
    assert TrainTable().predictor_images == TrainTable().images
    assert TrainTable(images=500).predictor_images == 500
    assert TrainTable(images=500, predictor_images=0).predictor_images == 0


def test_a_table_may_be_made_before_its_recipe():
    train = TrainTable(images=500)
    assert Recipe(name="a", train=train).train == train


def test_cubes_have_no_slabs_beside_them():
    assert Recipe(name="a").train.neighbours == 1
    cubes = Recipe(name="a", simulate={"dimension": 3}, train={"images": 500})
    assert (cubes.train.neighbours, cubes.train.predictor_images) == (0, 500)


def test_points_survive_writing(read_text):
    text = "name = 'a'\n[points]\ntest = 4\n[points.ranges]\nsigma_8 = [0.6, 1.0]"
    original = read_text(text)
    assert original.points.ranges.given() == {"sigma_8": (0.6, 1.0)}
    assert Recipe.model_validate(tomllib.loads(recipe.write(original))) == original


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[simulate]\nbox_sise = 100.0", ["simulate.box_sise: unknown key", "'box_size'?"]),
        ("sede = 1", ["sede: unknown key", "did you mean 'seed'?"]),
        ("[simulate.boxes]\ntrian = 2", ["simulate.boxes.trian", "did you mean 'train'?"]),
        ("[zzz]", ["zzz: unknown key", "known here: name, seed, cosmology"]),
        ("[simulate]\ngrid = 'many'", ["simulate.grid = 'many'", "integer", "correct it"]),
        ("[simulate]\ngrid = 64.5", ["simulate.grid = 64.5"]),
        ("[simulate]\nbox_size = -1.0", ["simulate.box_size = -1.0", "greater than 0"]),
        ("[simulate]\nbox_size = inf", ["simulate.box_size = inf", "finite"]),
        ("[simulate]\nbox_size = nan", ["simulate.box_size = nan"]),
        ("[simulate]\nwindow = 'sic'", ["simulate.window = 'sic'", "'cic'"]),
        ("[simulate]\ngrid = 64\nthickness = 3", ["grid = 64 is not divisible by thickness = 3"]),
        ("[train]\nlatent = 'gaussian'\nneighbours = 1", ["neighbours = 1 needs latent = 'lpt'"]),
        (
            "[train]\nlatent = 'gaussian'\ncarried = [1.0]",
            ["carried = (1.0,) needs latent = 'lpt'"],
        ),
        ("[train]\ncarried = [-1.0]", ["train.carried"]),
        ("[train]\ndisplacement = 'none'", ["train.displacement", "zeldovich"]),
        (
            "[train]\nlatent = 'gaussian'\npredictor_images = 9",
            ["predictor_images = 9 needs latent"],
        ),
        ("[simulate]\ndimension = 3\n[train]\nneighbours = 1", ["only slices have slabs"]),
        ("[simulate]\nmesh = 100", ["mesh = 100 and particles = 128", "divide"]),
        ("[simulate]\ngrid = 256", ["grid = 256 has more cells than particles = 128"]),
        ("[train]\ngenerator_widths = []", ["train.generator_widths"]),
        ("[simulate]\nredshifts = []", ["redshifts must be given"]),
        ("[simulate]\nredshifts = [20.0]", ["below start_redshift"]),
        (
            "[simulate]\nredshifts = [1.0, 0.0]\ntest_redshifts = [0.5, 1.5]",
            ["test_redshifts = (0.5, 1.5)", "learn 0 to 1", "stay within"],
        ),
        (
            "[simulate]\nredshifts = [1.0, 0.0]\ntest_redshifts = [0.5, 0.5]",
            ["simulate.test_redshifts = (0.5, 0.5)", "hold out two at least"],
        ),
        (
            "[simulate]\nsteps = 2\nredshifts = [1.0, 0.0]\ntest_redshifts = [0.7, 0.5, 0.3]",
            ["steps = 2", "fewer than the 5 redshifts"],
        ),
        ("[train]\nlatent = 'zeldovich'", ["train.latent = 'zeldovich'", "'gaussian'", "'lpt'"]),
        ("[cosmology]\nOmega_m = 2.0", ["cosmology.Omega_m = 2.0", "less than 1"]),
        ("[cosmology]\nOmega_m = 0.06\nOmega_b = 0.1", ["Omega_b = 0.1 must be below Omega_m"]),
        ("[cosmology]\nh = 67.74", ["cosmology.h = 67.74"]),
        ("[simulate.boxes]\ntrain = 0", ["simulate.boxes.train = 0"]),
        ("[points]\ntest = 4", ["points.ranges: missing"]),
        ("[points.ranges]\nsigma = [1.0, 2.0]", ["points.ranges.sigma", "mean 'sigma_8'?"]),
        ("[points]\nranges = {}", ["points.ranges", "name at least one parameter"]),
        ("[points.ranges]\nh = [0.7, 0.7]", ["h = [0.7, 0.7]", "first must be below the second"]),
        ("[points.ranges]\nh = [0.7, 7.0]", ["points.ranges: h = 7.0", "less than"]),
        (
            "[points.ranges]\nOmega_m = [0.06, 0.4]\nOmega_b = [0.02, 0.1]",
            ["must be below Omega_m"],
        ),
        (
            "[points.ranges]\nh = [0.6, 0.7]\n[simulate]\ninitial_conditions = 'paired'",
            ["many cosmologies are not paired"],
        ),
        ("seed = -1", ["seed = -1"]),
        ("train = 3", ["train = 3", "dictionary", "correct it"]),
        ("simulate = 3", ["simulate = 3", "dictionary", "correct it"]),
        ("seed = [", ["not TOML", "line"]),
    ],
)
def test_a_mistake_is_one_line_that_names_file_key_rule_and_remedy(read_text, text, parts):
    with pytest.raises(RecipeError) as caught:
        read_text(f"name = 'a'\n{text}")
    message = str(caught.value)
    assert "my.toml: " in message
    assert "\n" not in message
    assert len(message) < 400
    assert [part for part in parts if part not in message] == []


def test_a_recipe_without_a_name_or_with_a_path_for_one_is_refused(read_text):
    with pytest.raises(RecipeError, match="name"):
        read_text("seed = 1")
    with pytest.raises(RecipeError, match=re.escape("name = '../up'")):
        read_text("name = '../up'")


def test_a_recipe_that_does_not_exist_lists_those_that_do():
    with pytest.raises(
        RecipeError, match=r"demo-65: no such file.*give a path or one of:.*demo-64"
    ):
        recipe.read("demo-65")


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError):
        Recipe(name="a").seed = 2


def test_a_fingerprint_changes_with_every_value_and_with_nothing_else():
    base = Recipe(name="a")
    variants = [
        base,
        base.model_copy(update={"seed": 2}),
        base.model_copy(update={"cosmology": base.cosmology.model_copy(update={"h": 0.7})}),
        base.model_copy(update={"emulate": base.emulate.model_copy(update={"count": 7})}),
    ]
    assert len({recipe.fingerprint(r) for r in variants}) == len(variants)
    assert recipe.fingerprint(base) == recipe.fingerprint(Recipe(name="a"))
    assert recipe.fingerprint(base, 1) != recipe.fingerprint(base, 2)
    assert recipe.fingerprint(base.train) != recipe.fingerprint(base.simulate)
    assert re.fullmatch(r"[0-9a-f]{16}", recipe.fingerprint(base))


def test_held_out_redshifts_that_are_not_asked_for_change_no_fingerprint():
    """So that data sets of before the key are known again."""
    base = Recipe(name="a")
    other = Recipe(name="a", simulate={"test_redshifts": (0.0,)})
    assert "test_redshifts" not in recipe.write(base)
    assert recipe.fingerprint(base) != recipe.fingerprint(other)


def test_a_recipe_without_a_name_is_told_so(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("seed = 1\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: name: missing; give it a value"):
        recipe.read(path)
