"""What the documents say is true: links, commands, snippets, drawings of files."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest

import cosmogan
from cosmogan import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TRACKED = [
    *ROOT.glob("*.md"),
    *(
        p
        for name in ("benchmarks", "cluster", "datasets", "docs")
        for p in ROOT.glob(f"{name}/**/*.md")
    ),
]
NEEDS_A_RUN = "runs/"


def name_of(path):
    return str(path.relative_to(ROOT))


def describe(value):
    """Name a parameter of a test: a file, the words of a command, or the last line of a snippet."""
    if isinstance(value, Path):
        return name_of(value)
    return " ".join(value) if isinstance(value, list) else value.splitlines()[-1][:40].strip()


def snippets(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def code_blocks(path):
    text = path.read_text(encoding="utf-8")
    return re.findall(r"(?:^|\n\n)((?: {4}.*\n|\n)+)", text)


def drawing(docstring):
    """Return the literal block of a docstring."""
    return re.search(r"::\n\n((?: {4}.*\n|\n)+)", docstring).group(1).rstrip()


ALL_SNIPPETS = [(path, code) for path in TRACKED for code in snippets(path)]


@pytest.mark.parametrize("path", TRACKED, ids=name_of)
def test_every_relative_link_leads_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_the_first_screen_is_a_sentence_a_picture_and_the_commands():
    text = README.read_text(encoding="utf-8")
    first = text[: text.index("## ")] if "## " in text else text
    assert len(text.splitlines()) <= 150
    assert first.count("![") == 1
    assert [*re.findall(r"^    make (\w+)", first, re.MULTILINE)] == ["demo", "test"]


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for path in TRACKED:
        named |= set(
            re.findall(r"(?:^    |`)make (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
    assert named <= targets
    assert {"demo", "test"} <= named


def test_make_can_parse_its_own_file():
    for target in ("demo", "test", "slow", "check", "bench"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_continuous_integration_runs_what_the_readme_says():
    script = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^(?:again=\$\()?make ([\w= ]+)", script, re.MULTILINE) == [
        "test",
        "demo RECIPE=tiny",
        "demo RECIPE=tiny",
    ]


def commands():
    for path in TRACKED:
        for block in code_blocks(path):
            for line in block.splitlines():
                match = re.match(r"\s*(?:\.venv/bin/)?cosmogan (.*)", line)
                if match:
                    yield path, re.split(r"\s+(?:#|&)", match.group(1))[0].split()


@pytest.mark.parametrize(("path", "words"), list(commands()), ids=describe)
def test_every_command_that_is_shown_can_be_parsed(path, words):
    verb, *arguments = words
    command = cli.commands.commands[verb]
    with click.Context(command, resilient_parsing=False) as context:
        command.parse_args(context, arguments)


def test_the_readme_shows_every_command():
    shown = {words[0] for path, words in commands() if path == README}
    assert shown == set(cli.commands.commands) - {"version"}


@pytest.mark.parametrize(("path", "code"), ALL_SNIPPETS, ids=describe)
def test_every_snippet_speaks_of_names_that_exist(path, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("cosmogan."):
            parts = ast.unparse(node).split(".")[1:]
            found = cosmogan
            for part in parts:
                found = getattr(found, part)
            assert found is not None


@pytest.mark.parametrize(
    "code", [code for _, code in ALL_SNIPPETS if NEEDS_A_RUN not in code], ids=describe
)
def test_every_snippet_that_needs_no_run_works(code, capsys):
    exec(compile(code, "snippet", "exec"), {})  # noqa: S102  (from our own documents)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("data-format.md", "cosmogan.fields.layout"),
        ("data-format.md", "cosmogan.statistics.table"),
        ("pipeline.md", "cosmogan.pipeline"),
    ],
)
def test_a_page_draws_files_as_the_code_does(page, module):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert drawing(importlib.import_module(module).__doc__) in text


def test_the_card_of_the_demo_is_true():
    from cosmogan import budget
    from cosmogan.recipe import read

    card = (ROOT / "datasets/demo-64/README.md").read_text(encoding="utf-8")
    recipe = read("demo-64")
    table, fields = recipe.simulate, budget.simulated_fields(recipe)
    cell, slabs = table.box_size / table.grid, table.grid // table.thickness
    mass = 2.77536627e11 * recipe.cosmology.Omega_m * (table.box_size / table.particles) ** 3
    for fact in (
        f"{fields['train']}, {fields['validation']} and {fields['test']} fields",
        f"{table.boxes.train} boxes train, {table.boxes.validation} validation, {table.boxes.test}",
        f"| {table.box_size:g} Mpc/h, periodic",
        *(f"{key} = {value}" for key, value in recipe.cosmology.model_dump().items()),
        f"{table.particles}³, {mass:.1e} solar masses".replace("e+", "e"),
        f"box i from {recipe.seed} · 2³² + i",
        f"| {table.steps}, from 2LPT initial conditions at z = {table.start_redshift:g}",
        f"{table.grid}² cells of {cell:g} Mpc/h",
        f"({table.thickness * cell:g} Mpc/h) thick, all {slabs} slabs",
        f"{3 * slabs} slices share one realisation",
        f"{2 * np.pi / table.box_size:.2g} to {np.pi / cell:.2g} h/Mpc",
        f"| size | {budget.estimate(recipe)['simulate'].bytes / 1e6:.0f} MB |",
    ):
        assert fact in card, fact
