"""The tab of similarities: click on a place of a picture, and see what the encoder takes for like its translation.

The maps are those of `sincut.similarity`; where this sincut has none, the page has no such tab.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from sincut import images, jobs
from sincut.desk import COMPUTE, HIDDEN, Desk, told
from sincut.images import Picture
from sincut.uploads import as_file

MEGAPIXELS = 0.5  # of a picture that is looked at
MARK = 4  # px, to either side of the place that was clicked on
HOT = np.array([255, 60, 0], np.float32)


def is_available() -> bool:
    """Whether this sincut knows of similarities."""
    return importlib.util.find_spec("sincut.similarity") is not None


def similar_tab(desk: Desk, chosen: Any) -> None:
    """A picture to click on, and a map for each layer of PatchNCE."""
    said = gr.Markdown("")
    file = gr.File(
        label="Another picture", file_types=sorted(images.SUFFIXES), height=110, elem_id="drop-similar"
    )  # fmt: skip
    shown = gr.State("")  # the file behind the picture
    picture = gr.Image(
        label="Click on a place", interactive=False, height=420, buttons=["fullscreen"], elem_id="similar"
    )
    maps = gr.Gallery(
        label="Where the encoder sees the like of it", columns=3, height="auto", interactive=False,
        object_fit="contain", buttons=["fullscreen", "download"], elem_id="maps",
    )  # fmt: skip

    def show(upload: str | None, name: str) -> tuple[str, Any, Any, str]:
        path = Path(upload) if upload else _own_picture(desk, name)
        if path is None:
            return "", None, None, "Drop a picture, then click on it."
        small = as_file(images.viewable(path, MEGAPIXELS, desk.max_pixels), path.stem, desk.place)
        return str(small), str(small), None, "Click on a place of the picture: red is what the model takes for alike."

    def look(small: str, name: str, event: gr.SelectData) -> list[tuple[Any, str]]:
        x, y = (int(place) for place in event.index)
        return _maps(desk, name, images.load(Path(small)), (x, y))

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


def _maps(desk: Desk, name: str, picture: Picture, point: tuple[int, int]) -> list[tuple[Any, str]]:
    """The picture in grey with each layer's likelihoods laid over it, and in words which layer it is."""
    similarity = importlib.import_module("sincut.similarity")
    with desk.translator(name, heads=True) as translator:
        found = similarity.similarity_maps(translator, picture, point)
        temperature = translator.model.config.losses.temperature
    return [
        (_overlaid(picture, similarity.likelihood(cosines, temperature).numpy(), point), f"layer {layer}")
        for layer, cosines in found.items()
    ]


def _overlaid(picture: Picture, values: Any, point: tuple[int, int]) -> Any:
    """(H, W, 3) 8-bit: values (h, w) in [0, 1] of a coarser grid, in red over grey; the point is marked."""
    h, w = picture.size
    rows, columns = (np.arange(side) * of // side for side, of in ((h, values.shape[0]), (w, values.shape[1])))
    share = values[rows][:, columns, None].astype(np.float32)
    grey = picture.pixels.mean(2, keepdims=True, dtype=np.float32) * 0.6 + 60
    out = (grey * (1 - share) + HOT * share).clip(0, 255).astype(np.uint8)
    x, y = point
    for reach, colour in ((MARK, 0), (MARK - 2, 255)):  # a white spot in a black frame
        out[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = colour
    return out
