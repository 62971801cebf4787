"""The site of docs/ is built without a warning or a network; its commands exist, and the cheap ones are run."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest
import torch
from corpus.rows import ROWS
from helpers import GENTLE, ROOT, TINY, in_process, make_model, scene
from PIL import Image

from sincut.cli import main
from sincut.cli.helping import every_command
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay

COMMANDS = dict(every_command(main))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?:sh|bash)\n(?P<code>.*?)```", re.DOTALL)
# Why a command, or one with such an option, is not run here; it is parsed, so that its words and options are right.
NOT_RUN = {
    "train": "tests/cli/test_train.py runs trainings; README's Python example is one",
    "study": "trains", "curve": "trains", "bench": "measures for minutes", "ui": "serves until it is stopped",
    "compare": "tests/cli/test_look.py", "similarity": "tests/cli/test_look.py", "features": "tests/cli/test_look.py",
    "export": "tests/model/test_export.py", "--dry-run": "measures this machine; tests/batch/test_batch_plan.py",
}  # fmt: skip
# First words of other commands in blocks without a mark: none of them is sincut's.
OTHERS = {"export", "pip", "source", "pytest", "ruff", "mypy", "cat"}


class Shown(NamedTuple):
    """A line of a block of commands: its page, the line, and the reason in the mark above the block, or ''."""

    page: str
    line: str
    mark: str


def lines() -> list[Shown]:
    """All lines of all blocks."""
    out = []
    for path in PAGES:
        for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
            code = block["code"].replace("\\\n", " ")
            out += [Shown(path.name, line, block["mark"] or "") for line in code.splitlines() if line.strip()]
    return out


def words_of(line: str) -> list[list[str]]:
    """The simple commands of a line, each as its words, without assignments before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "&&", "||", ";"):
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            commands[-1].append(word)
    return [words for words in commands if words]


def parse(words: list[str]) -> None:
    """Parse words as the command line does, without running them. Raises click.UsageError."""
    command, rest = main.commands.get(words[0]), words[1:]
    assert command is not None, f"no command {words[0]}"
    if isinstance(command, click.Group):  # without the name of one of its commands it stands for the first
        named = rest[0] if rest and rest[0] in command.commands else ""
        command, rest = command.commands[named or next(iter(command.commands))], rest[1:] if named else rest
    with command.make_context(" ".join(words[:2]), rest, parent=click.Context(main, info_name="sincut")):
        pass


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files and models that commands name, all tiny."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("painting.jpg", "photo.jpg", "holiday.jpg", "a.jpg", "examples/painting.jpg",
                                 "examples/photo.jpg", "holidays/one.jpg", "holidays/sea/two.jpg", "folder/one.jpg",
                                 "scans/one.jpg", "monets/one.jpg")):  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(66, 96, seed)).save(name)
    Image.fromarray(np.full((66, 96), 128, np.uint8)).save("mask.png")
    Path("my.toml").write_text('extends = "quick"\n')
    model = make_model(overlay(overlay(Config(), TINY), GENTLE))
    model.exemplar = torch.from_numpy(scene(66, 96, 0))
    model.provenance = replace(model.provenance, planned_steps=model.provenance.steps)
    for name in ("first", "back", "monet", "one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        model.save(tmp_path / "runs" / name / "model.safetensors")
        (tmp_path / "runs" / name / "checkpoint.safetensors").write_bytes(b"to be freed")
    return tmp_path


def test_every_line_is_a_command_that_is_known_or_says_why_it_is_not_run(desk: Path) -> None:
    seen = 0
    for page, line, mark in lines():
        for words in words_of(line):
            name = Path(words[0]).name
            if name == "sincut" and words[1:]:
                parse(words[1:])
                seen += 1
            elif name.startswith("python") and words[1].endswith(".py"):
                assert (ROOT / words[1]).is_file(), (page, line)
            else:
                assert mark or name in OTHERS, f"{page}: {line}: run it in tests/test_docs.py, or mark its block"
    assert seen >= 25


def test_cheap_commands_run_in_the_order_of_their_page(desk: Path) -> None:
    ran: set[str] = set()
    for page, line, mark in lines():
        commands = words_of(line) if line not in ran else []
        if page in ("README.md", "recipes.md", "dials.md", "models.md") and not mark and len(commands) == 1:
            (words,) = commands
            if words[0] == "sincut" and not set(words) & set(NOT_RUN):
                result = in_process(*words[1:])
                assert result.returncode == 0, (page, line, result.stderr)
                if "-o" in words and "{" not in line:
                    assert Path(words[words.index("-o") + 1]).exists(), (page, line)
                ran.add(line)
    assert len(ran) >= 8
    with Image.open("large.jpg") as image:
        assert image.size == (96, 66)


def test_reasons_are_for_commands_that_are_there() -> None:
    assert {name for name in NOT_RUN if not name.startswith("-")} <= set(main.commands)


def test_options_in_running_text_belong_to_their_command() -> None:
    seen = 0
    for path in PAGES:
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        for code in re.findall(r"`(sincut [a-z][^`]*)`", text):
            name, *rest = code.split()[1:]
            command = COMMANDS.get(" ".join([name, *rest[:1]])) or main.commands.get(name)
            assert command is not None, (path.name, code)
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            for word in rest:
                assert not word.startswith("--") or word.partition("=")[0] in known | {"--help"}, (path.name, code)
            seen += 1
    assert seen >= 40


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(ROOT / "docs"), str(tmp_path / "site")]
    built = subprocess.run([*sphinx, "-d", str(tmp_path / "doctrees")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}
    for path in (ROOT / "docs").glob("*.md"):
        assert path.stem in pages
    for name, command in COMMANDS.items():
        assert f'href="#sincut-{name.replace(" ", "-")}"' in pages["commands"], name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in pages["commands"], (name, parameter.opts)
    for section, values in Config().to_dict().items():
        for key in values:
            assert f"{section}.{key}</span>" in pages["settings"], key
    row = re.sub(r"<[^>]*>", "", pages["settings"].partition("schedule.minutes</span>")[2].partition("</tr>")[0])
    minutes = [str(resolve(preset).schedule.minutes) for preset in ("standard", "quick")]
    assert re.findall(r"(?:standard|quick) ([\d.]+)", row) == minutes
    for odd in ROWS:
        assert f">{odd.name}</span>" in pages["odd-files"], odd.name
    api = pages["api"]
    assert "<pre>" not in api and '<span class="parameters">' in api and "<dl>\n<dd>" not in api
    assert 'role="heading"><' not in api
    for page in pages.values():  # nothing is fetched from elsewhere
        assert not re.search(r"<(?:script|img|iframe)[^>]*src=\"(?:https?:)?//", page)
        assert not re.search(r"<link[^>]*rel=\"stylesheet\"[^>]*href=\"(?:https?:)?//", page)
