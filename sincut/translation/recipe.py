"""The recipe of an output: all that decides what it looks like, apart from its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut import __version__
from sincut.errors import ImageError, ModelError, SincutError
from sincut.files import sha256
from sincut.model.file import MODEL_FILE, model_path
from sincut.model.model import exemplar_size
from sincut.pictures.imprint import Imprint
from sincut.pictures.reading import load
from sincut.pictures.writing import Saving
from sincut.translation.options import Options


@dataclass(frozen=True)
class Known:
    """A model file as recipes see it: the SHA-256 of its bytes, and True if it carries the exemplar to draw from.

    `name` is that of the run folder or of the file, for people.
    """

    sha256: str
    draws: bool = False
    name: str = "model"


def recipe_of(model: Known, options: Options, saving: Saving) -> dict[str, Any]:
    """The recipe as plain values: hashes of the model and of the mask; options that matter.

    How a picture is drawn matters where the model carries an exemplar, and stands in no other recipe: those are what
    they were before there were exemplars. Likewise `by_height` stands only where it is chosen. Raises `ImageError`
    where the mask cannot be read, which is decoded too, as its damage would be taken for that of every picture, and
    `ConfigError` for dials that the model has not.
    """
    options.check_exemplar(model.draws)
    blend = {"strength": options.blend.strength, "keep": options.blend.keep, "scale": options.scale}
    written = {"quality": saving.quality, "strip": saving.strip, "greys": saving.greys}
    mask = hash_of(options.mask, ImageError) if options.mask else None
    if options.mask:
        load(options.mask, options.max_pixels)
    drawn = {"fast": options.fast, "stroke_scale": options.dials.stroke_scale, "fidelity": options.dials.fidelity}
    if options.dials.by_height:
        drawn["by_height"] = True
    return {"model": model.sha256, "mask": mask, **blend, **written, **(drawn if model.draws else {})}


def known_model(model: Path) -> Known:
    """A run folder's model or a model file. Raises `ModelError` where it cannot be read."""
    weights = model_path(model)
    if not weights.is_file():
        raise ModelError(f"{model}: no model there; give a run folder or its {MODEL_FILE}")
    named = weights.resolve()
    name = named.parent.name if named.name == MODEL_FILE else named.stem
    return Known(hash_of(weights, ModelError), exemplar_size(weights) is not None, name or "model")


def imprint_by(model: Known, recipe: Mapping[str, Any]) -> Imprint:
    """The imprint of pictures that this model translates by a recipe; each has its source filled in."""
    return Imprint.of(recipe, model.name, __version__)


def hash_of(path: Path, kind: type[SincutError]) -> str:
    """The SHA-256 of a file. Raises `kind` where it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
