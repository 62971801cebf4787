"""The tab of styling: pictures are translated with a model, compared with their sources, and downloaded."""

from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from sincut.errors import ConfigError, ImageError, RunError
from sincut.events import Event, PictureDone, PictureStarted, TileDone
from sincut.model.markup import escape
from sincut.page import uploads
from sincut.page.before_after import before_after
from sincut.page.desk import COMPUTE, HIDDEN, Desk, clock, in_short, plain, told
from sincut.page.last_choices import remember
from sincut.page.models_tab import chosen_words, model_gallery
from sincut.page.recall import Made, made_by_sincut
from sincut.pictures import formats, reading
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.synthesis.synthesis import STROKE_SCALES, Dials
from sincut.translation.blend import Blend
from sincut.translation.options import AS_LEARNED, Options

MASK_MEGAPIXELS = 0.5  # of the picture that a mask is painted on; the mask is scaled to the picture's own size
LISTED = 200  # results that can be shown and downloaded one by one; the zip file holds all
# What the visitor reads, and what `Blend` is told to keep of the source.
KEEP = {"everything from the translation": "", "keep my colours": "colour", "keep my texture and light": "texture"}
SAME = "as it came"
FORMATS = [SAME, "png", "jpg", "webp", "tif"]
NOTHING, FAILED = "Nothing styled yet.", "**Not styled:** "  # what the results say, the second before a reason
HINT = '<p class="hint">Drop a picture above: here it shows at once how it will look.</p>'


class Parts(NamedTuple):
    """What other parts of the page need of the tab: Gradio components, and two of its events."""

    gallery: Any
    names: Any  # state with the names of the models in the gallery
    said: Any  # text on the chosen one
    files: Any  # field in which pictures are dropped
    recalled: Any  # event after the model of a dropped picture is chosen
    chose: Any  # event after one of the gallery is chosen


def apply_tab(desk: Desk, chosen: Any, page: Any, last: Any) -> Parts:
    """Lay the tab out on the page.

    `chosen` is the state with the name of the visitor's model, `last` that of the browser that keeps the choices.
    """
    gallery, names, said, chose = _choose_model(desk, chosen)
    sources = _source_fields(desk)
    made, told_by, recall = _made_fields()
    subject = gr.State("")  # the file of the picture that is shown
    with gr.Row(elem_classes="bench"):
        with gr.Column(scale=2, min_width=300, elem_classes="looks"):
            looks, saving = _look_fields(), _saving_fields()
        with gr.Column(scale=3, min_width=300, elem_classes="stage"):
            shown = gr.HTML(HINT, elem_id="shown", padding=False)
            mask = _mask_field()
            with gr.Row(elem_classes="buttons"):
                style = gr.Button("Style", variant="primary", elem_id="style")
                stop = gr.Button("Stop after this picture", elem_id="stop-styling", size="md")
    remember(page, last, [*looks, *saving])
    results = _result_fields(desk, shown)
    _connect_proofs(desk, chosen, sources, [*looks, mask], shown, subject)
    _connect(desk, style, stop, [chosen, *sources, *looks, mask, *saving], results)
    recalled = _connect_recall(desk, sources[0], (made, told_by, recall), [chosen, *looks, *saving[1:3]])
    return Parts(gallery, names, said, sources[0], recalled, chose)


def _made_fields() -> tuple[Any, Any, Any]:
    """The state with what a dropped picture says of its making, the words on it, and the button to choose the same."""
    made = gr.State(None)
    with gr.Row(elem_classes="buttons"):
        words = gr.HTML("", visible=False, elem_id="made", elem_classes="made")
        button = gr.Button("Choose its model and options", visible=False, elem_id="recall", size="md")
    return made, words, button


def _connect_recall(desk: Desk, files: Any, fields: tuple[Any, Any, Any], values: list[Any]) -> Any:
    """Say what made the first dropped picture of sincut's, and choose the same when the button is pressed.

    `values` are the state of the model, the fields of the look, quality and greys. Returns the event after the choice.
    """

    def tell(listed: list[str] | None) -> list[Any]:
        made = made_by_sincut(listed or [], desk.trainings, desk.max_pixels)
        words = made.words() if made else ""
        return [made, gr.update(value=words, visible=bool(made)), gr.update(visible=bool(made))]

    made, _, button = fields
    files.change(told(tell), files, list(fields), **HIDDEN)
    return button.click(told(_recalled), made, values, **HIDDEN).success


def _recalled(made: Made | None) -> list[Any]:
    """The model that made a picture, skipped where it is not here, and the values of the fields that did."""
    if made is None:
        return [gr.skip()] * 10
    given, look = made.imprint.options, made.look
    keep = next(words for words, kept in KEEP.items() if kept == look["keep"])
    scale = look["scale"] if look["scale"] == "auto" else f"{look['scale']:g}"
    drawn = look["fast"], look["stroke_scale"], look["fidelity"], look["by_height"]
    values = made.model or gr.skip(), look["strength"], keep, scale, *drawn
    return [*values, given.get("quality") or 0, given.get("greys") == "keep"]


def _connect_proofs(desk: Desk, chosen: Any, sources: list[Any], looks: list[Any], shown: Any, subject: Any) -> None:
    """Show a proof of the first picture as soon as it is there, and again with every change of a field."""

    def take(files: list[str] | None, typed: str | None) -> str:
        if files:
            return str(files[0])
        path = uploads.inside(desk.root, typed) if typed and typed.strip() else None
        return str(path) if path is not None and path.is_file() else ""

    def make(name: str, path: str, *given: Any) -> Any:
        return _proof(desk, name, path, given, True)

    def mix(name: str, path: str, *given: Any) -> Any:
        return _proof(desk, name, path, given, False)

    def background(path: str) -> Any:
        if not path:
            return None
        small = reading.viewable(Path(path), MASK_MEGAPIXELS, desk.max_pixels)
        return {"background": str(uploads.as_file(small, "mask", desk.place)), "layers": [], "composite": None}

    files, typed, *_ = sources
    strength, keep, *drawn, mask = looks
    fields = [chosen, subject, *looks]
    for event in (files.change, typed.submit, typed.blur):
        event(told(take), [files, typed], subject, **HIDDEN)
    computing: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": COMPUTE, "api_visibility": "private"}
    for changed in (subject, chosen, *drawn):
        changed.change(told(make), fields, shown, trigger_mode="always_last", **computing)
    subject.change(told(background), subject, mask, **HIDDEN)
    for event in (strength.change, keep.change, mask.change, mask.input, mask.apply):
        event(told(mix), fields, shown, trigger_mode="always_last", **HIDDEN)


def _proof(desk: Desk, name: str, path: str, given: Sequence[Any], may_compute: bool) -> Any:
    """The update that shows how a picture looks with these fields; it is only mixed anew unless it `may_compute`."""
    if not name or not path:
        return HINT if may_compute else gr.skip()
    options, version = _options(desk, given), desk.version(name)
    proof = desk.proofs.there(version, Path(path), options)
    if proof is None:
        if not may_compute:
            return gr.skip()
        with desk.translator(name) as translator:
            proof = desk.proofs.make(version, Path(path), options, translator)
    mixed = proof.mixed(options.blend, options.mask)
    before, after = (uploads.as_file(picture, Path(path).stem, desk.place) for picture in (proof.source, mixed))
    (h, w), (full_h, full_w) = proof.source.size, proof.size
    small = f" This is a sketch of {w}×{h}; Style makes all {full_w}×{full_h}." if (h, w) != proof.size else ""
    return before_after(before, after, f"{Path(path).name} with {name}, not made yet.{small}")


def _options(desk: Desk, given: Sequence[Any]) -> Options:
    """What the fields of the look and the mask say. Raises `ConfigError`."""
    strength, keep, scale, fast, stroke_scale, fidelity, by_height, mask = given
    return Options(
        max_pixels=desk.max_pixels,
        blend=Blend(float(strength), KEEP[keep]),
        scale=_scale(str(scale)),
        fast=bool(fast),
        dials=AS_LEARNED if fast else Dials(float(stroke_scale), float(fidelity), bool(by_height)),
        mask=_painted(desk, mask),
    )


def _saving(format_: str, quality: float | None, grey: bool, strip: bool) -> tuple[Saving, str | None]:
    """What the fields of the files say: how to save, and a format other than that of the source."""
    greys = "keep" if grey else "colour"
    saving = Saving(strip=bool(strip), quality=int(quality) if quality else None, greys=greys)
    return saving, None if format_ == SAME else format_


def _connect(desk: Desk, style: Any, stop: Any, fields: list[Any], results: list[Any]) -> None:
    """Say what the two buttons do: one styles as the fields say and fills the results, the other stops that."""

    def run(request: gr.Request, progress: Any = gr.Progress(), *given: Any) -> list[Any]:  # noqa: B008
        (name, uploaded, source, output, overwrite), looks, saving = given[:5], given[5:-4], given[-4:]
        tab, named = str(request.session_hash), (source or "", output or "", overwrite)

        def styled() -> list[Any]:
            how = _options(desk, looks), *_saving(*saving)
            return _batch_shown(desk, name, _style(desk, tab, name, uploaded or [], named, how, progress))

        with desk.stops.running(tab):
            try:
                return list(told(styled)())
            except gr.Error as error:  # raised, it would leave a mark on the results that nothing takes away
                gr.Warning(error.message, duration=error.duration, title="Not styled")
                return [FAILED + plain(unescape(error.message)), *[gr.skip()] * (len(results) - 1)]

    def expect(request: gr.Request) -> None:
        desk.stops.expect(str(request.session_hash))

    def halt(request: gr.Request) -> None:
        desk.stops.ask(str(request.session_hash))

    # Stop counts from the click on, while the job waits in the queue.
    style.click(expect, None, None, **HIDDEN).then(
        run,
        fields,
        results,
        concurrency_limit=1,
        concurrency_id=COMPUTE,
        show_progress_on=results[0],
        api_visibility="private",
    )
    stop.click(halt, None, None, **HIDDEN)
    chosen, files, source = fields[:3]
    for changed in (chosen, files, source):
        changed.change(_cleared, results[0], results[0], **HIDDEN)


def _cleared(words: str) -> Any:
    """The update that takes away why nothing was styled."""
    return NOTHING if words.startswith(FAILED) else gr.skip()


def _choose_model(desk: Desk, chosen: Any) -> tuple[Any, Any, Any, Any]:
    """The gallery of models, the state with their names, the text on the chosen one, and the event after a choice."""
    names, said = gr.State([]), gr.Markdown("")
    gallery = model_gallery("Trained models: choose one", "choose-model", columns=6, height=210)

    def choose(listed: list[str], event: gr.SelectData) -> tuple[str, str]:
        name = listed[event.index]
        return name, chosen_words(desk, name)

    event = gallery.select(told(choose), names, [chosen, said], **HIDDEN)
    return gallery, names, said, event.success


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


def _look_fields() -> list[Any]:
    """Fields for strength, what is kept of the source, scale, and how the result is drawn."""
    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0: the source, 1: the translation")
    keep = gr.Radio(list(KEEP), value=next(iter(KEEP)), label="Take", elem_id="keep")
    stroke_scale = gr.Slider(
        *STROKE_SCALES, AS_LEARNED.stroke_scale, step=0.05, label="Size of strokes",
        info="And of texture; 2: twice as large as in the picture learned from",
    )  # fmt: skip
    fidelity = gr.Slider(
        0, 1, AS_LEARNED.fidelity, step=0.05, label="Fidelity",
        info="0: freely drawn, with the most paint or texture, 1: every outline and detail kept",
    )  # fmt: skip
    by_height = gr.Checkbox(
        label="By height", info="Pieces from the height at which they are drawn: for landscapes of one kind"
    )
    fast = gr.Checkbox(
        label="Fast", info="Translate only: do not draw the result from the picture that was learned from"
    )
    scale = gr.Dropdown(
        ["1", "auto", "0.5", "2"],
        value="1",
        allow_custom_value=True,
        label="Scale",
        info="At which a picture is translated; auto: as in training. Its size stays.",
    )
    return [strength, keep, scale, fast, stroke_scale, fidelity, by_height]


def _mask_field() -> Any:
    """The field to paint where a picture is styled; its value is a dict with the files of its layers."""
    with gr.Accordion("Only a part of it: paint where (nothing painted: everywhere)", open=False, elem_id="mask"):
        return gr.ImageEditor(
            type="filepath",
            format="png",
            image_mode="RGBA",
            sources=[],
            transforms=[],
            layers=False,
            brush=gr.Brush(default_size=40, colors=["#14b8a6"], default_color="#14b8a6", color_mode="fixed"),
            eraser=gr.Eraser(default_size=40),
            buttons=[],
            label="Mask",
            elem_id="paint",
        )


def _painted(desk: Desk, value: dict[str, Any] | None) -> Path | None:
    """The mask that was painted, white where something was: a file in the desk's place, or None if nothing was."""
    layers = [reading.load(Path(path)).alpha for path in (value or {}).get("layers") or ()]
    painted = [layer for layer in layers if layer is not None and layer.any()]
    if not painted:
        return None
    grey = np.maximum.reduce(painted)[:, :, None].repeat(3, axis=2)
    return uploads.as_file(Picture(grey), "mask", desk.place)


def _saving_fields() -> list[Any]:
    """Fields for the format, its quality, greys, and whether metadata are left out."""
    with gr.Accordion("Files", open=False):
        format_ = gr.Dropdown(FORMATS, value=SAME, label="Format")
        quality = gr.Number(
            0, label="Quality", precision=0, minimum=0, maximum=100, elem_id="quality",
            info="Of JPEG, WebP and AVIF, 1 to 100. 0: as it came, others 95.",
        )  # fmt: skip
        grey = gr.Checkbox(label="Keep pictures grey that came so")
        strip = gr.Checkbox(label="Leave metadata out")
    return [format_, quality, grey, strip]


def _result_fields(desk: Desk, shown: Any) -> list[Any]:
    """Words, a list of the results, and downloads; the chosen result is shown where the proofs are."""
    words = gr.Markdown(NOTHING, elem_id="styled", min_height=60, container=True)
    pairs = gr.State([])
    which = gr.Dropdown([], label="Show", visible=False, elem_id="which", filterable=False)
    with gr.Row():
        archive = gr.DownloadButton("Download all (zip)", visible=False, variant="primary", elem_id="zip")
    downloads = gr.File(label="Results: download one", interactive=False, visible=False, elem_id="results", height=240)

    def look(index: int, pairs: list[tuple[str, str]]) -> Any:
        return _compared(desk, pairs[index])

    which.input(told(look), [which, pairs], shown, api_visibility="private")
    return [words, pairs, which, shown, archive, downloads]


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
        batch = uploads.translate_folder(path, target, model, translator, *given, overwrite, **common)
        return uploads.packed(batch, target, desk.place)


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


def _batch_shown(desk: Desk, name: str, batch: uploads.Batch) -> list[Any]:
    """Updates for `_result_fields` after a styling with the model of this name."""
    said = [f"{len(batch.done)} styled"]
    said += [f"{len(batch.skipped)} were there already"] if batch.skipped else []
    said += [f"{batch.left} not reached: stopped"] if batch.left else []
    said += [f"{len(batch.failed)} failed"] if batch.failed else []
    words = f"**{', '.join(said)}.**"
    if batch.shown and not batch.shown[0].target.is_relative_to(desk.place):
        words += f" The results lie in {plain(str(batch.shown[0].target.parent))}."
    words += "".join(f"\n- {plain(in_short(reason))}" for reason in (*batch.failed[:LISTED], *batch.left_out))
    pairs = [(str(job.source), str(job.target)) for job in batch.shown]
    choices = [(Path(target).name, index) for index, (_, target) in enumerate(pairs[:LISTED])]
    which = gr.update(choices=choices, value=0 if choices else None, visible=len(choices) > 1)
    shown = _compared(desk, pairs[0]) if pairs else gr.skip()
    files = [target for _, target in pairs[:LISTED]] if batch.archive else None
    archive = gr.update(value=str(batch.archive) if batch.archive else None, visible=batch.archive is not None)
    return [words, pairs, which, shown, archive, gr.update(value=files, visible=bool(files))]


def _compared(desk: Desk, pair: tuple[str, str]) -> str:
    """HTML that compares source and output of this pair on the screen, or says why one of them cannot be shown."""
    source, target = map(Path, pair)
    try:
        before, after = (Path(desk.shown(path)) for path in (source, target))
        h, w = reading.size_of(target, desk.max_pixels)
        shown_h, shown_w = reading.size_of(after)
    except ImageError as error:  # too large to be shown, say; it is styled all the same
        return f"<p>{escape(error)}</p>"
    reduced = f" Shown reduced to {shown_w}×{shown_h}." if (shown_h, shown_w) != (h, w) else ""
    return before_after(before, after, f"{target.name}, {w}×{h}.{reduced} Download it below.")
