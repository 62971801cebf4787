"""Several results on one picture, side by side: for choosing presets and seeds.

Compared are run folders and model files, each applied to that picture, and pictures that are translations already. A
contact sheet or an HTML page shows source, photo and results with their names and the figures of `measures.measure`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sincut.errors import ImageError, RunError, counted
from sincut.files import write_whole
from sincut.model.file import MODEL_FILE
from sincut.model.kinds import AnyModel
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture, on_white
from sincut.pictures.writing import Saving
from sincut.report import measures
from sincut.report.history import History, kept, previews, run_folder
from sincut.report.html import PAGES, document
from sincut.report.measures import FIGURES
from sincut.report.sheet import Cell, draw
from sincut.report.thumbnails import Fit, compressed
from sincut.translation.loading import load_model
from sincut.translation.options import Options
from sincut.translation.translator import Translator

IN_PAGE = Fit(0.6, 220_000)  # of a picture
SHEET_QUALITY = 93  # of a contact sheet in JPEG or another lossy format


@dataclass(frozen=True)
class Result:
    """One of the translations compared."""

    name: str
    path: Path
    picture: Picture
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Results on one picture; source and photo are None if they are not known."""

    source: Picture | None
    photo: Picture | None
    results: list[Result]

    def figures(self) -> list[str]:
        """Names of all figures, in the order in which the results have them."""
        return list(dict.fromkeys(name for result in self.results for name in result.figures))

    def best(self) -> dict[str, float]:
        """The best value of each figure in which results differ."""
        return measures.best([result.figures for result in self.results])

    def meanings(self) -> dict[str, str]:
        """The meaning of each figure that is shown."""
        return {name: measures.meaning(name) for name in self.figures() if name in FIGURES}

    def cells(self) -> list[Cell]:
        """The pictures in the order in which they are shown."""
        inputs = {"the picture itself": self.source, "the look that is learned": self.photo}
        cells = [Cell(title, _opaque(picture)) for title, picture in inputs.items() if picture is not None]
        best = self.best()
        for number, result in enumerate(self.results, 1):
            marked = frozenset(name for name, value in result.figures.items() if best.get(name) == value)
            cells.append(Cell(f"{number}. {result.name}", _opaque(result.picture), result.figures, marked))
        return cells


def compare(
    outputs: Sequence[Path],
    picture: Path | None = None,
    photo: Path | Sequence[Path] | None = None,
    device: torch.device | str = "cpu",
    on_result: Callable[[Result], None] = lambda result: None,
    fast: bool = False,
) -> Comparison:
    """Translate `picture` with every model among `outputs`, take the pictures among them as they are, and measure.

    Without `picture`, models are applied to the copy of their source that a run folder holds; if none holds one, their
    last previews are shown. `photo` is what the translation should look like, one picture or several; by default
    the run folder's copies. Models that carry their exemplar draw from it, unless `fast`. Raises `ImageError`,
    `ModelError`, or `RunError` for runs of different pictures if none is given.
    """
    models = {path: load_model(path) for path in outputs if is_model(path)}
    source = reading.load(picture) if picture else _kept_source(models)
    given = [photo] if isinstance(photo, Path) else photo
    looks = [reading.load(path) for path in given] if given else _kept_looks(models)
    results = []
    for path, name in zip(outputs, names(outputs), strict=True):
        figures: dict[str, float] = {}
        if path not in models:
            out = reading.load(path)
        elif source is not None:
            out = Translator(models[path], device).apply_picture(source, Options(fast=fast))
        else:
            out, figures = _last_preview(path, models[path])
        if source is not None and looks:
            figures = measures.measured(source, looks, out)
        results.append(Result(name, path, out, figures))
        on_result(results[-1])
    return Comparison(source, looks[0] if looks else None, results)


def write(comparison: Comparison, path: Path) -> None:
    """Write a page if the name ends in .html, else a contact sheet in the suffix's format. Raises `ImageError`."""
    if any(path.exists() and result.path.exists() and path.samefile(result.path) for result in comparison.results):
        raise ImageError(f"{path}: is one of the pictures compared; choose another name with -o")
    if path.suffix.lower() in PAGES:
        write_whole(path, page(comparison).encode(), ImageError)
    else:
        notes = [f"{name}: {meaning}" for name, meaning in comparison.meanings().items()]
        sheet = reading.from_pil(draw(comparison.cells(), notes))
        writing.save(sheet, path, Saving(quality=SHEET_QUALITY))


def check_output(path: Path) -> None:
    """Raise `ImageError` if a file of this name cannot be written, before anything is computed."""
    if path.suffix.lower() not in PAGES:
        formats.writable_format(path)


def is_model(path: Path) -> bool:
    """True if this names a run folder or a model file, not a picture."""
    return path.is_dir() or path.suffix.lower() == Path(MODEL_FILE).suffix


def names(paths: Sequence[Path]) -> list[str]:
    """A name for each: a run's folder, a file's name; with up to three folders above if that is not enough."""
    plain = [path.resolve().parent if path.name == MODEL_FILE else path.resolve() for path in paths]
    chosen = [path.name for path in plain]
    for depth in (2, 3, 4):
        twice = {name for name in chosen if chosen.count(name) > 1}
        chosen = ["/".join(p.parts[-depth:]) if n in twice else n for p, n in zip(plain, chosen, strict=True)]
    return chosen


def page(comparison: Comparison) -> str:
    """The comparison as one HTML document without scripts, its pictures inside, that loads nothing."""
    title = f"{counted(len(comparison.results), 'result')} compared"
    cells = [{"cell": cell, **compressed(cell.picture, IN_PAGE)} for cell in comparison.cells()]
    styles = ("page.css", "compare.css")
    return document("compare.html", title, styles, cells=cells, meanings=comparison.meanings())


def _opaque(picture: Picture) -> Picture:
    """The picture as it looks on white: pixels that are wholly transparent may hold anything."""
    return picture if picture.alpha is None else on_white(picture)


def _kept_source(models: Mapping[Path, AnyModel]) -> Picture | None:
    """The copy that one of the runs holds of the picture that all translate; None if no run has one.

    Raises `RunError` for runs that translate different pictures.
    """
    roles = {path: model.provenance.roles[0] for path, model in models.items()}
    if len(_identities(models, roles)) > 1:
        raise RunError("these models learned from different pictures; say with --picture what they shall translate")
    return next(iter(_kept(roles)), None)


def _kept_looks(models: Mapping[Path, AnyModel]) -> list[Picture]:
    """The copies that one of the runs holds of the picture, or the set, whose look all learned; none for others."""
    roles = {path: model.provenance.roles[1] for path, model in models.items()}
    return _kept(roles) if len(_identities(models, roles)) == 1 else []


def _identities(models: Mapping[Path, AnyModel], roles: Mapping[Path, str]) -> set[str]:
    """SHA-256 of the models' pictures in these roles; empty texts for pictures that are not known."""
    pictures = [model.provenance.pictures[roles[path]] for path, model in models.items()]
    return {picture.sha256 if picture is not None else "" for picture in pictures}


def _kept(roles: Mapping[Path, str]) -> list[Picture]:
    """The copies that the first run folder with some holds of its pictures in that role."""
    each = (kept(run_folder(path), role) for path, role in roles.items())
    return [reading.load(file) for file in next(filter(None, each), [])]


def _last_preview(path: Path, model: AnyModel) -> tuple[Picture, dict[str, float]]:
    """The last preview of a run folder, with the figures that the training took of it. Raises `RunError`."""
    folder = run_folder(path)
    shown = previews(folder)
    if not shown:
        raise RunError(f"{path}: there is no copy of the painting and no preview beside it; give --picture")
    step = max(shown)
    measured = History.read(folder).figures.get(step)
    return reading.load(shown[step]), measured or dict(model.provenance.figures)
