"""Values as rows of a table."""

from sincut.cli.console import nested
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
