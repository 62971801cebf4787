"""The counts and measurements of `bench`; no test asks how fast it is."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import CPU, in_process

from sincut import bench
from sincut.bench import _forward_tflop, measure, measure_pictures, pixel_tflop, step_tflop
from sincut.cli.machine import bench_table, pictures_table
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, SincutError
from sincut.nets.stylegan2 import StyleGenerator


def test_work_of_the_release_settings_is_the_published_one() -> None:
    config = resolve("release")
    encoder, shallow, decoder, critic = _forward_tflop(config)
    multiply_adds = [value / 2 * 1e3 for value in (encoder, shallow, decoder, critic)]  # G per 64x64 crop
    assert multiply_adds == pytest.approx([1.78, 1.31, 1.53, 0.25], abs=0.01)
    assert step_tflop(config) == pytest.approx(0.98, abs=0.01)


def test_work_of_the_networks_for_sets_is_as_by_hand() -> None:
    full, half, quarter = 256**2, 128**2, 64**2  # places; a step down comes behind its convolution
    encoder = full * 3 * 64 * 49 + 9 * (full * 64 * 128 + half * 128 * 256) + quarter * 10 * 9 * 256**2
    decoder = quarter * 8 * 9 * 256**2 + 9 * (half * 256 * 128 + full * 128 * 64) + full * 64 * 3 * 49
    critic = 16 * (255**2 * 3 * 64 + 127**2 * 64 * 128 + 63**2 * 128 * 256 + 31**2 * 256 * 512 + 30**2 * 512)
    wanted = [2e-12 * each for each in (encoder, encoder, decoder, critic)]
    assert _forward_tflop(resolve("cut")) == pytest.approx(wanted)
    both = 3 * 2 * (wanted[0] + wanted[2]) + 3 * 2 * wanted[1] + 8 * wanted[3]  # G(x) and G(y), queries, D without R1
    assert step_tflop(resolve("cut")) == pytest.approx(both)


def test_work_counts_what_is_asked_for_and_nothing_else() -> None:
    config = resolve()
    seldom = overlay(config, {"losses": {"r1_every": 1024}})
    critic = _forward_tflop(config)[3]
    tiles = config.crops.count * ((config.crops.size // config.crops.tile) ** 2 + 1)  # and one of the whole crop
    extra = 4 * tiles * critic * (1 / config.losses.r1_every - 1 / 1024)
    assert step_tflop(config) - step_tflop(seldom) == pytest.approx(extra)
    alone = overlay(config, {"losses": {"large": 0.0}})
    assert step_tflop(config) - step_tflop(alone) == pytest.approx(config.crops.count * 9 * critic)
    twice = overlay(config, {"crops": {"count": 2 * config.crops.count}})
    assert step_tflop(twice) == pytest.approx(2 * step_tflop(config))
    assert step_tflop(overlay(config, {"losses": {"identity": True}})) > 1.5 * step_tflop(config)
    shallow = _forward_tflop(config)[1]
    assert step_tflop(resolve("standard+external")) - step_tflop(config) == pytest.approx(config.crops.count * shallow)
    assert step_tflop(resolve("standard+separate-encoders")) == step_tflop(config)


def test_work_of_cyclegan_is_that_of_six_translations_and_two_discriminators() -> None:
    config = resolve("cyclegan")
    encoder, _, decoder, critic = _forward_tflop(config)
    tiles = 16 * 4  # of each picture
    want = 3 * 6 * 16 * (encoder + decoder) + 2 * 12 * tiles * critic  # G(x), G(y), F(y), F(x), F(G(x)), G(F(y)); R1
    assert step_tflop(config) == pytest.approx(want)


def test_work_of_a_pixel_agrees_with_torch_s_own_counter(tiny: Config) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    networks = {"architecture": "stylegan2", "smooth": 0.0, "noise": "all"}  # filters are left out
    tiny = overlay(tiny, {"networks": networks})
    generator, side = StyleGenerator(tiny.networks), 64
    blurs = 2 * 16 * tiny.networks.stem * ((side + 1) ** 2 + (side // 2) ** 2 + side**2)  # which `bench` leaves out
    with FlopCounterMode(display=False) as counter:  # with gradients: it does not know fused calls
        generator(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side))
    assert pixel_tflop(tiny) * side**2 * 1e12 == pytest.approx(counter.get_total_flops() - blurs, rel=1e-6)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts run in this process, and nothing is timed for long; the command's own test has real processes."""

    def alone(work: Callable[..., Any], *arguments: Any, threads: int | None = None) -> Any:
        return work(*arguments)

    monkeypatch.setattr(bench, "_alone", alone)
    monkeypatch.setattr(bench, "CYCLES", 1)
    monkeypatch.setattr(bench, "BURST_SECONDS", 0.01)
    monkeypatch.setattr(bench, "APPLY_SECONDS", 0.1)


def test_bench_measures(tiny: Config, at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_first_step_seconds", lambda config, device: 12.3456)
    monkeypatch.setattr(bench, "MOST_DRAWN", 0.015)
    monkeypatch.setattr(bench, "EXEMPLAR_MEGAPIXELS", 0.01)
    parts: list[str] = []
    figures = measure(tiny, torch.device("cpu"), [0.01, 0.02], parts.append)
    texts = ("device", "precision", "apply", "synthesis", "folder")
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
    *known, last = parts
    assert known == ["training", "first step", "applying to 0.01 megapixels", "applying to 0.02 megapixels",
                     "drawing 0.01 megapixels"]  # fmt: skip
    assert last == "applying to a folder of 12"
    (drawn,), first = figures["synthesis"], figures["apply"][0]
    assert drawn["seconds_per_megapixel"] == pytest.approx(drawn["seconds"] / drawn["megapixels"], rel=0.01)
    ratio = drawn["seconds"] * drawn["peak_tflops"] / (first["seconds"] * first["peak_tflops"])
    assert drawn["times_translating"] == pytest.approx(ratio, rel=0.01)


def test_bench_command_prints_json(tiny_flags: list[str]) -> None:
    result = in_process("bench", "--device", "cpu", "--megapixels", "0", "--json", *tiny_flags)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines() == ["measuring: training", "measuring: first step"]
    figures = json.loads(result.stdout)
    assert figures["apply"] == [] == figures["synthesis"] and "folder" not in figures
    assert figures["threads"] == torch.get_num_threads()
    assert figures["first_step_seconds"] > figures["step_seconds"] > 0


def test_a_training_that_ends_before_its_first_step_is_told(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [sys.executable, "-c", "import sys; sys.exit('sincut: no memory')"]
    monkeypatch.setattr("sincut.runs.child.command", lambda *words: fails)
    with pytest.raises(SincutError, match="train ended before its first step: sincut: no memory"):
        bench._first_step_seconds(tiny, torch.device("cpu"))


def test_bench_table_names_what_was_measured() -> None:
    numbers = ["peak_tflops", "peak_forward_tflops", "step_seconds", "crops_per_second", "step_tflop"]
    numbers += ["step_utilisation", "first_step_seconds", "train_peak_rss_mb"]
    applied = {
        "megapixels": 16.0,
        "seconds": 20.0,
        "megapixels_per_second": 0.8,
        "utilisation": 0.71,
        "peak_rss_mb": 900,
    }
    figures = {**dict.fromkeys(numbers, 0.25), "device": "cpu", "threads": 2, "precision": "bfloat16"}
    in_folder = {"pictures": 12, "megapixels": 1.0, "seconds_per_picture": 1.5, "overlap_ratio": 1.04}
    drawn = {
        "megapixels": 4.0,
        "seconds": 20.0,
        "seconds_per_megapixel": 5.0,
        "times_translating": 5.9,
        "peak_rss_mb": 700,
    }
    rows = dict(bench_table({**figures, "apply": [applied], "synthesis": [drawn], "folder": in_folder}))
    assert rows["applying to a folder of 12"] == "1.5 s for a picture of 1 MP, 1.04 times the bare translations"
    assert rows["device"] == "cpu, 2 threads, bfloat16"
    assert rows["training step"].startswith("0.25 s")
    assert rows["drawing 4 MP"] == "20 s, 5 s/MP, 5.9 times translating, 700 MB"
    assert rows["applying to 16 MP"] == "20 s, 0.8 MP/s, 71% of the peak, 900 MB"


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
        measure(config, CPU)
    with pytest.raises(ConfigError, match="gatys has no training"):
        measure_pictures(config, CPU, 1.0)
