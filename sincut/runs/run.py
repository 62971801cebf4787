"""A training run: the pictures of both sides in, a model out, and the run folder that records it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sincut import __version__
from sincut.config.resolve import resolve
from sincut.config.sections import Config
from sincut.devices import available_memory, find_device, used_memory, within_memory
from sincut.errors import RunError, TrainingError
from sincut.events import Directed, Listener, Reading, Warned, ignore
from sincut.method.algorithms import algorithm, check_more, check_sets
from sincut.method.registry import own_makers
from sincut.model.kinds import AnyModel
from sincut.model.provenance import PARTS, ROLES, Provenance, asked_reverse
from sincut.nets.local import SMALL_BAND, bands_of
from sincut.pictures.picture import to_tensor
from sincut.runs.finding import AnySide, find
from sincut.runs.folder import State, load_config, load_inputs, opened
from sincut.runs.inputs import AnySource, Inputs, read_side, thumbnail
from sincut.runs.needs import bytes_to_learn
from sincut.runs.recorder import Recorder
from sincut.translation.translator import Translator


def train(
    painting: AnySide,
    photo: AnySide,
    output: Path | str | None = None,
    *,
    config: Config | None = None,
    to: str | None = None,
    reverse: bool | None = None,
    resume: bool = False,
    more: float = 0.0,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
    started: float | None = None,
) -> Translator:
    """Learn to translate `painting` into the look of `photo`, or the other way round, from these two pictures alone.

    Blocks until the training is over, with the preset `standard` some minutes; returns the translator, on `device`.

    painting, photo: a path, a PIL image, a uint8 array (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in
        [0, 1], no side shorter than `crops.size` px. A path is kept in the checkpoint, to find the picture again.
        Or a set: a folder, a pattern such as "monets/*.jpg", or a list of any of these. What is learned is then what
        its pictures have in common; one that cannot be read or is too small is warned of and left out.
    output: the run folder, made if it is missing (see `sincut.runs.folder`); None: nothing is written.
    config: all settings, as from `sincut.resolve("standard", ["schedule.minutes=3"])`. None: the preset `standard`;
        with `resume` those of the run, from which given ones may differ in the sections `output` and `synthesis` only.
    to: the one whose look is learned: "photo", as in the paper, or "painting", to style photos. None: "photo"; with
        `resume` as the run has it.
    reverse: True is another word for to="painting", False for to="photo".
    resume: go on with the run in `output` from its last checkpoint; with as many threads (OMP_NUM_THREADS fixes them)
        the same weights follow on the same machine, bit for bit, as if it had never stopped. One at its end stays so.
    more: minutes for which the run in `output` goes on from its checkpoint, whether it has ended or was stopped, with
        learning rates of their own (see `sincut.method.plan`); `resume` goes on with what is left of them. The model
        until then stays in the folder as `model-before.safetensors`. 0: as planned.
    device: "cpu", "cuda", "cuda:1", "mps", "auto", or a `torch.device`.
    precision: of the training, its previews and the translator: "float32", "bfloat16", "float16", or "auto", the
        fastest that the device multiplies natively.
    on_event: called in this thread with each event of `sincut.events`; what it raises ends the training.
    stop: asked before each step; once it is true, what is learned so far, if anything, is saved, `Interrupted` raised.
    started: when `schedule.minutes` began to run, by `time.monotonic()`; None: now.

    Raises `ImageError` for a picture that cannot be read, has another form or is too small; `ConfigError` for an
    unknown direction, algorithm or loss term; `DeviceError` for an unknown device or precision; `RunError` for a folder
    that is in use, filled already, or does not fit what is to be resumed; `ModelError` for a damaged checkpoint, or a
    model that cannot be written; `TrainingError` if a loss is no longer finite or the device's memory is not enough;
    `Interrupted` once it is stopped. All are `SincutError`s, and leave the last model and checkpoint in the folder.
    """
    resume = resume or bool(more)
    if resume and output is None:
        raise RunError("there is no run folder to go on in; give output, or leave resume and more away")
    if (reverse := asked_reverse(to, reverse)) is None:
        reverse = resume and output is not None and load_inputs(Path(output))[0].reverse
    how = _How(find_device(device), precision, stop, started, more)
    with _enough_memory():
        known = _settings(config, output if resume else None, more)
        inputs = _read(painting, photo, reverse, known, resume, on_event)
        with bands_of(SMALL_BAND if inputs.scaled else 0):
            model = _learn(output, inputs, config if resume else known, resume, how, on_event)
    return Translator(model, how.device, precision)


def _settings(config: Config | None, resumed: Path | str | None, more: float) -> Config:
    """The settings of a training: those given, else of the run folder that is `resumed`, else the default preset's.

    Raises `ConfigError` or `ModelError`, before a folder is made, for an algorithm or a loss term that is not there, or
    one that cannot go on for `more` minutes.
    """
    known = config or (resolve() if resumed is None else load_config(Path(resumed)))
    if resumed is None:
        algorithm(known)
        own_makers(known)
    if more:
        check_more(known, more)
    return known


@contextlib.contextmanager
def _enough_memory() -> Iterator[None]:
    """A block in which too little main memory, wherever it is noticed, is one error that a user can mend."""
    try:
        with within_memory():
            yield
    except MemoryError:
        remedy = "close other programs, give smaller pictures, or use --set crops.high=512"
        raise TrainingError(f"there is not enough memory to learn from these pictures; {remedy}") from None


def _read(
    painting: AnySide, photo: AnySide, reverse: bool, config: Config, resumed: bool, on_event: Listener
) -> Inputs:
    """The pictures as they are learned from; what they take and what was converted is told.

    Raises `ImageError`, and `ConfigError` for sets where the algorithm takes none.
    """
    sides = {role: find(side, role) for role, side in zip(ROLES, (painting, photo), strict=True)}
    if any(len(side.images) > 1 for side in sides.values()):
        check_sets(config)
    source, target = ("photo", "painting") if reverse else ("painting", "photo")
    on_event(Directed(sides[source].title, sides[target].title, target, resumed))
    for line in (line for side in sides.values() for line in side.told):
        on_event(Warned(line))
    needed = bytes_to_learn({role: side.images for role, side in sides.items()}, config)
    free = available_memory(torch.device("cpu"))
    on_event(Reading(sides["painting"].title, sides["photo"].title, used_memory() + needed))
    if needed > free:
        remedy = "close other programs, give smaller pictures, or use --set crops.count=4"
        on_event(Warned(f"only {free / 1e9:.1f} GB of memory are free, and {needed / 1e9:.1f} GB are needed; {remedy}"))
    learned = {role: read_side(side, role, config, on_event) for role, side in sides.items()}
    return Inputs(learned["painting"], learned["photo"], reverse)


class _How(NamedTuple):
    """Device, precision and time limits of a training, see `train`."""

    device: torch.device
    precision: str
    stop: Callable[[], bool]
    started: float | None
    more: float  # minutes by which a run is made longer

    def learn(self, inputs: Inputs, config: Config, on_event: Listener, state: State | None = None) -> AnyModel:
        """The model that the algorithm of the settings makes of the pictures, from `state` on."""
        if inputs.painting.sha256 == inputs.photo.sha256:
            on_event(Warned("painting and photo are the same picture: there is no look to learn from it"))
        return algorithm(config)(
            _tensors(inputs.source),
            _tensors(inputs.target),
            config,
            device=self.device,
            precision=self.precision,
            on_event=on_event,
            stop=self.stop,
            started=self.started,
            state=state,
            provenance=_provenance(inputs, config),
            **({"more": self.more} if self.more else {}),  # algorithms of others need not know it
        )


def _learn(
    output: Path | str | None, inputs: Inputs, config: Config | None, resume: bool, how: _How, on_event: Listener
) -> AnyModel:
    """The model, learned with a run folder that records it, if one is given."""
    if output is None:
        return how.learn(inputs, config or resolve(), on_event)
    with opened(Path(output), resume) as folder:
        state, config = folder.resume(config, inputs.identity()) if resume else (None, config or resolve())
        if how.more:
            folder.keep_model()
        recorder = Recorder(folder.path, inputs, config, how.device, how.precision, on_event)
        with contextlib.closing(recorder):
            model = recorder.completed(how.learn(inputs, config, recorder, state))
            if folder.steps() != model.provenance.steps:
                recorder.save(model)  # nothing was left to do, but the last checkpoint's model had not been written
    return model


def _tensors(side: AnySource) -> Tensor | tuple[Tensor, ...]:
    """The picture (1, 3, H, W) of a side, in [-1, 1]; of a set, all of them."""
    pictures = tuple(to_tensor(source.picture.pixels) for source in side.each)
    return pictures if len(pictures) > 1 else pictures[0]


def _provenance(inputs: Inputs, config: Config) -> Provenance:
    """The provenance of a model before its first step: inputs, direction, seed, scales, versions, thumbnails."""
    scales: dict[str, tuple[float, float]] = {}
    for part, side in zip(PARTS, (inputs.source, inputs.target), strict=True):
        low, high = config.crops.low, config.crops.high
        widths = [source.width for source in side.each]
        scales[part] = (low / max(widths), high / min(widths)) if config.crops.in_pixels else (low, high)
    return replace(
        inputs.identity(),
        seed=config.schedule.seed,
        training_scale=scales,
        versions={"sincut": __version__, "torch": str(torch.__version__)},
        thumbnails={"source": thumbnail(inputs.source.picture), "target": thumbnail(inputs.target.picture)},
    )
