"""`sincut models`: the table, and what each command does, asks, says and refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import assert_clear_error, in_process, make_model, save_telling

from sincut.cli import main
from sincut.config.sections import Config
from sincut.files import locked


@pytest.fixture
def runs(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `runs` of the current one, with a finished run, a stopped one and a file of somebody else."""
    monkeypatch.chdir(tmp_path)
    told = {"steps": 4, "planned_steps": 4, "direction": "photo -> painting"}
    for name, steps in (("a very long name of a run\x1b[2J", 4), ("stopped", 3)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        figures = {"colour": 0.123, "texture": 1.5, "structure": 0.9}
        path = tmp_path / "runs" / name / "model.safetensors"
        save_telling(make_model(tiny), path, **{**told, "steps": steps, "figures": figures})
        (path.parent / "checkpoint.safetensors").write_bytes(bytes(20_000_000))
    make_model(tiny).save(tmp_path / "runs" / "friend.safetensors")
    (tmp_path / "runs" / "broken.safetensors").write_bytes(b"none")
    return Path("runs")


def test_models_are_a_table_at_80_columns(runs: Path) -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["models"], prog_name="sincut")
    assert shown.exit_code == 0 and max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b" not in shown.stdout
    (row,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("stopped")]
    size = f"{(runs / 'stopped/model.safetensors').stat().st_size / 1e6:.2f}"
    assert row[1] == "painting" and row[3:] == ["stopped", "0.12", "1.50", size, "+", "20"]
    assert "damaged: runs/broken.safetensors" in shown.stderr
    assert "4 models, 40 MB, of which checkpoints of finished runs 20 (" in shown.stderr


def test_models_are_json(runs: Path) -> None:
    told = json.loads(in_process("models", "--json").stdout)
    by_name = {each["name"]: each for each in told["models"]}
    assert told["folder"] == "runs" and len(by_name) == 4
    assert by_name["stopped"]["state"] == "stopped" and by_name["stopped"]["checkpoint"] == 20_000_000
    assert by_name["broken.safetensors"]["error"]


def test_no_models_are_no_error_but_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no models in runs: sincut train makes one" in in_process("models").stderr
    assert_clear_error(in_process("models", "runs"), 1, "runs: cannot be listed", "name another folder")


def test_a_model_is_renamed(runs: Path) -> None:
    renamed = in_process("models", "rename", runs / "stopped", "my run")
    assert renamed.returncode == 0 and "runs/stopped: is runs/my run now" in renamed.stderr
    assert json.loads(in_process("models", "rename", runs / "my run", "x", "--json").stdout)["model"] == "runs/x"
    assert_clear_error(in_process("models", "rename", runs / "x", "--", "-x"), 1, "is no name for a model")
    assert_clear_error(in_process("models", "rename", runs / "nowhere", "y"), 1, "there is no such run")


def test_deleting_asks_first(runs: Path) -> None:
    def answered(text: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["models", "delete", "runs/stopped"], input=text, prog_name="sincut")
        return result.exit_code, result.stderr

    code, told = answered("n\n")
    assert code == 1 and "nothing was deleted" in told and "stopped, 3 steps" in told and "checkpoint 20 MB" in told
    code, told = answered("")
    assert code == 1 and "add --yes" in told and (runs / "stopped").is_dir()
    assert_clear_error(in_process("models", "delete", "runs"), 1, "runs: holds no training of sincut")  # nothing to ask
    assert answered("y\n")[0] == 0 and not (runs / "stopped").exists()


def test_several_are_deleted_and_those_that_cannot_be_are_told(runs: Path, tmp_path: Path) -> None:
    (runs / "stopped" / "notes.txt").write_text("of mine")
    (tmp_path / "mine.txt").write_text("of mine")
    result = in_process("models", "delete", "runs/stopped", "mine.txt", "runs/friend.safetensors", "--yes")
    assert_clear_error(result, 1, "1 of 3 could not be deleted")
    assert "mine.txt: does not begin as a model of sincut" in result.stderr
    assert "runs/stopped: deleted; left in it: notes.txt" in result.stderr and (tmp_path / "mine.txt").exists()
    assert sorted(path.name for path in runs.iterdir())[1:] == ["broken.safetensors", "stopped"]


def test_checkpoints_are_freed(runs: Path) -> None:
    finished = next(runs.glob("a very*"))
    assert json.loads(in_process("models", "free", finished, "--json").stdout) == {"freed": {str(finished): 20_000_000}}
    assert_clear_error(in_process("models", "free", "runs/stopped"), 1, "is not finished")
    with locked(runs / "stopped"):
        assert_clear_error(in_process("models", "free", "runs/stopped"), 1, "is being trained; stop it first")


def test_a_file_is_added(runs: Path, tiny: Config, tmp_path: Path) -> None:
    make_model(tiny, seed=1).save(tmp_path / "friend.safetensors")
    added = in_process("models", "add", "friend.safetensors")
    assert added.returncode == 0 and "runs/friend-2.safetensors: added; sincut apply" in added.stderr
    told = json.loads(in_process("models", "add", "friend.safetensors", "other", "--name", "f", "--json").stdout)
    assert told == {"model": "other/f.safetensors"}
    assert_clear_error(in_process("models", "add", "friend.safetensors"), 1, "is there already, as friend-2")
    assert_clear_error(in_process("models", "add", "runs/broken.safetensors"), 1, "damaged or no model file")


def test_a_card_is_printed_or_written_once(runs: Path) -> None:
    printed = in_process("models", "card", "runs/stopped")
    assert printed.returncode == 0 and printed.stdout.startswith("---\nlibrary_name: sincut")
    words = ("models", "card", "runs/stopped", "-o", "README.md")
    assert in_process(*words).returncode == 0
    assert Path("README.md").read_text(encoding="utf-8") == printed.stdout
    assert_clear_error(in_process(*words), 1, "is there already; add --overwrite")
    told = json.loads(in_process(*words, "--overwrite", "--json").stdout)
    assert told == {"card": printed.stdout, "output": "README.md"}
