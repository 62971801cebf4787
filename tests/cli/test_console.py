"""Values as rows of a table; texts that fit a terminal."""

import pytest

from sincut.cli.console import fitted, nested
from sincut.model.provenance import PictureIdentity, Provenance


def test_what_is_nested_stands_below_its_title_and_nothing_is_json() -> None:
    one, two = PictureIdentity("a.png", 320, 256, "ab" * 32, ("turned",)), PictureIdentity("b.png", 3, 2, "cd" * 32)
    both = PictureIdentity("photos", 0, 0, "ef" * 32, (), (one, two))
    scales = {"source": (0.25, 1 / 3)}
    told = Provenance(one, both, "painting -> photo", 7, scales, {"sincut": "1"}, steps=3, losses={"G": 1.23456789})
    rows = nested(told.to_dict())
    for row in [
        ("painting", ""), ("  name", "a.png"), ("  size", "320x256"), ("  sha256", "ab" * 32), ("  notes", "turned"),
        ("photo", ""), ("  pictures", ""), ("    2", ""), ("      name", "b.png"), ("      size", "3x2"),
        ("seed", "7"), ("training_scale", ""), ("  source", "0.25, 0.333333"), ("  G", "1.23457"), ("steps", "3"),
    ]:  # fmt: skip
        assert row in rows, row
    assert [text for title, text in rows if title == "  size"] == ["320x256"]  # a set has none
    assert not set('{}[]"') & set("".join(title + text for title, text in rows))


TOLD = "step 10: texture 1.17: further from the photo's than the painting's; another --seed (or more time) is better"


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (200, [TOLD]),
        (len(TOLD), [TOLD]),
        (80, [TOLD[:68], "  another --seed (or more time) is better"]),
        (40, ["step 10: texture 1.17:", "  further from the photo's than the painting's;", "  another --seed",
              "  (or more time) is better"]),
    ],
)  # fmt: skip
def test_texts_are_broken_between_phrases_alone(columns: int, lines: list[str]) -> None:
    assert fitted(TOLD, columns).split("\n") == lines


def test_a_command_stays_whole() -> None:
    command = "sincut train 'a painting, old.png' photo.png -o runs/first --resume"
    assert fitted(f"stopped; go on: {command}", 40).split("\n") == ["stopped; go on:", f"  {command}"]
