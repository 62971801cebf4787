"""Plans carried out on this machine: bad files survived, existing outputs kept, crashes made good."""

import errno
import io
import json
import os
import pkgutil
import random
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import killed_after
from helpers import RECIPE, UNFILTERED, in_process, lines_of, make_model, scene, sincut
from PIL import Image

from sincut.batch.manifest import Manifest
from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError, RunError
from sincut.events import Event, PictureDone, PictureFailed, PictureStarted, TileDone
from sincut.files import PART, locked
from sincut.translation.options import Options
from sincut.translation.translator import Translator

KILLED_PICTURES = 120


@pytest.fixture
def plain_file(tmp_path: Path, tiny: Config) -> Path:
    """The file of a model without filters."""
    path = tmp_path / "plain.safetensors"
    make_model(overlay(tiny, UNFILTERED)).save(path)
    return path


def test_a_format_that_ends_before_the_picture_fails_before_the_work(tmp_path: Path, tiny: Config) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16_400, 16)).save(tmp_path / "in" / "long.png")
    events: list[Event] = []
    plan = make_plan([tmp_path / "in"], Naming(tmp_path / "out", "webp"))
    done, ((_, reason),) = run(plan, Translator(make_model(tiny)), on_event=events.append)
    assert not done and "WEBP files end at 16383 px" in reason and "long.webp" in reason
    assert not any(isinstance(event, PictureStarted) for event in events)


def test_existing_outputs_are_skipped_and_bad_files_survived(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tree / "empty.jpg").touch()
    translator = Translator(make_model(tiny))
    events: list[Event] = []
    done, failed = run(make_plan([tree], Naming(out)), translator, on_event=events.append)
    assert len(done) == 4 and {job.source.name for job, _ in failed} == {"bad.png", "empty.jpg"}
    assert sum(isinstance(event, PictureDone) for event in events) == 4
    assert sum(isinstance(event, PictureFailed) for event in events) == 2
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif.png"]  # fmt: skip
    again = make_plan([tree], Naming(out))
    assert {job.source.name for job in again.jobs} == {"bad.png", "empty.jpg"} and len(again.skipped) == 4
    assert len(make_plan([tree], Naming(out), overwrite=True).jobs) == 6


def test_stop_is_asked_between_pictures(tree: Path, tmp_path: Path, tiny: Config) -> None:
    answers = iter([False, True])
    done, failed = run(
        make_plan([tree], Naming(tmp_path / "out")), Translator(make_model(tiny)), stop=lambda: next(answers)
    )
    assert len(done) == 1 and not failed


def test_in_place_only_where_it_is_told(tree: Path, tiny: Config) -> None:
    with pytest.raises(RunError, match="--in-place"):
        make_plan([tree / "a.jpg"], Naming(tree), overwrite=True)
    plan = make_plan([tree / "a.jpg", tree / "b c.png"], Naming(None))
    before = [Path(job.source).read_bytes() for job in plan.jobs]
    done, failed = run(plan, Translator(make_model(tiny)))
    assert len(done) == 2 and not failed
    assert all(Path(job.source).read_bytes() != old for job, old in zip(plan.jobs, before, strict=True))
    with pytest.raises(ImageError, match="cannot write"):
        make_plan([tree / "deep"], Naming(None))
    with pytest.raises(RunError, match="one folder"):
        make_plan([tree / "a.jpg", tree / "deep"], Naming(None), recipe=RECIPE)
    with pytest.raises(ConfigError, match="--in-place"):
        Naming(None, "png")


def test_what_does_not_fit_waits_and_goes_from_file_to_file(tree: Path, tmp_path: Path, tiny: Config) -> None:
    translator, out = Translator(make_model(tiny)), tmp_path / "out"
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    plan = make_plan([tree], Naming(out))
    done, failed = run(plan, translator, Options(max_memory=1))
    assert {job.source.name for job in done} == {"a.jpg", "b c.png", "d.tif", "é.gif"}
    assert {job.source.name for job, _ in failed} == {"bad.png"}
    again = tmp_path / "again"
    run(make_plan([tree], Naming(again)), translator)
    for name in ("b c.png", "deep/er/d.tif"):
        with Image.open(out / name) as one, Image.open(again / name) as other:
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        *(
            ("sincut.batch.work.sha256", OSError(number, os.strerror(number)), os.strerror(number))
            for number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT)
        ),
        ("sincut.batch.work.sha256", MemoryError(), "does not fit into memory"),
        ("sincut.pictures.reading.load", MemoryError("Unable to allocate 1 GB"), "does not fit into memory"),
        ("PIL.Image.open", OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (
            "sincut.translation.translator.Translator.apply_loaded",
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            "does not fit into memory",
        ),
        ("sincut.pictures.writing.encode", MemoryError(), "does not fit into memory"),
    ],
)
def test_what_passes_is_no_damage_and_stops_nothing(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, words: str
) -> None:
    """One picture fails, the others go on, and the manifest remembers nothing: the next run does it."""
    out, translator, fails = tmp_path / "out", Translator(make_model(tiny)), iter([True])
    if where == "PIL.Image.open":  # first the plan looks at all sizes
        fails = iter([False] * 4 + [True])
    module, _, name = where.rpartition(".")
    owner = pkgutil.resolve_name(module)
    real = getattr(owner, name)

    def failing(*arguments: Any, **named: Any) -> Any:
        if next(fails, False):
            raise error
        return real(*arguments, **named)

    plan = make_plan([tree], Naming(out), recipe=RECIPE)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing)
        done, failed = run(plan, translator)
    assert len(done) == 3 and len(failed) == 1 and words in failed[0][1] and "damaged" not in failed[0][1]
    assert str(failed[0][0].source) in failed[0][1]
    again = make_plan([tree], Naming(out), recipe=RECIPE)
    assert [job.source for job in again.jobs] == [failed[0][0].source] and not again.failed
    done, failed = run(again, translator)
    assert len(done) == 1 and not failed


def test_a_folder_in_a_pictures_place_is_told(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    (out / "a.jpg").mkdir(parents=True)
    done, failed = run(make_plan([tree], Naming(out), recipe=RECIPE), Translator(make_model(tiny)))
    assert len(done) == 3 and "a.jpg: cannot be written (Is a directory)" in failed[0][1]
    assert [path.name for path in out.iterdir() if path.name.endswith(PART)] == []


@pytest.mark.slow
def test_a_thousand_damaged_files_stop_nothing(tmp_path: Path, plain_file: Path) -> None:
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
    result = sincut("apply", plain_file, source, "-o", out, "--max-memory", "3GB", "--max-pixels", "50000000", "--json")
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


def test_how_long_the_rest_takes_goes_by_pixels(tmp_path: Path, tiny: Config) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, side in (("a", 100), ("b", 10), ("c", 10)):
        Image.fromarray(scene(side, side, 0)).save(source / f"{name}.png")
    plan = make_plan([source], Naming(tmp_path / "out"))
    assert plan.pixels() == 10_200
    events: list[Event] = []
    run(plan, Translator(make_model(tiny)), on_event=events.append)
    left = [event.seconds_left for event in events if isinstance(event, PictureDone)]
    took = [event.seconds for event in events if isinstance(event, PictureDone)]
    assert left[-1] == 0 and left[0] < sum(took)


def test_one_run_at_a_time_writes_to_a_folder(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    out.mkdir()
    plan = make_plan([tree], Naming(out), recipe=RECIPE)
    with locked(out), pytest.raises(RunError, match="another sincut"):
        run(plan, Translator(make_model(tiny)))


@pytest.mark.slow
def test_killed_at_twenty_moments_the_same_command_finishes_the_work(tmp_path: Path, plain_file: Path) -> None:
    source, calm, out = tmp_path / "in", tmp_path / "calm", tmp_path / "out"
    source.mkdir()
    for number in range(KILLED_PICTURES):
        Image.fromarray(scene(40, 50, number)).save(source / f"{number:03}.png")
    assert in_process("apply", plain_file, source, "-o", calm).returncode == 0
    command: list[object] = ["apply", plain_file, source, "-o", out, "--json"]
    rng, killed = random.Random(0), 0
    for _ in range(20):
        pictures = rng.randrange(4)
        said = (b"PictureDone", pictures) if pictures else (b"BatchStarted", 1)
        killed += killed_after(command, *said, rng.uniform(0, 0.03), tmp_path)
    result = sincut("apply", plain_file, source, "-o", out)
    assert result.returncode == 0, result.stderr
    names = [f"{number:03}.png" for number in range(KILLED_PICTURES)]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "manifest.jsonl", ".lock"])  # no parts are left
    assert all((out / name).read_bytes() == (calm / name).read_bytes() for name in names)
    assert sorted(str(entry["output"]) for entry in lines_of(out)) == names  # none twice, none missing
    assert killed >= 10


def test_a_link_and_a_mode_stay_what_they_were(tree: Path, tmp_path: Path, tiny: Config) -> None:
    real = tmp_path / "real.jpg"
    (tree / "a.jpg").rename(real)
    real.chmod(0o600)
    os.symlink(real, tree / "a.jpg")
    before = real.read_bytes()
    run(make_plan([tree / "a.jpg"], Naming(None)), Translator(make_model(tiny)))
    assert (tree / "a.jpg").is_symlink() and real.read_bytes() != before
    assert real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("max_memory", [None, 1])
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ImageError("no fault of the picture")])
@pytest.mark.parametrize("kind", [PictureStarted, TileDone, PictureDone])
def test_an_error_of_the_listener_is_its_own(
    kind: type[Event], error: Exception, max_memory: int | None, tree: Path, tmp_path: Path, tiny: Config
) -> None:
    """Such as of a closed stderr: it ends the run as it is, and no picture counts as failed."""
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, kind):
            raise error

    plan = make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE)
    with pytest.raises(type(error)) as caught:
        run(plan, Translator(make_model(tiny)), Options(max_memory=max_memory), on_event=listen)
    assert caught.value is error and not any(isinstance(event, PictureFailed) for event in told)
    assert not list((tmp_path / "out").rglob(f"*{PART}"))
    assert len(run(make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE), Translator(make_model(tiny)))[1]) == 0


def test_a_manifest_that_cannot_be_written_ends_the_run(
    tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not taken for a failure of the next picture."""

    def full(*_: object) -> None:
        raise RunError("manifest.jsonl: cannot be written")

    events: list[Event] = []
    plan = make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE)
    monkeypatch.setattr(Manifest, "add", full)
    with pytest.raises(RunError, match="cannot be written"):
        run(plan, Translator(make_model(tiny)), Options(max_memory=1), on_event=events.append)
    assert not any(isinstance(event, PictureFailed) for event in events)
