"""Statistics written as text say the same as the table."""

import csv

import numpy as np
import pandas
import pytest

from cosmogan.errors import ResourceError
from cosmogan.fields.layout import ORIGIN_DTYPE
from cosmogan.statistics import battery
from cosmogan.statistics.export import COLUMNS, write_csv
from cosmogan.statistics.table import StatisticsTable

BOX = 100.0


def measured(simulations):
    """Return a table of one field for each number in `simulations`."""
    count = len(simulations)
    fields = np.exp(0.3 * np.random.default_rng(1).standard_normal((count, 16, 16)))
    origin = np.zeros(count, ORIGIN_DTYPE)
    origin["simulation"] = simulations
    return StatisticsTable(
        source="maps",
        source_sha256="0" * 64,
        attributes={"dimension": 2, "grid": 16, "box_size": BOX},
        origin=origin,
        parameters=np.empty((count, 0)),
        statistics=battery.measure(fields, BOX),
    )


def rows_of(path):
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("# ")]
    return head, list(csv.DictReader(lines[len(head) :]))


def test_every_bin_has_a_row_with_mean_error_and_scatter(tmp_path):
    table = measured([1, 1, 1, 2, 2, 3])
    write_csv(tmp_path / "maps.csv", table)
    head, rows = rows_of(tmp_path / "maps.csv")
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(s.coordinate) for s in table.statistics.values())
    power = [row for row in rows if row["statistic"] == "power"]
    samples = table["power"].samples
    boxes = np.array([samples[table.simulation == i].mean(axis=0) for i in (1, 2, 3)])
    for name, expected in (
        ("coordinate", table["power"].coordinate),
        ("weight", table["power"].weight),
        ("low_edge", table["power"].edges[:-1]),
        ("high_edge", table["power"].edges[1:]),
        ("mean", boxes.mean(axis=0)),
        ("standard_error", boxes.std(axis=0, ddof=1) / np.sqrt(3)),
        ("scatter", samples.std(axis=0, ddof=1)),
    ):
        np.testing.assert_allclose([float(row[name]) for row in power], expected, rtol=1e-12)
    assert head[0] == "# maps; fields: 6; simulations: 3"
    assert "# power: P(k) [(Mpc/h)^2] at k [h/Mpc]" in head
    assert "# mean_density: mean density" in head


def test_one_simulation_has_no_error_and_one_field_no_scatter(tmp_path):
    for number, empty in ((1, ("standard_error", "scatter")), (3, ("standard_error",))):
        write_csv(tmp_path / "maps.csv", measured([7] * number))
        for row in rows_of(tmp_path / "maps.csv")[1]:
            assert {name for name in ("standard_error", "scatter") if not row[name]} == set(empty)


def test_what_has_no_edges_has_none_in_the_text(tmp_path):
    write_csv(tmp_path / "maps.csv", measured([1, 2]))
    for row in rows_of(tmp_path / "maps.csv")[1]:
        bare = row["statistic"].startswith(("mean_density", "minkowski"))
        assert bool(row["low_edge"]) != bare


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ResourceError, match="cannot be written") as caught:
        write_csv(tmp_path / "a" / "maps.csv", measured([1, 2]))
    assert "\n" not in str(caught.value)


def test_a_table_of_pandas_says_what_the_text_says(tmp_path):
    table = measured([1, 1, 2, 2, 3])
    write_csv(tmp_path / "maps.csv", table)
    text = pandas.read_csv(tmp_path / "maps.csv", comment="#")
    pandas.testing.assert_frame_equal(table.to_dataframe(), text, check_exact=True)


def test_the_fields_of_one_statistic_are_rows_that_know_their_origin():
    table = measured([4, 4, 9])
    frame = table.to_dataframe("power")
    np.testing.assert_array_equal(frame.to_numpy(), table["power"].samples)
    np.testing.assert_array_equal(frame.columns, table["power"].coordinate)
    assert frame.loc[4].shape[0] == 2
    with pytest.raises(KeyError, match="powre"):
        table.to_dataframe("powre")
