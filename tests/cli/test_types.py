"""Parameter types: what they take, and that nothing that makes no sense is taken for something else."""

from pathlib import Path
from typing import Any

import click
import pytest
from helpers import assert_clear_error, in_process

from sincut.cli.types import Numbers, Point, Scale, Size, Tile

MEGAPIXELS = Numbers(click.FloatRange(0))
MINUTES = Numbers(click.FloatRange(0, min_open=True))
SEEDS = Numbers(click.IntRange(0))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *[(Size(), text, 2 * 10**9) for text in ("2GB", "2G", " 2 gb", "2.GB", "2000M", "2e9", "2000000000B")],
        (Size(), ".5KB", 500),
        (MEGAPIXELS, "0", (0.0,)),
        (MEGAPIXELS, "1, 4,.5", (1.0, 4.0, 0.5)),
        (SEEDS, "0,7", (0, 7)),
        (Tile(), "64", 64),
        (Tile(), "auto", "auto"),
        (Tile(), "off", "off"),
        (Scale(), "auto", "auto"),
        (Scale(), "0.5", 0.5),
        (Point(), "320,200", (320, 200)),
    ],
)
def test_what_is_typed_is_understood(kind: "click.ParamType[Any]", text: str, value: Any) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *[
            (Size(), text)
            for text in ("2GMB", "0.5KGMT", "GB", "", "0", "-1GB", "0.5", "1e-3", "inf", "nan", "2GiB", "1e30")
        ],
        *[(MEGAPIXELS, text) for text in ("-1", "1,-1", "big", "1,,4", "", "nan", "1,inf")],
        *[(MINUTES, text) for text in ("0", "-2", "5,0", "soon", "inf")],
        *[(SEEDS, text) for text in ("1.5", "-1", "a")],
        *[(Tile(), text) for text in ("0", "-3", "1.5", "x", "Auto", "")],
        *[(Scale(), text) for text in ("big", "")],
        *[(Point(), text) for text in ("3", "3,4,5", "a,b", "1.5,2")],
    ],
)
def test_what_makes_no_sense_is_refused(kind: "click.ParamType[Any]", text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "https://example.org/painting.jpg", "photo.jpg"),
        ("train", "painting.jpg", "s3://bucket/photo.jpg"),
        ("train", "painting.jpg", "photo.jpg", "-o", "s3://bucket/run"),
        ("train", "--pairs", "s3://bucket/pairs.csv"),
        ("apply", "model.safetensors", "in", "-o", "out", "--mask", "https://example.org/mask.png"),
        ("evaluate", "painting.jpg", "photo.jpg", "https://example.org/out.jpg"),
        ("ui", "--runs", "s3://bucket/runs"),
    ],
)
def test_urls_are_for_inputs_and_outputs_of_apply(words: tuple[str, ...]) -> None:
    url = next(word for word in words if "://" in word)
    assert_clear_error(in_process(*words), 2, url, "only INPUT and -o of apply", "copy the file here first")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    missing = tmp_path / "none.png"
    assert_clear_error(in_process("evaluate", missing.as_uri(), "b", "c"), 1, str(missing), "no such file")


@pytest.mark.parametrize("command", [("train", "--pairs", "x.csv"), ("apply", "m", "in", "-o", "out")])
@pytest.mark.parametrize(
    "flags",
    [("--workers", 2), ("--worker-cpus", 2.0), ("--worker-gpus", 1), ("--ray-address", "10.0.0.1:6379")],
)
def test_options_of_workers_without_workers_are_refused(command: tuple[str, ...], flags: tuple[object, ...]) -> None:
    result = in_process(*command, *flags)
    assert result.returncode == 2 and f"{flags[0]} is for --engine ray" in result.stderr


def test_the_address_of_a_cluster_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert_clear_error(in_process("train", "--pairs", "none.csv"), 1, "none.csv", "cannot be read")
