"""The recipe of an output: all that decides what it looks like, apart from its source."""

from pathlib import Path
from typing import Any

from sincut.errors import ImageError, ModelError, SincutError
from sincut.files import sha256
from sincut.model.file import MODEL_FILE, model_path
from sincut.pictures.reading import load
from sincut.pictures.writing import Saving
from sincut.translation.options import Options


def recipe_of(model: str, options: Options, saving: Saving) -> dict[str, Any]:
    """The recipe as plain values: hashes of the model, see `hash_of_model`, and of the mask; options that matter.

    Raises `ImageError` where the mask cannot be read. It is decoded too, as its damage would be taken for that of every
    picture.
    """
    blend = {"strength": options.blend.strength, "keep": options.blend.keep, "scale": options.scale}
    written = {"quality": saving.quality, "strip": saving.strip, "greys": saving.greys}
    mask = _hash_of(options.mask, ImageError) if options.mask else None
    if options.mask:
        load(options.mask, options.max_pixels)
    return {"model": model, "mask": mask, **blend, **written}


def hash_of_model(model: Path) -> str:
    """The SHA-256 of a run folder's model or of a model file. Raises `ModelError` where it cannot be read."""
    weights = model_path(model)
    if not weights.is_file():
        raise ModelError(f"{model}: no model there; give a run folder or its {MODEL_FILE}")
    return _hash_of(weights, ModelError)


def _hash_of(path: Path, kind: type[SincutError]) -> str:
    """The SHA-256 of a file. Raises `kind` where it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
