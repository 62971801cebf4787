"""Failures of real disks: full, read-only, unreadable, vanishing, and very many files."""

import contextlib
import gc
import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers import make_model, scene
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan
from sincut.config.sections import Config
from sincut.devices import used_memory
from sincut.errors import RunError
from sincut.events import Event, PictureDone
from sincut.files import stat_of
from sincut.translation.translator import Translator

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and limits")
NOBODY = 65534


def picture(path: Path, seed: int, h: int = 24, w: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(h, w, seed)).save(path)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@contextlib.contextmanager
def as_a_user() -> Iterator[None]:
    """Without the rights of root, which nothing is denied to."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def translator(tiny: Config) -> Translator:
    return Translator(make_model(tiny))


@posix
def test_a_full_disk_stops_one_picture_and_leaves_no_part(tmp_path: Path, tiny: Config) -> None:
    small, large = (picture(tmp_path / "in" / f"{name}.png", 0, *size)
                    for name, size in (("small", (10, 12)), ("large", (150, 200))))  # fmt: skip
    assert small.stat().st_size < 4_000 < 20_000 < large.stat().st_size
    jobs = make_plan([tmp_path / "in"], Naming(tmp_path / "out"), recipe={"a": 1})
    with files_of_at_most(20_000):
        done, failed = run(jobs, translator(tiny))
    assert [job.source for job in done] == [small]
    assert [job.source for job, _ in failed] == [large]
    assert "cannot be written" in failed[0][1] and "\n" not in failed[0][1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".lock", "manifest.jsonl", "small.png"]
    again = make_plan([tmp_path / "in"], Naming(tmp_path / "out"), recipe={"a": 1})  # there is room now
    assert [job.source for job in again.jobs] == [large]
    assert not run(again, translator(tiny))[1]


@posix
def test_a_name_too_long_for_its_output_stops_no_other_picture(tmp_path: Path, tiny: Config) -> None:
    names = ("a.png", "m" * 251 + ".gif", "z.png")  # the second becomes .gif.png
    for number, name in enumerate(names):
        picture(tmp_path / "in" / name, number)
    done, failed = run(make_plan([tmp_path / "in"], Naming(tmp_path / "out"), recipe={"a": 1}), translator(tiny))
    assert [job.source.name for job in done] == ["a.png", "z.png"]
    assert [job.source.name for job, _ in failed] == [names[1]]
    assert "cannot be written (File name too long)" in failed[0][1]


@posix
def test_a_folder_that_cannot_be_written_is_named(open_folder: Path, tiny: Config) -> None:
    source = picture(open_folder / "in" / "a.png", 0)
    target = open_folder / "out"
    target.mkdir()
    target.chmod(0o555)
    with as_a_user(), pytest.raises(RunError, match=r"out.*cannot be") as caught:
        run(make_plan([source.parent], Naming(target), recipe={"a": 1}), translator(tiny))
    assert "\n" not in str(caught.value)
    assert not list(target.iterdir())


@posix
def test_what_may_not_be_read_is_told_and_the_others_go_on(open_folder: Path, tiny: Config) -> None:
    for name in ("a", "b", "c"):
        picture(open_folder / "in" / f"{name}.png", ord(name))
    picture(open_folder / "in" / "closed" / "d.png", 4)
    (open_folder / "in" / "b.png").chmod(0)
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o777)
    with as_a_user():
        done, failed = run(
            make_plan([open_folder / "in"], Naming(open_folder / "out"), recipe={"a": 1}), translator(tiny)
        )
    assert sorted(job.source.name for job in done) == ["a.png", "c.png", "d.png"]
    assert [job.source.name for job, _ in failed] == ["b.png"]
    assert "b.png" in failed[0][1] and "\n" not in failed[0][1]


def test_a_source_that_vanishes_stops_no_other(tmp_path: Path, tiny: Config) -> None:
    sources = [picture(tmp_path / "in" / f"{number}.png", number) for number in range(4)]
    jobs = make_plan([tmp_path / "in"], Naming(tmp_path / "out"), recipe={"a": 1})
    sources[1].unlink()
    done, failed = run(jobs, translator(tiny))
    assert [job.source for job in done] == [sources[0], *sources[2:]]
    assert [job.source for job, _ in failed] == [sources[1]] and "there is no such file" in failed[0][1]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["0.png", "2.png", "3.png"]


@pytest.mark.slow
def test_a_hundred_thousand_files_are_planned_and_known(tmp_path: Path) -> None:
    count, source = 100_000, tmp_path / "in"
    for number in range(count):
        path = source / f"{number // 1000:03}" / f"{number:05}.png"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.touch()
    jobs = make_plan([source], Naming(tmp_path / "out"), recipe={"a": 1})
    assert len(jobs.jobs) == count and len({job.target for job in jobs.jobs}) == count
    chosen = make_plan([source], Naming(tmp_path / "other"), recipe={"a": 1}, include=("*/0?42?.png",))
    assert len(chosen.jobs) == 100

    manifest = jobs.manifest
    assert manifest is not None
    os.renames(source, tmp_path / "out")  # the results are there, under the same names
    for job in jobs.jobs[:: count // 1000]:
        picture(Path(job.source), 0)
    entry = asdict(manifest.entry(jobs.jobs[0].source, (0, 0), "", jobs.jobs[0].target, {"a": 1}, 0.1))
    lines = []
    for job in jobs.jobs:
        name = job.target.relative_to(tmp_path / "out").as_posix()
        names = {"output": name, "source": str(job.source), "written": stat_of(Path(job.target))}
        lines.append(json.dumps({**entry, **names}))
    (tmp_path / "out" / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    again = make_plan([source], Naming(tmp_path / "out"), recipe={"a": 1})
    assert len(again.skipped) + len(again.jobs) == 1000 and again.manifest is not None
    assert len(again.manifest.known) == count


@pytest.mark.slow
def test_memory_stays_flat_over_many_pictures(tmp_path: Path, tiny: Config) -> None:
    rng, sizes, count = random.Random(0), list[float](), iter(range(300))
    for number in range(300):  # of few sizes: for each new one, torch keeps something
        path = picture(tmp_path / "in" / f"{number:03}.png", number, 40 + 8 * (number % 3), 40 + 8 * (number % 4))
        if number % 20 == 7:  # 5 % are bad
            path.write_bytes(path.read_bytes()[: rng.randint(1, 400)])

    def listen(event: Event) -> None:
        if isinstance(event, PictureDone) and next(count) % 5 == 0:  # collecting takes longer than a picture
            gc.collect()
            sizes.append(used_memory() / 1e6)

    done, failed = run(
        make_plan([tmp_path / "in"], Naming(tmp_path / "out"), recipe={"a": 1}), translator(tiny), on_event=listen
    )
    assert (len(done), len(failed)) == (285, 15)
    assert np.mean(sizes[-10:]) - np.mean(sizes[10:20]) < 15  # MB, of the last fifty and of the second fifty
    statuses = [json.loads(line)["status"] for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert (statuses.count("done"), statuses.count("failed")) == (285, 15)
