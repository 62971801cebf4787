"""Events in words."""

import pytest

from sincut.cli.progress import Reporter
from sincut.events import BatchStarted, Event, Planned, Started


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (BatchStarted(1, 1, 1, 1_000_000), "1 to translate, 1 megapixel, 1 there already (--overwrite does it again)"),
        (BatchStarted(1, 0, 1, 0), "1 failed before (--retry-failed tries it again)"),
        (BatchStarted(2, 2, 2, 2_500_000), "2.5 megapixels, 2 there already (--overwrite does them again), 2 failed"),
        (Planned(0, 1, 0.0, 1), "1 step of 1 crop\n"),
        (Planned(0, 20, 0.0, 2), "20 steps of 2 crops\n"),
        (Started(0, "cpu", "float32", "asked for", 1, {}), "on cpu, 1 thread in float32"),
    ],
)
def test_numbers_agree_with_their_nouns(event: Event, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as reporter:
        reporter(event)
    assert words in capsys.readouterr().err
