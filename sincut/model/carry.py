"""The exemplar of a model that is there already, put into its file or taken out of it; all else stays as it is."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sincut.events import Listener, Warned, ignore
from sincut.files import locked, sha256
from sincut.model.exemplar import SIZE, TENSOR, exemplar_of, to_file
from sincut.model.file import CHECKPOINT_FILE, load_tensors, model_path, save_tensors
from sincut.model.model import Model
from sincut.model.provenance import PictureIdentity
from sincut.pictures import learned, reading


def add_exemplar(model: Path, target: Path, output: Path | None = None, on_event: Listener = ignore) -> tuple[int, int]:
    """Let a model's file carry the picture that it learned the look of; returns height and width there, in px.

    `model` is a run folder or a model file, of any format; it is replaced, whole or not at all, or with `output` stays
    and another file is written. A `target` that is not the picture of the training is `Warned` of and taken. Raises
    `ModelError`, `ImageError`, and `RunError` for a folder in which a training goes on.
    """
    loaded = Model.load(model)
    picture = learned.load(target, loaded.config.crops).picture
    for note in picture.notes:
        on_event(Warned(f"{target}: {note}"))
    known = loaded.provenance.target
    if known is not None and known.sha256 and not _is_of(known, target):
        role = loaded.provenance.roles[1]
        what = f"is not the {role} that this model learned from, {known.name or '?'} ({known.width}x{known.height})"
        on_event(Warned(f"{target}: {what}; it is taken all the same, and pictures are drawn from it"))
    exemplar = exemplar_of(picture.pixels, loaded.config.crops)
    pixels, size = to_file(exemplar)
    _rewrite(model, output, pixels, size)
    return exemplar.shape[0], exemplar.shape[1]


def remove_exemplar(model: Path, output: Path | None = None) -> None:
    """Take the exemplar out of a model's file, if it carries one; otherwise as `add_exemplar`."""
    _rewrite(model, output, {}, {})


def _rewrite(model: Path, output: Path | None, pixels: Mapping[str, Tensor], size: Mapping[str, str]) -> None:
    """Write a model's file with these tensors and metadata of an exemplar in place of its own."""
    path = model_path(model)
    in_run = output is None and (path.parent / CHECKPOINT_FILE).exists()  # where a training may write it too
    with locked(path.parent) if in_run else contextlib.nullcontext():
        Model.load(path)  # raises for a file that is not complete
        tensors, metadata = load_tensors(path, lambda name: name != TENSOR)
        told = {name: text for name, text in metadata.items() if name not in (SIZE, "version")}
        save_tensors(output or path, {**tensors, **pixels}, {**told, **size})


def _is_of(known: PictureIdentity, file: Path) -> bool:
    """True if this is the picture of that identity, which holds the hash of a file or of pixels."""
    if known.sha256 == sha256(file):
        return True
    pixels = reading.load(file).pixels
    return pixels.shape[:2] == (known.height, known.width) and known.sha256 == hashlib.sha256(pixels.data).hexdigest()
