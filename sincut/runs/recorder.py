"""What a training says, written into its run folder: metrics, previews with their figures, checkpoints, the report."""

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sincut.config.sections import Config
from sincut.events import Checkpoint, Evaluated, Event, Listener, Preview, Progress, Saved, Started, Trained, Warned
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, Model, save_tensors
from sincut.pictures import resampling, writing
from sincut.pictures.writing import Saving
from sincut.report import history, measures
from sincut.report.history import PREVIEWS, History
from sincut.report.run_page import Report
from sincut.runs.inputs import Source, as_text
from sincut.translation.translate import Translator

KEPT_QUALITY = 92  # of the JPEGs of the two pictures
SETTLED = 0.5  # of the steps, before which no figure is alarming


class Recorder:
    """A listener that writes what the events say into a run folder, then passes them on."""

    def __init__(
        self,
        folder: Path,
        sources: tuple[Source, Source],
        reverse: bool,
        config: Config,
        device: torch.device | str,
        on_event: Listener,
    ) -> None:
        painting, photo = (resampling.shrink(source.picture, config.output.preview_megapixels) for source in sources)
        self.scene, self.look = (photo, painting) if reverse else (painting, photo)
        self.folder, self.config, self.device, self.on_event = folder, config, device, on_event
        self.inputs: dict[str, Any] = dict(
            zip(("painting", "photo"), (source.identity() for source in sources), strict=True)
        )
        self.inputs["direction"] = "photo -> painting" if reverse else "painting -> photo"
        self.files = [source.file for source in sources]  # where they lie; in the checkpoint, which stays here
        self.paths = {"painting": sources[0].path, "photo": sources[1].path}
        self.history = History.read(folder)
        self.report = Report(folder, self.history)
        self.session: Started | None = None  # until its first line of metrics
        self.model: Model | None = None  # that the report does not show yet
        self.thumbnails: dict[str, str] = {}
        self.figures: dict[str, float] = {}
        self.told: set[str] = set()
        for role, picture in (("painting", painting), ("photo", photo)):
            path = folder / PREVIEWS / history.INPUTS[role]
            if not path.exists():
                writing.save(picture, path, Saving(quality=KEPT_QUALITY, strip=True))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.session = event
        if isinstance(event, Progress):
            self._append(asdict(event))
        if isinstance(event, Trained):
            self.close()
        self.on_event(event)
        if isinstance(event, Preview):
            self._preview(event)
        if isinstance(event, Checkpoint):
            self._checkpoint(event)
        if isinstance(event, Preview | Checkpoint):
            self.model = event.model
            self.report.write_if_due(event.model, self.on_event)

    def close(self) -> None:
        """The report as it stays: the training is over, or has stopped."""
        if self.model is not None and self.report.write_live(self.model, self.on_event, going_on=False):
            self.on_event(Saved(self.report.path, "report"))
        self.model = None

    def _preview(self, event: Preview) -> None:
        out = Translator(event.model, self.device).apply_picture(self.scene)
        path = self.folder / PREVIEWS / f"{event.step:06d}.jpg"
        writing.save(out, path)
        self.thumbnails["output"] = as_text(resampling.thumbnail(out))
        self.on_event(Saved(path, "preview"))
        if min(*self.scene.size, *self.look.size) < measures.SMALLEST:
            return
        self.figures.update(measures.measure(self.scene, self.look, out))
        self._append({"step": event.step, "figures": dict(self.figures)})
        self.on_event(Evaluated(event.step, dict(self.figures)))
        settled = event.step >= SETTLED * event.steps
        for complaint in measures.complaints(self.figures) if settled else ():
            if complaint.split()[0] not in self.told:
                self.told.add(complaint.split()[0])
                self.on_event(Warned(f"step {event.step}: {complaint}; another --seed may do better"))

    def _checkpoint(self, event: Checkpoint) -> None:
        event.model.provenance.setdefault("thumbnails", {}).update(self.thumbnails)
        event.model.provenance.update({"figures": dict(self.figures)} if self.figures else {})
        inputs = {**self.inputs, "paths": self.files}
        metadata = {"config": json.dumps(self.config.to_dict()), "inputs": json.dumps(inputs)}
        save_tensors(self.folder / CHECKPOINT_FILE, event.state, metadata)  # first: a run that has it can go on
        event.model.save(self.folder / MODEL_FILE)
        self.on_event(Saved(self.folder / MODEL_FILE, "model"))

    def _append(self, values: dict[str, Any]) -> None:
        """A line of metrics; before the first of them, one about the session."""
        if self.session is not None:
            session, self.session = self.session, None
            told = {**asdict(session), **self.paths, **_machine()}
            self._append({"step": told.pop("step"), "session": told})
        history.append(self.folder, values)
        self.history.add(values)


def _machine() -> dict[str, str]:
    """When and on what this process trains, beside what the events say."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "system": system}
