"""A run folder: `model.safetensors` (always a complete, usable model), `checkpoint.safetensors` (all that is needed
to go on exactly), `metrics.jsonl`, `previews/`, the two pictures at the size of the previews, and `report.html`, which
shows all that. Files are written beside their name and renamed; only the metrics are appended to. One process at a time
writes to a folder.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sincut.config.sections import Config
from sincut.errors import ConfigError, ModelError, RunError
from sincut.files import locked, make_folder, remove_parts
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, describe, load_tensors
from sincut.report import history
from sincut.report.history import METRICS_FILE, PREVIEWS
from sincut.runs.inputs import identity, short


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
            short(inputs[key])
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
            f"the {key} is {short(inputs[key])}, was {short(known[key])}"
            for key in ("painting", "photo", "direction")
            if identity(inputs[key]) != identity(known[key])
        ]
        changed += config.differences(stored) if config else []
        if changed:
            what = "; ".join(changed)
            raise RunError(f"{self.path}: cannot be resumed, this has changed: {what}; use the same, or a new folder")
        history.forget_after(self.path, int(state["steps_done"]))
        return state, config or stored

    def steps(self) -> int | None:
        """Of the model that lies here; None where none does."""
        path = self.path / MODEL_FILE
        return describe(path)[1].get("steps") if path.is_file() else None


@contextlib.contextmanager
def opened(path: Path, resume: bool) -> Iterator[RunFolder]:
    """Make or find the folder and lock it. Raises `RunError` where it holds another run, or none to resume."""
    if resume:
        _checkpoint_of(path)
    make_folder(path / PREVIEWS, RunError)
    with locked(path):
        taken = [name for name in (MODEL_FILE, CHECKPOINT_FILE) if (path / name).exists()]
        if taken and not resume:
            raise RunError(f"{path}: holds a run already; go on with --resume or choose another folder with -o")
        if not resume:  # what a run left that was killed before its first checkpoint
            kept = (path / PREVIEWS / name for name in history.INPUTS.values())
            for old in (path / METRICS_FILE, *(path / PREVIEWS).glob("*.jpg"), *kept):
                old.unlink(missing_ok=True)
        for folder in (path, path / PREVIEWS):
            remove_parts(folder)
        yield RunFolder(path)
