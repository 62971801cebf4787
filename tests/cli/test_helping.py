"""Help texts: the order of use, whole lines at 80 columns, and groups that stand for a command."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from helpers import in_process

from sincut.cli import COMMANDS, EPILOG, main
from sincut.cli.helping import Sectioned, every_command

NARROW = CliRunner(env={"COLUMNS": "80"})
EVERY = dict(every_command(main))


def options_of(text: str) -> list[str]:
    """The options in a help text that have lines of their own, in order; of two names the last."""
    listed = re.split(r"^\w.*:$", text, maxsplit=1, flags=re.MULTILINE)[1]  # below the first title
    return re.findall(r"^  (?:-\w, )?(--[a-z-]+)", listed, re.MULTILINE)


def test_the_help_has_every_command_on_one_whole_line_in_the_order_of_use() -> None:
    text = NARROW.invoke(main, ["--help"], prog_name="sincut").output
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and "..." not in text.partition("\n")[2]
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in main.commands]
    assert listed[:5] == ["train", "apply", "ui", "models", "inspect"] and sorted(listed) == sorted(main.commands)
    assert [line[:-1] for line in lines if line.endswith(":") and line[0] != " "] == [*COMMANDS, "Options"]
    for line in EPILOG.splitlines():
        assert line.strip("\b") in text
    assert "sincut apply runs/first" in text and "docs/index.md" in text


def test_sincut_alone_prints_the_help() -> None:
    bare = NARROW.invoke(main, [], prog_name="sincut")
    assert bare.exit_code == 0 and bare.stdout == NARROW.invoke(main, ["--help"], prog_name="sincut").stdout


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_one_line_in_the_list_and_all_its_options_once(name: str) -> None:
    command = EVERY[name]
    assert command.short_help and len(command.short_help) <= 66 and command.short_help.endswith(".")
    text = NARROW.invoke(main, [*name.split(), "--help"], prog_name="sincut").output
    assert max(map(len, text.splitlines())) <= 80
    listed = options_of(text)
    for option in command.params:
        if isinstance(option, click.Option):
            assert listed.count(option.opts[-1]) == 1, option.name


def test_sections_name_parameters_that_are_there_and_begin_with_the_usual_ones() -> None:
    seen = 0
    for command in EVERY.values():
        if isinstance(command, Sectioned):
            named = [name for names in command.sections.values() for name in names]
            assert sorted(named) == sorted({each.name for each in command.params if isinstance(each, click.Option)})
            seen += 1
    assert seen == 2
    listed = options_of(in_process("train", "--help").stdout)
    order = ["--output", "--to", "--minutes", "--resume", "--seed", "--device", "--pairs", "--engine", "--ray-address"]
    assert sorted(order, key=listed.index) == order


def test_a_group_stands_for_its_first_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "delet").mkdir()
    for words in (("models",), ("models", "--json"), ("models", "list"), ("models", "."), ("models", "delet")):
        assert in_process(*words).returncode == 0, words
    assert "rename" in in_process("models", "--help").stdout
    typo = in_process("models", "renam", "a", "b")
    assert typo.returncode == 2 and "rename" in typo.stderr
