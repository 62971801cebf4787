"""What all tabs of the web page share: trainings, loaded models, places for files, and how errors are told."""

import functools
import html
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from sincut.errors import ImageError, SincutError
from sincut.files import stat_of
from sincut.model.model import model_path
from sincut.page import uploads
from sincut.page.jobs import Trainings
from sincut.pictures import reading, resampling, writing
from sincut.pictures.opening import MAX_PIXELS
from sincut.report.history import PREVIEWS
from sincut.translation.translator import Translator, load

COVER_MEGAPIXELS = 0.12
COMPUTE = "compute"  # what only one visitor does at a time
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # of events without a wait


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Errors as their one line, shown to the visitor; anything else is a bug, whose traceback goes to the terminal."""

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
    found: Exception = gr.Error(html.escape(text), duration=20, print_exception=False)
    return found


class Stops:
    """Which tabs have a job queued or running, and which of them were asked to stop it. Safe to use from threads."""

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
    """What all tabs share: the trainings, the models that are loaded, and where files may be."""

    root: Path  # visitors may name files below it
    place: Path  # for uploads and results
    trainings: Trainings
    device: Any
    max_pixels: int = MAX_PIXELS
    computing: threading.Lock = field(default_factory=threading.Lock)
    loaded: dict[tuple[str, Any], Translator] = field(default_factory=dict)
    closing: bool = False  # the server is about to end
    covers: dict[tuple[str, Any], Any] = field(default_factory=dict)
    stops: Stops = field(default_factory=Stops)  # of stylings

    @contextmanager
    def translator(self, name: str, **parts: bool) -> Iterator[Translator]:
        """A model, loaded once, with what else of it is wanted; one visitor computes at a time."""
        path = self.trainings.path(name)
        key = name, (stat_of(model_path(path)), *parts)
        with self.computing:
            if key not in self.loaded:
                found = load(path, self.device, **parts)  # type: ignore[arg-type]
                self.loaded.clear()
                self.loaded[key] = found
            yield self.loaded[key]

    def given(self, upload: str | None, typed: str | None, what: str) -> Path:
        """The file that was dropped, or the one that was named. Raises `RunError` or `ImageError`."""
        if upload:
            return Path(upload)
        if not (typed or "").strip():
            raise ImageError(f"no {what} yet: drop one, or name a file")
        return uploads.inside(self.root, typed or "")

    def shown(self, path: Path) -> str:
        """A copy for the browser."""
        return str(uploads.on_screen(path, self.place, self.max_pixels))

    def cover(self, name: str) -> Any:
        """A picture that stands for a model: its last preview, or the thumbnail in its file, or grey."""
        path = self.trainings.path(name)
        last = sorted((path / PREVIEWS).glob("*.jpg"))[-1:] if path.is_dir() else []
        key = name, stat_of(last[0] if last else path)
        if key not in self.covers:
            self.covers[key] = _cover(self.trainings, name, last)
        return self.covers[key]


def _cover(trainings: Trainings, name: str, last: Sequence[Path]) -> Any:
    with suppress(SincutError):
        if last:
            return writing.to_pil(reading.viewable(last[0], COVER_MEGAPIXELS))
        thumbnails = trainings.about(name)[1].get("thumbnails")
        found = thumbnails if isinstance(thumbnails, dict) else {}
        picture = resampling.from_thumbnail(str(found.get("output") or found.get("target") or ""))
        if picture is not None:
            return picture
    return np.full((90, 120, 3), 128, np.uint8)


def plain(text: str) -> str:
    """As Markdown that shows the text itself: nothing of it is a link, a picture or a tag."""
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in text)


def clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
