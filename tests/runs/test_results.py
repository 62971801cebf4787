"""What finished runs took, as their metrics tell it."""

from pathlib import Path

import pytest
from helpers import scene

from sincut.errors import ImageError
from sincut.model.provenance import Provenance
from sincut.pictures.picture import Picture
from sincut.pictures.writing import save
from sincut.report import history
from sincut.report.history import History
from sincut.runs.results import Judge, costs, steady


def test_the_pace_is_the_median_of_the_steady_part(tmp_path: Path) -> None:
    told = History()
    assert steady(told) is None
    for step, seconds in enumerate((9.0, 5.0, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5), 1):
        told.add({"step": step, "losses": {"D": 1.0}, "step_seconds": seconds})
    for step in range(9, 99):
        told.add({"step": step, "losses": {"distil": 1.0}, "step_seconds": 0.01})
    assert steady(told) == 0.5
    one = History()
    one.add({"step": 1, "losses": {"loss": 1.0}, "step_seconds": 3.0})
    assert steady(one) == 3


def test_costs_are_those_that_a_run_tells(tmp_path: Path) -> None:
    """A method without steps, critics or heads tells less; whatever it calls its networks is told by that name."""
    assert costs(tmp_path, Provenance()) == {}
    history.append(tmp_path, {"step": 0, "session": {"parameters": {"forth": 10, "back": 20}}})
    history.append(tmp_path, {"step": 2, "losses": {"D": 1}, "step_seconds": 0.5, "memory": 1_234_567_890})
    assert costs(tmp_path, Provenance(steps=2, seconds=3.5, crops=4, members=1)) == {
        "step_seconds": 0.5,
        "memory_gb": 1.235,
        "seconds": 3.5,
        "steps": 2,
        "crops": 4,
        "members": 1,
        "parameters_forth": 10,
        "parameters_back": 20,
    }


def test_a_truth_of_another_size_is_refused_before_anything_is_trained(painting: Path, photo: Path) -> None:
    save(Picture(scene(40, 50, 0)), painting.with_name("truth.png"))
    with pytest.raises(ImageError, match="the truth has 50x40 pixels"):
        Judge.load(painting, photo, truth=painting.with_name("truth.png"))
    judge = Judge.load(painting, photo, reverse=True)
    assert judge.source.size == (70, 80) and judge.target.size == (72, 90)
