"""The runs as the page shows them: a list, how the chosen one is doing, its previews and curves."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from sincut.files import stat_of
from sincut.model.markup import render
from sincut.page.before_after import served
from sincut.page.desk import Desk, clock, link
from sincut.page.status import DONE, RUNNING, STOPPED, STOPPING, Status
from sincut.report.history import is_drawn
from sincut.report.measures import meaning
from sincut.report.run_page import LOSSES

POINTS = 400  # steps of a curve, at most
EXPLAINED = ("colour", "texture", "structure", "tone", "sharpness")  # figures that every training takes
# Warnings of a training on the figures of a preview, see `recorder.Recorder` and `measures.complaints`.
COMPLAINT = re.compile(r"step (?P<step>\d+): (?P<figure>colour|texture|structure|tone) .*; another --seed .*")
SEEN = {
    "colour": "The colours have moved away from those that were to be learned",
    "texture": "The result has lost the texture that was to be learned",
    "structure": "The shapes of the picture are getting lost",
    "tone": "Light and dark no longer follow the picture",
}


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
    minutes: Any  # to train longer
    longer: Any
    again: Any  # another training with the next seed
    report: Any  # link to the run's report
    pictures: Any  # row of the previews, hidden while there are none
    explained: Any  # column of the figures, hidden while there are none
    section: Any  # all of it but the status, hidden while there are no runs
    seen: Any  # `Seen`, kept by the server for the tab; None: show everything anew


class Seen(NamedTuple):
    """The state that a tab shows at the moment; nothing is sent as long as it stays the same."""

    choices: list[tuple[str, str]]
    run: str | None
    status: Status | None
    previews: list[tuple[str, Any]]  # path and `stat_of` of each


def run_fields() -> Shown:
    """The components, laid out: status, what can be done with the run, the list of runs, previews, curves."""
    status = gr.HTML("", elem_classes="status", elem_id="status")
    with gr.Column(visible=False) as section:
        return _section(section, status)


def _section(section: Any, status: Any) -> Shown:
    """The components of runs, laid out in a section that is hidden while there are none, with the `status` above it."""
    with gr.Row(elem_classes="buttons"):
        stop = gr.Button("Stop and save", elem_id="stop", interactive=False, size="md")
        resume = gr.Button("Resume", elem_id="resume", interactive=False, size="md")
        minutes = gr.Number(5, label="More minutes", minimum=0.1, elem_id="more-minutes", min_width=120)
        longer = gr.Button("Train longer", elem_id="longer", interactive=False, size="md")
        again = gr.Button("Try again with another seed", elem_id="again", interactive=False, size="md")
        report = gr.HTML("", elem_id="report", padding=False)
    gr.Markdown("## Runs")
    runs = gr.Dropdown([], label="Run", elem_id="runs", filterable=False)
    with gr.Row(visible=False) as pictures:
        latest = gr.Image(label="Latest preview", interactive=False, height=420, buttons=["download", "fullscreen"])
        previews = gr.Gallery(
            label="All previews",
            columns=3,
            height="auto",
            fit_columns=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="previews",
        )
    meanings = {name: meaning(name) for name in EXPLAINED}
    with gr.Column(visible=False) as explained:
        gr.HTML(str(render("page/assets/figures.html", figures=meanings)))
        figures = gr.LinePlot(x="step", y="value", color="figure", height=260, title="Figures of the previews")
    with gr.Accordion("Losses: what the networks are told while they learn", open=False):
        gr.HTML(str(render("page/assets/losses.html", losses=LOSSES)))
        losses = gr.LinePlot(x="step", y="value", color="loss", title="Losses", height=260)
    return Shown(
        runs,
        status,
        latest,
        previews,
        losses,
        figures,
        stop,
        resume,
        minutes,
        longer,
        again,
        report,
        pictures,
        explained,
        section,
        gr.State(None),
    )


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
    updates = updates._replace(
        runs=gr.update(choices=choices, value=run), section=gr.update(visible=bool(run)), seen=now
    )
    if run is None:
        return list(updates._replace(status="<p>No runs yet. Choose two pictures, then start.</p>"))
    if seen is None or seen[1] != run or seen[3] != now.previews:
        pictures = [(served(path), _caption(path, previews)) for path in previews]
        updates = updates._replace(latest=pictures[-1][0] if pictures else None, previews=pictures)
    history = desk.trainings.history(run)
    return list(
        updates._replace(
            status=_in_full(run, statuses[run]),
            losses=_curve("loss", history.losses),
            figures=_curve("figure", history.figures),
            stop=gr.update(interactive=statuses[run].phase == RUNNING),
            resume=gr.update(interactive=statuses[run].is_resumable),
            longer=gr.update(interactive=statuses[run].phase in (DONE, STOPPED)),
            again=gr.update(interactive=statuses[run].phase in (DONE, STOPPED)),
            report=report_link(desk, run),
            pictures=gr.update(visible=bool(previews)),
            explained=gr.update(visible=bool(history.figures)),
        )
    )


def _caption(path: Path, previews: Sequence[Path]) -> str:
    """The step of a preview, and that it shows G alone where others of the run are drawn."""
    alone = any(map(is_drawn, previews)) and not is_drawn(path)
    return f"step {int(path.stem)}{'; sketch' if alone else ''}"


def report_link(desk: Desk, run: str) -> str:
    """HTML: a link to the report of a run, empty while it has none."""
    if not desk.trainings.report(run):
        return ""
    return link("report", run, "Open the report")


def _in_short(name: str, status: Status) -> str:
    """A line of the list of runs, as in `sea – running 40%`."""
    known = status.share is not None and status.phase != DONE
    return f"{name} – {status.phase}{f' {status.share:.0%}' if known else ''}"


def _in_full(name: str, status: Status) -> str:
    """HTML: the status in words, a bar over the time, and the last warnings."""
    words = status.phase
    if status.phase == RUNNING and status.doing:
        words += f", {status.doing}"
    if status.steps and (status.step or status.phase != RUNNING):
        words += f", step {status.step} of {status.steps}"
    if status.phase == RUNNING and status.seconds_left:
        words += f", about {clock(status.seconds_left)} left"
    if status.phase == STOPPED:
        words += " (Resume goes on exactly there)"
    said = [_in_plain_words(text) for text in status.said[-3:]]
    page_title = f"{status.share or 0:.0%} – sincut" if status.phase == RUNNING else f"{status.phase} – sincut"
    values = {"name": name, "words": words, "share": status.share, "said": said, "page_title": page_title}
    return str(render("page/assets/status.html", **values, going_on=status.phase in (RUNNING, STOPPING)))


def _in_plain_words(warning: str) -> str:
    """A warning of a training; one on a figure of a preview as what can be seen, and what to do about it."""
    match = COMPLAINT.fullmatch(warning)
    if match is None:
        return warning
    return f"{SEEN[match['figure']]} (step {match['step']}). Try again with another seed."


def _curve(title: str, by_step: Mapping[int, Mapping[str, float]]) -> pd.DataFrame | None:
    """Numbers by step and name as rows (step, name, value), the names in a column with this title; None without any.

    A plot that is given an empty table keeps the types that it has guessed of its columns, and never draws later ones.
    """
    lines = list(by_step.items())[:: max(1, len(by_step) // POINTS)]
    rows = [(step, name, value) for step, values in lines for name, value in values.items()]
    return pd.DataFrame(rows, columns=["step", title, "value"]) if rows else None
