"""The shelf of models: what is listed, and what is renamed, deleted, freed, added, or refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import make_model, save_telling
from safetensors.torch import save_file

from sincut.config.sections import Config
from sincut.errors import ModelError, RunError
from sincut.files import locked
from sincut.model.model import Model
from sincut.runs import shelf

ODD_NAMES = ("monet [1]", "прибой", "côte d’Albâtre (2)", "海", "a'b", "100 %", "sea.2", "x" * 200)


@pytest.fixture
def run(tmp_path: Path, tiny: Config) -> Path:
    """The folder of a finished run, with all that trainings write."""
    folder = tmp_path / "runs" / "sea"
    for name in ("previews", "inputs/painting", "inputs/photo", "tensorboard"):
        (folder / name).mkdir(parents=True)
    save_telling(
        make_model(tiny),
        folder / "model.safetensors",
        **{"steps": 4, "planned_steps": 4, "direction": "photo -> painting", "figures": {"texture": 0.5}},
    )
    inner = ("previews/000001.jpg", "previews/photo.jpeg", "inputs/photo/a.tif", "tensorboard/events.out.tfevents.1")
    for name in ("checkpoint.safetensors", "report.html", "training.log", ".lock", ".model.x.sincut-part", *inner):
        (folder / name).write_bytes(b"0123")
    (folder / "metrics.jsonl").write_text('{"step": 1, "losses": {"G": 1.0}}\n')
    return folder


def stranger(path: Path) -> Path:
    """A safetensors file of another program."""
    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    return path


def test_runs_and_files_are_listed_the_last_one_first(run: Path, tiny: Config, model_file: Path) -> None:
    runs = run.parent
    for number, name in enumerate(("group/lake", "group/deep/er", ".hidden")):
        (runs / name).mkdir(parents=True)
        save_telling(make_model(tiny), runs / name / "model.safetensors", steps=number, planned_steps=9)
    (runs / "group/lake/checkpoint.safetensors").write_bytes(b"01")
    shutil.copy(model_file, runs / "friend.safetensors")
    (runs / "broken.safetensors").write_bytes(b"<html>")
    stranger(runs / "other.safetensors")
    (runs / "hub").mkdir()
    stranger(runs / "hub/model.safetensors")
    (runs / "notes.txt").write_text("none of them")
    for age, name in enumerate(("friend.safetensors", "sea/model.safetensors", "group/lake/model.safetensors")):
        os.utime(runs / name, (1e9 - age, 1e9 - age))
    listed = shelf.entries(runs)
    assert [each.name for each in listed] == ["broken.safetensors", "friend.safetensors", "sea", "group/lake"]
    assert [each.state for each in listed] == [shelf.DAMAGED, shelf.FINISHED, shelf.FINISHED, shelf.UNTRAINED]
    sea = listed[2]
    assert (sea.direction, sea.figures, sea.steps, sea.checkpoint) == ("photo -> painting", {"texture": 0.5}, 4, 4)
    assert sea.size == (run / "model.safetensors").stat().st_size
    assert sea.to_dict()["changed"] == "2001-09-09T01:46:39+00:00" and sea.to_dict()["path"] == str(run)
    assert "no model file" in listed[0].error and not sea.error
    (alone,) = shelf.entries(run)
    assert alone.name == "sea"


def test_states_tell_what_goes_on_and_what_can_go_on(run: Path, tiny: Config) -> None:
    model = run / "model.safetensors"
    save_telling(make_model(tiny), model, steps=3, planned_steps=4)
    assert shelf.entry(run).state == shelf.STOPPED
    with locked(run):
        assert shelf.entry(run).state == shelf.TRAINING and shelf.entry(run).steps == 3
        model.rename(run / "away")
        assert shelf.entry(run).state == shelf.TRAINING
    assert shelf.entry(run).state == shelf.UNTRAINED


def test_a_training_before_its_first_step_is_known_and_one_that_ended_there_can_be_deleted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "previews").mkdir(parents=True)
    with locked(run):
        assert [each.state for each in shelf.entries(tmp_path)] == [shelf.TRAINING]
        with pytest.raises(RunError, match="is being trained; stop it first"):
            shelf.delete(run)
    assert [each.state for each in shelf.entries(tmp_path)] == [shelf.UNTRAINED]
    (run / "holiday.jpg").write_bytes(b"of mine")
    assert shelf.entries(tmp_path) == []
    (run / "holiday.jpg").unlink()
    assert shelf.delete(run) == [] and not run.exists()


def test_a_folder_without_models_is_empty_and_one_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert shelf.entries(tmp_path) == []
    with pytest.raises(RunError, match="cannot be listed"):
        shelf.entries(tmp_path / "none")


def test_runs_and_files_are_renamed_in_their_place(run: Path, model_file: Path) -> None:
    assert shelf.renamed(run, "coast") == run.with_name("coast") and not run.exists()
    for name in ("mine", "mine.safetensors"):
        model_file = shelf.renamed(model_file, name)
        assert model_file.name == "mine.safetensors" and Model.load(model_file)


def test_odd_names_are_names(run: Path, model_file: Path) -> None:
    for name in ODD_NAMES:
        run, model_file = shelf.renamed(run, name), shelf.renamed(model_file, name)
        assert run.name == name == shelf.entries(run.parent)[0].name
        assert model_file.name == f"{name}.safetensors" and Model.load(model_file)
    assert shelf.delete(run) == [] and not run.exists()


def test_names_that_no_file_should_have_are_refused(run: Path) -> None:
    odd = ("", " ", ".", "..", "-x", "~", ".hidden", "x.", "x ", "a/b", "a\\b", "a\nb", "?", "NUL", "com1.x", "x" * 201)
    for name in odd:
        with pytest.raises(RunError, match="is no name for a model"):
            shelf.renamed(run, name)
    assert run.is_dir()


def test_a_name_that_is_taken_is_refused_even_if_it_is_taken_meanwhile(
    run: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.with_name("other")).mkdir()
    other = model_file.with_name("other.safetensors")
    other.write_bytes(b"of somebody")
    for path in (run, model_file):
        with pytest.raises(RunError, match="one of that name already"):
            shelf.renamed(path, "other")
    monkeypatch.setattr("os.path.lexists", lambda path: path != other)
    with pytest.raises(RunError, match="one of that name already"):
        shelf.renamed(model_file, "other")
    assert other.read_bytes() == b"of somebody" and Model.load(model_file)


def test_files_move_without_hard_links_too(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*paths: Path, follow_symlinks: bool) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr("os.link", link)
    new = shelf.renamed(model_file, "mine")
    assert Model.load(new) and not model_file.exists()


def test_only_what_a_training_has_written_is_deleted(run: Path, model_file: Path) -> None:
    kept = ("inputs/mine.jpg", "notes.txt", "previews/mine.png")
    for name in kept:
        (run / name).write_text("of mine")
    assert shelf.delete(run) == ["inputs", "notes.txt", "previews"]
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()) == sorted(kept)
    with pytest.raises(RunError, match="holds no training of sincut"):
        shelf.delete(run)
    assert shelf.delete(model_file) == [] and not model_file.exists()
    with pytest.raises(RunError, match="there is no such run or model"):
        shelf.delete(model_file)


def test_a_whole_run_is_deleted_with_its_folder(run: Path) -> None:
    assert shelf.delete(run) == [] and not run.exists() and run.parent.is_dir()


def test_an_interrupted_deletion_goes_on_when_it_is_asked_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def broken(path: Path, missing_ok: bool = False) -> None:
        if path.name == "metrics.jsonl":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", broken)
    with pytest.raises(KeyboardInterrupt):
        shelf.delete(run)
    monkeypatch.undo()
    assert [each.name for each in shelf.entries(run.parent)] == ["sea"] and Model.load(run)
    assert shelf.delete(run) == [] and not run.exists()


def test_what_is_not_of_sincut_is_left_alone(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    file = stranger(folder / "model.safetensors")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    for path in (folder, tmp_path, file, picture, run.parent):
        for act in (shelf.delete, shelf.free, lambda path: shelf.renamed(path, "new")):
            with pytest.raises(RunError, match="left alone"):
                act(path)
    assert file.exists() and picture.exists()
    with pytest.raises(RunError, match="a part of a run; give its folder"):
        shelf.delete(run / "model.safetensors")


def test_links_are_not_followed(run: Path, tmp_path: Path, model_file: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jpg").write_bytes(b"of mine")
    shutil.rmtree(run / "inputs/photo")
    for name, target in (("inputs/photo", elsewhere), ("previews/1.jpg", elsewhere / "a.jpg")):
        (run / name).symlink_to(target)
    link = run.with_name("link")
    link.symlink_to(run)
    with pytest.raises(RunError, match="is a link to"):
        shelf.delete(link)
    assert shelf.delete(run) == ["inputs"]
    assert (elsewhere / "a.jpg").read_bytes() == b"of mine" and (run / "inputs/photo").is_symlink()
    file = run.with_name("linked.safetensors")
    file.symlink_to(model_file)
    assert shelf.delete(shelf.renamed(file, "new")) == [] and Model.load(model_file)


def test_a_model_file_that_is_cut_off_is_still_known(run: Path, model_file: Path) -> None:
    for path in (model_file, run / "model.safetensors"):
        path.write_bytes(path.read_bytes()[:-100])
    assert shelf.entry(run).state == shelf.DAMAGED
    assert shelf.delete(model_file) == shelf.delete(run) == []


def test_checkpoints_of_finished_runs_alone_are_freed(run: Path, tiny: Config, model_file: Path) -> None:
    assert shelf.freeable(run) == shelf.free(run) == 4 and not (run / "checkpoint.safetensors").exists()
    for path in (run, model_file):
        assert shelf.freeable(path) == 0
        with pytest.raises(RunError, match="no checkpoint to free"):
            shelf.free(path)
    (run / "checkpoint.safetensors").write_bytes(b"0123")
    save_telling(make_model(tiny), run / "model.safetensors", steps=3, planned_steps=4)
    assert shelf.freeable(run) == 0 == shelf.freeable(run / "nowhere")
    with pytest.raises(RunError, match="goes on from its checkpoint"):
        shelf.free(run)
    assert (run / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("act", [shelf.delete, shelf.free, lambda path: shelf.renamed(path, "coast")])
def test_a_run_that_is_being_trained_is_left_alone(run: Path, act: Callable[[Path], object]) -> None:
    with locked(run), pytest.raises(RunError, match="is being trained; stop it first"):
        act(run)
    assert shelf.freeable(run) == 4


def test_what_cannot_be_deleted_is_an_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", closed)
    with pytest.raises(RunError, match=r"cannot be deleted \(Permission denied\)"):
        shelf.delete(run)
    with pytest.raises(RunError, match="cannot be freed of its checkpoint"):
        shelf.free(run)


def test_models_of_others_are_added_under_free_names(tmp_path: Path, tiny: Config, run: Path) -> None:
    runs = run.parent
    named = {role: {"name": "x.jpg"} for role in ("painting", "photo")}
    for seed, (file, expected) in enumerate(
        [
            ("sea.safetensors", "sea-2.safetensors"),  # `sea` is a run
            ("sea.safetensors", "sea-3.safetensors"),
            ("model.safetensors", "x-to-x.safetensors"),
            ("lake/model.safetensors", "lake.safetensors"),
        ]
    ):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        save_telling(make_model(tiny), path, seed=seed, **named)
        new = shelf.added(path.parent if "/" in file else path, runs)
        assert new.name == expected and new.read_bytes() == path.read_bytes()
        with pytest.raises(RunError, match=f"is there already, as {expected}"):
            shelf.added(path, runs)
    assert shelf.added(run, tmp_path / "new", "mine").name == "mine.safetensors"
    assert not [path for path in runs.iterdir() if path.name.startswith(".")]


def test_what_is_no_whole_model_is_not_added(tmp_path: Path, model_file: Path) -> None:
    runs = tmp_path / "runs"
    broken = tmp_path / "odd.safetensors"
    broken.write_bytes(b"no model")
    short = tmp_path / "short.safetensors"
    short.write_bytes(model_file.read_bytes()[:-9])
    strangers = stranger(tmp_path / "hub.safetensors")
    for path in (broken, short, strangers, tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ModelError):
            shelf.added(path, runs)
    with pytest.raises(RunError, match="is no name for a model"):
        shelf.added(model_file, runs, "../out")
    assert not runs.exists()


def test_weights_that_do_not_fit_are_not_added(tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    save_telling(make_model(tiny), path)

    def load(copy: Path) -> None:
        raise ModelError(f"{copy}: is not a complete sincut model")

    monkeypatch.setattr(shelf, "load_model", load)
    with pytest.raises(ModelError, match=r"a\.safetensors: is not a complete"):
        shelf.added(path, tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_process_has_left_is_removed_and_what_another_writes_stays(
    tmp_path: Path, model_file: Path
) -> None:
    old, young = tmp_path / "runs/.old.sincut-part", tmp_path / "runs/.young.sincut-part"
    old.parent.mkdir()
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    shelf.added(model_file, old.parent)
    assert sorted(path.name for path in old.parent.iterdir()) == [young.name, model_file.name]


def test_a_folder_that_cannot_be_made_takes_no_model(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "file").write_bytes(b"of mine")
    with pytest.raises(RunError, match=r"cannot be written .* name another folder"):
        shelf.added(model_file, tmp_path / "file" / "runs")
