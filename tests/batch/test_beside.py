"""Sidecars go along with their picture, and its time where that is asked for."""

import os
from pathlib import Path

import pytest
from helpers import RECIPE, make_model, scene
from PIL import Image

from sincut.batch import beside
from sincut.batch.manifest import Manifest
from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan
from sincut.batch.remote import place
from sincut.config.sections import Config
from sincut.events import Event, PictureDone
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator

OLD = 1_000_000_000 * 10**9 + 123_456_700  # ns
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a xmlns:tiff="t" tiff:Orientation="6" b="museum"/></x:xmpmeta>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two old pictures, one with sidecars of both kinds."""
    root = tmp_path / "in"
    root.mkdir()
    for name in ("a.jpg", "b.png"):
        Image.fromarray(scene(20, 24, 0)).save(root / name)
        os.utime(root / name, ns=(OLD, OLD))
    (root / "a.xmp").write_bytes(XMP)
    (root / "a.jpg.XMP").write_bytes(XMP)
    return root


def notes_of(events: list[Event]) -> list[str]:
    return [
        note for event in events if isinstance(event, PictureDone) for note in event.notes if "narrower" not in note
    ]


@pytest.mark.parametrize("memory", [None, 1])
def test_sidecars_go_along_under_the_name_of_the_output(
    folder: Path, tmp_path: Path, tiny: Config, memory: int | None
) -> None:
    events: list[Event] = []
    plan = make_plan([folder], Naming(tmp_path / "out", "png"))
    run(plan, Translator(make_model(tiny)), Options(tile=32, max_memory=memory), on_event=events.append)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png", "a.png.XMP", "a.xmp", "b.png"] and not notes_of(events)
    for name in ("a.xmp", "a.png.XMP"):
        data = (tmp_path / "out" / name).read_bytes()
        assert b"museum" in data and b'Orientation="1"' in data


def test_sidecars_stay_where_no_metadata_is_wanted_and_in_place(folder: Path, tmp_path: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    run(make_plan([folder], Naming(tmp_path / "out")), translator, saving=Saving(strip=True))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.png"]
    run(make_plan([folder], Naming(None)), translator)
    assert (folder / "a.xmp").read_bytes() == XMP and len(list(folder.iterdir())) == 4


def test_a_sidecar_that_is_there_already_stays_and_one_that_cannot_be_read_stops_nothing(
    folder: Path, tmp_path: Path, tiny: Config
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.xmp").write_bytes(b"mine")
    (folder / "b.xmp").mkdir()  # no file
    with (folder / "b.png.xmp").open("wb") as file:
        file.truncate(beside.MOST_BYTES + 1)
    events: list[Event] = []
    run(make_plan([folder], Naming(tmp_path / "out")), Translator(make_model(tiny)), on_event=events.append)
    assert (tmp_path / "out" / "a.xmp").read_bytes() == b"mine"
    assert notes_of(events) == [
        "the sidecar a.xmp was there already and stayed as it is",
        "its sidecar b.png.xmp is too long and was not copied",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "a.jpg.XMP", "a.xmp", "b.png"]


@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("in_place", [False, True])
def test_times_are_kept_and_the_manifest_knows_the_files(
    folder: Path, tmp_path: Path, tiny: Config, in_place: bool, memory: int | None
) -> None:
    output = None if in_place else tmp_path / "out"
    root, translator = output or folder, Translator(make_model(tiny))
    plan = make_plan([folder], Naming(output), recipe=RECIPE)
    run(plan, translator, Options(tile=32, max_memory=memory), Saving(keep_times=True))
    for name in ("a.jpg", "b.png"):
        assert (root / name).stat().st_mtime_ns // 1000 == OLD // 1000
    again = make_plan([folder], Naming(output), recipe=RECIPE)
    assert not again.jobs and len(again.skipped) == 2
    other = make_plan([folder], Naming(output), recipe={**RECIPE, "model": "another"})
    assert len(other.jobs) == (0 if in_place else 2)  # its own outputs are made anew, by another model
    manifest = Manifest.load(root)
    for name in ("a.jpg", "b.png"):
        known = manifest.known[name]
        assert known.written is not None and known.written[1] == (root / name).stat().st_mtime_ns


def test_in_place_the_time_is_kept_after_it_was_written_down(
    folder: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same size and time would be taken for one that was not translated yet."""
    known: list[str] = []

    def look(source: Path, _: int, target: Path) -> tuple[str, ...]:
        known.append(Manifest.load(folder).status(target))
        return ()

    monkeypatch.setattr("sincut.batch.tally.keep_time", look)
    plan = make_plan([folder], Naming(None), recipe=RECIPE)
    run(plan, Translator(make_model(tiny)), saving=Saving(keep_times=True))
    assert known == ["done", "done"]


def test_without_being_asked_outputs_are_new(folder: Path, tmp_path: Path, tiny: Config) -> None:
    run(make_plan([folder], Naming(tmp_path / "out")), Translator(make_model(tiny)))
    assert (tmp_path / "out" / "a.jpg").stat().st_mtime_ns > OLD + 10**9


def test_a_time_that_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert beside.keep_time(tmp_path / "a", OLD, place("memory://out/a")) == ("its time cannot be kept there",)
    assert "no time" in beside.keep_time(place("memory://in/a"), OLD, tmp_path / "a")[0]
    assert beside.keep_time(tmp_path / "a", OLD, Path("-")) == ()
    assert "No such file" in beside.keep_time(tmp_path / "a", OLD, tmp_path / "b")[0]
    assert beside.copy_sidecars(place("memory://in/a.jpg"), tmp_path / "a.jpg") == ()


def test_what_is_asked_about_times_makes_no_output_anew() -> None:
    from sincut.translation.recipe import Known, recipe_of

    recipes = [recipe_of(Known("abc"), Options(), Saving(keep_times=keep)) for keep in (False, True)]
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize("memory", [None, 1])
def test_names_that_part_in_place_are_told(folder: Path, tmp_path: Path, tiny: Config, memory: int | None) -> None:
    os.link(folder / "b.png", tmp_path / "kept.png")
    before, events = (tmp_path / "kept.png").read_bytes(), list[Event]()
    plan = make_plan([folder], Naming(None))
    run(plan, Translator(make_model(tiny)), Options(tile=32, max_memory=memory), on_event=events.append)
    parted = "its file had 2 names (hard links); under this one it is a file of its own now"
    told = {event.source.name: parted in event.notes for event in events if isinstance(event, PictureDone)}
    assert told == {"a.jpg": False, "b.png": True} and (tmp_path / "kept.png").read_bytes() == before


def test_names_of_a_file_that_is_only_read_are_not_told(folder: Path, tmp_path: Path, tiny: Config) -> None:
    os.link(folder / "b.png", folder / "c.png")
    events: list[Event] = []
    run(make_plan([folder], Naming(tmp_path / "out")), Translator(make_model(tiny)), Options(), on_event=events.append)
    assert not notes_of(events)
