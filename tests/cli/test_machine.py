"""The commands about presets and this machine, and what they refuse."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import in_process

import sincut.bench.measure
import sincut.bench.neighbours
import sincut.page.serve


def test_presets_are_listed_and_printed(tmp_path: Path) -> None:
    listed = in_process("presets")
    assert all(name in listed.stdout for name in ("standard", "quick", "paper", "release"))
    assert {"standard", "quick", "paper", "release"} <= set(json.loads(in_process("presets", "--json").stdout))
    printed = in_process("presets", "release")
    (tmp_path / "mine.toml").write_text(printed.stdout, encoding="utf-8")
    again = in_process("presets", tmp_path / "mine.toml")
    assert again.stdout == printed.stdout
    assert json.loads(in_process("presets", "quick", "--json").stdout)["schedule"]["minutes"] == 3


@pytest.mark.parametrize(
    "flags",
    [
        ("--megapixels", "big"),
        ("--megapixels", "-1"),
        ("--megapixels", "1,-4"),
        ("--megapixels", "nan"),
        ("--pictures", 0),
        ("--pictures", 2, "--megapixels", "4"),
        ("--neighbours", "0"),
        ("--neighbours", "1.5"),
        ("--neighbours", "1", "--pictures", "2"),
    ],
)
def test_bench_refuses_what_makes_no_sense(flags: Sequence[object], monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*arguments: object) -> None:
        raise AssertionError("nothing is to be measured")

    monkeypatch.setattr(sincut.bench.measure, "measure", measured)
    monkeypatch.setattr(sincut.bench.measure, "measure_pictures", measured)
    monkeypatch.setattr(sincut.bench.neighbours, "measure_neighbours", measured)
    result = in_process("bench", *flags)
    assert result.returncode == 2 and str(flags[0]) in result.stderr


def test_bench_takes_sizes_and_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[float]] = []

    def measure(
        config: object, device: object, sizes: Sequence[float], on_part: object, stop: object
    ) -> dict[str, object]:
        asked.append(list(sizes))
        return {"apply": []}

    monkeypatch.setattr(sincut.bench.measure, "measure", measure)
    for flags in ((), ("--megapixels", "0"), ("--megapixels", "0.5,2")):
        assert json.loads(in_process("bench", "--json", *flags).stdout) == {"apply": []}
    assert asked == [[1.0, 4.0, 16.0, 64.0], [], [0.5, 2.0]]


@pytest.mark.parametrize("flags", [("--max-pixels", 0), ("--max-pixels", -1), ("--max-upload", "2GMB"), ("--port", 0)])
def test_ui_refuses_limits_that_make_no_sense(
    flags: Sequence[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(*arguments: object, **options: object) -> list[str]:
        raise AssertionError("nothing is to be served")

    monkeypatch.setattr(sincut.page.serve, "serve", serve)
    result = in_process("ui", "--no-open", "--runs", tmp_path / "runs", *flags)
    assert result.returncode == 2 and str(flags[0]) in result.stderr
