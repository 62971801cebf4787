"""The recipe of an output: all that decides what it looks like, apart from its source."""

from pathlib import Path
from typing import Any

from sincut.errors import ImageError, ModelError, SincutError
from sincut.files import sha256
from sincut.model.model import MODEL_FILE, model_path
from sincut.pictures.writing import Saving
from sincut.translation.options import Options


def recipe_of(model: Path, options: Options, saving: Saving) -> dict[str, Any]:
    """What decides what an output looks like: the model's and the mask's bytes, and the options that matter.

    Raises `ModelError` or `ImageError` where these cannot be read.
    """
    blend = {"strength": options.blend.strength, "keep": options.blend.keep, "scale": options.scale}
    written = {"quality": saving.quality, "strip": saving.strip, "greys": saving.greys}
    weights = model_path(model)
    if not weights.is_file():
        raise ModelError(f"{model}: no model there; give a run folder or its {MODEL_FILE}")
    mask = _digest_of(options.mask, ImageError) if options.mask else None
    return {"model": _digest_of(weights, ModelError), "mask": mask, **blend, **written}


def _digest_of(path: Path, kind: type[SincutError]) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
