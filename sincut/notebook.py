"""In Jupyter: a training as it goes, and a picture before and after (the extra `sincut[notebook]`).

>>> translator = sincut.train("painting.jpg", "photo.jpg", "runs/first", on_event=Live())
<IPython.core.display.HTML object>
>>> translate(translator, "another.jpg")
Comparison(source=..., output=...)
"""

import io
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sincut.errors import ImageError, RunError
from sincut.events import Directed, Evaluated, Event, PictureRead, Planned, Progress, Saved, Started, Trained, Warned
from sincut.model import card
from sincut.pictures import reading, resampling, writing
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator

SECONDS = 1.0  # between updates of the view
SIDE = 480  # px of the pictures shown
WARNINGS = 5  # of the last, that are shown


class Live:
    """A listener that keeps one output of a notebook up to date. Raises `RunError` if the extra is missing."""

    def __init__(self) -> None:
        try:
            from IPython.display import HTML, display
        except ImportError:
            raise RunError("the live view needs an extra: pip install 'sincut[notebook]'") from None
        self.html = HTML
        self.rows: dict[str, str] = {}
        self.warnings: list[str] = []
        self.picture = ""
        self.share = 0.0
        self.shown = time.monotonic()
        self.handle = display(HTML(self._page()), display_id=True)  # type: ignore[no-untyped-call]

    def __call__(self, event: Event) -> None:
        if isinstance(event, Directed):
            self.rows["direction"] = str(event)
        if isinstance(event, Started):
            self.rows["device"] = f"{event.device}, {event.precision}"
        if isinstance(event, Planned | Progress):
            self.rows["step"] = f"{event.step} of {event.steps or '?'}"
            self.share = event.step / event.steps if event.steps else 0.0
        if isinstance(event, Progress):
            self.rows["losses"] = _listed(event.losses)
            self.rows["left"] = f"{event.seconds_left:.0f} s, {event.step_seconds:.2f} s a step"
        if isinstance(event, Evaluated):
            self.rows["figures"] = _listed(event.figures)
        if isinstance(event, PictureRead) and event.notes:
            self.rows[event.role] = str(event).removeprefix(f"{event.role} ")
        if isinstance(event, Warned):
            self.warnings.append(event.message)
        if isinstance(event, Saved) and event.kind == "preview":
            with suppress(ImageError):  # no view is worth a training
                self.picture = card.data_uri(resampling.thumbnail(reading.load(event.path), SIDE))
        if isinstance(event, Trained):
            self.rows["left"] = f"nothing; {event.seconds:.0f} s in all"
        if not isinstance(event, Progress) or time.monotonic() - self.shown >= SECONDS:
            self._show()

    def _show(self) -> None:
        self.shown = time.monotonic()
        if self.handle is not None:  # there is none outside of a notebook
            self.handle.update(self.html(self._page()))  # type: ignore[no-untyped-call]

    def _page(self) -> str:
        """The HTML of progress, figures, warnings and the last preview."""
        rows = [*self.rows.items(), *(("warning", text) for text in self.warnings[-WARNINGS:])]
        pictures = card.side_by_side({"preview": self.picture})
        return str(card.card("sincut training", card.table(rows), pictures, progress=self.share))


@dataclass(frozen=True)
class Comparison:
    """A picture and its translation; in a notebook a slider shows both, as in the report."""

    source: Image.Image
    output: Image.Image

    def save(self, path: Path | str) -> None:
        """Save the translation."""
        self.output.save(path)

    def _repr_html_(self) -> str:
        return str(card.slider(("before", _shown(self.source)), ("after", _shown(self.output))))


def translate(translator: Translator, image: Path | str | Image.Image, options: Options = PLAIN) -> Comparison:
    """`translator.apply` of a path or a PIL image, with both pictures. Raises `ImageError`."""
    source: Any = image
    if isinstance(image, Path | str):
        source = writing.to_pil(reading.load(Path(image), options.max_pixels))
    return Comparison(source, translator.apply(source, options))


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _shown(image: Image.Image) -> str:
    """A small PNG as a data URI: upright, of 8 bits, transparent where the image is."""
    small = writing.to_pil(reading.from_pil(image))
    small.thumbnail((SIDE, SIDE))
    small.info.clear()
    data = io.BytesIO()
    small.save(data, "PNG")
    return card.data_uri(data.getvalue(), "png")
