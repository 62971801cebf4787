"""What all tabs of the page share."""

import pytest

pytest.importorskip("gradio")


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
