"""What the other algorithms cost: `python tests/cost_of_rivals.py [SIDE] [NAME ...]`, by default 512 px, all of them.

Each is applied to a made-up square picture in a process of its own, with networks of the full widths and random
weights, which take as long as trained ones. Printed are the seconds an iteration (of those at several sizes, at the
last one) or, where there are none, those of the picture, on the clock and of the processor (of all threads together,
which other programs do not lengthen much), the memory that is expected, and the most main memory that its process held.
Nothing is read or left behind.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from sincut.config.resolve import resolve
from sincut.config.sections import Rival, overlay
from sincut.devices import peak_memory
from sincut.events import Event, TileDone
from sincut.nets.vgg import CONVOLUTIONS, NAMES, Vgg
from sincut.pictures.picture import Picture
from sincut.pictures.resampling import resized
from sincut.rivals.gatys import Gatys
from sincut.rivals.model import RivalModel
from sincut.rivals.strotss import Strotss
from sincut.rivals.technique import Technique, VggTechnique
from sincut.rivals.wct2 import Wct2
from sincut.translation.translator import Translator

ITERATIONS = 8  # that are timed; the first ones set up what is set up once
WARM = 2
WIDTHS = [width for width, count in zip((64, 128, 256, 512, 512), CONVOLUTIONS, strict=True) for _ in range(count)]


def with_vgg(technique: type[VggTechnique], settings: Rival) -> Technique:
    """The technique with VGG-19 as far as it is used, of random weights that keep the strength of what goes through."""
    depth = NAMES.index(technique.last.removeprefix("relu")) + 1
    network = Vgg(WIDTHS[:depth], technique.pooling(settings)).requires_grad_(False)
    for layer in network.convs.values():
        torch.nn.init.kaiming_normal_(layer.get_parameter("weight"))
    return technique(network, settings)


MADE: dict[str, Callable[[Rival], Technique]] = {
    "gatys": partial(with_vgg, Gatys),
    "strotss": partial(with_vgg, Strotss),
    "wct2": lambda settings: Wct2(settings).eval().requires_grad_(False),
}


def picture(side: int, seed: int) -> np.ndarray:
    """A square picture (H, W, 3) with forms of several px."""
    small = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    pixels: np.ndarray = resized(small, (side, side)).clip(0, 255).astype(np.uint8)
    return pixels


def measure(name: str, side: int) -> str:
    """Apply an algorithm to a square picture; the sentence on it."""
    torch.manual_seed(0)
    config = overlay(resolve(name), {"rival": {"iterations": ITERATIONS}})
    technique = MADE[name](config.rival)
    usual = MADE[name](replace(config.rival, iterations=0)).rounds((side, side))
    held = peak_memory(torch.device("cpu"))
    translator = Translator(RivalModel(technique, torch.from_numpy(picture(side, 1)), config), precision="float32")
    clock, used = [time.perf_counter()], [time.process_time()]

    def hear(event: Event) -> None:
        if isinstance(event, TileDone):
            clock.append(time.perf_counter())
            used.append(time.process_time())

    translator.apply_picture(Picture(picture(side, 0)), on_event=hear)
    count = len(clock) - 1
    told = f"{clock[-1] - clock[0]:.1f} s a picture, {used[-1] - used[0]:.1f} s of the processor"
    if count < usual:  # only a part of the work was done
        timed = ITERATIONS - 1 - WARM
        each, busy = ((times[-1] - times[-1 - timed]) / timed for times in (clock, used))
        told = f"{each:.2f} s an iteration, {busy:.2f} s of the processor; a picture takes {usual} iterations"
    expected = translator.model.pixel_bytes * side**2 + translator.model.fixed_bytes
    memory = f"{peak_memory(torch.device('cpu')) / 1e9:.2f} GB at most, {(held + expected) / 1e9:.2f} expected"
    return f"{name}, {side}x{side}, {torch.get_num_threads()} threads: {told}; {memory}"


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--alone"]:
        print(measure(words[1], int(words[2])), flush=True)
        sys.exit()
    side = int(words.pop(0)) if words and words[0].isdigit() else 512
    for name in words or MADE:
        subprocess.run([sys.executable, __file__, "--alone", name, str(side)], check=True)
