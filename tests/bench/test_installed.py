"""What is installed: the tables agree with setup.cfg, and what is missing, old, broken or changed is told."""

import base64
import configparser
import hashlib
import re
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import ROOT

from sincut.bench import installed
from sincut.bench.installed import GOOD, MISSING, NOTED, WRONG


def test_the_tables_are_those_of_setup_cfg() -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")

    def wanted(lines: str) -> dict[str, str]:
        named = (re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line) for line in lines.split("\n"))
        return {match[1]: match[2] for match in named if match}

    assert {name: least for name, (_, least) in installed.BASE.items()} == wanted(config["options"]["install_requires"])
    extras = {name: wanted(lines) for name, lines in config["options.extras_require"].items()}
    for extra, (gives, packages) in installed.EXTRAS.items():
        assert {name: least for name, (_, least) in packages.items()} == extras.pop(extra) and gives
    assert set(extras) == {"docs", "test", "dev"}


def test_what_is_there_is_told_with_its_version() -> None:
    checks = [*installed.base()]
    assert [check.name for check in checks] == [*installed.BASE] and {check.state for check in checks} == {GOOD}
    assert next(check.text for check in checks if check.name == "click") == metadata.version("click")
    assert installed.python().state == installed.own_version().state == GOOD


def test_what_is_missing_or_old_or_broken_is_wrong_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("raise OSError('libx.so: cannot open\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    known = {"nowhere": ("nowhere_to_be_found", "1"), "click": ("click", "99.1"), "broken": ("broken_library", "1")}
    monkeypatch.setattr(installed, "BASE", known)
    missing, old, broken = installed.base()
    assert (missing.state, missing.text, missing.remedy) == (
        WRONG,
        "is not installed",
        "pip install --upgrade 'nowhere>=1'",
    )
    assert old.state == WRONG and old.text.endswith("is older than 99.1")
    assert broken.state == WRONG and broken.text.endswith("cannot be loaded: libx.so: cannot open")


def test_extras_that_are_missing_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    click = {"click": ("click", "1")}
    known = {
        "whole": ("this", click),
        "part": ("that", {**click, "nowhere": ("nowhere_to_be_found", "1")}),
        "old": ("those", {"click": ("click", "99")}),
        "none": ("these", {"nowhere": ("nowhere_to_be_found", "1")}),
    }
    monkeypatch.setattr(installed, "EXTRAS", known)
    checks = [*installed.extras()]
    assert [check.state for check in checks] == [GOOD, MISSING, NOTED, MISSING]
    assert [check.remedy for check in checks][1:] == [
        f"pip install 'sincut[{name}]'" for name in ("part", "old", "none")
    ]
    assert checks[1].text.endswith("nowhere is not installed") and checks[3].text == "these"
    assert not checks[0].remedy


def test_own_files_are_read_and_compared_with_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.own_files().state == GOOD and re.match(r"\d+ presets and \d+ assets", installed.own_files().text)
    kept, changed = tmp_path / "sincut" / "kept.py", tmp_path / "sincut" / "changed.py"
    kept.parent.mkdir()
    kept.write_text("same")
    changed.write_text("other")

    def record(path: Path, part: str = "sincut") -> SimpleNamespace:
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"same").digest()).rstrip(b"=").decode()
        value = SimpleNamespace(mode="sha256", value=digest)
        return SimpleNamespace(hash=value, parts=(part,), locate=lambda: path, as_posix=lambda: f"sincut/{path.name}")

    files = [record(kept), record(tmp_path / "elsewhere", "bin")]
    monkeypatch.setattr(metadata, "files", lambda name: files)
    assert installed.own_files().text.endswith("; 1 file as installed")
    files += [record(changed), record(kept.with_name("gone.py"))]
    check = installed.own_files()
    assert check.state == WRONG and check.text == "missing or changed: sincut/changed.py, sincut/gone.py"


def test_an_empty_or_broken_asset_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = tmp_path / "page" / "assets"
    assets.mkdir(parents=True)
    monkeypatch.setattr("sincut.__file__", str(tmp_path / "__init__.py"))
    assert installed.own_files().text == "missing or changed: page/"
    (assets / "page.css").touch()
    assert installed.own_files().text == "missing or changed: page/assets/page.css"
