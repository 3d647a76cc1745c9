"""The drawn: what must be on a figure, and that hard data break none."""

import base64
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from cosmogan.compare import curves, figures, gallery, style
from cosmogan.compare.figures import (
    EXTREMA,
    MINKOWSKI,
    ONE_POINT,
    THREE_POINT,
    TWO_POINT,
    Exhibit,
    statistics_figure,
)
from cosmogan.compare.gallery import choose
from cosmogan.compare.page import Setting
from cosmogan.compare.verdict import ANOTHER_DRAW, judge

SVG = "data:image/svg+xml;base64,"
PNG = "data:image/png;base64,"


def elements(address):
    """Return the SVG elements of an inline image; a broken image is a parse error."""
    assert address.startswith(SVG)
    return list(ET.fromstring(base64.b64decode(address.removeprefix(SVG))).iter())


def uses_colour(address, colour):
    return any(colour in element.attrib.get("style", "") for element in elements(address))


def size(address):
    """Return width and height of an inline PNG [pixel]."""
    content = base64.b64decode(address.removeprefix(PNG))
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def exhibit(run, names=("emulated", "untrained", "lognormal"), theory=None):
    tables = {name: run[name] for name in names}
    verdict = judge(tables, run["test"], training=run["train"])
    return Exhibit(
        truth=run["test"],
        tables={**tables, ANOTHER_DRAW: run["train"]},
        verdict=verdict,
        theory=theory or {},
    )


@pytest.fixture(scope="module")
def shown(run):
    k = np.geomspace(0.01, 3, 50)
    return exhibit(run, theory={"HMcode2020": (k, 100 * k**-1.5)})


@pytest.mark.parametrize("names", [TWO_POINT, THREE_POINT, ONE_POINT, EXTREMA, MINKOWSKI])
def test_every_candidate_is_drawn_in_its_own_colour(shown, names):
    drawn = statistics_figure(shown, names)
    for name in (*shown.verdict.candidates,):
        assert uses_colour(drawn, style.look(name).colour)
    assert uses_colour(drawn, style.TOLERANCE)


@pytest.mark.parametrize("name", [*TWO_POINT, *THREE_POINT, *ONE_POINT, *EXTREMA, *MINKOWSKI])
def test_every_statistic_has_a_label_of_its_own(shown, name):
    result = replace(shown.verdict.about.results["power"], name=name)
    label = figures._axis_label(shown.truth["power"], result)
    others = [n for n in (*TWO_POINT, *THREE_POINT) if n != name]
    assert all(
        label != figures._axis_label(shown.truth["power"], replace(result, name=n)) for n in others
    )


def test_the_same_figure_has_the_same_bytes(shown):
    assert statistics_figure(shown, TWO_POINT) == statistics_figure(shown, TWO_POINT)


def test_theory_is_drawn_where_it_is_given(run, shown):
    def dashed(drawn):
        styles = [element.attrib.get("style", "") for element in elements(drawn)]
        return sum(style.INK in s and "dasharray" in s for s in styles)

    assert dashed(statistics_figure(replace(shown, theory={}), TWO_POINT)) == 0
    # a line in each panel and one in the legend
    assert dashed(statistics_figure(shown, TWO_POINT)) == 3


def test_statistics_that_are_not_judged_are_left_out(shown):
    assert statistics_figure(shown, ("minima",)) == ""


@pytest.mark.parametrize("names", [THREE_POINT, ONE_POINT])
def test_negative_and_vanishing_values_break_no_figure(run, names):
    candidate = run["emulated"]
    statistics = dict(candidate.statistics)
    for name, factor in (("bispectrum", -0.5), ("reduced_bispectrum", -0.5), ("pdf", 0.0)):
        statistics[name] = replace(candidate[name], samples=factor * candidate[name].samples)
    broken = {**run, "emulated": replace(candidate, statistics=statistics)}
    assert elements(statistics_figure(exhibit(broken, ("emulated",)), names))


def test_single_simulations_break_no_figure(universe):
    training, truth = universe.simulations(2), universe.simulations(1, slices=2)
    made = universe.memoriser(training, 2)
    shown = exhibit({"emulated": made, "train": training, "test": truth}, ("emulated",))
    assert elements(statistics_figure(shown, TWO_POINT))


def test_data_sets_without_a_look_of_their_own_get_different_ones():
    names = ("A", "B", "lognormal")
    looks = [style.look(name, names) for name in names]
    assert len({look.colour for look in looks}) == len({look.marker for look in looks}) == 3


def test_pictures_are_of_different_simulations_first(FieldList):
    fields = FieldList(np.arange(6)[:, None, None] * np.ones((6, 4, 4)), [7, 7, 7, 2, 2, 5])
    assert [picture[0, 0] for picture in choose(fields, 3)] == [0, 3, 5]
    assert [picture[0, 0] for picture in choose(fields, 5)] == [0, 3, 5, 1, 2]
    assert len(choose(fields, 9)) == 6


def test_cubes_are_shown_as_slabs(FieldList):
    cube = np.random.default_rng(0).random((1, 16, 16, 16))
    (picture,) = choose(FieldList(cube, [1]), 1)
    np.testing.assert_allclose(picture, cube[0, 8:10].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("others", [0, 1, 2])
def test_the_gallery_has_a_row_for_the_truth_one_for_the_subject_and_one_for_the_rest(
    FieldList, others
):
    rng = np.random.default_rng(0)
    names = ["truth", "emulated", "untrained", "lognormal"][: 2 + others]
    sets = {n: FieldList(rng.lognormal(size=(8, 16, 16)), range(8)) for n in names}
    width, height = size(gallery.gallery(sets, truth="truth", subject="emulated"))
    assert width == round(style.WIDTH * 140)
    assert height == pytest.approx((3 if others else 2) * width / 6, rel=0.15)


def test_empty_and_uniform_fields_break_no_gallery(FieldList):
    sets = {n: FieldList(np.full((1, 8, 8), v), [1]) for n, v in (("truth", 1), ("emulated", 0))}
    assert size(gallery.gallery(sets, truth="truth", subject="emulated"))


def test_alarms_are_counted_and_the_last_is_kept(log_lines):
    assert curves.raised(log_lines) == []
    gap = {"event": "alarm", "name": "gap", "low": None, "high": 0.5}
    rung = [
        *log_lines,
        gap | {"images": 3200, "value": 0.9},
        {"event": "alarm", "name": "spread", "low": 0.5, "high": 2.0, "images": 3200, "value": 0.1},
        gap | {"images": 6400, "value": 0.6},
    ]
    first, second = curves.raised(rung)
    assert (first["name"], first["images"], first["value"], first["times"]) == ("gap", 6400, 0.6, 2)
    assert (second["name"], second["times"]) == ("spread", 1)


def test_training_curves_are_drawn_from_steps_and_readings(log_lines):
    whole = len(elements(curves.training_figure(log_lines)))
    steps = [line for line in log_lines if line["event"] == "step"]
    assert whole > len(elements(curves.training_figure(steps)))
    assert curves.training_figure([]) == ""


def test_a_log_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "step", "images": 16, "d_loss": NaN}\n[1]\n{"event": "st')
    (line,) = curves.read_log(path)
    assert line["images"] == 16
    assert elements(curves.training_figure([line]))


def test_readings_may_name_their_errors_either_way():
    one = {"event": "validation", "images": 5, "score": 1.0, "power_error": 0.25}
    other = {"event": "reading", "images": 5, "score": 1.0, "errors": {"power": 0.25}}
    assert curves.training_figure([one]) == curves.training_figure([other])


GAP = {"event": "alarm", "name": "gap", "low": None, "high": 0.5, "value": 0.9}
READ = [
    {"event": "reading", "images": images, "score": score}
    for images, score in ((10, 0.9), (20, float("nan")), (30, 0.3), (40, 0.5))
]


@pytest.mark.parametrize(
    ("alarm", "known"),
    [
        (None, False),
        (GAP | {"images": 40}, False),  # those weights were not kept
        (GAP | {"images": 30}, True),
        (GAP | {"name": "spread", "images": 30}, False),  # what fields show is judged from fields
        (GAP | {"name": "prediction", "images": 0}, True),  # before the game, once
    ],
)
def test_weights_that_know_training_fields_by_heart_are_told(alarm, known):
    lines = [*READ, *([alarm] if alarm else [])]
    assert curves.kept(lines) == READ[2]
    assert curves.knows_by_heart(lines) == known
    assert Setting(log=lines).alarms == (["memory"] if known else [])
    assert Setting(log=lines).course["reading"]["images"] == 30


def test_without_a_log_nothing_is_kept():
    assert curves.kept([]) is None
    assert not curves.knows_by_heart([])
    assert Setting().course == {"reading": None, "alarms": []}
