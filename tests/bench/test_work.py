"""The work of training and translating, counted."""

import pytest
import torch

from sincut.bench.work import forward_tflop, pixel_tflop, step_tflop
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.nets.stylegan2 import StyleGenerator


def test_work_of_the_release_settings_is_the_published_one() -> None:
    config = resolve("release")
    encoder, shallow, decoder, critic = forward_tflop(config)
    multiply_adds = [value / 2 * 1e3 for value in (encoder, shallow, decoder, critic)]  # G per 64x64 crop
    assert multiply_adds == pytest.approx([1.78, 1.31, 1.53, 0.25], abs=0.01)
    assert step_tflop(config) == pytest.approx(0.98, abs=0.01)


def test_work_of_the_networks_for_sets_is_as_by_hand() -> None:
    full, half, quarter = 256**2, 128**2, 64**2  # places; a step down comes behind its convolution
    encoder = full * 3 * 64 * 49 + 9 * (full * 64 * 128 + half * 128 * 256) + quarter * 10 * 9 * 256**2
    decoder = quarter * 8 * 9 * 256**2 + 9 * (half * 256 * 128 + full * 128 * 64) + full * 64 * 3 * 49
    critic = 16 * (255**2 * 3 * 64 + 127**2 * 64 * 128 + 63**2 * 128 * 256 + 31**2 * 256 * 512 + 30**2 * 512)
    wanted = [2e-12 * each for each in (encoder, encoder, decoder, critic)]
    assert forward_tflop(resolve("cut")) == pytest.approx(wanted)
    both = 3 * 2 * (wanted[0] + wanted[2]) + 3 * 2 * wanted[1] + 8 * wanted[3]  # G(x) and G(y), queries, D without R1
    assert step_tflop(resolve("cut")) == pytest.approx(both)


def test_work_counts_what_is_asked_for_and_nothing_else() -> None:
    config = resolve()
    seldom = overlay(config, {"losses": {"r1_every": 1024}})
    critic = forward_tflop(config)[3]
    tiles = config.crops.count * (config.crops.size // config.crops.tile) ** 2
    extra = 4 * tiles * critic * (1 / config.losses.r1_every - 1 / 1024)
    assert step_tflop(config) - step_tflop(seldom) == pytest.approx(extra)
    twice = overlay(config, {"crops": {"count": 2 * config.crops.count}})
    assert step_tflop(twice) == pytest.approx(2 * step_tflop(config))
    assert step_tflop(overlay(config, {"losses": {"identity": True}})) > 1.5 * step_tflop(config)
    shallow = forward_tflop(config)[1]
    assert step_tflop(resolve("standard+external")) - step_tflop(config) == pytest.approx(config.crops.count * shallow)
    assert step_tflop(resolve("standard+separate-encoders")) == step_tflop(config)


def test_work_of_cyclegan_is_that_of_six_translations_and_two_discriminators() -> None:
    config = resolve("cyclegan")
    encoder, _, decoder, critic = forward_tflop(config)
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
