"""Run folders: their names, who may write to them, what is left over in them, and what cannot be resumed."""

from pathlib import Path

import pytest
from helpers import logged_steps, stop_after

import sincut
from sincut.config.sections import Config, overlay
from sincut.errors import Interrupted, ModelError, RunError, SincutError
from sincut.files import locked
from sincut.model.file import CHECKPOINT_FILE, load_tensors, save_tensors
from sincut.runs.folder import default_folder


def test_default_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_folder("a", "b")
    assert first == Path("runs/a-to-b")
    first.mkdir(parents=True)
    assert default_folder("a", "b") == Path("runs/a-to-b-2")


def test_a_new_run_finds_a_free_name(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert default_folder("a", "b", tmp_path, "x") == tmp_path / "x-2"
    assert default_folder("a", "b", tmp_path) == tmp_path / "a-to-b"


def test_folders_in_use_taken_or_empty_are_refused(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run), pytest.raises(RunError, match="another sincut"):
        sincut.train(painting, photo, run, config=tiny)
    with pytest.raises(RunError, match="no checkpoint"):
        sincut.train(painting, photo, run, config=tiny, resume=True)
    sincut.train(painting, photo, run, config=tiny)
    with pytest.raises(RunError, match="holds a run already"):
        sincut.train(painting, photo, run, config=tiny)


def test_changed_inputs_and_settings_are_named(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    with pytest.raises(RunError, match=r"crops\.flip: 0\.25 here, 0\.5 there"):
        sincut.train(painting, photo, run, config=overlay(tiny, {"crops": {"flip": 0.25}}), resume=True)
    with pytest.raises(RunError, match=r"painting is photo\.png.*was painting\.png"):
        sincut.train(photo, photo, run, resume=True)
    with pytest.raises(RunError, match="direction is photo -> painting"):
        sincut.train(painting, photo, run, resume=True, reverse=True)
    sincut.train(painting, photo, run, config=overlay(tiny, {"output": {"previews": 1}}), resume=True)


@pytest.mark.parametrize("damage", ["model", "json", "missing", "truncated"])
def test_damaged_checkpoints_are_named(tiny: Config, painting: Path, photo: Path, tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    path = run / CHECKPOINT_FILE
    tensors, metadata = load_tensors(path)
    if damage == "model":
        path.write_bytes((run / "model.safetensors").read_bytes())
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        if damage == "json":
            metadata["inputs"] = "{}"
        else:
            del tensors["average.rgb.weight"]
        save_tensors(path, tensors, {key: metadata[key] for key in ("config", "inputs")})
    with pytest.raises(ModelError, match="checkpoint"):
        sincut.train(painting, photo, run, resume=True)


def test_a_training_with_a_second_discriminator_is_told_to_be_of_before(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    path = run / CHECKPOINT_FILE
    tensors, metadata = load_tensors(path)
    second = {
        name.replace("discriminator.", "discriminator_large.", 1): tensor.clone()
        for name, tensor in tensors.items()
        if name.startswith("discriminator.")
    }
    assert second
    save_tensors(path, tensors | second, {key: metadata[key] for key in ("config", "inputs")})
    for more in (False, True):
        with pytest.raises(ModelError, match=r"earlier sincut.*second discriminator.*can be applied.*train anew"):
            sincut.train(painting, photo, run, resume=not more, more=1.0 if more else 0.0)


def test_small_pictures_leave_no_folder_behind(painting: Path, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(SincutError, match=r"painting\.png: 90x72 is smaller than one 128px crop"):
        sincut.train(painting, photo, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_leftovers_of_a_run_without_checkpoint_are_cleared(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "previews").mkdir(parents=True)
    (run / "previews" / "000001.jpg").touch()
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
    sincut.train(painting, photo, run, config=tiny)
    assert logged_steps(run) == [2, 4]
    assert not (run / "previews" / "000001.jpg").exists()


def test_parts_that_a_killed_training_left_are_removed(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=tiny, stop=stop_after(2))
    for folder in (tmp_path / "run", tmp_path / "run" / "previews"):
        (folder / ".model.safetensors.x.sincut-part").write_bytes(b"half of it")
    sincut.train(painting, photo, tmp_path / "run", resume=True)
    assert not list((tmp_path / "run").rglob("*.sincut-part"))


def test_metrics_of_steps_done_again_are_dropped(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    config = overlay(tiny, {"schedule": {"steps": 6}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=config, stop=stop_after(3))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4}\n{"step": 5, "los')  # as after a crash between two checkpoints
    sincut.train(painting, photo, tmp_path / "run", resume=True)
    assert logged_steps(tmp_path / "run") == [2, 4, 6]
