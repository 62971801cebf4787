"""The desk that all tabs of the page share: trainings, the loaded model, folders; and how errors are shown."""

import functools
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np

from sincut.errors import ImageError, RunError, SincutError
from sincut.files import read_whole, sha256, stat_of
from sincut.model.file import model_path
from sincut.model.markup import escape, render
from sincut.page import uploads
from sincut.page.example import SHIPPED
from sincut.page.jobs import Trainings
from sincut.page.pages import Download
from sincut.page.proof import Proofs
from sincut.pictures import reading, resampling, writing
from sincut.pictures.opening import MAX_PIXELS
from sincut.report.history import is_drawn, kept, previews
from sincut.runs.hub_card import hub_card
from sincut.runs.shelf import SUFFIX
from sincut.translation.translator import Translator, load

COVER_MEGAPIXELS = 0.12
TOAST_SECONDS = 6.0
COMPUTE = "compute"  # queue of the events that compute; they run one at a time
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # options of events that take no time


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors shown to the visitor as one line; other exceptions, which are bugs, pass."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SincutError as error:
            raise _toast(" ".join(str(error).split())) from None
        except MemoryError:
            raise _toast("the memory of this machine is not enough for it; use a smaller picture") from None
        except OSError as error:
            raise _toast(f"{error.filename or ''}: {error.strerror or error}; check the path and the disk") from None

    return inner


def _toast(text: str) -> Exception:
    """The exception that Gradio shows as this text for `TOAST_SECONDS`."""
    error: Exception = gr.Error(str(escape(in_short(text))), duration=TOAST_SECONDS, print_exception=False)
    return error


def in_short(text: str) -> str:
    """The text with the files of visitors named as they name them: without the folders that hold uploads here."""
    place = os.environ.get("GRADIO_TEMP_DIR")
    return re.sub(rf"{re.escape(place)}[\\/](?:[^\\/:]+[\\/])*", "", text) if place else text


class Stops:
    """The tabs that have a job queued or running, each with a mark once it is to stop. Safe to use from threads."""

    def __init__(self) -> None:
        self._asked: dict[str, bool] = {}  # by tab, while it has a job
        self._lock = threading.Lock()

    def expect(self, tab: str) -> None:
        """A job of this tab is about to be queued; no change where there is one already."""
        with self._lock:
            self._asked.setdefault(tab, False)

    def ask(self, tab: str) -> None:
        """Ask to stop the tab's job, running or still queued; no effect where it has none."""
        with self._lock:
            if tab in self._asked:
                self._asked[tab] = True

    def asked(self, tab: str) -> bool:
        """True if the tab's job is to stop."""
        return self._asked.get(tab, False)

    @contextmanager
    def running(self, tab: str) -> Iterator[None]:
        """The time in which the tab's job runs; it has none afterwards."""
        self.expect(tab)
        try:
            yield
        finally:
            with self._lock:
                self._asked.pop(tab, None)


@dataclass
class Desk:
    """State of the server that all visitors share."""

    root: Path  # visitors may name files below it
    place: Path  # folder for uploads and results
    trainings: Trainings
    device: Any
    max_pixels: int = MAX_PIXELS  # of one picture
    computing: threading.Lock = field(default_factory=threading.Lock)  # held while a model computes
    loaded: dict[tuple[Any, ...], Translator] = field(default_factory=dict)  # one model, by name, `stat_of` and parts
    closing: bool = False  # the server is about to end
    covers: dict[tuple[str, Any], Any] = field(default_factory=dict)  # by name and `stat_of` of the file they show
    stops: Stops = field(default_factory=Stops)  # of the tab of styling
    proofs: Proofs = field(default_factory=Proofs)
    sheets: dict[str, Path] = field(default_factory=dict)  # pages that compare models, by the name of their folder

    @contextmanager
    def translator(self, name: str, **parts: bool) -> Iterator[Translator]:
        """The model, which only this block uses meanwhile. Raises `RunError` or `ModelError`.

        The last one is kept loaded. `parts` are options of `sincut.load`, as in `heads=True`.
        """
        key = *self.version(name), *parts
        with self.computing:
            if key not in self.loaded:
                translator = load(self.trainings.path(name), self.device, **parts)  # type: ignore[arg-type]
                self.loaded.clear()
                self.loaded[key] = translator
            yield self.loaded[key]

    def version(self, name: str) -> tuple[Any, ...]:
        """The name of a model and `stat_of` its file, which tell it from any other. Raises `RunError`."""
        return name, stat_of(model_path(self.trainings.path(name)))

    def given(self, upload: str | None, typed: str | None, what: str) -> Path:
        """The file that was dropped, or else the one that was typed; `what` names it in the error if there is neither.

        Raises `RunError` for a path that is not below `root`, `ImageError` if there is none.
        """
        if upload:
            return Path(upload)
        if not (typed or "").strip():
            raise ImageError(f"no {what} yet: drop one, or name a file")
        return uploads.inside(self.root, typed or "")

    def own_picture(self, name: str) -> Path | None:
        """The picture that a model has learned to translate; None if none is there.

        The page copies pictures whole into run folders, the command at the size of its previews; that of the example
        is shipped.
        """
        provenance, path = self.trainings.about(name)[1], self.trainings.path(name)
        role, source = provenance.roles[0], provenance.source
        whole = self.trainings.picture(name, role)
        if whole is None and path.is_dir():
            whole = next(iter(kept(path, role)), None)
        shipped = SHIPPED / f"{role}.jpg"
        return shipped if whole is None and source is not None and source.sha256 == sha256(shipped) else whole

    def model_file(self, name: str) -> Download:
        """A model's file, named as the model. Raises `RunError`."""
        path = self.trainings.path(name)
        return Download(f"{_plain_name(path)}{SUFFIX}", read_whole(model_path(path), RunError))

    def card(self, name: str) -> Download:
        """A model's card, see `hub_card`. Raises `SincutError`."""
        path = self.trainings.path(name)
        return Download(f"{_plain_name(path)}.md", hub_card(path).encode())

    def shown(self, path: Path) -> str:
        """The path of a copy that a browser can show. Raises `ImageError`."""
        return str(uploads.on_screen(path, self.place, self.max_pixels))

    def cover(self, name: str) -> Any:
        """A picture that stands for a model: its last preview, else the thumbnail in its file, else grey.

        Raises `RunError` if there is no such model.
        """
        path = self.trainings.path(name)
        shown = list(previews(path).values()) if path.is_dir() else []
        last = [each for each in shown if is_drawn(each)][-1:] or shown[-1:]
        key = name, stat_of(last[0] if last else path)
        if key not in self.covers:
            self.covers[key] = _cover(self.trainings, name, last)
        return self.covers[key]


def _cover(trainings: Trainings, name: str, last: Sequence[Path]) -> Any:
    """The cover of a model, a PIL image or (H, W, 3) uint8; `last` holds its last preview, if there is one."""
    with suppress(SincutError):
        if last:
            return writing.to_pil(reading.viewable(last[0], COVER_MEGAPIXELS))
        thumbnails = trainings.about(name)[1].thumbnails
        picture = resampling.from_thumbnail(thumbnails.get("output") or thumbnails.get("target") or "")
        if picture is not None:
            return picture
    return np.full((90, 120, 3), 128, np.uint8)


def _plain_name(path: Path) -> str:
    """The name of a run folder or a model file, without its suffix."""
    return path.name if path.is_dir() else path.name.removesuffix(SUFFIX)


def link(word: str, name: str, words: str) -> str:
    """HTML: a link, as a button, to what `pages` hands out by this word and name."""
    return str(render("page/assets/link.html", address=f"{word}/{quote(name)}", words=words))


def plain(text: str) -> str:
    """Markdown that shows exactly this text: nothing in it becomes a link, a picture or a tag."""
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in text)


def clock(seconds: float) -> str:
    """A duration as `42 s`, `12 min` or `2 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
