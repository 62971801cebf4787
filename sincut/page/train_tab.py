"""The tab of trainings: two pictures and settings for a new one; below, how the runs are doing."""

from pathlib import Path
from typing import Any

import gradio as gr

from sincut.config.resolve import DEFAULT_PRESET, load_preset, presets
from sincut.model.markup import escape
from sincut.model.provenance import ROLES
from sincut.page.desk import HIDDEN, Desk, told
from sincut.page.jobs import Order
from sincut.page.last_choices import remember
from sincut.page.run_view import Shown, run_fields, run_updates
from sincut.page.status import RUNNING
from sincut.pictures import formats

POLL_SECONDS = 2.0
REMEMBERED = 3  # of the fields of settings: direction, preset, minutes
DROP_HEIGHT = 120  # px of an empty field
NAME_HEIGHT = 86  # px of one with the name of a file
# A script of the browser.
TO_STATUS = "() => {document.querySelector('#status').scrollIntoView({block: 'center', behavior: 'smooth'})}"
DIRECTIONS = [  # labels, and words of the option --to
    ("to photo: the painting will look like the photo", "photo"),
    ("to painting: the photo will look like the painting", "painting"),
]


def train_tab(desk: Desk, page: Any, last: Any) -> list[Any]:
    """Lay the tab out on the page: fields for a new training, and the runs.

    `last` is the state of the browser that keeps the choices. Returns the fields in which painting and photo are
    dropped.
    """
    pictures = _picture_fields(desk)
    settings = _setting_fields()
    remember(page, last, settings[:REMEMBERED])
    start = gr.Button("Start training", variant="primary", elem_id="start")
    _connect(desk, page, start, pictures, settings, run_fields())
    return pictures[: len(ROLES)]


def _connect(desk: Desk, page: Any, start: Any, pictures: list[Any], settings: list[Any], shown: Shown) -> None:
    """Say what the buttons do; all of them and a timer update what is `shown`."""

    def watch(run: str | None, seen: Any) -> list[Any]:
        return run_updates(desk, run, seen)

    def begin(*given: Any) -> list[Any]:
        order = _order(desk, *given)
        others = [name for name, status in desk.trainings.statuses().items() if status.phase == RUNNING]
        name = desk.trainings.start(order)
        if others:
            gr.Warning(str(escape(f"{', '.join(others)} is being trained too; both take longer")))
        return watch(name, None)

    def chosen(given: Any) -> list[Path]:
        return [desk.given(*pair, "") for pair in zip(given[:2], given[2:], strict=True) if any(pair)]

    def go_on(run: str, *given: Any) -> list[Any]:
        return watch(desk.trainings.resume(run, chosen(given)), None)

    def longer(run: str, minutes: float | None, *given: Any) -> list[Any]:
        return watch(desk.trainings.train_longer(run, minutes, chosen(given)), None)

    def once_more(run: str, *given: Any) -> list[Any]:
        return watch(desk.trainings.again(run, chosen(given)), None)

    def halt(run: str) -> list[Any]:
        desk.trainings.stop(run)
        return watch(run, None)

    def choose(run: str) -> list[Any]:
        return watch(run, None)

    outputs = list(shown)

    def try_to(*given: Any) -> list[Any]:
        try:
            return [*told(begin)(*given), ready]
        except gr.Error as error:  # raised, it would leave Start grey
            gr.Warning(error.message, duration=error.duration, title="Not started")
            return [*[gr.skip()] * len(outputs), ready]

    # Start is grey until the run shows or what is wrong is told.
    ready, grey = gr.update(interactive=True), gr.update(interactive=False)
    begun = start.click(lambda: grey, None, start, **HIDDEN).then(
        try_to, [*pictures, *settings], [*outputs, start], **HIDDEN
    )
    begun.success(None, None, None, js=TO_STATUS)
    shown.longer.click(told(longer), [shown.runs, shown.minutes, *pictures], outputs, **HIDDEN)
    for button, act in ((shown.resume, go_on), (shown.again, once_more)):
        button.click(told(act), [shown.runs, *pictures], outputs, **HIDDEN)
    shown.stop.click(told(halt), shown.runs, outputs, **HIDDEN)
    shown.runs.input(told(choose), shown.runs, outputs, **HIDDEN)
    timer = gr.Timer(POLL_SECONDS)
    for event in (timer.tick, page.load):
        event(told(watch), [shown.runs, shown.seen], outputs, concurrency_limit=None, **HIDDEN)


def _picture_fields(desk: Desk) -> list[Any]:
    """Fields to drop painting and photo, then fields to name them instead; either is shown once it is chosen."""
    with gr.Row():
        drops = [_drop_field(role) for role in ROLES]
    with gr.Accordion("or files on this computer", open=False), gr.Row():
        texts = [_path_field(desk, role) for role in ROLES]
    for role, (file, picture), text in zip(ROLES, drops, texts, strict=True):
        _show_choice(desk, role, file, text, picture)
    return [*(file for file, _ in drops), *texts]


def _drop_field(role: str) -> tuple[Any, Any]:
    """A field to drop one picture, and the one that shows it then."""
    label = role.capitalize()
    with gr.Column(min_width=280):
        file = gr.File(label=label, file_types=sorted(formats.SUFFIXES), height=DROP_HEIGHT, elem_id=f"drop-{role}")
        return file, gr.Image(label=label, interactive=False, height=200, visible=False, buttons=["fullscreen"])


def _path_field(desk: Desk, role: str) -> Any:
    """A field to name one picture instead."""
    return gr.Textbox(
        label=f"{role.capitalize()}, below {desk.root}",
        placeholder="pictures/name.jpg",
        max_lines=1,
        elem_id=f"path-{role}",
        min_width=280,
    )


def _show_choice(desk: Desk, role: str, file: Any, text: Any, picture: Any) -> None:
    """Show what is dropped or named as soon as it is, or tell at once why it cannot be read."""

    def look(upload: str | None, typed: str | None) -> Any:
        if not upload and not (typed or "").strip():
            return gr.update(height=DROP_HEIGHT), gr.update(value=None, visible=False)
        picture = desk.shown(desk.given(upload, typed, role))
        return gr.update(height=NAME_HEIGHT if upload else DROP_HEIGHT), gr.update(value=picture, visible=True)

    for event in (file.change, text.submit, text.blur):
        event(told(look), [file, text], [file, picture], **HIDDEN)


def _setting_fields() -> list[Any]:
    """Direction, preset, minutes, name of the run, seed, any other settings, and if the model carries no exemplar."""
    with gr.Row():
        direction = gr.Radio(DIRECTIONS, value="photo", label="Direction", elem_id="to", scale=4, min_width=260)
        about = {preset.name: preset.about for preset in presets()}
        preset = gr.Dropdown(
            list(about), value=DEFAULT_PRESET, label="Preset", info=about[DEFAULT_PRESET], scale=2, min_width=260
        )
        minutes = gr.Number(15, label="Minutes", info="0: as the preset says", minimum=0, scale=1, min_width=120)
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            name = gr.Textbox(label="Name of the run", elem_id="name", placeholder="SOURCE-to-TARGET")
            seed = gr.Number(0, label="Seed", info="Another one gives another picture.", precision=0, minimum=0)
        settings = gr.Textbox(
            label="Settings, one a line",
            elem_id="settings",
            placeholder="crops.count=4",
            lines=3,
            info="As of the option --set; `sincut presets standard` lists and explains them.",
        )
        alone = gr.Checkbox(
            label="Leave the picture of the look out of the model",
            elem_id="no-exemplar",
            info="For those who may not pass it on. Pictures are then not drawn from it: they keep their own strokes.",
        )
    preset.change(told(_about_preset), preset, preset, **HIDDEN)
    preset.input(told(_minutes_of), preset, minutes, **HIDDEN)
    return [direction, preset, minutes, name, seed, settings, alone]


def _about_preset(name: str) -> Any:
    """The update of the field of the preset that says what this one is for."""
    return gr.update(info=load_preset(name).about)


def _minutes_of(name: str) -> float:
    """The minutes of a preset, 0 for one of so many steps."""
    schedule = load_preset(name).config.schedule
    return 0.0 if schedule.steps else schedule.minutes


def _order(
    desk: Desk,
    painting: str | None,
    photo: str | None,
    typed_painting: str | None,
    typed_photo: str | None,
    to: str,
    preset: str,
    minutes: float | None,
    name: str | None,
    seed: float | None,
    settings: str | None,
    alone: bool | None,
) -> Order:
    """The training that is described by the values of the fields."""
    lines = [line.strip() for line in (settings or "").splitlines() if line.strip()]
    if any(line.partition("=")[0].strip() in ("schedule.minutes", "schedule.steps") for line in lines):
        minutes = None  # what is written there counts
    return Order(
        desk.given(painting, typed_painting, "painting"),
        desk.given(photo, typed_photo, "photo"),
        to,
        preset,
        minutes or None,
        int(seed or 0),
        lines,
        (name or "").strip(),
        exemplar=not alone,
    )
