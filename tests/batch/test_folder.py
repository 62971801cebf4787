"""Plans: mirrored trees, collisions refused, existing outputs skipped, bad files survived."""

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, killed_after, make_model, scene, sincut
from PIL import Image

from sincut.batch import folder
from sincut.batch.watch import arrivals
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, RunError
from sincut.events import Event, PictureDone, PictureFailed, PictureStarted
from sincut.files import locked, sha256
from sincut.translation.translate import Options, Translator

Naming = folder.Naming


def targets(plan: folder.Plan, output: Path) -> list[str]:
    return [job.target.relative_to(output).as_posix() for job in plan.jobs]


def test_tree_is_mirrored_and_other_files_left_out(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert targets(folder.plan([tree], Naming(out)), out) == ["a.jpg", "b c.png", "deep/é.gif.png", "deep/er/d.tif"]


def test_results_among_the_sources_are_refused(tree: Path) -> None:
    for output in (tree / "styled", tree, tree / "{stem}.png", tree / "deep/{folder}/{name}"):
        with pytest.raises(RunError, match=r"lies in .*outside"):
            folder.plan([tree], Naming(output))


def test_output_around_the_input_changes_nothing(tree: Path) -> None:
    plan = folder.plan([tree / "deep"], Naming(tree.parent / "elsewhere" / ".." / "out"))
    assert len(plan.jobs) == 2
    plan = folder.plan([tree / "deep"], Naming(tree))
    assert [job.source.name for job in plan.jobs] == ["é.gif", "d.tif"]


def test_folders_without_pictures_and_unwritable_formats_are_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty: holds no pictures"):
        folder.plan([tmp_path / "empty"], Naming(tmp_path / "out"))
    with pytest.raises(ImageError, match=r"out\.gif: cannot write"):
        folder.plan([tree / "a.jpg"], Naming(tmp_path / "out.gif"))


def test_one_file_goes_to_the_name_given(tree: Path, tmp_path: Path) -> None:
    plan = folder.plan([tree / "a.jpg"], Naming(tmp_path / "x.png"))
    assert [job.target for job in plan.jobs] == [tmp_path / "x.png"]
    plan = folder.plan([tree / "a.jpg"], Naming(tmp_path / "new"))
    assert [job.target for job in plan.jobs] == [tmp_path / "new" / "a.jpg"]


def test_collisions_are_refused_before_work(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(scene(20, 24, 0)).save(other / "a.jpg")
    with pytest.raises(RunError, match=r"a\.jpg and .*a\.jpg would both"):
        folder.plan([tree, other], Naming(tmp_path / "out"))
    with pytest.raises(RunError, match="an input would be overwritten"):
        folder.plan([other / "a.jpg"], Naming(other), overwrite=True)
    with pytest.raises(RunError, match="need a folder"):
        folder.plan([tree], Naming(tmp_path / "x.png"))
    with pytest.raises(ImageError, match="no such file or folder"):
        folder.plan([tmp_path / "nothing"], Naming(tmp_path / "out"))


def test_a_link_loop_ends(tree: Path, tmp_path: Path) -> None:
    os.symlink(tree, tree / "deep" / "loop")
    assert len(folder.plan([tree], Naming(tmp_path / "out")).jobs) == 4


def test_a_format_that_ends_before_the_picture_fails_before_the_work(tmp_path: Path, tiny: Config) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16_400, 16)).save(tmp_path / "in" / "long.png")
    events: list[Event] = []
    plan = folder.plan([tmp_path / "in"], Naming(tmp_path / "out", "webp"))
    done, ((_, reason),) = folder.run(plan, Translator(make_model(tiny)), on_event=events.append)
    assert not done and "WEBP files end at 16383 px" in reason and "long.webp" in reason
    assert not any(isinstance(event, PictureStarted) for event in events)


def test_existing_outputs_are_skipped_and_bad_files_survived(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tree / "empty.jpg").touch()
    translator = Translator(make_model(tiny))
    events: list[Event] = []
    done, failed = folder.run(folder.plan([tree], Naming(out)), translator, on_event=events.append)
    assert len(done) == 4 and {job.source.name for job, _ in failed} == {"bad.png", "empty.jpg"}
    assert sum(isinstance(event, PictureDone) for event in events) == 4
    assert sum(isinstance(event, PictureFailed) for event in events) == 2
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif.png"]  # fmt: skip
    again = folder.plan([tree], Naming(out))
    assert {job.source.name for job in again.jobs} == {"bad.png", "empty.jpg"} and len(again.skipped) == 4
    assert len(folder.plan([tree], Naming(out), overwrite=True).jobs) == 6


def test_stop_is_asked_between_pictures(tree: Path, tmp_path: Path, tiny: Config) -> None:
    answers = iter([False, True])
    done, failed = folder.run(
        folder.plan([tree], Naming(tmp_path / "out")), Translator(make_model(tiny)), stop=lambda: next(answers)
    )
    assert len(done) == 1 and not failed


def test_patterns_name_the_outputs(tree: Path, tmp_path: Path) -> None:
    naming = Naming(tmp_path / "out/{model}/{folder}/{stem}-{suffix}.jpg", model="monet")
    assert sorted(targets(folder.plan([tree], naming), tmp_path / "out/monet")) == [
        "a-jpg.jpg", "b c-png.jpg", "deep/er/d-tif.jpg", "deep/é-gif.jpg"]  # fmt: skip
    bare = folder.plan([tree / "deep/é.gif"], Naming(tmp_path / "{name}")).jobs[0]
    assert bare.target == tmp_path / "é.gif.png"
    for wrong in ("{stem.__class__}", "{nothing}", "{stem", "{0}", "x{stem:d}.png", "{stem!r}"):
        with pytest.raises(ConfigError, match="-o "):
            Naming(tmp_path / wrong)


def test_no_input_is_overwritten_by_another_one_s_translation(tmp_path: Path) -> None:
    for name in ("a.png", "a-x.png"):
        Image.fromarray(scene(20, 24, 0)).save(tmp_path / name)
    with pytest.raises(RunError, match=r"a-x\.png: an input would be overwritten"):
        folder.plan([tmp_path / "a.png", tmp_path / "a-x.png"], Naming(tmp_path / "{stem}-x.png"), overwrite=True)


def test_a_format_is_for_names_that_do_not_say_it(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert targets(folder.plan([tree], Naming(out, "webp")), out) == [
        "a.webp",
        "b c.webp",
        "deep/é.webp",
        "deep/er/d.webp",
    ]
    assert folder.plan([tree / "a.jpg"], Naming(tmp_path / "x.png", "webp")).jobs[0].target == tmp_path / "x.png"
    with pytest.raises(ImageError, match="cannot write"):
        Naming(out, "gif")


def test_in_place_only_where_it_is_told(tree: Path, tiny: Config) -> None:
    with pytest.raises(RunError, match="--in-place"):
        folder.plan([tree / "a.jpg"], Naming(tree), overwrite=True)
    plan = folder.plan([tree / "a.jpg", tree / "b c.png"], Naming(None))
    before = [job.source.read_bytes() for job in plan.jobs]
    done, failed = folder.run(plan, Translator(make_model(tiny)))
    assert len(done) == 2 and not failed
    assert all(job.source.read_bytes() != old for job, old in zip(plan.jobs, before, strict=True))
    with pytest.raises(ImageError, match="cannot write"):
        folder.plan([tree / "deep"], Naming(None))
    with pytest.raises(RunError, match="one folder"):
        folder.plan([tree / "a.jpg", tree / "deep"], Naming(None), recipe=RECIPE)
    with pytest.raises(ConfigError, match="--in-place"):
        Naming(None, "png")


def test_what_does_not_fit_waits_and_goes_from_file_to_file(tree: Path, tmp_path: Path, tiny: Config) -> None:
    translator, out = Translator(make_model(tiny)), tmp_path / "out"
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    plan = folder.plan([tree], Naming(out))
    done, failed = folder.run(plan, translator, Options(max_memory=1))
    assert {job.source.name for job in done} == {"a.jpg", "b c.png", "d.tif", "é.gif"}
    assert {job.source.name for job, _ in failed} == {"bad.png"}
    again = tmp_path / "again"
    folder.run(folder.plan([tree], Naming(again)), translator)
    for name in ("b c.png", "deep/er/d.tif"):
        with Image.open(out / name) as one, Image.open(again / name) as other:
            assert one.tobytes() == other.tobytes()


def test_a_pipe_keeps_its_format(tree: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    for name, format_, want in (("a.jpg", None, "JPEG"), ("b c.png", "webp", "WEBP"), ("deep/é.gif", None, "PNG")):
        data, notes = folder.run_bytes((tree / name).read_bytes(), translator, format_=format_)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == want and image.size == (24, 20)
        assert bool(notes) == name.endswith("gif")
    with pytest.raises(ImageError, match="-: is not a picture"):
        folder.run_bytes(b"no picture", translator)


@pytest.mark.slow
def test_a_thousand_damaged_files_stop_nothing(tmp_path: Path, model_file: Path) -> None:
    """Bit flips, truncations and hostile headers of every format: one line each, nothing else."""
    import pillow_heif
    import pyvips

    rng, source, out = random.Random(0), tmp_path / "in", tmp_path / "out"
    source.mkdir()
    image = Image.fromarray(scene(30, 40, 0))
    whole = {}
    for format_, suffix in (
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("WEBP", "webp"),
        ("TIFF", "tif"),
        ("AVIF", "avif"),
        ("GIF", "gif"),
    ):
        file = io.BytesIO()
        image.save(file, format_)
        whole[suffix] = file.getvalue()
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file)
    whole["heic"] = file.getvalue()
    deep = pyvips.Image.new_from_array(scene(30, 40, 1).astype(np.uint16) * 257).copy(interpretation="rgb16")
    whole["16.png"], whole["16.tif"] = deep.write_to_buffer(".png"), deep.write_to_buffer(".tif", tile=True)
    for number in range(1000):
        suffix = list(whole)[number % len(whole)]
        data = bytearray(whole[suffix])
        kind = rng.choice(("flips", "cut", "header"))
        if kind == "flips":
            for _ in range(rng.randint(1, 20)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(min(len(data), 64))] = rng.choice((0, 255, 127, rng.randrange(256)))
        (source / f"{number:04}.{suffix}").write_bytes(data)
    result = sincut("apply", model_file, source, "-o", out, "--max-memory", "3GB", "--max-pixels", "50000000", "--json")
    assert result.returncode in (0, 1) and "Traceback" not in result.stderr, result.stderr[-2000:]
    found = json.loads(result.stdout)
    assert len(found["done"]) + len(found["failed"]) == 1000 and len(found["failed"]) > 300
    assert all(entry["source"] in entry["error"] and "\n" not in entry["error"] for entry in found["failed"])
    written = sorted(path for path in out.iterdir() if path.name not in ("manifest.jsonl", ".lock"))
    assert written == sorted(Path(entry["target"]) for entry in found["done"])  # no parts of files
    for path in written:
        with Image.open(path) as result_image:
            result_image.load()
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert most < 3e9


KILLED_PICTURES = 300
RECIPE = {"model": "abc", "strength": 1.0}


def lines_of(folder_: Path) -> list[dict[str, object]]:
    """All but those that only say that something is begun."""
    lines = (folder_ / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["status"] != "begun"]


def test_globs_choose_what_is_taken_from_folders(tree: Path, tmp_path: Path) -> None:
    def names(**filters: object) -> set[str]:
        return {job.source.name for job in folder.plan([tree], Naming(tmp_path / "out"), **filters).jobs}

    assert names(include=["*.jpg", "*.png"]) == {"a.jpg", "b c.png"}
    assert names(include=["deep/*"], exclude=["*.gif"]) == {"d.tif"}
    assert names(exclude=["a.*"]) == {"b c.png", "d.tif", "é.gif"}
    with pytest.raises(ImageError, match="--include"):
        names(include=["*.nothing"])


def test_the_manifest_knows_what_is_done_by_which_recipe(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))

    def plan(recipe: dict[str, object] = RECIPE, **options: bool) -> folder.Plan:
        return folder.plan([tree], Naming(out), recipe=recipe, **options)

    folder.run(plan(), translator)
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
    folder.run(plan(), translator)
    assert (out / "b c.png").read_bytes() == b"retouched by hand"

    other = tmp_path / "other"  # another source of one name does not take its place
    other.mkdir()
    Image.fromarray(scene(20, 24, 7)).save(other / "a.jpg")
    again = folder.plan([other], Naming(out), recipe=RECIPE)
    assert not again.jobs and len(again.skipped) == 1


def test_what_nobody_knows_is_never_replaced(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"my own")
    plan = folder.plan([tree], Naming(out), recipe=RECIPE)
    assert [job.source.name for job in plan.skipped] == ["a.jpg"] and len(plan.jobs) == 3


def test_failures_are_left_alone_until_they_change(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    (tree / "bad.png").write_bytes(b"broken")

    def plan(**options: bool) -> folder.Plan:
        return folder.plan([tree], Naming(out), recipe=RECIPE, **options)

    assert len(folder.run(plan(), translator)[1]) == 1
    again = plan()
    assert [job.source.name for job in again.failed] == ["bad.png"] and not again.jobs
    assert [job.source.name for job in plan(retry_failed=True).jobs] == ["bad.png"]
    Image.fromarray(scene(20, 24, 0)).save(tree / "bad.png")
    assert [job.source.name for job in plan().jobs] == ["bad.png"]
    folder.run(plan(), translator)
    assert not plan().jobs and not plan().failed


def test_what_cannot_be_written_is_tried_again(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, kind: type[Exception]) -> None:
        raise kind(f"{path}: cannot be written (No space left on device)")

    out, translator = tmp_path / "out", Translator(make_model(tiny))
    with monkeypatch.context() as patched:
        patched.setattr("sincut.pictures.writing.write_whole", full)
        _, failed = folder.run(folder.plan([tree], Naming(out), recipe=RECIPE), translator)
    assert len(failed) == 4
    assert len(folder.plan([tree], Naming(out), recipe=RECIPE).jobs) == 4


def test_a_damaged_manifest_costs_work_and_nothing_else(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    folder.run(folder.plan([tree], Naming(out), recipe=RECIPE), translator)
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
        assert not folder.plan([tree], Naming(out), recipe=RECIPE).jobs
    path.write_bytes(whole[:-20])  # a crash in the last line
    plan = folder.plan([tree], Naming(out), recipe=RECIPE, overwrite=True)
    folder.run(folder.Plan(plan.jobs[-1:], manifest=plan.manifest, recipe=plan.recipe), translator)
    assert not folder.plan([tree], Naming(out), recipe=RECIPE).jobs


def test_in_place_is_done_once(tree: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    (tree / "deep/é.gif").unlink()
    folder.run(folder.plan([tree], Naming(None), recipe=RECIPE), translator)
    plan = folder.plan([tree], Naming(None), recipe=RECIPE)
    assert not plan.jobs and len(plan.skipped) == 3


def test_several_models_take_turns(tree: Path, tmp_path: Path, tiny: Config) -> None:
    models = []
    for seed, name in enumerate(("one", "two")):
        models.append(tmp_path / f"{name}.safetensors")
        make_model(tiny, seed).save(models[-1])
    assert folder.split_models([*models, tree]) == (models, [tree])
    result = sincut("apply", *models, tree, "-o", tmp_path / "out/{model}", "--exclude", "*.gif", "--json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)["done"]) == 6
    for name in ("one", "two"):
        assert len(lines_of(tmp_path / "out" / name)) == 3
    first, second = ((tmp_path / "out" / name / "b c.png").read_bytes() for name in ("one", "two"))
    assert first != second
    dry = sincut("apply", *models, tree, "-o", tmp_path / "out/{model}", "--dry-run", "--json")
    assert [(row["to do"], row["done"]) for row in json.loads(dry.stdout)] == [(1, 3), (1, 3)], dry.stderr
    for wrong in (tmp_path / "out", tmp_path / "x.png"):
        refused = sincut("apply", *models, tree, "-o", wrong)
        assert refused.returncode == 2 and "{model}" in refused.stderr
    with pytest.raises(ConfigError, match="usage"):
        folder.split_models(models)


@pytest.mark.parametrize(
    "name", ["with space.png", "new\nline.png", "日本語.png", "-o.png", "{stem}.png", "a" * 120 + ".png"]
)
def test_every_name_is_a_name(tmp_path: Path, tiny: Config, name: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(scene(20, 24, 0)).save(source / name)
    plan = folder.plan([source], Naming(out), recipe=RECIPE)
    done, failed = folder.run(plan, Translator(make_model(tiny)))
    assert [job.target for job in done] == [out / name] and not failed
    assert not folder.plan([source], Naming(out), recipe=RECIPE).jobs


def test_how_long_the_rest_takes_goes_by_pixels(tmp_path: Path, tiny: Config) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, side in (("a", 100), ("b", 10), ("c", 10)):
        Image.fromarray(scene(side, side, 0)).save(source / f"{name}.png")
    plan = folder.plan([source], Naming(tmp_path / "out"))
    assert plan.pixels() == 10_200
    events: list[Event] = []
    folder.run(plan, Translator(make_model(tiny)), on_event=events.append)
    left = [event.seconds_left for event in events if isinstance(event, PictureDone)]
    took = [event.seconds for event in events if isinstance(event, PictureDone)]
    assert left[-1] == 0 and left[0] < sum(took)


@pytest.mark.slow
def test_watching_translates_what_arrives_when_it_is_complete(tmp_path: Path, model_file: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(scene(20, 24, 0)).save(source / "first.png")
    whole = (source / "first.png").read_bytes()
    command = [sys.executable, "-m", "sincut", "apply", str(model_file), str(source), "-o", str(out), "--watch"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:

        def wait_for(path: Path) -> None:
            ends = time.monotonic() + 120
            while not path.exists():
                assert process.poll() is None and time.monotonic() < ends
                time.sleep(0.1)

        wait_for(out / "first.png")
        time.sleep(1)
        with (source / "deep/slow.png").open("wb") as file:  # in three parts: never read before it is complete
            for part in (whole[:100], whole[100:300], whole[300:]):
                file.write(part)
                file.flush()
                time.sleep(1)
        (source / "notes.txt").write_text("no picture")
        wait_for(out / "deep/slow.png")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said and "failed" not in said
    assert "2 pictures are written" in said
    assert [entry["status"] for entry in lines_of(out)] == ["done", "done"]


def test_watching_needs_its_extra_and_a_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="no folder"):
        next(arrivals([tree / "a.jpg"], lambda: False))
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(RunError, match=r"sincut\[watch\]"):
        next(arrivals([tree], lambda: False))


def test_a_crash_in_place_translates_nothing_twice(tree: Path, tiny: Config) -> None:
    (tree / "deep/é.gif").unlink()
    jobs = folder.plan([tree], Naming(None), recipe=RECIPE).jobs
    manifest = folder.Manifest.load(tree)
    for job in jobs:
        manifest.begin(job.source, job.target)
    assert folder.plan([tree], Naming(None), recipe=RECIPE).jobs == jobs  # begun, and not replaced yet
    Image.fromarray(scene(20, 24, 5)).save(tree / "a.jpg")  # replaced, then killed
    assert [job.source.name for job in folder.plan([tree], Naming(None), recipe=RECIPE).skipped] == ["a.jpg"]


def test_one_run_at_a_time_writes_to_a_folder(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    out.mkdir()
    plan = folder.plan([tree], Naming(out), recipe=RECIPE)
    with locked(out), pytest.raises(RunError, match="another sincut"):
        folder.run(plan, Translator(make_model(tiny)))


@pytest.mark.slow
def test_killed_at_twenty_moments_the_same_command_finishes_the_work(tmp_path: Path, model_file: Path) -> None:
    source, calm, out = tmp_path / "in", tmp_path / "calm", tmp_path / "out"
    source.mkdir()
    for number in range(KILLED_PICTURES):
        Image.fromarray(scene(40, 50, number)).save(source / f"{number:03}.png")
    assert sincut("apply", model_file, source, "-o", calm).returncode == 0
    command = [sys.executable, "-m", "sincut", "apply", str(model_file), str(source), "-o", str(out), "--json"]
    rng, killed = random.Random(0), 0
    for _ in range(20):
        killed += killed_after(command, b"BatchStarted", rng.uniform(0, 0.15))
    result = sincut("apply", model_file, source, "-o", out)
    assert result.returncode == 0, result.stderr
    names = [f"{number:03}.png" for number in range(KILLED_PICTURES)]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "manifest.jsonl", ".lock"])  # no parts are left
    assert all((out / name).read_bytes() == (calm / name).read_bytes() for name in names)
    assert sorted(str(entry["output"]) for entry in lines_of(out)) == names  # none twice, none missing
    assert killed >= 10


def test_failures_of_limits_are_not_remembered(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out, translator = tmp_path / "out", Translator(make_model(tiny))
    plan = folder.plan([tree], Naming(out), recipe=RECIPE)
    assert len(folder.run(plan, translator, Options(max_pixels=100))[1]) == 4
    assert len(folder.plan([tree], Naming(out), recipe=RECIPE).jobs) == 4


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_names_that_are_no_text_are_names_too(tmp_path: Path, tiny: Config) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    path = source / os.fsdecode(b"\xff\xfe.png")
    Image.fromarray(scene(20, 24, 0)).save(path)
    (source / os.fsdecode(b"\xfe.png")).write_bytes(b"broken")
    done, failed = folder.run(folder.plan([source], Naming(out), recipe=RECIPE), Translator(make_model(tiny)))
    assert [job.source for job in done] == [path] and len(failed) == 1
    assert not folder.plan([source], Naming(out), recipe=RECIPE).jobs


def test_a_link_and_a_mode_stay_what_they_were(tree: Path, tmp_path: Path, tiny: Config) -> None:
    real = tmp_path / "real.jpg"
    (tree / "a.jpg").rename(real)
    real.chmod(0o600)
    os.symlink(real, tree / "a.jpg")
    before = real.read_bytes()
    folder.run(folder.plan([tree / "a.jpg"], Naming(None)), Translator(make_model(tiny)))
    assert (tree / "a.jpg").is_symlink() and real.read_bytes() != before
    assert real.stat().st_mode & 0o777 == 0o600
