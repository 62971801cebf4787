"""What is done already, by which recipe, and what is left alone."""

import os
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPE, lines_of, make_model, scene
from PIL import Image

from sincut.batch.manifest import Manifest
from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Memory, Plan, make_plan
from sincut.config.sections import Config
from sincut.files import sha256
from sincut.translation.options import Options
from sincut.translation.translator import Translator


def test_the_manifest_knows_what_is_done_by_which_recipe(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))

    def plan(recipe: dict[str, object] = RECIPE, **options: Any) -> Plan:
        return make_plan([tree], Naming(out), recipe=recipe, **options)

    run(plan(), translator)
    entries = lines_of(out)
    assert {entry["output"] for entry in entries} == {"a.jpg", "b c.png", "deep/é.gif.png", "deep/er/d.tif"}
    assert all(entry["status"] == "done" and entry["recipe"] == RECIPE for entry in entries)
    assert all(entry["sha256"] == sha256(Path(str(entry["source"]))) for entry in entries)
    assert len(plan().skipped) == 4 and not plan().jobs
    assert len(plan({"model": "another"}).jobs) == 4  # its own outputs, by another recipe: done again
    assert len(plan(overwrite=True).jobs) == 4

    os.utime(tree / "a.jpg")  # touched, but the same
    assert not plan().jobs
    Image.fromarray(scene(20, 24, 9)).save(tree / "a.jpg")
    (out / "b c.png").write_bytes(b"retouched by hand")
    (out / "deep/er/d.tif").unlink()
    assert {job.source.name for job in plan().jobs} == {"a.jpg", "d.tif"}
    run(plan(), translator)
    assert (out / "b c.png").read_bytes() == b"retouched by hand"

    other = tmp_path / "other"  # another source of one name does not take its place
    other.mkdir()
    Image.fromarray(scene(20, 24, 7)).save(other / "a.jpg")
    again = make_plan([other], Naming(out), recipe=RECIPE)
    assert not again.jobs and len(again.skipped) == 1


def test_what_nobody_knows_is_never_replaced(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"my own")
    plan = make_plan([tree], Naming(out), recipe=RECIPE)
    assert [job.source.name for job in plan.skipped] == ["a.jpg"] and len(plan.jobs) == 3


def test_failures_are_left_alone_until_they_change(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    (tree / "bad.png").write_bytes(b"broken")

    def plan(**options: Any) -> Plan:
        return make_plan([tree], Naming(out), recipe=RECIPE, **options)

    assert len(run(plan(), translator)[1]) == 1
    again = plan()
    assert [job.source.name for job in again.failed] == ["bad.png"] and not again.jobs
    assert [job.source.name for job in plan(retry_failed=True).jobs] == ["bad.png"]
    Image.fromarray(scene(20, 24, 0)).save(tree / "bad.png")
    assert [job.source.name for job in plan().jobs] == ["bad.png"]
    run(plan(), translator)
    assert not plan().jobs and not plan().failed


def test_what_cannot_be_written_is_tried_again(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, kind: type[Exception]) -> None:
        raise kind(f"{path}: cannot be written (No space left on device)")

    out, translator = tmp_path / "out", Translator(make_model(tiny))
    with monkeypatch.context() as patched:
        patched.setattr("sincut.pictures.writing.write_whole", full)
        _, failed = run(make_plan([tree], Naming(out), recipe=RECIPE), translator)
    assert len(failed) == 4
    assert len(make_plan([tree], Naming(out), recipe=RECIPE).jobs) == 4


def test_a_damaged_manifest_costs_work_and_nothing_else(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    run(make_plan([tree], Naming(out), recipe=RECIPE), translator)
    path = out / "manifest.jsonl"
    whole = path.read_bytes()
    for damage in (
        b"[" * 100_000,
        b"null\n",
        b'{"output": 1}\n',
        b'{"output": "../../x", "status": "done"}\n',
        b"\xff\xfe\n",
        b"{}",
    ):
        path.write_bytes(damage + b"\n" + whole)
        assert not make_plan([tree], Naming(out), recipe=RECIPE).jobs
    path.write_bytes(whole[:-20])  # a crash in the last line
    plan = make_plan([tree], Naming(out), recipe=RECIPE, overwrite=True)
    run(Plan(plan.jobs[-1:], manifest=plan.manifest, recipe=plan.recipe), translator)
    assert not make_plan([tree], Naming(out), recipe=RECIPE).jobs


def test_in_place_is_done_once(tree: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    (tree / "deep/é.gif").unlink()
    run(make_plan([tree], Naming(None), recipe=RECIPE), translator)
    plan = make_plan([tree], Naming(None), recipe=RECIPE)
    assert not plan.jobs and len(plan.skipped) == 3


def test_a_crash_in_place_translates_nothing_twice(tree: Path, tiny: Config) -> None:
    (tree / "deep/é.gif").unlink()
    jobs = make_plan([tree], Naming(None), recipe=RECIPE).jobs
    manifest = Manifest.load(tree)
    for job in jobs:
        manifest.begin(job.source, job.target)
    assert make_plan([tree], Naming(None), recipe=RECIPE).jobs == jobs  # begun, and not replaced yet
    Image.fromarray(scene(20, 24, 5)).save(tree / "a.jpg")  # replaced, then killed
    assert [job.source.name for job in make_plan([tree], Naming(None), recipe=RECIPE).skipped] == ["a.jpg"]


def test_failures_of_limits_are_not_remembered(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    plan = make_plan([tree], Naming(out), recipe=RECIPE)
    assert len(run(plan, translator, Options(max_pixels=100))[1]) == 4
    assert len(make_plan([tree], Naming(out), recipe=RECIPE).jobs) == 4


def test_the_same_command_from_another_folder_knows_its_outputs(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, translator = {"model": "another"}, Translator(make_model(tiny))
    monkeypatch.chdir(tmp_path)
    run(make_plan([Path("in")], Naming(Path("out")), recipe=RECIPE), translator)
    assert {str(entry["source"]) for entry in lines_of(Path("out"))} >= {str(tree / "a.jpg"), str(tree / "b c.png")}
    Image.fromarray(scene(20, 24, 9)).save(tree / "a.jpg")
    monkeypatch.chdir(tmp_path.parent)
    plan = make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE)
    assert [job.source.name for job in plan.jobs] == ["a.jpg"]
    assert len(make_plan([tree], Naming(tmp_path / "out"), recipe=other).jobs) == 4
    (tmp_path / "link").symlink_to(tmp_path)  # as on macOS, where /tmp is a link
    assert len(make_plan([tmp_path / "link" / "in"], Naming(tmp_path / "out"), recipe=other).jobs) == 4


def test_manifests_with_paths_as_they_were_typed_count_from_any_folder(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As early versions wrote them: from the same folder by the path, from others by the source's bytes."""
    out, other = tmp_path / "out", {"model": "another"}
    run(make_plan([tree], Naming(out), recipe=RECIPE), Translator(make_model(tiny)))
    path = out / "manifest.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{tmp_path}/', '"'), encoding="utf-8")
    os.utime(tree / "b c.png")
    for folder in (tmp_path, tree):
        monkeypatch.chdir(folder)
        assert len(make_plan([tree], Naming(out), recipe=other).jobs) == 4
        assert not make_plan([tree], Naming(out), recipe=RECIPE).jobs
    Image.fromarray(scene(20, 24, 9)).save(tree / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert len(make_plan([tree], Naming(out), recipe=other).jobs) == 4
    monkeypatch.chdir(tree)  # this a.jpg may be another picture than the one the manifest speaks of
    assert [job.source.name for job in make_plan([tree], Naming(out), recipe=other).skipped] == ["a.jpg"]


def test_later_plans_read_only_new_lines(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, memory, translator = tmp_path / "out", Memory(), Translator(make_model(tiny))
    learned: list[str] = []
    learn = Manifest._read

    def listen(self: Manifest, line: str) -> None:
        learned.append(line)
        learn(self, line)

    def plan(**filters: Any) -> Plan:
        learned.clear()
        return make_plan([tree], Naming(out), recipe=RECIPE, memory=memory, **filters)

    monkeypatch.setattr(Manifest, "_read", listen)
    run(plan(include=["*.jpg"]), translator)
    assert len(plan().jobs) == 3 and len(learned) == 2  # begun, done
    run(make_plan([tree], Naming(out), recipe=RECIPE, include=["*.png"]), translator)  # another process
    assert len(plan().jobs) == 2 and len(learned) == 2
    assert len(plan().jobs) == 2 and not learned
    lines = (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").write_bytes(lines + lines[:50])  # a line that is just being written
    assert len(plan().jobs) == 2
    (out / "manifest.jsonl").write_bytes(lines + lines[:50] + b"}\n")
    assert len(plan().jobs) == 2 and len(learned) == 1
    (out / "manifest.jsonl").unlink()
    assert len(plan().jobs) == 2 and not learned and not memory.manifest(out).status(out / "a.jpg")
    (out / "manifest.jsonl").write_bytes(lines)
    assert len(plan().jobs) == 2 and len(learned) == 4
