"""`sincut exemplar`, and what `train` and `inspect` say of exemplars."""

import json
from pathlib import Path

from helpers import assert_clear_error, in_process

from sincut.model.model import Model


def test_an_exemplar_is_added_told_of_and_removed(model_file: Path, photo: Path, tmp_path: Path) -> None:
    assert json.loads(in_process("inspect", model_file, "--json").stdout)["exemplar"] is None
    assert "holds no pixels" in in_process("inspect", model_file).stdout
    added = in_process("exemplar", model_file, photo)
    assert added.returncode == 0 and f"{model_file}: holds 80x70 pixels of {photo}" in added.stderr
    assert added.stdout == ""
    assert json.loads(in_process("inspect", model_file, "--json").stdout)["exemplar"] == {"width": 80, "height": 70}
    assert "holds 80x70 pixels of its target" in in_process("inspect", model_file).stdout
    out = tmp_path / "without.safetensors"
    removed = in_process("exemplar", model_file, "--remove", "-o", out, "--json")
    assert json.loads(removed.stdout) == {"output": str(out), "exemplar": None}
    assert Model.load(out).exemplar is None and Model.load(model_file).exemplar is not None


def test_wrong_usage_is_told_and_changes_nothing(model_file: Path, photo: Path, tmp_path: Path) -> None:
    before = model_file.read_bytes()
    for arguments in ((), (photo, "--remove"), (photo, "-o", tmp_path / "m.png")):
        assert in_process("exemplar", model_file, *arguments).returncode == 2
    assert_clear_error(in_process("exemplar", tmp_path / "none", photo), 1, "no model there")
    assert_clear_error(in_process("exemplar", model_file, tmp_path / "none.png"), 1, "no such file")
    assert model_file.read_bytes() == before


def test_train_takes_the_exemplar_in_or_leaves_it_out(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run = tmp_path / "run"
    command = ["train", painting, photo, "-o", run, *tiny_flags, "--set", "output.previews=0"]
    assert in_process(*command, "--exemplar", "--device", "cpu").returncode == 0
    assert Model.load(run).exemplar_size == (70, 80)
    left = tmp_path / "left"
    command[4] = left
    flags = ("--set", "synthesis.exemplar=true", "--no-exemplar", "--device", "cpu")
    assert in_process(*command, *flags).returncode == 0
    assert Model.load(left).exemplar is None
