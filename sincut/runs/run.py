"""A training run: two pictures in, a model out, and the run folder that records it.

A run folder holds `model.safetensors` (always a complete, usable model), `checkpoint.safetensors` (all that is needed
to go on exactly), `metrics.jsonl`, `previews/`, the two pictures at the size of the previews, and `report.html`, which
shows all that. Files are written beside their name and renamed; only the metrics are appended to. One process at a time
writes to a folder.
"""

import base64
import contextlib
import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sincut import __version__
from sincut.config.sections import Config, resolve
from sincut.devices import find_device
from sincut.errors import ConfigError, ImageError, ModelError, RunError
from sincut.events import (
    Checkpoint,
    Evaluated,
    Event,
    Listener,
    Preview,
    Progress,
    Saved,
    Started,
    Trained,
    Warned,
    ignore,
)
from sincut.files import locked, make_folder, remove_parts, sha256
from sincut.method import training
from sincut.method.crops import check_size
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, Model, describe, load_tensors, save_tensors
from sincut.pictures import images
from sincut.pictures.images import Picture, Saving
from sincut.report import evaluate, record
from sincut.report.record import METRICS_FILE, PREVIEWS, History
from sincut.report.report import Report
from sincut.translation.translate import Translator

KEPT_QUALITY = 92  # of the JPEGs of the two pictures
SETTLED = 0.5  # of the steps, before which no figure is alarming

AnyImage = Path | str | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class Source:
    """One of the two pictures with its identity."""

    name: str
    path: str  # as the caller named it, for messages
    picture: Picture
    sha256: str
    file: str = ""  # where it lies; nothing for what is no file

    def identity(self) -> dict[str, Any]:
        h, w = self.picture.size
        return {"name": self.name, "width": w, "height": h, "sha256": self.sha256}


def train(
    painting: AnyImage,
    photo: AnyImage,
    output: Path | str | None = None,
    *,
    config: Config | None = None,
    reverse: bool = False,
    resume: bool = False,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
    started: float | None = None,
) -> Translator:
    """Learn to translate `painting` into the look of `photo`, from these two pictures alone.

    Pictures are paths, PIL images, uint8 arrays (H, W, 3) or float tensors (3, H, W) in [0, 1]. `output` is the run
    folder; without one nothing is written. `config` comes from `sincut.resolve("standard", ["schedule.minutes=3"])` or
    is built by hand; the preset `standard` by default, the stored one with `resume`. `reverse` learns photo ->
    painting. `on_event`, `stop` and `started` are those of `training.train`. Raises `SincutError`s for what the caller
    can mend.
    """
    sources = _source(painting, "painting"), _source(photo, "photo")
    if sources[0].sha256 == sources[1].sha256:
        on_event(Warned("painting and photo are the same picture: there is no look to learn from it"))
    direction = "photo -> painting" if reverse else "painting -> photo"
    inputs = {"painting": sources[0].identity(), "photo": sources[1].identity(), "direction": direction}
    first, second = reversed(sources) if reverse else sources
    device = find_device(device)
    if not resume:
        config = config or resolve()
        for source in sources:  # before a folder is made
            check_size(source.path, *source.picture.size, config.crops)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_opened(Path(output), resume)) if output is not None else None
        state = None
        if folder is not None and resume:
            state, config = folder.resume(config, inputs)
        config = config or resolve()
        listener = on_event
        if folder is not None:
            listener = recorder = Recorder(folder.path, sources, reverse, config, device, on_event)
            stack.callback(recorder.close)
        model = training.train(
            images.to_tensor(first.picture.pixels),
            images.to_tensor(second.picture.pixels),
            config,
            device=device,
            precision=precision,
            on_event=listener,
            stop=stop,
            started=started,
            state=state,
            provenance=_provenance(inputs, first, second, config),
        )
        if folder is not None and folder.steps() != model.provenance["steps"]:  # stopped after the last checkpoint
            model.save(folder.path / MODEL_FILE)
    return Translator(model, device, precision)


def default_folder(painting: Path, photo: Path, runs: Path = Path("runs"), name: str = "") -> Path:
    """runs/PAINTING-to-PHOTO, or of that `name`, numbered where that is taken."""
    base = runs / (name or f"{painting.stem}-to-{photo.stem}")
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], Config, dict[str, Any]]:
    """State, configuration and inputs of a run folder's checkpoint. Raises `ModelError`, or `RunError` without one."""
    path = _checkpoint_of(folder)
    state, metadata = load_tensors(path)
    try:
        config = Config.from_dict(json.loads(metadata["config"]))
        inputs = json.loads(metadata["inputs"])
        for key in ("painting", "photo", "direction"):
            _short(inputs[key])
        int(state["steps_done"])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path}: is no complete checkpoint ({error}); leave --resume away to train anew") from None
    return state, config, inputs


def _checkpoint_of(folder: Path) -> Path:
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise RunError(f"{folder}: holds no checkpoint to resume; leave --resume away to train anew")
    return path


class RunFolder:
    """The files of one run, held for this process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resume(self, config: Config | None, inputs: dict[str, Any]) -> tuple[dict[str, torch.Tensor], Config]:
        """The state to go on from and its configuration. Raises `RunError` where inputs or settings have changed."""
        state, stored, known = load_checkpoint(self.path)
        changed = [
            f"the {key} is {_short(inputs[key])}, was {_short(known[key])}"
            for key in ("painting", "photo", "direction")
            if _identity(inputs[key]) != _identity(known[key])
        ]
        changed += config.differences(stored) if config else []
        if changed:
            what = "; ".join(changed)
            raise RunError(f"{self.path}: cannot be resumed, this has changed: {what}; use the same, or a new folder")
        record.forget_after(self.path, int(state["steps_done"]))
        return state, config or stored

    def steps(self) -> int | None:
        """Of the model that lies here; None where none does."""
        path = self.path / MODEL_FILE
        return describe(path)[1].get("steps") if path.is_file() else None


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
        painting, photo = (images.shrink(source.picture, config.output.preview_megapixels) for source in sources)
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
            path = folder / PREVIEWS / record.INPUTS[role]
            if not path.exists():
                images.save(picture, path, Saving(quality=KEPT_QUALITY, strip=True))

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
        images.save(out, path)
        self.thumbnails["output"] = _text(images.thumbnail(out))
        self.on_event(Saved(path, "preview"))
        if min(*self.scene.size, *self.look.size) < evaluate.SMALLEST:
            return
        self.figures.update(evaluate.measure(self.scene, self.look, out))
        self._append({"step": event.step, "figures": dict(self.figures)})
        self.on_event(Evaluated(event.step, dict(self.figures)))
        settled = event.step >= SETTLED * event.steps
        for complaint in evaluate.complaints(self.figures) if settled else ():
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
        record.append(self.folder, values)
        self.history.add(values)


@contextlib.contextmanager
def _opened(path: Path, resume: bool) -> Iterator[RunFolder]:
    """Make or find the folder and lock it. Raises `RunError` where it holds another run, or none to resume."""
    if resume:
        _checkpoint_of(path)
    make_folder(path / PREVIEWS, RunError)
    with locked(path):
        taken = [name for name in (MODEL_FILE, CHECKPOINT_FILE) if (path / name).exists()]
        if taken and not resume:
            raise RunError(f"{path}: holds a run already; go on with --resume or choose another folder with -o")
        if not resume:  # what a run left that was killed before its first checkpoint
            kept = (path / PREVIEWS / name for name in record.INPUTS.values())
            for old in (path / METRICS_FILE, *(path / PREVIEWS).glob("*.jpg"), *kept):
                old.unlink(missing_ok=True)
        for folder in (path, path / PREVIEWS):
            remove_parts(folder)
        yield RunFolder(path)


def _source(image: AnyImage, role: str) -> Source:
    if isinstance(image, Path | str):
        path = Path(image)
        return Source(path.name, str(path), images.load(path), sha256(path), str(path.absolute()))
    if isinstance(image, Tensor):
        tensor = image[0] if image.ndim == 4 and len(image) == 1 else image
        if tensor.ndim != 3 or len(tensor) != 3 or not tensor.is_floating_point():
            raise ImageError(f"{role}: a tensor of {image.dtype} {tuple(image.shape)}; give floats (3, H, W) in [0, 1]")
        picture = Picture(images.to_pixels(tensor[None] * 2 - 1))
    elif isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"{role}: an array of {image.dtype} {image.shape}; give uint8 of shape (H, W, 3)")
        picture = Picture(np.ascontiguousarray(image))
    else:
        picture = images.from_pil(image)
    return Source(role, role, picture, hashlib.sha256(picture.pixels.tobytes()).hexdigest())


def _provenance(inputs: dict[str, Any], first: Source, second: Source, config: Config) -> dict[str, Any]:
    """Where a model comes from, apart from how far its training is."""
    scales = {}
    for role, source in (("source", first), ("target", second)):
        width, low, high = source.picture.size[1], config.crops.low, config.crops.high
        by_width = config.crops.scale == "width"
        scales[role] = [low / width, high / width] if by_width else [low, high]
    return {
        **inputs,
        "seed": config.schedule.seed,
        "training_scale": scales,
        "versions": {"sincut": __version__, "torch": str(torch.__version__)},
        "thumbnails": {
            "source": _text(images.thumbnail(first.picture)),
            "target": _text(images.thumbnail(second.picture)),
        },
    }


def _machine() -> dict[str, str]:
    """When and on what this process trains, beside what the events say."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "system": system}


def _identity(value: Any) -> Any:
    """What must not change: a picture's bytes, not its name."""
    return value["sha256"] if isinstance(value, dict) else value


def _short(value: Any) -> str:
    return f"{value['name']} ({value['sha256'][:8]})" if isinstance(value, dict) else str(value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
