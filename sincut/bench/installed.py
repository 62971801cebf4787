"""Checks of the installation: the packages that sincut needs, the extras with what each gives, and its own files.

Nothing heavy is imported with this module, and nothing that might be missing: whatever is wrong becomes a `Check`.
"""

import base64
import hashlib
import importlib
import importlib.util
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import sincut
from sincut.errors import counted, listed

GOOD, MISSING, NOTED, WRONG = "ok", "-", "note", "wrong"  # states; MISSING is of what nobody has to have
LEAST_PYTHON = (3, 11)
# By distribution: the module to import, and the lowest version; as in setup.cfg.
BASE = {
    "torch": ("torch", "2.6"),
    "torchvision": ("torchvision", "0.21"),
    "kornia": ("kornia", "0.8"),
    "pillow": ("PIL", "11.0"),
    "numpy": ("numpy", "1.26"),
    "click": ("click", "8.1"),
    "rich": ("rich", "13.7"),
    "safetensors": ("safetensors", "0.4.3"),
    "psutil": ("psutil", "5.9"),
    "filelock": ("filelock", "3.30"),
    "jinja2": ("jinja2", "3.1"),
}
# By extra: what it gives, and its distributions, likewise.
EXTRAS = {
    "ui": ("the page in a browser, sincut ui", {"gradio": ("gradio", "6.31")}),
    "large": ("16 bits a channel, and pictures beyond memory", {"pyvips": ("pyvips", "3.0")}),
    "heic": ("HEIC pictures, as telephones make them", {"pillow-heif": ("pillow_heif", "0.18")}),
    "watch": ("sincut apply --watch", {"watchfiles": ("watchfiles", "0.21")}),
    "remote": ("s3:// and other URLs in apply", {"fsspec": ("fsspec", "2024.6"), "s3fs": ("s3fs", "2024.6")}),
    "ray": ("many machines, --engine ray", {"ray": ("ray", "2.40")}),
    "onnx": (
        "sincut export",
        {
            "onnx": ("onnx", "1.18"),
            "onnxscript": ("onnxscript", "0.5"),
            "onnxruntime": ("onnxruntime", "1.20"),
        },
    ),
    "tensorboard": ("sincut train --tensorboard", {"tensorboard": ("tensorboard", "2.17")}),
    "notebook": ("trainings in Jupyter", {"ipython": ("IPython", "8"), "ipykernel": ("ipykernel", "6.29")}),
}
LOADED = {"pyvips", "pillow-heif"}  # extras that are imported, since they bring libraries that may not load


@dataclass(frozen=True)
class Check:
    """Something that was looked at, and how it is."""

    group: str  # the heading that it stands under
    name: str
    state: str  # GOOD, MISSING, NOTED (it works, but could be better) or WRONG (the main job cannot be done)
    text: str
    remedy: str = ""  # what to type or do, where there is something


def own_version() -> Check:
    """The version of sincut, and the folder it runs from."""
    return Check("Installed", "sincut", GOOD, f"{sincut.__version__}, in {Path(sincut.__file__).parent}")


def python() -> Check:
    """The version of Python, its system, and the program itself."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    text = f"{platform.python_version()} on {system}: {sys.executable}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return Check("Installed", "Python", WRONG, text, f"install Python {least} or later, and sincut in it")
    return Check("Installed", "Python", GOOD, text)


def base() -> Iterator[Check]:
    """The packages that are always needed: each is imported."""
    for name, (module, least) in BASE.items():
        version, trouble = _looked_at(name, module, least, load=True)
        remedy = f"pip install --upgrade '{name}>={least}'" if trouble else ""
        yield Check("Installed", name, WRONG if trouble else GOOD, trouble or version, remedy)


def extras() -> Iterator[Check]:
    """The extras: a missing one is no fault, one that is there but too old or broken is worth a note."""
    for extra, (gives, packages) in EXTRAS.items():
        results = {name: _looked_at(name, *known, load=name in LOADED) for name, known in packages.items()}
        well = [f"{name} {version}" for name, (version, trouble) in results.items() if not trouble]
        troubles = [f"{name} {trouble}" for name, (_, trouble) in results.items() if trouble]
        is_missing = any(not version for version, _ in results.values())
        state = MISSING if is_missing else NOTED if troubles else GOOD
        told = "; ".join([*well, *troubles] if well or state == NOTED else [])
        text = f"{gives}: {told}" if told else gives
        yield Check("Extras", extra, state, text, f"pip install 'sincut[{extra}]'" if troubles else "")


def _looked_at(name: str, module: str, least: str, load: bool) -> tuple[str, str]:
    """The version of a package, "" if it is missing, and what is wrong with it, "" if nothing."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    if not version and importlib.util.find_spec(module) is None:
        return "", "is not installed"
    if load:
        try:
            importlib.import_module(module)
        except Exception as error:  # of a broken library it can be any
            return version, f"{version} cannot be loaded: {one_line(error)}"
    if version and _numbers(version) < _numbers(least):
        return version, f"{version} is older than {least}"
    return version or "version unknown", ""


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version before its suffixes, as in (2, 6) of 2.6+cpu."""
    plain = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (plain[0] if plain else "").split(".") if part)


def one_line(error: BaseException) -> str:
    """The first line of an error, with its kind where it says nothing else."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def own_files() -> Check:
    """Sincut's own files: presets can be read, templates parsed, and none differs from what was installed."""
    from jinja2 import Environment

    from sincut.config.resolve import DEFAULT_PRESET, presets

    names = [preset.name for preset in presets()]
    package = Path(sincut.__file__).parent
    assets = [path for path in sorted(package.glob("*/assets/**/*")) if path.is_file()]
    wrong = [] if DEFAULT_PRESET in names else [f"presets/{DEFAULT_PRESET}.toml"]
    wrong += [f"{path.parent.name}/" for path in sorted(package.glob("*/assets")) if not any(path.iterdir())]
    for path in assets:
        if not path.stat().st_size:
            wrong.append(path.relative_to(package).as_posix())
        elif path.suffix == ".html":
            Environment(autoescape=True).parse(path.read_text(encoding="utf-8"), path.name)
    compared, changed = _compared()
    wrong += changed
    text = f"{counted(len(names), 'preset')} and {counted(len(assets), 'asset')}"
    text += f"; {counted(compared, 'file')} as installed" if compared else ", run from its source"
    if wrong or not assets:
        text = f"missing or changed: {listed(wrong)}" if wrong else "there are no assets"
        return Check("Installed", "own files", WRONG, text, "in the clone: pip install --force-reinstall --no-deps .")
    return Check("Installed", "own files", GOOD, text)


def _compared() -> tuple[int, list[str]]:
    """The number of files that were compared with the hashes of the installation, and those that differ or are gone.

    0 where sincut runs from its source, of which no installation tells hashes.
    """
    try:
        files = metadata.files("sincut") or []
    except metadata.PackageNotFoundError:
        return 0, []
    count, wrong = 0, []
    for file in files:
        if file.hash is None or file.parts[0] != "sincut":
            continue
        count += 1
        path = Path(str(file.locate()))
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest() if path.is_file() else b""
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            wrong.append(file.as_posix())
    return count, wrong
