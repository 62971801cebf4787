"""The tab of trainings: two pictures and settings for a new one; below, how the runs are doing."""

import html
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from sincut.config.sections import load_preset, presets
from sincut.files import stat_of
from sincut.page.desk import HIDDEN, Desk, clock, told
from sincut.page.jobs import Order
from sincut.page.status import DONE, RUNNING, STOPPED, STOPPING, Status
from sincut.pictures import formats
from sincut.report.history import History

POLL_SECONDS = 2.0
POINTS = 400  # of a curve, at most
FORWARD, REVERSE = "painting → photo", "photo → painting (to style photos)"


def train_tab(desk: Desk, page: Any) -> None:
    """Two pictures and settings for a new training; below, the runs and how the chosen one is doing."""
    with gr.Row():
        files, pictures = zip(*(_drop(role) for role in ("Painting", "Photo")), strict=True)
    with gr.Accordion("or files on this computer", open=False), gr.Row():
        texts = [_path(desk, role) for role in ("Painting", "Photo")]
    for parts in zip(("painting", "photo"), files, texts, pictures, strict=True):
        _show_choice(desk, *parts)
    with gr.Row():
        direction = gr.Radio([FORWARD, REVERSE], value=FORWARD, label="What to learn", scale=2, min_width=260)
        about = {preset.name: preset.about for preset in presets()}
        preset = gr.Dropdown(
            list(about), value="standard", label="Preset", info=about["standard"], scale=2, min_width=260
        )
        minutes = gr.Number(15, label="Minutes", info="Empty: as the preset says.", minimum=0.1, scale=1)
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            name = gr.Textbox(label="Name of the run", elem_id="name", placeholder="PAINTING-to-PHOTO")
            seed = gr.Number(0, label="Seed", info="Another one gives another picture.", precision=0, minimum=0)
        settings = gr.Textbox(
            label="Settings, one a line", elem_id="settings", placeholder="crops.count=4", lines=3,
            info="As of the option --set; `sincut presets standard` lists and explains them.",
        )  # fmt: skip
    start = gr.Button("Start training", variant="primary", elem_id="start")
    gr.Markdown("## Runs")
    runs = gr.Dropdown([], label="Run", elem_id="runs", filterable=False)
    with gr.Row():
        stop = gr.Button("Stop and save", elem_id="stop", interactive=False, size="md")
        resume = gr.Button("Resume", elem_id="resume", interactive=False, size="md")
    outputs = [runs, *_progress_fields(), stop, resume]
    seen = gr.State(None)

    def watch(run: str | None, seen: Any) -> list[Any]:
        return _watch(desk, run, seen)

    def begin(*given: Any) -> list[Any]:
        order = _order(desk, *given)
        others = [name for name, found in desk.trainings.statuses().items() if found.phase == RUNNING]
        name = desk.trainings.start(order)
        if others:
            gr.Warning(html.escape(f"{', '.join(others)} is being trained too; both take longer"))
        return watch(name, None)

    def go_on(run: str, *given: Any) -> list[Any]:
        candidates = [desk.given(*pair, "") for pair in zip(given[:2], given[2:], strict=True) if any(pair)]
        return watch(desk.trainings.resume(run, candidates), None)

    def halt(run: str) -> list[Any]:
        desk.trainings.stop(run)
        return watch(run, None)

    preset.change(_preset_fields, preset, [preset, minutes], **HIDDEN)
    outputs = [*outputs, seen]
    fields = [*files, *texts, direction, preset, minutes, name, seed, settings]
    start.click(told(begin), fields, outputs, **HIDDEN)
    resume.click(told(go_on), [runs, *files, *texts], outputs, **HIDDEN)
    stop.click(told(halt), runs, outputs, **HIDDEN)
    runs.input(told(lambda run: watch(run, None)), runs, outputs, **HIDDEN)
    timer = gr.Timer(POLL_SECONDS)
    for event in (timer.tick, page.load):
        event(told(watch), [runs, seen], outputs, concurrency_limit=None, **HIDDEN)


def _drop(role: str) -> tuple[Any, Any]:
    """A place to drop one picture, and where it is shown then."""
    with gr.Column(min_width=280):
        file = gr.File(label=role, file_types=sorted(formats.SUFFIXES), height=140, elem_id=f"drop-{role.lower()}")
        return file, gr.Image(label=role, interactive=False, height=260, visible=False, buttons=["fullscreen"])


def _path(desk: Desk, role: str) -> Any:
    return gr.Textbox(
        label=f"{role}, below {desk.root}", placeholder="pictures/name.jpg", max_lines=1,
        elem_id=f"path-{role.lower()}", min_width=280,
    )  # fmt: skip


def _show_choice(desk: Desk, role: str, file: Any, text: Any, picture: Any) -> None:
    """Whatever is dropped or named is shown, and refused at once where it is no picture."""

    def look(upload: str | None, typed: str | None) -> Any:
        if not upload and not (typed or "").strip():
            return gr.update(value=None, visible=False)
        return gr.update(value=desk.shown(desk.given(upload, typed, role)), visible=True)

    for event in (file.change, text.submit, text.blur):
        event(told(look), [file, text], picture, **HIDDEN)


def _progress_fields() -> list[Any]:
    """How a run is doing: words and a bar, the last preview, earlier ones, curves."""
    status = gr.HTML("", elem_classes="status", elem_id="status")
    with gr.Row():
        latest = gr.Image(label="Latest preview", interactive=False, height=420, buttons=["download", "fullscreen"])
        previews = gr.Gallery(label="All previews", columns=3, height=420, fit_columns=False,
                              interactive=False, buttons=["fullscreen"])  # fmt: skip
    with gr.Row():
        losses = gr.LinePlot(x="step", y="value", color="loss", title="Losses", height=260, min_width=300)
        figures = gr.LinePlot(
            x="step", y="value", color="figure", height=260, min_width=300,
            title="Figures of the previews", caption="Colour and texture should fall, structure and tone stay high.",
        )  # fmt: skip
    return [status, latest, previews, losses, figures]


def _preset_fields(preset: str) -> tuple[Any, Any]:
    found = load_preset(preset)
    schedule = found.config.schedule
    return gr.update(info=found.about), gr.update(value=None if schedule.steps else schedule.minutes)


def _order(
    desk: Desk, painting: str | None, photo: str | None, typed_painting: str | None, typed_photo: str | None,
    direction: str, preset: str, minutes: float | None, name: str | None, seed: float | None, settings: str | None,
) -> Order:  # fmt: skip
    """What the fields of the page say."""
    lines = [line.strip() for line in (settings or "").splitlines() if line.strip()]
    if any(line.partition("=")[0].strip() in ("schedule.minutes", "schedule.steps") for line in lines):
        minutes = None  # what is written there counts
    return Order(
        desk.given(painting, typed_painting, "painting"),
        desk.given(photo, typed_photo, "photo"),
        direction == REVERSE, preset, minutes, int(seed or 0), lines, (name or "").strip(),
    )  # fmt: skip


def _watch(desk: Desk, run: str | None, seen: Any) -> list[Any]:
    """Updates for the list of runs, `_progress_fields`, Stop, Resume and what was seen; none where nothing is new."""
    trainings = desk.trainings
    status = trainings.statuses()
    choices = [(_in_short(name, found), name) for name, found in status.items()]
    active = (name for name, found in status.items() if found.phase in (RUNNING, STOPPING))
    run = run if run in status else next(active, next(iter(status), None))
    previews = trainings.previews(run) if run else []
    now = choices, run, status.get(run or ""), [(str(path), stat_of(path)) for path in previews]
    if now == seen:
        return [gr.skip()] * 9
    listed = gr.update(choices=choices, value=run)
    if run is None:
        return [listed, "<p>No runs yet. Choose two pictures above.</p>", *[gr.skip()] * 6, now]
    shown: list[Any] = [gr.skip(), gr.skip()]
    if seen is None or seen[1] != run or seen[3] != now[3]:
        pictures = [(_cached(path), f"step {int(path.stem)}") for path in previews]
        shown = [pictures[-1][0] if pictures else None, pictures]
    phase = status[run].phase
    buttons = [gr.update(interactive=phase == RUNNING), gr.update(interactive=status[run].is_resumable)]
    return [listed, _in_full(run, status[run]), *shown, *_curves(trainings.history(run)), *buttons, now]


def _cached(path: Path) -> str:
    """A copy where Gradio serves files from, named by its content."""
    from gradio.processing_utils import save_file_to_cache
    from gradio.utils import get_upload_folder

    return str(save_file_to_cache(path, get_upload_folder()))


def _in_short(name: str, status: Status) -> str:
    share = f" {status.step / status.steps:.0%}" if status.steps and status.phase != DONE else ""
    return f"{name} – {status.phase}{share}"


def _in_full(name: str, status: Status) -> str:
    """HTML: a bar, and in words what there is to say."""
    words = f"<strong>{html.escape(name)}</strong>: {status.phase}"
    if status.phase == RUNNING and not status.step:
        words += ", getting ready"
    elif status.steps:
        words += f", step {status.step} of {status.steps}"
    if status.phase == RUNNING and status.seconds_left:
        words += f", about {clock(status.seconds_left)} left"
    if status.phase == STOPPED:
        words += " (Resume goes on exactly there)"
    bar = f'<progress aria-label="Progress" value="{status.step}" max="{max(1, status.steps)}"></progress>'
    said = "".join(f'<p class="warning">{html.escape(text)}</p>' for text in status.said[-3:])
    return f'<p role="status">{words}</p>{bar}{said}'


def _curves(history: History) -> tuple[Any, Any]:
    """Losses and figures by step, as data frames."""
    found = []
    for title, by_step in (("loss", history.losses), ("figure", history.figures)):
        lines = list(by_step.items())[:: max(1, len(by_step) // POINTS)]
        rows = [(step, name, value) for step, values in lines for name, value in values.items()]
        found.append(pd.DataFrame(rows, columns=["step", title, "value"]))
    return found[0], found[1]
