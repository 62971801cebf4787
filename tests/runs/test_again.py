"""The pictures of a run are found again, wherever they lie."""

import shutil
from pathlib import Path

import pytest

import sincut
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.runs.again import INPUTS, sides_of


def test_pictures_are_found_by_their_hash(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run, away = tmp_path / "run", tmp_path / "away.png"
    sincut.train([painting, photo], photo, run, config=tiny)
    sides = {"painting": [str(painting), str(photo)], "photo": str(photo)}
    assert sides_of(run) == sides
    painting.rename(away)
    with pytest.raises(RunError, match=r"its painting painting\.png is not where it was"):
        sides_of(run)
    assert sides_of(run, [tmp_path, tmp_path / "none.png", away]) == {**sides, "painting": [str(away), str(photo)]}
    own = run / INPUTS / "painting" / "a.png"
    own.parent.mkdir(parents=True)
    shutil.copyfile(away, own)
    assert sides_of(run) == {**sides, "painting": [str(own), str(photo)]}
    with pytest.raises(RunError, match="no checkpoint"):
        sides_of(tmp_path)
