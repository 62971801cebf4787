"""The exemplar of a model that is there already, put into its file or taken out of it; all else stays as it is."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from sincut.events import Listener, Warned, ignore
from sincut.files import locked, sha256
from sincut.model.exemplar import Size, exemplars_of, is_of_exemplars, to_file
from sincut.model.file import CHECKPOINT_FILE, load_tensors, model_path, save_tensors
from sincut.model.model import Model
from sincut.model.provenance import PictureIdentity
from sincut.pictures import learned, reading
from sincut.pictures.picture import Pixels


def add_exemplar(
    model: Path, target: Path | Sequence[Path], output: Path | None = None, on_event: Listener = ignore
) -> Size:
    """Let a model's file carry the picture that it learned the look of; returns height and width there, in px.

    `model` is a run folder or a model file, of any format; it is replaced, whole or not at all, or with `output` stays
    and another file is written. Of a model that learned from a set, `target` are its pictures, and the size is that of
    the first. One that is not a picture of the training is `Warned` of and taken. Raises `ModelError`, `ImageError`,
    and `RunError` for a folder in which a training goes on.
    """
    loaded = Model.load(model)
    targets, crops = [target] if isinstance(target, Path) else [*target], loaded.config.crops
    kept: list[Pixels] = []
    for path in targets:
        picture = learned.load(path, crops, in_set=len(targets) > 1).picture
        for note in picture.notes:
            on_event(Warned(f"{path}: {note}"))
        known = loaded.provenance.target
        if known is not None and known.sha256 and not any(_is_of(each, path) for each in known.each):
            role = loaded.provenance.roles[1]
            what = f"is not the {role} that this model learned from, {known.name or '?'} ({known.width}x{known.height})"
            on_event(Warned(f"{path}: {what}; it is taken all the same, and pictures are drawn from it"))
        kept.append(picture.pixels)
    exemplars = exemplars_of(kept, crops)
    _rewrite(model, output, *to_file(exemplars))
    return exemplars[0].shape[0], exemplars[0].shape[1]


def remove_exemplar(model: Path, output: Path | None = None) -> None:
    """Take the exemplar out of a model's file, if it carries one; otherwise as `add_exemplar`."""
    _rewrite(model, output, {}, {})


def _rewrite(model: Path, output: Path | None, pixels: Mapping[str, Tensor], size: Mapping[str, str]) -> None:
    """Write a model's file with these tensors and metadata of an exemplar in place of its own."""
    path = model_path(model)
    in_run = output is None and (path.parent / CHECKPOINT_FILE).exists()  # where a training may write it too
    with locked(path.parent) if in_run else contextlib.nullcontext():
        Model.load(path)  # raises for a file that is not complete
        tensors, metadata = load_tensors(path, lambda name: not is_of_exemplars(name))
        told = {name: text for name, text in metadata.items() if name != "version" and not is_of_exemplars(name)}
        save_tensors(output or path, {**tensors, **pixels}, {**told, **size})


def _is_of(known: PictureIdentity, file: Path) -> bool:
    """True if this is the picture of that identity, which holds the hash of a file or of pixels."""
    if known.sha256 == sha256(file):
        return True
    pixels = reading.load(file).pixels
    return pixels.shape[:2] == (known.height, known.width) and known.sha256 == hashlib.sha256(pixels.data).hexdigest()
