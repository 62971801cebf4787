"""Tables of pairs: what a row says, bad rows, and tables that are none."""

from pathlib import Path

import pytest
from helpers import in_process

from sincut.config.resolve import resolve
from sincut.errors import ConfigError, RunError
from sincut.runs import table
from sincut.runs.table import Outcome, Pair


def load(text: str, tmp_path: Path, *flags: str) -> list[Pair | Outcome]:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return table.load(path, tmp_path / "runs", flags=flags)


def test_rows_say_what_is_special(painting: Path, photo: Path, tmp_path: Path) -> None:
    text = "photo,painting,minutes,steps,seed,reverse,preset,crops.count,name\n"
    text += "photo.png,painting.png,2,,3,yes,quick,4,\nphoto.png,painting.png,,50,,,,,second\n"
    one, two = load(text, tmp_path, "schedule.seed=9", "schedule.steps=11")
    assert isinstance(one, Pair) and isinstance(two, Pair)
    assert (one.name, one.reverse, one.folder) == ("painting-to-photo", True, tmp_path / "runs/painting-to-photo")
    schedule = one.config.schedule
    assert (schedule.minutes, schedule.steps, schedule.seed, one.config.crops.count) == (2, 0, 3, 4)
    assert (two.name, two.reverse, two.config.schedule.steps, two.config.schedule.seed) == ("second", False, 50, 9)
    assert two.config.crops.count == resolve().crops.count
    assert (one.painting, one.photo) == (painting, photo)


def test_a_row_says_what_will_look_like_what(painting: Path, photo: Path, tmp_path: Path) -> None:
    rows = "painting,photo,to,reverse\npainting.png,photo.png,,\npainting.png,photo.png,Painting,yes\n"
    both = load(rows + "painting.png,photo.png,photo,yes\npainting.png,photo.png,sketch,\n", tmp_path)
    there, back, torn, odd = both
    assert isinstance(there, Pair) and isinstance(back, Pair) and isinstance(torn, Outcome) and isinstance(odd, Outcome)
    assert (there.name, there.reverse, there.to) == ("painting-to-photo", False, "photo")
    assert (back.name, back.reverse, back.to) == ("photo-to-painting", True, "painting")
    assert "line 4: to photo and reverse disagree" in torn.error
    assert "line 5: to is 'sketch'; it must be painting or photo" in odd.error


def test_a_row_says_if_its_model_carries_its_target(painting: Path, photo: Path, tmp_path: Path) -> None:
    rows = "painting,photo,name,exemplar\n" + "".join(
        f"painting.png,photo.png,{number},{cell}\n" for number, cell in enumerate(("", "no", "Yes", "maybe"))
    )
    plain, without, carrying, odd = load(rows, tmp_path, "synthesis.exemplar=true")
    assert isinstance(plain, Pair) and isinstance(without, Pair) and isinstance(carrying, Pair)
    assert [pair.config.synthesis.exemplar for pair in (plain, without, carrying)] == [True, False, True]
    assert isinstance(odd, Outcome) and "line 5: exemplar is 'maybe'; write yes or no" in odd.error


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("painting.png,none.png,x,", "no such file"),
        ("painting.png,,x,", "names no photo"),
        ("painting.png,photo.png,../x,", "no name for a folder"),
        ("painting.png,photo.png,.,", "no name for a folder"),
        ("painting.png,photo.png,x,much", "seed"),
        ("painting.png,photo.png,good,", "line 2"),
        ("painting.png,photo.png,Good,", "line 2"),
        ("painting.png,photo.png,x,1,2,3", "more or fewer cells"),
        ("painting.png", "more or fewer cells"),
    ],
)
def test_a_bad_row_fails_alone(painting: Path, photo: Path, tmp_path: Path, row: str, word: str) -> None:
    good = "painting.png,photo.png,good,"
    rows = load(f"painting,photo,name,seed\n{good}\n{row}\n", tmp_path)
    assert isinstance(rows[0], Pair)
    assert isinstance(rows[1], Outcome) and rows[1].state == "failed"
    assert "t.csv, line 3: " in rows[1].error and word in rows[1].error


def test_a_table_that_is_none_is_refused(painting: Path, photo: Path, tmp_path: Path) -> None:
    for text, word in (("painting,foto\n", "photo"), ("painting,photo,sed\nx,y,1\n", "sed")):
        with pytest.raises(ConfigError, match=f"t.csv: .*{word}"):
            load(text, tmp_path)
    for text, word in (("painting,photo\n", "no rows"), ('painting,photo\n"x', "CSV")):
        with pytest.raises(RunError, match=word):
            load(text, tmp_path)
    with pytest.raises(RunError, match=r"none\.csv"):
        table.load(tmp_path / "none.csv", tmp_path)
    assert_clear = in_process("train", painting, photo, "--pairs", tmp_path / "t.csv")
    assert assert_clear.returncode == 2
