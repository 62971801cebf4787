"""The table of a study: means and spreads are those of its rows, and CSV and JSON say the same."""

import csv
import io
import json

from sincut.report.study_table import Entry, Mean, Row, Table

ROWS = [
    Row("a", 0, "trained", "a-seed-0", picture="pictures/a-seed-0.png", numbers={
        "steps": 20, "step_seconds": 0.5, "colour": 0.25, "texture": 0.5, "parameters_G": 10, "psnr_painting": 11.0}),
    Row("a", 1, "trained", "a-seed-1", picture="pictures/a-seed-1.png", numbers={
        "steps": 20, "step_seconds": 0.75, "colour": 0.75, "texture": 0.25, "parameters_G": 10}),
    Row("b", 0, "trained", "b-seed-0", picture="pictures/b-seed-0.png", numbers={"colour": 0.25, "texture": 0.375}),
    Row("b", 1, "failed", "b-seed-1", "b-seed-1: not finite, \"quoted\""),
]  # fmt: skip
TABLE = Table("x.png", "y.png", "20 steps", [Entry("a", "first"), Entry("b", "b's", {"losses.nce": (1, 2)})], ROWS)


def test_means_and_spreads_are_those_of_the_rows() -> None:
    means = TABLE.means("a")
    assert means["colour"] == Mean(0.5, 0.353553) and means["steps"] == Mean(20, 0)  # half of the root of 1/2
    assert TABLE.means("b")["colour"] == Mean(0.25, None) and "steps" not in TABLE.means("b")
    assert TABLE.columns() == ["step_seconds", "steps", "parameters_G", "colour", "texture", "psnr_painting"]
    assert set(TABLE.meanings()) == set(TABLE.columns())


def test_the_best_is_marked_where_presets_differ() -> None:
    assert TABLE.best() == {"colour": 0.25}  # texture is the same in both


def test_csv_and_json_hold_every_number_of_every_training() -> None:
    lines = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    told = json.loads(json.dumps(TABLE.to_dict()))
    assert len(lines) == len(told["rows"]) == len(ROWS)
    for line, entry, row in zip(lines, told["rows"], ROWS, strict=True):
        assert entry["numbers"] == row.numbers
        assert {name: float(line[name]) for name in TABLE.columns() if line[name]} == row.numbers
        assert (line["preset"], int(line["seed"]), line["state"]) == (row.preset, row.seed, row.state)
        assert line["error"] == entry["error"] == row.error
    assert [preset["means"]["colour"]["mean"] for preset in told["presets"]] == [0.5, 0.25]
    assert told["presets"][1]["changes"] == {"losses.nce": [1, 2]} and told["best"] == {"colour": 0.25}
