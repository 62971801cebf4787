"""The measurements of `bench`; no test asks how fast it is."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import CPU, in_process

from sincut.bench import load, measure, parts, starts, timing
from sincut.bench.alone import OutOfTimeError
from sincut.bench.measure import measure_pictures
from sincut.bench.work import pixel_tflop
from sincut.cli.machine import bench_table, pictures_table
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, Interrupted


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts run in this process, and nothing is timed for long; the command's own test has real processes."""

    def alone(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return work(*arguments)

    monkeypatch.setattr(measure, "alone", alone)
    monkeypatch.setattr(load, "BEFORE_SECONDS", 0.0)
    monkeypatch.setattr(parts, "CYCLES", 1)
    monkeypatch.setattr(parts, "SIDE", 96)
    monkeypatch.setattr(timing, "BURST_SECONDS", 0.01)
    monkeypatch.setattr(parts, "APPLY_SECONDS", 0.1)
    monkeypatch.setattr(starts, "first_step_seconds", lambda *given: 12.3456)
    monkeypatch.setattr(starts, "first_tile_seconds", lambda *given: 2.3456)


def test_bench_measures(tiny: Config, at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MOST_DRAWN", 0.015)
    monkeypatch.setattr(parts, "EXEMPLAR_MEGAPIXELS", 0.01)
    told: list[str] = []
    figures = measure.measure(tiny, torch.device("cpu"), [0.01, 0.02], told.append)
    texts = ("device", "precision", "apply", "synthesis", "folder", "left_out", "load", "warnings")
    numbers = {key: value for key, value in figures.items() if key not in texts}
    assert {type(value) for value in numbers.values()} <= {int, float}
    assert all(value > 0 for value in numbers.values())
    assert figures["first_step_seconds"] == 12.35
    assert figures["crops_per_second"] == pytest.approx(2 / figures["step_seconds"], rel=0.01)
    assert figures["step_utilisation"] == pytest.approx(
        figures["step_tflop"] / figures["step_seconds"] / figures["peak_tflops"], rel=0.01
    )
    assert [a["megapixels"] for a in figures["apply"]] == pytest.approx([0.01, 0.02], rel=0.02)
    assert all(a["peak_rss_mb"] > 100 for a in figures["apply"])
    for a in figures["apply"]:
        work = pixel_tflop(tiny) * a["megapixels"] * 1e6
        assert a["utilisation"] == pytest.approx(work / a["seconds"] / a["peak_tflops"], rel=0.01)
    assert figures["folder"]["pictures"] == 12 and figures["folder"]["megapixels"] == 0.01
    assert figures["folder"]["seconds_per_picture"] > 0 and figures["folder"]["overlap_ratio"] > 0
    *known, last = told
    pictures = ["applying to 0.01 megapixels", "applying to 0.02 megapixels", "drawing 0.01 megapixels"]
    assert known == ["training", "first step", "first tile", *pictures]
    assert last == "applying to a folder" and figures["left_out"] == []
    assert figures["first_tile_seconds"] == 2.346 and figures["steps_timed"] == 12  # three cycles of four
    assert all(part["runs"] >= 1 for part in (*figures["apply"], *figures["synthesis"]))
    assert 1 <= figures["folder"]["turns"] <= 3 and set(figures["load"]) == {"cores", "taken_before", "taken_during"}
    (drawn,), first = figures["synthesis"], figures["apply"][0]
    assert drawn["seconds_per_megapixel"] == pytest.approx(drawn["seconds"] / drawn["megapixels"], rel=0.01)
    ratio = drawn["seconds"] * drawn["peak_tflops"] / (first["seconds"] * first["peak_tflops"])
    assert drawn["times_translating"] == pytest.approx(ratio, rel=0.01)


def test_bench_command_prints_json(tiny_flags: list[str]) -> None:
    result = in_process("bench", "--device", "cpu", "--megapixels", "0", "--json", *tiny_flags)
    assert result.returncode == 0, result.stderr
    told = ["measuring: training", "measuring: first step", "measuring: first tile"]
    assert result.stderr.splitlines() == told
    figures = json.loads(result.stdout)
    assert figures["apply"] == [] == figures["synthesis"] and "folder" not in figures
    assert figures["threads"] == torch.get_num_threads()
    assert figures["first_step_seconds"] > figures["step_seconds"] > 0 and figures["first_tile_seconds"] > 0


def test_settings_that_are_slow_are_timed_less_and_without_room_left_out(
    tiny: Config, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute and a half for all, where a step takes 20 s, a megapixel 6 s, and the first step never comes."""
    now, given = [1000.0], dict[str, float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def alone(work: Callable[..., Any], config: Config, device: torch.device, *rest: float, **limits: float) -> Any:
        given[work.__name__] = rest[-1]
        if work is parts.training:
            now[0] += 45
            return {"step_seconds": 20.0, "peak_tflops": 1.0, "peak_forward_tflops": 1.0}
        (size,) = rest
        now[0] += 6 * size
        return {"megapixels": size, "seconds": 6 * size, "runs": 1, "peak_tflops": 1.0}

    def never(config: Config, device: torch.device, limit: float, stop: object) -> float:
        now[0] += 10
        raise OutOfTimeError("not done within 10 s")

    monkeypatch.setattr(measure, "alone", alone)
    monkeypatch.setattr(starts, "first_step_seconds", never)
    figures = measure.measure(tiny, CPU, (1.0, 2.0, 4.0), seconds=90.0)
    assert given["training"] == measure.TRAINING_SECONDS and "first_step_seconds" not in figures
    assert [each["megapixels"] for each in figures["apply"]] == [1.0, 2.0]
    assert [each["megapixels"] for each in figures["synthesis"]] == [1.0]  # in the time that is too short for a folder
    assert figures["left_out"] == [
        {"part": "first step", "why": "not done within 10 s"},
        {"part": "applying to 4 megapixels", "why": "would take about 28 s, and 17 s were left"},
        {"part": "drawing 2 megapixels", "why": "would take about 16 s, and 11 s were left"},
        {"part": "drawing 4 megapixels", "why": "would take about 28 s, and 11 s were left"},
        {"part": "applying to a folder", "why": "would take about 88 s, and 11 s were left"},
    ]
    assert now[0] - 1000 <= 90


def test_steps_of_long_cycles_are_weighed_by_how_often_they_come(
    tiny: Config, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of twenty has the penalty, and takes 21 s where the others take one: 2 s on average."""
    monkeypatch.setattr(parts, "seconds_of", lambda work, compute: [21.0 if work.args == (0,) else 1.0])
    seldom = overlay(tiny, {"losses": {"r1": 1.0, "r1_every": 20}})
    assert parts.training(seldom, CPU, 60.0)["step_seconds"] == pytest.approx(2.0)
    always = overlay(tiny, {"losses": {"r1": 1.0, "r1_every": 1}})
    assert parts.training(always, CPU, 60.0)["step_seconds"] == pytest.approx(21.0)
    never = parts.training(overlay(tiny, {"losses": {"r1": 0.0, "r1_every": 20}}), CPU, 0.0)
    assert never["step_seconds"] == pytest.approx(21.0) and never["steps_timed"] == 1  # and there was no time for more


def test_a_measurement_that_is_stopped_measures_no_further(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BEFORE_SECONDS", 0.0)
    told: list[str] = []
    with pytest.raises(Interrupted):
        measure.measure(tiny, CPU, (1.0,), told.append, stop=lambda: True)
    assert told == ["training"]


def test_bench_table_names_what_was_measured() -> None:
    numbers = ["peak_tflops", "peak_forward_tflops", "step_seconds", "crops_per_second", "step_tflop"]
    numbers += ["step_utilisation", "first_step_seconds", "first_tile_seconds", "train_peak_rss_mb", "steps_timed"]
    applied = {
        "megapixels": 16.0,
        "seconds": 20.0,
        "runs": 1,
        "megapixels_per_second": 0.8,
        "utilisation": 0.71,
        "peak_rss_mb": 900,
    }
    figures = {**dict.fromkeys(numbers, 0.25), "device": "cpu", "threads": 2, "precision": "bfloat16"}
    in_folder = {"pictures": 12, "megapixels": 1.0, "seconds_per_picture": 1.5, "overlap_ratio": 1.04, "turns": 3}
    drawn = {
        "megapixels": 4.0,
        "seconds": 20.0,
        "runs": 1,
        "seconds_per_megapixel": 5.0,
        "times_translating": 5.9,
        "peak_rss_mb": 700,
    }
    rows = dict(bench_table({**figures, "apply": [applied], "synthesis": [drawn], "folder": in_folder}))
    assert (
        rows["applying to a folder of 12"] == "1.5 s for a picture of 1 MP, 1.04 times the bare translations, 3 turns"
    )
    assert rows["device"] == "cpu, 2 threads, bfloat16"
    assert rows["training step"].startswith("0.25 s")
    assert rows["drawing 4 MP"] == "20 s (timed once), 5 s/MP, 5.9 times translating, 700 MB"
    assert rows["applying to 16 MP"] == "20 s (timed once), 0.8 MP/s, 71% of the peak, 900 MB"


def test_many_pictures_cost_their_number_of_times_one(tiny: Config, at_once: None) -> None:
    figures = measure_pictures(tiny, torch.device("cpu"), 0.01)
    assert figures["worker"] == "one core" and figures["megapixels"] == pytest.approx(0.01, rel=0.02)
    seconds = figures["processor_seconds"]
    assert figures["pictures_per_second"] == pytest.approx(1 / seconds, rel=0.01)
    assert figures["hours"]["100000000"] == pytest.approx(1e8 * seconds / 3600, rel=0.01)
    assert dict(pictures_table(figures))["1,000,000 pictures"].endswith("hours of one core")


def test_an_algorithm_without_a_training_is_refused() -> None:
    config = resolve("gatys")
    with pytest.raises(ConfigError, match="gatys has no training"):
        measure.measure(config, CPU)
    with pytest.raises(ConfigError, match="gatys has no training"):
        measure_pictures(config, CPU, 1.0)


def test_what_was_left_out_and_who_was_busy_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    load = {"cores": 2, "taken_before": 0.5, "taken_during": 0.04}
    left_out = [{"part": "training", "why": "not done within 60 s"}]
    figures = {"device": "cpu", "threads": 1, "precision": "float32", "apply": [], "synthesis": [], "load": load}
    given = {**figures, "left_out": left_out, "warnings": ["speeds are too low"]}
    monkeypatch.setattr(measure, "measure", lambda *arguments: given)
    lines = [" ".join(line.split()) for line in in_process("bench", "--device", "cpu").stdout.splitlines()]
    assert lines == [
        "measured value",
        "device cpu, 1 thread, float32",
        "left out: training not done within 60 s",
        "taken by other programs 50% of 2 cores before, 4% meanwhile",
        "warning speeds are too low",
    ]
