"""Sources and results in other file systems: names, whole files, the manifest; outputs are those of this machine."""

import contextlib
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from helpers import make_model, scene
from PIL import Image

from sincut.batch import remote
from sincut.batch.manifest import Manifest
from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Memory, Plan, make_plan, split_models
from sincut.batch.remote import Url, place
from sincut.batch.staged import STANDARD
from sincut.batch.watch import check
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, RunError
from sincut.events import Event, PictureDone, PictureStarted, Warned
from sincut.files import PART
from sincut.translation.options import Options
from sincut.translation.translator import Translator

RECIPE = {"model": "abc"}


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """The file system behind memory://, empty before and after."""
    system = fsspec.filesystem("memory")
    for kept in (system.store, system.pseudo_dirs):
        kept.clear()
    yield system
    for kept in (system.store, system.pseudo_dirs):
        kept.clear()


def lines_of(system: fsspec.AbstractFileSystem, folder_: str) -> list[dict[str, object]]:
    pieces = b"".join(system.cat(path) for path in sorted(system.glob(f"{folder_}/manifest/*.jsonl")))
    entries = [json.loads(line) for line in pieces.decode().splitlines()]
    return [entry for entry in entries if entry["status"] != "begun"]


def test_urls_are_paths_of_another_place() -> None:
    url = place("s3a://bucket/scans//a.b.png")
    assert isinstance(url, Url) and str(url) == "s3://bucket/scans/a.b.png"
    assert (url.name, url.stem, url.suffix, str(url.parent)) == ("a.b.png", "a.b", ".png", "s3://bucket/scans")
    below = url.relative_to(place("s3://bucket"))
    assert str(below) == below.as_posix() == "scans/a.b.png"
    assert str(place("memory://out") / below.parent / "x.png") == "memory://out/scans/x.png"
    assert Path("out") / below == Path("out/scans/a.b.png")
    assert pickle.loads(pickle.dumps(url)) == url and hash(url) == hash(place("s3://bucket/scans/a.b.png"))
    assert place("plain/x.png") == Path("plain/x.png") and place("file:///x/y") == Path("/x/y")
    assert place("file://localhost/x/y") == Path("/x/y") and place("file:///a%20b/c::d") == Path("/a b/c::d")
    with pytest.raises(TypeError, match="no local file"):
        open(url)  # noqa: SIM115


@pytest.mark.parametrize(
    "wrong", ["s3://", "s3:///x", "simplecache::s3://b/x", "s3://bucket/../other", "1://x", "file://x/y", "file://x"]
)
def test_urls_that_name_no_place_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="://"):
        place(wrong)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(RunError, match=r"sincut\[remote\]"):
        place("s3://bucket/x").exists()
    with pytest.raises(RunError, match="nothing://x/y: "):
        place("nothing://x/y").exists()
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(RunError, match=r"sincut\[remote\]"):
        place("memory://bucket/x").exists()


def test_a_tree_goes_there_and_comes_back(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, tiny: Config
) -> None:
    memory.put(str(tree), "/bucket/in", recursive=True)
    source, out = place("memory://bucket/in"), place("memory://bucket/out")
    translator, calm = Translator(make_model(tiny)), tmp_path / "calm"
    run(make_plan([tree], Naming(calm)), translator)

    events: list[Event] = []
    plan = make_plan([source], Naming(out), recipe=RECIPE)
    done, failed = run(plan, translator, on_event=events.append)
    names = ["a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif.png"]
    assert [str(job.target) for job in done] == [f"memory://bucket/out/{name}" for name in sorted(names)] and not failed
    assert all(memory.cat(f"/bucket/out/{name}") == (calm / name).read_bytes() for name in names)
    assert sorted(str(entry["output"]) for entry in lines_of(memory, "/bucket/out")) == sorted(names)
    assert not [path for path in memory.find("/") if PART in path]
    told = [str(event.source) for event in events if isinstance(event, PictureStarted | PictureDone)]
    assert len(told) == 8 and all(name.startswith("memory://bucket/in/") for name in told)

    home = tmp_path / "home"  # from there to here, and from here to there
    run(make_plan([source], Naming(home), recipe=RECIPE), translator)
    run(make_plan([tree], Naming(place("memory://bucket/again")), recipe=RECIPE), translator)
    for name in names:
        assert (home / name).read_bytes() == memory.cat(f"/bucket/again/{name}") == (calm / name).read_bytes()
    assert not make_plan([source], Naming(home), recipe=RECIPE).jobs


def test_the_manifest_there_knows_what_is_done(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, tiny: Config
) -> None:
    memory.put(str(tree), "/in", recursive=True)
    memory.pipe("/in/bad.png", b"no picture")
    translator = Translator(make_model(tiny))

    def plan(recipe: dict[str, str] = RECIPE, **options: Any) -> Plan:
        return make_plan([place("memory://in")], Naming(place("memory://out")), recipe=recipe, **options)

    done, failed = run(plan(), translator)
    assert len(done) == 4 and [job.source.name for job, _ in failed] == ["bad.png"]
    assert failed[0][1].startswith("memory://in/bad.png: is not a picture")
    assert not plan().jobs and len(plan().skipped) == 4 and len(plan().failed) == 1
    assert len(plan(retry_failed=True).jobs) == 1 and len(plan(overwrite=True).jobs) == 5
    assert len(plan({"model": "another"}).jobs) == 4
    memory.pipe("/in/a.jpg", (tree / "b c.png").read_bytes())
    memory.pipe("/out/b c.png", b"retouched")
    memory.rm("/out/deep/er/d.tif")
    assert {job.source.name for job in plan().jobs} == {"a.jpg", "d.tif"}


def test_a_crash_there_is_made_good(memory: fsspec.AbstractFileSystem, tree: Path, tiny: Config) -> None:
    """What was announced and written, but not told, is done again; what nobody knows is left as it is."""
    memory.put(str(tree), "/in", recursive=True)
    memory.pipe("/out/a.jpg", b"my own")
    plan = make_plan([place("memory://in")], Naming(place("memory://out")), recipe=RECIPE)
    assert [job.source.name for job in plan.skipped] == ["a.jpg"]
    assert plan.manifest is not None
    plan.manifest.announce((job.source, job.target) for job in plan.jobs)
    memory.pipe("/out/b c.png", b"written, then killed")
    again = make_plan([place("memory://in")], Naming(place("memory://out")), recipe=RECIPE)
    assert again.jobs == plan.jobs
    run(again, Translator(make_model(tiny)))
    assert memory.cat("/out/b c.png")[:4] == b"\x89PNG" and memory.cat("/out/a.jpg") == b"my own"
    assert len(lines_of(memory, "/out")) == 3


def test_lines_wait_for_a_piece_and_are_all_there_at_the_end(memory: fsspec.AbstractFileSystem) -> None:
    manifest = Manifest.load(place("memory://out"))
    for number in range(50):
        entry = manifest.entry(Path("x"), (1, 2), "ab", place(f"memory://out/{number}.png"), RECIPE, 1.0, "")
        manifest.add(entry)
    assert not memory.exists("/out/manifest")
    manifest.flush()
    assert len(memory.ls("/out/manifest")) == 1
    assert len(Manifest.load(place("memory://out")).known) == 50


def test_a_plan_asks_for_no_picture_by_itself(
    memory: fsspec.AbstractFileSystem, tree: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million pictures, each question would take hours; listings say all that a plan needs."""
    memory.put(str(tree), "/in", recursive=True)
    asked: list[str] = []

    def plan() -> Plan:
        asked.clear()
        with monkeypatch.context() as patched:
            real = type(memory).info

            def info(self: Any, path: str, **_: Any) -> Any:
                asked.append(path)
                return real(self, path)

            patched.setattr(type(memory), "info", info)
            return make_plan([place("memory://in")], Naming(place("memory://out")), recipe=RECIPE)

    first = plan()
    assert len(first.jobs) == 4 and not [
        path for path in asked if Path(path).suffix in (".jpg", ".png", ".tif", ".gif")
    ]
    run(first, Translator(make_model(tiny)))
    assert len(plan().skipped) == 4
    assert not [path for path in asked if Path(path).suffix in (".jpg", ".png", ".tif", ".gif")]


def test_names_cannot_lead_out_of_the_output(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told of and left out, as are the empty objects that stand for folders; all others are done."""
    memory.put(str(tree), "/in", recursive=True)
    names = ["../../evil.png", "deep/../../../evil.png", "a//b.png", "./c.png"]
    folders: dict[str, dict[str, object]] = {"/in/": {}, "/in/deep/": {"size": 0}, "/in/x": {"type": "directory"}}
    found = {**memory.find("/in", detail=True), **{f"/in/{name}": {} for name in names}, **folders}
    with monkeypatch.context() as patched:
        patched.setattr(type(memory), "find", lambda self, key, detail: found)
        plan = make_plan([place("memory://in")], Naming(tmp_path / "out"))
    events: list[Event] = []
    done, failed = run(plan, Translator(make_model(tiny)), on_event=events.append)
    assert len(done) == 4 and not failed
    *told, others = [event.message for event in events if isinstance(event, Warned)]
    assert others.endswith("does not read their kinds: .txt (1)")
    assert len(told) == 4 and all("is no name of a file" in line for line in told)
    assert {line.split(": ")[0] for line in told} == {f"memory://in/{name}" for name in names}


def test_names_are_no_patterns_and_no_chains(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, tiny: Config
) -> None:
    """What has a meaning in fsspec's URLs and patterns is a name like any other."""
    translator, names = Translator(make_model(tiny)), ["Foo.png", "Foo.png::Bar.png", "photo [1].png", "what?.png"]
    for number, name in enumerate(names):
        Image.fromarray(scene(20, 24, number)).save(tmp_path / name)
    out = place("memory://o[1]::x")
    for inputs in ([tmp_path / name for name in names], [out]):
        target = out if len(inputs) > 1 else place("memory://again?")
        done, failed = run(make_plan(inputs, Naming(target), recipe=RECIPE), translator)
        assert [job.target.name for job in done] == names and not failed
        assert len({memory.cat_file(f"/{str(target)[9:]}/{name}") for name in names}) == 4
        plan = make_plan(inputs, Naming(target), recipe=RECIPE)
        assert not plan.jobs and len(plan.skipped) == 4 and not [path for path in memory.find("/") if PART in path]


@pytest.mark.parametrize("how", ["stop", "error"])
def test_nothing_temporary_is_left_where_a_run_ends_early(
    how: str,
    memory: fsspec.AbstractFileSystem,
    tree: Path,
    tmp_path: Path,
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory.put(str(tree), "/in", recursive=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    plan = make_plan([place("memory://in")], Naming(tmp_path / "out"), recipe=RECIPE)

    def listen(event: Event) -> None:
        if how == "error" and isinstance(event, PictureStarted):
            raise KeyError("a bug")

    asked = iter([False, True])
    with contextlib.suppress(KeyError):
        done, _ = run(plan, Translator(make_model(tiny)), on_event=listen, stop=lambda: next(asked))
        assert len(done) == 1 and how == "stop"
    assert not list((tmp_path / "temporary").iterdir())


def test_sizes_are_sampled_here_and_there(memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path) -> None:
    for number in range(12):
        memory.put(str(tree / "a.jpg"), f"/in/{number}.jpg")
    Image.fromarray(scene(40, 50, 0)).save(tmp_path / "large.png")
    for inputs in ([tmp_path / "large.png", place("memory://in")], [place("memory://in"), tmp_path / "large.png"]):
        assert make_plan(inputs, Naming(tmp_path / "out")).pixels() == 12 * 20 * 24 + 40 * 50


def test_what_makes_no_sense_there_is_refused(memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path) -> None:
    memory.put(str(tree), "/in", recursive=True)
    source = place("memory://in")
    with pytest.raises(RunError, match="--in-place"):
        make_plan([source], Naming(None), recipe=RECIPE)
    with pytest.raises(RunError, match=r"lies in .*outside"):
        make_plan([source], Naming(place("memory://in/styled")))
    with pytest.raises(RunError, match="an input would be overwritten"):
        make_plan([source / "a.jpg"], Naming(source), overwrite=True)
    with pytest.raises(ImageError, match="memory://nothing: there is no such file"):
        make_plan([place("memory://nothing")], Naming(tmp_path))
    with pytest.raises(RunError, match="watched"):
        check([source])
    with pytest.raises(ConfigError, match="a model is a file of this machine"):
        split_models([place("s3://bucket/model.safetensors"), tree])


def test_a_file_is_whole_or_not_there(
    memory: fsspec.AbstractFileSystem, tree: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("the line is cut")

    memory.pipe("/out/a.jpg", b"before")
    plan = make_plan([tree / "a.jpg"], Naming(place("memory://out")), overwrite=True, recipe=RECIPE)
    for step in ("put_file", "cp_file"):
        with monkeypatch.context() as patched:
            patched.setattr(type(memory), step, broken)
            if step == "put_file":
                patched.setattr("sincut.batch.manifest.Manifest.announce", lambda *_: None)
                patched.setattr("sincut.batch.manifest.Manifest.flush", lambda *_: None)
            else:
                patched.setattr(remote.Pieces, "flush", lambda self: self.waiting.clear())
            done, failed = run(plan, Translator(make_model(tiny)))
        assert not done and "memory://out/a.jpg: cannot be written (the line is cut)" in failed[0][1]
        assert memory.cat("/out/a.jpg") == b"before"
        assert not [path for path in memory.find("/") if PART in path]


def test_urls_of_this_machine_are_its_files(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    plan = make_plan([place(f"file://{tree}")], Naming(place(f"file://{out}")), recipe=RECIPE)
    done, failed = run(plan, Translator(make_model(tiny)))
    assert len(done) == 4 and not failed and (out / "manifest.jsonl").is_file()
    assert not make_plan([tree], Naming(out), recipe=RECIPE).jobs


def test_beyond_memory_goes_through_files_of_this_machine(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, tiny: Config
) -> None:
    memory.put(str(tree), "/in", recursive=True)
    translator, options = Translator(make_model(tiny)), Options(max_memory=1)
    events: list[Event] = []
    plan = make_plan([place("memory://in")], Naming(place("memory://out")), include=["*.png", "*.tif"])
    done, failed = run(plan, translator, options, on_event=events.append)
    assert len(done) == 2 and not failed
    run(make_plan([tree], Naming(tmp_path / "out"), include=["*.png", "*.tif"]), translator, options)
    assert memory.cat("/out/b c.png") == (tmp_path / "out/b c.png").read_bytes()
    started = [event for event in events if isinstance(event, PictureStarted)]
    assert str(started[0].source) == "memory://in/b c.png"


def test_later_plans_fetch_only_new_pieces(
    memory: fsspec.AbstractFileSystem, tree: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(str(tree), "/in", recursive=True)
    source, out, kept, translator = place("memory://in"), place("memory://out"), Memory(), Translator(make_model(tiny))
    fetched: list[str] = []
    real = type(memory).cat_ranges

    def cat_ranges(self: Any, paths: list[str], *rest: Any) -> Any:
        fetched.extend(paths)
        return real(self, paths, *rest)

    def plan(**filters: Any) -> Plan:
        fetched.clear()
        return make_plan([source], Naming(out), recipe=RECIPE, **filters)

    monkeypatch.setattr(type(memory), "cat_ranges", cat_ranges)
    run(plan(include=["*.jpg"], memory=kept), translator)
    run(plan(include=["*.png"]), translator)  # another process
    assert len(plan(memory=kept).jobs) == 2 and len(fetched) == 2  # that it begins, and what it has done
    assert len(plan(memory=kept).jobs) == 2 and not fetched


def test_an_object_that_may_not_be_read_is_one_failed_picture(
    memory: fsspec.AbstractFileSystem, tree: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, path: str, *rest: Any, **options: Any) -> Any:
        if path.endswith("a.jpg"):
            raise PermissionError("403 Forbidden")
        return real(self, path, *rest, **options)

    memory.put(str(tree), "/in", recursive=True)
    source, out, translator = place("memory://in"), place("memory://out"), Translator(make_model(tiny))
    run(make_plan([source], Naming(out), recipe=RECIPE), translator)
    memory.pipe("/in/a.jpg", (tree / "a.jpg").read_bytes())  # touched
    memory.pipe("/in/b c.png", (tree / "deep/er/d.tif").read_bytes())
    real = type(memory)._open
    monkeypatch.setattr(type(memory), "_open", refuse)
    done, failed = run(make_plan([source], Naming(out), recipe=RECIPE), translator)
    assert [job.source.name for job in done] == ["b c.png"]
    assert [job.source.name for job, _ in failed] == ["a.jpg"] and "403" in failed[0][1]


def test_a_place_that_cannot_be_reached_costs_itself_alone(
    memory: fsspec.AbstractFileSystem, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        memory.put(str(tree), f"/{name}", recursive=True)
    find, info = type(memory).find, type(memory).info

    def refusing(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def ask(self: fsspec.AbstractFileSystem, path: str, *arguments: Any, **named: Any) -> Any:
            if path.rstrip("/").endswith(name):
                raise PermissionError("403 Forbidden")
            return real(self, path, *arguments, **named)

        return ask

    monkeypatch.setattr(type(memory), "find", refusing(find, "two"))
    monkeypatch.setattr(type(memory), "info", refusing(info, "three"))
    places = [place(f"memory://{name}") for name in ("one", "two", "three")]
    plan = make_plan(places, Naming(tmp_path / "out"))
    assert len(plan.jobs) == 4
    assert {str(path) for path, _ in plan.unread} == {"memory://two", "memory://three"}
    assert all("403" in reason for _, reason in plan.unread)
    with pytest.raises(ImageError, match="403"):
        make_plan(places[1:], Naming(tmp_path / "out"))


def test_a_file_called_dash_is_no_stream() -> None:
    assert place("-") == STANDARD and place("./-") == Path.cwd() / "-"
