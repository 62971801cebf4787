"""The tab of models: all of them, and what the chosen one says of itself."""

import html
from typing import Any

import gradio as gr

from sincut.config.sections import Config
from sincut.errors import SincutError
from sincut.page import jobs
from sincut.page.desk import HIDDEN, Desk, clock, plain, told
from sincut.report.history import number


def models_tab(desk: Desk, chosen: Any, tabs: Any, said: Any) -> tuple[Any, Any, Any]:
    """All models, and what the chosen one says of itself. Returns the gallery, its names, and that text."""
    names = gr.State([])
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label="Trained models", show_label=False, columns=3, height="auto", fit_columns=False,
                object_fit="cover", allow_preview=False, interactive=False, buttons=[], elem_id="models",
            )  # fmt: skip
        with gr.Column(scale=2, min_width=300):
            about = gr.HTML("", elem_classes="about")
            use = gr.Button("Style pictures with it", variant="primary")

    def choose(listed: list[str], event: gr.SelectData) -> tuple[str, str, str]:
        name = listed[event.index]
        return name, chosen_words(desk, name), about_words(desk, name)

    gallery.select(told(choose), names, [chosen, said, about], **HIDDEN)
    use.click(lambda: gr.update(selected="apply"), None, tabs, **HIDDEN)
    return gallery, names, about


def chosen_words(desk: Desk, name: str) -> str:
    """Markdown: which model is chosen, and for which pictures it is."""
    if not name:
        return "No model yet: train one, or put a model file into the folder of runs."
    try:
        direction = str(desk.trainings.about(name)[1].get("direction", ""))
    except SincutError as error:
        return plain(str(error))
    takes = "photos (photo → painting)" if direction.startswith("photo") else "paintings (painting → photo)"
    return f"Chosen: **{plain(name)}**, which takes {takes}."


def about_words(desk: Desk, name: str) -> str:
    """HTML: where a model comes from, its figures, and the settings that differ from the defaults."""
    if not name:
        return "<p>No model yet.</p>"
    try:
        config, provenance = desk.trainings.about(name)
    except SincutError as error:
        return f"<p>{html.escape(str(error))}</p>"
    rows = {"direction": str(provenance.get("direction", "")).replace("->", "→")}
    for role in jobs.ROLES:
        found = provenance.get(role)
        if isinstance(found, dict):
            rows[role] = f"{found.get('name')}, {found.get('width')}×{found.get('height')}"
    steps, planned, seconds = (number(provenance.get(key)) for key in ("steps", "planned_steps", "seconds"))
    rows["trained"] = f"{steps or 0} of {planned or '?'} steps, seed {provenance.get('seed')}"
    rows["time"] = clock(seconds) if seconds is not None else "not known"
    figures = provenance.get("figures")
    tables = [("", rows), ("Figures", figures if isinstance(figures, dict) else {}), ("Settings", _own(config))]
    return f"<h3>{html.escape(name)}</h3>" + "".join(_table(title, values) for title, values in tables)


def _own(config: Config) -> dict[str, Any]:
    """Settings that differ from the defaults; the seed is told elsewhere."""
    usual = Config().to_dict()
    return {
        f"{section}.{key}": value
        for section, settings in config.to_dict().items()
        for key, value in settings.items()
        if value != usual[section][key] and key != "seed"
    }


def _table(title: str, values: dict[str, Any]) -> str:
    if title == "Settings" and not values:
        return "<h4>Settings</h4><p>All as the preset standard has them.</p>"
    rows = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in values.items())
    return (f"<h4>{title}</h4>" if title else "") + f"<table>{rows}</table>" if values else ""
