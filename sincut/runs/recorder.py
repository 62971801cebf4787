"""The recorder of a run: writes the events of its training into the run folder, and passes them on.

At each preview the picture and its figures, at each checkpoint the checkpoint and the model, at every few steps a line
of metrics; the report is kept up with all of them.
"""

import contextlib
import copy
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sincut.config.sections import Config
from sincut.devices import peak_memory, release_memory
from sincut.errors import ImageError, ModelError
from sincut.events import Checkpoint, Evaluated, Event, Listener, Preview, Progress, Saved, Started, Trained, Warned
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE, save_tensors
from sincut.model.kinds import AnyModel
from sincut.model.provenance import ROLES
from sincut.pictures import reading, resampling, writing
from sincut.pictures.picture import Picture, on_white
from sincut.pictures.writing import Saving
from sincut.report import history, measures
from sincut.report.history import PREVIEWS, History
from sincut.report.run_page import Report
from sincut.runs.inputs import Inputs, thumbnail
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NO_PREVIEW = "there is no memory for previews of this size"
PREVIEW_SHARE = 0.3  # of the minutes, that a preview may take where it is all the work
LEAST_SCALE = 0.05  # of a preview
KEPT_QUALITY = 92  # of the JPEGs of the two pictures, 1 to 100


class Recorder:
    """A listener that writes what events say into a run folder, then passes them on to `on_event`.

    Previews are translated on `device` in `precision`, those of the training. Raises `RunError` or `ModelError` if a
    file cannot be written, which ends the training.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Inputs,
        config: Config,
        device: torch.device | str,
        precision: str,
        on_event: Listener,
    ) -> None:
        self.folder, self.inputs, self.config, self.on_event = folder, inputs, config, on_event
        self.device, self.precision = device, precision
        paintings, photos = (
            [_small(source.picture, config.output.preview_megapixels) for source in side.each[: history.SHOWN_OF_SET]]
            for side in inputs.both
        )
        self.roles = ROLES[::-1] if inputs.reverse else ROLES
        scenes, self.looks = (photos, paintings) if inputs.reverse else (paintings, photos)
        self.scene = scenes[0]  # of a set, previews show the first picture; the look is that of the first ones together
        self.alpha, self.scene = self.scene.alpha, replace(self.scene, alpha=None)  # seen by people, not by G
        self.history = History.read(folder)
        self.report = Report(folder, self.history)
        self.session: Started | None = None  # until it stands in the metrics
        self.model: AnyModel | None = None  # the latest, until the report shows it as it stays
        self.losses: dict[str, float] = {}  # of the last line of metrics, as the run was resumed
        self.figures: dict[str, float] = {}  # of the last preview
        self.preview = ""  # thumbnail of the last preview, of the last that is drawn if there is one
        self.drawn = False  # True if one is
        self.told: set[str] = set()  # figures that were complained about
        for role, pictures in zip(ROLES, (paintings, photos), strict=True):
            for number, picture in enumerate(pictures):
                path = folder / PREVIEWS / history.kept_name(role, number)
                if not path.exists():
                    writing.save(picture, path, Saving(quality=KEPT_QUALITY, strip=True))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.session = event
            self._recall(event.step)
        if isinstance(event, Progress):
            self._append({**asdict(event), "memory": peak_memory(torch.device(self.device))})
        if isinstance(event, Trained):
            self.close()
        self.on_event(event)
        if isinstance(event, Preview):
            self._preview(event)
            self._live(event.model)
        if isinstance(event, Checkpoint):
            model = self.completed(event.model)
            self._checkpoint(event, model)
            self._live(model)

    def completed(self, model: AnyModel) -> AnyModel:
        """The model with all that its provenance tells: also figures and thumbnail of the last preview.

        And the losses, if it has done no step since the run was resumed. It is another object, which shares all else.
        """
        known = model.provenance
        thumbnails = {**known.thumbnails, "output": self.preview} if self.preview else known.thumbnails
        figures, losses = self.figures or known.figures, known.losses or self.losses
        model = copy.copy(model)
        model.provenance = replace(known, thumbnails=thumbnails, figures=figures, losses=losses)
        return model

    def save(self, model: AnyModel) -> None:
        """Write the model file. Raises `ModelError`."""
        path = self.folder / MODEL_FILE
        model.save(path)
        self.model = model
        self.on_event(Saved(path, "model"))

    def close(self) -> None:
        """Write the report as it stays, now that the training is over or has stopped; not if there is no model."""
        model, self.model = self.model, None
        if model is None or not (self.folder / MODEL_FILE).exists():
            return
        if self.report.write_live(model, self.on_event, going_on=False):
            self.on_event(Saved(self.report.path, "report"))

    def _recall(self, step: int) -> None:
        """Losses, figures and thumbnail as they were after `step`, from what earlier sessions left in the folder."""
        self.losses, self.figures = _latest(self.history.losses, step), _latest(self.history.figures, step)
        shown = [path for at, path in history.previews(self.folder).items() if at <= step]
        drawn = [path for path in shown if history.is_drawn(path)]
        with contextlib.suppress(ImageError):  # a damaged one; the next preview makes another
            self.preview = thumbnail(reading.load((drawn or shown)[-1])) if shown else ""
            self.drawn = bool(drawn)

    def _live(self, model: AnyModel) -> None:
        self.model = model
        self.report.write_if_due(model, self.on_event)

    def _preview(self, event: Preview) -> None:
        """Translate the picture that is learned from, measure it, and warn of figures that are alarming.

        The figures are those of G alone, whose training they are to watch, also where the preview is drawn. A model
        that takes pictures whole may have no memory for it: that is a warning, once, and the training goes on.
        """
        translator = Translator(event.model, self.device, self.precision)
        path = self.folder / PREVIEWS / f"{event.step:06d}.jpg"
        try:
            shown = out = translator.apply_picture(self.scene, Options(fast=True, scale=self._scale(translator)))
        except ImageError as error:
            if NO_PREVIEW not in self.told:
                self.told.add(NO_PREVIEW)
                self.on_event(Warned(f"step {event.step}: {NO_PREVIEW} ({error}): --set output.preview_megapixels=0.2"))
            return
        drawn = event.drawn and bool(event.model.exemplars)
        if drawn:
            writing.save(self._shown(out), history.fast_preview(path))
            shown = translator.apply_picture(self.scene)
        shown = self._shown(shown)
        writing.save(shown, path)
        if drawn or not self.drawn:
            self.preview, self.drawn = thumbnail(shown), drawn
        self.on_event(Saved(path, "preview"))
        with _trimmed():
            self._measure(event, out)

    def _scale(self, translator: Translator) -> float:
        """The scale of a preview: 1, but less where a model works on a picture for longer than the minutes allow."""
        size, minutes = self.scene.size, self.config.schedule.minutes
        if translator.model.rounds(size) == 1 or self.config.schedule.steps:
            return 1.0
        seconds = translator.probe() * size[0] * size[1]
        return max(LEAST_SCALE, min(1.0, math.sqrt(PREVIEW_SHARE * 60 * minutes / seconds)))

    def _measure(self, event: Preview, out: Picture) -> None:
        """Record the figures of what G alone gives, and warn of alarming ones."""
        if min(side for picture in (self.scene, *self.looks) for side in picture.size) < measures.SMALLEST:
            return
        self.figures = measures.measure(self.scene, self.looks, out)
        self._append({"step": event.step, "figures": dict(self.figures)})
        self.on_event(Evaluated(event.step, dict(self.figures)))
        settled = event.step >= measures.SETTLED * event.steps
        for complaint in measures.complaints(self.figures, *self.roles) if settled else ():
            if complaint.split()[0] not in self.told:
                self.told.add(complaint.split()[0])
                self.on_event(Warned(f"step {event.step}: {complaint}; another --seed may do better"))

    def _shown(self, translation: Picture) -> Picture:
        """A translation of the scene as people see it: what the file hides lies on white."""
        return on_white(replace(translation, alpha=self.alpha))

    def _checkpoint(self, event: Checkpoint, model: AnyModel) -> None:
        """Write the checkpoint, then its model. The checkpoint is first: a run that has it loses nothing.

        It is also the larger by far. If there is no room for it there may still be some for the model.
        """
        metadata = {"config": json.dumps(self.config.to_dict()), "inputs": self.inputs.to_json()}
        try:
            save_tensors(self.folder / CHECKPOINT_FILE, event.state, metadata)
        except ModelError as error:
            self.save(model)
            raise ModelError(f"{error}; the model of step {event.step} is saved") from None
        self.save(model)

    def _append(self, values: dict[str, Any]) -> None:
        """Add a line to the metrics; before the first one of this session, a line about the session."""
        if self.session is not None:
            session, self.session = self.session, None
            told = {**asdict(session), **self._named(), **_machine()}
            self._append({"step": told.pop("step"), "session": told})
        history.append(self.folder, values)
        self.history.add(values)

    def _named(self) -> dict[str, Any]:
        """The pictures of both sides as they were named, of sets also the files, and notes on their reading."""
        sides = dict(zip(ROLES, self.inputs.both, strict=True))
        named: dict[str, Any] = {role: side.typed for role, side in sides.items()}
        for role, side in sides.items():
            files, notes = [source.path for source in side.each], [source.picture.notes for source in side.each]
            named |= {f"{role}_files": files} if len(files) > 1 else {}
            named |= {f"{role}_notes": [note for each in notes for note in each]} if any(notes) else {}
        return named


@contextlib.contextmanager
def _trimmed() -> Iterator[None]:
    """A block that finds room where tiles of a preview were, and leaves its own to the next step."""
    release_memory(torch.device("cpu"))
    yield
    release_memory(torch.device("cpu"))


def _small(picture: Picture, megapixels: float) -> Picture:
    """A picture as `resampling.shrink` gives it, with its alpha of the same size."""
    small = resampling.shrink(picture, megapixels)
    if picture.alpha is None:
        return small
    three: Any = picture.alpha[..., None].repeat(3, axis=2)
    alpha: Any = resampling.shrink(Picture(three), megapixels).pixels[..., 0]
    return replace(small, alpha=alpha)


def _latest(rows: dict[int, dict[str, float]], step: int) -> dict[str, float]:
    """The row of the last step up to `step`, {} without one."""
    past = [at for at in rows if at <= step]
    return dict(rows[max(past)]) if past else {}


def _machine() -> dict[str, str]:
    """The time and the system this process trains on."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "system": system}
