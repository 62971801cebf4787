"""The example that the page ships: a painting, a photo, and a small model of the two, made by `examples/starter.py`."""

from pathlib import Path
from typing import NamedTuple

from sincut.errors import RunError
from sincut.files import make_folder, read_whole, write_whole
from sincut.model.file import MODEL_FILE
from sincut.page.jobs import Trainings
from sincut.runs.shelf import SUFFIX

SHIPPED = Path(__file__).parent / "assets" / "example"
MODEL = f"example{SUFFIX}"  # its name among the models


class Example(NamedTuple):
    """The example, put where the page can use it: the name of its model, and copies of its two pictures."""

    model: str
    painting: str
    photo: str


def put_example(trainings: Trainings, place: Path) -> Example:
    """Put the model among those of the page, unless it is there, and the pictures into `place`. Raises `RunError`."""
    make_folder(trainings.runs, RunError)
    copied(SHIPPED / MODEL_FILE, trainings.runs / MODEL)
    make_folder(place, RunError)
    painting, photo = (copied(SHIPPED / name, place / name) for name in ("painting.jpg", "photo.jpg"))
    return Example(MODEL, str(painting), str(photo))


def copied(source: Path, target: Path) -> Path:
    """The path of the copy, which is made whole if none is there. Raises `RunError`."""
    if not target.exists():
        write_whole(target, read_whole(source, RunError), RunError)
    return target
