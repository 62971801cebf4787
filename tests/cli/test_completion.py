"""What the shells are offered when TAB is pressed, asked of click's classes for them, and once of a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete
from helpers import ROOT

from sincut.cli import completion, main
from sincut.config.resolve import presets
from sincut.method.algorithms import ALGORITHMS
from sincut.model.file import MODEL_FILE

VARIABLE = "_SINCUT_COMPLETE"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures, models and runs."""
    for name in ("runs/first", "runs/with blank", "runs/young", "runs/no-run", "more"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "first/model.safetensors",
        "with blank/model.safetensors",
        "friend.safetensors",
        "young/metrics.jsonl",
    ):
        (tmp_path / "runs" / name).touch()
    (tmp_path / "monet.jpg").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(*words: str) -> list[CompletionItem[str]]:
    """The items for the last of these words."""
    return ShellComplete(main, {}, "sincut", VARIABLE).get_completions(list(words[:-1]), words[-1])


def plain(*words: str) -> list[str]:
    return [item.value for item in offered(*words) if item.type == "plain"]


def kinds(*words: str) -> set[str]:
    return {item.type for item in offered(*words)}


MODELS = ["runs/first", "runs/friend.safetensors"]


def test_commands_are_offered_in_the_order_of_the_help(desk: Path) -> None:
    assert plain("")[:4] == ["train", "apply", "ui", "models"]
    assert plain("ex") == ["exemplar", "export"]
    assert plain("models", "")[:3] == ["list", "rename", "delete"] and "dir" in kinds("models", "")
    assert plain("models", "re") == ["rename"]


@pytest.mark.parametrize(
    "words",
    [("apply",), ("inspect",), ("compare",), ("export",), ("exemplar",), ("similarity",), ("models", "card"),
     ("models", "rename"), ("models", "delete"), ("models", "delete", "runs/friend.safetensors")],
)  # fmt: skip
def test_models_are_offered_where_one_is_taken(words: tuple[str, ...], desk: Path) -> None:
    assert plain(*words, "") == MODELS and plain(*words, "runs/fr") == MODELS[1:]
    assert plain(*words, "mo") == [] and offered(*words, "mo")[0].type == "file"


@pytest.mark.parametrize("words", [("report",), ("models", "free"), ("train", "a.jpg", "b.jpg", "-o")])
def test_runs_are_offered_where_one_is_taken(words: tuple[str, ...], desk: Path) -> None:
    assert plain(*words, "") == ["runs/first", "runs/young"] and offered(*words, "")[0].type == "dir"


def test_paths_are_left_to_the_shell(desk: Path) -> None:
    by_file = (
        "apply runs/first mo",
        "train mo",
        "train a.jpg ",
        "apply x --mask ",
        "train --painting ",
        "evaluate a b",
    )
    for line in by_file:
        assert kinds(*line.split(" ")) == {"file"} and not plain(*line.split(" ")), line
    for line in ("ui --runs ", "models list ", "curve a.jpg b.jpg -o "):
        assert kinds(*line.split(" ")) == {"dir"}, line


def test_presets_settings_devices_and_methods_are_offered(desk: Path) -> None:
    names = [preset.name for preset in presets()]
    for words in (("train", "--preset"), ("presets",), ("bench", "--preset"), ("curve", "--preset")):
        assert plain(*words, "") == names and plain(*words, "qui") == ["quick"]
    assert plain("train", "--preset", "standard+qui") == ["standard+quick"]
    assert kinds("train", "--preset", "./my") == {"file"}
    assert all(item.help for item in offered("train", "--preset", ""))
    for command in ("train", "bench"):
        assert plain(command, "--set", "crops.cou") == ["crops.count="]
    assert "networks.architecture=pyramid" in plain("train", "--set", "networks.architecture=")
    assert plain("train", "--set", "nothing=") == []
    assert plain("apply", "--device", "cu") == ["cuda"] and plain("train", "--device", "") == [*completion.DEVICES]
    assert plain("train", "--method", "wc") == ["wct2"]
    assert plain("train", "--to", "pa") == ["painting"]


def test_what_is_written_down_there_is_what_the_library_has() -> None:
    assert completion.MODEL_FILE == MODEL_FILE and set(completion.METHODS) <= set(ALGORITHMS)


@pytest.mark.parametrize("shell", [completion.Bash, ZshComplete, FishComplete])
def test_each_shell_gets_its_lines(shell: type[ShellComplete], desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "sincut train --set crops.cou")
    monkeypatch.setenv("COMP_CWORD", "crops.cou" if shell is FishComplete else "3")
    assert "crops.count=" in shell(main, {}, "sincut", VARIABLE).complete()
    if shell is not completion.Bash:  # whose source asks for bash's version
        assert VARIABLE in shell(main, {}, "sincut", VARIABLE).source()


def test_in_bash_no_blank_follows_what_wants_a_value() -> None:
    assert completion.Bash.source_template.count("nospace") == 1 and "nospace" not in BashComplete.source_template


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="a bash")
def test_a_real_bash_completes_without_loading_torch(desk: Path) -> None:
    program = desk / "bin" / "sincut"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport atexit, sys\n"
        "atexit.register(lambda: print(*{'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules), file=sys.stderr))\n"
        "from sincut.cli import main\nmain(prog_name='sincut')\n"
    )
    program.chmod(0o755)
    script = """
    eval "$(_SINCUT_COMPLETE=bash_source sincut)"
    compopt() { :; }
    for words in "sincut apply runs/fi" "sincut train --preset qui" "sincut train --set crops.cou" "sincut ins"; do
        COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
        _sincut_completion sincut
        echo "${COMPREPLY[*]}"
    done
    """
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "--norc", "-c", script], env=env, cwd=desk, capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["runs/first", "quick", "crops.count=", "inspect"], ran.stderr
    assert not ran.stderr.split(), ran.stderr
