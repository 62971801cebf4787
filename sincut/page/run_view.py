"""The runs as the page shows them: a list, how the chosen one is doing, its previews and curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from sincut.files import stat_of
from sincut.model.markup import render
from sincut.page.desk import Desk, clock
from sincut.page.status import DONE, RUNNING, STOPPED, STOPPING, Status
from sincut.report.history import is_drawn

POINTS = 400  # steps of a curve, at most


class Shown(NamedTuple):
    """The parts of a tab that show the runs: either the Gradio components themselves or an update for each of them."""

    runs: Any  # the list to choose from
    status: Any  # words and a bar
    latest: Any  # the last preview
    previews: Any
    losses: Any
    figures: Any
    stop: Any
    resume: Any
    seen: Any  # `Seen`, kept by the server for the tab; None: show everything anew


class Seen(NamedTuple):
    """The state that a tab shows at the moment; nothing is sent as long as it stays the same."""

    choices: list[tuple[str, str]]
    run: str | None
    status: Status | None
    previews: list[tuple[str, Any]]  # path and `stat_of` of each


def run_fields() -> Shown:
    """The components, laid out: the list of runs, Stop and Resume, status, previews, curves."""
    runs = gr.Dropdown([], label="Run", elem_id="runs", filterable=False)
    with gr.Row():
        stop = gr.Button("Stop and save", elem_id="stop", interactive=False, size="md")
        resume = gr.Button("Resume", elem_id="resume", interactive=False, size="md")
    status = gr.HTML("", elem_classes="status", elem_id="status")
    with gr.Row():
        latest = gr.Image(label="Latest preview", interactive=False, height=420, buttons=["download", "fullscreen"])
        previews = gr.Gallery(
            label="All previews", columns=3, height=420, fit_columns=False, interactive=False, buttons=["fullscreen"]
        )
    with gr.Row():
        losses = gr.LinePlot(x="step", y="value", color="loss", title="Losses", height=260, min_width=300)
        figures = gr.LinePlot(
            x="step",
            y="value",
            color="figure",
            height=260,
            min_width=300,
            title="Figures of the previews",
            caption="Colour and texture should fall, structure and tone stay high. Of what the network gives (--fast).",
        )
    return Shown(runs, status, latest, previews, losses, figures, stop, resume, gr.State(None))


def run_updates(desk: Desk, run: str | None, seen: Any) -> list[Any]:
    """An update for each of `Shown`; `gr.skip()` for what the tab shows already.

    `run` is the run that is chosen in the tab; if there is none of that name, one that is being trained, or else the
    latest, takes its place.
    """
    statuses = desk.trainings.statuses()
    choices = [(_in_short(name, status), name) for name, status in statuses.items()]
    active = (name for name, status in statuses.items() if status.phase in (RUNNING, STOPPING))
    run = run if run in statuses else next(active, next(iter(statuses), None))
    previews = desk.trainings.previews(run) if run else []
    now = Seen(choices, run, statuses.get(run or ""), [(str(path), stat_of(path)) for path in previews])
    updates = Shown(*[gr.skip()] * len(Shown._fields))
    if now == seen:
        return list(updates)
    updates = updates._replace(runs=gr.update(choices=choices, value=run), seen=now)
    if run is None:
        return list(updates._replace(status="<p>No runs yet. Choose two pictures above.</p>"))
    if seen is None or seen[1] != run or seen[3] != now.previews:
        pictures = [(_cached(path), _caption(path, previews)) for path in previews]
        updates = updates._replace(latest=pictures[-1][0] if pictures else None, previews=pictures)
    history = desk.trainings.history(run)
    return list(
        updates._replace(
            status=_in_full(run, statuses[run]),
            losses=_curve("loss", history.losses),
            figures=_curve("figure", history.figures),
            stop=gr.update(interactive=statuses[run].phase == RUNNING),
            resume=gr.update(interactive=statuses[run].is_resumable),
        )
    )


def _caption(path: Path, previews: Sequence[Path]) -> str:
    """The step of a preview, and that it shows G alone where others of the run are drawn."""
    alone = any(map(is_drawn, previews)) and not is_drawn(path)
    return f"step {int(path.stem)}{', before it is drawn' if alone else ''}"


def _cached(path: Path) -> str:
    """A copy where Gradio serves files from, named by its content."""
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    return str(save_file_to_cache(path, get_upload_folder()))


def _in_short(name: str, status: Status) -> str:
    """A line of the list of runs, as in `sea – running 40%`."""
    share = f" {status.step / status.steps:.0%}" if status.steps and status.phase != DONE else ""
    return f"{name} – {status.phase}{share}"


def _in_full(name: str, status: Status) -> str:
    """HTML: the status in words, a bar, and the last warnings."""
    words = status.phase
    if status.phase == RUNNING and not status.step:
        words += ", getting ready"
    elif status.steps:
        words += f", step {status.step} of {status.steps}"
    if status.phase == RUNNING and status.seconds_left:
        words += f", about {clock(status.seconds_left)} left"
    if status.phase == STOPPED:
        words += " (Resume goes on exactly there)"
    return str(render("page/assets/status.html", name=name, words=words, status=status))


def _curve(title: str, by_step: Mapping[int, Mapping[str, float]]) -> pd.DataFrame:
    """Numbers by step and name as rows (step, name, value), the names in a column with this title."""
    lines = list(by_step.items())[:: max(1, len(by_step) // POINTS)]
    rows = [(step, name, value) for step, values in lines for name, value in values.items()]
    return pd.DataFrame(rows, columns=["step", title, "value"])
