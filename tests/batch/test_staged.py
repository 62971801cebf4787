"""Pictures from stdin and to stdout, from named pipes and into them."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import ROOT, assert_clear_error, brushes, in_process, make_model, with_exemplar
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Plan, make_plan
from sincut.batch.staged import STANDARD, Staged, is_stream
from sincut.cli import main
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError
from sincut.events import Event, PictureDone
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")


class Standard:
    """Stdin and stdout of a test."""

    def __init__(self, data: bytes = b"") -> None:
        self.stdin, self.stdout = io.TextIOWrapper(io.BytesIO(data)), io.TextIOWrapper(io.BytesIO())

    @property
    def written(self) -> bytes:
        buffer = self.stdout.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


def through(
    data: bytes, translator: Translator, monkeypatch: pytest.MonkeyPatch, format_: str | None = None,
    options: Options = PLAIN,
) -> tuple[bytes, list[Event], list[tuple[Any, str]]]:  # fmt: skip
    """What a picture on stdin becomes on stdout, with the events, and the jobs that failed."""
    standard, events = Standard(data), list[Event]()
    monkeypatch.setattr(sys, "stdin", standard.stdin)
    monkeypatch.setattr(sys, "stdout", standard.stdout)
    plan = make_plan([STANDARD], Naming(STANDARD, format_))
    _, failed = run(plan, translator, options, on_event=events.append)
    return standard.written, events, failed


def test_a_pipe_keeps_its_format(tree: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(make_model(tiny))
    for name, format_, want in (("a.jpg", None, "JPEG"), ("b c.png", "webp", "WEBP"), ("deep/é.gif", None, "PNG")):
        data, events, failed = through((tree / name).read_bytes(), translator, monkeypatch, format_)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == want and image.size == (24, 20)
        (done,) = [event for event in events if isinstance(event, PictureDone)]
        assert bool(done.notes) == name.endswith("gif") and not failed
        assert done.source == done.target == STANDARD
    data, _, failed = through(b"no picture", translator, monkeypatch)
    assert not data and failed[0][1].startswith("-: is not a picture")


def test_a_pipe_is_drawn_as_a_file(tree: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(with_exemplar(make_model(tiny)))
    with brushes():
        for options in (Options(), Options(fast=True), Options(dials=Dials(fidelity=0.9)), Options(max_memory=1)):
            translator.apply_file(tree / "b c.png", tmp_path / "out.png", options)
            data, _, failed = through((tree / "b c.png").read_bytes(), translator, monkeypatch, options=options)
            assert data == (tmp_path / "out.png").read_bytes() and not failed


def test_stdin_into_a_file_and_a_file_to_stdout(painting: Path, model_file: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "out.jpg"
    command = ["apply", str(model_file), "-", "-o", str(out)]
    done = runner.invoke(main, [*command, "--json"], input=painting.read_bytes())
    assert done.exit_code == 0 and json.loads(done.stdout)["done"] == [{"source": "-", "target": str(out)}]
    with Image.open(out) as image:
        assert image.format == "JPEG" and image.size == (90, 72)
    before = out.read_bytes()
    again = runner.invoke(main, command, input=b"never read")  # is there already, made of who knows what
    assert again.exit_code == 1 and "--overwrite replaces it" in again.stderr and out.read_bytes() == before
    assert runner.invoke(main, [*command, "--overwrite"], input=b"no picture").exit_code == 1
    assert out.read_bytes() == before
    told = runner.invoke(main, ["apply", str(model_file), str(painting), "-o", "-"])
    with Image.open(io.BytesIO(told.stdout_bytes)) as image:
        assert told.exit_code == 0 and image.format == "PNG" and image.size == (90, 72)


@contextlib.contextmanager
def written_into(pipe: Path, data: bytes) -> Iterator[None]:
    """A block in which somebody writes the data into a named pipe."""
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    yield
    writer.join(60)


@needs_pipes
def test_named_pipes_on_either_side(painting: Path, model_file: Path, tmp_path: Path) -> None:
    source, target, out = tmp_path / "source", tmp_path / "target.webp", tmp_path / "out.png"
    for path in (source, target):
        os.mkfifo(path)
    assert in_process("apply", model_file, source, "-o", out, "--dry-run").returncode == 0  # opens nothing
    with written_into(source, painting.read_bytes()):
        assert in_process("apply", model_file, source, "-o", out).returncode == 0
    with Image.open(out) as image:
        assert image.format == "PNG" and image.size == (90, 72)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(target.read_bytes()))
    reader.start()
    assert in_process("apply", model_file, painting, "-o", target).returncode == 0
    reader.join(60)
    with Image.open(io.BytesIO(received[0])) as image:
        assert image.format == "WEBP"


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="has no names for descriptors")
def test_descriptors_have_names(painting: Path, model_file: Path, tmp_path: Path) -> None:
    """As of a shell's <(...), and of /dev/stdout, be it a file to which something has been written already."""
    out = tmp_path / "out"
    line = 'printf before > "$OUT"; "$P" -m sincut apply "$MODEL" <(cat "$IN") -o /dev/stdout --format png >> "$OUT"'
    values = {"P": sys.executable, "MODEL": str(model_file), "IN": str(painting), "OUT": str(out)}
    env = {**os.environ, **values, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    data = out.read_bytes()
    with Image.open(io.BytesIO(data.removeprefix(b"before"))) as image:
        assert data.startswith(b"before") and image.format == "PNG" and image.size == (90, 72)
    assert is_stream(Path("/dev/stdin")) and is_stream(Path("/dev/null")) and not is_stream(Path("/dev"))


def test_what_a_stream_cannot_do_is_told(painting: Path, model_file: Path, tmp_path: Path) -> None:
    two = ["apply", model_file, "-", painting, "-o", tmp_path / "out"]
    assert_clear_error(in_process(*two), 2, "-: is a stream, which holds one picture", "-o FILE")
    assert_clear_error(in_process("apply", model_file, "-", "-o", tmp_path / "out"), 2, "no name of its own")
    assert_clear_error(in_process("apply", model_file, tmp_path, "-o", "-"), 2, "is a folder")
    assert_clear_error(in_process("apply", model_file, "-", "--in-place"), 2, "is not replaced")
    assert_clear_error(in_process("apply", model_file, tmp_path / "no.jpg", "-o", "-"), 1, "no such file")
    assert_clear_error(in_process("apply", model_file, "-", "-o", tmp_path / "out.jxl"), 1, "cannot write .jxl")
    models = [model_file, tmp_path / "other.safetensors"]
    models[1].write_bytes(model_file.read_bytes())
    assert_clear_error(in_process("apply", *models, "-", "-o", tmp_path / "{model}.png"), 2, "only once")
    assert not list(tmp_path.glob("out*"))


def test_errors_of_streams_are_told_and_leave_nothing(tmp_path: Path, painting: Path, tiny: Config) -> None:
    standard = Standard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        patch.setattr("tempfile.tempdir", str(tmp_path))
        staged = Staged(STANDARD, tmp_path / "x.png")
        with pytest.raises(ImageError, match=r"-: cannot be read \(stdin is closed"):
            staged.fetch()
        staged.close()
        standard.stdout.close()
        patch.setattr(sys, "stdout", standard.stdout)
        done, failed = run(make_plan([painting], Naming(STANDARD)), Translator(make_model(tiny)))
        assert not done and failed[0][1].startswith("-: cannot be written")
    assert not list(tmp_path.glob("sincut-*"))
    with pytest.raises(ConfigError, match="stream"):
        make_plan([STANDARD, painting], Naming(tmp_path))
    assert isinstance(make_plan([STANDARD], Naming(tmp_path / "x.png")), Plan)


def test_of_a_stream_that_is_no_picture_only_the_beginning_is_read(model_file: Path, tmp_path: Path) -> None:
    """Such as a device without an end, which would fill the disk."""
    result = in_process("apply", model_file, "/dev/zero", "-o", tmp_path / "out.png")
    assert_clear_error(result, 1, "/dev/zero", "not a picture")
