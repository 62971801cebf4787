"""What a browser has kept is restored only where a field could have it."""

import pytest

gr = pytest.importorskip("gradio")


def test_values_that_a_field_cannot_have_are_left_out() -> None:
    from sincut.page.last_choices import restored

    fields = [
        gr.Radio([("a photo", "photo"), ("a painting", "painting")]),
        gr.Dropdown(["1", "auto"], allow_custom_value=True),
        gr.Dropdown(["png", "jpg"]),
        gr.Slider(0.25, 4, 1),
        gr.Number(15, minimum=0.1),
        gr.Checkbox(),
    ]
    good = ["painting", "0.7", "jpg", 2.5, None, True]
    assert restored(fields, good) == good
    bad = ["sculpture", 3, "exe", 9, 0, "yes"]
    assert restored(fields, bad) == [gr.skip()] * 6
    assert restored(fields, [None, None, None, None, "x", None]) == [gr.skip()] * 6
    for nonsense in ([], None, "photo", {"a": 1}, good[:5]):
        assert restored(fields, nonsense) == [gr.skip()] * 6
