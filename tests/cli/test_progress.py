"""Progress on a terminal: what stands in a line of 80 columns, and what on a wide one."""

import io
import os
import re
import select
import time
from pathlib import Path

import pytest
from forked import begun
from rich.console import Console

from sincut.cli.progress import Reporter, TimeLeft
from sincut.events import Advanced, Planned, Progress

LOSSES = {"D": 0.7471, "G": 1.0883, "NCE": 0.4452, "guide": 0.1394}


def line(columns: int, *events: Advanced | Planned | Progress) -> str:
    """The bar after these events, on a terminal of so many columns."""
    reporter = Reporter()
    for event in events:
        reporter(event)
    out = io.StringIO()
    console = Console(file=out, width=columns, force_terminal=True, color_system=None)
    for column in reporter.bar.columns[:1]:
        assert type(column).__name__ == "SpinnerColumn"  # moves whatever the training does
    console.print(reporter.bar.get_renderable())
    return out.getvalue().rstrip()


@pytest.fixture
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


@pytest.mark.parametrize("columns", [80, 60], indirect=True)
def test_a_narrow_terminal_has_time_bar_and_step(columns: int) -> None:
    planned = Planned(6, 45, 1.16, 4, members=3, doing="training 1 of 3")
    shown = line(columns, planned, Progress(20, 45, LOSSES, 0.006, 1.16, 23.0, 51.0))
    assert len(shown.splitlines()) == 1 and len(shown) <= columns
    assert shown.index("51 s left") < shown.index("━") < shown.index("20/45") < shown.index("training 1 of 3")
    assert shown.count("━") >= columns // 6 and "NCE" not in shown  # 20 of 45


@pytest.mark.parametrize("columns", [160], indirect=True)
def test_a_wide_terminal_has_losses_too(columns: int) -> None:
    shown = line(columns, Planned(6, 45, 1.16, 4), Progress(20, 45, LOSSES, 0.006, 1.16, 23.0, 51.0))
    assert len(shown) <= columns and "NCE 0.445" in shown and "1.16 s/step" in shown and "51 s left" in shown


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_steps_move_the_bar_between_lines_of_metrics(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = line(columns, Advanced(3, 0, 4.0, 176.0, "measuring this machine"))
    assert "2:56 min left" in measured and "measuring this machine" in measured and "3/?" in measured
    shown = line(columns, Planned(6, 45, 1.16, 4), Advanced(7, 45, 9.0, 44.0, "training"))
    assert "7/45" in shown and "44 s left" in shown
    now = time.monotonic()
    reporter = Reporter()
    reporter(Advanced(7, 45, 9.0, 44.0, "training"))
    monkeypatch.setattr("sincut.cli.progress.time.monotonic", lambda: now + 10)  # counted down while a step takes long
    assert str(TimeLeft().render(reporter.bar.tasks[0])) in ("34 s left", "35 s left")


def seen(words: list[object], columns: int) -> tuple[list[str], str]:
    """What a command leaves on a terminal of so many columns, line by line, and all that it has shown."""
    import pty

    screen, stderr = pty.openpty()
    process = begun(words, Path(os.ttyname(stderr)), TERM="xterm-256color", COLUMNS=str(columns))
    shown = b""
    while select.select([screen], [], [], 0.05)[0] or process.is_alive():
        if select.select([screen], [], [], 0)[0]:
            shown += os.read(screen, 65536)
    process.join()
    os.close(screen)
    os.close(stderr)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")], text


@pytest.mark.skipif(os.name == "nt", reason="has no pseudo-terminals")
@pytest.mark.parametrize("narrow", [80, 60])
def test_no_line_of_a_training_is_broken_by_the_terminal(
    narrow: int, painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    """But for paths and commands that are longer than a line. Something moves before torch is loaded."""
    flags = [*tiny_flags, "--set", "output.previews=1", "--steps", "2"]
    words: list[object] = ["train", painting, photo, "-o", tmp_path / "run", "--device", "cpu", *flags]
    lines, text = seen(words, narrow)
    assert text.index("loading") < text.index("will look like") and "  for the other way round: --to painting" in lines
    assert [line for line in lines if len(line) > narrow and str(tmp_path) not in line] == []
    assert any(line.startswith("figures: colour") for line in lines)
    assert any(line.endswith(f"apply {tmp_path / 'run'} {painting} -o out.png") for line in lines)


@pytest.mark.skipif(os.name == "nt", reason="has no pseudo-terminals")
def test_an_error_stands_alone_on_the_terminal(tmp_path: Path) -> None:
    """Where nothing has begun yet there is no bar that stays."""
    lines, text = seen(["train", tmp_path, "--resume"], 80)
    assert "loading" in text and [line for line in lines if "━" in line or "loading" in line] == []
    assert any(line.startswith("sincut:") for line in lines) and lines[-2].endswith("train anew")
