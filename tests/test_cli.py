import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import h5py
import numpy as np
import pytest

from cosmogan import cli
from cosmogan.emulate.sample import KINDS
from cosmogan.errors import Stopped
from cosmogan.statistics.table import read as read_table

ROOT = Path(__file__).parents[1]
VERBS = ["run", "simulate", "train", "emulate", "measure", "compare", "inspect", "version"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSMOGAN_DEBUG", raising=False)


@pytest.fixture
def complaint(capsys):
    """Run a command that must fail; return its one line on stderr."""

    def run(*arguments, code=2):
        assert cli.main([str(a) for a in arguments]) == code
        captured = capsys.readouterr()
        assert captured.err.startswith("cosmogan: ")
        assert captured.err.count("\n") == 1
        return captured.err.removeprefix("cosmogan: ").rstrip()

    return run


@pytest.fixture
def command(monkeypatch):
    """Add a command that calls a function."""

    def add(function):
        monkeypatch.setitem(cli.commands.commands, "try", click.command("try")(function))

    return add


def recipe_file(path, text):
    path.write_text(text)
    return path


def test_help_lists_the_verbs_in_order(capsys):
    assert cli.main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_in_one_line_of_the_list(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    assert "..." not in cli.commands.commands[verb].get_short_help_str()
    assert capsys.readouterr().out.startswith(f"Usage: cosmogan {verb}")


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    first = capsys.readouterr().out
    assert cli.main(["version"]) == 0
    second = capsys.readouterr().out
    assert second.startswith(first.rstrip())
    assert "torch" in second


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "cosmogan", "run", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("cosmogan: nonsense: no such file")


def test_a_plan_makes_nothing(capsys, tmp_path):
    assert cli.main(["run", "tiny", "--plan"]) == 0
    assert "to do: about" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\n[train]\nimage = 5', "train.image: unknown key; did you mean 'images'?"),
        ('name = "x"\n[train]\nimages = "many"', "train.images = 'many'"),
        ('name = "x"\n[cosmology]\nOmega_b = 0.19\nOmega_m = 0.1', "must be below Omega_m"),
        ('name = "x"\n[cosmology]\nsigma_8 = -1', "cosmology.sigma_8 = -1"),
        ("name = ", "not TOML"),
        ("", "name"),
    ],
)
def test_a_bad_recipe_is_one_line_that_names_file_and_key(text, said, tmp_path, complaint):
    path = recipe_file(tmp_path / "my.toml", text)
    line = complaint("run", path)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_of_another_recipe_is_refused_and_left_alone(tmp_path, complaint, capsys):
    first = recipe_file(tmp_path / "first.toml", 'name = "x"\nseed = 1')
    second = recipe_file(tmp_path / "second.toml", 'name = "x"\nseed = 2')
    from cosmogan import pipeline
    from cosmogan.recipe import read

    pipeline.claim(read(first), Path("out"))
    content = Path("out/recipe.toml").read_text()
    for verb in ("simulate", "train"):
        line = complaint(verb, second, "-o", "out")
        assert "out: made by another recipe (seed = 1 there, 2 here); choose another" in line
    assert Path("out/recipe.toml").read_text() == content


def test_too_little_disk_is_known_before_the_work(complaint, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 8, 1))
    assert "free; make room" in complaint("simulate", "tiny")


@pytest.mark.parametrize("verb", ["inspect", "measure"])
def test_a_path_that_is_no_data_set_is_one_line(verb, tmp_path, complaint):
    assert "nothing.fields" in complaint(verb, "nothing.fields")
    Path("text.h5").write_text("not HDF5")
    assert "text.h5" in complaint(verb, "text.h5")
    with h5py.File("foreign.h5", "w") as file:
        file["density"] = [1.0]
    assert "foreign.h5" in complaint(verb, "foreign.h5")
    with h5py.File("future.h5", "w") as file:
        file.attrs.update(format="cosmogan-fields", version=99)
    assert "future.h5" in complaint(verb, "future.h5")


def test_a_plain_array_is_measured_if_its_size_is_said(tmp_path, complaint, capsys):
    rho = np.random.default_rng(1).lognormal(sigma=0.3, size=(3, 16, 16))
    np.save("maps.npy", rho)
    assert "give it with --box" in complaint("measure", "maps.npy")
    assert "fresh.npy: no such file" in complaint("measure", "fresh.npy", "--box", 100)
    assert cli.main(["measure", "maps.npy", "--box", "100", "--quantity", "density"]) == 0
    assert capsys.readouterr().out.endswith("statistics/maps.npy.stats.h5\n")
    found = read_table(tmp_path / "statistics" / "maps.npy.stats.h5")
    assert len(found) == 3
    assert found.attributes["box_size"] == 100


@pytest.mark.parametrize("ending", ["npy", "h5"])
def test_two_plain_arrays_are_compared(ending, tmp_path, complaint):
    names = [f"{name}.{ending}" for name in "ab"]
    for seed, name in enumerate(names):
        maps = np.random.default_rng(seed).lognormal(sigma=0.3, size=(40, 16, 16))
        if ending == "npy":
            np.save(name, maps)
        else:
            with h5py.File(name, "w") as file:
                file["maps"] = maps
        assert cli.main(["measure", name, "--box", "100", "--quantity", "density"]) == 0
    assert cli.main(["compare", *names]) == 0
    assert (tmp_path / "verdict" / "report.html").stat().st_size > 10_000
    with Path(names[0]).open("ab") as file:
        file.write(b"more")
    assert "measure it again" in complaint("compare", *names)


def test_what_is_said_of_a_plain_array_is_not_ignored(tmp_path, complaint):
    assert "give it with --box" in complaint("measure", "a.fields", "--thickness", 5)


def test_a_text_table_never_replaces_anything_else(tmp_path, complaint):
    np.save("maps.npy", np.random.default_rng(1).lognormal(sigma=0.3, size=(3, 16, 16)))
    before = Path("maps.npy").read_bytes()
    told = ["--box", "100", "--quantity", "density"]
    assert "choose another name" in complaint("measure", "maps.npy", *told, "--csv", "maps.npy")
    assert Path("maps.npy").read_bytes() == before
    same = ["-o", "a.stats.h5", "--csv", "a.stats.h5"]
    assert "choose another name" in complaint("measure", "maps.npy", *told, *same)
    assert len(read_table("a.stats.h5")) == 3
    for _ in range(2):
        assert cli.main(["measure", "maps.npy", *told, "--csv", "maps.csv"]) == 0
    assert Path("maps.csv").read_text().startswith("# maps.npy; fields: 3; simulations: 3\n")


def test_an_unknown_option_points_to_the_help(complaint):
    line = complaint("emulate", "run", "--number", "3")
    assert line.endswith("See `cosmogan emulate --help`.")


@pytest.mark.parametrize("verb", ["emulate", "compare"])
def test_a_missing_argument_is_one_line(verb, complaint):
    assert "Missing" in complaint(verb)


def test_a_missing_run_is_one_line(complaint):
    assert "nowhere" in complaint("emulate", "nowhere", "-o", "out.fields")


def test_a_stop_is_exit_code_85(command, complaint):
    def work():
        raise Stopped("stopped by SIGTERM; the same command continues")

    command(work)
    assert complaint("try", code=85) == "stopped by SIGTERM; the same command continues"


def test_an_interrupt_is_exit_code_130(command, capsys):
    def work():
        raise KeyboardInterrupt

    command(work)
    assert cli.main(["try"]) == 130
    # The line begins after the ^C that a terminal shows.
    assert capsys.readouterr().err == "\ncosmogan: interrupted; the same command continues\n"


def test_a_file_that_cannot_be_read_is_one_line(command, complaint):
    command(lambda: Path("gone").read_text())
    assert complaint("try") == "gone: No such file or directory"


def test_a_defect_is_told_from_a_mistake_of_the_user(command, complaint):
    command(lambda: {}["key"])
    line = complaint("try", code=1)
    assert line.startswith("defect: KeyError: 'key'; COSMOGAN_DEBUG=1")


def test_the_traceback_is_there_for_those_who_want_it(command, monkeypatch, capsys):
    monkeypatch.setenv("COSMOGAN_DEBUG", "1")
    command(lambda: {}["key"])
    assert cli.main(["try"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_wait_with_exit_code_85(number):
    code = (
        "import click, sys, time; from cosmogan import cli, pipeline\n"
        "@cli.commands.command()\n"
        "def wait():\n"
        "    with pipeline.stoppable():\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.exit(cli.main(['wait']))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout.readline() == "ready\n"
        start = time.monotonic()
        waiting.send_signal(number)
        _, complaint = waiting.communicate(timeout=30)
    assert waiting.returncode == 85
    assert complaint == f"cosmogan: stopped by {number.name}; the same command continues\n"
    assert time.monotonic() - start < 10, "seconds; the wait would have lasted 60"


def test_the_kinds_that_may_be_asked_for_are_those_there_are():
    (option,) = (p for p in cli.emulate.params if p.name == "kind")
    assert tuple(option.type.choices) == KINDS
