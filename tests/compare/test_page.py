import html.parser
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare.findings import write_verdict
from cosmogan.compare.page import REPORT, TRUTH, VERDICT, Setting, write_report

VOID = {"meta", "img", "br"}


class Outline(html.parser.HTMLParser):
    """Checks that tags nest, and collects what a test may ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.words, self.alternatives = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag == "img":
            self.alternatives.append(attributes.get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "pre"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def setting(FieldList, log_lines):
    rng = np.random.default_rng(0)
    names = (TRUTH, "emulated", "untrained", "lognormal")
    k = np.geomspace(0.01, 3, 50)
    return Setting(
        title="a <run> & more",
        fields={n: FieldList(rng.lognormal(size=(8, 16, 16)), range(8)) for n in names},
        theory={"HMcode2020": (k, 100 * k**-1.5)},
        log=log_lines,
        timings={
            "simulate": {"wall": 100.0, "cpu": 168.0},
            "train": {"wall": 300.0, "cpu": 600.0},
            "emulated": {"wall": 3.0, "cpu": 6.0},
        },
        made_by={"command": "cosmogan run demo-64", "recipe": 'name = "demo <64>"', "commit": ""},
    )


@pytest.fixture(scope="module")
def written(run, setting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "new"
    candidates = {name: run[name] for name in ("emulated", "untrained", "lognormal")}
    verdict = write_report(
        folder,
        candidates,
        run["test"],
        training=run["train"],
        validation=run["valid"],
        setting=setting,
    )
    return folder, verdict


@pytest.fixture(scope="module")
def page(written):
    return (written[0] / "report.html").read_text(encoding="utf-8")


def test_the_folder_gets_report_and_verdict_and_nothing_else(written):
    assert sorted(path.name for path in written[0].iterdir()) == ["report.html", "verdict.json"]


def test_the_page_needs_nothing_from_outside(page):
    outline = Outline(page)
    assert outline.addresses
    assert all(address.startswith("data:image/") for address in outline.addresses)
    assert not re.search(r"url\(|@import|<script|<link", page)


def test_every_picture_says_in_words_what_it_shows(page):
    alternatives = Outline(page).alternatives
    # slices, two-point, matrices, three-point, one-point, peaks, Minkowski, training
    assert len(alternatives) == 8
    assert all(alternatives)


def test_the_first_lines_are_the_verdict(page, written):
    sentences = json.loads((written[0] / "verdict.json").read_text())["sentences"]
    text = Outline(page).text
    places = [text.index(" ".join(sentence.split())) for sentence in sentences]
    assert len(places) == 3
    assert max(places) < text.index("Figure 1.") < text.index("Figure 4.") < text.index("Table 4.")


def test_words_and_not_colour_alone_say_how_it_went(page, written):
    _, verdict = written
    table = re.search(r"<table>.*?</table>", page, re.DOTALL).group()
    for candidate in verdict.candidates.values():
        for result in candidate.results.values():
            assert f"</i>{result.outcome}</span>" in table
    assert "told apart" in table


def test_every_statistic_and_candidate_has_its_row_and_column(page, written):
    _, verdict = written
    table = re.search(r"<table>.*?</table>", page, re.DOTALL).group()
    assert table.count('<span class="badge') == len(verdict.candidates) * (
        len(verdict.about.results) + 1
    )


def test_costs_stand_with_their_counting_and_the_error(page):
    text = Outline(page).text
    assert "per field, every slice of a box counted" in text
    assert "per independent realisation: a box counts once, however many slices it gives" in text
    assert "the emulator's P(k) is off by" in text


def test_what_made_it_is_told_and_nothing_can_break_out_of_the_page(page):
    assert "a &lt;run&gt; &amp; more" in page
    assert "demo &lt;64&gt;" in page
    text = Outline(page).text
    assert "cosmogan run demo-64" in text
    assert f"numpy {np.__version__}" in text


def test_two_tables_are_enough_for_a_page(run, tmp_path):
    write_report(tmp_path, {"A": run["emulated"]}, run["test"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert len(outline.alternatives) == 6
    assert "Figure 1." in outline.text
    assert "Training" not in outline.text.replace("Training took", "")
    assert "learnt" not in outline.text
    content = json.loads((tmp_path / "verdict.json").read_text())
    assert (content["learnt"], content["costs"], content["subject"]) == (None, [], "A")


def test_it_learnt_nothing_stands_in_the_first_lines(run, tmp_path):
    write_report(
        tmp_path, {"emulated": run["untrained"], "lognormal": run["lognormal"]}, run["test"]
    )
    header = (tmp_path / "report.html").read_text(encoding="utf-8").split("</header>")[0]
    assert "It learnt nothing" in header


def test_nothing_heavy_is_loaded_before_a_page_is_written():
    code = "import sys, cosmogan.compare.page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "jinja2", "torch", "ray", "dask", "pydantic"} & set(
        done.stdout.split()
    )


def test_what_stands_beside_a_verdict_hides_nothing_of_it(written, setting):
    folder, verdict = written
    found = json.loads((folder / VERDICT).read_text(encoding="utf-8"))
    assert found["training"] == verdict.training == 16
    assert found["course"]["reading"]["images"] == setting.course["reading"]["images"]
    with pytest.raises(TypeError, match="multiple values for keyword argument 'training'"):
        write_verdict(folder / "other.json", verdict, {"training": 1})


@pytest.mark.parametrize("far", [False, True])
def test_fields_from_outside_the_trained_range_are_told(run, tmp_path, far):
    made = run["emulated"]
    made = replace(made, attributes={**made.attributes} | ({"extrapolated": True} if far else {}))
    write_report(tmp_path, {"emulated": made}, run["test"])
    sentence = "The emulated fields lie outside what the network was trained at."
    assert (sentence in Outline((tmp_path / REPORT).read_text(encoding="utf-8")).text) == far
    assert (sentence in json.loads((tmp_path / VERDICT).read_text())["sentences"]) == far
