"""A training run: two pictures in, a model out, and the run folder that records it."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sincut import __version__
from sincut.config.sections import Config, resolve
from sincut.devices import find_device
from sincut.events import Listener, Warned, ignore
from sincut.method import training
from sincut.method.crops import check_size
from sincut.model.model import MODEL_FILE
from sincut.pictures import resampling
from sincut.pictures.picture import to_tensor
from sincut.runs.folder import opened
from sincut.runs.inputs import AnyImage, Source, as_text, source_of
from sincut.runs.recorder import Recorder
from sincut.translation.translate import Translator


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
    sources = source_of(painting, "painting"), source_of(photo, "photo")
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
        folder = stack.enter_context(opened(Path(output), resume)) if output is not None else None
        state = None
        if folder is not None and resume:
            state, config = folder.resume(config, inputs)
        config = config or resolve()
        listener = on_event
        if folder is not None:
            listener = recorder = Recorder(folder.path, sources, reverse, config, device, on_event)
            stack.callback(recorder.close)
        model = training.train(
            to_tensor(first.picture.pixels),
            to_tensor(second.picture.pixels),
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
            "source": as_text(resampling.thumbnail(first.picture)),
            "target": as_text(resampling.thumbnail(second.picture)),
        },
    }
