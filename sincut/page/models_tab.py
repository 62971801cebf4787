"""The tab of models: a gallery of all of them, what is known of the chosen one, and what can be done with it."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from sincut.config.resolve import closest
from sincut.errors import RunError, SincutError
from sincut.model.card import carried_words
from sincut.model.markup import escape, render
from sincut.model.provenance import Provenance
from sincut.page import uploads
from sincut.page.before_after import before_after
from sincut.page.desk import COMPUTE, HIDDEN, TOAST_SECONDS, Desk, clock, link, plain, told
from sincut.page.run_view import report_link
from sincut.report import compare as comparing
from sincut.report.measures import meaning
from sincut.runs import shelf
from sincut.runs.shelf import SUFFIX


class ModelParts(NamedTuple):
    """The parts of the tab that follow the chosen model: Gradio components."""

    gallery: Any
    names: Any  # state with the names of the models in the gallery
    head: Any  # name of the chosen one, and links
    about: Any  # what is known of it
    name: Any  # field with its name
    free: Any  # button that deletes its checkpoint
    other: Any  # list of models to compare it with


class Actions(NamedTuple):
    """The parts of the tab that change or compare models: Gradio components."""

    use: Any
    add: Any
    compare: Any
    sheet: Any  # takes the comparison
    rename: Any
    sure: Any  # to be ticked before something is deleted
    delete: Any


def models_tab(desk: Desk, chosen: Any, tabs: Any, said: Any, files: Any) -> tuple[ModelParts, list[Any], Any]:
    """Lay the tab out. Returns its parts, the events after which there are other models, and that after a choice.

    `chosen` is the state with the name of the visitor's model; of the tab of styling, `said` is the text on that one,
    and `files` the field in which pictures are dropped.
    """
    parts, actions = _fields()

    def choose(listed: list[str], event: gr.SelectData) -> list[Any]:
        name = listed[event.index]
        return [name, chosen_words(desk, name), *model_updates(desk, name)]

    event = parts.gallery.select(told(choose), parts.names, [chosen, said, *parts[2:]], **HIDDEN)
    actions.use.click(lambda: gr.update(selected="apply"), None, tabs, **HIDDEN)
    return parts, _connect(desk, chosen, files, parts, actions), event.success


def _fields() -> tuple[ModelParts, Actions]:
    """The components, laid out: the gallery, and beside it what is known of the chosen model, with its buttons."""
    names = gr.State([])
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            gallery = model_gallery("Trained models", "models", columns=3, height="auto")
            add = gr.UploadButton("Add a model file…", file_types=[SUFFIX], size="md", elem_id="add-model")
            sheet = gr.HTML("", elem_id="sheet", padding=False)
        with gr.Column(scale=2, min_width=300):
            use = gr.Button("Style pictures with it", variant="primary")
            head = gr.HTML("", elem_classes="about")
            with gr.Accordion("Compare with another", open=False):
                other = gr.Dropdown([], label="The other model", elem_id="other", filterable=False)
                compare = gr.Button("Compare the two", size="md", elem_id="compare")
            with gr.Accordion("Rename, make smaller, delete", open=False):
                name = gr.Textbox(label="Name", max_lines=1, elem_id="model-name")
                rename = gr.Button("Rename", size="md", elem_id="rename")
                free = gr.Button("Free its checkpoint", size="md", elem_id="free")
                sure = gr.Checkbox(label="Yes, delete this model for good", elem_id="sure")
                delete = gr.Button("Delete", variant="stop", size="md", elem_id="delete")
            about = gr.HTML("", elem_classes="about", elem_id="about")
    parts = ModelParts(gallery, names, head, about, name, free, other)
    return parts, Actions(use, add, compare, sheet, rename, sure, delete)


def _connect(desk: Desk, chosen: Any, files: Any, parts: ModelParts, actions: Actions) -> list[Any]:
    """Say what the buttons do that change or compare models. Returns the events after a change."""

    def rename(model: str, name: str) -> str:
        return _renamed(desk, model, name)

    def delete(model: str, sure: bool) -> tuple[str, bool]:
        return _deleted(desk, model, sure)

    def free(model: str) -> str:
        return _freed(desk, model)

    def add(file: str) -> str:
        return _added(desk, file)

    def compare(first: str, second: str | None, dropped: list[str] | None) -> str:
        return compared(desk, first, second, Path(dropped[0]) if dropped else None)

    computing: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": COMPUTE, "api_visibility": "private"}
    actions.compare.click(told(compare), [chosen, parts.other, files], actions.sheet, **computing)
    return [
        actions.rename.click(told(rename), [chosen, parts.name], chosen, **HIDDEN).success,
        parts.name.submit(told(rename), [chosen, parts.name], chosen, **HIDDEN).success,
        actions.delete.click(told(delete), [chosen, actions.sure], [chosen, actions.sure], **HIDDEN).success,
        parts.free.click(told(free), chosen, chosen, **HIDDEN).success,
        actions.add.upload(told(add), actions.add, chosen, **HIDDEN).success,
    ]


def _renamed(desk: Desk, model: str, name: str) -> str:
    """The new name of a model that is given this one. Raises `RunError`."""
    new = shelf.renamed(desk.trainings.resting(model), name.strip())
    _say(f"{model} is {new.name} now")
    return desk.trainings.name(new)


def _deleted(desk: Desk, model: str, sure: bool) -> tuple[str, bool]:
    """Delete a model if the visitor is `sure`. Returns the name of no model, and False. Raises `RunError`."""
    path = desk.trainings.resting(model)
    if not sure:
        raise RunError(f"{model}: tick that it may go first, it cannot be brought back")
    left = shelf.delete(path)
    _say(f"{model} is deleted" + (f"; left in its folder, as not sincut's: {', '.join(left)}" if left else ""))
    return "", False


def _freed(desk: Desk, model: str) -> str:
    """Delete the checkpoint of a finished run; returns its name. Raises `RunError`."""
    size = shelf.free(desk.trainings.resting(model))
    _say(f"{model}: {size / 1e6:.0f} MB are free; it cannot be trained longer any more")
    return model


def _added(desk: Desk, file: str) -> str:
    """Put an uploaded model file among the models; returns its name. Raises `SincutError`."""
    new = desk.trainings.name(shelf.added(Path(file), desk.trainings.runs))
    _say(f"{new} is among the models")
    return new


def _say(words: str) -> None:
    """Show the visitor a note for some seconds."""
    gr.Info(str(escape(words)), duration=TOAST_SECONDS)


def compared(desk: Desk, first: str, second: str | None, picture: Path | None) -> str:
    """HTML: what two models make of a picture, and a link to a page with figures.

    Without a picture it is the one that the first, or else the second, has learned to translate. Raises `SincutError`,
    as where none of these is there.
    """
    if not first or not second:
        raise RunError("choose two models: one in the gallery, the other in the list")
    picture = picture or desk.own_picture(first) or desk.own_picture(second)
    if picture is None:
        raise RunError(f"{first}: the picture that it learned from is not here; drop one in Apply")
    with desk.computing:
        paths = [desk.trainings.path(name) for name in (first, second)]
        comparison = comparing.compare(paths, picture, device=desk.device)
    page = uploads.new_folder(desk.place) / "compare.html"
    comparing.write(comparison, page)
    desk.sheets[page.parent.name] = page
    left, right = (uploads.as_file(result.picture, result.name, desk.place) for result in comparison.results)
    shown = before_after(left, right, f"{picture.name}: {first} at the left, {second} at the right.")
    words = "Open the comparison with figures" if comparison.figures() else "Open the comparison"
    return shown + link("sheet", page.parent.name, words)


def model_updates(desk: Desk, name: str) -> list[Any]:
    """Updates for `ModelParts` from its head on, for the chosen model; "" is none."""
    listed = [other for other in desk.trainings.models() if other != name]
    size = 0
    if name:
        size = shelf.freeable(desk.trainings.path(name))
    words = f"Free its checkpoint ({size / 1e6:.0f} MB)" if size else "Free its checkpoint"
    return [
        _head(desk, name) if name else "",
        about_words(desk, name),
        Path(name).name.removesuffix(SUFFIX),
        gr.update(value=words, interactive=bool(size)),
        gr.update(choices=listed, value=listed[0] if listed else None),
    ]


def _head(desk: Desk, name: str) -> str:
    """HTML: the name of a model, and links to its file, its card, and the report of its run."""
    links = link("model", name, "Download"), link("card", name, "Model card"), report_link(desk, name)
    return f'<h2>{escape(name)}</h2><p class="links">{"".join(links)}</p>'


def model_gallery(label: str, elem_id: str, *, columns: int, height: int | str) -> Any:
    """A gallery of covers, to choose a model from."""
    return gr.Gallery(
        label=label,
        show_label=False,
        columns=columns,
        height=height,
        fit_columns=False,
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id=elem_id,
    )


def chosen_words(desk: Desk, name: str) -> str:
    """Markdown: the model that is chosen, and what kind of pictures it takes; or why it cannot be read."""
    if not name:
        return "No model yet: train one, or put a model file into the folder of runs."
    try:
        provenance = desk.trainings.about(name)[1]
    except SincutError as error:
        return plain(str(error))
    takes = "photos (photo → painting)" if provenance.reverse else "paintings (painting → photo)"
    return f"Chosen: **{plain(name)}**, which takes {takes}."


def about_words(desk: Desk, name: str) -> str:
    """HTML: the origin of a model, its figures, and the settings that are its own; or why it cannot be read."""
    if not name:
        return "<p>No model yet.</p>"
    try:
        config, provenance = desk.trainings.about(name)
        exemplars = desk.trainings.exemplars(name)
    except SincutError as error:
        return f"<p>{escape(error)}</p>"
    preset = closest(config)
    settings = {key: value for key, (value, _) in config.changes(preset.config).items() if key != "schedule.seed"}
    html = render(
        "page/assets/about.html",
        origin={**_origin(provenance), "exemplar": carried_words(exemplars, provenance)},
        figures={name: (value, meaning(name, *provenance.roles)) for name, value in provenance.figures.items()},
        settings=settings,
        preset=preset.name,
    )
    return str(html)


def _origin(provenance: Provenance) -> dict[str, str]:
    """Rows on direction, pictures, steps and duration of a model's training, as far as its file tells them."""
    rows = {"direction": provenance.direction.replace("->", "→")}
    for role, picture in provenance.pictures.items():
        if picture is not None:
            rows[role] = picture.title if picture.pictures else f"{picture.name}, {picture.width}×{picture.height}"
    seed = "?" if provenance.seed is None else provenance.seed
    rows["trained"] = f"{provenance.steps} of {provenance.planned_steps or '?'} steps, seed {seed}"
    rows["time"] = clock(provenance.seconds) if provenance.seconds is not None else "not known"
    return rows
