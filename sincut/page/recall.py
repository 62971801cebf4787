"""Pictures of sincut, as the page tells of them: which model made them, whether it is here, and with which options."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut.errors import ImageError, RunError
from sincut.files import sha256
from sincut.model.file import model_path
from sincut.model.markup import render
from sincut.page.jobs import Trainings
from sincut.pictures.imprint import Imprint, is_sealed
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.reading import imprint_of
from sincut.runs.shelf import SUFFIX
from sincut.translation.options import PLAIN

# Options of the look by their names in imprints, each with the value that goes without saying.
ORDINARY: dict[str, Any] = {
    "strength": PLAIN.blend.strength,
    "keep": PLAIN.blend.keep,
    "scale": PLAIN.scale,
    "fast": PLAIN.fast,
    "stroke_scale": PLAIN.dials.stroke_scale,
    "fidelity": PLAIN.dials.fidelity,
    "by_height": PLAIN.dials.by_height,
}


@dataclass(frozen=True)
class Made:
    """A picture of sincut's: its name, what it says of its making, and whether not a byte was changed since."""

    name: str
    imprint: Imprint
    unchanged: bool
    model: str  # the name among the models of the page; "" if it is not there

    @property
    def look(self) -> dict[str, Any]:
        """The options of `ORDINARY` that made the picture; the usual ones where it tells none, as they had no say."""
        return {name: self.imprint.options.get(name, usual) for name, usual in ORDINARY.items()}

    def words(self) -> str:
        """HTML: what made the picture, and what is to be done if its model is not here."""
        given = self.look
        options = {name.replace("_", " "): given[name] for name, usual in ORDINARY.items() if given[name] != usual}
        here = Path(self.model).name.removesuffix(SUFFIX)
        values = {"name": self.name, "imprint": self.imprint, "unchanged": self.unchanged, "model": self.model}
        return str(render("page/assets/made.html", **values, options=options, renamed=here != self.imprint.model))


def made_by_sincut(files: Sequence[str], trainings: Trainings, max_pixels: int = MAX_PIXELS) -> Made | None:
    """The first of these picture files that tells of its making; None if none does. Never fails."""
    for path in map(Path, files):
        with suppress(ImageError, OSError):
            imprint = imprint_of(path, max_pixels)
            if imprint is not None:
                return Made(path.name, imprint, is_sealed(path), _among(trainings, imprint.model_sha256))
    return None


def _among(trainings: Trainings, digest: str) -> str:
    """The name of the model whose file has this SHA-256, "" if there is none."""
    for name in trainings.models():
        with suppress(RunError, OSError):
            if sha256(model_path(trainings.path(name))) == digest:
                return name
    return ""
