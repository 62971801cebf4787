"""The web page, made of its tabs; built with Gradio (https://www.gradio.app), which the extra `sincut[ui]` brings.

It works on the same run folders as the commands. A visitor's choices belong to his browser tab; the state of a training
is read from its run folder, so visitors come and go without disturbing it.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from sincut.errors import RunError
from sincut.files import read_whole
from sincut.model.card import data_uri
from sincut.page.apply_tab import apply_tab
from sincut.page.desk import HIDDEN, Desk, told
from sincut.page.example import MODEL, put_example
from sincut.page.last_choices import browser_state
from sincut.page.models_tab import chosen_words, model_updates, models_tab
from sincut.page.similar_tab import similar_tab
from sincut.page.train_tab import train_tab

CARDS_SIZE = 232, 1160  # px (H, W) of directions.jpg: to photo in its left half, to painting in its right
ASSETS = Path(__file__).parent / "assets"


def _style() -> str:
    """The page's CSS, with the picture of both directions for the two choices, each of which shows a half of it."""
    cards = data_uri(read_whole(ASSETS / "directions.jpg", RunError))
    h, w = CARDS_SIZE
    return f":root {{--cards: url({cards}); --card-shape: {w // 2} / {h}}}\n{_asset('page.css')}"


def _asset(name: str) -> str:
    """The text of a file that the page ships."""
    return read_whole(ASSETS / name, RunError).decode()


def build(desk: Desk) -> Any:
    """The page with all its tabs, not yet served."""
    with gr.Blocks(title="sincut", analytics_enabled=False, delete_cache=(3600, 86_400)) as page:
        gr.Markdown(
            "# sincut\nTwo pictures are enough: sincut learns the look of one and gives it to the other, or to any"
            " picture like it. All of it happens on this machine."
        )
        example = gr.Button("Try it with our example", elem_id="example", size="sm", visible=False)
        chosen = gr.State("")  # the model of this tab
        seen = gr.State(None)  # `Desk.version` of all models that the galleries show
        last = browser_state("model", "")
        last_order, last_look = browser_state("train", []), browser_state("apply", [])
        with gr.Tabs() as tabs:
            with gr.Tab("Train", id="train"):
                drops = train_tab(desk, page, last_order)
            with gr.Tab("Apply", id="apply") as apply_page:
                styling = apply_tab(desk, chosen, page, last_look)
            with gr.Tab("Models", id="models") as models_page:
                shelf, changed, chose = models_tab(desk, chosen, tabs, styling.said, styling.files)
            with gr.Tab("Similarity", id="similarity"):
                similar_tab(desk, chosen)

        def refresh(current: str, kept: Any = "", before: Any = None) -> list[Any]:
            listed = desk.trainings.models()
            now = [desk.version(name) for name in listed]
            if current in listed and now == before:  # an answer that comes late must not undo a choice made meanwhile
                return [gr.skip()] * len(outputs)
            current = next((name for name in (current, kept, *listed) if name in listed), "")
            covers = [(desk.cover(name), name) for name in listed]
            selected = listed.index(current) if listed else None
            galleries = [gr.update(value=covers, selected_index=selected) for _ in range(2)]
            chooser = galleries[0], listed, chosen_words(desk, current)
            more = gr.update(visible=MODEL not in listed)
            return [current, *chooser, galleries[1], listed, *model_updates(desk, current), more, now]

        def show_example() -> list[Any]:
            shown = put_example(desk.trainings, desk.place / "example")
            return [gr.update(selected="apply"), shown.model, [shown.photo], shown.painting, shown.photo]

        outputs = [chosen, styling.gallery, styling.names, styling.said, *shelf, example, seen]
        page.load(told(refresh), [chosen, last], outputs, **HIDDEN)
        for event in (apply_page.select, models_page.select):
            event(told(refresh), [chosen, last, seen], outputs, **HIDDEN)
        shown = example.click(told(show_example), None, [tabs, chosen, styling.files, *drops], **HIDDEN)
        for event in (styling.recalled, *changed, shown.success):
            event(told(refresh), chosen, outputs, **HIDDEN)
        for event in (styling.chose, chose, styling.recalled, *changed, shown.success):
            event(lambda name: name, chosen, last, **HIDDEN)
    return page


def theme() -> Any:
    """The colours and fonts of the page; every text has a contrast of at least 4.5:1, as WCAG 2.2, 1.4.3 asks."""
    return gr.themes.Default(
        primary_hue="teal",
        neutral_hue="stone",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        # White on these is at least 4.5:1, and so are these on white.
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_hover_dark="#991b1b",
        button_cancel_text_color="white",
        button_cancel_text_color_dark="white",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        color_accent="*primary_700",
    )


def launch(page: Any, host: str, port: int | None, max_upload: int, open_: bool, app: dict[str, Any]) -> Any:
    """Serve the page in a thread, with all of Gradio switched off that leaves this machine.

    `max_upload` in bytes; `app` holds options of Gradio's FastAPI application. Returns the application, the page's
    address and no share link. Raises OSError if no port is free, and httpx's errors if the page cannot reach itself.
    """
    return page.queue(api_open=False).launch(
        server_name=host,
        server_port=port,
        max_file_size=max_upload,
        inbrowser=open_,
        app_kwargs=app,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=False,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=_style(),
        head=f"<script>{_asset('page.js')}</script>",
    )
