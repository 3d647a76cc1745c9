"""Pictures and curves to watch: both are there after a reading, and hold its numbers."""

import numpy as np
import pytest

from cosmogan.train.album import SHOWN, Album, Board, draw
from cosmogan.train.reading import Exam, Referee

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def referee(sides, base_plan):
    truth = np.concatenate([side[:] for side in sides])
    tolerance, k_max = base_plan.tolerance, base_plan.k_max
    nowhere = np.zeros(len(truth), np.int64)
    exam = Exam(np.empty(0), [], truth, (nowhere, nowhere))
    return Referee(exam, sides[0].layout, tolerance=tolerance, k_max=k_max)


def test_a_reading_leaves_a_picture(tmp_path, referee, sides):
    fields = sides[1][:]
    album = Album(tmp_path)
    album.line({"event": "step", "images": 40})
    assert list(tmp_path.iterdir()) == []
    album.reading(referee.read(fields, images=40), fields, referee)
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "000000000040.png"
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [2, SHOWN, 9])
def test_a_picture_shows_fields_of_the_whole_exam_and_the_ratio_of_power(referee, sides, count):
    fields = sides[1][:count]
    reading = referee.read(fields, images=123)
    figure = draw(reading, fields, referee)
    *panels, axis = figure.axes
    assert len(panels) == min(count, SHOWN)
    shown = (
        [fields[0], *fields[1:-1][-(len(panels) - 2) :], fields[-1]]
        if count <= SHOWN
        else [fields[n] for n in (0, 2, 5, 8)]
    )
    for panel, field in zip(panels, shown, strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), np.log10(field + 1e-2))
    k, ratio = axis.lines[-1].get_data()
    truth = referee.truth["power"]
    np.testing.assert_array_equal(k, truth.coordinate)
    judged = referee.judged(truth)
    assert np.mean(np.abs(ratio[judged] - 1)) == pytest.approx(reading.errors["power"])
    assert "123" in axis.get_title()


def test_the_board_gets_every_number_of_a_line(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    for images in (10, 20):
        errors = {"power": 0.5, "pdf": 1}
        board.line({"event": "reading", "images": images, "score": images / 2, "errors": errors})
    board.writer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"images", "score", "errors/power", "errors/pdf"}
    assert [(e.step, e.value) for e in events.Scalars("score")] == [(10, 5), (20, 10)]
