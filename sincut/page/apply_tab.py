"""The tab of styling: pictures are translated with a model, compared with their sources, and downloaded."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from sincut.errors import ConfigError, ImageError, RunError
from sincut.events import Event, PictureDone, PictureStarted, TileDone
from sincut.model.markup import escape
from sincut.page import uploads
from sincut.page.desk import COMPUTE, HIDDEN, Desk, clock, plain, told
from sincut.page.models_tab import chosen_words, model_gallery
from sincut.pictures import formats
from sincut.pictures.writing import Saving
from sincut.synthesis.synthesis import Dials
from sincut.translation.blend import Blend
from sincut.translation.options import AS_LEARNED, Options

LISTED = 200  # results that can be shown and downloaded one by one; the zip file holds all
# What the visitor reads, and what `Blend` is told to keep of the source.
KEEP = {"everything from the translation": "", "keep my colours": "colour", "keep my texture and light": "texture"}
SAME = "as it came"
FORMATS = [SAME, "png", "jpg", "webp", "tif"]


def apply_tab(desk: Desk, chosen: Any) -> tuple[Any, Any, Any]:
    """Lay the tab out. Returns the gallery of models, the state with their names, and the text on the chosen one.

    `chosen` is the state with the name of the visitor's model.
    """
    gallery, names, said = _choose_model(desk, chosen)
    sources, options = _source_fields(desk), _option_fields()
    with gr.Row():
        style = gr.Button("Style", variant="primary", elem_id="style", scale=3)
        stop = gr.Button("Stop after this picture", elem_id="stop-styling", scale=1)
    _connect(desk, style, stop, [chosen, *sources, *options], _result_fields(desk))
    return gallery, names, said


def _connect(desk: Desk, style: Any, stop: Any, fields: list[Any], results: list[Any]) -> None:
    """Say what the two buttons do: one styles as the fields say and fills the results, the other stops that."""

    def run(
        name: str,
        uploaded: Any,
        source: str,
        output: str,
        overwrite: bool,
        strength: float,
        keep: str,
        scale: Any,
        fast: bool,
        stroke_scale: float,
        fidelity: float,
        format_: str,
        strip: bool,
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        tab, named = str(request.session_hash), (source or "", output or "", overwrite)
        with desk.stops.running(tab):
            options = Options(
                max_pixels=desk.max_pixels,
                blend=Blend(float(strength), KEEP[keep]),
                scale=_scale(str(scale)),
                fast=bool(fast),
                dials=AS_LEARNED if fast else Dials(float(stroke_scale), float(fidelity)),
            )
            given = options, Saving(strip=bool(strip)), None if format_ == SAME else format_
            return _batch_shown(desk, _style(desk, tab, name, uploaded or [], named, given, progress))

    def expect(request: gr.Request) -> None:
        desk.stops.expect(str(request.session_hash))

    def halt(request: gr.Request) -> None:
        desk.stops.ask(str(request.session_hash))

    # Stop counts from the click on, while the job waits in the queue.
    style.click(expect, None, None, **HIDDEN).then(
        told(run),
        fields,
        results,
        concurrency_limit=1,
        concurrency_id=COMPUTE,
        show_progress_on=results[0],
        api_visibility="private",
    )
    stop.click(halt, None, None, **HIDDEN)


def _choose_model(desk: Desk, chosen: Any) -> tuple[Any, Any, Any]:
    """The gallery of models, the state with their names, and the text on the chosen one."""
    names, said = gr.State([]), gr.Markdown("")
    gallery = model_gallery("Trained models: choose one", "choose-model", columns=6, height=210)

    def choose(listed: list[str], event: gr.SelectData) -> tuple[str, str]:
        name = listed[event.index]
        return name, chosen_words(desk, name)

    gallery.select(told(choose), names, [chosen, said], **HIDDEN)
    return gallery, names, said


def _source_fields(desk: Desk) -> list[Any]:
    """Fields for dropped files, or else for a named file or folder, its output, and whether outputs are overwritten."""
    files = gr.File(
        label="Pictures",
        file_count="multiple",
        file_types=sorted(formats.SUFFIXES),
        height=170,
        elem_id="drop-pictures",
    )
    whole = gr.UploadButton("Add a whole folder…", file_count="directory", size="sm")
    with gr.Accordion("or a folder on this computer", open=False):
        source = gr.Textbox(label=f"A picture or folder below {desk.root}", max_lines=1, elem_id="source")
        output = gr.Textbox(label="Folder for its results", placeholder="styled/FOLDER", max_lines=1)
        overwrite = gr.Checkbox(label="Style again what is there already")

    def add(listed: list[str] | None, uploaded: list[str]) -> list[str]:
        return [*(listed or []), *(path for path in uploaded if Path(path).suffix.lower() in formats.SUFFIXES)]

    whole.upload(told(add), [files, whole], files, **HIDDEN)
    return [files, source, output, overwrite]


def _option_fields() -> list[Any]:
    """Fields for strength, what is kept of the source, scale, drawing, format, and whether metadata are left out."""
    with gr.Row():
        strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0: the source, 1: the translation")
        keep = gr.Radio(list(KEEP), value=next(iter(KEEP)), label="Take")
        scale = gr.Dropdown(
            ["1", "auto", "0.5", "2"],
            value="1",
            allow_custom_value=True,
            label="Scale",
            info="At which a picture is translated; auto: as in training. Its size stays.",
        )
    with gr.Row():
        stroke_scale = gr.Slider(
            0.25, 4, AS_LEARNED.stroke_scale, step=0.05, label="Size of strokes",
            info="And of texture; 2: twice as large as in the picture learned from",
        )  # fmt: skip
        fidelity = gr.Slider(
            0, 1, AS_LEARNED.fidelity, step=0.05, label="Fidelity",
            info="0: freely drawn, with the most paint or texture, 1: every outline and detail kept",
        )  # fmt: skip
        fast = gr.Checkbox(
            label="Fast", info="Translate only: do not draw the result from the picture that was learned from"
        )
    with gr.Accordion("Files", open=False), gr.Row():
        format_ = gr.Dropdown(FORMATS, value=SAME, label="Format")
        strip = gr.Checkbox(label="Leave metadata out")
    return [strength, keep, scale, fast, stroke_scale, fidelity, format_, strip]


def _result_fields(desk: Desk) -> list[Any]:
    """Words, a list of the results, the chosen one before and after, and downloads."""
    words = gr.Markdown("Nothing styled yet.", elem_id="styled", min_height=110, container=True)
    pairs = gr.State([])
    which = gr.Dropdown([], label="Show", visible=False, elem_id="which", filterable=False)
    slider = gr.ImageSlider(
        label="Before and after: move the handle", interactive=False, max_height=620, visible=False, elem_id="slider"
    )
    with gr.Row():
        archive = gr.DownloadButton("Download all (zip)", visible=False, variant="primary", elem_id="zip")
    downloads = gr.File(label="Results: download one", interactive=False, visible=False, elem_id="results", height=240)

    def look(index: int, pairs: list[tuple[str, str]]) -> Any:
        return _compared(desk, pairs[index])

    which.input(told(look), [which, pairs], slider, api_visibility="private")
    return [words, pairs, which, slider, archive, downloads]


def _scale(text: str) -> float | str:
    """The scale that was chosen or typed, as `Options` takes it. Raises `ConfigError`."""
    try:
        return "auto" if text.strip() == "auto" else float(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no scale: write a number, as in 0.5, or auto") from None


def _style(
    desk: Desk,
    tab: str,
    name: str,
    uploaded: Sequence[str],
    named: tuple[str, str, bool],
    given: tuple[Options, Saving, str | None],
    progress: Any,
) -> uploads.Batch:
    """Translate the uploaded files, or if there are none what is `named`: source, output, whether to overwrite.

    `given` are options, how to save, and a format other than that of the source. Raises `SincutError`.
    """
    if not name:
        raise RunError("no model yet: train one, or put one into the folder of runs")
    model = desk.trainings.path(name)
    source, output, overwrite = named
    with desk.translator(name) as translator:
        common: dict[str, Any] = {
            "on_event": _listener(progress),
            "stop": lambda: desk.closing or desk.stops.asked(tab),
        }
        if uploaded or not source.strip():
            files = [Path(path) for path in uploaded]
            return uploads.translate_uploads(files, desk.place, model, translator, *given, **common)
        path = uploads.inside(desk.root, source)
        target = uploads.inside(desk.root, output.strip() or f"styled/{path.stem}")
        return uploads.translate_folder(path, target, model, translator, *given, overwrite, **common)


def _listener(progress: Any) -> Callable[[Event], None]:
    """A listener that shows events on Gradio's progress bar."""
    current = ""

    def listen(event: Event) -> None:
        nonlocal current
        if isinstance(event, PictureStarted):
            current = event.source.name
            progress(0, desc=f"{current}, {event.width}×{event.height}")
        if isinstance(event, TileDone):
            left = f", {clock(event.seconds_left)} left" if event.seconds_left >= 1 else ""
            progress((event.done, event.tiles), desc=f"{current}{left}", unit="tiles")
        if isinstance(event, PictureDone) and event.seconds_left >= 1:
            progress(1.0, desc=f"{event.source.name}; {clock(event.seconds_left)} for the others")

    return listen


def _batch_shown(desk: Desk, batch: uploads.Batch) -> list[Any]:
    """Updates for `_result_fields` after a styling."""
    said = [f"{len(batch.done)} styled"]
    said += [f"{len(batch.skipped)} were there already"] if batch.skipped else []
    said += [f"{batch.left} not reached: stopped"] if batch.left else []
    said += [f"{len(batch.failed)} failed"] if batch.failed else []
    words = f"**{', '.join(said)}.**"
    if batch.archive is None and batch.shown:
        words += f" The results lie in {plain(str(batch.shown[0].target.parent))}."
    words += "".join(f"\n- {plain(reason)}" for reason in (*batch.failed[:LISTED], *batch.left_out))
    pairs = [(str(job.source), str(job.target)) for job in batch.shown]
    choices = [(Path(target).name, index) for index, (_, target) in enumerate(pairs[:LISTED])]
    which = gr.update(choices=choices, value=0 if choices else None, visible=len(choices) > 1)
    slider = _compared(desk, pairs[0]) if pairs else gr.update(value=None, visible=False)
    files = [target for _, target in pairs[:LISTED]] if batch.archive else None
    archive = gr.update(value=str(batch.archive) if batch.archive else None, visible=batch.archive is not None)
    return [words, pairs, which, slider, archive, gr.update(value=files, visible=bool(files))]


def _compared(desk: Desk, pair: tuple[str, str]) -> Any:
    """An update for the slider: source and output of this pair, or nothing if one of them cannot be shown."""
    try:
        return gr.update(value=tuple(desk.shown(Path(path)) for path in pair), visible=True)
    except ImageError as error:  # too large to be shown, say; it is styled all the same
        gr.Info(str(escape(error)))
        return gr.update(value=None, visible=False)
