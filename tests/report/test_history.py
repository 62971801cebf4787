"""The history of a run, as its metrics tell it."""

from sincut.report.history import History


def test_a_session_stands_at_the_step_of_its_line() -> None:
    history = History()
    history.add({"step": 5, "session": {"step": "seven", "painting": "a.png"}})
    assert history.sessions == [{"step": 5, "painting": "a.png"}]
