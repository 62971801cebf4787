"""A run folder: everything that is known of one training.

`model.safetensors` (always a complete, usable model), `model-before.safetensors` (of a run that was made longer: its
model until then), `checkpoint.safetensors` (all that is needed to go on exactly),
`metrics.jsonl`, `previews/`, the two pictures at the size of the previews (of sets the first ones), and `report.html`,
which shows all that.
Files are written beside their name and renamed; only the metrics are appended to. One process at a time writes to a
folder.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from sincut.config.sections import Config
from sincut.errors import ConfigError, ModelError, RunError
from sincut.files import locked, make_folder, read_whole, remove_parts, write_whole
from sincut.model.file import CHECKPOINT_FILE, MODEL_BEFORE, MODEL_FILE, load_metadata, load_tensors
from sincut.model.model import describe
from sincut.model.provenance import Provenance
from sincut.report import history
from sincut.report.history import METRICS_FILE, PREVIEWS
from sincut.runs.inputs import differences, parse_inputs

State = dict[str, Tensor]  # of a training, by name: see `events.Checkpoint`
SECOND_DISCRIMINATOR = "discriminator_large."  # begins the names of its weights, in formats before 11


class RunFolder:
    """The files of one run, held for this process; see `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resume(self, config: Config | None, identity: Provenance) -> tuple[State, Config]:
        """The state to go on from and its configuration; metrics of later steps are dropped.

        `config` None stands for the stored one. Raises `RunError` if inputs or settings have changed, and what
        `load_checkpoint` raises.
        """
        state, stored, known = load_checkpoint(self.path)
        changed = differences(identity, known) + (config.differences(stored) if config else [])
        if changed:
            what = "; ".join(changed)
            raise RunError(f"{self.path}: cannot be resumed, this has changed: {what}; use the same, or a new folder")
        history.forget_after(self.path, int(state["steps_done"]))
        return state, config or stored

    def keep_model(self) -> None:
        """Copy the model beside itself, as `MODEL_BEFORE`, before a run is made longer. Raises `ModelError`."""
        model = self.path / MODEL_FILE
        if model.is_file():
            write_whole(self.path / MODEL_BEFORE, read_whole(model, ModelError), ModelError)

    def steps(self) -> int | None:
        """Steps of the model in the folder; None if there is none, or a damaged one."""
        try:
            return describe(self.path)[1].steps
        except ModelError:
            return None


@contextlib.contextmanager
def opened(path: Path, resume: bool) -> Iterator[RunFolder]:
    """Make or find the folder and lock it. Raises `RunError` if it holds another run, or none to resume."""
    if resume:
        _checkpoint_of(path)
    make_folder(path / PREVIEWS, RunError)
    with locked(path):
        taken = any((path / name).exists() for name in (MODEL_FILE, CHECKPOINT_FILE))
        if taken and not resume:
            raise RunError(f"{path}: holds a run already; go on with --resume or choose another folder with -o")
        if not resume:
            _clear(path)
        for folder in (path, path / PREVIEWS):
            remove_parts(folder)
        yield RunFolder(path)


def default_folder(source: str, target: str, runs: Path = Path("runs"), name: str = "") -> Path:
    """`runs`/`name`, SOURCE-to-TARGET without a name; with -2, -3, ... appended if that is taken."""
    base = runs / (name or f"{source}-to-{target}")
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def load_checkpoint(folder: Path) -> tuple[State, Config, Provenance]:
    """State, configuration and inputs (see `Inputs.identity`) of a run folder's checkpoint.

    Raises `RunError` if there is none, `ModelError` for one that is damaged, incomplete, or of a training as there is
    none any more.
    """
    path = _checkpoint_of(folder)
    state, metadata = load_tensors(path)
    if any(name.startswith(SECOND_DISCRIMINATOR) for name in state):
        what = "was written by an earlier sincut, which trained with a second discriminator"
        raise ModelError(f"{path}: {what}; its model can be applied, but to train further, train anew")
    with _complete(path, "leave --resume away to train anew"):
        config = Config.from_dict(json.loads(metadata["config"]))
        inputs, _ = parse_inputs(metadata["inputs"])
        int(state["steps_done"])
    return state, config, inputs


def load_config(folder: Path) -> Config:
    """The configuration in the header of a run folder's checkpoint; the weights are not read.

    Raises `RunError` if there is no checkpoint, `ModelError` for an incomplete one.
    """
    path = _checkpoint_of(folder)
    with _complete(path):
        return Config.from_dict(json.loads(load_metadata(path)["config"]))


def load_inputs(folder: Path) -> tuple[Provenance, list[Path]]:
    """Pictures and direction in the header of a run folder's checkpoint, and the files of the pictures.

    The weights are not read. Raises `RunError` if there is no checkpoint, `ModelError` for an incomplete one.
    """
    path = _checkpoint_of(folder)
    with _complete(path):
        return parse_inputs(load_metadata(path)["inputs"])


@contextlib.contextmanager
def _complete(path: Path, remedy: str = "train anew") -> Iterator[None]:
    """A block that reads from a checkpoint's contents. Raises `ModelError` where something is missing."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path}: is no complete checkpoint ({error}); {remedy}") from None


def _checkpoint_of(folder: Path) -> Path:
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise RunError(f"{folder}: holds no checkpoint to resume; leave --resume away to train anew")
    return path


def _clear(folder: Path) -> None:
    """Remove what a run left that was killed before its first checkpoint."""
    kept = [path for role in history.INPUTS for path in history.kept(folder, role)]
    for old in (folder / METRICS_FILE, *(folder / PREVIEWS).glob("*.jpg"), *kept):
        old.unlink(missing_ok=True)
