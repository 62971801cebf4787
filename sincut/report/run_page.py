"""The page that explains a run: `report.html` in the run folder, one file that asks the network for nothing.

Everything the page shows travels in one block of JSON and is put into the document as text, never as HTML, so that no
file name or setting can do anything there; a content security policy allows the page's own script and style by their
hashes, and pictures that are inside the page, and nothing else. Curves are drawn by uPlot, which is shipped with it.

Pictures are JPEGs, compressed until they fit: painting, photo and the last preview large, earlier ones small, and at
most `FRAMES` of them. The whole file stays below `MAX_BYTES`.
"""

import json
import shlex
import time
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sincut import __version__
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.events import Listener, Warned
from sincut.files import sha256, write_whole
from sincut.markup import short
from sincut.model.card import thumbnail_uri
from sincut.model.model import Model
from sincut.pictures import reading
from sincut.report import measures
from sincut.report.history import INPUTS, PREVIEWS, REPORT_FILE, History, number, previews
from sincut.report.html import PAGES, asset, document
from sincut.report.measures import FIGURES
from sincut.report.thumbnails import FRAME, LARGE, SIDE, Pictures

MAX_BYTES = 4_000_000  # of the whole page
FRAMES = 24  # previews on the timeline
POINTS = 500  # on a curve
SHARE = 0.01  # of the time, at most, that rewriting the page may take while a training runs

LOSSES = {
    "D": "discriminator",
    "D_large": "discriminator of large forms",
    "G": "generator",
    "G_large": "generator, large forms",
    "NCE": "PatchNCE",
    "same": "photo left as it is",
    "guide": "coarse guide",
    "distil": "distance to the median of the trainings",
}


class Report:
    """The page of a run folder, kept up while the run goes on; pictures are compressed once."""

    def __init__(self, folder: Path, history: History | None = None) -> None:
        self.folder, self.path = folder, folder / REPORT_FILE
        self.history = history
        self.pictures = Pictures()
        self.written = self.cost = 0.0

    def write_if_due(self, model: Model, on_event: Listener) -> None:
        """`write_live`, unless the last time is so near that writing would take more than `SHARE` of the time."""
        if time.monotonic() - self.written >= self.cost / SHARE:
            self.write_live(model, on_event)

    def write_live(self, model: Model, on_event: Listener, going_on: bool = True) -> bool:
        """Write the page from the training's model; where that fails it is told, and the training goes on."""
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
        provenance: dict[str, Any],
        *,
        going_on: bool = False,
        painting: Path | None = None,
        photo: Path | None = None,
    ) -> str:
        """The page as a text. `painting` and `photo` are files to show instead of what the folder has of them."""
        history = self.history or History.read(self.folder)
        told = _Told(self.folder, config, provenance, history, going_on)
        files = {"painting": painting, "photo": photo}
        data = {
            **told.everything(),
            "pictures": _large(self.folder, provenance, told.roles, self.pictures, files),
            "timeline": _timeline(self.folder, history, self.pictures),
        }
        return document(
            "report.html",
            told.title,
            ("uPlot.min.css", "page.css", "report.css"),
            ("uPlot.min.js", "report.js"),
            data=data,
            licence=asset("uPlot.LICENSE"),
        )


def page(folder: Path, painting: Path | None = None, photo: Path | None = None) -> str:
    """The page of a run folder as one HTML document, its pictures and scripts inside.

    `painting` and `photo` are for folders that hold no copy of them. Raises `ModelError` where there is no run, and
    `RunError` where it is no folder, or these are not the run's own files.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is no run folder; give the folder that a training has written")
    model = Model.load(folder)
    for role, path in (("painting", painting), ("photo", photo)):
        if path is None:
            continue
        known = model.provenance.get(role)
        reading.size_of(path)  # says what is wrong with what is no picture
        if isinstance(known, dict) and known.get("sha256") != sha256(path):
            raise RunError(f"{path}: is not the {role} of this run, which was {known.get('name')}; give that file")
    return Report(folder).page(model.config, model.provenance, painting=painting, photo=photo)


def write(folder: Path, output: Path | None = None, painting: Path | None = None, photo: Path | None = None) -> Path:
    """Write `page` to `report.html` in the folder, or elsewhere, whole or not at all. Raises as `page` does.

    `RunError`, too, where the name does not end as those of pages do.
    """
    path = output or folder / REPORT_FILE
    if path.suffix.lower() not in PAGES:
        raise RunError(f"{path}: is no name of a page; let -o end in .html")
    write_whole(path, page(folder, painting, photo).encode(), RunError)
    return path


class _Told:
    """All that the page says in words and numbers."""

    def __init__(
        self, folder: Path, config: Config, provenance: dict[str, Any], history: History, going_on: bool
    ) -> None:
        self.folder, self.config, self.provenance = folder, config, provenance
        self.history, self.going_on = history, going_on
        reverse = str(provenance.get("direction", "")).startswith("photo")
        self.roles = ("photo", "painting") if reverse else ("painting", "photo")
        self.names = {role: _name(provenance.get(role), role) for role in self.roles}
        self.title = f"{self.names[self.roles[0]]} → {self.names[self.roles[1]]}"
        self.step = _number(provenance.get("steps"))
        self.steps = _number(provenance.get("planned_steps"))

    def everything(self) -> dict[str, Any]:
        losses, figures = self.history.losses, self.history.figures
        return {
            "roles": self.roles,
            "names": self.names,
            "state": self.state(),
            "warnings": self.warnings(),
            "losses": _series(losses, LOSSES),
            "figures": _series(figures, {name: text for name, (text, _) in FIGURES.items()}),
            "better": {name: better for name, (_, better) in FIGURES.items()},
            "commands": self.commands(),
            "settings": self.settings(),
            "inputs": self.inputs(),
            "origin": self.origin(),
            "machine": self.machine(),
            "sessions": self.sessions(),
            "written": _now(),
            "sincut": __version__,
        }

    def state(self) -> dict[str, Any]:
        finished = 0 < self.steps <= self.step
        return {
            "kind": "finished" if finished else "going on" if self.going_on else "stopped",
            "step": self.step,
            "steps": self.steps,
            "seconds": _number(self.provenance.get("seconds")),
            "left": 0 if finished else self.history.last.get("seconds_left", 0),
        }

    def warnings(self) -> list[str]:
        """What the last figures say that has gone wrong."""
        found = self.history.figures
        last = found[max(found)] if found else {}
        known = {"colour", "texture", "structure", "tone"} <= set(last)
        return measures.complaints(last) if known else []

    def commands(self) -> list[dict[str, str]]:
        session = self.history.sessions[-1] if self.history.sessions else {}
        painting, photo = (str(session.get(role) or self.names[role]) for role in ("painting", "photo"))
        source = painting if self.roles[0] == "painting" else photo
        run = str(self.folder)
        device = ["--device", str(session["device"])] if session.get("device") else []
        reverse = ["--reverse"] if self.roles[0] == "photo" else []
        resume = ["sincut", "train", painting, photo, "-o", run, *reverse, *device, "--resume"]
        done = self.state()["kind"] == "finished"
        note = "All steps are done, so this would find nothing to do." if done else ""
        rows = [
            ("Translate a picture", ["sincut", "apply", run, source, "-o", "out.png"], "Any picture, any size."),
            ("Translate a folder", ["sincut", "apply", run, "folder/", "-o", "styled/"], "With everything below it."),
            ("Go on with the training", resume, note),
            ("Write this page again", ["sincut", "report", run], ""),
        ]
        return [{"label": label, "text": short(shlex.join(words), 4000), "note": note} for label, words, note in rows]

    def settings(self) -> list[dict[str, Any]]:
        usual = Config()
        rows = []
        for section in fields(self.config):
            mine, theirs = getattr(self.config, section.name), getattr(usual, section.name)
            for setting in fields(mine):
                value, default = getattr(mine, setting.name), getattr(theirs, setting.name)
                row = {"section": section.name, "key": setting.name, "doc": setting.metadata["doc"]}
                rows.append({**row, "value": _plain(value), "default": _plain(default), "changed": value != default})
        return rows

    def inputs(self) -> list[dict[str, str]]:
        rows = []
        for role in ("painting", "photo"):
            known = self.provenance.get(role)
            known = known if isinstance(known, dict) else {}
            size = f"{_number(known.get('width'))} × {_number(known.get('height'))} px"
            digest = short(str(known.get("sha256", "")), 64)
            rows.append({"role": role, "name": self.names[role], "size": size, "sha256": digest})
        return rows

    def origin(self) -> list[tuple[str, str]]:
        seen = self.provenance.get("training_scale")
        scales = [
            f"{role} {low:.0%} to {high:.0%}"
            for (role, key) in zip(self.roles, ("source", "target"), strict=True)
            for low, high in [_pair(seen.get(key) if isinstance(seen, dict) else None)]
            if high
        ]
        versions = self.provenance.get("versions")
        named = [f"{name} {value}" for name, value in versions.items()] if isinstance(versions, dict) else []
        rows = [
            ("Direction", str(self.provenance.get("direction", ""))),
            ("Seed", str(self.provenance.get("seed", ""))),
            ("Scales seen", ", ".join(scales)),
            ("Versions", ", ".join(named)),
        ]
        return [(name, short(value)) for name, value in rows if value]

    def machine(self) -> list[tuple[str, str]]:
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
            ("Trainings", str(_number(self.provenance.get("members")) or "")),
            ("Crops a step", str(_number(self.provenance.get("crops")) or "")),
            ("A step", f"{state['seconds'] / state['step']:.3g} s, all included" if state["step"] else ""),
            ("At last", f"{each:.3g} s a step" if each else ""),
            ("Device", ", ".join(device)),
            ("Precision", precision),
            ("System", str(session.get("system", ""))),
            ("Parameters", ", ".join(f"{name} {_number(count) / 1e6:.2f} M" for name, count in named)),
        ]
        return [(name, short(value)) for name, value in rows if value]

    def sessions(self) -> list[dict[str, str]]:
        """When the run began and went on, the last twenty times."""
        return [
            {"step": f"{session['step']:,}", **{key: short(str(session.get(key, ""))) for key in ("time", "device")}}
            for session in self.history.sessions[-20:]
        ]


def _large(
    folder: Path,
    provenance: dict[str, Any],
    roles: tuple[str, str],
    pictures: Pictures,
    files: dict[str, Path | None],
) -> dict[str, Any]:
    """Source, translation and target, each None where nothing is left of it."""
    kept = {role: folder / PREVIEWS / name for role, name in INPUTS.items()}
    thumbnails = provenance.get("thumbnails")
    found: dict[str, Any] = {}
    for part, role, fit in (("source", roles[0], LARGE), ("target", roles[1], SIDE)):
        found[part] = pictures.of(files[role] or kept[role], fit)
        if found[part] is None and isinstance(thumbnails, dict):
            uri = thumbnail_uri(thumbnails.get(part))
            found[part] = {"src": uri, "thumbnail": True} if uri else None
        if found[part] is not None:
            known = provenance.get(role)
            width = _number(known.get("width")) if isinstance(known, dict) else 0
            found[part] = {**found[part], "full": width}
    shown = previews(folder)
    last = list(shown.values())[-1:]
    found["result"] = pictures.of(last[0], LARGE) if last else None
    pictures.forget(LARGE, {*last, *kept.values()})
    return found


def _timeline(folder: Path, history: History, pictures: Pictures) -> list[dict[str, Any]]:
    """At most `FRAMES` previews: every one, or every second, fourth, ..., and the last."""
    shown = list(previews(folder).items())
    stride = 1
    while len(shown[::stride]) >= FRAMES:
        stride *= 2  # so that a frame that was chosen once, and compressed, mostly stays
    chosen = dict(shown[::stride] + shown[-1:])
    frames = []
    for step, path in chosen.items():
        picture = pictures.of(path, FRAME)
        if picture is not None:
            frames.append({"step": step, **picture, "figures": _rounded(history.figures.get(step, {}))})
    pictures.forget(FRAME, set(chosen.values()))
    return frames


def _series(rows: dict[int, dict[str, float]], about: dict[str, str]) -> dict[str, Any]:
    """Curves with at most `POINTS` points, each the mean of those it stands for; known names first."""
    steps = sorted(rows)
    names = sorted({name for values in rows.values() for name in values}, key=lambda name: _order(name, about))[:12]
    each = -(-len(steps) // POINTS) or 1
    groups = [steps[i : i + each] for i in range(0, len(steps), each)]
    curves = []
    for name in names:
        means = [_mean([rows[step][name] for step in group if name in rows[step]]) for group in groups]
        curves.append({"name": short(name, 40), "about": about.get(name, ""), "values": means})
    return {"steps": [group[-1] for group in groups], "curves": curves}


def _order(name: str, about: dict[str, str]) -> tuple[int, str]:
    return (list(about).index(name) if name in about else len(about), name)


def _mean(values: list[float]) -> float | None:
    return float(f"{sum(values) / len(values):.5g}") if values else None


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {short(name, 40): float(f"{value:.4g}") for name, value in list(figures.items())[:12]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _name(known: Any, role: str) -> str:
    return short(str(known["name"])) if isinstance(known, dict) and known.get("name") else role


def _number(value: Any) -> Any:
    """A number for people; 0 for what is none."""
    return number(value) or 0


def _pair(values: Any) -> tuple[float, float]:
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0.0, 0.0)


def _plain(value: Any) -> Any:
    """A setting as in a TOML file."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
