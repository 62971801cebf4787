"""The page that explains a run: `report.html` in the run folder, one file that asks the network for nothing.

Everything the page shows travels in one block of JSON and is put into the document as text, never as HTML, so that no
file name or setting can do anything there; a content security policy allows the page's own script and style by their
hashes, and pictures that are inside the page, and nothing else. Curves are drawn by uPlot, which is shipped with it.

Pictures are JPEGs, compressed until they fit: source and last preview large, the target and what G alone gives smaller,
earlier previews small, and at most `FRAMES` of them; of sets the first few pictures as thumbnails. The whole file stays
below `MAX_BYTES`.
"""

import json
import shlex
import time
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sincut import __version__
from sincut.config.resolve import closest
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.events import Listener, Warned
from sincut.files import sha256, write_whole
from sincut.model.kinds import AnyModel
from sincut.model.markup import short
from sincut.model.provenance import PARTS, ROLES, PictureIdentity, Provenance, number
from sincut.pictures import reading
from sincut.report import measures
from sincut.report.history import (
    INPUTS,
    PREVIEWS,
    REPORT_FILE,
    History,
    fast_preview,
    is_drawn,
    kept,
    previews,
    words_of,
)
from sincut.report.html import PAGES, asset, document
from sincut.report.measures import FIGURES
from sincut.report.thumbnails import FRAME, LARGE, OF_SET, SIDE, Pictures, model_thumbnail
from sincut.translation.loading import load_model

MAX_BYTES = 4_000_000  # of the whole page
FRAMES = 24  # previews on the timeline
LISTED = 40  # pictures of a set whose hashes are listed
POINTS = 500  # on a curve, at most
NAMES = 12  # curves in a chart and figures of a preview, at most
SESSIONS = 20  # the last ones, that are listed
LONGEST_COMMAND = 4000  # characters
SHARE = 0.01  # of a training's time, at most, that is spent on rewriting its page

# The meaning of the losses, in the order in which they are shown.
LOSSES = {
    "D": "discriminator",
    "G": "generator",
    "NCE": "PatchNCE",
    "same": "photo left as it is",
    "distance": "distances between crops",
    "self_distance": "distances between halves",
    "geometry": "turned, then translated",
    "cycle": "there and back, of the source",
    "cycle_back": "there and back, of the target",
    "guide": "coarse guide",
    "distil": "distance to the median of the trainings",
}


class Report:
    """The page of a run folder, kept up to date while the run goes on; each picture is compressed once."""

    def __init__(self, folder: Path, history: History | None = None) -> None:
        self.folder, self.path = folder, folder / REPORT_FILE
        self.history = history
        self.pictures = Pictures()
        self.written = self.cost = 0.0

    def write_if_due(self, model: AnyModel, on_event: Listener) -> None:
        """`write_live`, unless so little time has gone by that writing would take more than `SHARE` of it."""
        if time.monotonic() - self.written >= self.cost / SHARE:
            self.write_live(model, on_event)

    def write_live(self, model: AnyModel, on_event: Listener, going_on: bool = True) -> bool:
        """Write the page from the training's model. False if that fails: a `Warned` says so, and nothing is raised."""
        began = time.monotonic()
        try:
            write_whole(self.path, self.page(model.config, model.provenance, going_on=going_on).encode(), RunError)
        except Exception as error:  # whatever it is: no report is worth a training
            on_event(Warned(f"the report is left as it was: {error}"))
            return False
        finally:
            self.written = time.monotonic()
            self.cost = self.written - began
        return True

    def page(
        self,
        config: Config,
        provenance: Provenance,
        *,
        going_on: bool = False,
        painting: Path | None = None,
        photo: Path | None = None,
    ) -> str:
        """The page as a text. `painting` and `photo` are files to show instead of the folder's copies.

        Raises `RunError` if the folder's metrics cannot be read.
        """
        history = self.history or History.read(self.folder)
        facts = _Facts(self.folder, config, provenance, history, going_on)
        files = {"painting": painting, "photo": photo}
        data = {
            **facts.everything(),
            "pictures": _large(self.folder, provenance, self.pictures, files),
            "sets": _sets(self.folder, provenance, self.pictures),
            "timeline": _timeline(self.folder, history, self.pictures),
        }
        return document(
            "report.html",
            facts.title,
            ("uPlot.min.css", "page.css", "report.css"),
            ("uPlot.min.js", "report.js"),
            data=data,
            licence=asset("uPlot.LICENSE"),
        )


def page(folder: Path, painting: Path | None = None, photo: Path | None = None) -> str:
    """The page of a run folder as one HTML document, its pictures and scripts inside.

    `painting` and `photo` are for folders that hold no copy of them. Raises `ModelError` if there is no run,
    `ImageError` if these are no pictures, and `RunError` if they are others than the run's, or `folder` is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is no run folder; give the folder that a training has written")
    model = load_model(folder)
    for role, path in (("painting", painting), ("photo", photo)):
        if path is None:
            continue
        known = model.provenance.pictures[role]
        reading.size_of(path)  # raises ImageError for what is no picture
        if known is not None and known.each[0].sha256 != sha256(path):
            raise RunError(f"{path}: is not the {role} of this run, which was {known.each[0].name}; give that file")
    return Report(folder).page(model.config, model.provenance, painting=painting, photo=photo)


def write(folder: Path, output: Path | None = None, painting: Path | None = None, photo: Path | None = None) -> Path:
    """Write `page` to `report.html` in the folder, or to `output`, whole or not at all, and give its path.

    Raises as `page` does, and `RunError` if `output` does not end in .html or cannot be written.
    """
    path = output or folder / REPORT_FILE
    if path.suffix.lower() not in PAGES:
        raise RunError(f"{path}: is no name of a page; let -o end in .html")
    write_whole(path, page(folder, painting, photo).encode(), RunError)
    return path


class _Facts:
    """The page's words and numbers, each method a part of the page, ready for JSON.

    Metrics may be a stranger's: whatever is not of the expected type counts as missing.
    """

    def __init__(self, folder: Path, config: Config, provenance: Provenance, history: History, going_on: bool) -> None:
        self.folder, self.config, self.provenance = folder, config, provenance
        self.history, self.going_on = history, going_on
        self.preset = closest(config)
        self.names = {
            role: short(picture.title if picture else "") or role for role, picture in provenance.pictures.items()
        }
        self.title = " → ".join(self.names[role] for role in provenance.roles)

    def everything(self) -> dict[str, Any]:
        """All parts by the names that report.js knows."""
        losses, figures = self.history.losses, self.history.figures
        return {
            "roles": self.provenance.roles,
            "names": self.names,
            "state": self.state(),
            "warnings": self.warnings(),
            "losses": _series(losses, LOSSES),
            "figures": _series(figures, {name: measures.meaning(name, *self.provenance.roles) for name in FIGURES}),
            "better": {name: figure.better for name, figure in FIGURES.items()},
            "commands": self.commands(),
            "preset": self.preset.name,
            "settings": self.settings(),
            "inputs": self.inputs(),
            "origin": self.origin(),
            "machine": self.machine(),
            "sessions": self.sessions(),
            "written": _now(),
            "sincut": __version__,
        }

    def state(self) -> dict[str, Any]:
        """The run's `kind` (finished, going on, stopped), steps done and planned, seconds trained and left."""
        origin = self.provenance
        return {
            "kind": "finished" if origin.is_finished else "going on" if self.going_on else "stopped",
            "step": origin.steps,
            "steps": origin.planned_steps,
            "seconds": origin.seconds or 0,
            "left": 0 if origin.is_finished else self.history.last.get("seconds_left", 0),
        }

    def warnings(self) -> list[str]:
        """Complaints about the last figures; none before the training is far enough for them."""
        last = max(self.history.figures, default=0)
        alarming = last and last >= measures.SETTLED * self.provenance.planned_steps
        return measures.complaints(self.history.figures[last], *self.provenance.roles) if alarming else []

    def commands(self) -> list[dict[str, str]]:
        """Commands to type next, with a label and a note each."""
        session = self.history.sessions[-1] if self.history.sessions else {}
        sides = {role: _typed(session.get(role)) or self.names[role] for role in ROLES}
        role = self.provenance.roles[0]
        files = _typed(session.get(f"{role}_files")) or sides[role]
        source = files if isinstance(files, str) else files[0]
        run = str(self.folder)
        device = ["--device", str(session["device"])] if session.get("device") else []
        reverse = ["--to", "painting"] if self.provenance.reverse else []
        on = ["--more", "5"] if self.provenance.is_finished else ["--resume"]
        resume = ["sincut", "train", *words_of(sides), "-o", run, *reverse, *device, *on]
        note = "All steps are done; this goes on for so many more minutes." if self.provenance.is_finished else ""
        rows = [
            ("Translate a picture", ["sincut", "apply", run, source, "-o", "out.png"], "Any picture, any size."),
            ("Translate a folder", ["sincut", "apply", run, "folder/", "-o", "styled/"], "With everything below it."),
            ("Go on with the training", resume, note),
            ("Write this page again", ["sincut", "report", run], ""),
        ]
        texts = [(label, short(shlex.join(words), LONGEST_COMMAND), note) for label, words, note in rows]
        return [{"label": label, "text": text, "note": note} for label, text, note in texts]

    def settings(self) -> list[dict[str, Any]]:
        """All settings with their meaning, and their value in the preset that is closest to them."""
        changes = self.config.changes(self.preset.config)
        rows = []
        for section, values in self.config.to_dict().items():
            docs = {setting.name: setting.metadata["doc"] for setting in fields(getattr(self.config, section))}
            for key, value in values.items():
                _, other = changes.get(f"{section}.{key}", (value, value))
                row = {"section": section, "key": key, "doc": docs[key], "changed": f"{section}.{key}" in changes}
                rows.append({**row, "value": json.dumps(value), "preset": json.dumps(other)})
        return rows

    def inputs(self) -> list[dict[str, str]]:
        """Name, size and SHA-256 of the two pictures; of a set, those of the first `LISTED` pictures."""
        rows = []
        for role, picture in self.provenance.pictures.items():
            known = picture or PictureIdentity()
            if known.pictures:
                count = f"{len(known.pictures)} pictures"
                rows.append({"role": role, "name": short(known.name), "size": count, "sha256": short(known.sha256, 64)})
            for each in known.each[:LISTED]:
                name, size = short(each.name) or role, f"{each.width} × {each.height} px"
                rows.append({"role": role, "name": name, "size": size, "sha256": short(each.sha256, 64)})
        return rows

    def origin(self) -> list[tuple[str, str]]:
        """Titled texts about where the model comes from; titles without a text are left out."""
        origin = self.provenance
        scales = [f"{role} {low:.0%} to {high:.0%}" for role, (low, high) in origin.scales.items() if high]
        notes = [(f"{role.title()} as read", _notes(known)) for role, known in origin.pictures.items() if known]
        rows = [
            ("Direction", origin.direction),
            *notes,
            ("Made longer", f"by {origin.more:g} minutes in all" if origin.more else ""),
            ("Seed", "" if origin.seed is None else str(origin.seed)),
            ("Scales seen", ", ".join(scales)),
            ("Versions", ", ".join(f"{name} {version}" for name, version in origin.versions.items())),
        ]
        return [(name, short(value)) for name, value in rows if value]

    def machine(self) -> list[tuple[str, str]]:
        """Titled texts about steps, time and machine; titles without a text are left out."""
        last, state = self.history.last, self.state()
        session = self.history.sessions[-1] if self.history.sessions else {}
        counts = session.get("parameters")
        named = counts.items() if isinstance(counts, dict) else ()
        each = last.get("step_seconds")
        device = [str(session["device"])] if session.get("device") else []
        device += [f"{session['threads']} threads"] if device == ["cpu"] and session.get("threads") else []
        precision = f"{session.get('precision')} ({session.get('reason')})" if session.get("precision") else ""
        rows = [
            ("Steps", f"{state['step']:,} of {state['steps']:,}" if state["steps"] else f"{state['step']:,}"),
            ("Trainings", str(self.provenance.members or "")),
            ("Crops a step", str(self.provenance.crops or "")),
            ("A step", f"{state['seconds'] / state['step']:.3g} s, all included" if state["step"] else ""),
            ("At last", f"{each:.3g} s a step" if each else ""),
            ("Memory", f"{self.history.memory / 1e9:.2f} GB at most" if self.history.memory else ""),
            ("Device", ", ".join(device)),
            ("Precision", precision),
            ("System", str(session.get("system", ""))),
            ("Parameters", ", ".join(f"{name} {(number(count) or 0) / 1e6:.2f} M" for name, count in named)),
        ]
        return [(name, short(value)) for name, value in rows if value]

    def sessions(self) -> list[dict[str, str]]:
        """The step, time and device of the last sessions."""
        return [
            {"step": f"{session['step']:,}", **{key: short(str(session.get(key, ""))) for key in ("time", "device")}}
            for session in self.history.sessions[-SESSIONS:]
        ]


def _large(folder: Path, provenance: Provenance, pictures: Pictures, files: dict[str, Path | None]) -> dict[str, Any]:
    """Source, target and result: a copy in the folder, else the model's thumbnail, else None."""
    thumbnails = provenance.thumbnails
    shown: dict[str, Any] = {}
    for part, role, fit in zip(PARTS, provenance.roles, (LARGE, SIDE), strict=True):
        picture = pictures.of(files[role] or folder / PREVIEWS / INPUTS[role], fit)
        picture = picture or model_thumbnail(thumbnails.get(part, ""))
        known = provenance.pictures[role]
        first = {"name": short(known.each[0].name)} if known and known.pictures else {}  # of a set, the one shown
        shown[part] = {**picture, "full": known.width if known else 0, **first} if picture else None
    result, fast = _result(folder, pictures)
    shown["result"] = result or model_thumbnail(thumbnails.get("output", ""))
    return {**shown, "fast": fast} if fast else shown


def _sets(folder: Path, provenance: Provenance, pictures: Pictures) -> list[dict[str, Any]]:
    """Of each side that is a set: its role, the number of its pictures, and thumbnails of the first few with names."""
    sets = []
    for role in provenance.roles:
        known = provenance.pictures[role]
        if known is None or not known.pictures:
            continue
        shown = [
            {**small, "name": short(picture.name)}
            for picture, path in zip(known.pictures, kept(folder, role), strict=False)
            if (small := pictures.of(path, OF_SET))
        ]
        sets.append({"role": role, "count": len(known.pictures), "pictures": shown})
    return sets


def _typed(value: Any) -> str | list[str]:
    """What a session tells of the names of pictures: one text or several; empty for anything else."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    return value if isinstance(value, str) else ""


def _notes(known: PictureIdentity) -> str:
    """Notes on the reading of a picture; of a set, those of each picture that has some, after its name."""
    if not known.pictures:
        return "; ".join(known.notes)
    return "; ".join(f"{each.name}: {', '.join(each.notes)}" for each in known.pictures if each.notes)


def _result(folder: Path, pictures: Pictures) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The last preview that can be read, with its step; if it is drawn, also the translation of G alone."""
    inputs = {path for role in ROLES for path in kept(folder, role)}
    for step, path in reversed(previews(folder).items()):
        if picture := pictures.of(path, LARGE):
            fast = fast_preview(path)
            pictures.forget(LARGE, {path, *inputs})
            pictures.forget(SIDE, {fast, *inputs})
            return {**picture, "step": step}, pictures.of(fast, SIDE)
    return None, None


def _timeline(folder: Path, history: History, pictures: Pictures) -> list[dict[str, Any]]:
    """At most `FRAMES` previews with their step and figures: all, or every second, fourth, ..., and the last.

    They show G alone, also where there is a drawn preview beside it: how that came about is what the frames tell.
    """
    shown = [(step, fast_preview(path) if is_drawn(path) else path) for step, path in previews(folder).items()]
    stride = 1
    while len(shown[::stride]) >= FRAMES:
        stride *= 2  # doubling keeps most frames that were chosen, and compressed, before
    chosen = dict(shown[::stride] + shown[-1:])
    frames = []
    for step, path in chosen.items():
        picture = pictures.of(path, FRAME)
        if picture is not None:
            frames.append({"step": step, **picture, "figures": _rounded(history.figures.get(step, {}))})
    pictures.forget(FRAME, set(chosen.values()))
    return frames


def _series(rows: dict[int, dict[str, float]], about: dict[str, str]) -> dict[str, Any]:
    """Curves of at most `POINTS` points, each the mean of several steps; the `NAMES` first, those in `about` before.

    `rows` holds values by step and name, `about` the meaning of names.
    """
    steps = sorted(rows)
    names = sorted({name for values in rows.values() for name in values}, key=lambda name: _order(name, about))[:NAMES]
    each = -(-len(steps) // POINTS) or 1
    groups = [steps[i : i + each] for i in range(0, len(steps), each)]
    curves = []
    for name in names:
        means = [_mean([rows[step][name] for step in group if name in rows[step]]) for group in groups]
        curves.append({"name": short(name, 40), "about": about.get(name, ""), "values": means})
    return {"steps": [group[-1] for group in groups], "curves": curves}


def _order(name: str, about: dict[str, str]) -> tuple[int, str]:
    """The place of a name among known ones, else after them, by the alphabet."""
    return (list(about).index(name) if name in about else len(about), name)


def _mean(values: list[float]) -> float | None:
    """The mean to 5 digits; None without values."""
    return float(f"{sum(values) / len(values):.5g}") if values else None


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    """The `NAMES` first figures to 4 digits."""
    return {short(name, 40): float(f"{value:.4g}") for name, value in list(figures.items())[:NAMES]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
