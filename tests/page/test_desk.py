"""What all tabs of the page share."""

import pytest

from sincut.errors import ImageError

gr = pytest.importorskip("gradio")


def test_stop_counts_from_the_click_until_the_job_has_ended() -> None:
    from sincut.page.desk import Stops

    stops = Stops()
    stops.ask("a")  # there is nothing to stop yet
    stops.expect("a")
    assert not stops.asked("a")
    stops.ask("a")
    stops.expect("a")  # another click, which starts nothing
    stops.expect("b")
    with stops.running("a"), stops.running("b"):
        assert stops.asked("a") and not stops.asked("b")
    stops.ask("b")
    with pytest.raises(KeyError), stops.running("a"):
        assert not stops.asked("a")
        stops.ask("a")
        raise KeyError
    with stops.running("a"), stops.running("b"):
        assert not stops.asked("a") and not stops.asked("b")


def test_uploads_are_named_as_their_visitor_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from sincut.page.desk import in_short, told

    monkeypatch.setenv("GRADIO_TEMP_DIR", "/tmp/place-x")
    assert in_short("/tmp/place-x/0af3/fake.jpg: is not a picture") == "fake.jpg: is not a picture"
    assert in_short("/tmp/place-x/styled-1/sources/a b.png: no; /tmp/other/c.png") == "a b.png: no; /tmp/other/c.png"

    def fail() -> None:
        raise ImageError("/tmp/place-x/0af3/fake.jpg: is not a picture")

    with pytest.raises(gr.Error) as error:
        told(fail)()
    assert error.value.message == "fake.jpg: is not a picture" and error.value.duration == 6
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    assert in_short("/tmp/place-x/0af3/fake.jpg") == "/tmp/place-x/0af3/fake.jpg"
