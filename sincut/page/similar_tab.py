"""The tab of similarities: maps of the patches that the encoder takes for similar to the translation of one."""

from pathlib import Path
from typing import Any

import gradio as gr

from sincut.page.desk import COMPUTE, HIDDEN, Desk, told
from sincut.page.models_tab import chosen_words
from sincut.page.uploads import as_file
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture
from sincut.report.heat_maps import heat_maps
from sincut.translation import similarity

MEGAPIXELS = 0.5  # size of the picture that is clicked on; larger ones are reduced to it
ASK = "Drop a picture, then click on it."
EXPLAIN = "Click on a place of the picture. Bright in the maps is what the model takes for the same as that place."


def similar_tab(desk: Desk, chosen: Any) -> None:
    """Lay the tab out: a picture to click on, and below it the maps, of all PatchNCE layers together and of each.

    `chosen` is the state with the name of the visitor's model.
    """
    said = gr.Markdown("")
    file = gr.File(label="Another picture", file_types=sorted(formats.SUFFIXES), height=140, elem_id="drop-similar")
    shown = gr.State("")  # the file behind the picture
    picture = gr.Image(
        label="Click on a place", interactive=False, height=420, buttons=["fullscreen"], elem_id="similar"
    )
    maps = gr.Image(
        label="Where the encoder sees the like of it",
        show_label=False,
        interactive=False,
        visible=False,
        elem_id="maps",
        buttons=["fullscreen", "download"],
    )

    no_maps: Any = gr.update(value=None, visible=False)

    def show(upload: str | None, name: str) -> tuple[str, Any, Any, str]:
        path = Path(upload) if upload else (desk.own_picture(name) if name else None)
        if path is None or not name:
            return "", None, no_maps, f"{chosen_words(desk, name)} {ASK}"
        small = str(as_file(reading.viewable(path, MEGAPIXELS, desk.max_pixels), path.stem, desk.place))
        return small, small, no_maps, f"{chosen_words(desk, name)} {EXPLAIN}"

    def look(small: str, name: str, event: gr.SelectData) -> Any:
        x, y = (int(place) for place in event.index)
        return gr.update(value=_maps(desk, name, reading.load(Path(small)), (x, y)), visible=True)

    outputs = [shown, picture, maps, said]
    for event in (file.change, chosen.change):
        event(told(show), [file, chosen], outputs, **HIDDEN)
    picture.select(
        told(look), [shown, chosen], maps, concurrency_limit=1, concurrency_id=COMPUTE, api_visibility="private"
    )


def _maps(desk: Desk, name: str, picture: Picture, point: tuple[int, int]) -> Any:
    """One image of all maps for the output patch at `point` (x, y) in px, as `sincut similarity` draws them."""
    with desk.translator(name, heads=True) as translator:
        cosines = similarity.similarity_maps(translator, picture, point)
        panels, _, _ = similarity.shown(cosines, translator.model.config.losses.temperature, False)
    titled = {title.partition(":")[0]: values for title, values in panels.items()}
    return writing.to_pil(heat_maps(picture, titled, point, "unlike", "like"))
