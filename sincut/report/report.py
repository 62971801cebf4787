"""The page that explains a run: `report.html` in the run folder, one file that asks the network for nothing.

Everything the page shows travels in one block of JSON and is put into the document as text, never as HTML, so that no
file name or setting can do anything there; a content security policy allows the page's own script and style by their
hashes, and pictures that are inside the page, and nothing else. Curves are drawn by uPlot, which is shipped with it.

Pictures are JPEGs, compressed until they fit: painting, photo and the last preview large, earlier ones small, and at
most `FRAMES` of them. The whole file stays below `MAX_BYTES`.
"""

import base64
import hashlib
import html
import json
import shlex
import string
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from sincut import __version__
from sincut.config.sections import Config
from sincut.errors import ImageError, RunError
from sincut.events import Listener, Warned
from sincut.files import sha256, write_whole
from sincut.model.model import Model
from sincut.pictures import reading, resampling, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.report import evaluate, record
from sincut.report.record import History

PAGES = {".html", ".htm"}
MAX_BYTES = 4_000_000  # of the whole page
FRAMES = 24  # previews on the timeline
POINTS = 500  # on a curve
LONGEST_TEXT = 600  # characters; longer ones come from no file system and no setting
SHARE = 0.01  # of the time, at most, that rewriting the page may take while a training runs

# What the figures mean: in words, and which way is better (0: nearer to 1).
FIGURES: dict[str, tuple[str, int]] = {
    "colour": ("Distance to the photo’s colours; 1: as the untouched painting, 0: none", -1),
    "texture": ("Distance to the photo’s texture; 1: as the untouched painting, 0: none", -1),
    "structure": ("Shapes kept; 1: all of them", 1),
    "tone": ("Light and dark kept; 1: all of it, below 0: a negative", 1),
    "sharpness": ("Edges at pixel scale; 1: as strong as the photo’s", 0),
    "sifid": ("Single-image Fréchet distance to the photo; 0: alike", -1),
    "psnr_output": ("PSNR to the truth in dB; higher is nearer", 1),
    "ssim_output": ("SSIM to the truth; 1: equal", 1),
    "psnr_painting": ("PSNR of the untouched painting to the truth, dB", 1),
    "ssim_painting": ("SSIM of the untouched painting to the truth", 1),
}
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


@dataclass(frozen=True)
class Fit:
    """How large a picture may be in the page."""

    megapixels: float
    limit: int  # bytes


LARGE, SIDE, FRAME = Fit(1.5, 700_000), Fit(0.5, 250_000), Fit(0.26, 34_000)
QUALITIES = (86, 78, 68, 56, 44, 32)
THUMBNAIL = 60_000  # bytes of one in a model file, at most, to be shown


class Report:
    """The page of a run folder, kept up while the run goes on; pictures are compressed once."""

    def __init__(self, folder: Path, history: History | None = None) -> None:
        self.folder, self.path = folder, folder / record.REPORT_FILE
        self.history = history
        self.pictures = _Pictures()
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
        return _render(told.title, data)


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
    path = output or folder / record.REPORT_FILE
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
        return evaluate.complaints(last) if known else []

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
        return [{"label": label, "text": _short(shlex.join(words), 4000), "note": note} for label, words, note in rows]

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
            digest = _short(str(known.get("sha256", "")), 64)
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
        return [(name, _short(value)) for name, value in rows if value]

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
        return [(name, _short(value)) for name, value in rows if value]

    def sessions(self) -> list[dict[str, str]]:
        """When the run began and went on, the last twenty times."""
        return [
            {"step": f"{session['step']:,}", **{key: _short(str(session.get(key, ""))) for key in ("time", "device")}}
            for session in self.history.sessions[-20:]
        ]


class _Pictures:
    """Compressed pictures by file and time of its last change, so that none is compressed twice."""

    def __init__(self) -> None:
        self.known: dict[tuple[Path, int, Fit], dict[str, Any] | None] = {}

    def of(self, path: Path, fit: Fit) -> dict[str, Any] | None:
        """Data URI and size; None for a file that is not there or is damaged."""
        try:
            key = path, path.stat().st_mtime_ns, fit
            if key not in self.known:
                self.known[key] = None
                self.known[key] = compressed(reading.load(path), fit)
        except (ImageError, OSError):
            return None
        return self.known[key]

    def forget(self, fit: Fit, but: set[Path]) -> None:
        """Drop what is no longer shown."""
        self.known = {key: value for key, value in self.known.items() if key[2] != fit or key[0] in but}


def compressed(picture: Picture, fit: Fit) -> dict[str, Any]:
    """A JPEG as a data URI of at most `fit.limit` bytes before base64, with its size and its share of the original."""
    megapixels = fit.megapixels
    while True:
        small = resampling.shrink(picture, megapixels)
        for quality in QUALITIES:
            data, _ = writing.encode(small, "JPEG", Saving(quality=quality, strip=True))
            if len(data) <= fit.limit:
                h, w = small.size
                uri = "data:image/jpeg;base64," + base64.b64encode(data).decode()
                return {"src": uri, "width": w, "height": h}
        megapixels = min(megapixels, small.size[0] * small.size[1] / 1e6) / 2


def _large(
    folder: Path,
    provenance: dict[str, Any],
    roles: tuple[str, str],
    pictures: _Pictures,
    files: dict[str, Path | None],
) -> dict[str, Any]:
    """Source, translation and target, each None where nothing is left of it."""
    kept = {role: folder / record.PREVIEWS / name for role, name in record.INPUTS.items()}
    thumbnails = provenance.get("thumbnails")
    found: dict[str, Any] = {}
    for part, role, fit in (("source", roles[0], LARGE), ("target", roles[1], SIDE)):
        found[part] = pictures.of(files[role] or kept[role], fit)
        if found[part] is None and isinstance(thumbnails, dict):
            found[part] = _thumbnail(thumbnails.get(part))
        if found[part] is not None:
            known = provenance.get(role)
            width = _number(known.get("width")) if isinstance(known, dict) else 0
            found[part] = {**found[part], "full": width}
    shown = record.previews(folder)
    last = list(shown.values())[-1:]
    found["result"] = pictures.of(last[0], LARGE) if last else None
    pictures.forget(LARGE, {*last, *kept.values()})
    return found


def _thumbnail(text: Any) -> dict[str, Any] | None:
    """A thumbnail of a model file, which may come from a stranger."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) and len(text) < 2 * THUMBNAIL else b""
    except ValueError:
        return None
    if not data.startswith(b"\xff\xd8") or len(data) > THUMBNAIL:
        return None
    return {"src": "data:image/jpeg;base64," + base64.b64encode(data).decode(), "thumbnail": True}


def _timeline(folder: Path, history: History, pictures: _Pictures) -> list[dict[str, Any]]:
    """At most `FRAMES` previews: every one, or every second, fourth, ..., and the last."""
    shown = list(record.previews(folder).items())
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
        curves.append({"name": _short(name, 40), "about": about.get(name, ""), "values": means})
    return {"steps": [group[-1] for group in groups], "curves": curves}


def _order(name: str, about: dict[str, str]) -> tuple[int, str]:
    return (list(about).index(name) if name in about else len(about), name)


def _mean(values: list[float]) -> float | None:
    return float(f"{sum(values) / len(values):.5g}") if values else None


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {_short(name, 40): float(f"{value:.4g}") for name, value in list(figures.items())[:12]}


def _render(title: str, data: dict[str, Any]) -> str:
    """The document around the data; its policy names script and style by their hashes."""
    style = asset("uPlot.min.css") + asset("page.css") + asset("report.css")
    scripts = asset("uPlot.min.js"), asset("report.js")
    body = string.Template(asset("report.html")).substitute(
        data=as_block(data), library=scripts[0], licence=asset("uPlot.LICENSE"), script=scripts[1]
    )
    return document(f"{title} · sincut", style, body, scripts)


def document(title: str, style: str, body: str, scripts: tuple[str, ...] = ()) -> str:
    """An HTML document that may load nothing, and run and use only these scripts and this style."""
    allowed = " ".join(_hash(script) for script in scripts) or "'none'"
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {allowed}; base-uri 'none'"
    return string.Template(asset("page.html")).substitute(
        policy=f"{policy}; form-action 'none'", title=html.escape(_short(title)), style=style, body=body
    )


def as_block(data: Any) -> str:
    """JSON that nothing inside can end: it may stand in a script element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def asset(name: str) -> str:
    """A file that is shipped in the package for its pages."""
    return resources.files("sincut.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _name(known: Any, role: str) -> str:
    return _short(str(known["name"])) if isinstance(known, dict) and known.get("name") else role


def _number(value: Any) -> Any:
    """A number for people; 0 for what is none."""
    return record.number(value) or 0


def _pair(values: Any) -> tuple[float, float]:
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0.0, 0.0)


def _plain(value: Any) -> Any:
    """A setting as in a TOML file."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _short(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text of bounded length, without lone surrogates (names that are not UTF-8 have some)."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"
