"""The tab of similarities: click on a place of a picture, and see what the encoder takes for like its translation."""

from pathlib import Path
from typing import Any

import gradio as gr

from sincut.page import jobs
from sincut.page.desk import COMPUTE, HIDDEN, Desk, told
from sincut.page.uploads import as_file
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture
from sincut.report.heat_maps import heat_maps
from sincut.translation import similarity

MEGAPIXELS = 0.5  # of a picture that is looked at


def similar_tab(desk: Desk, chosen: Any) -> None:
    """A picture to click on, and maps: of all layers of PatchNCE together, and of each."""
    said = gr.Markdown("")
    file = gr.File(
        label="Another picture", file_types=sorted(formats.SUFFIXES), height=110, elem_id="drop-similar"
    )  # fmt: skip
    shown = gr.State("")  # the file behind the picture
    picture = gr.Image(
        label="Click on a place", interactive=False, height=420, buttons=["fullscreen"], elem_id="similar"
    )
    maps = gr.Image(
        label="Where the encoder sees the like of it", show_label=False, interactive=False, elem_id="maps",
        buttons=["fullscreen", "download"],
    )  # fmt: skip

    def show(upload: str | None, name: str) -> tuple[str, Any, Any, str]:
        path = Path(upload) if upload else _own_picture(desk, name)
        if path is None:
            return "", None, None, "Drop a picture, then click on it."
        small = as_file(reading.viewable(path, MEGAPIXELS, desk.max_pixels), path.stem, desk.place)
        return (
            str(small),
            str(small),
            None,
            "Click on a place of the picture: what the model takes for like its translation becomes bright.",
        )

    def look(small: str, name: str, event: gr.SelectData) -> Any:
        x, y = (int(place) for place in event.index)
        return _maps(desk, name, reading.load(Path(small)), (x, y))

    outputs = [shown, picture, maps, said]
    for event in (file.change, chosen.change):
        event(told(show), [file, chosen], outputs, **HIDDEN)
    picture.select(
        told(look), [shown, chosen], maps, concurrency_limit=1, concurrency_id=COMPUTE, api_visibility="private"
    )


def _own_picture(desk: Desk, name: str) -> Path | None:
    """What the model has learned to translate, where its run folder holds it."""
    if not name:
        return None
    direction = str(desk.trainings.about(name)[1].get("direction", ""))
    return desk.trainings.picture(name, jobs.ROLES[direction.startswith("photo")])


def _maps(desk: Desk, name: str, picture: Picture, point: tuple[int, int]) -> Any:
    """The maps, as the command `sincut similarity` draws them."""
    with desk.translator(name, heads=True) as translator:
        found = similarity.similarity_maps(translator, picture, point)
        panels, low, high = similarity.shown(found, translator.model.config.losses.temperature, False)
    return writing.to_pil(heat_maps(picture, panels, point, low, high))
