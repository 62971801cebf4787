"""`sincut train` with another algorithm: the target is kept, the network is read, and a preview is made."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sincut.config.sections import Config, overlay
from sincut.errors import NOT_BEGUN, ConfigError, Interrupted
from sincut.events import Checkpoint, Listener, Planned, Preview, Progress, Started, Trained, Warned, ignore
from sincut.files import sha256
from sincut.model.exemplar import exemplar_of
from sincut.model.provenance import Provenance
from sincut.pictures.picture import to_pixels
from sincut.rivals.model import RivalModel
from sincut.rivals.techniques import TECHNIQUES


def check(config: Config) -> None:
    """Raise, before anything is read or made, for what will be missing.

    `ModelError` for weights that are not there, `ConfigError` where the target may not be kept.
    """
    name = config.method.algorithm
    if not config.synthesis.exemplar:
        raise ConfigError(
            f"{name} compares each picture with the target, so its model carries the target's pixels; leave out "
            "--no-exemplar, or use --set synthesis.exemplar=true"
        )
    TECHNIQUES[name].files(config.rival)


def train(
    source: Tensor,
    target: Tensor,
    config: Config,
    *,
    device: torch.device,
    precision: str = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
    started: float | None = None,
    state: dict[str, Tensor] | None = None,
    provenance: Provenance | None = None,
) -> RivalModel:
    """The model that gives pictures the look of `target`, (1, 3, H, W) in [-1, 1]. It is one step, and takes seconds.

    The arguments are those of `method.loop.train`. Nothing is learned, so `source` is of use for the preview alone,
    whoever makes it. Raises `ConfigError` and `ModelError` as `check`, `ModelError` for wrong weights, and
    `Interrupted` if `stop` is true before the step.
    """
    check(config)
    began = time.monotonic() if started is None else started
    name, settings = config.method.algorithm, config.rival
    technique = TECHNIQUES[name].read(settings)
    weights = {file.name: sha256(file) for file in technique.files(settings)}
    count = sum(p.numel() for p in technique.parameters())
    done = 0 if state is None else int(state["steps_done"])
    on_event(Started(done, str(device), "float32", f"as {name} is published", torch.get_num_threads(), {name: count}))
    told = replace(provenance or Provenance(), steps=1, planned_steps=1, weights=weights)
    told = replace(told, seconds=round(time.monotonic() - began, 1))
    kept = overlay(config, {"rival": {"weights": Path(settings.weights).name}})  # a model file names no folders
    model = RivalModel(technique, exemplar_of(to_pixels(target), config.crops), kept, told)
    if done:
        on_event(Warned("the target is in the model already; there is nothing to go on with"))
        return model
    if stop():
        raise Interrupted(NOT_BEGUN)
    on_event(Planned(0, 1, 0.0, 0))
    on_event(Progress(1, 1, {}, 0.0, told.seconds or 0.0, told.seconds or 0.0, 0.0))
    finished = {"steps_done": torch.tensor(1)}
    on_event(Checkpoint(1, finished, model))
    if config.output.previews and not stop():
        on_event(Preview(1, 1, model, drawn=False))
        on_event(Checkpoint(1, finished, model))  # with the preview's figures
    on_event(Trained(1, time.monotonic() - began, {}))
    return model
