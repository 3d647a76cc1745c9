"""The shape of the project: who may import whom, what loads when, how big things may get."""

import ast
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cosmogan
from cosmogan import recipe

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cosmogan"
SOURCES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "core", "base", "common", "misc"}
HEAVY = ("torch", "ray", "dask", "distributed", "matplotlib", "numba", "camb", "astropy", "scipy")
MAX_FILE_LINES = 400
MAX_BODY_LINES = 60

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
import {modules}
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def modules_of(*names: str) -> list[str]:
    found = []
    for name in names:
        path = PACKAGE / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def test_imports_point_down_and_ray_dask_and_torch_stay_where_they_belong():
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "also_blocked"),
    [
        (modules_of("mesh", "initial", "statistics", "fields", "simulate/evolution"), {"torch"}),
        (modules_of("models", "train/data", "train/step", "train/worker", "emulate/sample"), set()),
    ],
    ids=["arrays", "networks"],
)
def test_the_physics_imports_without_the_machinery(modules, also_blocked):
    blocked = {"ray", "dask", "distributed", "pydantic", "click", "rich", "jinja2", "tensorboard"}
    blocked |= {"camb", "astropy", "matplotlib"} | also_blocked
    done = python(ALONE.format(blocked=blocked, modules=", ".join(modules)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("statement", ["import cosmogan", "from cosmogan import cli, errors"])
def test_nothing_heavy_is_loaded_before_it_is_asked_for(statement):
    done = python(f"{statement}\nimport sys\nprint(*(m for m in {HEAVY} if m in sys.modules))")
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_help_answers_at_once():
    command = [sys.executable, "-X", "importtime", "-m", "cosmogan", "--help"]
    walls = []
    for _ in range(5):
        before = os.times().elapsed
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        walls.append(os.times().elapsed - before)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert loaded.isdisjoint(HEAVY)
    assert statistics.median(walls) < 0.5, "wall seconds, on an idle machine 0.1"


def test_the_table_of_contents_is_true():
    assert set(cosmogan.__all__) <= set(dir(cosmogan))
    for name in cosmogan.__all__:
        assert getattr(cosmogan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cosmogan.nonsense


def test_a_name_says_what_a_module_is_about():
    names = {part for path in SOURCES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert names.isdisjoint(FORBIDDEN_NAMES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
            assert node.end_lineno - first.lineno < MAX_BODY_LINES, node.name


@pytest.mark.parametrize("name", recipe.shipped())
def test_a_shipped_recipe_reads_and_bears_its_own_name(name):
    assert recipe.read(name).name == name


def test_every_data_set_has_a_card_and_the_recipe_that_ships():
    for folder in (path for path in (ROOT / "datasets").iterdir() if path.is_dir()):
        assert (folder / "README.md").is_file()
        shipped = PACKAGE / "recipes" / f"{folder.name}.toml"
        assert (folder / "recipe.toml").resolve() == shipped


def test_folders_of_documents_are_no_packages():
    for name in ("cluster", "datasets"):
        assert not list((ROOT / name).rglob("*.py"))


def test_every_folder_of_the_package_is_shipped():
    folders = {p for p in PACKAGE.rglob("*") if p.is_dir() and p.name != "__pycache__"}
    assert [p for p in folders if not (p / "__init__.py").is_file()] == []


def test_every_pinned_version_is_one_that_pyproject_allows():
    from packaging.requirements import Requirement

    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if "==" in line:
            name, _, version = line.partition("==")
            pinned[name] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[requirement.name]), requirement
