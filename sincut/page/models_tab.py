"""The tab of models: a gallery of all of them, and what is known of the chosen one."""

from typing import Any

import gradio as gr

from sincut.config.resolve import closest
from sincut.errors import SincutError
from sincut.model.card import carried_words
from sincut.model.markup import escape, render
from sincut.model.provenance import Provenance
from sincut.page.desk import HIDDEN, Desk, clock, plain, told


def models_tab(desk: Desk, chosen: Any, tabs: Any, said: Any) -> tuple[Any, Any, Any]:
    """Lay the tab out. Returns the gallery, the state with the names of its models, and the text on the chosen one.

    `chosen` is the state with the name of the visitor's model, `said` what the tab of styling says of that one.
    """
    names = gr.State([])
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            gallery = model_gallery("Trained models", "models", columns=3, height="auto")
        with gr.Column(scale=2, min_width=300):
            about = gr.HTML("", elem_classes="about")
            use = gr.Button("Style pictures with it", variant="primary")

    def choose(listed: list[str], event: gr.SelectData) -> tuple[str, str, str]:
        name = listed[event.index]
        return name, chosen_words(desk, name), about_words(desk, name)

    gallery.select(told(choose), names, [chosen, said, about], **HIDDEN)
    use.click(lambda: gr.update(selected="apply"), None, tabs, **HIDDEN)
    return gallery, names, about


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
        name=name,
        origin={**_origin(provenance), "exemplar": carried_words(exemplars, provenance)},
        figures=provenance.figures,
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
