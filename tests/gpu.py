"""The whole path on an accelerator: `bash tests/gpu.sh [--quick] [--device NAME]`, see `--help`.

Training, drawing and translating are timed and, as `sincut bench` does it, compared with the peak of a convolution that
is measured beside them. Results are compared with those of the CPU, of float32, of a training that was not interrupted
and of tiles that were not halved; each of these has a bound, and the exit code is 1 if one does not hold. Times have
none. Without an accelerator all of it runs on the CPU, where lack of memory is made up.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from cost_of_rivals import MADE
from torch import Tensor

from sincut.bench.timing import peaks, seconds_of
from sincut.bench.work import pixel_tflop, step_tflop
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.devices import (
    FIXED_BY,
    Compute,
    considerate,
    find_compute,
    find_device,
    release_memory,
)
from sincut.errors import Interrupted, SincutError
from sincut.events import Checkpoint, Event
from sincut.method.loop import train
from sincut.method.replay import EAGER_STEPS
from sincut.method.training import Training
from sincut.model.file import load_tensors, save_tensors
from sincut.model.model import Model
from sincut.nets.local import blurred
from sincut.pictures.picture import Picture, to_tensor
from sincut.pictures.resampling import resized
from sincut.rivals.model import RivalModel
from sincut.synthesis.synthesis import SIDE, Drawing, Synthesis
from sincut.translation.halving import Halving
from sincut.translation.options import Options
from sincut.translation.tiles import tile_boxes
from sincut.translation.translator import Translator

CPU = torch.device("cpu")
PRECISIONS = ("float32", "bfloat16", "float16")
LOOKED_SECONDS = 1.0  # for which other programs are watched, where all runs on the CPU
MOST_SECONDS = 480  # after which the script ends, with what it has
BLUR = 4.0  # px
FORMS = 8  # px of the smallest forms in made-up pictures

# Bounds. Colours are in levels of 8 bits, 0 to 255. An accelerator adds in another order than the CPU, so the same
# float32 (without TF32) gives other last bits; half precisions keep 8 or 11 of 24 bits at each layer. Adam's first
# steps are as large for small gradients as for large ones, so differences grow: on the CPU, noise of 1e-7 in all
# weights at each step changed the losses of the second by 1e-6, of the fifth by 1e-4, of the tenth by 1e-2. Noise of
# 1e-6 in the patches of a drawing changed its pixels by up to 16 levels, since near ties fall out otherwise and are
# continued, but its distance to the layout by less than 0.1.
SAME_FLOATS = 0.1  # levels, the most at any pixel of G's translation on the device and on the CPU in float32
TF32_OFF = 2.0  # levels, mean, of float32 as torch has it by default (TF32 on CUDA) and the same without TF32
HALF_OFF = {"bfloat16": 4.0, "float16": 2.0}  # levels, mean, of half precision and float32
STEPS_OFF = 1e-3  # relative difference of the losses of the first steps, on the device and on the CPU in float32
HALF_STEPS_OFF = 0.25  # relative difference of PatchNCE's mean over a short training in half precision and in float32
DRAWN_OFF = 0.5  # levels, of the mean distances to their layout of drawings here and on the CPU, blurred by `BLUR` px
RESUMED_OFF = 1.0  # levels, mean, of a training interrupted and resumed, 0.7 on an H200; on the CPU 0: it is bit-exact
HALVED_OFF = 1.0  # levels, the most at any pixel, of tiles halved for want of memory and not halved
WCT2_OFF = 1.0  # levels, mean, of WCT2 on the device and on the CPU

SMALL = {
    "crops": {"size": 32, "tile": 16, "count": 2, "low": 40.0, "high": 64.0},
    "networks": {"stem": 4, "middle": 6, "inner": 8, "blocks": 2, "discriminator": 0.05, "features": 8},
    "losses": {"layers": [0, 2, 3], "r1_every": 2, "guide": 0.0},
}


@dataclass(frozen=True)
class Scope:
    """What is run: presets that are timed, settings, and sizes. Pictures are in megapixels, times in seconds."""

    presets: tuple[str, ...]
    config: Config  # of the trainings that are compared, and of the model that is applied
    steps: int  # of each of these trainings
    side: int  # px of the training's square pictures
    applied: tuple[float, ...]
    drawn: tuple[float, ...]
    compared: float  # of pictures that the CPU works on too
    halved: float
    seconds: float  # for which each kind of work is timed, at least
    others: int  # px of the square picture that other algorithms work on; 0: they are left out
    precisions: tuple[str, ...] = PRECISIONS


def whole(on_cpu: bool) -> Scope:
    """What fits into eight minutes: on an accelerator the published settings and large pictures too."""
    config = overlay(resolve("standard"), {"output": {"previews": 0}})
    if on_cpu:
        config = overlay(config, {"crops": {"count": 4}})
        return Scope(
            ("standard",), config, 6, 512, (1.0,), (0.5,), 0.1, 0.5, 3.0, 128, PRECISIONS[:2]
        )  # float16 is slow there
    return Scope(("standard", "paper", "release"), config, 24, 1024, (1.0, 16.0), (1.0, 4.0), 0.25, 4.0, 5.0, 512)


def quick() -> Scope:
    """A few seconds on one core: the same work, small."""
    config = overlay(resolve("standard"), {**SMALL, "output": {"previews": 0}})
    return Scope((), config, 2, 72, (0.02,), (0.01,), 0.005, 0.01, 0.0, 0)


class Table:
    """Rows of a table on stdout, written as they are measured: what, measured, bound and if it holds."""

    def __init__(self) -> None:
        self.began, self.failed = time.perf_counter(), list[str]()

    def add(self, what: str, measured: str, off: float | None = None, bound: float = 0.0) -> None:
        """A row; with `off`, a difference that must be no more than the bound."""
        held = off is None or off <= bound  # a NaN is no more than nothing
        said = "" if off is None else f"{off:.3g} <= {bound:g}" if held else f"{off:.3g} > {bound:g}: FAILED"
        print(f"{time.perf_counter() - self.began:5.0f} s  {what:<42} {measured:<34} {said}".rstrip(), flush=True)
        if not held:
            self.failed.append(what)


def picture(megapixels: float, seed: int = 0) -> Picture:
    """A made-up 4:3 picture with forms of `FORMS` px."""
    h = max(16, round((megapixels * 1e6 * 3 / 4) ** 0.5))
    return Picture(_forms((h, round(h * 4 / 3)), seed))


def sides(scope: Scope) -> tuple[Tensor, Tensor]:
    """Source and target of a training, (1, 3, H, W) in [-1, 1]."""
    source, target = (to_tensor(_forms((scope.side, scope.side + 8), seed)) for seed in (1, 2))
    return source, target


def _forms(size: tuple[int, int], seed: int) -> "np.ndarray":
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // FORMS, size[1] // FORMS, 3), np.uint8)
    pixels: np.ndarray = resized(coarse, size).clip(0, 255).astype(np.uint8)
    return pixels


def levels(a: "np.ndarray", b: "np.ndarray") -> tuple[float, float]:
    """Mean and largest difference of two pictures of 8 bits."""
    difference = np.abs(a.astype(float) - b)
    return float(difference.mean()), float(difference.max())


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """A block in which CUDA computes float32 as such."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def time_training(table: Table, scope: Scope, device: torch.device) -> None:
    """Seconds of a step, utilisation, and memory, of each preset in the precision that a run would take."""
    for name in scope.presets or ("standard, small",):
        config, compute = resolve(name) if scope.presets else scope.config, find_compute(device)
        training, cycle = Training(*sides(scope), config, compute), config.losses.r1_every

        def steps(training: Training = training, config: Config = config, cycle: int = cycle) -> None:
            for _ in range(cycle):
                training.step(config.optimisation.learning_rate)

        for _ in range(1 if training.cut.replayed is None else EAGER_STEPS + 2):
            steps()
        bursts = [peaks(config, compute)]
        seconds = seconds_of(steps, compute, scope.seconds)
        bursts.append(peaks(config, compute))
        step, peak = statistics.median(seconds) / cycle, statistics.median(burst["both"] for burst in bursts)
        used = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if device.type == "cuda" else ""
        share = step_tflop(config) / step / peak
        table.add(f"a step of {name}", f"{step:.4f} s, {share:.0%} of {peak:.1f} TFLOP/s{used}")


def compare_training(table: Table, scope: Scope, device: torch.device) -> None:
    """The losses of the first steps here and on the CPU; a short training in each precision."""
    with without_tf32():
        here, there = (losses(scope, Compute(d, torch.float32, ""), 2) for d in (CPU, device))
    off = max(abs(a - b) / max(abs(a), 0.1) for a, b in zip(_flat(here), _flat(there), strict=True))
    table.add("losses of 2 steps, and on the CPU", f"{len(_flat(here))} losses in float32", off, STEPS_OFF)
    means = dict[str, float]()
    for name in scope.precisions:
        told = losses(scope, find_compute(device, name), scope.steps)
        means[name] = statistics.mean(step["NCE"] for step in told)
        off = abs(means[name] / means["float32"] - 1)
        finite = all(np.isfinite(_flat(told)))
        what = f"{scope.steps} steps in {name}, and in float32"
        table.add(what, f"NCE {means[name]:.3f}", off if finite else float("nan"), HALF_STEPS_OFF)


def replay_training(table: Table, scope: Scope, device: torch.device) -> None:
    """The losses of two steps that are replayed, and of the same two launched one kernel at a time."""
    if device.type != "cuda":
        return
    with without_tf32():
        training = Training(*sides(scope), scope.config, Compute(device, torch.float32, ""))
        cycle, rate = scope.config.losses.r1_every, scope.config.optimisation.learning_rate
        while training.steps_done % cycle or training.steps_done < (EAGER_STEPS + 2) * cycle:
            training.step(rate)
        state = {name: value.clone() for name, value in training.state().items()}

        def two() -> list[dict[str, float]]:
            return [{name: float(value) for name, value in training.step(rate).items()} for _ in range(2)]

        replayed, recorded = two(), len(training.cut.replayed.recordings) if training.cut.replayed else 0
        training.load_state(state)
        training.cut.replayed = None
        launched = two()
    off = max(abs(a - b) / max(abs(a), 0.1) for a, b in zip(_flat(launched), _flat(replayed), strict=True))
    told = f"{recorded} recordings, {len(_flat(launched))} losses"
    table.add("2 steps replayed, and launched one by one", told, off if recorded else float("nan"), STEPS_OFF)


def losses(scope: Scope, compute: Compute, steps: int) -> list[dict[str, float]]:
    """The losses by name of each of the first steps."""
    training = Training(*sides(scope), scope.config, compute)
    rate = scope.config.optimisation.learning_rate
    return [{name: float(value) for name, value in training.step(rate).items()} for _ in range(steps)]


def _flat(told: list[dict[str, float]]) -> list[float]:
    return [value for step in told for value in step.values()]


def resume_training(table: Table, scope: Scope, device: torch.device) -> None:
    """A training that goes through, and one that is interrupted half-way and resumed."""
    config = overlay(scope.config, {"schedule": {"steps": scope.steps, "minutes": 0.0}})
    asked, kept = 0, dict[str, Tensor]()

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > scope.steps // 2

    def keep(event: Event) -> None:
        if isinstance(event, Checkpoint):
            kept.update({name: value.detach().cpu().clone() for name, value in event.state.items()})

    whole_run = train(*sides(scope), config, device=device, precision="float32")
    with contextlib.suppress(Interrupted):
        train(*sides(scope), config, device=device, precision="float32", stop=stop, on_event=keep)
    state = from_file(kept)
    resumed = train(*sides(scope), config, device=device, precision="float32", state=state)
    source = picture(scope.compared)
    outputs = [applied(model, device, source, "float32") for model in (whole_run, resumed)]
    off = levels(*outputs)[0]
    done = int(state["steps_done"])
    where = f"{done} + {scope.steps - done} of {scope.steps} steps"
    table.add("interrupted, resumed, and not", where, off, 0.0 if device == CPU else RESUMED_OFF)


def trained(scope: Scope, device: torch.device) -> Model:
    """A model of few steps, which gives other pictures than it is given."""
    config = overlay(scope.config, {"schedule": {"steps": scope.steps, "minutes": 0.0}})
    return train(*sides(scope), config, device=device, precision="float32")


def from_file(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state as a checkpoint's file gives it back."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "checkpoint.safetensors")
        save_tensors(path, state, {})
        return {name: value.clone() for name, value in load_tensors(path)[0].items()}


def applied(model: Model, device: torch.device, source: Picture, precision: str, **options: str) -> "np.ndarray":
    """What G alone makes of a picture: (H, W, 3) of 8 bits."""
    chosen = Options(fast=True, **options)  # type: ignore[arg-type]
    pixels: np.ndarray = Translator(model, device, precision).apply_picture(source, chosen).pixels
    return pixels


def translate(table: Table, scope: Scope, device: torch.device) -> None:
    """Megapixels a second of G alone in each precision, and how far each is from float32, and that from the CPU's."""
    small, model = picture(scope.compared), trained(scope, device)
    with without_tf32():
        exact = [_floats(model, d, small) for d in (CPU, device)]
        plain = applied(model, device, small, "float32")
    most = float((exact[0] - exact[1]).abs().max()) * 127.5
    table.add("translation in float32, and on the CPU", f"{scope.compared:g} MP", most, SAME_FLOATS)
    for name in scope.precisions:
        compute, translator = find_compute(device, name), Translator(model, device, name)
        bound = HALF_OFF.get(name, TF32_OFF)
        off = levels(applied(model, device, small, name), plain)[0]
        table.add(f"translation in {name}, and in float32", f"{scope.compared:g} MP", off, bound)
        for size in scope.applied:
            large = picture(size)

            def work(large: Picture = large, translator: Translator = translator) -> None:
                translator.apply_picture(large, Options(fast=True))

            work()
            seconds = statistics.median(seconds_of(work, compute, scope.seconds))
            peak, pixels = peaks(scope.config, compute)["forward"], large.size[0] * large.size[1]
            share = pixel_tflop(scope.config) * pixels / seconds / peak
            table.add(
                f"translating {size:g} MP in {name}", f"{pixels / seconds / 1e6:.2f} MP/s, {share:.0%} of the peak"
            )


def _floats(model: Model, device: torch.device, source: Picture) -> Tensor:
    """G's translation (1, 3, H, W) of a picture in float32, not clipped, on the CPU."""
    return Translator(model, device, "float32").translate(to_tensor(source.pixels))


def draw(table: Table, scope: Scope, device: torch.device) -> None:
    """Seconds of drawing from an exemplar, and how far that is from what the CPU draws."""
    exemplar, layout = torch.from_numpy(picture(scope.drawn[-1], 1).pixels), to_tensor(picture(scope.compared).pixels)
    with without_tf32():
        here, there = (Synthesis(exemplar, device=d)(layout).cpu() for d in (CPU, device))
    away = [float((blurred(drawn - layout, BLUR)).abs().mean()) * 127.5 for drawn in (there, here)]
    other = float((here - there).abs().mean()) * 127.5
    told = f"{away[0]:.2f} levels away, pixels differ by {other:.1f}"
    table.add("drawing near its layout, and on the CPU", told, abs(away[0] - away[1]), DRAWN_OFF)
    synthesis, compute = Synthesis(exemplar, device=device), find_compute(device)
    for size in scope.drawn:
        pixels = torch.from_numpy(picture(size).pixels)
        h, w = pixels.shape[:2]

        def work(pixels: Tensor = pixels, h: int = h, w: int = w) -> None:
            drawing = synthesis.begin(lambda top, left, bottom, right: pixels[top:bottom, left:right], (h, w))
            for box in tile_boxes(h, w, SIDE):
                drawing.tile(box).cpu()

        seconds = statistics.median(seconds_of(work, compute, scope.seconds))
        table.add(f"drawing {size:g} MP", f"{seconds:.2f} s, {h * w / 1e6 / seconds:.2f} MP/s")


def halve(table: Table, scope: Scope, device: torch.device) -> None:
    """A picture as one tile that the memory has no room for, with and without the lack; and the same drawn."""
    source, halved, model = picture(scope.halved), list[int](), trained(scope, device)
    carrying = replace(model, exemplar=torch.from_numpy(picture(scope.compared, 1).pixels))
    halve = Halving._halve

    def counted(self: "Halving[object]", side: int, reason: str) -> None:
        halve(self, side, reason)
        halved.append(side)

    for what, options in (("G", Options(fast=True, tile="off")), ("the drawing", Options(tile="off"))):
        translator = Translator(carrying, device, "float32")
        drawer = translator.engine.drawer(options)
        needed = model.pixel_bytes * source.size[0] * source.size[1]
        needed = drawer.synthesis.tile_bytes(max(source.size)) if drawer else needed
        before = translator.apply_picture(source, options).pixels
        halved.clear()
        with mock.patch.object(Halving, "_halve", counted), little_memory(translator, needed // 2):
            after = translator.apply_picture(source, options).pixels
        told = f"{scope.halved:g} MP, {needed / 2e6:.0f} MB, halved {len(halved)} times"
        table.add(f"memory ends for {what}", told, levels(before, after)[1] if halved else float("nan"), HALVED_OFF)


@contextlib.contextmanager
def little_memory(translator: Translator, more: int) -> Iterator[None]:
    """A block in which the device has so many bytes more than it holds; on the CPU, large tiles are refused."""
    device = translator.compute.device
    release_memory(device)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + more) / total, device)
    elif device.type == "mps":
        most = torch.mps.recommended_max_memory()
        torch.mps.set_per_process_memory_fraction((torch.mps.driver_allocated_memory() + more) / most)
    try:
        with _refusing(translator) if device == CPU else contextlib.nullcontext():
            yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        elif device.type == "mps":
            torch.mps.set_per_process_memory_fraction(0.0)  # no limit


@contextlib.contextmanager
def _refusing(translator: Translator) -> Iterator[None]:
    """A block in which G and the drawing refuse the first tile each, as if memory ended there."""
    refused = set[str]()

    def refusing(name: str, work: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def first_refused(*given: object, **named: object) -> Tensor:
            if name not in refused:
                refused.add(name)
                raise torch.OutOfMemoryError("made up")
            return work(*given, **named)

        return first_refused

    model = translator.model
    with (
        mock.patch.object(model, "translate_middle", refusing("G", model.translate_middle)),
        mock.patch.object(Drawing, "tile", refusing("drawing", Drawing.tile)),
    ):
        yield


def run_others(table: Table, scope: Scope, device: torch.device) -> None:
    """The other algorithms, with networks of full width and random weights; WCT2 is compared with the CPU."""
    if not scope.others:
        return
    source, look = (Picture(_forms((scope.others, scope.others), seed)) for seed in (0, 1))
    for name, make in MADE.items():
        torch.manual_seed(0)
        config = overlay(resolve(name), {"rival": {"iterations": 8}})
        model = RivalModel(make(config.rival), torch.from_numpy(look.pixels), config)
        translator = Translator(model, device)
        began = time.perf_counter()
        out = translator.apply_picture(source).pixels
        took = time.perf_counter() - began
        told = f"{scope.others} px, {took:.2f} s with what is set up once"
        off = None
        if name == "wct2" and device != CPU:
            with without_tf32():
                off = levels(*(Translator(model, d).apply_picture(source).pixels for d in (CPU, device)))[0]
        table.add(f"{name}, {model.rounds(out.shape[:2])} {model.unit}", told, off, WCT2_OFF)


def fix_threads() -> int:
    """On a CPU: as many threads as processors are free now, for all that follows, and their number.

    Only so is a resumed training bit-exact, and with more all threads would wait for each other.
    """
    with considerate(CPU) as threads:
        if not any(os.environ.get(name) for name in FIXED_BY):
            time.sleep(LOOKED_SECONDS)
        count = threads.adjust()
    torch.set_num_threads(count)
    os.environ[FIXED_BY[0]] = str(count)
    return count


def main(words: list[str]) -> int:
    """Run all parts; 0, or 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="gpu.sh", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="seconds on one core: the same work, small")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... or mps")
    given = parser.parse_args(words)
    device = find_device(given.device)
    scope = quick() if given.quick else whole(device == CPU)
    if given.quick:
        mock.patch("sincut.bench.timing.BURST_SECONDS", 0.01).start()
    alarm = threading.Timer(MOST_SECONDS, _give_up)
    alarm.daemon = True
    alarm.start()
    table, compute = Table(), find_compute(device)
    if device == CPU:
        table.add("threads", str(fix_threads()))
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    table.add(f"torch {torch.__version__}", f"{kind}, {compute.precision}: {compute.reason}")
    parts = {
        "training": time_training,
        "training compared": compare_training,
        "replaying": replay_training,
        "resuming": resume_training,
        "translating": translate,
        "drawing": draw,
        "halving": halve,
        "other algorithms": run_others,
    }
    for name, part in parts.items():
        try:
            part(table, scope, device)
        except (RuntimeError, TypeError, SincutError) as error:  # what a device cannot do; the rest is worth knowing
            table.add(name, str(error).splitlines()[0], float("nan"))
    alarm.cancel()
    print(f"failed: {', '.join(table.failed)}" if table.failed else "all bounds hold")
    return 1 if table.failed else 0


def _give_up() -> None:
    print(f"stopped after {MOST_SECONDS} s: what is missing above was not measured", flush=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
