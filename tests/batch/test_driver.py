"""The Ray engine: the same outputs and the same manifest as on one machine, also where a worker is killed."""

import json
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import in_process, scene
from PIL import Image

from sincut.batch import driver
from sincut.batch.driver import DEATHS, IN_FLIGHT, _Driver, _Seat
from sincut.batch.naming import Job, Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Plan, make_plan
from sincut.batch.ray_ import Pool, joined
from sincut.batch.remote import place
from sincut.batch.tally import Tally
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.events import Event, Listener, PictureDone, PictureFailed, Warned
from sincut.model.model import Model, with_generator
from sincut.pictures.opening import MAX_PIXELS
from sincut.runs import pairs
from sincut.runs.run import train
from sincut.runs.table import load as load_table
from sincut.translation.options import Options
from sincut.translation.translator import load

RECIPE = {"model": "abc"}
PICTURES = 24
POOL = Pool(workers=2, cpus=1, address="local")


@pytest.fixture(scope="module")
def cluster_here() -> Iterator[Any]:
    """One Ray for all tests of this file: its start takes seconds."""
    pytest.importorskip("ray")
    with joined(POOL) as ray:
        yield ray


def busy_workers() -> list[int]:
    """The processes of ours (children of children) that Ray, which names them so, lets translate a picture just now."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            raylet = Path(f"/proc/{(entry.parent / 'stat').read_text().rsplit(')')[-1].split()[1]}/stat").read_text()
            ours = int(raylet.rsplit(")")[-1].split()[1]) == os.getpid()
            if ours and b"ray::Worker.translate" in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def copies_of(mask: Path) -> list[Path]:
    """The workers' own files of a mask."""
    own = Path(tempfile.gettempdir()).glob(f"sincut-*/mask{mask.suffix}")
    return [file for file in own if file.read_bytes() == mask.read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")
def test_a_killed_worker_loses_nothing(tmp_path: Path, model_file: Path, cluster_here: Any) -> None:
    source, out, calm = tmp_path / "in", tmp_path / "out", tmp_path / "calm"
    source.mkdir()
    for number in range(PICTURES):
        Image.fromarray(scene(60, 70, number)).save(source / f"{number:02}.png")
    (source / "bad.png").write_bytes(b"no picture")
    killed: list[int] = []
    told: list[str] = []

    def kill_one(event: Event) -> None:
        told.extend([event.message] if isinstance(event, Warned) else [])
        if isinstance(event, PictureDone) and not killed:
            for process in busy_workers()[:1]:  # none yet: after the next picture
                killed.append(process)
                os.kill(process, signal.SIGKILL)

    plan = make_plan([source], Naming(out), recipe=RECIPE)
    done, failed = driver.run(plan, model_file, POOL, on_event=kill_one)
    assert killed and any("it is done again" in message for message in told)
    assert len(done) == len(set(done)) == PICTURES and [job.source.name for job, _ in failed] == ["bad.png"]
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    ended = [line for line in lines if line["status"] != "begun"]
    assert sorted(line["output"] for line in ended) == sorted(job.target.name for job in plan.jobs)  # once each
    assert {line["output"] for line in ended if line["status"] == "failed"} == {"bad.png"}

    calm_done, _ = run(make_plan([source], Naming(calm), recipe=RECIPE), load(model_file))
    for job in calm_done:
        assert (out / job.target.name).read_bytes() == Path(job.target).read_bytes()
    again = make_plan([source], Naming(out), recipe=RECIPE)
    assert not again.jobs and len(again.failed) == 1
    assert driver.run(again, model_file, POOL) == ([], [])
    leftovers = {path.name for path in out.iterdir()} - {job.target.name for job in done}
    assert leftovers == {"manifest.jsonl", ".lock"}


@pytest.mark.slow
def test_a_stop_finishes_what_is_in_work(tmp_path: Path, model_file: Path, cluster_here: Any) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(PICTURES):
        Image.fromarray(scene(60, 70, number)).save(source / f"{number:02}.png")
    mask = tmp_path / "mask.jpg"
    Image.fromarray(scene(60, 70, 99)).convert("L").save(mask, comment=str(tmp_path))
    seen: list[Event] = []
    there: set[Path] = set()

    def look(event: Event) -> None:
        seen.append(event)
        there.update(copies_of(mask))

    plan = make_plan([source], Naming(out), recipe=RECIPE)
    done, failed = driver.run(
        plan,
        model_file,
        POOL,
        Options(mask=mask),
        on_event=look,
        stop=lambda: any(isinstance(event, PictureDone) for event in seen),
    )
    assert there and not copies_of(mask) and not any(copy.parent.exists() for copy in there)
    assert 0 < len(done) < PICTURES and not failed
    assert len(make_plan([source], Naming(out), recipe=RECIPE).skipped) == len(done)


@pytest.mark.slow
def test_pairs_are_trained_side_by_side(
    tmp_path: Path, painting: Path, photo: Path, tiny: Config, cluster_here: Any
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    table = tmp_path / "pairs.csv"
    table.write_text(
        f"painting,photo,name,reverse\n{painting},{photo},one,\nbroken.png,{photo},,\n{painting},{photo},two,yes\n"
    )
    flags = [f"{section}.{key}={value}" for section, values in tiny.to_dict().items() for key, value in values.items()]
    rows = load_table(table, tmp_path / "runs", flags=flags)
    found = pairs.train(rows, "cpu", pool=POOL)
    assert [outcome.state for outcome in found] == ["trained", "failed", "trained"]
    assert "broken.png: is not a picture" in found[1].error
    here = with_generator(train(painting, photo, config=tiny).model).generator.state_dict()
    there = Model.load(tmp_path / "runs/one").generator.state_dict()
    assert all(here[name].equal(there[name]) for name in here)
    assert [outcome.state for outcome in pairs.train(rows, "cpu", pool=POOL)] == ["skipped", "failed", "skipped"]


def test_without_the_extra_it_is_named(
    tmp_path: Path, model_file: Path, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan([painting], Naming(tmp_path / "out.png"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"sincut\[ray\]"):
        driver.run(plan, model_file, POOL)


def test_the_memory_of_a_process_is_no_place_for_workers(tmp_path: Path, model_file: Path) -> None:
    plan = Plan((Job(place("memory://in/a.png"), tmp_path / "a.png"),))
    with pytest.raises(RunError, match="where no worker sees it"):
        driver.run(plan, model_file, POOL)


def test_pictures_are_not_replaced_by_workers(tmp_path: Path, painting: Path, model_file: Path) -> None:
    """One that is replaced by a worker that dies before it says so would be translated twice."""
    before = painting.read_bytes()
    with pytest.raises(RunError, match="translated twice"):
        driver.run(make_plan([painting], Naming(None)), model_file, POOL)
    result = in_process("apply", model_file, painting, "--in-place", "--engine", "ray")
    assert result.returncode == 2 and "--in-place" in result.stderr and "give -o" in result.stderr
    assert painting.read_bytes() == before


def driver_without_cluster(jobs: list[Job], on_event: Listener) -> Any:
    """A driver without a cluster, whose workers are names."""
    driver = object.__new__(_Driver)
    driver.plan, driver.pool, driver.on_event, driver.count = Plan(tuple(jobs)), POOL, on_event, 1
    driver.waiting, driver.suspects, driver.deaths = deque(jobs), deque(), {}
    driver.tally = Tally(driver.plan, MAX_PIXELS, on_event)
    driver.flying, driver.seats, driver.starting = {}, [], {}
    without_ray: Any = driver
    without_ray.started, without_ray.sent = [], []
    without_ray._start = lambda: without_ray.started.append(1)
    without_ray._kill = lambda seat: None

    def send(seat: Any, job: Job) -> None:
        seat.jobs[len(without_ray.sent)], driver.flying[len(without_ray.sent)] = job, seat
        without_ray.sent.append(job)

    without_ray._send = send
    return without_ray


def test_a_picture_over_which_workers_die_is_given_up_and_others_are_not(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{number}.png", tmp_path / f"out{number}.png") for number in range(6)]
    failures: list[Event] = []
    one = driver_without_cluster(jobs, failures.append)
    deadly = jobs[0]
    for _ in range(50):
        if not (one.waiting or one.suspects or one.flying):
            break
        seat = _Seat("worker")
        one.seats.append(seat)
        one._hand_out(seat)
        assert len(seat.jobs) <= IN_FLIGHT
        if deadly in seat.jobs.values():
            one._lost(seat, "out of memory")
            continue
        for reference in list(seat.jobs):
            del seat.jobs[reference], one.flying[reference]
    ((job, reason),) = one.tally.failed
    assert job == deadly and "3 workers died over it (out of memory)" in reason
    assert one.sent.count(deadly) == DEATHS and set(one.sent) == set(jobs)
    assert sum(isinstance(event, PictureFailed) for event in failures) == 1
